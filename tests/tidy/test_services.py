"""Every service has the same shape, knows nobody but the kit and the contracts, and says what it is."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import tree

FIELDS = {"name", "domain", "uid", "port", "streams", "database_role", "memory_budget_mib"}
OPTIONAL_FIELDS = {"workers", "placement"}
SERVICES = tree.service_folders()
SHARED = {"kit", "contracts"}


def imports(path: Path, everywhere: bool) -> set[str]:
    """Return the modules a file imports; only those at its top, or also those inside functions."""
    module = ast.parse(path.read_text(), str(path))
    nodes: list[ast.stmt] = []

    def visit(statements: list[ast.stmt]) -> None:
        for statement in statements:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                nodes.append(statement)
            elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
                visit(statement.orelse)
            elif isinstance(statement, ast.If | ast.Try):
                visit(statement.body)

    visit(module.body)
    if everywhere:
        nodes = [n for n in ast.walk(module) if isinstance(n, ast.Import | ast.ImportFrom)]
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(next(p for p in path.parents if p.name == "src")).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("folder", SERVICES, ids=lambda folder: folder.name)
def test_a_service_has_its_parts(folder: Path) -> None:
    package = folder.name.replace("-", "_")
    wanted = ["README.md", "service.yaml", "pyproject.toml", f"src/{package}/__init__.py"]
    wanted += [f"src/{package}/__main__.py", "tests"]
    missing = [part for part in wanted if not (folder / part).exists()]
    assert not missing, f"services/{folder.name} lacks {missing}"
    assert list((folder / "tests").rglob("test_*.py")), f"services/{folder.name} has no test"


@pytest.mark.parametrize("folder", SERVICES, ids=lambda folder: folder.name)
def test_a_readme_says_what_is_promised_and_how_it_fails(folder: Path) -> None:
    text = (folder / "README.md").read_text() if (folder / "README.md").exists() else ""
    assert text.startswith("# "), f"services/{folder.name}/README.md begins with a title"
    assert len(text.split()) >= 60, f"services/{folder.name}/README.md says next to nothing"
    assert re.search(r"fail", text, re.IGNORECASE), (
        f"services/{folder.name}/README.md does not say how it fails"
    )


@pytest.mark.parametrize("folder", SERVICES, ids=lambda folder: folder.name)
def test_a_service_yaml_has_every_field_and_no_other(folder: Path) -> None:
    told = tree.service_yaml(folder)
    assert not FIELDS - told.keys(), f"service.yaml lacks {sorted(FIELDS - told.keys())}"
    unknown = told.keys() - FIELDS - OPTIONAL_FIELDS
    assert not unknown, f"service.yaml has {sorted(unknown)}, which nothing reads"
    assert told["name"] == folder.name
    assert told["domain"] in tree.DOMAINS
    assert set(told["streams"]) == {"reads", "writes"}
    assert told.get("placement", "house") in ("house", "gpu-node")


@pytest.mark.parametrize("folder", SERVICES, ids=lambda folder: folder.name)
def test_a_pyproject_names_the_service_and_only_what_is_locked(folder: Path) -> None:
    project = tree.project(folder)["project"]
    assert project["name"] == f"lares-{folder.name}"
    assert project["requires-python"] == ">=3.11"
    assert project.get("description"), "one sentence on what it is for"


def test_services_never_import_one_another() -> None:
    packages = tree.packages()
    wrong: list[str] = []
    for name, folder in packages.items():
        allowed = {name} | (SHARED if name not in SHARED else set())
        if name == "kit":
            allowed |= {"contracts"}
        strangers = packages.keys() - allowed
        for path in folder.rglob("*.py"):
            if "testing" in path.parts and name == "kit":
                continue  # its fixtures migrate a real database, with the house's own migrations
            used = {module.split(".")[0] for module in imports(path, everywhere=True)}
            wrong += [f"{path.relative_to(tree.ROOT)} imports {bad}" for bad in used & strangers]
    assert not wrong, "services talk over contracts, and share only the kit:\n" + "\n".join(wrong)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    files = {module_name(p): p for f in tree.packages().values() for p in f.rglob("*.py")}
    for name, path in files.items():
        graph[name] = {m for m in imports(path, everywhere=False) if m in files and m != name}
        # A package's __init__ is loaded before its modules: importing a sibling is no circle through it.
        graph[name] = {m for m in graph[name] if not name.startswith(f"{m}.")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " -> ".join(error.args[1]))


def test_every_statement_lives_in_a_named_query_file() -> None:
    literal = re.compile(r'"""\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b')
    wrong = [
        str(path.relative_to(tree.ROOT))
        for name, folder in tree.packages().items()
        # The runner and Django write their own SQL; the kit's is part of its promise.
        if name not in ("kit", "migrate", "identity")
        for path in folder.rglob("*.py")
        if literal.search(path.read_text())
    ]
    assert not wrong, f"move these statements to queries.sql: {wrong}"


def numbers() -> dict[str, Any]:
    return {folder.name: tree.service_yaml(folder).get("uid") for folder in SERVICES}


def test_every_service_has_a_user_of_its_own() -> None:
    uids = [uid for uid in numbers().values() if uid is not None]
    assert len(uids) == len(set(uids)), f"two services share a uid: {numbers()}"
