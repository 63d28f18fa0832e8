"""Prometheus numbers, every name prefixed with the domain: `lares_memory_recalls_total`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# From a cached edge decision (under a millisecond) to a model's whole answer.
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@dataclass(frozen=True)
class _Requests:
    count: Counter
    seconds: Histogram


class Metrics:
    """One service's numbers. Labels are words of the program, never a person's text or id."""

    def __init__(self, service: str, domain: str) -> None:
        self._prefix = f"lares_{domain}"
        self._service = service
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = _Requests(
            self.counter(
                "http_requests_total",
                "Requests answered.",
                ("service", "method", "route", "status"),
            ),
            self.histogram(
                "http_request_seconds", "Seconds to the answer's end.", ("service", "route")
            ),
        )

    def counter(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Counter:
        """Declare a number that only grows; name it `..._total`."""
        return Counter(f"{self._prefix}_{name}", help, labels, registry=self.registry)

    def gauge(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Gauge:
        """Declare a number that rises and falls; end its name with the unit."""
        return Gauge(f"{self._prefix}_{name}", help, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        help: str,
        labels: tuple[str, ...] = (),
        buckets: tuple[float, ...] = SECONDS_BUCKETS,
    ) -> Histogram:
        """Declare a distribution; end its name with the unit."""
        return Histogram(
            f"{self._prefix}_{name}", help, labels, registry=self.registry, buckets=buckets
        )

    def render(self) -> bytes:
        """Return the text that a scraper reads."""
        return generate_latest(self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.requests.count.labels(self._service, method, route, str(status)).inc()
        self.requests.seconds.labels(self._service, route).observe(seconds)

    async def endpoint(self, _: Request) -> Response:
        """`GET /metrics`."""
        from starlette.responses import Response

        return Response(self.render(), media_type=CONTENT_TYPE)


class MetricsMiddleware:
    """Count each request by its route's template, so that ids in paths do not become labels."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500
        begun = time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            # Methods are a closed set here: a client may invent any word.
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self.metrics.observe(method, route_template(scope), status, time.perf_counter() - begun)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def route_template(scope: Scope) -> str:
    """Return the matched route's path with its placeholders, or `unrouted`."""
    return str(getattr(scope.get("route"), "path", "")) or "unrouted"
