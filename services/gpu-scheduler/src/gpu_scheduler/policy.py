"""The file of the policy (inference/scheduling.yaml), checked to the last key against `core.model.Policy`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Any, cast, get_type_hints

from gpu_scheduler.core.model import ClassPolicy, Policy, ServiceClass
from gpu_scheduler.core.policy import household
from gpu_scheduler.errors import PolicyInvalid

FILE_BYTES_MAX = 64 * 1024
# Shares of a whole; every other number is a size, a time, a count or a weight.
_SHARES = frozenset({"margin_unmeasured", "margin_alone", "margin_measured"})
NUMBER_MAX = 10_000_000


def read(path: Path) -> Policy:
    """Return the policy of the file. Raises PolicyInvalid, naming the entry."""
    import yaml

    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyInvalid(f"{path} cannot be read.") from error
    if len(text) > FILE_BYTES_MAX:
        raise PolicyInvalid(f"{path} is larger than {FILE_BYTES_MAX} bytes.")
    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise PolicyInvalid(f"{path} is not the YAML that is expected: {problem}.") from error
    return parse(told, path.name)


def parse(told: Any, source: str = "the policy") -> Policy:
    """Return the policy that a parsed file says; what it leaves out is the household's. Raises PolicyInvalid."""
    said = _mapping(told, source)
    if said.pop("version", None) != 1:
        raise PolicyInvalid(f"{source}: `version: 1` is expected.")
    before = household()
    classes = dict(before.classes)
    for name, wanted in _mapping(said.pop("classes", {}), f"{source}: classes").items():
        if name not in {kind.value for kind in ServiceClass}:
            raise PolicyInvalid(f"{source}: {name} is not a class of requests.")
        kind = ServiceClass(name)
        place = f"{source}: classes.{name}"
        classes[kind] = replace(
            classes[kind], **_checked(ClassPolicy, _mapping(wanted, place), place)
        )
    return replace(before, classes=classes, **_checked(Policy, said, source))


def _mapping(told: Any, place: str) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise PolicyInvalid(f"{place}: a mapping is expected.")
    return {str(key): value for key, value in cast("dict[Any, Any]", told).items()}


def _checked(cls: type[Policy | ClassPolicy], told: dict[str, Any], place: str) -> dict[str, Any]:
    hints = get_type_hints(cls)
    unknown = sorted(key for key in told if key not in hints or key == "classes")
    if unknown:
        raise PolicyInvalid(f"{place}: {unknown[0]} is not a key of it.")
    return {name: _value(value, hints[name], f"{place}: {name}") for name, value in told.items()}


def _value(value: Any, hint: Any, place: str) -> Any:
    if isinstance(hint, UnionType):
        if value is None:
            return None
        hint = next(kind for kind in hint.__args__ if kind is not type(None))
    if hint is bool:
        if not isinstance(value, bool):
            raise PolicyInvalid(f"{place} must be true or false.")
        return value
    # A bool is an int in Python and no number in YAML.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise PolicyInvalid(f"{place} must be a number.")
    if not 0 <= value <= NUMBER_MAX:
        raise PolicyInvalid(f"{place} must be from 0 to {NUMBER_MAX}.")
    if hint is int and value != int(value):
        raise PolicyInvalid(f"{place} must be a whole number.")
    if place.rsplit(" ", 1)[-1] in _SHARES and value > 1:
        raise PolicyInvalid(f"{place} is a share: at most 1.")
    return hint(value)
