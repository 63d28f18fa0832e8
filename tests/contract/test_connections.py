"""Connections to Postgres: whoever may open them is let in, and all of them together are not too many."""

import re
from pathlib import Path

import forward_auth.app
from memory import app
from memory.levels import consolidator
from memory.writing import worker
from migrate.roles import LOGINS

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {login.name: login.connections_max for login in LOGINS}
# For whoever repairs the house by hand.
SUPERUSER = 3


def test_two_replicas_of_memory_its_worker_and_its_consolidator_fit_into_the_login_s_limit() -> (
    None
):
    """One connection more is refused, and what needs it answers that the database is away."""
    pools = [app, app, worker, consolidator]
    needed = sum(part.PLAIN_POOL_MAX + part.SACRED_POOL_MAX for part in pools)
    assert needed <= LIMITS["svc_memory"]


def test_forward_auth_with_its_pool_full_and_a_second_listener_fits_into_the_login_s_limit() -> (
    None
):
    """A listener whose line broke comes back before the server knows that the old one is gone."""
    assert LIMITS["svc_forward_auth"] >= forward_auth.app.POOL_MAX + 2


def test_all_logins_together_fit_into_the_server_s_limit() -> None:
    said = (ROOT / "images/postgres/postgresql.conf").read_text()
    connections_max = int(re.search(r"^max_connections = (\d+)$", said, re.MULTILINE)[1])  # type: ignore[index]
    assert sum(LIMITS.values()) + SUPERUSER <= connections_max
