"""Why a container ended: out of memory, or something else, in one sentence. Pure.

The log's tail is searched for known signs and at most one line of it is told, cut short: servers print errors there,
and those that print prompts are told not to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LINE_CHARS_MAX = 200
KILLED = 137
_MEMORY = re.compile(
    r"out of memory|outofmemory|cudaMalloc failed|cudaErrorMemoryAllocation|_ALLOC_FAILED|hipErrorOutOfMemory|HIP out of memory"
    r"|unable to allocate .* buffer|failed to allocate .*buffer|cannot allocate memory|std::bad_alloc"
    r"|No available memory for the cache blocks|less than desired GPU memory utilization"
    r"|failed to fit params to free device memory|MemoryError",
    re.IGNORECASE,
)
# Where a line of a log turns to what was raised.
_RAISED = re.compile(r"\b[A-Za-z_][\w.]*(?:Error|Exception): \S")
# Of a long path its last part: what is said of it comes behind, and the line is cut.
_FOLDERS = re.compile(r"(?:/[^/\s:'\"]+){3,}/")
# What only points elsewhere: code in a traceback, the words of vLLM's process that watched the others, pydantic's frame.
_HEARSAY = re.compile(
    r"^\s*(?:raise |File \")|See root cause above|errors\.pydantic\.dev|validation errors? for"
)
_LOUD = re.compile(r"error|failed|exception|fatal|refused|cannot|killed", re.IGNORECASE)


@dataclass(frozen=True)
class Trouble:
    """What to say of a container that is not well."""

    sentence: str
    out_of_memory: bool = False


def why_ended(exit_code: int, oom_killed: bool, log_tail: str) -> Trouble:
    """Return why a container's process has ended."""
    line = memory_line(log_tail)
    if oom_killed:
        return Trouble("It was killed beyond its limit of host memory (memory_limit_mib).", True)
    if line is not None:
        return Trouble(f"It ran out of memory and ended with {exit_code}: {line}", True)
    told = _telling_line(log_tail)
    if exit_code == KILLED:
        return Trouble(
            "It was killed (137): by hand, or because the whole machine was out of memory."
        )
    return Trouble(f"It ended by itself with {exit_code}" + (f": {told}" if told else "."))


def memory_line(log_tail: str) -> str | None:
    """Return the line that says that memory ran out, or None."""
    for line in reversed(log_tail.splitlines()):
        if _MEMORY.search(line):
            return _short(line)
    return None


def _telling_line(log_tail: str) -> str:
    lines = [line for line in log_tail.splitlines() if line.strip() and not _HEARSAY.search(line)]
    loud = [line for line in lines if _LOUD.search(line)]
    line = (loud or lines or [""])[-1]
    raised = _RAISED.search(line)
    return _short(line[raised.start() :] if raised else line)


def _short(line: str) -> str:
    plain = "".join(character if character.isprintable() else " " for character in line).strip()
    plain = _FOLDERS.sub(".../", plain)
    return plain if len(plain) <= LINE_CHARS_MAX else plain[:LINE_CHARS_MAX] + "..."
