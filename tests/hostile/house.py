"""The house under attack: the running test stack, or its edge alone on loopback."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.hostile.authenticator import Passkey

ROOT = Path(__file__).resolve().parents[2]
HOST = "lares.test"
PASSWORD = "a lamp in every window"
ALLAUTH = "/_allauth/browser/v1"
BUSY_TRIES = 5


@dataclass
class House:
    """Where the house is and how to reach its machine."""

    port: int
    http_port: int
    tls: ssl.SSLContext
    command: Callable[..., str]
    parts: Any = None
    host: Host | None = None
    residents: list[Browser] = field(default_factory=list)

    @property
    def authority(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def origin(self) -> str:
        return f"https://{self.authority}"

    def browser(self, source: str | None = None) -> Browser:
        """A browser that has never been here."""
        return Browser(self, source)

    def invite(self, role: str = "member") -> str:
        """An invitation's token, made by an owner who has just shown their passkey again."""
        if self.host is None:
            # The first owner of the tests comes in by an invitation made on the machine.
            owner = self._accept(
                self.command("invite", "--role", "owner").strip().rpartition("#")[2]
            )
            self.host = Host(owner, owner.add_passkey())
        return self.host.invite(role)

    def person(self, role: str = "member", *, source: str | None = None) -> Browser:
        """A new person's browser, signed in."""
        return self._accept(self.invite(role), source)

    def _accept(self, token: str, source: str | None = None) -> Browser:
        browser = self.browser(source)
        browser.username = f"p{secrets.token_hex(6)}"
        said = browser.post(
            "/auth/invites/accept",
            {"token": token, "username": browser.username, "password": PASSWORD},
        )
        assert said.status_code == 201, said.text
        return browser

    def resident(self) -> Browser:
        """Somebody who is signed in already, for tests that only read."""
        if not self.residents:
            self.residents.append(self.person())
        return self.residents[0]

    def forgive(self) -> None:
        """Empty every bucket, so that one test's failures do not slow the next."""
        self.command("forgive")

    def passkey(self) -> Passkey:
        """A passkey that knows the house's address."""
        return Passkey(self.origin, HOST)

    def raw(self, request: bytes, *, host: str = HOST, timeout: float = 5.0) -> bytes:
        """Send bytes as they are over TLS and return what comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as plain:
            with self.tls.wrap_socket(plain, server_hostname=host) as secure:
                secure.sendall(request)
                return drain(secure)


def drain(connection: socket.socket, size: int = 65536) -> bytes:
    """Read until the other side closes or is silent."""
    found = b""
    with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLError):
        while len(found) < size and (part := connection.recv(4096)):
            found += part
    return found


class Browser:
    """Cookies, the page's own token and origin: what a real browser would send."""

    def __init__(self, house: House, source: str | None) -> None:
        self.house = house
        self.username = ""
        transport = httpx.HTTPTransport(verify=house.tls, local_address=source)
        self.http = httpx.Client(
            base_url=f"https://127.0.0.1:{house.port}",
            transport=transport,
            headers={"host": house.authority, "accept": "application/json"},
            timeout=20,
            trust_env=False,
        )

    def request(
        self, method: str, path: str, json: Any = None, *, headers: Any = None, csrf: bool = True
    ) -> httpx.Response:
        """One request. Unsafe ones carry origin and CSRF token unless told otherwise."""
        sent: dict[str, str] = {}
        if method not in ("GET", "HEAD", "OPTIONS"):
            sent["origin"] = self.house.origin
            if csrf:
                sent["x-csrftoken"] = self.csrf_token()
        sent.update(headers or {})
        return self.http.request(
            method,
            path,
            json=json,
            headers=sent,
            extensions={"sni_hostname": HOST},
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self.request("POST", path, json if json is not None else {}, **options)

    def delete(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, json, **options)

    def csrf_token(self) -> str:
        if "csrftoken" not in self.http.cookies:
            self.get(f"{ALLAUTH}/config")
        return self.http.cookies["csrftoken"]

    @property
    def session(self) -> str:
        return self.http.cookies.get("lares_session", "")

    def login(self, username: str, password: str = PASSWORD, **options: Any) -> httpx.Response:
        return self.post(
            f"{ALLAUTH}/auth/login", {"username": username, "password": password}, **options
        )

    def me(self) -> httpx.Response:
        """Who the house says this is; asked again where a busy house says that it cannot tell just now."""
        for _ in range(BUSY_TRIES):
            said = self.get("/auth/me")
            if said.status_code != 503:
                break
            time.sleep(1.0)
        return said

    def reauthenticate(self, password: str = PASSWORD) -> httpx.Response:
        return self.post(f"{ALLAUTH}/auth/reauthenticate", {"password": password})

    def logout(self) -> httpx.Response:
        return self.delete(f"{ALLAUTH}/auth/session")

    def add_totp(self) -> str:
        """Set up an authenticator app and return its secret. Needs a fresh reauthentication."""
        from tests.hostile.authenticator import totp

        secret = self.get(f"{ALLAUTH}/account/authenticators/totp").json()["meta"]["secret"]
        said = self.post(f"{ALLAUTH}/account/authenticators/totp", {"code": totp(secret)})
        assert said.status_code == 200, said.text
        return secret

    def add_passkey(self) -> Passkey:
        """Add a passkey. Needs a fresh reauthentication."""
        passkey = self.house.passkey()
        said = self.get(f"{ALLAUTH}/account/authenticators/webauthn?passwordless")
        assert said.status_code == 200, said.text
        credential = passkey.create(said.json()["data"]["creation_options"])
        said = self.post(
            f"{ALLAUTH}/account/authenticators/webauthn",
            {"name": "test key", "credential": credential},
        )
        assert said.status_code == 200, said.text
        return passkey

    def passkey_login(self, passkey: Passkey, **forged: Any) -> httpx.Response:
        options = self.get(f"{ALLAUTH}/auth/webauthn/login").json()["data"]["request_options"]
        return self.post(
            f"{ALLAUTH}/auth/webauthn/login", {"credential": passkey.get(options, **forged)}
        )


@dataclass
class Host:
    """An owner who invites the others."""

    browser: Browser
    passkey: Passkey
    proved_at: float = 0.0

    def invite(self, role: str) -> str:
        if time.monotonic() - self.proved_at > 120:
            self.prove()
        said = self.browser.post("/auth/invites", {"role": role})
        assert said.status_code == 201, said.text
        return said.json()["token"]

    def prove(self) -> None:
        where = f"{ALLAUTH}/auth/webauthn/reauthenticate"
        options = self.browser.get(where).json()["data"]["request_options"]
        said = self.browser.post(where, {"credential": self.passkey.get(options)})
        assert said.status_code == 200, said.text
        self.proved_at = time.monotonic()


def code_of(response: httpx.Response) -> str:
    """The coded error of an answer."""
    return response.json()["error"]["code"]
