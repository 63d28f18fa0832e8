"""The numbered SQL files: what they are called, how they are read, what they may not hold."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from migrate.errors import BadFile

DATABASES = ("lares", "lares_sacred")
_FILE_NAME = re.compile(r"^(\d{4})_([a-z]+)_[a-z0-9]+(?:_[a-z0-9]+)*\.sql$")
_HEADER = re.compile(r"^--\s*database:\s*(\w+)\s*$")
_MARK = re.compile(r"^--\s*(up|down)\s*$")
_FILES_MAX = 2000
_BYTES_MAX = 1024 * 1024
# Comments, literals and function bodies, whichever begins first; a plpgsql body has BEGIN and END of its own.
_NOT_CODE = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)
# One file is one transaction: a COMMIT inside would leave half of it behind after a crash.
_TRANSACTION_CONTROL = re.compile(
    r"^\s*(begin|commit|end|rollback|abort|start\s+transaction|savepoint\b.*|release\b.*|prepare\s+transaction\b.*)\s*;",
    re.IGNORECASE | re.MULTILINE,
)
_OUTSIDE_TRANSACTION = re.compile(
    r"\b(concurrently|vacuum|create\s+database|drop\s+database|alter\s+system)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Migration:
    """One file: `up` and `down` are each run as one transaction in `database`."""

    number: int
    name: str
    database: str
    up: str
    down: str
    checksum: str


def read_all(folder: Path) -> list[Migration]:
    """Return every migration in `folder`, by number. Raises BadFile, and then none may be run."""
    paths = sorted(folder.glob("*.sql"))
    if not paths:
        raise BadFile(f"{folder}: no migration files")
    if len(paths) > _FILES_MAX:
        raise BadFile(f"{folder}: more than {_FILES_MAX} files")
    migrations = [read(path) for path in paths]
    for before, after in pairwise(migrations):
        if before.number == after.number:
            raise BadFile(f"{before.name} and {after.name} bear the same number")
    return migrations


def read(path: Path) -> Migration:
    """Read one file. Raises BadFile with what is wrong."""
    named = _FILE_NAME.match(path.name)
    if not named:
        raise BadFile(f"{path.name}: not NNNN_<domain>_<verb>_<noun>.sql")
    raw = path.read_bytes()
    if len(raw) > _BYTES_MAX:
        raise BadFile(f"{path.name}: larger than {_BYTES_MAX} bytes")
    database, up, down = _split(raw.decode("utf-8"), path.name)
    return Migration(
        number=int(named[1]),
        name=path.name,
        database=database,
        up=up,
        down=down,
        checksum=hashlib.sha256(raw).hexdigest(),
    )


def _split(text: str, name: str) -> tuple[str, str, str]:
    lines = text.splitlines()
    header = _HEADER.match(lines[0]) if lines else None
    if header is None or header[1] not in DATABASES:
        raise BadFile(f"{name}: the first line must be `-- database: {' | '.join(DATABASES)}`")
    parts: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in lines[1:]:
        if mark := _MARK.match(line):
            if mark[1] in parts or (mark[1] == "down" and "up" not in parts):
                raise BadFile(f"{name}: `-- up` and then `-- down`, once each")
            current = parts.setdefault(mark[1], [])
        elif current is not None:
            current.append(line)
        elif line.strip() and not line.startswith("--"):
            raise BadFile(f"{name}: SQL before `-- up`")
    if parts.keys() != {"up", "down"}:
        raise BadFile(f"{name}: `-- up` and `-- down` are both needed")
    up, down = ("\n".join(parts[part]).strip() for part in ("up", "down"))
    for part, body in (("up", up), ("down", down)):
        _check_body(f"{name} ({part})", body)
    return header[1], up, down


def _check_body(where: str, body: str) -> None:
    code = _NOT_CODE.sub(" ", body)
    if not code.strip():
        raise BadFile(f"{where}: empty")
    if found := _TRANSACTION_CONTROL.search(code):
        raise BadFile(f"{where}: `{found[1]}` is the runner's to say")
    if found := _OUTSIDE_TRANSACTION.search(code):
        raise BadFile(f"{where}: `{found[1]}` cannot run inside a transaction")
