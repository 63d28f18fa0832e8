"""docs/gpu-models.md, written from the catalogue's classes: every field of gpu-node/models.yaml, its type, its default."""

import sys
import types
import typing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(path) for path in sorted(ROOT.glob("services/*/src"))]

from node_agent.catalogue import Catalogue, Model, Part, Sleep, Weights  # noqa: E402
from pydantic.fields import FieldInfo  # noqa: E402
from pydantic_core import PydanticUndefined  # noqa: E402

DOCUMENT = ROOT / "docs" / "gpu-models.md"
HEADER = """\
# gpu-node/models.yaml

Written by `make docs` from the code; a test compares. The file says which models a GPU node can start. An unknown key, a key
that stands twice and a value out of bounds are refused; then the file before stays in force and the node's state says
why. `${LARES_VERSION}` is filled in, no other variable. Sizes are MiB, times seconds, paths are below the folder of
weights. gpu-node/README.md shows how a model for vLLM is added, with the sum of its memory.
"""
SECTIONS: tuple[tuple[str, type[Part], str], ...] = (
    ("The file", Catalogue, "The whole file."),
    ("models.NAME", Model, "One model. Each of its instances is a container."),
    ("models.NAME.files", Weights, "Only what is named here is mounted into its container."),
    (
        "models.NAME.sleep",
        Sleep,
        "Asleep it leaves the card to others and comes back in a second or so.",
    ),
)


def _type(hint: Any) -> str:
    """Return a type as an owner reads it."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _type(args[0])
    if origin is typing.Literal:
        return " or ".join(f"`{word}`" for word in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(arg) for arg in args)
    if origin is tuple:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return "mapping"
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(hint, "a part, see below")


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, Part) or field.default in ((), {}):
        return ""
    told = {None: "null", True: "true", False: "false"}
    if field.default is None or isinstance(field.default, bool):
        return f"`{told[field.default]}`"
    return f"`{field.default}`"


def rows(part: type[Part]) -> list[str]:
    """Return one line for each field."""
    hints = typing.get_type_hints(part, include_extras=True)
    return [
        f"| `{name}` | {_type(hints[name])} | {_default(field)} | {field.description or ''} |"
        for name, field in part.model_fields.items()
    ]


def render() -> str:
    """Return the whole document."""
    parts = [HEADER]
    for title, part, about in SECTIONS:
        head = f"## {title}\n\n{about}\n\n| field | type | default | what it says |\n|---|---|---|---|\n"
        parts.append(head + "\n".join(rows(part)) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    DOCUMENT.write_text(render())
    print(f"{DOCUMENT.relative_to(ROOT)} written")
