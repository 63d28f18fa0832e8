"""Writes requirements-ARCHITECTURE.txt: every wheel that vLLM takes on Debian's Python, each by the hash of that one file.

`python gpu-node/images/vllm/lock.py 0.32.0`, with uv on the path and a pip of 2025 or newer (older ones look at their own
Python's version). Nothing is downloaded but descriptions; what has no wheel for the architecture is an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PYTHON = "3.13"  # Debian trixie's
GLIBC_MAX = 41  # likewise: 2.41
ARCHITECTURES = ("x86_64", "aarch64")
# What this machine adds to the public index must not leak into the lock.
_LOCAL = ("UV_EXTRA_INDEX_URL", "UV_INDEX", "UV_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")  # fmt: skip
HEADER = "# vLLM {version}, Python {python}, {architecture}: written by lock.py\n"


def locked(version: str, architecture: str) -> str:
    """Return the lock of one architecture. Raises CalledProcessError where something has no wheel."""
    env = {key: value for key, value in os.environ.items() if key not in _LOCAL}
    with tempfile.TemporaryDirectory() as folder:
        pins, report = Path(folder, "pins.txt"), Path(folder, "report.json")
        subprocess.run(
            ["uv", "pip", "compile", "-q", "--python-platform", f"{architecture}-manylinux_2_40",
             "--python-version", PYTHON, "--no-header", "--no-annotate", "--only-binary", ":all:",
             "--no-emit-index-url", "--no-emit-find-links", "-o", str(pins), "-"],
            input=f"vllm=={version}\n", text=True, check=True, env=env,
        )  # fmt: skip
        platforms = [f"manylinux_2_{minor}_{architecture}" for minor in range(17, GLIBC_MAX + 1)]
        platforms += [f"manylinux2014_{architecture}", f"manylinux1_{architecture}"]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--isolated", "--dry-run", "--no-deps", "--ignore-installed",
             "--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp", "--target", folder,
             "--report", str(report), *(word for one in platforms for word in ("--platform", one)), "-r", str(pins)],
            check=True, env=env,
        )  # fmt: skip
        found = json.loads(report.read_text())["install"]
    return HEADER.format(version=version, python=PYTHON, architecture=architecture) + "".join(
        sorted(line(one) for one in found)
    )


def line(found: dict[str, Any]) -> str:
    """Return one wheel's line."""
    name, version = found["metadata"]["name"], found["metadata"]["version"]
    digest = found["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{name.lower()}=={version} --hash=sha256:{digest}\n"


if __name__ == "__main__":
    for name in ARCHITECTURES:
        (HERE / f"requirements-{name}.txt").write_text(locked(sys.argv[1], name))
