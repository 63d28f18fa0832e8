"""The model itself: token ids in, one unit vector out."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from embedder.domain import DIMENSIONS, TOKENS_MAX, Encoded, Vector
from embedder.errors import ModelBroken, NotFinite

FILES = ("model.onnx", "tokenizer.json", "reference.json")
NORM_TOLERANCE = 1e-3


class Encoder:
    """Encodes one text at a time.

    One at a time on purpose: the int8 kernels scale activations over the tensor that they are given, so that in a
    padded batch a text's vector would depend on its neighbours. Alone it is the same every time.
    """

    def __init__(self, model_dir: Path, threads: int = 1) -> None:
        check_files(model_dir)
        self._tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS_MAX)
        self._session = ort.InferenceSession(
            str(model_dir / "model.onnx"), _options(threads), providers=["CPUExecutionProvider"]
        )

    def encode(self, text: str) -> Encoded:
        """Return the unit vector of the first 256 tokens of `text`. Raises NotFinite."""
        encoding = self._tokenizer.encode(text)
        ids = encoding.ids
        output = self._session.run(["embedding"], {"input_ids": np.array([ids], dtype=np.int64)})[0]
        vector = checked(np.asarray(output, dtype=np.float32).reshape(DIMENSIONS))
        return Encoded(vector, len(ids), bool(encoding.overflowing))


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # An arena keeps the peak of the longest text for ever; without it idle memory is the weights.
    options.enable_cpu_mem_arena = False
    # Spinning threads burn the cores that other services need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def checked(vector: Vector) -> Vector:
    """Return `vector` if it is finite and of length one. Raises NotFinite."""
    # A NaN makes every comparison false: hence "not within" and not "beyond".
    if not abs(float(np.linalg.norm(vector)) - 1) <= NORM_TOLERANCE:
        raise NotFinite()
    return vector


def digest(path: Path) -> str:
    """Return the file's sha256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(model_dir: Path) -> None:
    """Raise ModelBroken unless every file is the one that the manifest names."""
    try:
        manifest: dict[str, str] = json.loads((model_dir / "manifest.json").read_text())["sha256"]
        altered = [name for name in FILES if manifest.get(name) != digest(model_dir / name)]
    except (OSError, ValueError, KeyError) as error:
        raise ModelBroken(f"{model_dir} does not hold a complete model.") from error
    if altered:
        raise ModelBroken(f"Altered since the image was built: {', '.join(altered)}.")
