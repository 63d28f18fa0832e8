"""Reads the header of safetensors files: eight bytes of length, JSON of that length, then the data, which stays unread.

The layout is that of the safetensors format page. The length is a claim: it is compared with the file and a limit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node_agent.predict.errors import WeightsMissing, WeightsUnreadable

HEADER_BYTES_MAX = 16 * 1024 * 1024  # 130,000 tensors
JSON_BYTES_MAX = 16 * 1024 * 1024
TENSORS_MAX = 262_144
SHARDS_MAX = 512


@dataclass(frozen=True)
class Stored:
    """One tensor as it is stored. `dtype` is safetensors' own word: F32, BF16, F8_E4M3, I32 ..."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


def read_json(path: Path, bytes_max: int = JSON_BYTES_MAX) -> dict[str, Any]:
    """Return a JSON object of at most `bytes_max` bytes. Raises WeightsMissing or WeightsUnreadable."""
    try:
        # read() makes room for what it is asked for, however short the file is.
        size = path.stat().st_size
        with path.open("rb") as file:
            text = file.read(min(size, bytes_max) + 1)
    except FileNotFoundError:
        raise WeightsMissing(f"There is no file {path.name}.") from None
    except OSError as error:
        raise WeightsUnreadable(f"{path.name} cannot be read: {error.strerror}.") from error
    if len(text) > bytes_max:
        raise WeightsUnreadable(f"{path.name} is longer than any such file.")
    return _object(text, path.name)


def _object(text: bytes, name: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise WeightsUnreadable(f"{name} holds no JSON.") from None
    if not isinstance(told, dict):
        raise WeightsUnreadable(f"{name} holds no JSON object.")
    return told


def read_safetensors(path: Path) -> tuple[Stored, ...]:
    """Return what one file stores. Raises WeightsMissing or WeightsUnreadable."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, HEADER_BYTES_MAX):
                raise WeightsUnreadable(
                    f"The header of {path.name} is cut off or beyond all bounds."
                )
            header = _object(file.read(length), path.name)
    except FileNotFoundError:
        raise WeightsMissing(f"There is no file {path.name}.") from None
    except OSError as error:
        raise WeightsUnreadable(f"{path.name} cannot be read: {error.strerror}.") from error
    if len(header) > TENSORS_MAX:
        raise WeightsUnreadable(f"{path.name} claims more tensors than any model has.")
    header.pop("__metadata__", None)
    return tuple(_stored(path.name, name, told, size - 8 - length) for name, told in header.items())


def _stored(file: str, name: str, told: Any, room: int) -> Stored:
    try:
        start, end = told["data_offsets"]
        shape = tuple(told["shape"])
        if not (
            isinstance(start, int)
            and isinstance(end, int)
            and 0 <= start <= end <= room
            and all(isinstance(dim, int) and dim >= 0 for dim in shape)
        ):
            raise ValueError
        return Stored(name, str(told["dtype"])[:16], shape, end - start)
    except (KeyError, TypeError, ValueError):
        raise WeightsUnreadable(
            f"{file} describes its tensor {name[:80]} in a way that cannot be."
        ) from None


def read_folder(folder: Path) -> tuple[Stored, ...]:
    """Return what all safetensors files of a model's folder store: by its index where there is one.

    Raises WeightsMissing when there are none or a shard is missing, WeightsUnreadable when a header cannot be believed.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = read_json(index).get("weight_map")
        if not isinstance(named, dict):
            raise WeightsUnreadable(f"{index.name} names no shards.")
        names = sorted({str(name) for name in named.values()})
        if any("/" in name or name.startswith(".") for name in names):
            raise WeightsUnreadable(f"{index.name} names shards outside its folder.")
    elif (folder / "model.safetensors").is_file():
        names = ["model.safetensors"]
    else:
        # Some repositories keep a second copy for another runtime: `consolidated` is Mistral's own.
        names = sorted(path.name for path in folder.glob("*.safetensors"))
        names = [name for name in names if not name.startswith("consolidated")] or names
    if not names:
        raise WeightsMissing(f"There are no safetensors in {folder.name}.")
    if len(names) > SHARDS_MAX:
        raise WeightsUnreadable(f"{folder.name} claims more shards than any model has.")
    found = [stored for name in names for stored in read_safetensors(folder / name)]
    return tuple({stored.name: stored for stored in found}.values())
