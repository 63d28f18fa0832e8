"""`python -m gpu_scheduler.nodes add|remove|list`: the owner's hand on which GPU nodes belong to the house.

Set-up runs it inside the service's container (`make gpu-node`, `make gpu-node-remove`, `make gpu-nodes`). `add` prints the
token's secret alone. Exits with 1 and a coded line on stderr when the owner has to do something.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from kit.clock import Clock
from kit.errors import KitError
from kit.pool import Database, Pool
from kit.settings import load

from gpu_scheduler.join_store import JoinStore
from gpu_scheduler.settings import Settings


async def _work(settings: Settings, told: argparse.Namespace) -> None:
    database = Database(
        settings.postgres_host,
        "svc_gpu_scheduler",
        settings.db_password,
        port=settings.postgres_port,
    )
    async with await Pool.open(database, max_size=1) as pool:
        store = JoinStore(pool, Clock())
        if told.verb == "add":
            _say(await store.new_token(told.name, told.address, wakeable=told.wakeable))
        elif told.verb == "remove":
            _say(await store.remove(told.name))
        else:
            for node in await store.present():
                _say(f"{node.name} {node.address} until {node.expires_at:%Y-%m-%d}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """Do the one thing that was asked."""
    parser = argparse.ArgumentParser(prog="gpu_scheduler.nodes")
    verbs = parser.add_subparsers(dest="verb", required=True)
    add = verbs.add_parser("add")
    add.add_argument("name")
    add.add_argument("address")
    add.add_argument("--wakeable", action="store_true")
    verbs.add_parser("remove").add_argument("name")
    verbs.add_parser("list")
    told = parser.parse_args()
    try:
        asyncio.run(_work(load(Settings), told))
    except KitError as error:
        sys.stderr.write(f"ERROR {error.code}: {error.reason}\n  What to do: {error.fix}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
