"""Forms with files: read within bounds, and only while there is memory."""

import asyncio
from typing import Any

import httpx
import pytest
from kit.http import equip
from kit.multipart import UploadRoom, read_form
from kit.settings import HttpSettings, read
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

FILE_MAX = 1000


class Service:
    """A service that takes a file, and holds it until it is told to go on."""

    def __init__(self, tmp_path: Any) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.held = 0
        room = Middleware(UploadRoom, paths=["/file"], held_bytes_max=2000)
        app = Starlette(routes=[Route("/file", self.take, methods=["POST"])], middleware=[room])
        settings = read(
            HttpSettings, {"LARES_BIND": "127.0.0.1", "LARES_HEARTBEAT": str(tmp_path / "beat")}
        )
        equip(app, "taker", domain="ops", settings=settings, body_bytes_max_at={"/file": 1500})
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://taker")

    async def take(self, request: Request) -> JSONResponse:
        form = await read_form(request, file_bytes_max=FILE_MAX)
        self.held += 1
        await self.go.wait()
        files = [(one.name, one.filename, one.content_type, len(one.data)) for one in form.files]
        return JSONResponse({"fields": form.fields, "files": files})


@pytest.fixture
def service(tmp_path: Any) -> Service:
    return Service(tmp_path)


async def test_fields_lists_and_the_file_are_told_apart(service: Service) -> None:
    answer = await service.client.post(
        "/file",
        data={"name": "Grüße", "word[]": ["a", "b"]},
        files={"file": ("clip.wav", b"x" * FILE_MAX, "audio/wav")},
    )
    assert answer.json() == {
        "fields": {"name": "Grüße", "word": ["a", "b"]},
        "files": [["file", "clip.wav", "audio/wav", FILE_MAX]],
    }


async def test_a_file_beyond_its_limit_is_refused_while_it_is_read(service: Service) -> None:
    answer = await service.client.post("/file", files={"file": b"x" * (FILE_MAX + 1)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "kit.body_too_large")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", "application/json"),
        (b"", "multipart/form-data"),
        (b"none", "multipart/form-data; boundary=x"),
        (b"--x--", "multipart/form-data; boundary=" + "x" * 300),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb',
            "multipart/form-data; boundary=x",
        ),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\nb\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
    ],
)
async def test_what_is_no_whole_form_is_refused(service: Service, body: bytes, kind: str) -> None:
    answer = await service.client.post("/file", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "kit.invalid_request")


async def test_files_are_taken_only_while_there_is_room_for_them(service: Service) -> None:
    service.go.clear()
    file = {"file": ("a", b"x" * 900)}
    first = asyncio.create_task(service.client.post("/file", files=file))
    while not service.held:
        await asyncio.sleep(0)
    refused = await service.client.post("/file", files=file)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "kit.uploads_full")
    assert refused.headers["retry-after"] == "5"
    service.go.set()
    assert (await first).status_code == 200
    assert (await service.client.post("/file", files=file)).status_code == 200


async def test_a_body_of_untold_length_takes_room_as_it_comes(service: Service) -> None:
    service.go.clear()

    async def pieces() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
        yield b'--x\r\nContent-Disposition: form-data; name="b"\r\n\r\n' + b"y" * 800
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}

    async def ask() -> httpx.Response:
        return await service.client.post("/file", content=pieces(), headers=headers)

    first = asyncio.create_task(ask())
    while not service.held:
        await asyncio.sleep(0)
    refused = await service.client.post("/file", files={"file": ("a", b"x" * FILE_MAX)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "kit.uploads_full")
    second = asyncio.create_task(ask())
    while service.held < 2:
        await asyncio.sleep(0)
    # It is full in the middle of the third.
    assert (await ask()).status_code == 503
    service.go.set()
    assert [(await one).status_code for one in (first, second)] == [200, 200]
    assert (await ask()).status_code == 200
