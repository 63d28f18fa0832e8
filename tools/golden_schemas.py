"""The golden schemas: each contract's models as JSON schema, kept so that a change at a border is seen in review."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(path) for path in sorted(ROOT.glob("services/*/src"))]

from pydantic import BaseModel  # noqa: E402

GOLDEN = ROOT / "tests" / "contract" / "golden"
CONTRACTS = ROOT / "services" / "_contracts" / "src" / "contracts"


def modules() -> list[str]:
    """Return the contract modules that define models."""
    names = sorted(path.stem for path in CONTRACTS.glob("*.py"))
    return [name for name in names if name not in ("__init__", "base")]


def models(name: str) -> dict[str, type[BaseModel]]:
    """Return the models that a contract module defines itself, by name."""
    module = importlib.import_module(f"contracts.{name}")
    return {
        key: value
        for key, value in sorted(vars(module).items())
        if isinstance(value, type)
        and issubclass(value, BaseModel)
        and value.__module__ == module.__name__
        and not key.startswith("_")
    }


def schema(name: str) -> dict[str, Any]:
    """Return the JSON schema of every model of a contract module."""
    return {key: model.model_json_schema() for key, model in models(name).items()}


def render(name: str) -> str:
    """Return the golden file's text."""
    return json.dumps(schema(name), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for stale in GOLDEN.glob("*.json"):
        stale.unlink()
    for module_name in modules():
        (GOLDEN / f"{module_name}.json").write_text(render(module_name))
    print(f"{GOLDEN.relative_to(ROOT)}: {len(modules())} contracts")
