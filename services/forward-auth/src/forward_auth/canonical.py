"""One reading of a path, or none.

The decision must be about the path that the service behind will see. Rather than guess how each server cleans a path,
everything that servers are known to read differently is refused; what is left is decoded once.
"""

from __future__ import annotations

import re

URI_CHARS_MAX = 8192
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
# What may stand in a path as it is, besides percent-encoded octets.
_PLAIN = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,=:@/]*")
_DOT_SEGMENTS = frozenset({".", ".."})


class Ambiguous(ValueError):
    """The path can be read in more than one way."""


def canonical(uri: str) -> str:
    """Return the one path that `uri` means, decoded. Raises Ambiguous.

    Refused: encoded slash, backslash, percent, NUL and control characters, bare backslash or semicolon, doubled slashes, dot
    segments (also encoded), broken percent-encoding, bytes that are not UTF-8, an absolute form.
    """
    if len(uri) > URI_CHARS_MAX:
        raise Ambiguous("too long")
    raw = uri.partition("?")[0]
    if "#" in raw or not _PLAIN.fullmatch(_PERCENT.sub("", raw)):
        raise Ambiguous("characters")
    try:
        path = _PERCENT.sub(lambda m: chr(int(m[1], 16)), raw).encode("latin-1").decode("utf-8")
    except UnicodeDecodeError as error:
        raise Ambiguous("encoding") from error
    if path.count("/") != raw.count("/"):
        raise Ambiguous("encoded slash")
    # A percent sign that survives decoding would be decoded again by a careless server.
    if (
        "%" in path
        or "\\" in path
        or ";" in path
        or any(ord(c) < 0x20 or ord(c) == 0x7F for c in path)
    ):
        raise Ambiguous("encoded character")
    segments = path.split("/")[1:]
    if "" in segments[:-1] or _DOT_SEGMENTS.intersection(segments):
        raise Ambiguous("segments")
    return path
