"""Reads the header of a GGUF file: its metadata, and the name, shape and size of each tensor. No tensor is read.

The layout is that of ggml/docs/gguf.md: magic, version, two counts, key-values, tensor descriptions, padding, data.
The `gguf` package reads it too, but maps the file, makes an array for every word of the vocabulary and needs numpy
(ADR 0023 has the numbers); an agent that lives for months wants neither. Every count and length in the file is
somebody else's claim: it is compared with what is left of the file and with the limits below before it is believed.
"""

from __future__ import annotations

import itertools
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from node_agent.predict.errors import WeightsMissing, WeightsUnreadable

HEADER_BYTES_MAX = 64 * 1024 * 1024  # a vocabulary of 256,000 words with its merges takes 16
KEYS_MAX = 16_384
TENSORS_MAX = 262_144
STRING_KEPT_MAX = 4096  # bytes; longer strings (chat templates) are passed over
ARRAY_KEPT_MAX = 4096  # values; longer arrays (vocabularies) are only counted
ARRAY_LENGTH_MAX = 4_194_304
SPLITS_MAX = 256
DIMENSIONS_MAX = 4
_BLOCK = 1024 * 1024
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}

# ggml type -> (values per block, bytes per block), as in ggml.h and ggml-common.h. A test compares with `gguf`.
QUANT_SIZES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip

Scalar = int | float | bool | str


@dataclass(frozen=True)
class Tensor:
    """One tensor: `dims` innermost first, as in the file; `bytes` of its data."""

    name: str
    dims: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Counted:
    """An array that was not kept: how many values it has."""

    length: int


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file, or all parts of a split one, says of itself."""

    values: dict[str, Scalar | tuple[Scalar, ...] | Counted]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        """`general.architecture`, or empty."""
        told = self.values.get("general.architecture")
        return told if isinstance(told, str) else ""

    def bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.bytes for tensor in self.tensors)


class _Source:
    """Reads on in a file through a bounded buffer, and never beyond its end or the limit."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._end = file, min(size, HEADER_BYTES_MAX)
        self.at, self._buffer, self._start = 0, b"", 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        low = self.at - self._start
        if low + count > len(self._buffer):
            if self.at + count > self._end:
                raise WeightsUnreadable("The header of this GGUF file is cut off.")
            self._file.seek(self.at)
            self._buffer, self._start, low = self._file.read(max(count, _BLOCK)), self.at, 0
            if len(self._buffer) < count:
                raise WeightsUnreadable("The header of this GGUF file is cut off.")
        self.at += count
        return self._buffer[low : low + count]

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        if self.at + count > self._end:
            raise WeightsUnreadable("The header of this GGUF file is cut off.")
        self.at += count
        if not self._start <= self.at <= self._start + len(self._buffer):
            self._buffer, self._start = b"", self.at

    def skip_strings(self, count: int) -> None:
        """Pass over `count` strings: a vocabulary has a quarter of a million of them."""
        unpack = struct.Struct("<Q").unpack_from
        while count:
            low = self.at - self._start
            room = len(self._buffer) - 8
            while count and low <= room:
                after = low + 8 + unpack(self._buffer, low)[0]
                if after > len(self._buffer):
                    break
                low, count = after, count - 1
            self.at = self._start + low
            if count:
                # The next one crosses the buffer's edge: read it by itself, which fills the buffer anew.
                self.skip(self.u64())
                count -= 1

    def u32(self) -> int:
        """The next unsigned 32-bit number."""
        return int(struct.unpack("<I", self.take(4))[0])

    def u64(self) -> int:
        """The next unsigned 64-bit number."""
        return int(struct.unpack("<Q", self.take(8))[0])

    def text(self, longest: int) -> str | None:
        """The next string; None, passed over, when it is longer than `longest` bytes."""
        length = self.u64()
        if length > longest:
            self.skip(length)
            return None
        return self.take(length).decode("utf-8", "replace")


def _value(source: _Source, kind: int) -> Scalar | tuple[Scalar, ...] | Counted | None:
    if (code := _SCALARS.get(kind)) is not None:
        return struct.unpack(f"<{code}", source.take(struct.calcsize(f"<{code}")))[0]
    if kind == _STRING:
        return source.text(STRING_KEPT_MAX)
    if kind != _ARRAY:
        raise WeightsUnreadable(f"This GGUF file has a value of the unknown kind {kind}.")
    inner, length = source.u32(), source.u64()
    if length > ARRAY_LENGTH_MAX:
        raise WeightsUnreadable("This GGUF file claims an array beyond all bounds.")
    if inner == _STRING:
        source.skip_strings(length)
        return Counted(length)
    code = _SCALARS.get(inner)
    if code is None:  # arrays of arrays are allowed by the format and written by nobody
        raise WeightsUnreadable(f"This GGUF file has an array of the unknown kind {inner}.")
    if length > ARRAY_KEPT_MAX:
        source.skip(length * struct.calcsize(f"<{code}"))
        return Counted(length)
    return struct.unpack(f"<{length}{code}", source.take(length * struct.calcsize(f"<{code}")))


def _tensors(source: _Source, count: int, alignment: int, size: int) -> tuple[Tensor, ...]:
    found: list[tuple[str, tuple[int, ...], int, int]] = []
    for _ in range(count):
        name = source.text(256)
        rank = source.u32()
        if name is None or rank > DIMENSIONS_MAX:
            raise WeightsUnreadable("This GGUF file describes a tensor beyond all bounds.")
        dims = tuple(source.u64() for _ in range(rank))
        found.append((name, dims, source.u32(), source.u64()))
    data = source.at + -source.at % alignment
    room = max(0, size - data)
    # Types that are newer than the table take what lies between their offset and the next.
    offsets = sorted({offset for _, _, _, offset in found} | {room})
    following = dict(itertools.pairwise(offsets))
    tensors: list[Tensor] = []
    for name, dims, kind, offset in found:
        values = 1
        for dim in dims:
            values *= dim
        if (sizes := QUANT_SIZES.get(kind)) is not None:
            length = -(-values // sizes[0]) * sizes[1]
        else:
            length = following.get(offset, offset) - offset
        if offset + length > room:
            raise WeightsUnreadable(f"The data of tensor {name[:80]} lies beyond the file's end.")
        tensors.append(Tensor(name, dims, length))
    return tuple(tensors)


def _read_one(path: Path) -> GgufHeader:
    try:
        size = path.stat().st_size
        with path.open("rb", buffering=0) as file:
            source = _Source(file, size)
            if source.take(4) != b"GGUF":
                raise WeightsUnreadable("This is not a GGUF file.")
            if (version := source.u32()) not in (2, 3):
                raise WeightsUnreadable(
                    f"This GGUF file is of version {version}; 2 and 3 are read."
                )
            tensors, keys = source.u64(), source.u64()
            if tensors > TENSORS_MAX or keys > KEYS_MAX:
                raise WeightsUnreadable("This GGUF file claims more than any model has.")
            values: dict[str, Scalar | tuple[Scalar, ...] | Counted] = {}
            for _ in range(keys):
                key = source.text(1024)
                value = _value(source, source.u32())
                if key is not None and value is not None:
                    values[key] = value
            alignment = values.get("general.alignment", 32)
            if not isinstance(alignment, int) or not 1 <= alignment <= 65_536:
                raise WeightsUnreadable("This GGUF file has an impossible alignment.")
            return GgufHeader(values, _tensors(source, tensors, alignment, size))
    except FileNotFoundError:
        raise WeightsMissing(f"There is no file {path.name}.") from None
    except OSError as error:
        raise WeightsUnreadable(f"{path.name} cannot be read: {error.strerror}.") from error


def read_gguf(path: Path) -> GgufHeader:
    """Return the header of a GGUF file; of a split one, name any part: all are read and put together.

    Raises WeightsMissing when a part is missing and WeightsUnreadable when a header cannot be believed.
    """
    match = re.fullmatch(r"(.+)-(\d{5})-of-(\d{5})\.gguf", path.name)
    if match is None:
        return _read_one(path)
    count = int(match[3])
    if not 1 <= count <= SPLITS_MAX:
        raise WeightsUnreadable("This GGUF file claims more parts than any model has.")
    parts = [
        _read_one(path.with_name(f"{match[1]}-{n:05d}-of-{match[3]}.gguf"))
        for n in range(1, count + 1)
    ]
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    claimed = parts[0].values.get("split.tensors.count")
    if isinstance(claimed, int) and claimed != len(tensors):
        raise WeightsUnreadable("The parts of this GGUF file do not belong together.")
    return GgufHeader(parts[0].values, tensors)
