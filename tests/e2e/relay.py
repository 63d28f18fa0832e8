"""Pass connections on: relay.py LISTEN CONNECT, each a port of 127.0.0.1 or the path of a Unix socket.

The browser lives in a network of its own (see browser.py): two relays and a socket file are its only way out. Ends with
its parent.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

CONNECTIONS_MAX = 200
CHUNK = 64 * 1024


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def main(listen: str, connect: str) -> None:
    room = asyncio.Semaphore(CONNECTIONS_MAX)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with room:
            with contextlib.suppress(OSError):
                if connect.isdigit():
                    there = await asyncio.open_connection("127.0.0.1", int(connect))
                else:
                    there = await asyncio.open_unix_connection(connect)
                await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
                there[1].close()
            writer.close()

    if listen.isdigit():
        await asyncio.start_server(serve, "127.0.0.1", int(listen))
    else:
        Path(listen).unlink(missing_ok=True)
        await asyncio.start_unix_server(serve, listen)
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
