"""Debian's Chromium in a network of its own, with the house's door as the only thing in it.

Chromium drops every request when an address anywhere on the machine changes, and engines that start and stop
containers change addresses all the time. In its own network nothing changes, and nothing but the house can be reached.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, sync_playwright

from tests.conftest import ROOT, Stack

RELAY = Path(__file__).parent / "relay.py"
# A pair of interfaces that lead nowhere: with loopback alone a browser believes that it is offline. Without
# addresses of their own making, which would come a second later and be a change.
LAUNCHER = """#!/bin/sh
exec unshare --net -- /bin/sh -c '
ip link set lo up
ip link add lan0 type veth peer name lan1
ip link set lan0 addrgenmode none
ip link set lan1 addrgenmode none
ip addr add 192.0.2.2/24 dev lan0
ip link set lan0 up
ip link set lan1 up
{python} {relay} {port} {door} 3<&- 4>&- &
exec {chromium} "$@"' chromium "$@"
"""


@contextmanager
def chromium(stack: Stack, folder: Path) -> Iterator[Browser]:
    """A running browser that finds the house under its name and believes its certificate."""
    door = folder / "door.sock"
    relay = subprocess.Popen([sys.executable, str(RELAY), str(door), str(stack.https_port)])
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=launcher(stack, folder, door),
                args=[
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    f"--host-resolver-rules=MAP {stack.host} 127.0.0.1",
                    # Passkeys do not work behind a certificate error, ignored or not: so there is none.
                    f"--ignore-certificate-errors-spki-list={certificate_fingerprint(stack)}",
                ],
            )
            yield browser
            browser.close()
    finally:
        relay.terminate()
        relay.wait(10)


def launcher(stack: Stack, folder: Path, door: Path) -> Path:
    """Write the script that puts the browser into its network."""
    found = subprocess.run(
        [ROOT / "tools" / "browser.sh"], check=True, capture_output=True, text=True
    ).stdout.strip()
    words = {"python": sys.executable, "relay": RELAY, "door": door, "chromium": found}
    quoted = {name: shlex.quote(str(word)) for name, word in words.items()}
    script = folder / "chromium.sh"
    script.write_text(LAUNCHER.format(port=stack.https_port, **quoted))
    script.chmod(0o755)
    deadline = time.monotonic() + 10
    while not door.exists():
        assert time.monotonic() < deadline, "the relay did not start"
        time.sleep(0.05)
    return script


def certificate_fingerprint(stack: Stack) -> str:
    """Return the fingerprint of the house's certificate, once its own authority has vouched for it."""
    tls = ssl.create_default_context(cadata=authority(stack))
    with (
        socket.create_connection(("127.0.0.1", stack.https_port), timeout=10) as plain,
        tls.wrap_socket(plain, server_hostname=stack.host) as secure,
    ):
        certificate = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def authority(stack: Stack) -> str:
    """Return the house's own authority, as it hands it out to devices."""
    reply = httpx.get(
        f"http://127.0.0.1:{stack.http_port}/lares-ca.crt",
        headers={"host": f"{stack.host}:{stack.http_port}"},
        trust_env=False,
    )
    reply.raise_for_status()
    return reply.text
