"""What the tidy tests read: the tracked files, the services and their service.yaml, compose, the networks."""

import functools
import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(os.environ.get("LARES_TREE") or Path(__file__).resolve().parent.parent)
DOMAINS = (
    "edge",
    "data",
    "memory",
    "inference",
    "voice",
    "agents",
    "ingest",
    "automation",
    "ops",
)


@functools.cache
def tracked_files() -> tuple[Path, ...]:
    """Return every file of the tree that git tracks or would track, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    return tuple(sorted(Path(name) for name in listed if name and (ROOT / name).is_file()))


def read(path: Path) -> str:
    """Return a file's text; what is not text reads as empty."""
    try:
        return (ROOT / path).read_text()
    except UnicodeDecodeError:
        return ""


def load_yaml(path: str) -> Any:
    """Return a YAML file of the tree."""
    return yaml.safe_load((ROOT / path).read_text())


def service_folders() -> list[Path]:
    """Return the folder of each service, without the kit and the contracts."""
    return sorted(
        path
        for path in (ROOT / "services").iterdir()
        if path.is_dir() and not path.name.startswith(("_", "."))
    )


def packages() -> dict[str, Path]:
    """Return each Python package under services/*/src by its import name."""
    found = sorted(ROOT.glob("services/*/src/*/__init__.py"))
    return {path.parent.name: path.parent for path in found}


def service_yaml(folder: Path) -> dict[str, Any]:
    """Return a service's service.yaml, or nothing."""
    path = folder / "service.yaml"
    return yaml.safe_load(path.read_text()) or {} if path.exists() else {}


def in_the_house(folder: Path) -> bool:
    """Whether a service's container is one of the house's own; else it runs on the GPU node."""
    return service_yaml(folder).get("placement", "house") == "house"


def project(folder: Path) -> dict[str, Any]:
    """Return a folder's pyproject.toml."""
    return tomllib.loads((folder / "pyproject.toml").read_text())


@functools.cache
def compose() -> dict[str, Any]:
    """Return `docker compose config` of the house as it would start by default.

    Only the client is needed, not the engine. A setting of this machine must not change what is judged.
    """
    env = {key: value for key, value in os.environ.items() if not key.startswith("LARES_")}
    env |= {"LARES_STATE": str(ROOT / ".lares"), "COMPOSE_PROJECT_NAME": "lares"}
    command = ["docker", "compose", "--env-file", "/dev/null", "config", "--format", "json"]
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    except FileNotFoundError:
        raise AssertionError("docker is missing: `make setup` installs it") from None
    assert done.returncode == 0, (
        f"`docker compose config` fails (`make setup` installs it):\n{done.stderr}"
    )
    return json.loads(done.stdout)


def containers() -> dict[str, dict[str, Any]]:
    """Return each container of the house by its name."""
    return compose()["services"]


def fragment_of(container: str) -> str | None:
    """Return the domain whose compose fragment holds a container."""
    for domain in DOMAINS:
        path = ROOT / "compose" / f"{domain}.yaml"
        if path.exists() and container in (
            load_yaml(f"compose/{domain}.yaml").get("services") or {}
        ):
            return domain
    return None


def seconds(duration: str) -> float:
    """Return a duration of compose (`1m30s`) in seconds."""
    total, number = 0.0, ""
    scale = {"h": 3600, "m": 60, "s": 1}
    for character in duration.replace("ms", "x"):
        if character.isdigit() or character == ".":
            number += character
        elif character == "x":
            total, number = total + float(number) / 1000, ""
        else:
            total, number = total + float(number) * scale[character], ""
    return total
