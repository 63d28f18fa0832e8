"""The model that the image holds, copied out of it once per run: the tests load what the house loads."""

from pathlib import Path

import pytest
from embedder.model import Encoder
from kit.testing.containers import docker, require_image

IMAGE = "lares/embedder:dev"


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's /models."""
    require_image(IMAGE)
    target = tmp_path_factory.mktemp("embedder") / "models"
    name = docker("create", IMAGE).strip()
    try:
        docker("cp", f"{name}:/models", str(target))
    finally:
        docker("rm", name, check=False)
    return target


@pytest.fixture(scope="session")
def encoder(model_dir: Path) -> Encoder:
    return Encoder(model_dir)
