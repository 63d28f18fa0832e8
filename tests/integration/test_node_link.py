"""The link between the house and a GPU node, both ends real: what set-up makes, what joins, who is believed and who is not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientError, ClientSession, ClientSSLError, web
from contracts.gpunode import CERTIFICATE_PATH
from gpu_scheduler.authority_renewal import Renewal as HouseRenewal
from gpu_scheduler.join_store import MemberNode
from kit.clock import Clock
from kit.errors import KitError
from node_agent import joining, renewing, tls

from tests.gpu.house import (
    HOME,
    HOST,
    House,
    Through,
    a_house,
    context_of,
    make_secrets,
    self_signed,
    serving,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The secrets of a house, as set-up makes them."""
    return make_secrets(tmp_path_factory.mktemp("house"))


@pytest_asyncio.fixture
async def house(pg: Any, secrets: Path, tmp_path: Path) -> AsyncGenerator[House]:
    async with a_house(pg, secrets, tmp_path) as house:
        yield house


@pytest_asyncio.fixture
async def folder(house: House, tmp_path: Path) -> Path:
    """The files of a node that has joined."""
    folder = tmp_path / "node"
    await asyncio.to_thread(joining.join, await house.token(), folder)
    return folder


@dataclass
class Node:
    """A node that listens, and whom it let in."""

    folder: Path
    context: ssl.SSLContext
    port: int = 0
    roles: list[str | None] = field(default_factory=list[str | None])

    async def ask(
        self, context: ssl.SSLContext | bool, name: str, method: str = "GET", path: str = "/", **more: Any
    ) -> tuple[int, bytes]:  # fmt: skip
        async with ClientSession() as session:
            url = f"https://127.0.0.1:{self.port}{path}"
            async with session.request(
                method, url, ssl=context, server_hostname=name, **more
            ) as answer:
                return answer.status, await answer.read()


@pytest_asyncio.fixture
async def node(folder: Path) -> AsyncGenerator[Node]:
    node = Node(folder, tls.server_context(joining.Settings(tls_dir=folder)))

    async def whoever(request: web.Request) -> web.Response:
        assert request.transport
        node.roles.append(tls.role_of(request.transport.get_extra_info("peercert")))
        return web.Response(text="in")

    @web.middleware
    async def coded(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)
        except KitError as error:
            return web.json_response(error.body(), status=error.status)

    app = web.Application(middlewares=[coded])
    app.add_routes([web.get("/", whoever), *renewing.Renewal(folder, node.context).routes()])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=node.context)
    await site.start()
    node.port = runner.addresses[0][1]
    yield node
    await runner.cleanup()


async def test_a_node_that_has_joined_holds_three_files_for_itself_alone(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {tls.KEY, tls.CERTIFICATE, tls.AUTHORITY}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_the_two_services_of_the_house_are_let_in_each_in_its_role(
    house: House, node: Node
) -> None:
    name = (await house.member()).tls_name
    for service in ("gpu-scheduler", "model-gateway"):
        assert await node.ask(context_of(house.secrets, service), name) == (200, b"in")
    assert node.roles == ["scheduler", "gateway"]


async def test_nobody_else_is_let_in(house: House, node: Node, tmp_path: Path) -> None:
    """No certificate, one of another authority, a node's own, one that names no role, and an older TLS."""
    name = (await house.member()).tls_name
    authority = (node.folder / tls.AUTHORITY).read_text()
    nothing = ssl.create_default_context(cadata=authority)
    certificate, key = self_signed(tmp_path, "stranger")
    stranger = ssl.create_default_context(cadata=authority)
    stranger.load_cert_chain(certificate, key)
    another_node = ssl.create_default_context(cadata=authority)
    another_node.load_cert_chain(node.folder / tls.CERTIFICATE, node.folder / tls.KEY)
    older = context_of(house.secrets, "gpu-scheduler")
    older.minimum_version = ssl.TLSVersion.TLSv1_2
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    for context in (nothing, stranger, another_node, older):
        with pytest.raises(ClientError):
            await node.ask(context, name)
    assert node.roles == []


async def test_a_certificate_of_the_house_without_a_role_may_do_nothing(
    house: House, node: Node
) -> None:
    assert tls.role_of(None) is None
    for names in (
        (("DNS", "gpu-scheduler"),),
        (("URI", "lares:role:owner"),),
        (("URI", "lares:role:gateway"), ("URI", "lares:role:scheduler")),
    ):
        assert tls.role_of({"subjectAltName": names}) is None


async def test_a_node_that_joined_anew_or_was_removed_is_not_believed_with_its_old_certificate(
    house: House, node: Node, tmp_path: Path
) -> None:
    context = context_of(house.secrets, "model-gateway")
    before = (await house.member()).tls_name
    assert (await node.ask(context, before))[0] == 200
    await asyncio.to_thread(joining.join, await house.token(), tmp_path / "replaced")
    after = (await house.member()).tls_name
    with pytest.raises(ClientSSLError):
        await node.ask(context, after)
    await house.store.remove("forge")
    assert await house.store.present() == (), "there is no name left under which it is asked"


async def test_a_node_never_passes_for_another(house: House, node: Node, tmp_path: Path) -> None:
    token = await house.store.new_token("anvil", "192.168.1.21")
    assert token
    with pytest.raises(ClientSSLError):
        await node.ask(context_of(house.secrets, "gpu-scheduler"), "anvil-000000000000.node.lares")


async def test_the_house_renews_a_certificate_and_the_node_goes_on_serving(
    house: House, node: Node
) -> None:
    context = context_of(house.secrets, "gpu-scheduler")

    async def ask(member: MemberNode, method: str, path: str, body: bytes | None) -> bytes:
        status, answer = await node.ask(context, member.tls_name, method, path, data=body)
        assert status < 300, answer
        return answer

    before, key = await house.member(), (node.folder / tls.KEY).read_bytes()
    await HouseRenewal(house.store, house.authority, Clock(), ask).renew(before)
    after = await house.member()
    assert (node.folder / tls.KEY).read_bytes() != key, "a new certificate is for a new key"
    assert not (node.folder / tls.NEXT_KEY).exists()
    assert after == replace(
        before, fingerprint=after.fingerprint, signed_at=after.signed_at, expires_at=after.expires_at
    )  # fmt: skip
    assert await shown(node, context, after.tls_name) == after.fingerprint != before.fingerprint
    assert (await node.ask(context, after.tls_name))[0] == 200


async def shown(node: Node, context: ssl.SSLContext, name: str) -> str:
    """Return the fingerprint of the certificate that a node shows."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", node.port, ssl=context, server_hostname=name
    )
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return hashlib.sha256(der).hexdigest()


async def test_the_gateway_may_not_renew(house: House, node: Node) -> None:
    name = (await house.member()).tls_name
    context = context_of(house.secrets, "model-gateway")
    for method in ("POST", "PUT"):
        status, body = await node.ask(context, name, method, CERTIFICATE_PATH)
        assert (status, b"node.role_refused" in body) == (403, True)
    assert not (node.folder / tls.NEXT_KEY).exists()


async def test_a_node_takes_no_certificate_but_the_one_it_asked_for(
    house: House, node: Node
) -> None:
    """Of another key, with another name, of another authority: the old one stays and serves."""
    renewal = renewing.Renewal(node.folder, node.context)
    name = (await house.member()).tls_name
    kept = (node.folder / tls.CERTIFICATE).read_bytes()
    csr = renewal.request().csr
    _, other_csr = renewing.new_request("node")
    sign = house.authority.sign
    for wrong in (
        sign(other_csr, name="forge", address=HOME, tls_name=name).certificate,
        sign(csr, name="forge", address=HOME, tls_name="anvil-1.node.lares").certificate,
        sign(csr, name="forge", address="192.168.1.21", tls_name=name).certificate,
        house.web.read_text(),
        "rubbish",
    ):
        with pytest.raises(tls.CertificateRefused):
            renewal.take(renewing.CertificateGiven(certificate=wrong))
    assert (node.folder / tls.CERTIFICATE).read_bytes() == kept
    assert (await node.ask(context_of(house.secrets, "gpu-scheduler"), name))[0] == 200


async def test_a_renewal_that_a_power_cut_broke_off_is_finished_at_the_next_start(
    house: House, folder: Path
) -> None:
    settings = joining.Settings(tls_dir=folder)
    renewal = renewing.Renewal(folder, tls.server_context(settings))
    name = (await house.member()).tls_name
    new = house.authority.sign(
        renewal.request().csr, name="forge", address=HOME, tls_name=name
    ).certificate
    # The certificate is on the disk, its key still under the other name.
    tls.keep(folder, tls.CERTIFICATE, new.encode())
    with pytest.raises(tls.NotJoined):
        tls.server_context(settings)
    renewing.complete(folder)
    tls.server_context(settings)
    assert (folder / tls.CERTIFICATE).read_text() == new


async def test_a_house_that_is_not_the_tokens_gets_nothing_of_it(
    house: House, tmp_path: Path
) -> None:
    """Another authority behind the fingerprint; and the right authority handed out by whoever cannot prove to be it."""
    (tmp_path / "impostor").mkdir()
    certificate, key = self_signed(tmp_path / "impostor", HOST)
    token = await house.token(authority_sha256="0" * 64)
    with pytest.raises(joining.HouseNotBelieved):
        await asyncio.to_thread(joining.join, token, tmp_path / "node")
    listener = Through(house.edge.app)
    async with serving(listener, certificate, key) as port:
        token = await house.token(https_port=port)
        with pytest.raises(joining.HouseNotBelieved):
            await asyncio.to_thread(joining.join, token, tmp_path / "node")
    assert listener.seen == house.edge.seen == []
    assert not (tmp_path / "node").exists()


async def test_what_the_house_says_reaches_the_owner_and_an_earlier_joining_stays(
    house: House, folder: Path
) -> None:
    kept = (folder / tls.CERTIFICATE).read_bytes()
    token = await house.token()
    await house.store.new_token("forge", HOME)
    with pytest.raises(joining.HouseRefused) as refused:
        await asyncio.to_thread(joining.join, token, folder)
    assert "inference.join_used" in refused.value.reason
    assert "make gpu-node" in refused.value.fix
    assert (folder / tls.CERTIFICATE).read_bytes() == kept


async def test_a_house_that_is_away_is_named_as_that(house: House, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        token = await house.token(http_port=nobody.getsockname()[1])
        with pytest.raises(joining.HouseUnreachable):
            await asyncio.to_thread(joining.join, token, tmp_path / "node")


@pytest.mark.parametrize(
    "word", ["", "lares1.", "lares1.e30", "lares2.abc", "lares1.%%%", "x" * 3000]
)
def test_a_word_that_is_no_token_is_named_as_that(word: str) -> None:
    with pytest.raises(joining.TokenUnreadable):
        joining.read_token(word)


async def test_a_token_is_read_as_it_was_written(house: House) -> None:
    token = await house.token()
    word = "lares1." + base64.urlsafe_b64encode(token.model_dump_json().encode()).decode()
    assert joining.read_token(f" {word.rstrip('=')}\n") == token
    assert len(word) < 600, "it is carried by hand"


def test_a_node_that_has_not_joined_does_not_listen(tmp_path: Path) -> None:
    with pytest.raises(tls.NotJoined):
        tls.server_context(joining.Settings(tls_dir=tmp_path))
