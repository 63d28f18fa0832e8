"""A backend outside: through the egress proxy by CONNECT, with TLS, with its key, and only for what may leave."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import openai
import pytest
from model_gateway.app import build
from model_gateway.settings import Settings

from .conftest import Outsider, Served, book, free_port, listen, serving

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
TIER = {"X-Lares-Max-Tier": "convenience"}
HOST = "api.example.org"
KEY = "sk-of-the-house"


class Proxy:
    """A proxy that speaks CONNECT and lets a client reach what it is told; every name leads to one port."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refuses = False
        self.target = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split("\r\n")[0])
        if self.refuses or not head.startswith("CONNECT "):
            writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(self._pipe(reader, there_writer), self._pipe(there_reader, writer))

    @staticmethod
    async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except (ConnectionError, OSError):
            pass
        finally:
            sink.close()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SSLContext:
    """A certificate for the outside host, trusted by this process alone."""
    key, crt = tmp_path / "key.pem", tmp_path / "crt.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ),
            *(
                "-subj",
                f"/CN={HOST}",
                "-addext",
                f"subjectAltName=DNS:{HOST}",
                "-keyout",
                str(key),
                "-out",
                str(crt),
            ),
        ],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(crt))
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    return context


@pytest.fixture
async def secure(certificate: SSLContext) -> AsyncIterator[Outsider]:
    script = Outsider()
    async for _ in listen(script, certificate):
        yield script


@pytest.fixture
async def proxy(secure: Outsider) -> AsyncIterator[tuple[Proxy, int]]:
    made, port = Proxy(), free_port()
    made.target = secure.port
    server = await asyncio.start_server(made.serve, "127.0.0.1", port)
    yield made, port
    server.close()


@pytest.fixture
def gateway(
    proxy: tuple[Proxy, int], settings_for: Callable[..., Settings], tmp_path: Path
) -> Iterator[Served]:
    (tmp_path / "backend_cloud_api_key").write_text(KEY + "\n")
    content = book(
        f"https://{HOST}/v1",
        in_house=False,
        via_egress_proxy=True,
        api_key_secret="backend_cloud_api_key",
    )
    settings = settings_for(content, LARES_EGRESS_PROXY_URL=f"http://127.0.0.1:{proxy[1]}")
    with serving(build(settings)) as served:
        yield served


async def test_it_is_reached_through_the_proxy_with_the_key_and_without_a_trace(
    gateway: Served, secure: Outsider, proxy: tuple[Proxy, int]
) -> None:
    reply = await gateway.client.chat.completions.create(
        model="talker", messages=HELLO, extra_headers=TIER
    )
    assert reply.choices[0].message.content
    assert proxy[0].asked == [f"CONNECT {HOST}:443 HTTP/1.1"]
    sent = {name.lower(): value for name, value in secure.headers[0].items()}
    assert sent["authorization"] == f"Bearer {KEY}"
    assert "traceparent" not in sent


async def test_a_stream_comes_through_the_proxy_too(gateway: Served) -> None:
    stream = await gateway.client.chat.completions.create(
        model="talker", messages=HELLO, stream=True, extra_headers=TIER
    )
    assert len([chunk async for chunk in stream]) > 5


@pytest.mark.parametrize(
    "headers", [{}, {"X-Lares-Max-Tier": "sensitive"}, {"X-Lares-Max-Tier": "sacred"}]
)
async def test_what_may_not_leave_is_not_even_connected(
    gateway: Served, secure: Outsider, proxy: tuple[Proxy, int], headers: dict[str, str]
) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await gateway.client.chat.completions.create(
            model="talker", messages=HELLO, extra_headers=headers
        )
    body: Any = caught.value.body
    assert body["code"] == "inference.tier_refused"
    assert not proxy[0].asked
    assert not secure.asked


async def test_a_host_that_the_proxy_does_not_allow_says_where_to_allow_it(
    gateway: Served, proxy: tuple[Proxy, int]
) -> None:
    proxy[0].refuses = True
    with pytest.raises(openai.InternalServerError) as caught:
        await gateway.client.chat.completions.create(
            model="talker", messages=HELLO, extra_headers=TIER
        )
    body: Any = caught.value.body
    assert body["code"] == "inference.backend_unavailable"
    assert "networks/egress.yaml" in body["fix"]


async def test_a_host_with_another_certificate_is_not_talked_to(
    gateway: Served,
    secure: Outsider,
    settings_for: Callable[..., Settings],
    proxy: tuple[Proxy, int],
) -> None:
    content = book("https://api.example.com/v1", in_house=False, via_egress_proxy=True)
    with serving(
        build(settings_for(content, LARES_EGRESS_PROXY_URL=f"http://127.0.0.1:{proxy[1]}"))
    ) as other:
        with pytest.raises(openai.InternalServerError) as caught:
            await other.client.chat.completions.create(
                model="talker", messages=HELLO, extra_headers=TIER
            )
    assert caught.value.status_code == 503
    assert not secure.asked


async def test_the_off_switch_keeps_everything_in_the_house(
    settings_for: Callable[..., Settings], proxy: tuple[Proxy, int]
) -> None:
    content = book(f"https://{HOST}/v1", in_house=False, via_egress_proxy=True)
    settings = settings_for(
        content,
        LARES_EGRESS_PROXY_URL=f"http://127.0.0.1:{proxy[1]}",
        LARES_INFERENCE_DISABLED="outside",
    )
    with serving(build(settings)) as other:
        with pytest.raises(openai.InternalServerError) as caught:
            await other.client.chat.completions.create(
                model="talker", messages=HELLO, extra_headers=TIER
            )
        listed = (await other.client.models.list()).data
    body: Any = caught.value.body
    assert (caught.value.status_code, body["code"]) == (503, "inference.model_off")
    assert not any(model.to_dict()["enabled"] for model in listed)
    assert not proxy[0].asked
