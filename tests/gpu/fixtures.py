"""`gpu_node`: the test stack with a GPU node that has joined it, one for the whole run. The root conftest loads this.

The node is a second engine in a network namespace, brought up by gpu-node's own `make up` with a played card of 6144 MiB
and the models of tests/gpu/models.yaml, which the stack's gateway knows by the same names (house-models.yaml). A test
that breaks the node mends it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gpu.engine import NODE, engine
from tests.gpu.node import GpuNode, prepared
from tests.integration.house import ROOT, run

FOLDER = ROOT / ".lares-gpu-test"
NAME = "forge"
PLAIN = ROOT / "inference/models.yaml"


@pytest.fixture(scope="session")
def node_images() -> str:
    """The version of the images that a node needs, built from this checkout."""
    version = os.environ.get("LARES_VERSION", "test")
    for service, target in (("node-agent", "service"), ("local-llm", "model")):
        run(
            "docker", "build", "-q", "-f", str(ROOT / "services/Dockerfile"), "--target", target,
            "--build-arg", f"SERVICE={service}", "-t", f"lares/{service}:{version}", str(ROOT),
            timeout_s=900,
        )  # fmt: skip
    return version


@pytest.fixture(scope="session")
def gpu_node(stack: Any, node_images: str) -> Iterator[GpuNode]:
    """The node `forge` of the test stack, up and joined."""
    # The stack publishes its ports on the loopback alone: over the cable they lead to its edge.
    edge = f"{stack.net}.0.2"
    doors = {stack.https_port: (edge, 8443), stack.http_port: (edge, 8080)}
    with engine(FOLDER, doors) as machine:
        node = prepared(machine, NAME, node_images)
        try:
            node.make("up", f"JOIN={let_join(stack.state)}")
            yield node
        finally:
            let_go(stack.state)


def let_join(state: Path, name: str = NAME, address: str = NODE) -> str:
    """Have the house of this state folder let a node join and know its models, as its owner would; return the token."""
    said = _owner(state, _models(state), "add", name, address)
    found = re.search(r"JOIN=(lares1\.[\w-]+)", said)
    assert found, said
    return found[1]


def let_go(state: Path, name: str = NAME) -> None:
    """Have that house remove a node, and forget its models."""
    _owner(state, PLAIN, "remove", name)


def _models(state: Path) -> Path:
    """Return the stack's models file: the house's own models, and those of the node."""
    book = yaml.safe_load(PLAIN.read_text())
    book["models"] |= yaml.safe_load(Path(__file__).with_name("house-models.yaml").read_text())[
        "models"
    ]
    file = state / "models-with-gpu.yaml"
    file.write_text(yaml.safe_dump(book, sort_keys=False))
    file.chmod(0o644)
    return file


def _owner(state: Path, models: Path, *words: str) -> str:
    """Run what `make gpu-node` and `make gpu-node-remove` run. All else about the house is recorded in its state."""
    env = {"PATH": os.environ["PATH"], "LARES_STATE": str(state), "LARES_MODELS_YAML": str(models)}
    command = [str(ROOT / "setup/gpu-node.sh"), *words]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout
