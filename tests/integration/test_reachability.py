"""networks/reachability.yaml is a promise: what it names connects, and everything else fails to.

Tried over the running house: from every container, to every address of every other one, on every port that anyone
listens on; and to the host and the outside.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.integration.house import ROOT, Container, Target, containers, host_addresses, probe, run
from tests.integration.outside import NAMESPACE, PORTS, outside

pytestmark = [pytest.mark.integration, pytest.mark.stack]

PROJECT = os.environ.get("LARES_TEST_PROJECT", "lares-test")
ENVIRONMENT = {"lares-test": ".lares-test/env", "lares": ".lares/env"}[PROJECT]
Triple = tuple[str, str, int]


def permitted() -> set[Triple]:
    """Return the triples of the promise."""
    entries = yaml.safe_load((ROOT / "networks/reachability.yaml").read_text())["permitted"]
    return {(entry["source"], entry["destination"], entry["port"]) for entry in entries}


@pytest.fixture(scope="module")
def house(stack: object) -> Iterator[list[Container]]:
    """Every container of the running house; the one-shot that has ended is started again, asleep, on its networks."""
    name = f"{PROJECT}-migrate-asleep"
    run("docker", "compose", "--project-directory", str(ROOT), "--env-file", str(ROOT / ENVIRONMENT), "run", "--detach", "--rm",
        "--no-deps", "--name", name, "--entrypoint", "sleep", "migrate", "600")  # fmt: skip
    try:
        yield containers(PROJECT)
    finally:
        run("docker", "rm", "-f", name)


@pytest.fixture(scope="module")
def opened(house: list[Container]) -> set[Triple]:
    """Every connection between two containers that opens, whoever tries it."""
    ports = {port for one in house for _, port in one.listeners()}
    owner = {address: one.service for one in house for address in one.addresses}

    def tried(source: Container) -> set[Triple]:
        others = set(owner) - source.addresses
        return {
            (source.service, owner[a], p)
            for a, p in source.reaches((a, p) for a in others for p in ports)
        }

    with ThreadPoolExecutor(max_workers=6) as pool:
        return set().union(*pool.map(tried, house))


def from_everywhere(house: list[Container], targets: set[Target]) -> set[Triple]:
    """Return (service, address, port) for every target that a container of the house can open."""
    with ThreadPoolExecutor(max_workers=6) as pool:
        found = pool.map(lambda one: {(one.service, a, p) for a, p in one.reaches(targets)}, house)
        return set().union(*found)


def test_the_house_is_complete(house: list[Container]) -> None:
    """A container that is missing would pass every test below."""
    asked = run(
        "docker",
        "compose",
        "--project-directory",
        str(ROOT),
        "--env-file",
        str(ROOT / ENVIRONMENT),
        "config",
        "--services",
    )
    assert {one.service for one in house} == set(asked.split())


def test_every_permitted_connection_opens(opened: set[Triple]) -> None:
    inside = {t for t in permitted() if "outside" not in t[:2]}
    assert inside - opened == set(), "named in reachability.yaml, and does not connect"


def test_no_other_connection_opens(opened: set[Triple]) -> None:
    assert opened - permitted() == set(), "connects, and reachability.yaml does not name it"


def test_each_container_listens_on_its_own_address_alone(house: list[Container]) -> None:
    """A server on every address would be reachable from the networks where it is a caller."""
    astray = {
        (one.service, address, port)
        for one in house
        for address, port in one.listeners()
        if address != one.environment.get("LARES_BIND")
    }
    assert astray == set()


@pytest.fixture
def host_port() -> Iterator[int]:
    """A listener on every address of the host, as any program on it may open one."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0.2)
        closing = threading.Event()

        def accept() -> None:
            while not closing.is_set():
                try:
                    server.accept()[0].close()
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield port
        closing.set()
        thread.join()


def test_no_container_reaches_the_host(house: list[Container], host_port: int) -> None:
    """Not by its own addresses, not by a gateway's, not by the ports that it publishes."""
    gateways = {f"{address.rsplit('.', 1)[0]}.1" for one in house for address in one.addresses}
    published = {port for _, port in published_ports(house)}
    targets = {(a, p) for a in gateways | host_addresses() for p in {host_port, 22, 53, *published}}
    assert probe(["--net=/proc/self/ns/net"], {(a, host_port) for a in host_addresses()}), (
        "the listener itself is broken"
    )
    assert from_everywhere(house, targets) == set()


def test_only_the_egress_proxy_reaches_the_outside_and_only_on_443(house: list[Container]) -> None:
    with outside() as address:
        targets: set[Target] = {(address, port) for port in PORTS}
        assert probe(["--net=/proc/self/ns/net"], targets) == targets, (
            "the stand-in for the outside is broken"
        )
        reached = {
            (service, "outside", port) for service, _, port in from_everywhere(house, targets)
        }
    assert reached == {t for t in permitted() if t[1] == "outside"}


def test_the_outside_reaches_caddy_and_nobody_else(house: list[Container]) -> None:
    """A machine in the home network may route to the containers through this one: only the edge answers."""
    ports = {port for one in house for _, port in one.listeners()}
    owner = {address: one.service for one in house for address in one.addresses}
    with outside():
        reached = probe([f"--net=/run/netns/{NAMESPACE}"], {(a, p) for a in owner for p in ports})
    assert {owner[address] for address, _ in reached} <= {"caddy"}
    assert {service for service, _ in published_ports(house)} == {"caddy"}
    entries = {port for _, port in published_ports(house)}
    here = {("127.0.0.1", port) for port in entries}
    assert probe(["--net=/proc/self/ns/net"], here) == here
    assert len(entries) == len({t for t in permitted() if t[0] == "outside"})


def published_ports(house: list[Container]) -> set[tuple[str, int]]:
    """Return (service, port of the host) for every published port of the house."""
    return {(one.service, port) for one in house for port in one.published}


RESOLVE = """
import socket
try: print(socket.getaddrinfo("example.com", 443) and "resolved")
except OSError: print("refused")
"""


def resolves_outside(one: Container) -> str:
    """Ask for an outside name as the container would: its network, its resolver, the host's Python."""
    with_its_resolver = f'mount --bind /proc/{one.pid}/root/etc/resolv.conf /etc/resolv.conf && exec /usr/bin/python3 -c "$0"'
    return run(
        "nsenter", "-t", str(one.pid), "-n", "unshare", "-m", "sh", "-c", with_its_resolver, RESOLVE
    ).strip()


def test_no_container_but_the_egress_proxy_resolves_names_of_the_outside(
    house: list[Container],
) -> None:
    """The engine forwards what it does not know: a name is enough to carry data out."""
    asking = [one for one in house if one.service != "egress-proxy" and one.addresses]
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = dict(
            zip((one.service for one in asking), pool.map(resolves_outside, asking), strict=True)
        )
    assert answers
    assert set(answers.values()) == {"refused"}, answers
