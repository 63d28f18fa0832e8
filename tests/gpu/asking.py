"""Ask the test stack from where one of its containers stands: its network, its address, the host's Python."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.integration.house import Container, containers, run

_ASK = """
import json, sys, time, urllib.error, urllib.request
told = json.load(sys.stdin)
body = json.dumps(told["body"]).encode() if told["body"] is not None else None
request = urllib.request.Request(told["url"], data=body, method=told["method"], headers=told["headers"])
began = time.monotonic()
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=told["timeout_s"]) as answer:
        status, content = answer.status, answer.read().decode()
except urllib.error.HTTPError as error:
    status, content = error.code, error.read().decode()
json.dump({"status": status, "content": content, "seconds": time.monotonic() - began}, sys.stdout)
"""
_CONNECT = """
import socket, sys
with socket.create_connection((sys.argv[1], 3128), 5) as link:
    link.settimeout(8)
    link.sendall(f"CONNECT {sys.argv[2]} HTTP/1.1\\r\\nHost: {sys.argv[2]}\\r\\n\\r\\n".encode())
    answer = link.recv(4096)
print(answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/") else "none")
"""


@dataclass(frozen=True)
class Said:
    """An answer: its status, its JSON, and how long it took."""

    status: int
    content: Any
    seconds: float


def container(stack: Any, service: str) -> Container:
    """Return the running container of a service."""
    return next(one for one in containers(stack.project) if one.service == service)


def ask(
    stack: Any,
    source: str,
    method: str,
    url: str,
    body: Any = None,
    *,
    timeout_s: float = 120,
    **headers: str,
) -> Said:
    """Ask `url` from the network of the service `source`, as that service."""
    told = {
        "method": method,
        "url": url,
        "body": body,
        "timeout_s": timeout_s,
        "headers": {
            "content-type": "application/json",
            "x-lares-service": source,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    }
    inside = [
        "nsenter",
        "-t",
        str(container(stack, source).pid),
        "-n",
        "/usr/bin/python3",
        "-c",
        _ASK,
    ]
    said = json.loads(run(*inside, stdin=json.dumps(told), timeout_s=timeout_s + 30))
    try:
        content = json.loads(said["content"])
    except ValueError:
        content = said["content"]
    return Said(said["status"], content, said["seconds"])


def chat(
    stack: Any,
    model: str,
    words: str = "Say hello.",
    *,
    service_class: str = "interactive",
    **more: Any,
) -> Said:
    """Ask the gateway for a short answer, as the orchestrator does for a person who waits."""
    body = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": 8}
    url = f"http://{stack.net}.30.2:8000/v1/chat/completions"
    told = {"x_lares_max_tier": "sensitive", "x_lares_class": service_class, **more}
    return ask(stack, "orchestrator", "POST", url, body, **told)


def connect(stack: Any, source: Container, target: str) -> str:
    """Ask egress-proxy for a tunnel from a container's network; return its status."""
    inside = ["nsenter", "-t", str(source.pid), "-n", "/usr/bin/python3", "-c", _CONNECT]
    return run(*inside, f"{stack.net}.5.2", target).strip()
