"""The contracts as they were agreed. A change here is a change at a border: both sides must be ready for it."""

import json

import golden_schemas
import pytest


@pytest.mark.parametrize("name", golden_schemas.modules())
def test_a_contract_is_as_it_was_agreed(name: str) -> None:
    path = golden_schemas.GOLDEN / f"{name}.json"
    assert path.exists(), f"{path.name} is missing: run `make docs` and review it"
    agreed, now = json.loads(path.read_text()), golden_schemas.schema(name)
    changed = sorted(key for key in agreed.keys() | now.keys() if agreed.get(key) != now.get(key))
    assert not changed, f"contracts.{name} changed in {changed}: if that is meant, run `make docs`"


def test_there_is_no_golden_schema_of_a_contract_that_is_gone() -> None:
    kept = {path.stem for path in golden_schemas.GOLDEN.glob("*.json")}
    assert kept <= set(golden_schemas.modules())


@pytest.mark.parametrize("name", golden_schemas.modules())
def test_every_model_is_frozen_and_says_what_it_is(name: str) -> None:
    loose = [
        key
        for key, model in golden_schemas.models(name).items()
        if not model.model_config.get("frozen") or not (model.__doc__ or "").strip()
    ]
    assert not loose, f"contracts.{name}: not frozen or without a docstring: {loose}"
