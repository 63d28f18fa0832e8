"""The Security page: every key that opens the house, made and taken away again."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import ssl
import struct
import threading
import time
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect

from tests.e2e.browser import authority
from tests.e2e.person import PASSWORD, Person


def totp(secret: str, at: float) -> str:
    """RFC 6238, written out: the test must not believe the library that it tests."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(at) // 30), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def authenticator(page: Any) -> tuple[Any, str]:
    """Give the page a platform authenticator, as a laptop has one."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return cdp, made["authenticatorId"]


@pytest.fixture(scope="module")
def keyring() -> dict[str, str]:
    """What the owner keeps in their head and pocket from one test to the next."""
    return {}


def test_an_authenticator_app_is_set_up_with_recovery_codes(
    owner: Person, page: Any, keyring: dict[str, str]
) -> None:
    page.goto("/security")
    expect(page.get_by_text("Your password is the only key.")).to_be_visible()
    page.get_by_role("button", name="Set up").click()
    owner.prove()
    dialog = page.get_by_role("dialog", name="Set up your authenticator app")
    expect(dialog.get_by_role("img", name="QR code of the set-up key")).to_be_visible()
    keyring["totp"] = dialog.get_by_label("Set-up key", exact=True).inner_text().strip()
    dialog.get_by_label("Code from the app").fill("000000")
    dialog.get_by_role("button", name="Confirm").click()
    expect(dialog.get_by_role("alert")).to_contain_text("identity.")
    dialog.get_by_label("Code from the app").fill(totp(keyring["totp"], time.time()))
    dialog.get_by_role("button", name="Confirm").click()
    codes = page.get_by_role("dialog", name="Your recovery codes")
    listed = codes.get_by_label("Recovery codes").inner_text().split()
    assert len(listed) >= 8
    keyring["recovery"] = listed[0]
    codes.get_by_role("button", name="I have kept them").click()
    expect(page.get_by_text("Your password is the only key.")).to_have_count(0)


def test_the_second_factor_is_asked_for_and_a_recovery_code_serves(
    owner: Person, browser: Any, stack: Any, keyring: dict[str, str]
) -> None:
    again = Person(browser, stack, owner.username)
    again.sign_in()
    expect(again.page.get_by_role("heading", name="One more step")).to_be_visible()
    again.page.get_by_label("Code").fill(keyring["recovery"])
    again.page.get_by_role("button", name="Continue").click()
    expect(again.page.get_by_role("heading", name=owner.username)).to_be_visible()
    again.leave()


def test_a_passkey_is_added_and_opens_the_house_without_a_password(
    owner: Person, browser: Any, stack: Any, page: Any
) -> None:
    cdp, authenticator_id = authenticator(page)
    page.goto("/security")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_label("Name of this device").fill("The laptop in the hall")
    page.get_by_role("button", name="Continue").click()
    owner.prove()
    expect(page.get_by_text("The laptop in the hall")).to_be_visible()
    held = cdp.send("WebAuthn.getCredentials", {"authenticatorId": authenticator_id})
    assert len(held["credentials"]) == 1

    elsewhere = Person(browser, stack, owner.username)
    other, other_id = authenticator(elsewhere.page)
    credential = held["credentials"][0]
    other.send("WebAuthn.addCredential", {"authenticatorId": other_id, "credential": credential})
    elsewhere.page.goto("/signin")
    elsewhere.page.get_by_role("button", name="Sign in with a passkey").click()
    expect(elsewhere.page.get_by_role("heading", name=owner.username)).to_be_visible()
    elsewhere.leave()


def test_a_session_that_is_ended_elsewhere_is_shown_out_within_five_seconds(
    owner: Person, browser: Any, stack: Any, page: Any, keyring: dict[str, str]
) -> None:
    victim = Person(browser, stack, owner.username, user_agent="Mozilla/5.0 (iPhone) Safari/1")
    victim.sign_in()
    victim.page.get_by_label("Code").fill(totp(keyring["totp"], time.time()))
    victim.page.get_by_role("button", name="Continue").click()
    expect(victim.page.get_by_role("heading", name=owner.username)).to_be_visible()
    page.goto("/security")
    page.get_by_role("button", name=re.compile("End session Safari on iOS")).first.click()
    owner.prove()
    ended = time.monotonic()
    # Nobody touches the page: the line that it holds open tells it.
    victim.page.wait_for_url(re.compile(r"/signin"), timeout=8000)
    assert time.monotonic() - ended < 6, "five seconds, and one for the page"
    victim.leave()


def test_a_token_is_shown_once_and_recalls_rex_from_an_mcp_client(
    owner: Person, stack: Any, page: Any
) -> None:
    owner.knows("My dog is called Rex.")
    page.goto("/security")
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill("A reading lamp")
    page.get_by_role("button", name="Make the token").click()
    owner.prove()
    dialog = page.get_by_role("dialog", name="Token “A reading lamp”")
    secret = dialog.get_by_label("Access token").inner_text().strip()
    assert secret.startswith("lares_pat_")
    dialog.get_by_role("button", name="Done").click()
    expect(page.get_by_text(secret)).to_have_count(0)

    told = in_a_thread(lambda: recall_over_mcp(stack, secret, "What is my dog called?"))
    assert "Rex" in told

    page.get_by_role("button", name="Revoke token A reading lamp").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    owner.prove()
    expect(owner.toast("Token revoked")).to_be_visible()
    # What was decided a moment ago is believed for some seconds, and no longer.
    time.sleep(6)
    assert in_a_thread(lambda: status_at_mcp(stack, secret)) == 401
    with pytest.raises(Exception, match="error response"):
        in_a_thread(lambda: recall_over_mcp(stack, secret, "What is my dog called?"))


async def status_at_mcp(stack: Any, secret: str) -> int:
    """Return how the door of the AI clients answers to `secret`."""
    transport = Nearby(stack, verify=ssl.create_default_context(cadata=authority(stack)))
    async with httpx2.AsyncClient(transport=transport) as client:
        headers = {"Authorization": f"Bearer {secret}"}
        return (await client.post(f"{stack.url}/mcp", json={}, headers=headers)).status_code


async def recall_over_mcp(stack: Any, secret: str, query: str) -> str:
    """Ask the house as an AI client does, with the client library that such programs use."""
    from fastmcp import Client
    from fastmcp.client.transports import StreamableHttpTransport

    tls = ssl.create_default_context(cadata=authority(stack))

    def client_factory(**options: Any) -> httpx2.AsyncClient:
        # The name of the house resolves nowhere but in the household's own network.
        transport = Nearby(stack, verify=tls)
        return httpx2.AsyncClient(**{**options, "transport": transport})

    transport = StreamableHttpTransport(
        f"{stack.url}/mcp", auth=secret, httpx_client_factory=client_factory
    )
    async with Client(transport) as client:
        names = [tool.name for tool in await client.list_tools()]
        recall = next(name for name in names if "recall" in name)
        return str(await client.call_tool(recall, {"query": query}))


class Nearby(httpx2.AsyncHTTPTransport):
    """Connects to 127.0.0.1 whatever the name is, and checks the certificate for the name all the same."""

    def __init__(self, stack: Any, verify: ssl.SSLContext) -> None:
        super().__init__(verify=verify, trust_env=False)
        self._stack = stack

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions["sni_hostname"] = self._stack.host
        request.url = request.url.copy_with(host="127.0.0.1")
        return await super().handle_async_request(request)


def in_a_thread(work: Any) -> Any:
    """Run a coroutine apart from the browser's own loop."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(asyncio.run(work()))
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(120)
    assert result, "no answer within two minutes"
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


def test_everything_that_happened_is_in_the_trail(owner: Person, page: Any) -> None:
    page.goto("/security")
    trail = page.get_by_role("region", name="What happened")
    for event in ("authenticator added", "token made", "token revoked"):
        expect(trail.get_by_text(re.compile(event)).first).to_be_visible()
    expect(page.get_by_text(PASSWORD)).to_have_count(0)


def test_an_invitation_wants_two_factors_and_its_link_is_shown_once(
    owner: Person, page: Any, keyring: dict[str, str]
) -> None:
    page.goto("/security")
    page.get_by_role("button", name="Invite", exact=True).click()
    page.get_by_label("For whom?").fill("Grace")
    page.get_by_role("button", name="Make the link").click()
    proof = page.get_by_role("dialog", name="Is it still you?")
    link = page.get_by_label("Invitation link")
    expect(proof.or_(link).first).to_be_visible()
    if proof.is_visible():
        # A code serves once: wait for the next one.
        time.sleep(31 - time.time() % 30)
        proof.get_by_label(re.compile("ode")).fill(totp(keyring["totp"], time.time()))
        proof.get_by_role("button", name="Continue").click()
    expect(link).to_contain_text("/invite#")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_text("Grace", exact=True).first).to_be_visible()
