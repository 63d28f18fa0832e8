"""Topic files: real Markdown for people, with a grammar of whole lines that brings back every character.

    ---
    lares: topic
    tier: convenience
    namespace: home
    level: knowledge
    ---

    # Home, knowledge: May 2026

    - I take the blue train to work.
      <!-- lares {"id": "...", ...} -->

An entry is a bullet at the left edge, its further lines indented by two, and a comment that holds its other fields.
Whatever a text says stands behind that indentation, so no text can end its entry or begin another; the two lines that
could be read as ours are escaped with a backslash. What a file cannot show (trailing blanks, another line end) is kept
in the comment beside it. Read with a Markdown parser this would not be exact: a block tree has no trailing blanks, and
knows no line as it was written. That other tools see one list item per memory is a test (with markdown-it-py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from memory.exchange.record import shown, text_digest
from memory.exchange.values import BadRecord

LINE_CHARS_MAX = 1024 * 1024
ENTRY_LINES_MAX = 10_000
IDS_MAX = 20_000
_MARK = re.compile(r"<!-- lares (\{.*\}) -->\s*")
_LIST_OPEN = re.compile(r"<!-- lares entries\s*")
_OURS = re.compile(r"([ \t]*)(\\*)(<!-- lares\b)")
_DASHES = re.compile(r"(\\*)(-[-\s]*)$")
_BULLET = re.compile(r"(?:[-*+]|\d{1,9}[.)])(?: |$)")
_FENCE = re.compile(r"(`{3,}|~{3,})")
_HEAD_LINE = re.compile(r"([a-z_]{1,40}): ?(.{0,4000})")
_HEAD_LINES_MAX = 40


@dataclass(frozen=True, slots=True)
class Drafted:
    """One entry as it stands in a file: lines `first` to `last`, counted from 1.

    `plain` is None for a bullet that a person wrote; `problem` says why an entry cannot be taken.
    """

    first: int
    last: int
    text: str = field(repr=False)
    plain: dict[str, Any] | None = field(default=None, repr=False)
    problem: str | None = None


@dataclass(slots=True)
class Page:
    """A file that was read: its head, its entries, the ids it was written with, and the lines that are neither."""

    head: dict[str, str] = field(default_factory=dict)
    entries: list[Drafted] = field(default_factory=list)
    ids: frozenset[UUID] | None = None
    notes: list[tuple[int, str]] = field(default_factory=list, repr=False)


def entry_lines(plain: dict[str, Any]) -> list[str]:
    """Return the lines of one entry, the blank one behind it included."""
    text = plain["text"]
    body = shown(text)
    kept = {key: value for key, value in plain.items() if key != "text" or value != body}
    first, *rest = body.split("\n")
    lines = [f"- {_escape(_escape_dashes(first))}".rstrip()]
    lines += [f"  {_escape(line)}" if line else "" for line in rest]
    return [*lines, f"  <!-- lares {_comment(kept)} -->", ""]


def head_lines(head: dict[str, str], title: str) -> list[str]:
    """Return a file's first lines: what it holds, for the importer and for a person."""
    return ["---", *(f"{key}: {value}" for key, value in head.items()), "---", "", f"# {title}", ""]


def ids_lines(ids: Sequence[UUID]) -> list[str]:
    """Return the list of what the file was written with: what is missing later was taken out by hand."""
    return ["<!-- lares entries", *(each.hex for each in ids), "-->", ""]


def read(lines: Iterable[str]) -> Page:
    """Return a file's page. Anything may stand in it; nothing that stands in it is lost. Raises BadRecord."""
    reader = Reader()
    entries = list(reader.entries(lines))
    reader.page.entries = entries
    return reader.page


class Reader:
    """Reads line by line. An entry is open from its bullet until its comment, the next bullet or another block."""

    def __init__(self) -> None:
        self.page = Page()
        self._open: list[tuple[int, list[str]]] = []  # bullets that no comment has closed yet
        self._blank_before = True
        self._fence: str | None = None
        self._in_head = False
        self._ids: list[UUID] | None = None
        self._last = 0

    def entries(self, lines: Iterable[str]) -> Iterator[Drafted]:
        """Yield the entries as they are read; the page has the rest when they are all out. Raises BadRecord."""
        for number, raw in enumerate(lines, 1):
            if len(raw) > LINE_CHARS_MAX:
                raise BadRecord("line_too_long")
            line = raw.rstrip("\r")
            self._line(number, line.removeprefix("\ufeff") if number == 1 else line)
            yield from self._taken()
        self._close()
        yield from self._taken()

    def _taken(self) -> list[Drafted]:
        taken, self.page.entries = self.page.entries, []
        return taken

    def _line(self, number: int, line: str) -> None:
        self._last = number
        if number == 1 and line == "---":
            self._in_head = True
        elif self._in_head:
            self._head(number, line)
        elif self._ids is not None:
            self._listed(line)
        elif self._fence is not None:
            self._note(number, line)
            self._fence = None if line.strip() == self._fence else self._fence
        else:
            self._body(number, line)
        self._blank_before = not line.strip()

    def _head(self, number: int, line: str) -> None:
        match = _HEAD_LINE.fullmatch(line)
        if line == "---":
            self._in_head = False
        elif match and len(self.page.head) < _HEAD_LINES_MAX:
            self.page.head[match[1]] = match[2].strip()
        else:
            self._note(number, line)

    def _listed(self, line: str) -> None:
        listed = self._ids if self._ids is not None else []
        if line.strip() == "-->":
            self.page.ids = frozenset(listed) | (self.page.ids or frozenset())
            self._ids = None
            return
        for word in line.split():
            if len(listed) >= IDS_MAX:
                raise BadRecord("too_many_entries")
            try:
                listed.append(UUID(hex=word))
            except ValueError:
                continue

    def _body(self, number: int, line: str) -> None:
        stripped = line.lstrip(" \t")
        mark = _MARK.fullmatch(stripped)
        if mark and self._open:
            self._mark(number, mark[1])
        elif not line.strip():
            if self._open:
                self._open[-1][1].append("")
        elif _BULLET.match(line):
            # Without a blank line between them two bullets may share the comment that follows: `_mark` sees to it.
            if self._blank_before:
                self._close()
            self._open.append((number, [_unescape_dashes(_unescape(_content(line)))]))
        elif self._open and line != stripped:
            self._more(_unescape(_unindent(line)))
        elif _LIST_OPEN.fullmatch(line):
            self._close()
            self._ids = []
        elif self._open and not self._blank_before and _continues(line):
            self._more(_unescape(line))
        else:
            self._aside(number, line)

    def _more(self, line: str) -> None:
        lines = self._open[-1][1]
        if len(lines) >= ENTRY_LINES_MAX:
            raise BadRecord("text_too_long")
        lines.append(line)

    def _aside(self, number: int, line: str) -> None:
        self._close()
        fence = _FENCE.match(line)
        self._fence = fence[1] if fence else None
        # Headings and comments are the file's own furniture.
        if not line.startswith(("#", "<!--")):
            self._note(number, line)

    def _note(self, number: int, line: str) -> None:
        if line.strip():
            self.page.notes.append((number, line))

    def _mark(self, number: int, raw: str) -> None:
        """Give the comment to its bullet: the one whose text it vouches for, else the only one there is.

        A person who adds a bullet between a text and its comment must not turn the new into an edit of the old.
        """
        plain = _object(raw)
        bodies = [(first, shown("\n".join(lines))) for first, lines in self._open]
        self._open = []
        digest = str(plain.get("check", "")).partition(".")[0] if plain else ""
        own = next(
            (place for place, (_, body) in enumerate(bodies) if text_digest(body) == digest), None
        )
        if own is None and len(bodies) == 1:
            own = 0
        for place, (first, body) in enumerate(bodies):
            last = bodies[place + 1][0] - 1 if place + 1 < len(bodies) else number
            if own is None:
                self._add(Drafted(first, last, body, problem="bullets_share_a_comment"))
            elif place != own:
                self._add(Drafted(first, last, body))
            elif plain is None:
                self._add(Drafted(first, last, body, problem="comment_malformed"))
            else:
                whole = plain.get("text", body) if text_digest(body) == digest else body
                self._add(Drafted(first, last, body, {**plain, "text": whole}))

    def _close(self) -> None:
        for place, (first, lines) in enumerate(self._open):
            last = self._open[place + 1][0] - 1 if place + 1 < len(self._open) else self._last - 1
            self._add(Drafted(first, max(first, last), shown("\n".join(lines))))
        self._open = []

    def _add(self, entry: Drafted) -> None:
        # An empty bullet is where somebody meant to write.
        if entry.text.strip() or entry.plain is not None or entry.problem:
            self.page.entries.append(entry)


def split(content: bytes) -> Iterator[str]:
    """Yield the lines of a whole file, ended by a line feed and nothing else. Raises BadRecord."""
    start = 0
    while start <= len(content):
        end = content.find(b"\n", start)
        stop = len(content) if end < 0 else end
        try:
            yield content[start:stop].decode()
        except UnicodeDecodeError:
            raise BadRecord("not_utf8") from None
        start = stop + 1


def _object(raw: str) -> dict[str, Any] | None:
    try:
        plain = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return plain if isinstance(plain, dict) else None


def _comment(plain: dict[str, Any]) -> str:
    """Return JSON that cannot end the comment it stands in."""
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    # Only strings can hold these, and a string may write any character by its number.
    return text.replace("--", "-\\u002d").replace("<", "\\u003c").replace(">", "\\u003e")


def _content(line: str) -> str:
    marker, _, content = line.partition(" ")
    return content if marker else line


def _unindent(line: str) -> str:
    if line.startswith("\t"):
        return line[1:]
    return line[2:] if line.startswith("  ") else line[1:]


def _continues(line: str) -> bool:
    """Say whether a line at the left edge still belongs to the paragraph before it, as Markdown has it."""
    return not line.startswith(("#", ">", "<!--", "---", "===", "***", "___")) and not _FENCE.match(
        line
    )


def _escape(line: str) -> str:
    return _OURS.sub(r"\1\\\2\3", line, count=1) if _OURS.match(line) else line


def _unescape(line: str) -> str:
    match = _OURS.match(line)
    return f"{match[1]}{match[2][1:]}{line[match.end(2) :]}" if match and match[2] else line


def _escape_dashes(line: str) -> str:
    # A bullet of dashes alone would be a rule across the page.
    return f"\\{line}" if _DASHES.match(line) else line


def _unescape_dashes(line: str) -> str:
    match = _DASHES.match(line)
    return line[1:] if match and match[1] else line
