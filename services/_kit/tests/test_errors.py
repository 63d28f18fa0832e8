"""An error is documentation: it must say what happened and what to do, and an instance may say it more exactly."""

from kit.errors import KitError, NotFound


def test_a_class_speaks_for_itself() -> None:
    body = NotFound().body()["error"]
    assert body["code"] == "kit.not_found"
    assert body["reason"]
    assert body["fix"]
    assert len(body["correlation_id"]) == 32


def test_an_instance_may_be_more_exact_without_changing_its_class() -> None:
    error = NotFound("No memory has that id.", fix="List the memories.")
    assert error.body()["error"]["reason"] == "No memory has that id."
    assert NotFound.reason != error.reason
    assert isinstance(error, KitError)


def test_keyword_arguments_become_headers() -> None:
    assert NotFound(Retry_After="5").headers == {"Retry-After": "5"}
