"""The image of vLLM that owners of cards build: what it is made of, and that the models file names it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "gpu-node/images/vllm"
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+) --hash=sha256:([0-9a-f]{64})$")


def pins(architecture: str) -> dict[str, tuple[str, str]]:
    lines = (FOLDER / f"requirements-{architecture}.txt").read_text().splitlines()
    found = [PIN.match(line) for line in lines if not line.startswith("#")]
    assert all(found), "a line that is no pin with one hash"
    return {pin[1]: (pin[2], pin[3]) for pin in found if pin}


def test_both_architectures_are_made_of_the_same_versions_each_with_its_own_files() -> None:
    x86, arm = pins("x86_64"), pins("aarch64")
    assert {name: version for name, (version, _) in x86.items()} == {
        name: version for name, (version, _) in arm.items()
    }
    assert x86["vllm"][1] != arm["vllm"][1]
    assert x86["torch"][1] != arm["torch"][1]


def test_the_models_file_names_the_version_that_is_built() -> None:
    models = yaml.safe_load((ROOT / "gpu-node/models.yaml").read_text())["models"]
    named = {entry["image"] for entry in models.values() if entry["engine"] == "vllm"}
    assert named == {f"lares/vllm:{pins('x86_64')['vllm'][0]}"}


def test_the_bench_runs_the_same_version_on_the_processor() -> None:
    script = (ROOT / "tests/bench/vllm_cpu/venv.sh").read_text()
    assert f"VLLM={pins('x86_64')['vllm'][0]}\n" in script
