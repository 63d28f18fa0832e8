"""The model that the image holds, and recordings of real people."""

import os
from pathlib import Path

import pytest
from kit.testing.whisper import whisper_base

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
# Not in the repository: other people's recordings. Where they are not, the tests that need them say so.
CLIPS = Path(os.environ.get("LARES_BENCH_DATA", ROOT.parent / "shared" / "data")) / "voice"


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """Whisper base."""
    return whisper_base(ROOT)


def clip(name: str) -> Path:
    """Return a recording of the data folder; the test is skipped where there is none."""
    path = CLIPS / "wav" / name
    if not path.exists():
        pytest.skip(f"no recordings at {CLIPS}")
    return path
