"""An image holds what was locked and nothing else; a package that is missing must stop the build, not the service."""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]
LOCK = """\
# made by uv
anyio==4.0 \\
    --hash=sha256:aa
    # via
    #   httpx
    #   starlette
httpx==0.28 \\
    --hash=sha256:bb
    # via lares-kit
numpy==2.4 ; python_full_version < '3.12' \\
    --hash=sha256:cc
    # via lares-embedder (services/embedder/pyproject.toml)
numpy==2.5 ; python_full_version >= '3.12' \\
    --hash=sha256:dd
    # via lares-embedder (services/embedder/pyproject.toml)
ruff==0.17 \\
    --hash=sha256:ee
    # via -r requirements.in
starlette==1.0 \\
    --hash=sha256:ff
    # via
    #   fastapi
    #   lares-kit
"""


@pytest.fixture(scope="module")
def closure() -> ModuleType:
    spec = importlib.util.spec_from_file_location("closure", ROOT / "services" / "closure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["closure"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    def project(name: str, text: str) -> None:
        folder = tmp_path / "services" / name
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(text)

    project(
        "_kit",
        '[project]\ndependencies = []\n[project.optional-dependencies]\nclient = ["httpx>=0.27"]\n',
    )
    project("memory", '[project]\ndependencies = ["lares-kit[client]"]\n')
    project("embedder", '[project]\ndependencies = ["lares-kit", "NumPy >=2"]\n')
    project("odd", '[project]\ndependencies = ["lares-kit[nothing]"]\n')
    project("unlocked", '[project]\ndependencies = ["left-pad"]\n')
    (tmp_path / "requirements.lock").write_text(LOCK)
    return tmp_path


def run(
    closure: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str], *wanted: str
) -> list[str]:
    closure.main([str(tree / "requirements.lock"), *wanted])
    return capsys.readouterr().out.splitlines()


def pins(lines: list[str]) -> list[str]:
    return [line.split(" ")[0] for line in lines if "==" in line]


def test_a_service_gets_what_it_needs_through_the_kits_extras(
    closure: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = run(closure, tree, capsys, str(tree / "services/memory/pyproject.toml"))
    assert pins(lines) == ["anyio==4.0", "httpx==0.28"]
    assert lines[1] == "    --hash=sha256:aa"


def test_every_fork_of_a_package_is_kept_with_its_marker(
    closure: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = run(closure, tree, capsys, str(tree / "services/embedder/pyproject.toml"))
    assert pins(lines) == ["numpy==2.4", "numpy==2.5"]
    assert "python_full_version < '3.12'" in lines[0]


def test_what_a_shared_layer_holds_is_left_out(
    closure: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = tree / "kit.txt"
    shared.write_text("anyio==4.0 \\\n    --hash=sha256:aa\n")
    wanted = str(tree / "services/memory/pyproject.toml")
    assert pins(run(closure, tree, capsys, wanted, "--without", str(shared))) == ["httpx==0.28"]


def test_packages_can_be_asked_for_by_name(
    closure: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pins(run(closure, tree, capsys, "Ruff")) == ["ruff==0.17"]


@pytest.mark.parametrize(
    ("service", "code"),
    [("unlocked", "closure.not_locked: left-pad"), ("odd", "closure.extra_unknown")],
)
def test_what_cannot_be_resolved_stops_with_its_code(
    closure: ModuleType, tree: Path, service: str, code: str
) -> None:
    with pytest.raises(SystemExit, match=code):
        closure.main(
            [str(tree / "requirements.lock"), str(tree / f"services/{service}/pyproject.toml")]
        )


def test_a_lock_that_cannot_be_read_stops(closure: ModuleType) -> None:
    with pytest.raises(SystemExit, match="closure.lock_unreadable"):
        closure.parse_lock("-e ./services/memory\n")


def test_every_service_of_the_house_is_in_the_lock(closure: ModuleType) -> None:
    locked = closure.parse_lock((ROOT / "requirements.lock").read_text())
    for pyproject in sorted(ROOT.glob("services/*/pyproject.toml")):
        closure.closure(closure.requirements(pyproject, set()), locked)


def test_every_closure_holds_what_its_packages_ask_for(closure: ModuleType) -> None:
    """The lock's notes against the packages' own metadata: a dependency that is missing would fail at run time."""
    locked = closure.parse_lock((ROOT / "requirements.lock").read_text())
    for pyproject in sorted(ROOT.glob("services/*/pyproject.toml")):
        roots = closure.requirements(pyproject, set())
        held = {entry.name for entry in closure.closure(roots, locked)}
        missing = {f"{name} needs {need}" for name in held for need in needs(closure, name) - held}
        assert not missing, f"{pyproject.parent.name}: {sorted(missing)}"


def needs(closure: ModuleType, name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """What an installed package requires here, and what the extras that it asks for require."""
    try:
        requires = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return set()  # locked for another platform or Python
    found: set[str] = set()
    for need in map(Requirement, requires):
        asked = need.marker is None or any(
            need.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        if asked:
            found.add(closure.canonical(need.name))
        if asked and need.extras:
            found |= needs(closure, need.name, frozenset(need.extras))
    return found
