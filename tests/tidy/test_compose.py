"""The walls of every container, read from what compose would start. A container that lacks one does not pass."""

import re
from typing import Any

import pytest
import settings_reference
import tree
from kit.settings import CommonSettings, describe

CONTAINERS = sorted(tree.containers())
# What runs on the GPU node stands in gpu-node/compose.yaml.
SERVICES = {folder.name: folder for folder in tree.service_folders() if tree.in_the_house(folder)}
ONE_SHOT = {"migrate"}
# The same image and user, another command: both serve one service's data.
SAME_USER = {frozenset({"memory", "memory-worker", "consolidator"})}
# They publish ports, or reach outside: the only two that may be on a network with a way out.
EDGES = {"front": "caddy", "egress": "egress-proxy"}
# Read by every image's libraries or by the kit itself, not by one service's Settings.
COMMON_VARIABLES = {"LARES_SECRETS_DIR", "LARES_BIND"}


def container(name: str) -> dict[str, Any]:
    return tree.containers()[name]


@pytest.mark.parametrize("name", CONTAINERS)
def test_its_root_is_read_only(name: str) -> None:
    assert container(name).get("read_only") is True


@pytest.mark.parametrize("name", CONTAINERS)
def test_it_has_no_capability_and_cannot_gain_one(name: str) -> None:
    told = container(name)
    assert told.get("cap_drop") == ["ALL"]
    assert not told.get("cap_add")
    assert not told.get("privileged")
    assert "no-new-privileges:true" in told.get("security_opt", [])
    assert not {"seccomp:unconfined", "apparmor:unconfined"} & set(told["security_opt"])


@pytest.mark.parametrize("name", CONTAINERS)
def test_it_runs_as_a_user_that_is_not_root(name: str) -> None:
    user = str(container(name).get("user", ""))
    assert re.fullmatch(r"(100[1-9]\d):\1", user), f"user: {user!r} is not one of the house's own"


def test_no_two_services_share_a_user() -> None:
    by_user: dict[str, set[str]] = {}
    for name in CONTAINERS:
        by_user.setdefault(str(container(name).get("user")), set()).add(name)
    shared = [names for names in by_user.values() if len(names) > 1]
    assert {frozenset(names) for names in shared} <= SAME_USER


@pytest.mark.parametrize("name", CONTAINERS)
def test_its_memory_cpu_and_processes_are_limited(name: str) -> None:
    told = container(name)
    missing = [key for key in ("mem_limit", "cpus", "pids_limit") if not float(told.get(key) or 0)]
    assert not missing, f"{name} lacks {missing}"
    assert int(told["pids_limit"]) <= 512
    assert told.get("ulimits", {}).get("nofile"), f"{name} has no limit on open files"


@pytest.mark.parametrize("name", CONTAINERS)
def test_its_log_rotates(name: str) -> None:
    options = container(name).get("logging", {}).get("options", {})
    assert options.get("max-size"), f"{name}: no logging.options.max-size"
    assert options.get("max-file"), f"{name}: no logging.options.max-file"


@pytest.mark.parametrize("name", CONTAINERS)
def test_it_comes_back_by_itself_and_stops_gracefully(name: str) -> None:
    told = container(name)
    wanted = ("on-failure",) if name in ONE_SHOT else ("unless-stopped", "always")
    assert str(told.get("restart")).startswith(wanted), f"restart: {told.get('restart')}"
    assert 10 <= tree.seconds(told.get("stop_grace_period", "0s")) <= 120


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - ONE_SHOT))
def test_its_healthcheck_is_cheap(name: str) -> None:
    check = container(name).get("healthcheck") or {}
    assert check.get("test"), f"{name} has no healthcheck"
    command = " ".join(check["test"])
    assert "python" not in command, "a healthcheck that starts Python costs most of a core"
    assert tree.seconds(check["interval"]) >= 30
    assert tree.seconds(check["timeout"]) <= 10
    assert "start_interval" not in check, "engine 20.10 refuses it"


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_it_may_write_to_is_small_or_named(name: str) -> None:
    told = container(name)
    for mount in told.get("tmpfs") or []:
        assert re.search(r"size=\d+[km]", mount), f"{name}: {mount} has no size"
    for volume in told.get("volumes") or []:
        if volume["type"] == "bind" and volume["target"] != "/run/docker.sock":
            assert volume.get("read_only"), f"{name}: {volume['source']} is writable"


def test_only_engine_reader_holds_the_engines_socket_and_it_has_no_network() -> None:
    holders = [
        name
        for name in CONTAINERS
        if any("docker.sock" in volume["source"] for volume in container(name).get("volumes") or [])
    ]
    assert holders == ["engine-reader"]
    assert container("engine-reader").get("network_mode") == "none"


@pytest.mark.parametrize("name", CONTAINERS)
def test_it_shares_nothing_of_the_hosts(name: str) -> None:
    told = container(name)
    shared = [key for key in ("pid", "ipc", "uts", "userns_mode", "devices") if told.get(key)]
    assert not shared
    assert told.get("network_mode") in (None, "none")
    assert not told.get("extra_hosts")


@pytest.mark.parametrize("name", CONTAINERS)
def test_only_the_edge_publishes_ports(name: str) -> None:
    published = {port["target"] for port in container(name).get("ports") or []}
    assert not published or name == "caddy", f"{name} publishes {published}"
    if name == "caddy":
        assert {port["published"] for port in container(name)["ports"]} == {"80", "443"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_secret_is_in_its_environment_or_command(name: str) -> None:
    told = container(name)
    secretive = re.compile(
        r"(PASSWORD|SECRET|TOKEN|PRIVATE_KEY|SIGNING|API_KEY)(_|\b)", re.IGNORECASE
    )
    named = [key for key in told.get("environment") or {} if secretive.search(key)]
    assert not named, f"{name}: secrets are files, not variables: {named}"
    assert not secretive.search(" ".join(map(str, told.get("command") or [])))


@pytest.mark.parametrize("name", CONTAINERS)
def test_its_secrets_are_its_own_copies(name: str) -> None:
    for secret in container(name).get("secrets") or []:
        file = tree.compose()["secrets"][secret["source"]]["file"]
        assert f"/secrets/{name}/" in file, f"{name} is given {file}"


def test_every_container_is_built_here_and_pulled_from_nowhere() -> None:
    for name in CONTAINERS:
        assert container(name)["image"].startswith("lares/"), name


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_stands_in_the_fragment_of_its_domain_as_it_says(name: str) -> None:
    said = tree.service_yaml(SERVICES[name])
    assert name in tree.containers(), f"{name} is in no compose fragment"
    told = container(name)
    absent = {"domain", "uid", "port", "database_role", "memory_budget_mib"} - said.keys()
    assert not absent, f"services/{name}/service.yaml lacks {sorted(absent)}"
    assert tree.fragment_of(name) == said["domain"]
    assert told["user"] == f"{said['uid']}:{said['uid']}"
    limit_mib = int(told["mem_limit"]) / 2**20
    budget = said["memory_budget_mib"]
    assert budget < limit_mib, f"a limit of {limit_mib} MiB is no room over a budget of {budget}"
    bound = (told.get("environment") or {}).get("LARES_BIND")
    assert bool(said["port"]) == bool(bound), f"port: {said['port']}, but LARES_BIND: {bound}"
    has_login = any(s["target"].startswith("db_password") for s in told.get("secrets") or [])
    assert bool(said["database_role"]) == has_login, (
        f"database_role: {said['database_role']}, secrets: {told.get('secrets')}"
    )
    if said["database_role"]:
        assert said["database_role"] == f"svc_{name.replace('-', '_')}"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_services_workers_are_containers_of_the_same_image_and_user(name: str) -> None:
    for worker, said in (tree.service_yaml(SERVICES[name]).get("workers") or {}).items():
        assert container(worker)["image"] == container(name)["image"]
        assert container(worker)["user"] == container(name)["user"]
        assert said["memory_budget_mib"] < int(container(worker)["mem_limit"]) / 2**20


def test_every_python_container_belongs_to_a_service_that_says_so() -> None:
    known = set(SERVICES)
    for folder in SERVICES.values():
        known |= set(tree.service_yaml(folder).get("workers") or {})
    built = {
        n for n in CONTAINERS if "SERVICE" in (container(n).get("build") or {}).get("args", {})
    }
    assert built <= known, f"no service.yaml speaks of {sorted(built - known)}"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_knows_every_variable_that_compose_gives_it(name: str) -> None:
    classes = settings_reference.settings_classes().get(name, [])
    known = COMMON_VARIABLES | {d.env for d in describe(CommonSettings).values()}
    known |= {d.env for cls in classes for d in describe(cls).values()}
    workers = tree.service_yaml(SERVICES[name]).get("workers") or {}
    for one in (name, *workers):
        given = {key for key in container(one).get("environment") or {} if key.startswith("LARES_")}
        assert given <= known, f"{one}: no setting reads {sorted(given - known)}"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_given_every_setting_and_secret_that_it_cannot_do_without(name: str) -> None:
    classes = settings_reference.settings_classes().get(name, [])
    workers = tree.service_yaml(SERVICES[name]).get("workers") or {}
    given: set[str] = set()
    for one in (name, *workers):
        told = container(one)
        given |= set(told.get("environment") or {})
        given |= {secret["target"] for secret in told.get("secrets") or []}
    required = {d.env for cls in classes for d in describe(cls).values() if d.required}
    assert required <= given, f"{name} would not start without {sorted(required - given)}"
