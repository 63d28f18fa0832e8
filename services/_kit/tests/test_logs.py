"""Logs are read by people and machines, and must never hold what a person wrote."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from kit import logs, trace
from kit.errors import KitError

CANARY = "my-diagnosis-is-secret"


class TierDenied(KitError):
    code = "memory.tier_denied"
    status = 403


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.setup("memory", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_fields_and_the_trace(out: io.StringIO) -> None:
    with trace.use(None) as here:
        logs.get("memory.recall").info("memory.recalled", results=3)
    (line,) = lines(out)
    assert line["event"] == "memory.recalled"
    assert line["service"] == "memory"
    assert line["level"] == "info"
    assert line["results"] == 3
    assert line["trace_id"] == here.trace_id


def test_an_exception_is_logged_without_its_message(out: io.StringIO) -> None:
    try:
        raise ValueError(f"row contains {CANARY}")
    except ValueError as error:
        logs.get("memory").exception("memory.failed", error, memory_id="m1")
    (line,) = lines(out)
    assert CANARY not in json.dumps(line)
    assert line["error_type"] == "builtins.ValueError"
    assert "test_logs.py" in str(line["frames"])
    assert line["memory_id"] == "m1"


def test_a_coded_error_keeps_its_code_in_the_log(out: io.StringIO) -> None:
    logs.get("memory").exception("memory.failed", TierDenied(f"not for {CANARY}"))
    (line,) = lines(out)
    assert line["code"] == "memory.tier_denied"
    assert CANARY not in json.dumps(line)


def test_the_arguments_and_errors_of_a_librarys_record_are_left_out(out: io.StringIO) -> None:
    try:
        raise RuntimeError(CANARY)
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("failed for %s", CANARY)
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: {CANARY}")
    assert CANARY not in out.getvalue()
    first, second = lines(out)
    assert first["template"] == "failed for %s"
    assert first["error_type"] == "builtins.RuntimeError"
    assert second["template"] == "Task exception was never retrieved"


def test_libraries_speak_from_warning_upwards(out: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET http://memory/v1?query=%s", CANARY)
    assert out.getvalue() == ""


def test_a_long_value_is_cut(out: io.StringIO) -> None:
    logs.get("memory").info("memory.noted", detail="x" * 10_000)
    (line,) = lines(out)
    assert len(str(line["detail"])) < 600


def test_a_field_cannot_overwrite_the_lines_own_names(out: io.StringIO) -> None:
    logs.get("memory").info("memory.noted", service="forged", level="forged")
    (line,) = lines(out)
    assert line["service"] == "memory"
    assert line["level"] == "info"
    assert line["service_"] == "forged"


def test_debug_is_off_by_default(out: io.StringIO) -> None:
    logs.get("memory").debug("memory.detail")
    assert out.getvalue() == ""
