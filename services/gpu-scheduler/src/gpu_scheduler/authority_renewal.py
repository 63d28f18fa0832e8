"""Renew the nodes' certificates: the house asks a node for a new key's request, signs it and brings the certificate.

Once an hour for each node whose certificate is half over. A node that is asleep is asked when it is back; one that has
been away for its certificate's whole time has to join anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from contracts.gpunode import CERTIFICATE_PATH, CertificateGiven, CertificateRequest
from kit import logs
from kit.clock import Clock
from kit.errors import KitError

from gpu_scheduler.authority import Authority
from gpu_scheduler.join_store import JoinStore, MemberNode

log = logs.get(__name__)

LOOK_SECONDS = 3600.0
# (node, method, path, body or None) -> the answer's body; raises a KitError when the node is away or refuses.
AskNode = Callable[[MemberNode, str, str, bytes | None], Awaitable[bytes]]


class Renewal:
    """Looks once an hour. `ask` is the scheduler's own way of calling a node, under the node's `tls_name`."""

    def __init__(self, store: JoinStore, authority: Authority, clock: Clock, ask: AskNode) -> None:
        self._store = store
        self._authority = authority
        self._clock = clock
        self._ask = ask

    async def run(self) -> None:
        """Look, and look again, until cancelled. What goes wrong with one node is logged and tried again."""
        while True:
            try:
                nodes = await self._store.present()
            except KitError as error:
                log.warning("renewal.waiting", code=error.code)
                nodes = ()
            for node in nodes:
                await self._look_after(node)
            await self._clock.sleep(LOOK_SECONDS)

    async def _look_after(self, node: MemberNode) -> None:
        now = self._clock.now()
        if now - node.signed_at < (node.expires_at - node.signed_at) / 2:
            return
        try:
            await self.renew(node)
        except KitError as error:
            left = (node.expires_at - now).total_seconds() / 86_400
            log.warning("renewal.failed", node=node.name, code=error.code, days_left=round(left, 1))

    async def renew(self, node: MemberNode) -> None:
        """Give the node a new certificate for the same names and a new key. Raises what `ask` raises, or NodeUnknown."""
        told: Any = await self._ask(node, "POST", CERTIFICATE_PATH, b"")
        request = CertificateRequest.model_validate_json(told)
        issued = self._authority.sign(
            request.csr, name=node.name, address=node.address, tls_name=node.tls_name
        )
        given = CertificateGiven(certificate=issued.certificate)
        await self._ask(node, "PUT", CERTIFICATE_PATH, given.model_dump_json().encode())
        await self._store.renewed(node, issued)
        log.info("node.certificate_renewed", node=node.name)
