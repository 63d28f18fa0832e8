"""Print squid's rules from the lists of what each container may reach.

    render_egress.py 10.89 networks/egress.yaml [.lares/egress.yaml] [--machine=NETWORK,...] [--pairs=FILE]

Each client gets the domains of all lists and the addresses at home of all lists, by its address on the network
egress-proxy, and nothing else. `--machine` names what is never an address at home: this machine's own addresses and
its engine's bridges. `--pairs` is written with one `address port` a line, for setup/firewall.sh.
"""

from __future__ import annotations

import argparse
import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CLIENT = re.compile(r"^[a-z][a-z0-9-]{0,40}$")
# A name with a dot in it that is no address: an address would bypass the name.
DOMAIN = re.compile(r"^\.?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$")
PAIR = re.compile(r"^([0-9]{1,3}(?:\.[0-9]{1,3}){3}):([1-9][0-9]{0,4})$")
HOME = [ipaddress.IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
KEYS = {"address", "domains", "lan"}
DOMAINS_MAX = 200
LAN_MAX = 16
PORT_MAX = 65535

Pair = tuple[str, int]


@dataclass
class Client:
    """What one container may reach: domains outside, and addresses with their port at home."""

    address: int | None = None
    domains: list[str] = field(default_factory=list)
    lan: list[Pair] = field(default_factory=list)


def read(paths: list[Path], never: list[ipaddress.IPv4Network]) -> dict[str, Client]:
    """Return what each client may reach, or exit with what is wrong. `never` is no part of the home network."""
    clients: dict[str, Client] = {}
    for path in paths:
        if not path.exists():
            continue
        for name, entry in _entries(path).items():
            client = clients.setdefault(name, Client())
            if "address" in entry:
                client.address = int(entry["address"])
            if client.address is None or not 2 < client.address < 128:
                raise SystemExit(f"{path}: {name} has no fixed address on the network egress-proxy")
            for domain in entry.get("domains") or []:
                if not DOMAIN.fullmatch(str(domain)):
                    raise SystemExit(f"{path}: {domain!r} under {name} is not a domain")
                if domain not in client.domains:
                    client.domains.append(domain)
            for said in entry.get("lan") or []:
                pair = _pair(f"{path}: {said!r} under {name}", said, never)
                if pair not in client.lan:
                    client.lan.append(pair)
    if any(len(client.domains) > DOMAINS_MAX for client in clients.values()):
        raise SystemExit(f"more than {DOMAINS_MAX} domains for one client")
    # Servers, whoever asks them: a GPU node has two callers.
    if len({pair for client in clients.values() for pair in client.lan}) > LAN_MAX:
        raise SystemExit(f"more than {LAN_MAX} addresses at home (lan)")
    return clients


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    entries = (yaml.safe_load(path.read_text()) or {}).get("clients") or {}
    for name, entry in entries.items():
        if not CLIENT.fullmatch(name):
            raise SystemExit(f"{path}: {name!r} is not a service's name")
        unknown = sorted(set(entry) - KEYS)
        if unknown:
            raise SystemExit(f"{path}: {unknown[0]!r} under {name} is none of {sorted(KEYS)}")
        for key in ("domains", "lan"):
            # A single text would be read letter by letter.
            if not isinstance(entry.get(key) or [], list):
                raise SystemExit(f"{path}: {key} under {name} is not a list")
    return entries


def _pair(where: str, said: object, never: list[ipaddress.IPv4Network]) -> Pair:
    found = PAIR.fullmatch(said) if isinstance(said, str) else None
    if not found or int(found[2]) > PORT_MAX:
        raise SystemExit(f'{where} is not "address:port", both in numbers: "192.168.1.20:11434"')
    try:
        address = ipaddress.IPv4Address(found[1])
    except ValueError:
        raise SystemExit(f"{where} is not an IPv4 address") from None
    if not any(address in network for network in HOME):
        raise SystemExit(
            f"{where} is not on a home network (10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16)"
        )
    for network in never:
        if address in network:
            raise SystemExit(
                f"{where} lies in {network}, which is this machine's own: its address or a network of its containers"
            )
    return str(address), int(found[2])


def render(net: str, clients: dict[str, Client]) -> str:
    """Return the rules: a client reaches its own domains where they do not lead inward, and its addresses at home."""
    lines = ["# Made by set-up from networks/egress.yaml."]
    for name, client in sorted(clients.items()):
        if not client.domains and not client.lan:
            continue
        lines.append(f"acl client_{name} src {net}.5.{client.address}/32")
        if client.domains:
            # -n: no reverse look-up, so an address in place of a name never matches.
            lines += [
                f"acl domains_{name} dstdomain -n {' '.join(client.domains)}",
                f"http_access allow client_{name} domains_{name} CONNECT https_port !inward",
            ]
        for number, (address, port) in enumerate(client.lan):
            lan = f"lan_{name}_{number}"
            # Compared as text: a name that leads to this address is not it.
            lines += [
                f"acl {lan} dstdomain -n {address}",
                f"acl {lan}_port port {port}",
                f"http_access allow client_{name} {lan} {lan}_port CONNECT",
                f"http_access allow client_{name} {lan} {lan}_port plain_http",
            ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the lists, write the pairs where that is asked, and print the rules."""
    parser = argparse.ArgumentParser()
    parser.add_argument("net")
    parser.add_argument("lists", nargs="+", type=Path)
    parser.add_argument("--machine", default="")
    parser.add_argument("--pairs", type=Path)
    told = parser.parse_args()
    never = [ipaddress.IPv4Network(f"{told.net}.0.0/16")]
    never += [ipaddress.IPv4Network(n, strict=False) for n in told.machine.split(",") if n]
    clients = read(told.lists, never)
    if told.pairs:
        pairs = sorted({pair for client in clients.values() for pair in client.lan})
        told.pairs.write_text("".join(f"{address} {port}\n" for address, port in pairs))
    print(render(told.net, clients), end="")


if __name__ == "__main__":
    main()
