"""A GPU node joins once, under its own name, from its own address; every other attempt ends the token or finds no door."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from contracts.gpunode import JOIN_PATH, JoinAnswer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from gpu_scheduler import join
from gpu_scheduler import join_errors as errors
from gpu_scheduler.authority import Authority, client_context
from gpu_scheduler.join_store import JoinStore
from kit.clock import FakeClock
from kit.errors import install
from kit.pool import Pool
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

pytestmark = pytest.mark.integration

EDGE, NEIGHBOUR = "10.89.32.3", "10.89.32.9"
HOME = "192.168.1.20"
Key = ec.EllipticCurvePrivateKey


def pem(key: Any) -> str:
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(
        serialization.Encoding.PEM, kind, serialization.NoEncryption()
    ).decode()


def make_authority(clock: FakeClock) -> Authority:
    """An authority as set-up makes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lares GPU nodes")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(clock.now() - timedelta(days=1))
        .not_valid_after(clock.now() + timedelta(days=7300))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate.public_bytes(serialization.Encoding.PEM).decode(), pem(key), clock)


def request_of(key: Any, name: str = "forge") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    # What a request claims: a name that would let its holder speak for the house.
    claims = x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier("lares:role:scheduler"), x509.DNSName("other.node.lares")]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = builder.add_extension(claims, critical=False).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


class Door:
    """The route as the edge reaches it, and the books behind it."""

    def __init__(self, store: JoinStore, authority: Authority, clock: FakeClock) -> None:
        self.store, self.authority, self.clock = store, authority, clock
        self.told = 0

        async def joined(_: Any) -> None:
            self.told += 1

        secret = Route("/v1/status", lambda _: PlainTextResponse("everything"), methods=["GET"])
        app = Starlette(routes=[*join.routes(lambda _: store, authority, clock, joined), secret])
        install(app)
        self.app = join.EdgeOnly(app, EDGE)

    async def ask(
        self,
        token: str,
        *,
        node: str = "forge",
        address: str = HOME,
        peer: str = HOME,
        csr: str | None = None,
        source: str = EDGE,
    ) -> httpx.Response:
        key = ec.generate_private_key(ec.SECP256R1())
        body = {"token": token, "node": node, "address": address, "csr": csr or request_of(key)}
        return await self.call("POST", JOIN_PATH, source, json=body, headers={"X-Lares-Peer": peer})

    async def call(self, method: str, path: str, source: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(source, 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://scheduler") as http:
            return await http.request(method, path, **options)


def code_of(answer: httpx.Response) -> str:
    return answer.json()["error"]["code"]


@pytest_asyncio.fixture
async def door(pg: Any) -> AsyncGenerator[Door]:
    clock = FakeClock()
    async with await Pool.open(pg.database("svc_gpu_scheduler"), max_size=2) as pool:
        yield Door(JoinStore(pool, clock), make_authority(clock), clock)


async def test_a_node_joins_once_and_is_believed_under_the_name_of_that_joining(door: Door) -> None:
    token = await door.store.new_token("forge", HOME, wakeable=True)
    key = ec.generate_private_key(ec.SECP256R1())
    answer = await door.ask(token, csr=request_of(key))
    assert answer.status_code == 200, answer.text
    given = JoinAnswer.model_validate_json(answer.content)
    certificate = x509.load_pem_x509_certificate(given.certificate.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(given.authority.encode()))
    assert certificate.public_key() == key.public_key()
    (node,) = await door.store.present()
    said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(said) == [
        x509.DNSName(node.tls_name),
        x509.IPAddress(ipaddress.ip_address(HOME)),
    ], "nothing that the request claimed"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    assert node.fingerprint == certificate.fingerprint(hashes.SHA256()).hex()
    assert (node.name, node.address, node.port, node.wakeable) == ("forge", HOME, 8443, True)
    assert door.told == 1


async def test_a_token_is_good_for_one_attempt(door: Door) -> None:
    token = await door.store.new_token("forge", HOME)
    first = await door.ask(token)
    assert first.status_code == 200
    again = await door.ask(token)
    assert (again.status_code, code_of(again)) == (409, "inference.join_used")
    assert len(await door.store.present()) == 1


async def test_of_many_that_show_one_token_at_once_one_joins(door: Door) -> None:
    token = await door.store.new_token("forge", HOME)
    answers = await asyncio.gather(*(door.ask(token) for _ in range(8)))
    assert sorted(a.status_code for a in answers) == [200] + [409] * 7


async def test_a_replayed_request_is_refused_and_gives_no_second_certificate(door: Door) -> None:
    token = await door.store.new_token("forge", HOME)
    csr = request_of(ec.generate_private_key(ec.SECP256R1()))
    assert (await door.ask(token, csr=csr)).status_code == 200
    (before,) = await door.store.present()
    assert code_of(await door.ask(token, csr=csr)) == "inference.join_used"
    assert await door.store.present() == (before,)


async def test_a_token_ends_after_15_minutes(door: Door) -> None:
    token = await door.store.new_token("forge", HOME)
    await door.clock.advance(15 * 60)
    answer = await door.ask(token)
    assert (answer.status_code, code_of(answer)) == (403, "inference.join_expired")


@pytest.mark.parametrize(
    "wrong",
    [{"node": "anvil"}, {"address": "192.168.1.21"}, {"peer": "192.168.1.21"}, {"peer": ""}],
    ids=["name", "address it claims", "address it comes from", "no address"],
)
async def test_a_token_in_the_wrong_hands_lets_nobody_in_and_is_worth_nothing_after(
    door: Door, wrong: dict[str, str]
) -> None:
    token = await door.store.new_token("forge", HOME)
    answer = await door.ask(token, **wrong)
    assert (answer.status_code, code_of(answer)) == (403, "inference.join_elsewhere")
    assert code_of(await door.ask(token)) == "inference.join_used"
    assert await door.store.present() == ()


@pytest.mark.parametrize("token", ["x" * 43, "x" * 16])
async def test_a_made_up_token_is_refused(door: Door, token: str) -> None:
    await door.store.new_token("forge", HOME)
    assert code_of(await door.ask(token)) == "inference.join_refused"


async def test_the_hash_in_the_database_is_no_token(door: Door, pg: Any) -> None:
    token = await door.store.new_token("forge", HOME)
    connection = await pg.connect()
    rows = await connection.fetch("SELECT * FROM inference.node_token")
    await connection.close()
    assert token not in str(rows)
    assert code_of(await door.ask(rows[0]["hash"])) == "inference.join_refused"


async def test_a_new_token_ends_the_one_before(door: Door) -> None:
    first = await door.store.new_token("forge", HOME)
    second = await door.store.new_token("forge", HOME)
    assert code_of(await door.ask(first)) == "inference.join_used"
    assert (await door.ask(second)).status_code == 200


def foreign_requests() -> dict[str, str]:
    key = rsa.generate_private_key(65537, 2048)
    good = request_of(ec.generate_private_key(ec.SECP256R1()))
    other = request_of(ec.generate_private_key(ec.SECP256R1()))
    lines, others = good.splitlines(), other.splitlines()
    # The signature's last line of another request: its key has not signed it.
    forged = "\n".join([*lines[:-2], others[-2], lines[-1]]) + "\n"
    return {"rsa": request_of(key), "rubbish": "no request", "signed by another": forged}


@pytest.mark.parametrize("kind", ["rsa", "rubbish", "signed by another"])
async def test_a_request_that_is_not_its_own_keys_is_not_signed(door: Door, kind: str) -> None:
    token = await door.store.new_token("forge", HOME)
    answer = await door.ask(token, csr=foreign_requests()[kind])
    assert code_of(answer) == "inference.join_request_invalid"
    assert await door.store.present() == ()


async def test_a_shapeless_request_does_not_come_back_with_its_values(door: Door) -> None:
    body = {"token": "t" * 43, "more": "s3cret"}
    answer = await door.call("POST", JOIN_PATH, EDGE, json=body, headers={"X-Lares-Peer": HOME})
    assert answer.status_code == 422
    assert "s3cret" not in answer.text
    assert "ttt" not in answer.text


async def test_joining_anew_ends_the_earlier_certificate(door: Door) -> None:
    assert (await door.ask(await door.store.new_token("forge", HOME))).status_code == 200
    (before,) = await door.store.present()
    assert (await door.ask(await door.store.new_token("forge", HOME))).status_code == 200
    (after,) = await door.store.present()
    assert after.tls_name != before.tls_name


async def test_a_removed_node_is_no_longer_there_and_its_token_ends_too(door: Door) -> None:
    assert (await door.ask(await door.store.new_token("forge", HOME))).status_code == 200
    token = await door.store.new_token("forge", HOME)
    assert await door.store.remove("forge") == HOME
    assert await door.store.present() == ()
    assert code_of(await door.ask(token)) == "inference.join_used"
    with pytest.raises(errors.NodeUnknown):
        await door.store.remove("forge")


async def test_two_nodes_are_never_at_one_address(door: Door) -> None:
    assert (await door.ask(await door.store.new_token("forge", HOME))).status_code == 200
    with pytest.raises(errors.AddressTaken):
        await door.store.new_token("anvil", HOME)


async def test_the_house_follows_sixteen_nodes_and_no_more(door: Door) -> None:
    for number in range(16):
        address = f"192.168.1.{50 + number}"
        token = await door.store.new_token(f"n{number}", address)
        answer = await door.ask(token, node=f"n{number}", address=address, peer=address)
        assert answer.status_code == 200, answer.text
    with pytest.raises(errors.NodesTooMany):
        await door.store.new_token("one-more", "192.168.1.99")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("Forge", HOME), ("forge'", HOME), ("", HOME), ("x" * 32, HOME), ("forge", "8.8.8.8"),
        ("forge", "127.0.0.1"), ("forge", "169.254.1.1"), ("forge", "fd00::1"), ("forge", "forge.local"),
    ],
)  # fmt: skip
async def test_no_token_is_made_for_what_is_no_node_at_home(
    door: Door, name: str, address: str
) -> None:
    with pytest.raises(errors.NodeInvalid):
        await door.store.new_token(name, address)


async def test_guessing_is_slowed_down_and_does_not_cost_the_owner_the_token(door: Door) -> None:
    token = await door.store.new_token("forge", HOME)
    for _ in range(10):
        assert code_of(await door.ask("x" * 43, peer="192.168.1.66")) == "inference.join_refused"
    slowed = await door.ask("x" * 43, peer="192.168.1.66")
    assert (slowed.status_code, code_of(slowed)) == (429, "inference.join_too_often")
    assert slowed.headers["retry-after"] == "60"
    assert (await door.ask(token)).status_code == 200
    await door.clock.advance(60)
    assert code_of(await door.ask("x" * 43, peer="192.168.1.66")) == "inference.join_refused"


async def test_the_edge_reaches_the_one_path_and_nobody_else_reaches_that(door: Door) -> None:
    token = await door.store.new_token("forge", HOME)
    for path in ("/v1/status", "/metrics", "/node", "/node/join/", "/node/join/../../v1/status"):
        assert (await door.call("GET", path, EDGE)).status_code == 404
    assert (await door.call("GET", "/v1/status", NEIGHBOUR)).text == "everything"
    assert (await door.ask(token, source=NEIGHBOUR)).status_code == 404
    assert (await door.ask(token)).status_code == 200


async def test_a_websocket_from_the_edge_is_turned_away(door: Door) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/v1/queue", "client": (EDGE, 1), "headers": []}
    await door.app(scope, receive, send)
    assert [m["type"] for m in sent] == ["websocket.close"]


async def test_a_certificate_ends_no_later_than_its_authority(door: Door) -> None:
    await door.clock.advance(7200 * 86_400)
    token = await door.store.new_token("forge", HOME)
    answer = JoinAnswer.model_validate_json((await door.ask(token)).content)
    authority = x509.load_pem_x509_certificate(answer.authority.encode())
    assert answer.expires_at == authority.not_valid_after_utc


def test_the_scheduler_calls_a_node_in_tls_1_3_with_its_name_checked() -> None:
    import ssl

    authority = make_authority(FakeClock())
    key = ec.generate_private_key(ec.SECP256R1())
    own = authority.sign(request_of(key), name="x", address=HOME, tls_name="x.node.lares")
    context = client_context(authority.certificate, own.certificate, pem(key))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1
