"""Named SQL statements kept in a file beside the code that runs them.

    -- name: remember_memory
    -- role: lares_app
    INSERT INTO ... ;

A statement begins at its `-- name:` line. `-- role:` and `-- database:` may follow it; they say under which
role and in which database the statement must be preparable, so that a test can PREPARE each one there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_NAME = re.compile(r"^--\s*name:\s*([a-z][a-z0-9_]*)\s*$")
_TAG = re.compile(r"^--\s*(role|database):\s*([a-z][a-z0-9_]*)\s*$")
# Whatever begins first counts: a comment may hold a quote, a literal two dashes, and both a semicolon.
_NOT_CODE = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_FILE_BYTES_MAX = 256 * 1024


class SqlFileError(ValueError):
    """A queries file that cannot be read as named statements: found at start, never at a request."""


class Query(str):
    """One statement. It is the SQL text itself, so it can be handed to a connection as it stands."""

    name: str
    role: str | None
    database: str | None

    def __new__(
        cls, text: str, name: str, role: str | None = None, database: str | None = None
    ) -> Query:
        """Return `text` as a statement that knows its name, role and database."""
        query = super().__new__(cls, text)
        query.name, query.role, query.database = name, role, database
        return query


class Queries(Mapping[str, Query]):
    """The statements of one file, by attribute (`queries.remember_memory`) or by key."""

    def __init__(self, statements: Mapping[str, Query], source: str) -> None:
        self._statements = dict(statements)
        self._source = source

    def __getitem__(self, name: str) -> Query:
        try:
            return self._statements[name]
        except KeyError:
            raise KeyError(f"{self._source} has no statement named {name!r}") from None

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            # A plain str: asyncpg's protocol takes no subclass of it.
            return str(self._statements[name])
        except KeyError:
            raise AttributeError(f"{self._source} has no statement named {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)


def load(path: Path | str) -> Queries:
    """Read `path` into named statements. Raises SqlFileError if any is nameless, empty, doubled or two in one."""
    path = Path(path)
    if path.stat().st_size > _FILE_BYTES_MAX:
        raise SqlFileError(f"{path.name}: larger than {_FILE_BYTES_MAX} bytes")
    return parse(path.read_text(encoding="utf-8"), path.name)


def parse(text: str, source: str = "queries.sql") -> Queries:
    """Read the text of a queries file. Raises SqlFileError as `load` does."""
    statements: dict[str, Query] = {}
    name: str | None = None
    tags: dict[str, str] = {}
    lines: list[str] = []

    def finish() -> None:
        if name is None:
            return
        statements[name] = Query(
            _body(lines, name, source), name, tags.get("role"), tags.get("database")
        )

    for number, line in enumerate(text.splitlines(), 1):
        if found := _NAME.match(line):
            finish()
            name, tags, lines = found[1], {}, []
            if name in statements:
                raise SqlFileError(f"{source}:{number}: statement {name!r} is defined twice")
        elif name is None:
            if line.strip() and not line.startswith("--"):
                raise SqlFileError(f"{source}:{number}: SQL before the first `-- name:` line")
        elif found := _TAG.match(line):
            tags[found[1]] = found[2]
        else:
            lines.append(line)
    finish()
    return Queries(statements, source)


def _body(lines: list[str], name: str, source: str) -> str:
    body = "\n".join(lines).strip().removesuffix(";").rstrip()
    code = _NOT_CODE.sub(" ", body).strip().removesuffix(";")
    if not code.strip():
        raise SqlFileError(f"{source}: statement {name!r} is empty")
    if ";" in code:
        # Two statements under one name cannot be prepared.
        raise SqlFileError(f"{source}: {name!r} holds more than one statement")
    return body
