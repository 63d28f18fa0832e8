"""A new service passes at once, so that its author begins with green and keeps it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tree

BIN = Path(sys.executable).parent


def run(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("LARES_")}
    return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)


def scaffold(copy: Path, name: str, domain: str) -> subprocess.CompletedProcess[str]:
    script = str(copy / "tools" / "scaffold" / "scaffold.py")
    return run(copy, sys.executable, script, "--name", name, "--domain", domain)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in tree.tracked_files():
        if path.parts[:3] != ("services", "dashboard", "web"):
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree.ROOT / path, target)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "domain"), [("note-tagger", "memory"), ("wake-word", "voice")])
def test_a_scaffolded_service_passes_tidy_and_unit_at_once(
    copy: Path, name: str, domain: str
) -> None:
    done = scaffold(copy, name, domain)
    assert done.returncode == 0, done.stderr
    # What it adds is judged: the rest of the tree is judged where it stands.
    checks = [
        [sys.executable, "-m", "pytest", "-q", f"services/{name}"],
        [sys.executable, "-m", "pytest", "-q", "tests/tidy", "-k", f"{name} or import or user"],
        [sys.executable, "-m", "pytest", "-q", "tests/tidy/test_networks.py"],
        [sys.executable, "-m", "pytest", "-q", "tests/contract/test_settings_reference.py"],
        [str(BIN / "ruff"), "check", f"services/{name}", "tools"],
        [str(BIN / "ruff"), "format", "--check", f"services/{name}"],
        [str(BIN / "pyright"), "--pythonpath", sys.executable, f"services/{name}/src"],
    ]
    for command in checks:
        checked = run(copy, *command)
        assert checked.returncode == 0, (
            f"{command}\n{checked.stdout[-4000:]}{checked.stderr[-2000:]}"
        )
    said = run(copy, sys.executable, "services/closure.py", "requirements.lock",
               f"services/{name}/pyproject.toml")  # fmt: skip
    assert "fastapi==" in said.stdout, said.stderr


@pytest.mark.parametrize(
    ("name", "domain", "code"),
    [
        ("memory", "memory", "scaffold.exists"),
        ("Tagger", "memory", "scaffold.name_invalid"),
        ("../evil", "memory", "scaffold.name_invalid"),
        ("tag_ger", "memory", "scaffold.name_invalid"),
        ("json", "memory", "scaffold.name_taken"),
        ("tagger", "kitchen", "scaffold.domain_unknown"),
        ("", "memory", "scaffold.usage"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(
    copy: Path, name: str, domain: str, code: str
) -> None:
    before = sorted(copy.rglob("*"))
    done = scaffold(copy, name, domain)
    assert done.returncode != 0
    assert code in done.stderr
    assert sorted(copy.rglob("*")) == before


def test_two_services_of_a_domain_get_different_numbers(copy: Path) -> None:
    said = [scaffold(copy, name, "ingest").stdout for name in ("inbox", "importer")]
    assert "user 10080, network 70" in said[0]
    assert "user 10081, network 71" in said[1]
