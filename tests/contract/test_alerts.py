"""Every alert of every file is about numbers that a service really shows, and leads to a section that says what to do."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "docs/alerts").glob("*.yaml"))
# Which service shows the numbers of a file, and where its sections are.
OF = {
    "gateway.yaml": ("model-gateway", "inference", "docs/runbooks/models.md"),
    "inference.yaml": ("gpu-scheduler", "inference", "docs/runbooks/gpu-scheduler.md"),
}
SEVERITIES = {"info", "warning", "critical"}
MUST = {"GpuCardOverBudget", "GpuNodeGone", "GpuModelCrashLoop", "GpuQueueOld"}


def rules_of(file: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load(file.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


RULES = [(file, rule) for file in FILES for rule in rules_of(file)]


def shown(file: Path) -> dict[str, set[str]]:
    """The numbers of the service that a file is about, each with its labels."""
    service, domain, _ = OF[file.name]
    metrics = Metrics(service, domain)
    import_module(f"{service.replace('-', '_')}.numbers").Numbers(metrics)
    known: dict[str, Any] = dict(metrics.registry._names_to_collectors)
    return {name: {*one._labelnames, "le"} for name, one in known.items()}


@pytest.mark.parametrize(("file", "rule"), RULES, ids=lambda one: getattr(one, "name", None))
def test_an_alert_reads_numbers_that_there_are_by_labels_that_they_have(
    file: Path, rule: dict[str, Any]
) -> None:
    numbers = shown(file)
    named = set(re.findall(r"\blares_[a-z_]+", rule["expr"]))
    assert named
    assert named <= set(numbers), named - set(numbers)
    for name, selector in re.findall(r"\b(lares_[a-z_]+)\{([^}]*)\}", rule["expr"]):
        labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector))
        assert labels <= numbers[name], f"{rule['alert']}: {labels - numbers[name]}"
    told = set(re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"]))
    grouped = re.findall(r"\b(?:by|on) \(([a-z_, ]+)\)", rule["expr"])
    grouped_by = {label.strip() for group in grouped for label in group.split(",")}
    every = set.union(*(numbers[name] for name in named))
    assert told | grouped_by <= every, f"{rule['alert']}: {(told | grouped_by) - every}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_alert_has_its_section_and_no_section_is_of_an_alert_that_is_gone(file: Path) -> None:
    names = [rule["alert"] for rule in rules_of(file)]
    prefix = re.match(r"[A-Z][a-z]+", names[0])
    assert prefix is not None
    text = (ROOT / OF[file.name][2]).read_text()
    sections = re.findall(rf"^#+ ({prefix[0]}[A-Z]\w+)$", text, re.MULTILINE)
    assert sorted(sections) == sorted(names)


def test_alerts_are_named_once_and_say_how_bad_they_are_in_a_sentence() -> None:
    names = [rule["alert"] for _, rule in RULES]
    assert len(set(names)) == len(names)
    assert set(names) >= MUST
    for _, rule in RULES:
        assert rule["labels"]["severity"] in SEVERITIES
        assert rule["annotations"]["summary"].endswith((".", "}}"))
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def test_every_file_of_alerts_belongs_to_a_service() -> None:
    assert {file.name for file in FILES} == set(OF)
