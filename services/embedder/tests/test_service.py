"""The embedder over HTTP, around the model that the image holds."""

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from embedder.app import build
from embedder.settings import Settings
from kit.settings import read
from starlette.testclient import TestClient

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def client(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    heartbeat = tmp_path_factory.mktemp("run") / "heartbeat"
    env = {
        "LARES_BIND": "127.0.0.1",
        "LARES_MODEL_DIR": str(model_dir),
        "LARES_HEARTBEAT": str(heartbeat),
    }
    with TestClient(build(read(Settings, env))) as client:
        yield client


def test_a_list_comes_back_in_order_in_openais_shape(client: TestClient) -> None:
    answer = client.post("/v1/embeddings", json={"model": "minilm-l6-v2", "input": ["a", "b"]})
    body = answer.json()
    assert answer.status_code == 200
    assert [entry["index"] for entry in body["data"]] == [0, 1]
    assert all(len(entry["embedding"]) == 384 for entry in body["data"])
    assert body["usage"]["prompt_tokens"] == 6


def test_a_list_has_the_vectors_that_its_texts_have_alone(client: TestClient) -> None:
    texts = ["short", "a much longer text about the garden and the neighbours " * 10, "?"]
    together = client.post("/v1/embeddings", json={"input": texts}).json()["data"]
    for text, entry in zip(texts, together, strict=True):
        [alone] = client.post("/v1/embeddings", json={"input": text}).json()["data"]
        assert alone["embedding"] == entry["embedding"]


def test_truncation_is_said_in_the_usage_and_in_a_header(client: TestClient) -> None:
    answer = client.post("/v1/embeddings", json={"input": ["a", "word " * 400]})
    assert answer.json()["usage"]["truncated"] == [1]
    assert answer.headers["x-lares-truncated"] == "1"


def test_base64_is_the_same_vector(client: TestClient) -> None:
    floats = client.post("/v1/embeddings", json={"input": "a"}).json()["data"][0]["embedding"]
    answer = client.post("/v1/embeddings", json={"input": "a", "encoding_format": "base64"})
    packed = base64.b64decode(answer.json()["data"][0]["embedding"])
    assert np.array_equal(np.frombuffer(packed, dtype="<f4"), np.array(floats, dtype=np.float32))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_coded_refusal(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/embeddings", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "memory.embed_input_invalid"


def test_what_was_embedded_is_counted_and_not_repeated(client: TestClient) -> None:
    client.post("/v1/embeddings", json={"input": "a very private sentence"})
    metrics = client.get("/metrics").text
    assert "lares_memory_embed_texts_total" in metrics
    assert "private" not in metrics


def test_it_says_that_it_is_ready(client: TestClient) -> None:
    assert client.get("/readyz").status_code == 200
