"""Jobs: short, idempotent, retried work behind Celery. A message names a job and the ids that it is about.

    app = celery_app("memory", broker)

    @job(app, "memory.embed", tries_max=5, seconds_max=30)
    async def embed(memory_id: str) -> None: ...

    enqueue(app, "memory.embed", memory_id=str(id))        # from anywhere
    serve(app, lifespan, health=health)                    # the worker's process

A job is acknowledged after it is done, so a killed worker's job runs again once `visibility_s` has passed: every
job must bear being run twice. Its coroutine runs on one loop that lives as long as the process, where `lifespan`
opens pools and clients. There is no result backend: what a job found out is a row, not a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery import Celery, bootsteps, signals
from celery.exceptions import Reject

from kit import ids, logs, trace
from kit.bus.errors import BusDenied, BusFull, BusUnavailable
from kit.errors import KitError
from kit.stall import STALLED_SECONDS, Tally, watch

if TYPE_CHECKING:
    from kit.bus import Broker
    from kit.health import Health

log = logs.get(__name__)
CHARS_MAX = 64
BYTES_MAX = 2048
# A batch is one list of ids, and small enough that its job is soon done.
IDS_MAX = 32
QUEUE = "jobs"
_ALIVE_S_MAX = 40.0
_TICK_S = 5.0
_BACKOFF_S_MAX = 30.0

Job = Callable[..., Awaitable[None]]
Lifespan = Callable[[], AbstractAsyncContextManager[Any]]


class WorkerStalled(KitError):
    """The worker's main loop has not turned for a while: no broker, or a job that blocks it."""

    code, status = "worker.stalled", 503
    reason = "The worker takes no jobs at the moment."
    fix = "It connects again by itself; if it lasts, look at valkey's and the worker's log."


def _checked(name: str, kwargs: Mapping[str, Any]) -> str:
    """Return a job's arguments as JSON. Raises ContentRefused unless each is an id, a number, a short word or a few ids."""
    for value in kwargs.values():
        if isinstance(value, (list, tuple)):
            if len(value) > IDS_MAX or not all(map(_is_id, value)):
                raise ids.ContentRefused(f"{name}: a job takes at most {IDS_MAX} ids in a list.")
        elif isinstance(value, dict):
            raise ids.ContentRefused(f"{name}: a job takes ids and short words, no objects.")
    return ids.encode(dict(kwargs), chars_max=CHARS_MAX, bytes_max=BYTES_MAX)


def _is_id(value: Any) -> bool:
    try:
        return bool(UUID(str(value)))
    except ValueError:
        return False


class JobsApp(Celery):
    """A Celery whose every way to send a message goes past the same check: ids and short words, by name."""

    def __init__(self, service: str, broker: Broker, visibility_s: int) -> None:
        super().__init__(service, set_as_current=False, fixups=[])
        self.visibility_s = visibility_s
        # Where jobs run, while `serve` does.
        self.jobs_loop: asyncio.AbstractEventLoop | None = None
        self.tally = Tally()
        self.stalled_s = STALLED_SECONDS
        self._broker = broker

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Send one job as Celery does. Raises ContentRefused."""
        if args:
            raise ids.ContentRefused(f"{name}: a job takes named ids, no positional arguments.")
        plain = json.loads(_checked(name, kwargs or {}))
        headers = {"traceparent": trace.outgoing(), **(options.pop("headers", None) or {})}
        return super().send_task(name, args=(), kwargs=plain, headers=headers, **options)

    async def watch(self) -> None:
        """End the process when it has stopped taking jobs, until cancelled (`kit.stall`)."""
        await watch(self._broker, f"{self.main}:celery:{QUEUE}", self.tally, self.stalled_s)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """Return a connection as the service's user, whose password is in no address that could be printed."""
        return self._as_user(url, options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """Return a connection as `connection_for_read` does."""
        return self._as_user(url, options)

    def _as_user(self, url: str | None, options: dict[str, Any]) -> Any:
        user, password = self._broker.user, self._broker.password
        return self._connection(
            url or self.conf.broker_url, userid=user, password=password, **options
        )


def celery_app(
    service: str,
    broker: Broker,
    *,
    visibility_s: int = 120,
    restore_s: int = 10,
    pool: str = "threads",
    concurrency: int = 2,
) -> JobsApp:
    """Return the Celery of one service: keys under `<service>:celery:`, JSON, late acknowledgement, no results.

    `visibility_s` is how long a job may be silent before another worker is given it; it bounds every
    `seconds_max`. `restore_s` is how often silent jobs are looked for.
    """
    if pool not in ("threads", "solo"):
        raise ValueError("a worker's pool is threads or solo: prefork costs a process per job")
    app = JobsApp(service, broker, visibility_s)
    app.conf.update(
        broker_url=f"redis://{broker.host}:{broker.port}/0",
        broker_transport_options={
            "global_keyprefix": f"{service}:celery:",
            "visibility_timeout": visibility_s,
            "unacked_restore_interval": restore_s,
            "unacked_restore_throttle": 1,
            "socket_timeout": 15.0,
            "socket_connect_timeout": 3.0,
            "socket_keepalive": True,
            "health_check_interval": 25,
            # Fan-out is for remote control, which is off; its channel would need a right of its own.
            "fanout_prefix": True,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=2,
        task_default_queue=QUEUE,
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 2, "interval_start": 0.1, "interval_max": 0.5},
        task_remote_tracebacks=False,
        task_send_sent_event=False,
        worker_prefetch_multiplier=1,
        worker_pool=pool,
        worker_concurrency=1 if pool == "solo" else concurrency,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        enable_utc=True,
        timezone="UTC",
    )
    return app


def job(
    app: JobsApp, name: str, *, tries_max: int = 5, seconds_max: float = 60.0
) -> Callable[[Job], Job]:
    """Make a coroutine function a job of `app`. It takes named ids and returns nothing.

    One that raises or outlasts `seconds_max` is tried again, later and later, `tries_max` times in all, and is
    then given up with a line in the log.
    """
    if seconds_max + _BACKOFF_S_MAX >= app.visibility_s:
        raise ValueError(
            "seconds_max must leave room in visibility_s, or a running job would be run twice"
        )

    def register(work: Job) -> Job:
        def run(self: Any, *args: Any, **kwargs: Any) -> None:
            header = (self.request.headers or {}).get("traceparent") or getattr(
                self.request, "traceparent", None
            )
            with trace.use(trace.parse(header)):
                if args:
                    raise Reject("positional arguments", requeue=False)
                try:
                    _checked(name, kwargs)
                except ids.ContentRefused as error:
                    log.error("job.refused", job=name, code=error.code)
                    raise Reject(error, requeue=False) from None
                _attempt(app, self, name, work, kwargs, tries_max, seconds_max)

        app.task(run, name=name, bind=True, max_retries=tries_max - 1)
        return work

    return register


def _attempt(
    app: JobsApp,
    task: Any,
    name: str,
    work: Job,
    kwargs: Mapping[str, Any],
    tries_max: int,
    seconds_max: float,
) -> None:
    begun = time.monotonic()
    attempt = task.request.retries + 1
    try:
        with app.tally:
            _on_loop(app, work, kwargs, seconds_max)
    except Exception as error:
        if attempt >= tries_max:
            log.exception("job.given_up", error, job=name, tries=attempt, **kwargs)
            return
        pause_s = min(2.0 ** (attempt - 1), _BACKOFF_S_MAX)
        log.exception(
            "job.failed", error, job=name, attempt=attempt, again_seconds=pause_s, **kwargs
        )
        # The error stays here: Celery would carry its text, which may quote a row, into its own log.
        raise task.retry(countdown=pause_s, exc=None, throw=False) from None
    log.info("job.done", job=name, attempt=attempt, seconds=round(time.monotonic() - begun, 3))


def _on_loop(app: JobsApp, work: Job, kwargs: Mapping[str, Any], seconds_max: float) -> None:
    here = trace.current()

    async def bounded() -> None:
        with trace.use(here) if here else nullcontext():
            async with asyncio.timeout(seconds_max):
                await work(**kwargs)

    if app.jobs_loop is None:
        raise RuntimeError("a job runs inside `serve`")
    asyncio.run_coroutine_threadsafe(bounded(), app.jobs_loop).result()


def enqueue(app: JobsApp, name: str, **named_ids: Any) -> None:
    """Send one job. It is in Valkey once this returns. Blocking: call it in a thread from a coroutine.

    Raises ContentRefused, BusFull, BusUnavailable, BusDenied.
    """
    from kombu.exceptions import OperationalError
    from redis import exceptions

    try:
        app.send_task(name, kwargs=named_ids)
    except (OperationalError, exceptions.RedisError, OSError) as error:
        # Celery wraps the driver's error in its own, and the driver's is the one that says why.
        driver = error.__cause__ if isinstance(error, OperationalError) else error
        if isinstance(driver, exceptions.OutOfMemoryError):
            raise BusFull() from None
        if isinstance(driver, (exceptions.NoPermissionError, exceptions.AuthenticationError)):
            raise BusDenied() from error
        raise BusUnavailable() from error


def serve(app: JobsApp, lifespan: Lifespan, *, health: Health | None = None) -> int:
    """Take jobs until SIGTERM, and return the exit status. Running jobs are finished; waiting ones stay queued.

    `lifespan` is entered on the loop where jobs run, before the first one, and left after the last. `health`
    beats there too, and only while the worker's main loop turns.
    """
    # With a receiver for this, Celery leaves the house's logging as it is.
    signals.setup_logging.connect(_keep_logging)
    alive = _Alive()
    steps: Any = app.steps
    steps["worker"].add(_tick_step(alive))
    with _Loop() as loop:
        app.jobs_loop = loop.loop
        opened = loop.run(_enter(app, lifespan, health, alive))
        try:
            return _work(app)
        finally:
            loop.run(opened.aclose())
            app.jobs_loop = None


async def _enter(
    app: JobsApp, lifespan: Lifespan, health: Health | None, alive: _Alive
) -> contextlib.AsyncExitStack:
    stack = contextlib.AsyncExitStack()
    await stack.enter_async_context(lifespan())
    watching = asyncio.create_task(app.watch())
    stack.callback(watching.cancel)
    if health is not None:
        health.register("jobs", alive.ping)
        await stack.enter_async_context(health.beating())
    return stack


def _work(app: JobsApp) -> int:
    worker = app.Worker(
        hostname=f"{app.main}@lares",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _keep_logging(**_: Any) -> None:
    return


class _Alive:
    """When the worker's main loop last turned."""

    def __init__(self) -> None:
        self._at = 0.0

    def tick(self) -> None:
        self._at = time.monotonic()

    async def ping(self) -> None:
        if time.monotonic() - self._at > _ALIVE_S_MAX:
            raise WorkerStalled()


def _tick_step(alive: _Alive) -> type:
    class Tick(bootsteps.StartStopStep):
        """Ticks from the worker's own timer, which stands still when its main loop does."""

        requires = frozenset({"celery.worker.components:Timer"})

        def start(self, parent: Any) -> None:
            alive.tick()
            parent.timer.call_repeatedly(_TICK_S, alive.tick)

    return Tick


class _Loop:
    """An event loop in a thread of its own, for as long as the block."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="jobs-loop", daemon=True)

    def __enter__(self) -> _Loop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5.0)
        self.loop.close()

    def run(self, work: Any) -> Any:
        """Run a coroutine there and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30.0)
