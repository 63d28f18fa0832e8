"""A GPU node that was brought up by its own `make up` on the second machine, and what a test may do to it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gpu.engine import Engine
from tests.integration.house import ROOT, run

MODELS = Path(__file__).with_name("models.yaml")
AGENT = "lares-node-agent"
UP_SECONDS_MAX = 240
CARD_MIB = 6144
IMAGES = ("node-agent", "local-llm")


@dataclass
class GpuNode:
    """The node `name`, joined to a house."""

    engine: Engine
    name: str
    version: str

    @property
    def state(self) -> Path:
        """Its own folder: settings, certificate, logs."""
        return self.engine.folder / "node"

    def make(self, *words: str, timeout_s: float = UP_SECONDS_MAX) -> str:
        """Run a verb of gpu-node's Makefile there, as root on that machine would; return what it prints."""
        settings = {
            "LARES_NODE_STATE": str(self.state),
            "LARES_NODE_WEIGHTS": str(self.engine.folder / "weights"),
            "LARES_NODE_CATALOGUE": str(self.engine.folder / "catalogue"),
            "LARES_NODE_SIMULATED_CARDS": f"sim-0:{CARD_MIB}",
            "LARES_NODE_CARDS": "simulated",
            "LARES_NODE_BUILD": "no",
            "LARES_VERSION": self.version,
        }
        told = [f"{key}={value}" for key, value in settings.items()]
        folder = str(ROOT / "gpu-node")
        try:
            return self.engine.run("env", *told, "make", "-C", folder, *words, timeout_s=timeout_s)
        except AssertionError as error:
            error.add_note(self.logs()[-4000:])
            raise

    def docker(self, *arguments: str) -> str:
        """Run the engine's client there."""
        return self.engine.docker(*arguments)

    def exec(self, *command: str) -> str:
        """Run a command in node-agent's container."""
        return self.docker("exec", AGENT, *command)

    def logs(self) -> str:
        """Return what node-agent has written."""
        done = subprocess.run(
            self.engine.there("docker", "logs", AGENT), capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def models(self) -> dict[str, str]:
        """Return the running model containers: the engine's id by the instance's."""
        listed = self.docker(
            "ps", "--filter", "label=house.lares.instance", "--format", '{{.Label "house.lares.instance"}} {{.ID}}'
        )  # fmt: skip
        return dict(line.split() for line in listed.splitlines())

    def ended(self) -> str:
        """Return what the engine and the models' own logs say of containers that have ended."""
        ids = self.docker("ps", "-aq", "--filter", "label=house.lares.instance").split()
        said = [self.docker("inspect", "-f", "{{.Name}} {{json .State}}", one) for one in ids]
        logs = [
            subprocess.run(
                self.engine.there("docker", "logs", "--tail", "20", one), capture_output=True, text=True, check=False
            )
            for one in ids
        ]  # fmt: skip
        return "\n".join([*said, *(done.stdout + done.stderr for done in logs)])

    def pid(self, container: str) -> int:
        """Return the process of a container."""
        return int(self.docker("inspect", "-f", "{{.State.Pid}}", container))

    def kill(self, container: str = AGENT) -> None:
        """SIGKILL node-agent, or a model's container, as a crash would: the engine starts node-agent again by itself."""
        os.kill(self.pid(container), signal.SIGKILL)

    def cut_link(self, seconds: float) -> None:
        """Pull the cable for so long, and put it back."""
        with self.engine.unplugged():
            time.sleep(seconds)

    def unplugged(self) -> contextlib.AbstractContextManager[None]:
        """The cable is out while the block runs."""
        return self.engine.unplugged()

    def pull_the_plug(self) -> None:
        """The machine goes off at once: every container is gone. `make up` brings it back."""
        ids = self.docker("ps", "-q").split()
        self.docker("kill", *ids)


def prepared(engine: Engine, name: str, version: str, catalogue: Path = MODELS) -> GpuNode:
    """Return a machine with all that `make up` needs: the images, the folders, a catalogue. Not joined yet."""
    node = GpuNode(engine, name, version)
    for folder in ("weights", "catalogue"):
        (engine.folder / folder).mkdir()
    shutil.copy(catalogue, engine.folder / "catalogue/models.yaml")
    engine.load(*(f"lares/{image}:{version}" for image in IMAGES))
    return node


def inspect(node: GpuNode, container: str) -> dict[str, Any]:
    """Return what the engine there says of a container."""
    return json.loads(node.docker("inspect", container))[0]


def images_there(version: str) -> bool:
    """Whether this machine's engine has what the node needs."""
    return all(run("docker", "image", "ls", "-q", f"lares/{i}:{version}").strip() for i in IMAGES)
