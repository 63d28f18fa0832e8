"""The file of the policy: what it leaves out is the household's, what is wrong in it stops the start and is named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from gpu_scheduler.core.model import ClassPolicy, Policy, ServiceClass
from gpu_scheduler.core.policy import household
from gpu_scheduler.errors import PolicyInvalid
from gpu_scheduler.policy import parse, read

SHIPPED = Path(__file__).resolve().parents[3] / "inference" / "scheduling.yaml"


def test_the_shipped_file_can_be_used_and_names_every_class() -> None:
    policy = read(SHIPPED)
    assert set(policy.classes) == set(ServiceClass)
    said = yaml.safe_load(SHIPPED.read_text())
    for name, kind in said["classes"].items():
        for key, value in kind.items():
            assert getattr(policy.classes[ServiceClass(name)], key) == value
    for key in said.keys() - {"version", "classes"}:
        assert getattr(policy, key) == said[key]


def test_what_the_file_leaves_out_is_the_households() -> None:
    assert parse({"version": 1}) == household()
    changed = parse({"version": 1, "classes": {"voice": {"slo_s": 2}}, "queue_max": 7})
    assert changed.classes[ServiceClass.VOICE].slo_s == 2.0
    assert changed.classes[ServiceClass.BATCH] == household().classes[ServiceClass.BATCH]
    assert changed.queue_max == 7


def test_every_number_of_the_policy_can_be_set() -> None:
    for field in fields(Policy):
        if field.name != "classes":
            assert getattr(parse({"version": 1, field.name: 1}), field.name) == 1
    for field in fields(ClassPolicy):
        value = True if field.name == "preemptible" else 1
        policy = parse({"version": 1, "classes": {"agent": {field.name: value}}})
        assert getattr(policy.classes[ServiceClass.AGENT], field.name) == value


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (None, "a mapping"),
        ([], "a mapping"),
        ({}, "version"),
        ({"version": 2}, "version"),
        ({"version": 1, "quue_max": 1}, "quue_max"),
        ({"version": 1, "queue_max": "many"}, "queue_max"),
        ({"version": 1, "queue_max": True}, "queue_max"),
        ({"version": 1, "queue_max": 1.5}, "queue_max"),
        ({"version": 1, "queue_max": -1}, "queue_max"),
        ({"version": 1, "reserve_mib": 1e300}, "reserve_mib"),
        ({"version": 1, "switch_cost": float("nan")}, "switch_cost"),
        ({"version": 1, "margin_measured": 3}, "margin_measured"),
        ({"version": 1, "classes": []}, "classes"),
        ({"version": 1, "classes": {"king": {}}}, "king"),
        ({"version": 1, "classes": {"voice": 5}}, "classes.voice"),
        ({"version": 1, "classes": {"voice": {"slo": 5}}}, "slo"),
        ({"version": 1, "classes": {"voice": {"preemptible": "yes"}}}, "preemptible"),
        ({"version": 1, "queue_max": None}, "queue_max"),
    ],
)
def test_what_is_wrong_is_named(told: Any, named: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        parse(told)
    assert named in refused.value.reason


@pytest.mark.parametrize(
    "text", ["a: [", "!!python/object/apply:os.system ['true']", "\x00", "x" * 70_000]
)
def test_a_file_that_is_no_plain_yaml_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scheduling.yaml"
    file.write_text(text)
    with pytest.raises(PolicyInvalid):
        read(file)
    with pytest.raises(PolicyInvalid):
        read(tmp_path / "absent.yaml")
