"""The document promises what there is: every route has an operation, and every operation a route."""

from __future__ import annotations

import re
from pathlib import Path

from memory.openapi.document import document
from memory.openapi.operations import OPERATIONS

SOURCES = Path(__file__).resolve().parents[2] / "src" / "memory"
CONSTANTS = {"IMPORT_PATH": "/v1/import", "BATCH_PATH": "/v1/memories/batch", "PATH": None}
ROUTE = re.compile(r'Route\(\s*(?:"([^"]+)"|([A-Z_]+)),.*?methods=\["(\w+)"\]', re.DOTALL)


def written() -> set[tuple[str, str]]:
    """Every route that the service's files make."""
    found: set[tuple[str, str]] = set()
    for source in SOURCES.rglob("*.py"):
        for path, constant, method in ROUTE.findall(source.read_text()):
            named = path or CONSTANTS[constant]
            if named is not None:
                found.add((method, named))
    return found


def test_every_route_has_an_operation_and_every_operation_a_route() -> None:
    promised = {(operation.method, operation.path) for operation in OPERATIONS}
    assert len(promised) == len(OPERATIONS)
    assert promised == written()


def test_every_reference_leads_to_a_schema() -> None:
    made = document()
    references = set(re.findall(r"#/components/schemas/(\w+)", repr(made)))
    assert references
    assert references <= set(made["components"]["schemas"])
