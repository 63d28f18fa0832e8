"""A piece of the outside on this machine: a network namespace with a public-looking address and a server in it.

It has two addresses that look like a home network's too: a model server there, and its neighbour.

The sandbox of a test may have no internet; a house must be kept from the outside all the same, and let out by name.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.house import run

NAMESPACE = "lares-outside"
# From the blocks reserved for documentation: nobody's, and in none of the private ranges.
HOST_SIDE, OUTSIDE = "203.0.113.1", "203.0.113.10"
PORTS = (443, 80, 8883, 8443)
HOME_HOST_SIDE, HOME_SERVER, HOME_NEIGHBOUR = "192.168.231.1", "192.168.231.10", "192.168.231.11"
# Speaks http, where the others greet whoever connects.
HTTP_PORT = 11434

SERVER = """
import socketserver, sys, threading
class Hello(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(b"outside")
class Server(socketserver.ThreadingTCPServer): allow_reuse_address = True
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip(): pass
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 7\\r\\nConnection: close\\r\\n\\r\\noutside")
http = Server(("0.0.0.0", int(sys.argv[1])), Answer)
threading.Thread(target=http.serve_forever, daemon=True).start()
for port in map(int, sys.argv[2:]):
    threading.Thread(target=Server(("0.0.0.0", port), Hello).serve_forever, daemon=True).start()
print("up", flush=True)
threading.Event().wait()
"""


def cleared() -> None:
    """Remove what an interrupted run has left."""
    subprocess.run(["ip", "netns", "delete", NAMESPACE], capture_output=True, check=False)
    subprocess.run(["ip", "link", "delete", "out-lares-a"], capture_output=True, check=False)


@contextmanager
def outside() -> Iterator[str]:
    """Give the address of a server that stands for the outside; take it away again."""
    cleared()
    run("ip", "netns", "add", NAMESPACE)
    try:
        run("ip", "link", "add", "out-lares-a", "type", "veth", "peer", "name", "out-lares-b")
        run("ip", "link", "set", "out-lares-b", "netns", NAMESPACE)
        run("ip", "addr", "add", f"{HOST_SIDE}/24", "dev", "out-lares-a")
        run("ip", "addr", "add", f"{HOME_HOST_SIDE}/24", "dev", "out-lares-a")
        run("ip", "link", "set", "out-lares-a", "up")
        run("ip", "-n", NAMESPACE, "addr", "add", f"{OUTSIDE}/24", "dev", "out-lares-b")
        for address in (HOME_SERVER, HOME_NEIGHBOUR):
            run("ip", "-n", NAMESPACE, "addr", "add", f"{address}/24", "dev", "out-lares-b")
        run("ip", "-n", NAMESPACE, "link", "set", "out-lares-b", "up")
        run("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
        run("ip", "-n", NAMESPACE, "route", "add", "default", "via", HOST_SIDE)
        command = [
            "ip",
            "netns",
            "exec",
            NAMESPACE,
            "/usr/bin/python3",
            "-c",
            SERVER,
            str(HTTP_PORT),
            *map(str, PORTS),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "up\n"
            # The address takes a moment to be usable after its link is up.
            time.sleep(0.5)
            try:
                yield OUTSIDE
            finally:
                server.terminate()
    finally:
        cleared()
