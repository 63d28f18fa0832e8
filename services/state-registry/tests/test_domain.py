"""Readings in, news out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from contracts.system import ContainerState
from state_registry import house
from state_registry.domain import brief, changes, listed, reading
from state_registry.house import Place

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def row(name: str = "memory", **changed: Any) -> dict[str, Any]:
    return {
        "name": name,
        "state": "running",
        "exit_code": 0,
        "one_shot": False,
        "health": "healthy",
        "started_at": "2026-01-01T00:00:00.123456789Z",
        "restarts": 0,
        "memory_bytes": 1000,
        "cpu_percent": 0.5,
        **changed,
    }


def read_one(**changed: Any) -> ContainerState:
    snapshot = {"sampled_at": NOW.isoformat(), "containers": [row(**changed)]}
    return reading(snapshot, {"memory": Place("memory", 2000)}).containers[0]


def test_a_container_is_shown_in_its_domain_against_its_budget() -> None:
    one = read_one()
    assert (one.domain, one.budget_bytes) == ("memory", 2000)


def test_a_container_that_nobody_describes_is_shown_all_the_same() -> None:
    one = read_one(name="stranger")
    assert (one.domain, one.budget_bytes) == ("other", None)


def test_a_job_that_ended_well_is_finished_and_every_other_end_is_an_exit() -> None:
    ended = {"state": "exited", "health": None}
    assert read_one(**ended, one_shot=True, exit_code=0).state == "finished"
    assert read_one(**ended, one_shot=True, exit_code=1).state == "exited"
    assert read_one(**ended, one_shot=False, exit_code=0).state == "exited"


@pytest.mark.parametrize(
    "broken", [{}, {"containers": 1}, {"containers": [{}], "sampled_at": "x"}, []]
)
def test_what_is_no_snapshot_is_refused(broken: Any) -> None:
    with pytest.raises(ValueError):
        reading(broken, {})


def test_a_reading_says_how_old_it_is_and_when_it_is_stale() -> None:
    last = reading({"sampled_at": NOW.isoformat(), "containers": [row()]}, {})
    fresh = listed(last, NOW + timedelta(seconds=4), 30)
    assert (fresh.age_seconds, fresh.stale) == (4.0, False)
    assert listed(last, NOW + timedelta(seconds=31), 30).stale is True
    assert listed(None, NOW, 30).stale is True
    # The reader's clock may run ahead of ours.
    assert listed(last, NOW - timedelta(seconds=9), 30).age_seconds == 0


def test_memory_and_cpu_are_no_news_but_state_health_and_restarts_are() -> None:
    known = {"memory": brief(read_one())}
    assert changes(known, (read_one(memory_bytes=5, cpu_percent=99.0),)) == []
    for news in ({"state": "restarting"}, {"health": "unhealthy"}, {"restarts": 1}):
        assert len(changes(known, (read_one(**news),))) == 1


def test_coming_and_going_are_announced_once() -> None:
    came = changes({}, (read_one(),))
    assert [change.state for change in came] == ["running"]
    left = changes({"memory": came[0]}, ())
    assert [change.state for change in left] == ["gone"]
    assert changes({"memory": left[0]}, ()) == []


def test_every_service_of_this_repository_has_a_place() -> None:
    services = Path(__file__).parents[2]
    places = house.read(services)
    for path in services.glob("*/service.yaml"):
        assert path.parent.name in places
    assert places["memory-worker"].domain == "memory"
    assert places["postgres"].domain == "data"


def test_one_broken_description_hides_no_other(tmp_path: Path) -> None:
    for name, text in {
        "a": "name: a\ndomain: edge\nmemory_budget_mib: 5",
        "b": "{[",
        "c": "name: c",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "service.yaml").write_text(text)
    places = house.read(tmp_path)
    assert places["a"].budget_bytes == 5 * house.MIB
    assert "b" not in places
