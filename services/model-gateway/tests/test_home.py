"""A model server on the home network: through the egress proxy, in plain http or with a certificate of its own."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from model_gateway.app import build
from model_gateway.settings import Settings

from .conftest import Outsider, book, free_port, listen, serving
from .test_outside import Proxy

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
ADDRESS = "192.168.1.20"
SACRED = {"X-Lares-Max-Tier": "sacred"}

SettingsFor = Callable[..., Settings]


class HomeProxy(Proxy):
    """The proxy of the house as squid is for plain http: it passes a request on, or answers in the server's place."""

    def __init__(self) -> None:
        super().__init__()
        self.says = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, rest = head.split(b"\r\n", 1)
        self.asked.append(line.decode())
        if self.says:
            refusal = (
                f"HTTP/1.1 {self.says} No\r\nX-Squid-Error: ERR 0\r\ncontent-length: 0\r\n\r\n"
            )
            writer.write(refusal.encode())
            writer.close()
            return
        method, url, version = line.split()
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            path = b"/" + url.split(b"/", 3)[3]
            there_writer.write(b" ".join((method, path, version)) + b"\r\n" + rest)
        await asyncio.gather(self._pipe(reader, there_writer), self._pipe(there_reader, writer))


@pytest.fixture
async def proxy(outsider: Outsider) -> AsyncIterator[tuple[HomeProxy, str]]:
    made, port = HomeProxy(), free_port()
    made.target = outsider.port
    server = await asyncio.start_server(made.serve, "127.0.0.1", port)
    yield made, f"http://127.0.0.1:{port}"
    server.close()


def at_home(url: str, **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"in_house": True, "via_egress_proxy": True, "max_tier": "sacred"}
    return book(url, **{**told, **more})


async def test_plain_http_at_home_goes_through_the_proxy_by_its_address(
    proxy: tuple[HomeProxy, str], outsider: Outsider, settings_for: SettingsFor
) -> None:
    content = at_home(f"http://{ADDRESS}:11434/v1")
    with serving(build(settings_for(content, LARES_EGRESS_PROXY_URL=proxy[1]))) as gateway:
        reply = await gateway.client.chat.completions.create(
            model="talker", messages=HELLO, extra_headers=SACRED
        )
        stream = await gateway.client.chat.completions.create(
            model="talker", messages=HELLO, stream=True, extra_headers=SACRED
        )
        assert len([chunk async for chunk in stream]) > 5
    assert reply.choices[0].message.content
    assert proxy[0].asked == [f"POST http://{ADDRESS}:11434/v1/chat/completions HTTP/1.1"] * 2
    # A machine of the house may know which requests belong together.
    assert "traceparent" in {name.lower() for name in outsider.headers[0]}


async def test_text_above_what_it_may_be_shown_does_not_even_reach_the_proxy(
    proxy: tuple[HomeProxy, str], settings_for: SettingsFor
) -> None:
    content = at_home(f"http://{ADDRESS}:11434/v1", max_tier="sensitive")
    with serving(build(settings_for(content, LARES_EGRESS_PROXY_URL=proxy[1]))) as gateway:
        with pytest.raises(openai.PermissionDeniedError):
            await gateway.client.chat.completions.create(
                model="talker", messages=HELLO, extra_headers=SACRED
            )
    assert not proxy[0].asked


@pytest.mark.parametrize(("says", "words"), [(403, "does not let"), (503, "could not reach")])
async def test_the_proxys_own_answer_is_not_taken_for_the_model_servers(
    proxy: tuple[HomeProxy, str], settings_for: SettingsFor, says: int, words: str
) -> None:
    proxy[0].says = says
    content = at_home(f"http://{ADDRESS}:11434/v1")
    with serving(build(settings_for(content, LARES_EGRESS_PROXY_URL=proxy[1]))) as gateway:
        with pytest.raises(openai.InternalServerError) as caught:
            await gateway.client.chat.completions.create(
                model="talker", messages=HELLO, extra_headers=SACRED
            )
    body: Any = caught.value.body
    assert body["code"] == "inference.backend_unavailable"
    assert words in body["reason"]


def signed(folder: Path, address: str) -> tuple[str, ssl.SSLContext]:
    """Return a certificate for an address, in PEM, and a server's context with it."""
    key, crt = folder / "gpu.key", folder / "gpu.crt"
    what = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    names = ["-nodes", "-days", "2", "-subj", "/CN=gpu", "-addext", f"subjectAltName=IP:{address}"]
    files = ["-keyout", str(key), "-out", str(crt)]
    subprocess.run([*what, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    return crt.read_text(), context


@pytest.mark.parametrize(("named", "believed"), [(ADDRESS, True), ("192.168.1.21", False)])
async def test_https_at_home_believes_the_certificate_it_was_given_for_that_address_alone(
    proxy: tuple[HomeProxy, str],
    settings_for: SettingsFor,
    tmp_path: Path,
    named: str,
    believed: bool,
) -> None:
    pem, context = signed(tmp_path, named)
    script = Outsider()
    async for _ in listen(script, context):
        proxy[0].target = script.port
        content = at_home(f"https://{ADDRESS}:8443/v1", ca_certificate=pem)
        with serving(build(settings_for(content, LARES_EGRESS_PROXY_URL=proxy[1]))) as gateway:
            asking = gateway.client.chat.completions.create(
                model="talker", messages=HELLO, extra_headers=SACRED
            )
            if believed:
                assert (await asking).choices[0].message.content
            else:
                with pytest.raises(openai.InternalServerError):
                    await asking
        assert proxy[0].asked[0] == f"CONNECT {ADDRESS}:8443 HTTP/1.1"
        assert bool(script.asked) is believed
