"""A model's container as the engine is told to make it, and what its labels say. Pure: words in, words out.

Whatever is started here: a read-only root, no capability and no way to gain one, a user that is not root, a network of
its own with nobody on it but the agent and no way out, limits on memory, processes, files and logs, no restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.gpunode import CardReading

from node_agent.catalogue import Model
from node_agent.servers import MODELS, Server

INSTANCE, MODEL, NODE = "house.lares.instance", "house.lares.model", "house.lares.node"
FINGERPRINT, FENCE, CARDS = "house.lares.fingerprint", "house.lares.fence", "house.lares.cards"
NET, ENTRY = "house.lares.net", "house.lares.entry"
MIB = 2**20
NETWORKS_MAX = 250


@dataclass(frozen=True)
class Labels:
    """What a container says of itself, so that an agent that was killed finds it again."""

    instance_id: str
    model: str
    node: str
    fingerprint: str
    fence: int
    cards: tuple[str, ...]
    net: int
    entry: (
        str  # the catalogue's entry at its start, as JSON: the file may say something else by now
    )

    def words(self) -> dict[str, str]:
        """Return them as the engine keeps them."""
        return {
            INSTANCE: self.instance_id,
            MODEL: self.model,
            NODE: self.node,
            FINGERPRINT: self.fingerprint,
            FENCE: str(self.fence),
            CARDS: ",".join(self.cards),
            NET: str(self.net),
            ENTRY: self.entry,
        }


def labels_of(words: Mapping[str, str]) -> Labels | None:
    """Return what a container's labels say; None when they are not the agent's, or damaged."""
    try:
        labels = Labels(
            instance_id=words[INSTANCE],
            model=words[MODEL],
            node=words[NODE],
            fingerprint=words[FINGERPRINT],
            fence=int(words[FENCE]),
            cards=tuple(card for card in words[CARDS].split(",") if card),
            net=int(words[NET]),
            entry=words[ENTRY],
        )
    except (KeyError, ValueError):
        return None
    return labels if 0 <= labels.net < NETWORKS_MAX and labels.fence >= 0 else None


def container_name(instance_id: str) -> str:
    """Return the name of an instance's container."""
    return f"lares-model-{_plain(instance_id)}"


def network_name(node: str, net: int) -> str:
    """Return the name of one of the node's networks for models."""
    return f"lares-model-{node}-{net}"


def address(prefix: str, net: int) -> str:
    """Return the address of the model on its network: the last one, because the agent is given the first that is free."""
    return f"{prefix}.{net}.6"


def network_body(node: str, net: int, prefix: str, inside: bool) -> dict[str, Any]:
    """Return what the engine is told: no way out, and no address of the host's where the agent is a container itself."""
    options = {"com.docker.network.bridge.inhibit_ipv4": "true"} if inside else {}
    if inside:
        # A common beginning, so that one rule of the host's firewall covers them all.
        options["com.docker.network.bridge.name"] = f"lamodel-{net}"
    return {
        "Name": network_name(node, net),
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": True,
        "EnableIPv6": False,
        "IPAM": {"Config": [{"Subnet": f"{prefix}.{net}.0/29", "Gateway": f"{prefix}.{net}.1"}]},
        "Options": options,
        "Labels": {NODE: node, NET: str(net)},
    }


def devices_of(model: Model, cards: Sequence[CardReading], groups: Sequence[int]) -> dict[str, Any]:
    """Return the part of HostConfig that gives the container its cards, and the environment that names them."""
    if model.devices == "none" or not cards:
        return {}
    if cards[0].vendor == "nvidia":
        request = {"Driver": "nvidia", "DeviceIDs": [card.id for card in cards]}
        return {"DeviceRequests": [{**request, "Capabilities": [["gpu", "compute", "utility"]]}]}
    if cards[0].vendor == "amd":
        nodes = ["/dev/kfd", *(f"/dev/dri/renderD{128 + card.index}" for card in cards)]
        made = [
            {"PathOnHost": node, "PathInContainer": node, "CgroupPermissions": "rw"}
            for node in nodes
        ]
        # By number: an image knows other names for them than the host, or none.
        return {"Devices": made, "GroupAdd": [str(group) for group in groups]}
    return {}


def container_body(
    labels: Labels,
    model: Model,
    server: Server,
    *,
    address: str,
    cards: Sequence[CardReading],
    weights_host: str,
    card_groups: Sequence[int] = (),
) -> dict[str, Any]:
    """Return what the engine is told to create."""
    user, group = model.user.split(":")
    # The engine says noexec where nothing is said. What PyTorch and Triton have compiled could not be loaded then.
    run = "exec," if server.compiles else ""
    tmpfs = {
        "/tmp": f"{run}rw,nosuid,nodev,size={model.tmp_mib}m,mode=0700,uid={user},gid={group}",  # noqa: S108
        "/run/lares": f"rw,nosuid,nodev,noexec,size=1m,mode=0700,uid={user},gid={group}",
    }
    host: dict[str, Any] = {
        "NetworkMode": network_name(labels.node, labels.net),
        "RestartPolicy": {"Name": "no"},
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "Memory": model.memory_limit_mib * MIB,
        # The same: no swap, in which a model would only crawl.
        "MemorySwap": model.memory_limit_mib * MIB,
        "PidsLimit": model.pids_max,
        "ShmSize": model.shm_mib * MIB,
        "Tmpfs": tmpfs,
        "Mounts": _mounts(model, weights_host),
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "2m", "max-file": "2"}},
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": 4096, "Hard": 4096},
        ],
        "Dns": ["127.0.0.1"],
        "Init": True,
        **devices_of(model, cards, card_groups),
    }
    if model.cpus is not None:
        host["NanoCpus"] = int(model.cpus * 1e9)
    environment = dict(server.environment)
    if model.devices == "auto" and cards and cards[0].vendor == "amd":
        environment["ROCR_VISIBLE_DEVICES"] = ",".join(str(index) for index in range(len(cards)))
    return {
        "Image": server.image,
        "User": model.user,
        **({"Cmd": list(server.command)} if server.command else {}),
        "Env": [f"{key}={value}" for key, value in sorted(environment.items())],
        "Labels": labels.words(),
        # The image's own would start a process every few seconds; the agent looks itself.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host,
        "NetworkingConfig": {
            "EndpointsConfig": {
                network_name(labels.node, labels.net): {"IPAMConfig": {"IPv4Address": address}}
            }
        },
    }


def _mounts(model: Model, weights_host: str) -> list[dict[str, Any]]:
    # Only what the model names: another model's weights are none of its business.
    return [
        {
            "Type": "bind",
            "Source": f"{weights_host.rstrip('/')}/{path}",
            "Target": f"{MODELS}/{path}",
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rprivate"},
        }
        for path in model.files.all
    ]


def _plain(instance_id: str) -> str:
    return "".join(c if c.isalnum() or c in "_.-" else "-" for c in instance_id)
