"""Style is a failing test: lint, format and types, as configured in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

import pytest
import tree

BIN = Path(sys.executable).parent


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=tree.ROOT, capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-6000:]


def test_ruff_finds_nothing() -> None:
    said = run(str(BIN / "ruff"), "check", "--output-format", "concise", ".")
    assert not said, f"`make fmt` mends most of it:\n{said}"


def test_everything_is_formatted() -> None:
    said = run(str(BIN / "ruff"), "format", "--check", ".")
    assert not said, f"run `make fmt`:\n{said}"


@pytest.mark.timeout(300)
def test_types_hold() -> None:
    said = run(str(BIN / "pyright"), "--pythonpath", sys.executable)
    assert not said, said


def test_pyright_looks_at_every_service() -> None:
    configured = tree.project(tree.ROOT)["tool"]["pyright"]["extraPaths"]
    there = [f"services/{path.parents[1].name}/src" for path in tree.packages().values()]
    missing = sorted(set(there) - set(configured))
    assert not missing, f"add to tool.pyright.extraPaths in pyproject.toml: {missing}"
