"""What every service promises at its HTTP border: coded errors, bounded bodies, one address, a graceful stop."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from kit.errors import KitError
from kit.http import BindRefused, check_bind, create_app, equip, with_heartbeat
from kit.settings import HttpSettings
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

CANARY = "my-diagnosis-is-secret"


class TierDenied(KitError):
    code = "memory.tier_denied"
    status = 403
    reason = "That tier is closed to you."
    fix = "Ask the owner."


class Note(BaseModel):
    text: str
    stars: int = 0


def build(settings: HttpSettings, lifespan: Any = None) -> FastAPI:
    router = APIRouter()

    @router.post("/notes")
    async def notes(note: Note) -> Note:
        return note

    @router.get("/notes/{note_id}")
    async def denied(note_id: str) -> None:
        raise TierDenied()

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError(CANARY)

    @router.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, CANARY)

    @router.get("/state")
    async def state(request: Request) -> dict[str, Any]:
        return {"answer": request.state.answer}

    return create_app(
        "memory", domain="memory", settings=settings, lifespan=lifespan, routers=[router]
    )


@pytest.fixture
def app(make_settings: Callable[..., HttpSettings]) -> FastAPI:
    return build(make_settings(HttpSettings, body_bytes_max=200))


@pytest.fixture
def house(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://house")


async def test_a_coded_error_is_answered_with_all_its_parts(house: httpx.AsyncClient) -> None:
    reply = await house.get("/notes/1", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    assert reply.status_code == 403
    assert reply.json() == {
        "error": {
            "code": "memory.tier_denied",
            "reason": "That tier is closed to you.",
            "fix": "Ask the owner.",
            "correlation_id": "a" * 32,
        }
    }
    assert reply.headers["cache-control"] == "no-store"


async def test_what_nobody_foresaw_is_500_and_its_text_stays_inside(
    house: httpx.AsyncClient,
) -> None:
    reply = await house.get("/broken")
    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "kit.internal"
    assert CANARY not in reply.text
    assert reply.json()["error"]["correlation_id"] == reply.headers["x-correlation-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "kit.not_found"),
        ("DELETE", "/notes", 405, "kit.method_not_allowed"),
        ("GET", "/teapot", 418, "kit.refused"),
        ("POST", "/notes", 422, "kit.invalid_request"),
    ],
)
async def test_the_frameworks_own_errors_are_coded_too(
    house: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    reply = await house.request(method, path)
    assert reply.status_code == status
    assert reply.json()["error"]["code"] == code


async def test_a_wrong_shape_names_the_place_and_not_the_value(house: httpx.AsyncClient) -> None:
    reply = await house.post("/notes", json={"text": "x", "stars": CANARY})
    assert reply.status_code == 422
    assert "body.stars: int_parsing" in reply.json()["error"]["reason"]
    assert CANARY not in reply.text


async def test_a_body_that_announces_too_much_is_refused_before_it_is_read(
    house: httpx.AsyncClient,
) -> None:
    reply = await house.post("/notes", json={"text": "x" * 300})
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "kit.body_too_large"


@pytest.mark.parametrize("length", ["-1", "abc", "99999999999999999999"])
async def test_an_impossible_content_length_is_refused(
    house: httpx.AsyncClient, length: str
) -> None:
    reply = await house.post("/notes", content=b"{}", headers={"content-length": length})
    assert reply.status_code == 413


async def test_a_body_that_hides_its_length_is_cut_off(house: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 50

    reply = await house.post(
        "/notes", content=chunks(), headers={"content-type": "application/json"}
    )
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "kit.body_too_large"


async def test_one_path_may_have_a_limit_of_its_own_and_only_that_path(
    make_settings: Callable[..., HttpSettings],
) -> None:
    async def length(request: Request) -> Response:
        return Response(str(sum([len(part) async for part in request.stream()])))

    app = Starlette(routes=[Route(path, length, methods=["POST"]) for path in ("/import", "/note")])
    equip(
        app,
        "memory",
        domain="memory",
        settings=make_settings(HttpSettings, body_bytes_max=200),
        body_bytes_max_at={"/import": 500},
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://house"
    ) as house:
        assert (await house.post("/import", content=b"x" * 500)).text == "500"
        assert (await house.post("/import", content=b"x" * 501)).status_code == 413
        assert (await house.post("/note", content=b"x" * 201)).status_code == 413


async def test_requests_are_counted_by_template_and_never_by_id(house: httpx.AsyncClient) -> None:
    await house.get("/notes/my-private-id")
    await house.get("/my-private-path")
    text = (await house.get("/metrics")).text
    expected = (
        'lares_memory_http_requests_total{method="GET",route="/notes/{note_id}",'
        'service="memory",status="403"} 1.0'
    )
    assert expected in text
    assert 'route="unrouted"' in text
    assert "my-private" not in text


async def test_no_description_of_the_api_is_published_unless_asked_for(
    house: httpx.AsyncClient,
) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert (await house.get(path)).status_code == 404


async def test_what_the_lifespan_yields_is_the_requests_state(
    make_settings: Callable[..., HttpSettings],
) -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"answer": 42}

    app = build(make_settings(HttpSettings), lifespan)
    async with app.router.lifespan_context(app) as state:
        assert state["answer"] == 42


async def test_the_heartbeat_beats_while_the_lifespan_lasts(
    make_settings: Callable[..., HttpSettings],
) -> None:
    settings: HttpSettings = make_settings(HttpSettings)
    app = build(settings)
    async with app.router.lifespan_context(app):
        async with asyncio.timeout(5):
            while not settings.heartbeat_path.exists():
                await asyncio.sleep(0.01)
    assert not settings.heartbeat_path.exists()


async def test_a_plain_starlette_application_gets_the_same(
    make_settings: Callable[..., HttpSettings],
) -> None:
    async def hello(_: Any) -> PlainTextResponse:
        raise TierDenied()

    app = Starlette(routes=[Route("/hello", hello)], lifespan=with_heartbeat(None))
    equip(app, "forward-auth", domain="edge", settings=make_settings(HttpSettings))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://house"
    ) as client:
        assert (await client.get("/hello")).json()["error"]["code"] == "memory.tier_denied"
        assert (await client.get("/healthz")).json() == {
            "status": "alive",
            "service": "forward-auth",
        }


@pytest.mark.parametrize("bind", ["", "0.0.0.0", "::", "memory", "0"])
def test_a_service_refuses_to_listen_on_every_address(bind: str) -> None:
    with pytest.raises(BindRefused):
        check_bind(bind)


@pytest.mark.parametrize("bind", ["10.89.20.2", "127.0.0.1", "fd00::2"])
def test_one_address_is_accepted(bind: str) -> None:
    check_bind(bind)


SERVICE = textwrap.dedent(
    """
    import asyncio, sys
    from kit import logs
    from kit.http import create_app, serve
    from kit.settings import HttpSettings, load
    from fastapi import APIRouter

    router = APIRouter()

    @router.get("/slow")
    async def slow() -> dict[str, str]:
        await asyncio.sleep(1)
        return {"said": "done"}

    settings = load(HttpSettings)
    logs.setup("probe", settings.log_level)
    serve(create_app("probe", domain="ops", settings=settings, routers=[router]), settings)
    """
)


async def test_sigterm_lets_a_running_request_finish_and_ends_the_process(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        **os.environ,
        "LARES_BIND": "127.0.0.1",
        "LARES_PORT": str(port),
        "LARES_HEARTBEAT": str(tmp_path / "heartbeat"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = subprocess.Popen([sys.executable, "-c", SERVICE], env=env)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            async with asyncio.timeout(20):
                while True:
                    try:
                        assert (await client.get("/healthz")).status_code == 200
                        break
                    except httpx.ConnectError:
                        await asyncio.sleep(0.05)
            assert (tmp_path / "heartbeat").exists()
            running = asyncio.create_task(client.get("/slow"))
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert (await running).json() == {"said": "done"}
        code = await asyncio.to_thread(process.wait, 10)
        # Uvicorn ends by raising the signal again once all is finished.
        assert code in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
