"""Every alert is about a number that there is, and has a section that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from gpu_scheduler.numbers import Numbers
from kit.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "docs/alerts/inference.yaml").read_text())[
    "groups"
][0]["rules"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_reads_numbers_that_there_are_by_labels_that_they_have(
    rule: dict[str, Any],
) -> None:
    metrics = Metrics("gpu-scheduler", "inference")
    Numbers(metrics)
    known: dict[str, Any] = dict(metrics.registry._names_to_collectors)
    named = set(re.findall(r"\blares_[a-z_]+", rule["expr"]))
    assert named
    assert named <= set(known), named - set(known)
    labels = set(re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"]))
    for name in named:
        there = set(known[name]._labelnames)
        if len(named) == 1:
            assert labels <= there, f"{rule['alert']}: {labels - there}"


def test_every_alert_has_its_section_in_the_runbook_and_no_section_is_of_an_alert_that_is_gone() -> (
    None
):
    text = (ROOT / "docs/runbooks/gpu-scheduler.md").read_text()
    sections = re.findall(r"^## (Gpu\w+)$", text, re.MULTILINE)
    assert sections == [rule["alert"] for rule in RULES]
