"""Puts the service together; `__main__` and the tests start the same one."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from kit import logs
from kit.http import equip, with_heartbeat
from starlette.applications import Starlette

from embedder.desk import Desk
from embedder.domain import Limits
from embedder.model import Encoder
from embedder.routes import Api, Numbers
from embedder.settings import Settings
from embedder.verify import verify

log = logs.get(__name__)


def build(settings: Settings) -> Starlette:
    """Return the application around a model that was compared with the real one. Raises ModelBroken."""
    encoder = Encoder(settings.model_dir, settings.threads)
    least = verify(encoder.encode, settings.model_dir / "reference.json")
    log.info("model.verified", least_cosine=round(least, 4), threads=settings.threads)
    desk = Desk(encoder.encode, settings.waiting_max)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[None]:
        yield
        desk.close()

    app = Starlette(lifespan=with_heartbeat(lifespan))
    equip(app, "embedder", domain="memory", settings=settings)
    limits = Limits(inputs_max=settings.inputs_max, chars_max=settings.chars_max)
    app.router.routes.extend(Api(desk, limits, Numbers(app.state.metrics, desk)).routes())
    return app
