"""Puts the service together; `__main__` and the tests start the same one."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kit import logs
from kit.clock import Clock
from kit.http import equip, with_heartbeat
from kit.multipart import UploadRoom
from kit.pool import Database, DataUnavailable, Pool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from model_gateway import catalogue
from model_gateway.accounts.writer import Accounts
from model_gateway.budgets import Budgets
from model_gateway.callers import LateVerifier
from model_gateway.catalogue import Backend, Catalogue
from model_gateway.desk import Desk, Opener
from model_gateway.endpoints import ENDPOINTS
from model_gateway.errors import CatalogueInvalid
from model_gateway.gpu.setup import gpu_ways
from model_gateway.numbers import Numbers
from model_gateway.routes import Api
from model_gateway.settings import Settings
from model_gateway.uploads import HELD_BYTES_MAX, SMALL_BODY_BYTES
from model_gateway.upstream import Upstream
from model_gateway.ways import GPU

log = logs.get(__name__)

KEY_CHARS_MAX = 4096
LOGIN = "svc_model_gateway"
CONNECTIONS_MAX = 3


@dataclass(frozen=True)
class House:
    """What the files and settings say, checked before anything is opened."""

    settings: Settings
    book: Catalogue
    keys: dict[str, str | None]
    proxies: dict[str, str | None]


def build(settings: Settings, clock: Clock | None = None) -> Starlette:
    """Return the application. Raises CatalogueInvalid for a models file, a key or a proxy that cannot be used."""
    house = _read(settings)
    ticking = clock or Clock()
    backends: dict[str, Opener] = {}

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(_session(house.book))
            for name in house.book.backends:
                upstream = _upstream(house, name, session, ticking)
                backends[name] = upstream
                numbers.watch(upstream)
            pool = await _pool(settings, stack)
            desk.budgets = Budgets(house.book, pool, ticking) if house.book.budgets else None
            if pool is not None:
                desk.accounts = await stack.enter_async_context(_accounts(pool, ticking))
                numbers.watch_accounts(desk.accounts)
                app.state.books = (house.book, pool, desk.accounts, ticking)
            if settings.gpu_scheduler_url:
                gpu, link = await stack.enter_async_context(
                    gpu_ways(
                        settings.gpu_scheduler_url,
                        settings.egress_proxy_url or None,
                        settings.secrets_dir,
                        session,
                        ticking,
                    )
                )
                desk.gpu, api.offers = gpu, lambda: link.offers
                numbers.watch_gpu(link)
            yield

    larger = {
        f"/v1{endpoint.path}": max(endpoint.body_bytes_max, settings.body_bytes_max)
        for endpoint in ENDPOINTS
        if endpoint.body_bytes_max is not None
    }
    # Inside what `equip` adds: a request that is refused for lack of room is still counted and traced.
    room = Middleware(
        UploadRoom, paths=larger, held_bytes_max=HELD_BYTES_MAX, small_bytes=SMALL_BODY_BYTES
    )
    app = Starlette(lifespan=with_heartbeat(lifespan), middleware=[room])
    key = settings.caller_public_key
    verifier = LateVerifier(key) if key else None
    equip(
        app,
        "model-gateway",
        domain="inference",
        settings=settings,
        verifier=verifier,
        body_bytes_max_at=larger,
    )
    numbers = Numbers(app.state.metrics)
    desk = Desk(backends, numbers, ticking)
    api = Api(
        house.book,
        desk,
        frozenset(settings.disabled),
        ENDPOINTS,
        settings.keep_alive_seconds,
        verifier,
    )
    app.router.routes.extend([*api.routes(), *_account_routes(settings)])
    return app


def _account_routes(settings: Settings) -> list[Route]:
    # One person reads them now and then: what that takes is loaded then.
    async def usage(request: Request) -> Response:
        from model_gateway.accounts.usage import UsageApi

        return await UsageApi(*request.app.state.books).usage(request)

    async def budgets(request: Request) -> Response:
        from model_gateway.accounts.usage import UsageApi

        return await UsageApi(*request.app.state.books).budgets(request)

    async def none(_: Request) -> Response:
        raise DataUnavailable("This gateway keeps no accounts: it was given no database.")

    kept = bool(settings.postgres_host)
    return [
        Route("/v1/usage", usage if kept else none, methods=["GET"]),
        Route("/v1/budgets", budgets if kept else none, methods=["GET"]),
    ]


async def _pool(settings: Settings, stack: AsyncExitStack) -> Pool | None:
    if not settings.postgres_host:
        return None
    database = Database(
        settings.postgres_host, LOGIN, settings.db_password or "", port=settings.postgres_port
    )
    return await stack.enter_async_context(
        await Pool.open(database, max_size=CONNECTIONS_MAX, command_timeout_s=10.0)
    )


@asynccontextmanager
async def _accounts(pool: Pool, clock: Clock) -> AsyncGenerator[Accounts]:
    accounts = Accounts(pool, clock)
    keeping = asyncio.create_task(accounts.keep())
    try:
        yield accounts
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await accounts.drain()


def _read(settings: Settings) -> House:
    variables = {
        "LARES_LOCAL_LLM_URL": settings.local_llm_url,
        "LARES_EMBEDDER_URL": settings.embedder_url,
    }
    book = catalogue.read(settings.models_file, variables)
    keys = {
        name: _key(settings, name, backend)
        for name, backend in book.backends.items()
        if backend.enabled
    }
    proxies = {name: _proxy(settings, name, backend) for name, backend in book.backends.items()}
    _refuse_unknown_switches(settings, book)
    if book.budgets and not settings.postgres_host:
        raise CatalogueInvalid(
            "models.yaml has budgets, and there is no database to keep them in.",
            fix="Set LARES_POSTGRES_HOST, or take the budgets out.",
        )
    return House(settings, book, keys, proxies)


def _upstream(house: House, name: str, session: aiohttp.ClientSession, clock: Clock) -> Upstream:
    return Upstream(
        name,
        house.book.backends[name],
        session,
        clock,
        proxy=house.proxies[name],
        api_key=house.keys.get(name),
    )


def _session(book: Catalogue) -> aiohttp.ClientSession:
    # A connection each: a kept one may be closed by the backend at the very moment it is used again, and then
    # nobody knows whether the request was read. Connecting costs a fraction of a millisecond inside the house.
    connector = aiohttp.TCPConnector(ssl=_tls(book), limit=0, force_close=True, ttl_dns_cache=10)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )


def _tls(book: Catalogue) -> ssl.SSLContext | bool:
    # A store of certificates is megabytes: only a house that asks somebody outside pays for it.
    if any(not (backend.plain or backend.ca_certificate) for backend in book.backends.values()):
        return ssl.create_default_context()
    return True


def _key(settings: Settings, name: str, backend: Backend) -> str | None:
    if backend.api_key_secret is None:
        return None
    path: Path = settings.secrets_dir / backend.api_key_secret
    try:
        key = path.read_text()[: KEY_CHARS_MAX + 1].strip()
    except (OSError, UnicodeDecodeError):
        key = ""
    if not key or len(key) > KEY_CHARS_MAX or not key.isprintable():
        raise CatalogueInvalid(
            f"The backend {name} needs the secret {backend.api_key_secret}, which is absent or unusable.",
            fix="Put the key into that secret, or set `enabled: false` on the backend in models.yaml.",
        )
    return key


def _proxy(settings: Settings, name: str, backend: Backend) -> str | None:
    if not backend.via_egress_proxy:
        return None
    if not settings.egress_proxy_url:
        raise CatalogueInvalid(
            f"The backend {name} needs the egress proxy, and LARES_EGRESS_PROXY_URL is not set."
        )
    return settings.egress_proxy_url


def _refuse_unknown_switches(settings: Settings, book: Catalogue) -> None:
    legs = [leg for model in book.models.values() for leg in model.legs]
    gpu = {name for leg in legs if leg.gpu for name in (leg.gpu, leg.name)}
    known = {"all", "outside", GPU, *book.models, *book.backends, *gpu}
    unknown = set(settings.disabled) - known
    if unknown:
        # Whoever mistyped the off switch believes that something is off which is not.
        raise CatalogueInvalid(
            f"LARES_INFERENCE_DISABLED names what does not exist: {', '.join(sorted(unknown))}.",
            fix="Name models and backends of models.yaml, `outside`, `gpu` or `all`.",
        )
