"""Which file a memory stands in, what the file is called, and the index over all of them.

A topic is a tier, a namespace, a level and a name: what is known of somebody or something that several memories name,
else the month in which it happened. Names are made of words that do not change, so that a file keeps its name while
memories come and go.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from contracts.tiers import Level, Tier

from memory.exchange.markdown import head_lines

INDEX = "MEMORY.md"
ENTRIES_PER_FILE = 500
_MONTH = re.compile(r"\d{4,5}-\d{2}")
_SLUG_CHARS = 60
_LEVELS = {
    Level.IDENTITY: "Who I am",
    Level.KNOWLEDGE: "What I know",
    Level.EPISODIC: "What happened",
    Level.WORKING: "At hand",
    Level.SESSION: "Just now",
}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
INDEX_TEXT = (
    "What Lares remembers, a file per topic. You may edit these files and import them again: change a text,",
    'add a line that begins with "- ", or move an entry with its comment into another file. An entry that is',
    "taken out is forgotten only if you say so when importing. Leave the comments as they are.",
)
# Windows takes none of these for a file, whatever the ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")


@dataclass(frozen=True, slots=True)
class Topic:
    """One file's worth: `name` is a month (`2026-05`), somebody's or something's name, or empty for a whole level."""

    tier: Tier
    namespace: str
    level: Level
    name: str = ""

    @property
    def title(self) -> str:
        """What a person reads above it."""
        return _title(self.name) if self.name else _LEVELS[self.level]

    @property
    def stem(self) -> str:
        """The file's path without its ending."""
        return f"{self.tier.value}/{self.namespace}/{self.level.value}/{slug(self.name) or 'all'}"


@dataclass(frozen=True, slots=True)
class Filed:
    """A file that was written: what the index says of it."""

    path: str
    topic: Topic
    part: int
    count: int
    newest: datetime | None


def slug(name: str) -> str:
    """Return a name that every file system takes: letters, digits and dashes, never a path of its own."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    words = re.findall(r"[^\W_]+", plain)
    made = "-".join(words)[:_SLUG_CHARS].strip("-")
    return f"{made}-" if _DEVICES.fullmatch(made) else made


def paths(topics: Iterable[tuple[Topic, int]]) -> Iterator[list[str]]:
    """Yield for each topic and its number of memories the paths of its files, all of them different."""
    taken: set[str] = set()
    for topic, count in topics:
        stem, again = topic.stem, 1
        while stem in taken:
            # Two names that are spelled alike once accents and signs are gone.
            again += 1
            stem = f"{topic.stem}--{again}"
        taken.add(stem)
        parts = max(1, -(-count // ENTRIES_PER_FILE))
        yield [
            f"{stem}.md" if part == 1 else f"{stem}.part{part}.md" for part in range(1, parts + 1)
        ]


def topic_head(topic: Topic, part: int) -> list[str]:
    """Return the first lines of a topic's file."""
    head = {
        "lares": "topic",
        "tier": topic.tier.value,
        "namespace": topic.namespace,
        "level": topic.level.value,
    }
    title = topic.title if part == 1 else f"{topic.title} ({part})"
    return head_lines(head, title)


def day_heading(moment: datetime) -> str:
    """Return the heading of a day in a month's file."""
    return f"## {moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def place_of(path: str, head: dict[str, str]) -> dict[str, str]:
    """Return the place that a file gives its entries: what its head says, else what its path says."""
    place = {key: head[key] for key in ("tier", "namespace", "level") if head.get(key)}
    parts = PurePosixPath(path).parts[-4:-1]
    if len(parts) == 3 and parts[0] in tuple(Tier) and parts[2] in tuple(Level):
        for key, value in zip(("tier", "namespace", "level"), parts, strict=True):
            place.setdefault(key, value)
    return place


def index_lines(files: Sequence[Filed], shared: dict[str, bool]) -> list[str]:
    """Return MEMORY.md: what there is, by tier, namespace and level, and how to change it by hand."""
    head = {"lares": "index"}
    if shared:
        head["namespaces"] = ", ".join(
            f"{name} {'shared' if is_shared else 'private'}" for name, is_shared in shared.items()
        )
    lines = head_lines(head, "Memory")
    lines += [*INDEX_TEXT, ""]
    above: tuple[Tier, str, Level] | None = None
    for filed in files:
        topic = filed.topic
        here = (topic.tier, topic.namespace, topic.level)
        if here != above:
            lines += ["", f"## {topic.namespace}, {topic.tier.value}: {_LEVELS[topic.level]}", ""]
            above = here
        part = f" ({filed.part})" if filed.part > 1 else ""
        newest = f", the newest of {filed.newest.date().isoformat()}" if filed.newest else ""
        memories = "1 memory" if filed.count == 1 else f"{filed.count} memories"
        lines.append(f"- [{_link(topic.title)}{part}]({filed.path}): {memories}{newest}")
    return [*lines, ""]


def is_index_entry(text: str) -> bool:
    """Say whether a bullet of MEMORY.md is one of ours, and no memory that a person added there."""
    return re.match(r"\[.*\]\([^()]*\.md\): \d+ memor(y|ies)", text) is not None


def is_month(name: str) -> bool:
    """Say whether a topic is a month: its memories stand under their days."""
    return _MONTH.fullmatch(name) is not None


def shared_namespaces(head: dict[str, str]) -> dict[str, bool]:
    """Return what an index says of its namespaces."""
    words = (each.split() for each in head.get("namespaces", "").split(","))
    return {pair[0]: pair[1] == "shared" for pair in words if len(pair) == 2}


def _title(name: str) -> str:
    if is_month(name):
        year, month = name.split("-")
        return f"{_MONTHS[int(month) - 1]} {year}" if 1 <= int(month) <= 12 else name
    return " ".join(name.split())


def _link(title: str) -> str:
    return re.sub(r"([\\\[\]])", r"\\\1", title)
