"""The real model, as the image holds it, against vectors of the real all-MiniLM-L6-v2."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from embedder.errors import ModelBroken
from embedder.model import Encoder
from embedder.verify import COSINE_MIN, cosines, read_reference, verify

pytestmark = pytest.mark.integration
REFERENCE = Path(__file__).resolve().parents[1] / "reference.json"


def test_every_reference_sentence_gets_the_real_models_vector(encoder: Encoder) -> None:
    reference = read_reference(REFERENCE)
    measured = cosines(encoder.encode, reference)
    assert len(measured) == 24
    assert min(measured) >= COSINE_MIN
    # What was measured when the model was made was 0.9977 at least and 0.9995 on average.
    assert float(np.mean(measured)) >= 0.995


def test_the_order_of_neighbours_is_the_real_models(encoder: Encoder) -> None:
    reference = read_reference(REFERENCE)
    real = np.array([vector for _, vector in reference])
    ours = np.array([encoder.encode(text).vector for text, _ in reference])
    nearest_real = np.argsort(-(real @ real.T), axis=1)[:, 1]
    nearest_ours = np.argsort(-(ours @ ours.T), axis=1)[:, 1]
    assert (nearest_real == nearest_ours).mean() >= 0.9


def test_a_text_has_the_same_vector_every_time(encoder: Encoder) -> None:
    first = encoder.encode("The boiler was serviced last winter.").vector
    for other in ("x", "word " * 300, "The boiler was serviced last winter."):
        encoder.encode(other)
    assert np.array_equal(encoder.encode("The boiler was serviced last winter.").vector, first)


def test_a_long_text_is_cut_at_256_tokens_and_says_so(encoder: Encoder) -> None:
    exact, longer = encoder.encode("word " * 254), encoder.encode("word " * 255)
    assert (exact.tokens, exact.truncated) == (256, False)
    assert (longer.tokens, longer.truncated) == (256, True)
    assert np.array_equal(exact.vector, longer.vector)


@pytest.mark.parametrize(
    "text", ["\x00", "\ud7ff", "🎂" * 200, "a" * 30_000, "\u202e\u0301", "[CLS] [SEP] [PAD]"]
)
def test_odd_texts_have_vectors_too(encoder: Encoder, text: str) -> None:
    assert abs(float(np.linalg.norm(encoder.encode(text).vector)) - 1) < 1e-3


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "reference.json"])
def test_an_altered_file_is_not_loaded(model_dir: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "models"
    shutil.copytree(model_dir, copy)
    with (copy / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ModelBroken, match=name):
        Encoder(copy)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_missing_file_is_named_and_not_guessed(
    model_dir: Path, tmp_path: Path, name: str
) -> None:
    copy = tmp_path / "models"
    shutil.copytree(model_dir, copy)
    (copy / name).unlink()
    with pytest.raises(ModelBroken):
        Encoder(copy)


def test_another_models_vectors_are_noticed(encoder: Encoder, tmp_path: Path) -> None:
    pairs = json.loads(REFERENCE.read_text())["pairs"]
    # One sentence with the vector of another: what a wrong export looks like.
    pairs[3]["vector"] = pairs[4]["vector"]
    path = tmp_path / "reference.json"
    path.write_text(json.dumps({"pairs": pairs}))
    with pytest.raises(ModelBroken):
        verify(encoder.encode, path)


def test_a_reference_without_sentences_proves_nothing_and_is_refused(
    encoder: Encoder, tmp_path: Path
) -> None:
    path = tmp_path / "reference.json"
    path.write_text('{"pairs": []}')
    with pytest.raises(ModelBroken):
        verify(encoder.encode, path)


def test_the_inference_runtime_cannot_phone_home() -> None:
    libraries = sorted(Path(onnxruntime.__file__).parent.glob("capi/*.so*"))
    assert libraries
    assert not [path.name for path in libraries if b"events.data." in path.read_bytes()]
