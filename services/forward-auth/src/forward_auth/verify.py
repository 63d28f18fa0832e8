"""`GET /verify`: the one address that every request of the house passes through. Plain ASGI, to cost little."""

from __future__ import annotations

import ipaddress
import json
import time
from urllib.parse import quote

from kit import logs, trace
from kit.errors import KitError
from kit.metrics import Metrics
from kit.pool import DataUnavailable
from starlette.types import Receive, Scope, Send

from forward_auth.account import Account
from forward_auth.callers import session_key
from forward_auth.decide import Asked, Door, session_cookie
from forward_auth.errors import NotSignedIn, RequestRejected, StepUpRequired, Unavailable
from forward_auth.store import Refusal

log = logs.get(__name__)
# Taken from the edge; a second one of any would mean that a client's got through.
_SINGLE = {
    b"x-forwarded-method": "method",
    b"x-forwarded-uri": "uri",
    b"x-forwarded-host": "host",
    b"x-forwarded-upgrade": "upgrade",
    b"origin": "origin",
    b"sec-fetch-site": "fetch_site",
    b"sec-fetch-mode": "mode",
    b"accept": "accept",
    b"x-forwarded-for": "client",
    b"user-agent": "agent",
    b"traceparent": "trace",
}
_OPTIONAL = frozenset({"accept", "agent", "trace"})
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1)
API = ("/api/", "/auth/", "/_allauth/", "/mcp")


class Verify:
    """Answers the edge: 200 with the caller's token, or the refusal to show."""

    def __init__(self, door: Door, account: Account, metrics: Metrics) -> None:
        self._door = door
        self._account = account
        self._decisions = metrics.counter(
            "door_decisions_total", "Decisions, by what was decided.", ("decision",)
        )
        self._seconds = metrics.histogram(
            "door_decision_seconds", "Time of a decision.", buckets=SECONDS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide and answer."""
        began = time.perf_counter()
        said: dict[str, str] = {}
        try:
            said = read(scope)
            asked = Asked(
                method=said.get("method", ""),
                uri=said.get("uri", ""),
                host=said.get("host", ""),
                cookie=said.get("cookie", ""),
                origin=said.get("origin", ""),
                fetch_site=said.get("fetch_site", ""),
                upgrade=said.get("upgrade", ""),
            )
            token = await self._door.decide(asked)
        except DataUnavailable:
            await self._refuse(said, Unavailable(Retry_After="2"), send)
        except KitError as error:
            await self._refuse(said, error, send)
        except Exception as error:
            # Fail closed: what nobody foresaw lets nobody in.
            log.exception("door.failed", error)
            await self._refuse(said, Unavailable(), send)
        else:
            self._decisions.labels("allowed" if token else "public").inc()
            headers = [(b"cache-control", b"no-store"), (b"content-length", b"0")]
            if token:
                headers.append((b"x-lares-caller", token.encode()))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        self._seconds.observe(time.perf_counter() - began)

    async def _refuse(self, said: dict[str, str], error: KitError, send: Send) -> None:
        self._decisions.labels(error.code).inc()
        with trace.use(trace.parse(said.get("trace"))) as here:
            if not isinstance(error, (NotSignedIn, Unavailable)):
                self._account.add(refusal(said, error, here.trace_id))
            status, headers, body = answer(said, error)
        headers = [
            *headers,
            (b"cache-control", b"no-store"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def read(scope: Scope) -> dict[str, str]:
    """Return the headers that matter. Raises RequestRejected when one that must be single is not."""
    said: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in scope["headers"]:
        if name == b"cookie":
            cookies.append(value.decode("latin-1"))
        elif field := _SINGLE.get(name):
            if field in said and field not in _OPTIONAL:
                raise RequestRejected
            said[field] = value.decode("latin-1")
    if cookies:
        said["cookie"] = "; ".join(cookies)
    return said


def answer(said: dict[str, str], error: KitError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return what the browser gets: a page is sent to sign in, everything else reads a coded error."""
    path = said.get("uri", "").partition("?")[0]
    page = said.get("mode") == "navigate" or "text/html" in said.get("accept", "")
    if (
        isinstance(error, (NotSignedIn, StepUpRequired))
        and page
        and said.get("method") == "GET"
        and not path.startswith(API)
    ):
        # The path was read as canonical before anybody was asked for: it begins with one slash and names no host.
        location = f"/signin?rd={quote(said.get('uri', '/'), safe='')}"
        return 302, [(b"location", location.encode())], b""
    headers = [(b"content-type", b"application/json")]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return error.status, headers, json.dumps(error.body()).encode()


def refusal(said: dict[str, str], error: KitError, trace_id: str) -> Refusal:
    """Return the audit's row. The query is left out: it may hold what a person typed, or a secret."""
    cookie = session_cookie(said.get("cookie", ""))
    return Refusal(
        event="door.refused",
        subject=None,
        session_id=session_key(cookie) if cookie else "",
        client_ip=client_address(said.get("client", "")),
        user_agent=said.get("agent", "")[:200],
        detail={
            "code": error.code,
            "method": said.get("method", "")[:10],
            "path": said.get("uri", "").partition("?")[0][:120],
        },
        correlation_id=trace_id,
    )


def client_address(forwarded: str) -> str | None:
    """Return the last hop the edge saw, if it is an address."""
    try:
        return str(ipaddress.ip_address(forwarded.rpartition(",")[2].strip()))
    except ValueError:
        return None
