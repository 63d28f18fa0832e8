"""Writes small real files: GGUF by the gguf library, safetensors by the safetensors library, both sparse."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFWriter
from kit.testing.containers import docker, require_image

HERE = Path(__file__).parent
Tensors = dict[str, tuple[int, ...]]


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, list(value))


@pytest.fixture
def gguf(tmp_path: Path) -> Callable[..., Path]:
    """A GGUF file with these values and 16-bit tensors; its data is a hole."""

    def make(
        architecture: str,
        keys: dict[str, Any],
        tensors: Tensors | None = None,
        name: str = "model.gguf",
        **more: Any,
    ) -> Path:
        path = tmp_path / name
        writer = GGUFWriter(path, architecture)
        for key, value in keys.items():
            _add(writer, key if key.startswith("tokenizer.") else f"{architecture}.{key}", value)
        for key, value in more.items():
            _add(writer, key.replace("__", "."), value)
        length = 0
        for tensor, shape in (tensors or {"token_embd.weight": (8, 4)}).items():
            bytes_ = int(np.prod(shape)) * 2
            writer.add_tensor_info(tensor, shape, np.dtype(np.float16), bytes_)
            length += bytes_ + -bytes_ % 32
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        size = path.stat().st_size
        os.truncate(path, size + -size % 32 + length)
        return path

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A model's folder: config.json, and safetensors that are all header; their data is a hole."""

    def make(
        config: dict[str, Any], tensors: dict[str, tuple[str, tuple[int, ...]]], shards: int = 1
    ) -> Path:
        path = tmp_path / "model"
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(json.dumps(config))
        names = sorted(tensors)
        where: dict[str, str] = {}
        for shard in range(shards):
            name = (
                "model.safetensors"
                if shards == 1
                else f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
            )
            header, at = {}, 0
            for tensor in names[shard::shards]:
                dtype, shape = tensors[tensor]
                bytes_ = (
                    int(np.prod(shape))
                    * {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "I32": 4, "I64": 8}[dtype]
                )
                header[tensor] = {
                    "dtype": dtype,
                    "shape": list(shape),
                    "data_offsets": [at, at + bytes_],
                }
                at, where[tensor] = at + bytes_, name
            text = json.dumps(header).encode()
            (path / name).write_bytes(len(text).to_bytes(8, "little") + text)
            os.truncate(path / name, 8 + len(text) + at)
        if shards > 1:
            (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
        return path

    return make


@pytest.fixture(scope="session")
def llama_cpp() -> dict[str, Any]:
    """What llama.cpp itself allocates for these hyper-parameters; how it was asked is in ADR 0023."""
    return json.loads((HERE / "llama_cpp.json").read_text())


@pytest.fixture
def image_file() -> Callable[[str, str, Path], Path]:
    """Copies a file out of an image of ours."""

    def copy(image: str, path: str, target: Path) -> Path:
        require_image(image)
        container = docker("create", image).strip()
        try:
            docker("cp", f"{container}:{path}", str(target))
        finally:
            docker("rm", "-f", "-v", container, check=False)
        return target

    return copy
