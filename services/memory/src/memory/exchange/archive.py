"""Zip archives, written while they are read and read without trust.

Nothing is ever unpacked to a disk: an entry is a name and a stream. What an archive claims of itself decides nothing;
the bytes that really come out are counted.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from memory.exchange.errors import ImportUnreadable, ImportUnsafe

FILES_MAX = 10_000
# As much as a file of 500 entries of 8,000 characters can have.
FILE_BYTES_MAX = 20 * 1024 * 1024
ALL_BYTES_MAX = 512 * 1024 * 1024
# The Markdown that Lares writes shrinks to a quarter; a text of one letter to a thousandth.
RATIO_MAX = 200
_CHUNK = 64 * 1024
# Every entry has this moment: what was not changed is byte for byte the same archive.
_STAMP = (1980, 1, 1, 0, 0, 0)


class _Pipe:
    """What the archive writes into: it cannot be sought in, and is emptied after every piece."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, piece: bytes) -> int:
        self._held += piece
        return len(piece)

    def flush(self) -> None:
        return

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken


class ZipWriter:
    """Writes an archive piece by piece; what it gives back must be sent on, in order."""

    def __init__(self) -> None:
        self._pipe = _Pipe()
        self._zip = zipfile.ZipFile(self._pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=4)  # type: ignore[arg-type]
        self._open: IO[bytes] | None = None

    def begin(self, path: str) -> None:
        """Begin a file."""
        info = zipfile.ZipInfo(path, _STAMP)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = (stat.S_IFREG | 0o600) << 16
        self._open = self._zip.open(info, "w")

    def write(self, content: bytes) -> bytes:
        """Add to the file; return what is ready to be sent."""
        if self._open is None:
            raise ValueError("no file was begun")
        self._open.write(content)
        return self._pipe.take()

    def end(self) -> bytes:
        """End the file; return what is ready to be sent."""
        if self._open is not None:
            self._open.close()
            self._open = None
        return self._pipe.take()

    def close(self) -> bytes:
        """End the archive, also amid a file; return the last of it. An archive that is ended already has nothing left."""
        if self._open is not None:
            self._open.close()
            self._open = None
        self._zip.close()
        return self._pipe.take()


@dataclass(frozen=True)
class Member:
    """One Markdown file of an archive."""

    path: str
    content: bytes


def members(file: IO[bytes]) -> Iterator[Member]:
    """Yield an archive's Markdown files, whole, the index first. Raises ImportUnreadable, ImportUnsafe.

    Everything about its names is judged before the first is read: an archive that tries to climb out is refused whole.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            if len(infos) > FILES_MAX:
                raise ImportUnsafe("The archive has more files than an import takes.")
            for info in infos:
                check_path(info.filename)
                if stat.S_ISLNK(info.external_attr >> 16) or info.flag_bits & 0x1:
                    raise ImportUnsafe("The archive holds a link or an encrypted file.")
            wanted = [info for info in infos if _is_ours(info)]
            names = [info.filename for info in wanted]
            if len(set(names)) != len(names):
                raise ImportUnsafe("The archive holds two files of the same name.")
            taken = 0
            for info in sorted(wanted, key=lambda each: (each.filename.count("/"), each.filename)):
                content = _content(archive, info)
                taken += len(content)
                if taken > ALL_BYTES_MAX:
                    raise ImportUnsafe("The archive unpacks to more than an import takes.")
                yield Member(info.filename, content)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError):
        raise ImportUnreadable() from None


def check_path(path: str) -> None:
    """Return if the path stays where it is put. Raises ImportUnsafe."""
    parts = PurePosixPath(path).parts
    if (
        not path
        or len(path) > 400
        or path.startswith("/")
        or "\\" in path
        or ":" in path
        or any(part == ".." for part in parts)
        or any(ord(character) < 32 for character in path)
    ):
        raise ImportUnsafe("The archive holds a file whose path leads out of it.")


def _is_ours(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    # What a Mac puts beside every file, and what the nightly sync set aside.
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    aside = path.name.endswith(".conflict.md")
    return not info.is_dir() and path.suffix == ".md" and not hidden and not aside


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    most = min(FILE_BYTES_MAX, _CHUNK + RATIO_MAX * info.compress_size)
    content = bytearray()
    with archive.open(info) as file:
        while piece := file.read(_CHUNK):
            content += piece
            if len(content) > most:
                raise ImportUnsafe("A file of the archive unpacks to far more than it says.")
    return bytes(content)
