"""What node-agent can be told."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kit.settings import CommonSettings, setting

from node_agent.errors import BindRefused


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Where it listens, what it may start, and within which limits."""

    bind: str = setting(
        "LARES_BIND", help="The agent's own address on its network. Never every address."
    )
    port: int = setting("LARES_PORT", default=8443, help="Port to listen on, with mutual TLS.")
    node: str = setting("LARES_NODE", help="The node's name, as it joined the house.")
    disabled: bool = setting(
        "LARES_NODE_DISABLED",
        default=False,
        help="The off switch: running models are stopped and nothing is started or proxied.",
    )
    catalogue_path: Path = setting(
        "LARES_NODE_MODELS",
        default=Path("/etc/lares/models.yaml"),
        help="The catalogue of models; read again when it changes.",
    )
    tls_dir: Path = setting(
        "LARES_NODE_TLS_DIR",
        default=Path("/var/lib/lares/node"),
        help="Folder of the node's key, its certificate and the house's authority.",
    )
    weights_path: Path = setting(
        "LARES_NODE_WEIGHTS",
        default=Path("/models"),
        help="The folder of weights, read-only, as this container sees it.",
    )
    weights_host_path: str = setting(
        "LARES_NODE_WEIGHTS_HOST",
        default="",
        help="The same folder as the engine sees it; empty: as above.",
    )
    socket_path: Path = setting(
        "LARES_ENGINE_SOCKET", default=Path("/run/docker.sock"), help="The engine's socket."
    )
    cgroup_path: Path = setting(
        "LARES_CGROUP_PATH",
        default=Path("/host/cgroup"),
        help="The host's control groups, mounted read-only: the models' memory is read there.",
    )
    own_container: str = setting(
        "LARES_NODE_SELF",
        default="",
        help="Name of the agent's own container, which joins each model's network; empty: the agent runs on the host.",
    )
    models_net: str = setting(
        "LARES_MODELS_NET",
        default="10.87",
        help="The first two numbers of the addresses of the models' networks.",
    )
    cards: str = setting(
        "LARES_NODE_CARDS",
        default="auto",
        help="How cards are read: auto, nvidia, amd or simulated.",
    )
    card_groups: tuple[int, ...] = setting(
        "LARES_NODE_CARD_GROUPS",
        default=(),
        help="Numbers of the host's groups that may open an AMD card: models that run on one are given them.",
    )
    simulated_cards: tuple[str, ...] = setting(
        "LARES_NODE_SIMULATED_CARDS",
        default=(),
        help="Cards that are only played, for tests and demos: sim-0:24576 is one of 24 GiB.",
    )
    simulated_use: Literal["declared", "measured", "scaled"] = setting(
        "LARES_NODE_SIMULATED_USE",
        default="declared",
        help="What simulated cards show of a model: declared, measured (its host memory) or scaled (both).",
    )
    simulated_faults: Path | None = setting(
        "LARES_NODE_SIMULATED_FAULTS",
        default=None,
        help="File of faults that simulated cards play, for tests and demos.",
    )
    proc_path: Path = setting(
        "LARES_NODE_PROC",
        default=Path("/proc"),
        help="The host's /proc: which container a process on a card belongs to is read there.",
    )
    version: str = setting(
        "LARES_VERSION",
        default="dev",
        help="Version of the house's own images, also in the catalogue.",
    )
    ram_budget_mib: int = setting(
        "LARES_NODE_RAM_BUDGET_MIB",
        default=0,
        help="Host memory that models may take together, resident or asleep; 0: three quarters of all.",
    )
    wake_mac: str | None = setting(
        "LARES_NODE_WAKE_MAC",
        default=None,
        help="Hardware address for Wake-on-LAN, where the node may be suspended.",
    )
    suspend: bool = setting(
        "LARES_NODE_SUSPEND",
        default=False,
        help="Whether the scheduler may suspend this node when nothing has run for long.",
    )
    suspend_path: Path = setting(
        "LARES_NODE_SUSPEND_PATH",
        default=Path("/run/lares-host/suspend"),
        help="File whose writing asks the host to suspend (gpu-node's own watcher does it).",
    )
    stop_models: bool = setting(
        "LARES_NODE_STOP_MODELS",
        default=False,
        help="Whether SIGTERM stops the models too; else they run on and are found again.",
    )
    stop_seconds: int = setting(
        "LARES_STOP_SECONDS", default=8, help="How long running requests may finish after SIGTERM."
    )
    body_bytes_max: int = setting(
        "LARES_BODY_BYTES_MAX",
        default=32 * 1024 * 1024,
        help="Largest request body that is passed on to a model.",
    )
    connections_max: int = setting(
        "LARES_CONNECTIONS_MAX", default=1024, help="Most requests proxied at once."
    )


def check_bind(bind: str) -> None:
    """Return if `bind` is one address. Raises BindRefused. (kit.http has the same check, and costs 13 MiB here.)"""
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        raise BindRefused(f"LARES_BIND={bind!r} is not an IP address.") from None
    if address.is_unspecified:
        raise BindRefused(f"LARES_BIND={bind} stands for every address.")
