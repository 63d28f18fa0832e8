"""The service keeps the promises of its OpenAPI document, whatever it is sent: schemathesis asks it everything."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from memory.openapi.document import document
from schemathesis import checks

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
schema = schemathesis.openapi.from_dict(document())
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
# The consolidator's switch is the whole house's: made-up requests must not leave it off for the tests after this.
SHARED = "/v1/consolidation"


@pytest.fixture(scope="module")
def asked(memory_process: Any, caller_factory: Any) -> tuple[str, Any]:
    """Where the service is, and one person whose memories all these requests are about."""
    return memory_process.url, caller_factory(ttl_seconds=299)


@schema.exclude(path=SHARED, method="PUT").parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_sent_the_answer_is_one_that_was_promised(
    case: schemathesis.Case, asked: tuple[str, Any]
) -> None:
    url, person = asked
    case.call_and_validate(base_url=url, headers=person.headers, checks=CHECKS, timeout=20)


def test_without_a_caller_nothing_is_answered(asked: tuple[str, Any]) -> None:
    import httpx

    url, _ = asked
    for path, methods in document()["paths"].items():
        place = path.replace("{id}", "0" * 32).replace("{name}", "home")
        for method in methods:
            reply = httpx.request(method, f"{url}{place}", timeout=10, trust_env=False)
            assert reply.status_code == 401, f"{method} {path}: {reply.status_code}"
