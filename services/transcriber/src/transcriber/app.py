"""Puts the service together; `__main__` and the tests start the same one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from kit.clock import Clock
from kit.http import equip, with_heartbeat
from kit.multipart import UploadRoom
from starlette.applications import Starlette
from starlette.middleware import Middleware

from transcriber.desk import Desk
from transcriber.model import Model
from transcriber.routes import PATHS, Api, Numbers
from transcriber.settings import Settings

FORM_BYTES = 256 * 1024
# Of the largest size, over all that wait and the one that is heard.
HELD_FILES = 3


def build(settings: Settings, clock: Clock | None = None) -> Starlette:
    """Return the application around a model that has been loaded once. Raises TranscriberModelInvalid."""
    model = Model(settings)
    # Now, and not with the first request: what cannot run must not be ready, and what it takes is seen at once.
    model.wake()
    ticking = clock or Clock()
    desk = Desk(
        model,
        ticking,
        waiting_max=settings.waiting_max,
        idle_seconds=settings.idle_seconds,
        seconds_max=settings.sound_seconds_max,
    )

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[None]:
        keeping = asyncio.create_task(desk.keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await asyncio.to_thread(desk.close)

    body_max = settings.upload_bytes_max + FORM_BYTES
    larger = dict.fromkeys(PATHS, body_max)
    room = Middleware(UploadRoom, paths=PATHS, held_bytes_max=HELD_FILES * body_max)
    app = Starlette(lifespan=with_heartbeat(lifespan), middleware=[room])
    equip(app, "transcriber", domain="inference", settings=settings, body_bytes_max_at=larger)
    numbers = Numbers(app.state.metrics, desk)
    app.router.routes.extend(Api(desk, settings, model.languages, numbers).routes())
    return app
