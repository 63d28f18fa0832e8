"""Try to open connections from where this runs; print which succeeded.

Run inside a container's network namespace (nsenter), so that the container itself needs no tools.
stdin: {"targets": [["10.90.10.2", 5432], ...], "timeout_s": 1.5}    stdout: [["10.90.10.2", 5432], ...]
Standard library only: any Python of the host can run it.
"""

import asyncio
import json
import sys

# Below the usual limit of open files, with room to spare.
AT_ONCE = 400


async def opens(address: str, port: int, timeout_s: float, gate: asyncio.Semaphore) -> bool:
    """Return whether a TCP connection opens within the time."""
    async with gate:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), timeout_s)
        except (TimeoutError, OSError):
            return False
        writer.close()
        return True


async def main() -> None:
    order = json.load(sys.stdin)
    gate = asyncio.Semaphore(AT_ONCE)
    targets = [(str(address), int(port)) for address, port in order["targets"]]
    results = await asyncio.gather(
        *(opens(a, p, float(order["timeout_s"]), gate) for a, p in targets)
    )
    json.dump(
        [target for target, opened in zip(targets, results, strict=False) if opened], sys.stdout
    )


asyncio.run(main())
