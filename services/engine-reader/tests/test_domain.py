"""What is made of the engine's answers."""

from engine_reader.domain import Sample, briefs, cpu_percent, details


def entry(name: str, state: str = "running", status: str = "Up 2 minutes (healthy)", **labels: str):
    labels = {"com.docker.compose.service": name, **labels}
    return {"Id": name * 8, "State": state, "Status": status, "Labels": labels}


def test_a_container_of_compose_run_and_one_without_a_service_are_left_out() -> None:
    listed = [
        entry("memory"),
        entry("migrate", **{"com.docker.compose.oneoff": "True"}),
        {"Id": "x", "State": "running", "Status": "Up", "Labels": None},
    ]
    assert [brief.name for brief in briefs(listed)] == ["memory"]


def test_the_mark_changes_with_health_and_with_a_restart() -> None:
    marks = [
        briefs([entry("memory", status=status)])[0].mark
        for status in (
            "Up 2 hours (healthy)",
            "Up 2 hours (unhealthy)",
            "Up 1 second (health: starting)",
        )
    ]
    assert len(set(marks)) == 3


def test_while_a_container_is_replaced_its_service_is_told_of_once() -> None:
    old = {**entry("memory"), "Id": "old", "Created": 1, "State": "exited"}
    new = {**entry("memory"), "Id": "new", "Created": 2, "State": "running"}
    made = {**entry("memory"), "Id": "made", "Created": 3, "State": "created"}
    for listed in ([old, new], [new, old], [made, new, old]):
        assert [brief.id for brief in briefs(listed)] == ["new"]
    assert [brief.id for brief in briefs([old, made])] == ["made"]


def test_more_containers_than_a_house_has_are_not_read() -> None:
    assert len(briefs([entry(f"c{number}") for number in range(500)])) == 200


def test_details_tell_health_restarts_and_whether_it_is_a_job() -> None:
    told = details(
        {
            "RestartCount": 3,
            "State": {
                "Health": {"Status": "unhealthy"},
                "StartedAt": "2026-01-01T00:00:00Z",
                "ExitCode": 0,
            },
            "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}},
        }
    )
    assert (told.health, told.restarts, told.one_shot) == ("unhealthy", 3, False)


def test_a_container_that_never_started_and_has_no_healthcheck_says_neither() -> None:
    told = details({"State": {"StartedAt": "0001-01-01T00:00:00Z"}})
    assert told.started_at is None
    assert told.health is None
    assert told.one_shot is True


def test_cpu_is_the_share_of_one_core_between_two_samples() -> None:
    assert cpu_percent(Sample(0, 0), Sample(500_000_000, 1_000_000_000)) == 50.0
    assert cpu_percent(Sample(0, 0), Sample(2_000_000_000, 1_000_000_000)) == 200.0


def test_a_restarted_container_has_no_share_until_its_second_sample() -> None:
    assert cpu_percent(Sample(900, 0), Sample(100, 10)) is None
    assert cpu_percent(None, Sample(100, 10)) is None
    assert cpu_percent(Sample(100, 10), None) is None
