"""What the node answers over HTTP, and to whom: the scheduler hears and tells, the gateway's requests are passed on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from contracts.gpunode import ACTIONS_PATH, EVENTS_PATH, INSTANCES_PATH, STATE_PATH, NodeAction
from kit import errors as kit_errors
from kit import logs, metrics, trace
from kit.errors import BodyTooLarge, Internal, InvalidRequest, KitError
from kit.health import Health
from pydantic import ValidationError

from node_agent.node import Node
from node_agent.proxy import Proxy
from node_agent.renewing import RoleRefused
from node_agent.tls import Role, role_of

log = logs.get(__name__)

ACTION_BYTES_MAX = 64 * 1024
ERROR_HEADER = "X-Lares-Node-Error"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Roles = Callable[[web.Request], Role | None]


def role_by_certificate(request: web.Request) -> Role | None:
    """Return the role that the caller's verified certificate says."""
    peer = request.transport.get_extra_info("peercert") if request.transport else None
    return role_of(peer)


class Answers:
    """The routes."""

    def __init__(self, node: Node, health: Health, roles: Roles = role_by_certificate) -> None:
        self._node = node
        self._health = health
        self._roles = roles
        self._proxy = Proxy(node)

    def app(self, *more: web.RouteDef) -> web.Application:
        """Return the application, with `more` routes that check their callers themselves."""
        app = web.Application(middlewares=[self._guard], client_max_size=ACTION_BYTES_MAX)
        app.add_routes(
            [
                web.get(EVENTS_PATH, self._for("scheduler", self._events)),
                web.get(STATE_PATH, self._for("scheduler", self._state)),
                web.post(ACTIONS_PATH, self._for("scheduler", self._act)),
                web.get("/metrics", self._for("scheduler", self._metrics)),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._for("scheduler", self._readyz)),
                web.route(
                    "*", INSTANCES_PATH + "/{rest:.+}", self._for("gateway", self._proxy.handle)
                ),
                *more,
            ]
        )
        return app

    def _for(self, role: Role, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            if self._roles(request) != role:
                raise RoleRefused()
            return await handler(request)

        return checked

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Continue the caller's trace, and answer every error with a coded body."""
        inbound = trace.parse(request.headers.get(trace.HEADER))
        with trace.use(inbound.child() if inbound else None):
            try:
                return await handler(request)
            except KitError as error:
                return self._refused(request, error)
            except web.HTTPException as error:
                known = {
                    404: kit_errors.NotFound,
                    405: kit_errors.MethodNotAllowed,
                    413: BodyTooLarge,
                }
                return self._refused(request, known.get(error.status, kit_errors.Refused)())
            except (ConnectionResetError, ConnectionAbortedError):
                raise  # the client has gone: nobody reads an answer
            except Exception as error:
                log.exception("request.failed", error)
                return self._refused(request, Internal())

    def _refused(self, request: web.Request, error: KitError) -> web.Response:
        self._node.numbers.refused.labels(error.code).inc()
        note = log.error if error.status >= 500 else log.info
        note("request.refused", code=error.code, status=error.status)
        return web.json_response(
            error.body(), status=error.status, headers={**error.headers, ERROR_HEADER: error.code}
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        lines = self._node.hub.lines()
        # The first line before the answer's head, so that a reader too many is told so.
        first = await anext(lines)
        answer = web.StreamResponse(
            headers={"content-type": "application/x-ndjson", "cache-control": "no-store"}
        )
        await answer.prepare(request)
        try:
            await answer.write(first)
            async for line in lines:
                await answer.write(line)
        finally:
            await lines.aclose()
        return answer

    async def _state(self, _: web.Request) -> web.Response:
        state = await self._node.state()
        return _json(state.model_dump_json(exclude_none=True))

    async def _act(self, request: web.Request) -> web.Response:
        try:
            action = NodeAction.model_validate_json(await request.read())
        except ValidationError as error:
            places = [".".join(map(str, one["loc"])) for one in error.errors()[:5]]
            raise InvalidRequest(f"Not an action: {', '.join(places)}.") from None
        return _json(self._node.act(action).model_dump_json(), status=202)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._node.numbers.metrics.render(), headers={"content-type": metrics.CONTENT_TYPE}
        )

    async def _healthz(self, _: web.Request) -> web.Response:
        return _json(json.dumps({"status": "alive", "service": "node-agent"}))

    async def _readyz(self, _: web.Request) -> web.Response:
        report = await self._health.report()
        told: dict[str, Any] = {
            "status": "ready" if report.ready else "not_ready",
            "checks": report.checks,
        }
        return _json(json.dumps(told), status=200 if report.ready else 503)


def _json(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="application/json")
