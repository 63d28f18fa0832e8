"""What a GPU node says of itself to gpu-scheduler, and what it is told to do. Over mutual TLS, port 8443.

`GET /v1/events` is a stream of JSON lines, each a whole `NodeState`: one at once, one whenever something changes, and
one a second at least. `POST /v1/actions` takes an `Action`; repeating one by its id changes nothing. Requests to models
go to `/v1/instances/{instance_id}/...` with the grant's fence in `X-Lares-Fence` and the request's id in
`X-Lares-Request`. `at` is when the reading of the cards began; the phases are taken after it. Sizes are MiB, times
seconds.
"""

from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Contract, Instant, ShortText
from contracts.names import FENCE_HEADER as FENCE_HEADER
from contracts.names import REQUEST_HEADER as REQUEST_HEADER
from contracts.scheduling import Fence, Mib, ModelKind, Name, Seconds, Sentence

EVENTS_PATH = "/v1/events"
ACTIONS_PATH = "/v1/actions"
STATE_PATH = "/v1/state"
INSTANCES_PATH = "/v1/instances"
JOIN_PATH = "/node/join"
CERTIFICATE_PATH = "/v1/certificate"
NODE_PORT = 8443
CardId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
InstancePhase = Literal[
    "starting", "ready", "draining", "sleeping", "asleep", "waking", "stopping", "stopped", "failed"
]


class CardUse(Contract):
    """What one instance uses of a card, by the driver's own account of its processes."""

    instance_id: Name
    used_mib: Mib


class CardReading(Contract):
    """One card as it was read. `used_mib` is all of it, foreign use included."""

    id: CardId
    index: Annotated[int, Field(ge=0, le=255)]
    name: ShortText
    vendor: Literal["nvidia", "amd", "simulated"]
    total_mib: Mib
    used_mib: Mib
    ours: tuple[CardUse, ...] = ()
    utilisation_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    watts: Annotated[float, Field(ge=0)] | None = None
    temperature_c: float | None = None
    # Not 0 for a card that could not be read: nothing new is started on it then.
    error: Sentence | None = None


class Footprint(Contract):
    """What a model is expected to use, part by part, and where the numbers are from."""

    weights_mib: Mib
    cache_mib: Mib
    compute_mib: Mib
    context_mib: Mib = 0
    adapters_mib: Mib = 0
    source: Literal["gguf", "safetensors", "declared"]
    notes: tuple[Sentence, ...] = ()

    @property
    def total_mib(self) -> int:
        """All parts together."""
        return (
            self.weights_mib
            + self.cache_mib
            + self.compute_mib
            + self.context_mib
            + self.adapters_mib
        )


class DeclaredModel(Contract):
    """A model of the node's catalogue. `footprint` is for one card of `cards_needed`."""

    model: Name
    kind: ModelKind
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]
    footprint: Footprint | None
    error: Sentence | None = None  # why it cannot be started: a missing file, an unreadable header
    context_tokens: Annotated[int, Field(ge=0)] | None = None
    max_tier: Literal["convenience", "sensitive", "sacred"] = "sacred"
    slots: Annotated[int, Field(ge=1, le=512)] = 1
    can_sleep: bool = False
    asleep_mib: Mib = 0
    ram_mib: Mib = 0
    asleep_ram_mib: Mib = 0
    cards: tuple[CardId, ...] = ()
    cards_needed: Annotated[int, Field(ge=1, le=16)] = 1
    start_seconds: Seconds = 10.0
    wake_seconds: Seconds = 1.0
    sleep_seconds: Seconds = 1.0
    stop_seconds: Seconds = 1.0
    group: ShortText | None = None
    pinned: bool = False
    min_dwell_seconds: Seconds = 5.0
    idle_sleep_seconds: Seconds | None = 300.0
    idle_stop_seconds: Seconds | None = 3600.0


class InstanceState(Contract):
    """One container, as it really is. Of the last action on it: its id and how it ended."""

    instance_id: Name
    model: Name
    fingerprint: str
    cards: tuple[CardId, ...]
    phase: InstancePhase
    since: Instant
    fence: Fence
    peak_mib: Annotated[dict[CardId, Mib], Field(default_factory=dict, max_length=64)]
    ram_mib: Mib | None = None
    in_flight: Annotated[int, Field(ge=0)] = 0
    action_id: ShortText | None = None
    took_seconds: Seconds | None = None
    error: Sentence | None = None
    out_of_memory: bool = False


class NodeState(Contract):
    """All of a node. `boot` changes with every start of node-agent; `seq` grows by one with every line."""

    node: Name
    boot: ShortText
    seq: Annotated[int, Field(ge=0)]
    at: Instant
    fence: Fence
    ram_total_mib: Mib
    ram_used_mib: Mib
    ram_budget_mib: Mib
    wake_mac: str | None = None
    leaving: bool = False  # about to suspend or stop
    error: Sentence | None = None  # of the node itself: a wrong catalogue, a silent engine
    cards: tuple[CardReading, ...]
    models: Annotated[tuple[DeclaredModel, ...], Field(max_length=256)]
    instances: Annotated[tuple[InstanceState, ...], Field(max_length=256)]


class NodeAction(Contract):
    """What the scheduler wants done. An action whose fence is lower than the instance's last is refused."""

    action_id: ShortText
    fence: Fence
    verb: Literal["start", "wake", "sleep", "drain", "stop", "suspend"]
    instance_id: Name | None = None
    model: Name | None = None
    cards: tuple[CardId, ...] = ()
    charge_mib: Mib = 0


class ActionTaken(Contract):
    """The action was taken down; how it goes is seen in the events."""

    action_id: ShortText
    repeated: bool = False


class JoinAsk(Contract):
    """`POST /node/join` of the house: a one-time token's secret, and the key the node made for itself."""

    token: Annotated[str, Field(min_length=16, max_length=500)]
    node: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    address: Annotated[str, Field(max_length=64)]
    csr: Annotated[str, Field(max_length=8192)]


class JoinAnswer(Contract):
    """The node's certificate and the authority that signs the house's own."""

    node: str
    certificate: str
    authority: str
    expires_at: Instant


class CertificateRequest(Contract):
    """`POST /v1/certificate` of the node, by the scheduler alone: a new key's request, to be signed for the same name."""

    csr: Annotated[str, Field(max_length=8192)]


class CertificateGiven(Contract):
    """`PUT /v1/certificate` of the node: taken only if it belongs to the key that was last asked for, and to this node."""

    certificate: Annotated[str, Field(max_length=8192)]


class JoinToken(Contract):
    """What `make gpu-node` prints, as `lares1.` and base64url of this in JSON. `secret` is the part that is secret."""

    node: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    address: Annotated[str, Field(max_length=64)]
    house: Annotated[str, Field(max_length=64)]  # the house's address, as numbers
    host: Annotated[str, Field(max_length=253)]  # its name, as its certificate says
    https_port: Annotated[int, Field(ge=1, le=65535)] = 443
    http_port: Annotated[int, Field(ge=1, le=65535)] = 80
    # SHA-256 of the house's own web authority, in hex; None: the house's certificate is one that every system knows.
    authority_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    secret: Annotated[str, Field(min_length=32, max_length=100)]
