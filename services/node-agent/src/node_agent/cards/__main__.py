"""`python -m node_agent.cards read` shows the cards; `record` writes a recording of a real one for the tests."""

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from node_agent.cards import Cards, CardsError, open_reader
from node_agent.cards.recording import record_amd, record_nvidia


def main() -> int:
    """Show or record; 1 and the reason where it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m node_agent.cards", description=__doc__)
    parser.add_argument("verb", choices=("read", "record"))
    parser.add_argument("--kind", default="auto", help="auto, nvidia, amd, or simulated:24576x2")
    parser.add_argument("--readings", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="between two readings")
    parser.add_argument("--out", type=Path, help="file to write a recording to")
    told = parser.parse_args()
    try:
        if told.verb == "read":
            asyncio.run(_read(told.kind))
        else:
            _record(told)
    except (CardsError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _read(kind: str) -> None:
    cards = Cards(open_reader(kind), seconds_max=10)
    for card in await cards.read():
        print(card.model_dump_json(indent=1))
    await cards.close()


def _record(told: argparse.Namespace) -> None:
    if told.kind == "amd":
        library, readings = "amdgpu", record_amd(Path("/sys"), told.readings, told.seconds)
    elif told.kind in ("auto", "nvidia"):
        import pynvml

        library, readings = "pynvml", record_nvidia(pynvml, told.readings, told.seconds)
    else:
        raise CardsError("Real cards alone are recorded: --kind nvidia or amd.")
    origin = f"recorded by python -m node_agent.cards record, {datetime.now(UTC):%Y-%m-%d}"
    text = json.dumps({"library": library, "origin": origin, "readings": readings}, indent=1)
    if told.out is None:
        print(text)
    else:
        told.out.write_text(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
