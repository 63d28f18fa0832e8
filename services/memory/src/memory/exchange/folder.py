"""A person's folder of Markdown files: what is written there is whole or not there, and a hand's work is never lost.

A file is written beside its place, flushed to the disk and renamed. What was written last is kept in a note of hashes,
so that a hand's change is known; a note that a crash has left behind the files only makes them be read once more.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from kit import logs

from memory.exchange import markdown
from memory.exchange.archive import FILE_BYTES_MAX
from memory.exchange.values import BadRecord

log = logs.get(__name__)
NOTE = ".lares.json"
CONFLICT = ".conflict.md"
_TEMPORARY = ".lares-tmp"
_FILES_MAX = 20_000
_NUMBERS_MAX = 1000


@dataclass(frozen=True)
class Kept:
    """A file as it was last seen: its hash, and whether it is one that we write."""

    digest: str
    ours: bool


def digest(content: bytes) -> str:
    """Return the hash by which a file is known again."""
    return hashlib.sha256(content).hexdigest()


class Folder:
    """One person's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: dict[str, Kept] = {}

    def open(self) -> None:
        """Make the folder if need be, clear away what a crash left half written, and read the note."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.path.rglob(f"*{_TEMPORARY}"):
            left.unlink(missing_ok=True)
        self.kept = _read_note(self.path / NOTE)

    def names(self) -> list[str]:
        """Return the Markdown files in it, links and what was set aside left out."""
        found: list[str] = []
        for path in sorted(self.path.rglob("*.md")):
            if len(found) >= _FILES_MAX:
                break
            if path.is_symlink() or not path.is_file() or path.name.endswith(CONFLICT):
                continue
            if path.stat().st_size <= FILE_BYTES_MAX and path.resolve().is_relative_to(
                self.path.resolve()
            ):
                found.append(path.relative_to(self.path).as_posix())
        return found

    def changed(self) -> Iterator[tuple[str, bytes]]:
        """Yield the files that a hand has made or changed since they were last seen."""
        for name in self.names():
            content = self.read(name)
            known = self.kept.get(name)
            if content is not None and (known is None or known.digest != digest(content)):
                yield name, content

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None when it is not there."""
        try:
            return (self.path / name).read_bytes()
        except OSError:
            return None

    def write(self, name: str, content: bytes, over: str | None) -> bool:
        """Put a file in its place; False when what is there is no longer what it is written over.

        `over` is the hash of what was read there, None when there was nothing.
        """
        present = self.read(name)
        now = digest(present) if present is not None else None
        if now not in (over, None):
            return False
        if now != digest(content):
            _replace(self.path / name, content)
        self.kept[name] = Kept(digest(content), True)
        return True

    def drop(self, name: str, over: str) -> None:
        """Take away a file of ours that has nothing to hold any more, unless a hand has changed it meanwhile."""
        present = self.read(name)
        if present is not None and digest(present) == over:
            (self.path / name).unlink(missing_ok=True)
        if present is None or digest(present) == over:
            self.kept.pop(name, None)

    def set_aside(self, name: str, content: bytes) -> str | None:
        """Leave what could not be taken beside its file; return under which name, None if it lies there already."""
        stem = name.removesuffix(".md")
        for number in range(1, _NUMBERS_MAX):
            aside = f"{stem}{CONFLICT}" if number == 1 else f"{stem}.{number}{CONFLICT}"
            present = self.read(aside)
            if present == content:
                return None
            if present is None:
                _replace(self.path / aside, content)
                return aside
        return None

    def save(self) -> None:
        """Write the note: from now on these are the files as we left them."""
        plain = {name: [kept.digest, kept.ours] for name, kept in sorted(self.kept.items())}
        _replace(self.path / NOTE, json.dumps(plain, indent=0).encode())

    def take_out(self, gone: set[UUID]) -> int:
        """Cut memories out of every file here, those set aside too; return how many entries went."""
        taken = 0
        for path in sorted(self.path.rglob("*.md")):
            if path.is_symlink() or not path.is_file():
                continue
            content = path.read_bytes()
            left, count = without(content, gone)
            if left == content:
                continue
            taken += count
            name = path.relative_to(self.path).as_posix()
            known = self.kept.get(name)
            _replace(path, left)
            if known is not None and known.digest == digest(content):
                self.kept[name] = Kept(digest(left), known.ours)
        if taken:
            self.save()
        return taken


def without(content: bytes, gone: set[UUID]) -> tuple[bytes, int]:
    """Return a file without the entries of these memories and without their ids, and how many entries went."""
    if not any(str(ident).encode() in content or ident.hex.encode() in content for ident in gone):
        return content, 0
    cut: set[int] = set()
    count = 0
    reader = markdown.Reader()
    try:
        for drafted in reader.entries(markdown.split(content)):
            if drafted.plain is not None and _ident(drafted.plain.get("id")) in gone:
                cut |= set(range(drafted.first, drafted.last + 1))
                count += 1
    except BadRecord:
        # A file that cannot be read through cannot be cut with care either: what it holds of them goes with it.
        return b"", 1
    hexes = {ident.hex for ident in gone}
    lines = content.split(b"\n")
    kept = [
        line
        for number, line in enumerate(lines, 1)
        if number not in cut and line.strip().decode("utf-8", "replace") not in hexes
    ]
    return b"\n".join(kept), count


def _ident(raw: object) -> UUID | None:
    try:
        return UUID(str(raw))
    except ValueError:
        return None


def _replace(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole: after a crash at any moment it is the old file or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}{_TEMPORARY}")
    with open(temporary, "wb", opener=_private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _read_note(path: Path) -> dict[str, Kept]:
    try:
        plain = json.loads(path.read_bytes())
        return {str(name): Kept(str(held[0]), bool(held[1])) for name, held in plain.items()}
    except (OSError, ValueError, AttributeError, TypeError, IndexError, KeyError):
        # Without it every file is read once more, and nothing else happens.
        return {}
