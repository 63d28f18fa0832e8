"""Makes a container image of vLLM's build for the processor out of a virtual environment of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
IMAGE = "lares/vllm-cpu:bench"
TRUSTED = Path("/usr/local/share/ca-certificates")
_LABEL = "house.lares.bench.vllm"
_LEFT_OUT = ("__pycache__", "test", "site-packages", "idlelib", "tkinter")
_ASK = (
    "import json,sys,sysconfig;from importlib.metadata import version;"
    "print(json.dumps([sys.base_prefix,sysconfig.get_path('purelib'),version('vllm'),version('torch')]))"
)


def built(python: str) -> str:
    """Return the image's name; it is built unless it is there, of the same versions. Some minutes and 2.6 GB."""
    told = subprocess.run([python, "-c", _ASK], check=True, capture_output=True, text=True).stdout
    prefix, packages, vllm, torch = json.loads(told)
    mark = f"vllm {vllm}, torch {torch}"
    asked = ["docker", "inspect", "-f", f'{{{{index .Config.Labels "{_LABEL}"}}}}', IMAGE]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found.returncode == 0 and found.stdout.strip() == mark:
        return IMAGE
    build = subprocess.Popen(
        ["docker", "build", "-q", "-t", IMAGE, "--label", f"{_LABEL}={mark}", "-"],
        stdin=subprocess.PIPE,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
    )
    assert build.stdin is not None
    with build.stdin as pipe:
        _context(pipe, Path(prefix), Path(packages))
    if build.wait():
        raise RuntimeError(f"The image {IMAGE} could not be built.")
    return IMAGE


def _context(pipe: IO[bytes], prefix: Path, packages: Path) -> None:
    with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.GNU_FORMAT) as context:
        context.add(HERE / "Dockerfile", "Dockerfile")
        _folder(context, "host-ca")
        for certificate in sorted(TRUSTED.glob("*.crt")):
            context.add(certificate.resolve(), f"host-ca/{certificate.name}")
        for part in ("bin", "include", "lib"):
            context.add(prefix / part, f"python/{part}", filter=_wanted)
        context.add(packages, "packages", filter=_compiled_out)


def _folder(context: tarfile.TarFile, name: str) -> None:
    made = tarfile.TarInfo(name)
    made.type, made.mode = tarfile.DIRTYPE, 0o755
    context.addfile(made)


def _wanted(part: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if Path(part.name).name in _LEFT_OUT or part.name.endswith(".a") else part


def _compiled_out(part: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if part.name.endswith("__pycache__") else part
