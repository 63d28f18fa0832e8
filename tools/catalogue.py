"""The error catalogue: every coded error class of the house, and docs/errors.md.

`python tools/catalogue.py` adds the rows that are missing, takes out those that no code bears, and sorts.
"""

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "errors.md"
BASE = "KitError"
HEADER = """\
# Errors

Every error that the house gives has a code, what happened, what to do, and a correlation id: the trace that the
logs of every service carry. In JSON: `{"error": {"code", "reason", "fix", "correlation_id"}}`. Set-up speaks the
same way: `ERROR setup.port_taken: ...`.

`<service>.unavailable` stands for each service by its name: `memory.unavailable` and so on. The rows follow the
classes in the code, `make docs` keeps them so, and a test compares.

| code | status | what happened | what to do |
|---|---|---|---|
"""
_FAIL = re.compile(r'\bfail ([a-z]+\.[a-z_]+) +"([^"]*)" +"([^"]*)"')
_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]*) \| (.*) \| (.*) \|$")


@dataclass(frozen=True)
class Coded:
    """One coded error: its class attributes, and where it stands."""

    code: str
    status: str
    reason: str
    fix: str
    place: str

    @property
    def row(self) -> str:
        """The line of the catalogue."""
        cells = [self.reason, self.fix]
        reason, fix = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
        return f"| `{self.code}` | {self.status} | {reason} | {fix} |"


@dataclass
class _Class:
    """What one class statement says by itself."""

    name: str
    bases: list[str]
    told: dict[str, str]
    place: str


def _text(node: ast.expr) -> str | None:
    """Return a literal, also one of neighbouring strings; f-strings and names tell nothing."""
    try:
        return str(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError):
        return None


def _assignments(body: list[ast.stmt]) -> dict[str, str]:
    told: dict[str, str] = {}
    for statement in body:
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            pairs = [(statement.target, statement.value)]
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
                    pairs += list(zip(target.elts, statement.value.elts, strict=False))
                else:
                    pairs.append((target, statement.value))
        for target, value in pairs:
            if isinstance(target, ast.Name) and (text := _text(value)) is not None:
                told[target.id] = text
    return told


def _classes(root: Path) -> list[_Class]:
    found: list[_Class] = []
    for path in sorted(root.glob("services/*/src/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases]
                place = f"{path.relative_to(root)}:{node.lineno}"
                found.append(_Class(node.name, bases, _assignments(node.body), place))
    return found


def coded_errors(root: Path = ROOT) -> list[Coded]:
    """Return every class below KitError that has a code of its own, sorted by code."""
    classes = _classes(root)
    told: dict[str, dict[str, str]] = {}
    kin = {BASE}
    # A class may stand before its base in the order of files: go round until nobody new is found.
    for _ in range(len(classes)):
        new = [c for c in classes if c.name not in kin and kin & set(c.bases)]
        if not new:
            break
        kin |= {c.name for c in new}
    base_told = next((c.told for c in classes if c.name == BASE), {})
    for c in classes:
        told.setdefault(f"{c.place.split('/')[1]}/{c.name}", c.told)
    errors: dict[str, Coded] = {}
    for c in classes:
        if not kin & set(c.bases) or "code" not in c.told:
            continue
        inherited = dict(base_told)
        for base in c.bases:
            inherited |= told.get(f"{c.place.split('/')[1]}/{base}", {})
        said = inherited | c.told
        errors[c.place] = Coded(
            said["code"],
            said.get("status", "?"),
            said.get("reason", ""),
            said.get("fix", ""),
            c.place,
        )
    return sorted(errors.values(), key=lambda error: (error.code, error.place))


def script_errors(root: Path = ROOT) -> list[Coded]:
    """Return what the set-up scripts say with `fail CODE "what happened" "what to do"`, the first of each code."""
    found: dict[str, Coded] = {}
    folders = ("setup", "gpu-node/setup")
    for path in [p for folder in folders for p in sorted((root / folder).rglob("*.sh"))]:
        # What a variable or a command would put in is an ellipsis in the catalogue.
        text = path.read_text().replace("\\\n", " ")
        text = re.sub(r"\$\([^()]*\)|\$\{[^}]*\}|\$\w+|\$[*@]", "…", text)
        for code, reason, fix in _FAIL.findall(text):
            place = str(path.relative_to(root))
            found.setdefault(code, Coded(code, "exit 1", reason, fix, place))
    return [found[code] for code in sorted(found)]


def read_rows(text: str) -> dict[str, tuple[str, str, str]]:
    """Return the catalogue's rows by code: status, what happened, what to do."""
    matches = (_ROW.match(line) for line in text.splitlines())
    return {m.group(1): (m.group(2), m.group(3), m.group(4)) for m in matches if m}


def raised_elsewhere(root: Path, code: str) -> bool:
    """Whether a code that is no class's stands in a script, a template or another source of the house."""
    places = ("services", "edge", "setup", "gpu-node/setup", "images", "tools", "db")
    suffixes = {".py", ".sh", ".caddy", ".yaml", ".sql", ".ts", ".svelte", ""}
    files = (path for place in places for path in (root / place).rglob("*"))
    return any(
        code in path.read_text(errors="ignore")
        for path in files
        if path.suffix in suffixes
        and path.is_file()
        and not {"node_modules", "tests"} & set(path.parts)
    )


def render(root: Path = ROOT) -> str:
    """Return the catalogue as it should be: a row per class, and the rows of codes that other sources give."""
    rows = {error.code: error.row for error in [*script_errors(root), *coded_errors(root)]}
    written = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    for code, (status, happened, todo) in read_rows(written).items():
        if code not in rows and raised_elsewhere(root, code):
            rows[code] = f"| `{code}` | {status} | {happened} | {todo} |"
    return HEADER + "\n".join(rows[code] for code in sorted(rows)) + "\n"


if __name__ == "__main__":
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(render())
    print(f"{DOCUMENT.relative_to(ROOT)}: {len(read_rows(DOCUMENT.read_text()))} codes")
    sys.exit(0)
