"""Print squid's rules from the lists of permitted domains.

    render_egress.py 10.89 networks/egress.yaml [.lares/egress.yaml]

Each client gets the domains of all lists, by its address on the network egress-proxy, and nothing else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

CLIENT = re.compile(r"^[a-z][a-z0-9-]{0,40}$")
# A name with a dot in it that is no address: an address would bypass the name.
DOMAIN = re.compile(r"^\.?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$")
DOMAINS_MAX = 200


def read(paths: list[Path]) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Return each client's host number and domains, or exit with what is wrong."""
    addresses: dict[str, int] = {}
    domains: dict[str, list[str]] = {}
    for path in paths:
        if not path.exists():
            continue
        for client, entry in (
            (yaml.safe_load(path.read_text()) or {}).get("clients") or {}
        ).items():
            if not CLIENT.match(client):
                raise SystemExit(f"{path}: {client!r} is not a service's name")
            if "address" in entry:
                addresses[client] = int(entry["address"])
            if client not in addresses or not 2 < addresses[client] < 128:
                raise SystemExit(
                    f"{path}: {client} has no fixed address on the network egress-proxy"
                )
            for domain in entry.get("domains") or []:
                if not DOMAIN.match(str(domain)):
                    raise SystemExit(f"{path}: {domain!r} under {client} is not a domain")
                if domain not in domains.setdefault(client, []):
                    domains[client].append(domain)
    if any(len(listed) > DOMAINS_MAX for listed in domains.values()):
        raise SystemExit(f"more than {DOMAINS_MAX} domains for one client")
    return addresses, domains


def render(net: str, addresses: dict[str, int], domains: dict[str, list[str]]) -> str:
    """Return the rules: an address may CONNECT to its own domains where they do not lead inward."""
    lines = ["# Made by set-up from networks/egress.yaml."]
    for client in sorted(domains):
        # -n: no reverse look-up, so an address in place of a name never matches.
        lines += [
            f"acl client_{client} src {net}.5.{addresses[client]}/32",
            f"acl domains_{client} dstdomain -n {' '.join(domains[client])}",
            f"http_access allow client_{client} domains_{client} !inward",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(sys.argv[1], *read([Path(p) for p in sys.argv[2:]])), end="")
