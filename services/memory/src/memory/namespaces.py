"""Namespaces: memories kept apart, shared with all of a person's clients or with those it names."""

from __future__ import annotations

from contracts.identity import Caller
from contracts.memory import Namespace, NamespaceList, NamespaceRequest, Tier
from kit.pool import PERSON

from memory.domain import HOME, Space, allowed_tiers, check_label, parse_namespace
from memory.errors import NamespaceFull, NamespaceNotEmpty, NamespaceUnknown
from memory.library import Library
from memory.presenting import check_person, check_writes

CLIENT_CHARS_MAX = 128


class Namespaces:
    """`/v1/namespaces`. Only the person decides who shares what; a client sees those it may use."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def list(self, caller: Caller) -> NamespaceList:
        """Return what the caller may use, `home` first, each with how many memories of it the caller may see."""
        shelf = self._library.plain
        counts: dict[str, int] = {}
        async with shelf.pool.as_caller(caller) as conn:
            for tier in allowed_tiers(caller.db_role):
                if tier is not Tier.SACRED:
                    for name, number in (await shelf.namespace_counts(conn, tier)).items():
                        counts[name] = counts.get(name, 0) + number
        known = [Namespace(name=HOME)]
        known += [_shown(caller, space) for space in await self._library.namespaces(caller)]
        return NamespaceList(
            items=[each.model_copy(update={"count": counts.get(each.name, 0)}) for each in known]
        )

    async def put(self, caller: Caller, name: str, request: NamespaceRequest) -> Namespace:
        """Create or change a namespace. Raises PersonNeeded, NamespaceInvalid, NamespaceFull, LabelInvalid."""
        _check_person(caller)
        if parse_namespace(name) == HOME:
            raise NamespaceNotEmpty("home is shared with all clients and stays so.")
        clients = sorted({check_label(client[:CLIENT_CHARS_MAX]) for client in request.clients})
        shelf = self._library.plain
        async with shelf.pool.own() as conn:
            kept = await shelf.put_namespace(conn, caller.subject, name, request.shared, clients)
        if kept is None:
            raise NamespaceFull()
        return _shown(caller, kept)

    async def delete(self, caller: Caller, name: str) -> None:
        """Delete an empty namespace. Raises PersonNeeded, NamespaceUnknown, NamespaceNotEmpty."""
        _check_person(caller)
        if parse_namespace(name) == HOME:
            raise NamespaceNotEmpty()
        for tier in allowed_tiers(caller.db_role):
            shelf = self._library.shelf(tier)
            async with shelf.pool.as_caller(caller) as conn:
                if await shelf.has_namespace(conn, tier, name):
                    raise NamespaceNotEmpty()
        async with self._library.plain.pool.own() as conn:
            if not await self._library.plain.delete_namespace(conn, caller.subject, name):
                raise NamespaceUnknown()


def _shown(caller: Caller, space: Space) -> Namespace:
    # Which other clients share it is the person's business.
    clients = space.clients if caller.kind == PERSON else ()
    return Namespace(
        name=space.name, shared=space.shared, clients=list(clients), created_at=space.created_at
    )


def _check_person(caller: Caller) -> None:
    check_writes(caller.db_role, caller.read_only)
    check_person(caller)
