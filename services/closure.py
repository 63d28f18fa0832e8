"""Print what one service needs, pinned and hashed, out of the one requirements.lock.

    closure.py requirements.lock services/memory/pyproject.toml [--without closure-of-kit.txt]
    closure.py requirements.lock 'services/_kit/pyproject.toml[http,auth]'
    closure.py requirements.lock uv ruff

The lock's own "via" notes are the dependency graph: nothing is resolved and no network is asked, so an image
installs exactly what was locked. `pip install --require-hashes --no-deps`, then `pip check` proves it whole.
Services that ask for different extras of one package share the union, less what EXTRAS_ONLY names. Standard library
only: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

# Our own packages: they stand for what their pyproject asks for, and are never installed themselves.
LOCAL = {"lares-kit": "_kit", "lares-contracts": "_contracts"}
# Brought by an extra that few ask for (pydantic[email]), and imported by whoever finds it (FastAPI: 2.3 MB in every
# service). Not followed: a service that asks for the extra names the package in its own pyproject.
EXTRAS_ONLY = {"email-validator"}
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_ENTRY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==")


class Locked(NamedTuple):
    """One pinned package: its lines in the lock, and who asked for it."""

    name: str
    lines: tuple[str, ...]
    via: frozenset[str]


def canonical(name: str) -> str:
    """Spell a package's name the one way that the index compares."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_lock(text: str) -> list[Locked]:
    """Return the entries of a lock written by `uv pip compile --generate-hashes`.

    One package may have several, each with the marker of the platforms it is for.
    """
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
        elif line and not line.startswith("#"):
            raise SystemExit(f"closure.lock_unreadable: {line!r}")
    return entries


def requirements(pyproject: Path, extras: set[str]) -> set[str]:
    """Return the third-party packages that a pyproject names, through our own packages."""
    project = tomllib.loads(pyproject.read_text())["project"]
    wanted = list(project.get("dependencies", []))
    optional = project.get("optional-dependencies", {})
    for extra in sorted(extras):
        if extra not in optional:
            raise SystemExit(f"closure.extra_unknown: {pyproject} has no extra {extra!r}")
        wanted += optional[extra]
    names: set[str] = set()
    for requirement in wanted:
        match = _REQUIREMENT.match(requirement)
        if match is None:
            raise SystemExit(f"closure.requirement_unreadable: {requirement!r} in {pyproject}")
        name = canonical(match.group(1))
        if name in LOCAL:
            local = pyproject.parent.parent / LOCAL[name] / "pyproject.toml"
            names |= requirements(local, split(match.group(2)))
        else:
            names.add(name)
    return names


def split(extras: str | None) -> set[str]:
    """Return the words of `a, b`."""
    return {word.strip() for word in (extras or "").split(",") if word.strip()}


def closure(roots: set[str], locked: list[Locked]) -> list[Locked]:
    """Return the entries that `roots` need, in the lock's order. Exits when a root is not locked."""
    if missing := sorted(roots - {entry.name for entry in locked}):
        raise SystemExit(f"closure.not_locked: {', '.join(missing)}: run `make lock`")
    needed, before = set(roots), 0
    while len(needed) > before:
        before = len(needed)
        needed |= {e.name for e in locked if e.via & needed and e.name not in EXTRAS_ONLY}
    return [entry for entry in locked if entry.name in needed]


def main(arguments: list[str]) -> None:
    """Print the closure of the arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lock", type=Path)
    parser.add_argument(
        "wanted", nargs="+", help="a pyproject.toml, with [extras] or not, or a package"
    )
    parser.add_argument("--without", type=Path, help="a closure that is installed already")
    options = parser.parse_args(arguments)
    roots: set[str] = set()
    for wanted in options.wanted:
        path, _, extras = wanted.rstrip("]").partition("[")
        if path.endswith(".toml"):
            roots |= requirements(Path(path), split(extras))
        else:
            roots.add(canonical(path))
    installed = parse_lock(options.without.read_text()) if options.without else []
    without = {entry.name for entry in installed}
    for entry in closure(roots, parse_lock(options.lock.read_text())):
        if entry.name not in without:
            print("\n".join(entry.lines))  # noqa: T201 - its output is its purpose


if __name__ == "__main__":
    main(sys.argv[1:])
