"""networks.yaml, reachability.yaml, egress.yaml and compose say the same; the running stack is tested elsewhere."""

from typing import Any

import pytest
import tree

NETWORKS: dict[str, Any] = tree.load_yaml("networks/networks.yaml")["networks"]
PERMITTED: list[dict[str, Any]] = tree.load_yaml("networks/reachability.yaml")["permitted"]
WAYS_OUT = {"front": "caddy", "egress": "egress-proxy"}
NUMBERS = {"postgres": 5432, "valkey": 6379, "egress-proxy": 3128}


def members(network: str) -> set[str]:
    return {
        name for name, told in tree.containers().items() if network in (told.get("networks") or {})
    }


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_a_network_is_internal_and_the_host_has_no_address_on_it(network: str) -> None:
    told = tree.compose()["networks"][network]
    if network in WAYS_OUT:
        assert members(network) == {WAYS_OUT[network]}, "nobody else may join a way out"
        return
    assert told.get("internal") is True, f"{network} is not internal"
    assert told["driver_opts"]["com.docker.network.bridge.inhibit_ipv4"] == "true"


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_a_network_has_one_server_and_the_callers_it_names(network: str) -> None:
    said = NETWORKS[network]
    assert said.get("x-why"), f"{network} does not say why it is there"
    expected = {said["x-server"], *said["x-callers"]}
    assert members(network) == expected, f"{network}: compose joins {sorted(members(network))}"
    assert all(said["x-callers"].values()), f"{network}: a caller without a reason"


@pytest.mark.parametrize("network", sorted(set(NETWORKS) - {"egress"}))
def test_the_server_of_a_network_binds_to_its_own_address_there_and_nowhere_else(
    network: str,
) -> None:
    server = tree.containers()[NETWORKS[network]["x-server"]]
    address = server["networks"][network]["ipv4_address"]
    assert address.endswith(".2")
    assert (server.get("environment") or {}).get("LARES_BIND") == address


def test_no_two_networks_overlap() -> None:
    subnets = [told["ipam"]["config"][0]["subnet"] for told in tree.compose()["networks"].values()]
    assert len(subnets) == len(set(subnets)) == len(NETWORKS)
    assert set(tree.compose()["networks"]) == set(NETWORKS), "a network outside networks.yaml"


def test_what_is_permitted_is_exactly_what_the_networks_make_possible() -> None:
    inside = {
        (row["source"], row["destination"])
        for row in PERMITTED
        if row["source"] != "outside" and row["destination"] != "outside"
    }
    possible = {
        (caller, said["x-server"]) for said in NETWORKS.values() for caller in said["x-callers"]
    }
    assert inside == possible, (
        f"reachability.yaml alone: {sorted(inside - possible)}; "
        f"networks.yaml alone: {sorted(possible - inside)}"
    )


def test_only_the_proxy_goes_out_and_only_the_edge_is_reached() -> None:
    out = {(row["source"], row["port"]) for row in PERMITTED if row["destination"] == "outside"}
    assert out == {("egress-proxy", 443)}
    reached = {row["destination"] for row in PERMITTED if row["source"] == "outside"}
    assert reached == {"caddy"}


@pytest.mark.parametrize("row", PERMITTED, ids=lambda row: f"{row['source']}-{row['destination']}")
def test_a_permitted_conversation_has_a_reason_and_the_servers_port(row: dict[str, Any]) -> None:
    assert set(row) == {"source", "destination", "port", "why"}
    assert len(row["why"]) >= 5
    if "outside" not in (row["source"], row["destination"]):
        assert row["port"] == NUMBERS.get(row["destination"], 8000)


def test_the_proxy_knows_its_clients_by_the_addresses_that_compose_gives_them() -> None:
    clients = tree.load_yaml("networks/egress.yaml")["clients"]
    assert set(clients) == set(NETWORKS["egress-proxy"]["x-callers"])
    for name, said in clients.items():
        given = tree.containers()[name]["networks"]["egress-proxy"]["ipv4_address"]
        assert given.rsplit(".", 1)[1] == str(said["address"])
        for domain in said["domains"]:
            assert "*" not in domain, f"{name}: {domain}"
            assert domain.count(".") >= 1, f"{name}: {domain}"


@pytest.mark.parametrize("folder", tree.service_folders(), ids=lambda folder: folder.name)
def test_the_bus_lets_a_service_read_and_write_the_streams_it_names_and_no_other(
    folder: Any,
) -> None:
    said = tree.service_yaml(folder)
    users = [folder.name, *(said.get("workers") or {})]
    lines = [
        line
        for line in tree.read(tree.Path("db/valkey/users.acl.template")).splitlines()
        if line.startswith(tuple(f"user {user.replace('-', '_')} " for user in users))
    ]
    granted = {
        word.rsplit("lares:stream:", 1)[1].rstrip(")")
        for line in lines
        for word in line.split()
        if "lares:stream:" in word
    }
    streams = said.get("streams") or {"reads": [], "writes": []}
    named = {*streams["reads"], *streams["writes"]}
    assert granted == named, f"ACL: {sorted(granted)}, service.yaml: {sorted(named)}"
