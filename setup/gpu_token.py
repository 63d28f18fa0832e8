"""Print the word that a GPU node joins with.

    SECRET=... gpu_token.py NAME ADDRESS HOUSE HOST HTTPS_PORT HTTP_PORT WEB_AUTHORITY

WEB_AUTHORITY is the SHA-256 of the house's own web authority in hex, or - where a public one vouches for it. The shape
is `JoinToken` of the contracts; a test compares. Standard library only: it runs on the host.
"""

from __future__ import annotations

import base64
import json
import os
import sys


def word(said: list[str], secret: str) -> str:
    """Return the token."""
    node, address, house, host, https_port, http_port, authority = said
    token = {
        "node": node,
        "address": address,
        "house": house,
        "host": host,
        "https_port": int(https_port),
        "http_port": int(http_port),
        "authority_sha256": None if authority == "-" else authority,
        "secret": secret,
    }
    packed = json.dumps(token, separators=(",", ":")).encode()
    return "lares1." + base64.urlsafe_b64encode(packed).decode().rstrip("=")


if __name__ == "__main__":
    print(word(sys.argv[1:], os.environ["SECRET"]))
