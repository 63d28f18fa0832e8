#!/usr/bin/env python3
"""Print what one service needs, pinned and hashed, out of the one requirements.lock.

    closure.py services/memory            the closure of a service's pyproject.toml
    closure.py services/_kit[http,auth]   the kit with these extras: a layer that images share
    closure.py uv ruff                    the closure of packages by name

The lock's own "via" notes are the dependency graph, so nothing is resolved and nothing is asked of a network:
an image installs exactly what was locked. Install it with `pip install --require-hashes --no-deps
--only-binary :all:` and then run `pip check`, which proves that the closure is whole.

Two services that ask for different extras of one package share the union: an image may hold a package more
than it needs, never one less.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_ENTRY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==")


class Locked(NamedTuple):
    """One pinned package: its lines in the lock, and who asked for it."""

    name: str
    lines: tuple[str, ...]
    via: frozenset[str]


def canonical(name: str) -> str:
    """Return a package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_lock(text: str) -> list[Locked]:
    """Return the entries of a lock written by `uv pip compile --generate-hashes`."""
    entries: list[Locked] = []
    lines: list[str] = []
    via: set[str] = set()
    name = ""
    for line in [*text.splitlines(), "end=="]:
        if match := _ENTRY.match(line):
            if name:
                entries.append(Locked(name, tuple(lines), frozenset(via)))
            name, lines, via = canonical(match.group(1)), [line], set()
        elif line.startswith("    --hash="):
            lines.append(line)
        elif line.startswith("    #"):
            asker = line.strip(" #").removeprefix("via").split("(")[0].strip()
            if asker and not asker.startswith("-"):
                via.add(canonical(asker))
    return entries


def requirements(folder: Path, extras: frozenset[str] = frozenset()) -> set[str]:
    """Return the third-party packages that a folder's pyproject.toml names, through our own packages."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    wanted = list(project.get("dependencies", []))
    optional = project.get("optional-dependencies", {})
    for extra in sorted(extras):
        if extra not in optional:
            raise SystemExit(f"closure: {folder} has no extra {extra!r}")
        wanted += optional[extra]
    names: set[str] = set()
    for requirement in wanted:
        match = _REQUIREMENT.match(requirement)
        if match is None:
            raise SystemExit(f"closure: {folder}: cannot read {requirement!r}")
        name = canonical(match.group(1))
        if name.startswith("lares-"):
            asked = frozenset(
                filter(None, (part.strip() for part in (match.group(2) or "").split(",")))
            )
            names |= requirements(ROOT / "services" / f"_{name.removeprefix('lares-')}", asked)
        else:
            names.add(name)
    return names


def closure(roots: set[str], locked: list[Locked]) -> list[Locked]:
    """Return the locked entries that `roots` need, in the lock's order. Exits when a root is not locked."""
    known = {entry.name for entry in locked}
    if missing := sorted(roots - known):
        raise SystemExit(
            f"closure: not in requirements.lock: {', '.join(missing)}. Run `make lock`."
        )
    needed = set(roots)
    grew = True
    while grew:
        found = {entry.name for entry in locked if entry.via & needed}
        grew = not found <= needed
        needed |= found
    return [entry for entry in locked if entry.name in needed]


def main(arguments: list[str]) -> int:
    """Print the closure of the arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "wanted", nargs="+", help="services/<name>, services/_kit[extra,...] or a package"
    )
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock")
    options = parser.parse_args(arguments)
    roots: set[str] = set()
    for wanted in options.wanted:
        match = re.match(r"^(?:.*/)?services/([^\[/]+)/?(?:\[([^\]]*)\])?$", wanted)
        if match:
            extras = frozenset(filter(None, (match.group(2) or "").split(",")))
            roots |= requirements(ROOT / "services" / match.group(1), extras)
        else:
            roots.add(canonical(wanted))
    for entry in closure(roots, parse_lock(options.lock.read_text())):
        print("\n".join(entry.lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
