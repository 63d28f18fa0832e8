"""`gpu_node`: the test stack with a GPU node that has joined it, one for the whole run. The root conftest loads this.

The node is a second engine in a network namespace, brought up by gpu-node's own `make up` with a played card of 2048 MiB
and the models of tests/gpu/models.yaml. A test that breaks it mends it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gpu.engine import NODE, engine
from tests.gpu.node import GpuNode, prepared
from tests.integration.house import ROOT, run

FOLDER = ROOT / ".lares-gpu-test"
NAME = "forge"


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
        node.make("up", f"JOIN={let_join()}")
        try:
            yield node
        finally:
            run(
                "make", "-C", str(ROOT), "test-stack-gpu-node-remove", f"NAME={NAME}", timeout_s=300
            )


def let_join(name: str = NAME, address: str = NODE) -> str:
    """Have the test stack let a node join, as its owner would; return the token."""
    said = run(
        "make", "-C", str(ROOT), "test-stack-gpu-node", f"NAME={name}", f"ADDRESS={address}",
        timeout_s=300,
    )  # fmt: skip
    found = re.search(r"JOIN=(lares1\.[\w-]+)", said)
    assert found, said
    return found[1]
