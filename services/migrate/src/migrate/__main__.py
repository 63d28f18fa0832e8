"""`python -m migrate up | down [--to N] --destroy | status | verify`."""

from __future__ import annotations

import argparse
import asyncio
import sys

from kit import logs
from kit.errors import KitError
from kit.settings import load

from migrate import files, runner
from migrate.errors import EditedFile, MigrateError, Pending
from migrate.settings import Settings

log = logs.get("migrate")


def main(arguments: list[str] | None = None) -> int:
    """Run one verb. The exit status is 0, or that of the error (services/migrate/README.md lists them)."""
    parser = argparse.ArgumentParser(prog="migrate", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="prepare roles and databases, apply every pending file")
    down = verbs.add_parser("down", help="undo the latest file, or all above --to")
    down.add_argument(
        "--to", type=int, default=None, metavar="N", help="number to go down to; 0 undoes all"
    )
    down.add_argument(
        "--destroy", action="store_true", help="yes, drop the tables and what is in them"
    )
    verbs.add_parser("status", help="list each file and whether it is applied")
    verbs.add_parser(
        "verify", help="fail unless all is applied as written and the cluster is as declared"
    )
    chosen = parser.parse_args(arguments)
    settings = load(Settings)
    logs.setup("migrate", settings.log_level)
    try:
        return asyncio.run(_run(settings, chosen))
    except KitError as error:
        log.error("migrate.refused", code=error.code, reason=error.reason, fix=error.fix)
        return error.exit_status if isinstance(error, MigrateError) else 1
    except Exception as error:
        log.exception("migrate.broke", error)
        return 1


async def _run(settings: Settings, chosen: argparse.Namespace) -> int:
    found = files.read_all(settings.folder)
    if chosen.verb == "up":
        log.info("migrate.done", applied=await runner.up(settings, found))
    elif chosen.verb == "down":
        reverted = await runner.down(settings, found, chosen.to, destroy=chosen.destroy)
        log.info("migrate.done", reverted=reverted)
    elif chosen.verb == "verify":
        await runner.verify(settings, found)
        log.info("migrate.verified", files=len(found))
    else:
        lines = await runner.status(settings, found)
        for line in lines:
            print(f"{line.number:04d}  {line.state:<8} {line.database:<13} {line.name}")
        states = {line.state for line in lines}
        if states & {"edited", "missing"}:
            return EditedFile.exit_status
        return Pending.exit_status if "pending" in states else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
