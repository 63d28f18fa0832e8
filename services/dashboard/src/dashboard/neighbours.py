"""The services behind the dashboard, and how their answers pass through it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kit.client import Reply, ServiceClient
from starlette.responses import Response

from dashboard.settings import Settings


@dataclass(frozen=True)
class Neighbours:
    """One client for each service that the dashboard asks."""

    memory: ServiceClient
    orchestrator: ServiceClient
    models: ServiceClient
    registry: ServiceClient
    scheduler: ServiceClient
    forward_auth: ServiceClient

    async def close(self) -> None:
        """Close every connection."""
        for client in (
            self.memory,
            self.orchestrator,
            self.models,
            self.registry,
            self.scheduler,
            self.forward_auth,
        ):
            await client.close()


def connect(settings: Settings) -> Neighbours:
    """Return clients for all neighbours; nothing is connected before it is asked."""
    return Neighbours(
        # One retry: a stopped container swallows each try for two seconds, and a person is waiting.
        memory=ServiceClient("memory", settings.memory_url, timeout_s=10.0, retries=1),
        orchestrator=ServiceClient(
            "orchestrator",
            settings.orchestrator_url,
            timeout_s=10.0,
            retries=1,
            connections_max=64,
        ),
        models=ServiceClient("model-gateway", settings.model_gateway_url, retries=1),
        registry=ServiceClient(
            "state-registry", settings.state_registry_url, timeout_s=3.0, retries=1
        ),
        scheduler=ServiceClient(
            "gpu-scheduler", settings.gpu_scheduler_url, timeout_s=5.0, retries=1
        ),
        # Sessions are asked about every few seconds: a late answer is worth as little as none.
        forward_auth=ServiceClient(
            "forward-auth", settings.forward_auth_url, timeout_s=2.0, retries=0
        ),
    )


def passed_on(reply: Reply) -> Response:
    """Return a neighbour's answer to the browser, unread."""
    return Response(
        reply.body,
        status_code=reply.status,
        media_type=reply.headers.get("content-type", "application/json"),
        headers={"Cache-Control": "no-store"},
    )


def with_query(path: str, **params: Any) -> str:
    """Return `path` with those of `params` that were given."""
    given = {name: value for name, value in params.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path
