"""kit.worker with real Valkey and real worker processes: delivery over SIGKILL, retries with limits, ids only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery
from kit import trace
from kit.bus import Broker, BusFull, BusUnavailable, ContentRefused
from kit.stall import EXIT_STALLED
from kit.testing.data import Valkey
from kit.worker import celery_app, enqueue, job

WORKER = Path(__file__).with_name("a_worker.py")
PSS_MIB_MAX = 40


class Workers:
    """Worker processes of one test, and the file they write to."""

    def __init__(self, valkey: Valkey, folder: Path) -> None:
        self.valkey = valkey
        self.done = folder / "done"
        self.beat = folder / "beat"
        self.log = folder / "log"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        kit = str(WORKER.parents[1] / "src")
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(WORKER)],
                stdout=log,
                stderr=log,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": kit,
                    "TEST_DONE": str(self.done),
                    "TEST_BEAT": str(self.beat),
                    "TEST_HOST": self.valkey.host,
                    "TEST_PORT": str(self.valkey.port),
                    "TEST_PASSWORD": self.valkey.password("memory_worker"),
                    **env,
                },
            )
        self.processes.append(process)
        return process

    def lines(self) -> list[str]:
        return self.done.read_text().splitlines() if self.done.exists() else []

    def wait(self, condition: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{self.lines()}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.05)

    def wait_for(self, line: str, seconds: float = 30) -> None:
        self.wait(lambda: line in self.lines(), seconds)


@pytest.fixture
def workers(valkey: Valkey, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(valkey, tmp_path)
    yield started
    for process in started.processes:
        process.kill()
        process.wait()


@pytest.fixture
def app(valkey: Valkey) -> Celery:
    return celery_app("memory", valkey.broker("memory_worker"))


@pytest.mark.integration
@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_job_is_done_once_under_the_house_s_access_list(
    workers: Workers, app: Celery, pool: str
) -> None:
    workers.start(TEST_POOL=pool)
    ids = [str(uuid4()) for _ in range(5)]
    for memory_id in ids:
        enqueue(app, "test.quick", memory_id=memory_id)
    for memory_id in ids:
        workers.wait_for(f"quick {memory_id}")
    workers.wait(lambda: not workers.valkey.client().exists("memory:celery:unacked"))
    assert len(workers.lines()) == 6
    keys = workers.valkey.client().keys()
    assert all(key.startswith("memory:celery:") for key in keys), keys
    assert workers.valkey.client().acl_log() == []


@pytest.mark.integration
@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_job_whose_worker_was_killed_is_done_by_the_next_one(
    workers: Workers, app: Celery, pool: str
) -> None:
    victim = workers.start(TEST_SLOW="30", TEST_POOL=pool)
    enqueue(app, "test.slow", memory_id="m-1")
    workers.wait_for("begun m-1")
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    # Silent for longer than visibility_s, as seen by the transport's own bookkeeping.
    client = workers.valkey.client()
    index = "memory:celery:unacked_index"
    for tag in client.zrange(index, 0, -1):
        client.zadd(index, {tag: time.time() - 60})
    workers.start(TEST_SLOW="0", TEST_POOL=pool)
    workers.wait_for("ended m-1")
    assert workers.lines().count("begun m-1") == 2
    workers.wait(lambda: not client.exists("memory:celery:unacked"))


@pytest.mark.integration
def test_sigterm_lets_a_running_job_finish_and_leaves_the_waiting_ones(
    workers: Workers, app: Celery
) -> None:
    first = workers.start(TEST_SLOW="1")
    for name in ("m-1", "m-2", "m-3"):
        enqueue(app, "test.slow", memory_id=name)
    workers.wait_for("begun m-1")
    first.terminate()
    assert first.wait(20) == 0
    assert workers.lines() == ["opened", "begun m-1", "ended m-1", "closed"]
    assert not workers.beat.exists()
    workers.start()
    workers.wait_for("ended m-3")
    assert sorted(line for line in workers.lines() if "ended" in line) == [
        "ended m-1",
        "ended m-2",
        "ended m-3",
    ]


@pytest.mark.integration
def test_a_failing_job_is_tried_as_often_as_allowed_and_its_error_s_text_stays_out_of_logs_and_queue(
    workers: Workers, app: Celery
) -> None:
    workers.start()
    enqueue(app, "test.failing", memory_id="m-1")
    workers.wait(lambda: "job.given_up" in workers.log.read_text())
    assert workers.lines().count("failing m-1") == 3
    log = workers.log.read_text()
    assert "CANARY" not in log
    assert log.count('"event":"job.failed"') == 2
    assert workers.valkey.client().llen("memory:celery:jobs") == 0


@pytest.mark.integration
def test_a_job_that_hangs_is_cut_off(workers: Workers, app: Celery) -> None:
    workers.start()
    enqueue(app, "test.hanging", memory_id="m-1")
    enqueue(app, "test.quick", memory_id="m-2")
    workers.wait_for("quick m-2")
    assert '"error_type":"builtins.TimeoutError"' in workers.log.read_text()


@pytest.mark.integration
def test_a_trace_goes_with_the_job(workers: Workers, app: Celery) -> None:
    workers.start()
    with trace.use(None) as journey:
        enqueue(app, "test.quick", memory_id="m-1")
    workers.wait(lambda: "job.done" in workers.log.read_text())
    assert re.search(
        rf'"trace_id":"{journey.trace_id}".*job.done|job.done.*{journey.trace_id}',
        workers.log.read_text(),
    )


@pytest.mark.integration
def test_a_worker_outlives_a_restart_of_valkey(
    workers: Workers, app: Celery, valkey: Valkey
) -> None:
    workers.start()
    workers.wait_for("opened")
    enqueue(app, "test.quick", memory_id="m-1")
    workers.wait_for("quick m-1")
    valkey.container.restart()
    valkey.wait()
    enqueue(app, "test.quick", memory_id="m-2")
    workers.wait_for("quick m-2")


@pytest.mark.integration
def test_a_worker_that_takes_nothing_though_there_is_something_ends_and_the_next_one_takes_it(
    workers: Workers, app: Celery
) -> None:
    deaf = workers.start(TEST_DEAF="1")
    workers.wait_for("opened")
    enqueue(app, "test.quick", memory_id="m-1")
    assert deaf.wait(40) == EXIT_STALLED
    assert '"worker.stalled"' in workers.log.read_text()
    workers.start()
    workers.wait_for("quick m-1")


@pytest.mark.integration
def test_an_idle_worker_beats_and_stays_within_its_memory(workers: Workers, app: Celery) -> None:
    process = workers.start()
    enqueue(app, "test.quick", memory_id="m-1")
    workers.wait_for("quick m-1")
    workers.wait(workers.beat.exists)
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert found
    assert int(found[1]) / 1024 <= PSS_MIB_MAX


@pytest.mark.integration
def test_a_message_with_content_is_refused_by_the_worker_too(
    workers: Workers, valkey: Valkey
) -> None:
    sender = celery_app("memory", valkey.broker("memory_worker"))
    plain = Celery("other", set_as_current=False)
    plain.conf.update(
        broker_url=sender.conf.broker_url,
        broker_transport_options=sender.conf.broker_transport_options,
        task_default_queue="jobs",
        result_backend=None,
    )
    workers.start()
    with sender.connection_for_write() as connection:
        plain.send_task(
            "test.quick", kwargs={"memory_id": "a whole sentence"}, connection=connection
        )
    enqueue(sender, "test.quick", memory_id="m-2")
    workers.wait_for("quick m-2")
    workers.wait(lambda: "job.refused" in workers.log.read_text())
    assert "whole sentence" not in workers.log.read_text() + workers.done.read_text()


@pytest.mark.integration
def test_only_ids_and_short_words_can_be_sent(app: Celery, valkey: Valkey) -> None:
    too_many = [str(uuid4()) for _ in range(33)]
    nested = [[str(uuid4())]]
    for bad in (
        *("two words", "x" * 65, "line\nbreak", b"bytes", object()),
        *({"a": 1}, ["a"], ["two words"], too_many, nested),
    ):
        with pytest.raises(ContentRefused):
            enqueue(app, "test.quick", memory_id=bad)
        with pytest.raises(ContentRefused):
            app.send_task("test.quick", kwargs={"memory_id": bad})
    with pytest.raises(ContentRefused):
        app.send_task("test.quick", args=("m-1",))
    assert valkey.client().keys() == []
    enqueue(app, "test.quick", memory_id=uuid4(), n=3, again=True)
    [message] = valkey.client().lrange("memory:celery:jobs", 0, -1)
    assert '"result' not in message
    enqueue(app, "test.quick", memory_id=[str(uuid4()) for _ in range(32)])
    assert valkey.client().llen("memory:celery:jobs") == 2


@pytest.mark.integration
def test_a_full_valkey_and_a_dead_one_are_coded_503s(app: Celery, valkey: Valkey) -> None:
    enqueue(app, "test.quick", memory_id="m-1")
    valkey.client().config_set("maxmemory", "1")
    with pytest.raises(BusFull):
        enqueue(app, "test.quick", memory_id="m-2")
    valkey.client().config_set("maxmemory", "96mb")
    valkey.container.kill()
    try:
        begun = time.monotonic()
        with pytest.raises(BusUnavailable):
            enqueue(app, "test.quick", memory_id="m-3")
        assert time.monotonic() - begun < 12
    finally:
        valkey.container.start()
        valkey.wait()


def _nowhere() -> Celery:
    return celery_app("memory", Broker("127.0.0.1", "memory_worker", "secret-word", 1))


def test_the_password_is_not_in_the_broker_s_address() -> None:
    app = _nowhere()
    assert "secret-word" not in app.conf.broker_url
    assert "secret-word" not in app.connection_for_write().as_uri()


def test_a_prefork_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="threads or solo"):
        celery_app("memory", Broker("127.0.0.1", "u", "p"), pool="prefork")


def test_a_job_that_could_outlast_its_visibility_is_refused() -> None:
    with pytest.raises(ValueError, match="visibility_s"):
        job(_nowhere(), "test.long", seconds_max=100)


def test_nothing_but_json_is_taken() -> None:
    assert _nowhere().conf.accept_content == ["json"]
    assert _nowhere().conf.task_serializer == "json"
    assert _nowhere().conf.result_backend is None
