"""Write what was measured: one JSON per subject with its machine, and one page that shows them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .machine import describe

RESULTS = Path(__file__).resolve().parent / "results"
ORDER = (
    "memory",
    "first_person",
    "start",
    "idle",
    "edge",
    "inference",
    "gateway_overhead",
    "gateway_overhead_gpu",
    "gpu_policy",
    "gpu_decision",
    "vllm",
    "memory_scale",
    "memory_scale_million",
    "memory_pipeline",
    "recall_quality",
    "recall_learning",
)


def record(subject: str, floors: dict[str, str], rows: list[dict[str, Any]], **more: Any) -> None:
    """Keep a subject's rows and how they stand to their floors; then write the page anew."""
    told = {"machine": describe(), "floors": floors, **more, "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{subject}.json").write_text(json.dumps(told, indent=2) + "\n")
    (RESULTS / "README.md").write_text(page())


def page() -> str:
    """Return the page of every subject that has been measured."""
    parts = [
        "# Measured",
        "",
        "Written by `make bench`. A number without its machine says nothing.",
    ]
    for subject in ORDER:
        file = RESULTS / f"{subject}.json"
        if file.exists():
            parts += section(subject, json.loads(file.read_text()))
    return "\n".join(parts) + "\n"


def section(subject: str, told: dict[str, Any]) -> list[str]:
    """Return one subject as a heading, its machine, its floors and a table."""
    machine = told.get("machine", {})
    lines = ["", f"## {subject}", ""]
    if machine:
        lines += [
            f"{machine['measured_at']}, {machine['processor']} ({machine['architecture']}), {machine['cores']} cores,"
            f" {machine['memory_mib']} MiB, load {machine['load_1m']}",
            "",
        ]
    lines += [f"- {floor}: **{outcome}**" for floor, outcome in told.get("floors", {}).items()]
    rows = told.get("rows")
    if rows:
        names = list(rows[0])
        lines += ["", f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
        lines += [f"| {' | '.join(str(row.get(name, '')) for name in names)} |" for row in rows]
    elif "floors" not in told:
        lines += [
            f"- {name}: {value}" for name, value in flat(told) if not name.startswith("machine")
        ]
    return lines


def flat(told: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of a nested result, each with its path; lists of samples are left out."""
    if isinstance(told, dict):
        return [
            leaf
            for key, value in told.items()
            for leaf in flat(value, f"{prefix}{key} ".replace("_", " "))
        ]
    return [] if isinstance(told, list) else [(prefix.strip(), told)]


def percentile(samples: list[float], share: float) -> float:
    """Return the value below which `share` of the samples lie."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
