"""What model-gateway and gpu-scheduler say to one another, and what the scheduler shows of itself.

A gateway holds one WebSocket to `/v1/queue`; every message is one JSON text frame, `{"type": ..., ...}`. When the
connection is lost, what it queued and holds is given up after `grace_seconds`, unless the gateway is back by then and
names in its `hello` what it still runs. Sizes are MiB, times seconds.
"""

from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Contract, Instant, ShortText

QUEUE_PATH = "/v1/queue"
STATE_TOPIC = "inference.state.v1"
ServiceClass = Literal["voice", "interactive", "agent", "batch"]
ModelKind = Literal[
    "chat", "completions", "embeddings", "rerank", "transcription", "speech", "image", "other"
]
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}$")]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Mib = Annotated[int, Field(ge=0, le=100_000_000)]
Fence = Annotated[int, Field(ge=0, le=9_007_199_254_740_991)]  # exact in every JSON reader
Sentence = Annotated[str, Field(max_length=500)]


class Ask(Contract):
    """A gateway wants a place for one request."""

    type: Literal["ask"] = "ask"
    request_id: RequestId
    model: Name
    service_class: ServiceClass
    caller: ShortText
    agent: ShortText | None = None
    deadline_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None
    work_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None
    # About how many are to be read before the first byte: long prompts cost a switch more than short ones.
    prompt_tokens: Annotated[int, Field(ge=0, le=100_000_000)] | None = None
    tier: Literal["convenience", "sensitive", "sacred"] = "sacred"


class Running(Contract):
    """A request that a returning gateway still runs."""

    ask: Ask
    instance_id: Name
    fence: Fence
    first_byte: bool


class Hello(Contract):
    """The first message of a connection. `gateway` is the same for the life of the gateway's process."""

    type: Literal["hello"] = "hello"
    gateway: RequestId
    running: Annotated[tuple[Running, ...], Field(max_length=2048)] = ()


class Cancel(Contract):
    """The gateway's client has gone."""

    type: Literal["cancel"] = "cancel"
    request_id: RequestId


class Began(Contract):
    """The model's first byte has been handed on: the request is not taken away any more."""

    type: Literal["began"] = "began"
    request_id: RequestId


class Ended(Contract):
    """The gateway is through with its grant, or gives it back as it was told to."""

    type: Literal["ended"] = "ended"
    request_id: RequestId
    fence: Fence
    outcome: Literal["ok", "failed", "cancelled", "preempted", "lost"]
    seconds: Seconds = 0.0


class Welcome(Contract):
    """The scheduler's first message."""

    type: Literal["welcome"] = "welcome"
    epoch: Annotated[int, Field(ge=0)]
    grace_seconds: Seconds


class OfferedModel(Contract):
    """A model that GPU nodes offer, as a gateway needs it to route. `available`: asked for now, it would be queued."""

    model: Name
    kind: ModelKind
    available: bool
    resident: bool
    max_tier: Literal["convenience", "sensitive", "sacred"]
    context_tokens: Annotated[int, Field(ge=0)] | None = None
    expected_wait_seconds: Seconds | None = None
    why: Sentence = ""


class Offered(Contract):
    """All models of all nodes; sent after `welcome` and whenever it changes. What is not named is not offered."""

    type: Literal["offered"] = "offered"
    models: Annotated[tuple[OfferedModel, ...], Field(max_length=512)]


class Queued(Contract):
    """Where a request stands; sent at once and at most once a second when it changes. Position 1 is next."""

    type: Literal["queued"] = "queued"
    request_id: RequestId
    position: Annotated[int, Field(ge=1)]
    expected_start_seconds: Seconds | None = None
    why: Sentence


class Granted(Contract):
    """The request may be sent to `path` on the node, with the fence in `X-Lares-Fence`."""

    type: Literal["granted"] = "granted"
    request_id: RequestId
    node: Name
    node_url: Annotated[str, Field(max_length=300)]
    # The one name under which the node's certificate is believed: it changes when a node is removed or joined anew.
    tls_name: Annotated[str, Field(max_length=253)]
    instance_id: Name
    path: Annotated[str, Field(max_length=300)]
    fence: Fence
    waited_seconds: Seconds
    why: Sentence


class Refused(Contract):
    """The request will not be served. `code`, `reason` and `fix` are what the caller is to read."""

    type: Literal["refused"] = "refused"
    request_id: RequestId
    status: Annotated[int, Field(ge=400, le=599)]
    code: ShortText
    reason: Sentence
    fix: Sentence
    retry_after_seconds: Seconds | None = None


class Preempted(Contract):
    """The grant is taken back: end the upstream, answer `ended preempted`, and wait; it is queued where it was."""

    type: Literal["preempted"] = "preempted"
    request_id: RequestId
    why: Sentence


class Drawn(Contract):
    """What one running request's share of its cards draws now, by instance; at most once a second, where cards tell."""

    type: Literal["drawn"] = "drawn"
    watts: Annotated[dict[Name, Annotated[float, Field(ge=0)]], Field(max_length=256)]


FromGateway = Annotated[Hello | Ask | Cancel | Began | Ended, Field(discriminator="type")]
FromScheduler = Annotated[
    Welcome | Offered | Queued | Granted | Refused | Preempted | Drawn, Field(discriminator="type")
]


class LeaseAsk(Contract):
    """`POST /v1/leases`: a model's instance, or bare memory on a card (`model` empty), until released."""

    model: Name | None = None
    memory_mib: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    card: Name | None = None
    service_class: ServiceClass = "batch"
    agent: ShortText | None = None
    ttl_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    wait_seconds: Annotated[float, Field(ge=0, le=60)] = 0.0
    purpose: ShortText = "unnamed"


class Lease(Contract):
    """A lease, or its place in the queue. Present `fence` with everything that is done under it."""

    lease_id: RequestId
    state: Literal["queued", "held", "revoked"]
    model: Name | None = None
    memory_mib: Mib | None = None
    node: Name | None = None
    card: Name | None = None
    node_url: str | None = None
    tls_name: str | None = None
    path: str | None = None
    fence: Fence | None = None
    holder: ShortText
    agent: ShortText | None = None
    purpose: ShortText
    expires_at: Instant | None = None
    position: int | None = None
    expected_start_seconds: Seconds | None = None
    why: Sentence = ""


class LeaseBeat(Contract):
    """`PUT /v1/leases/{id}`: renewed. A wrong fence is refused: the lease has passed to somebody else."""

    fence: Fence


class AgentBeat(Contract):
    """`PUT /v1/agents/{id}`: registers an agent and says that it lives."""

    ttl_seconds: Annotated[float, Field(ge=2, le=600)] = 15.0


class Order(Contract):
    """`POST /v1/orders`: what the owner wants done with a model or a node."""

    verb: Literal[
        "load",
        "sleep",
        "evict",
        "pin",
        "unpin",
        "ban",
        "allow",
        "drain_node",
        "resume_node",
        "pause",
        "resume",
    ]
    on: Name | None = None
    node: Name | None = None


# What is shown: GET /v1/status, and the same on the stream when it changes (at most once a second).


class Part(Contract):
    """A share of one card: a model's weights, its cache, memory held for leases or remnants, foreign use, free."""

    what: Literal["weights", "cache", "other", "lease", "remnant", "foreign", "reserve", "free"]
    model: Name | None = None
    mib: Mib


class CardView(Contract):
    """One card: booked and read."""

    id: Name
    node: Name
    index: int
    name: ShortText
    total_mib: Mib
    used_mib: Mib
    booked_mib: Mib
    foreign_mib: Mib
    free_mib: Mib
    parts: tuple[Part, ...]
    utilisation_percent: float | None = None
    watts: float | None = None
    temperature_c: float | None = None
    read_at: Instant | None = None
    stale: bool = False


class InstanceView(Contract):
    """One container of a model."""

    id: Name
    model: Name
    node: Name
    cards: tuple[Name, ...]
    phase: str
    since: Instant
    charge_mib: Mib
    running: int
    error: str | None = None


class ModelView(Contract):
    """One model of one node's catalogue, and how it fares."""

    model: Name
    node: Name
    kind: ModelKind
    phase: str
    predicted_mib: Mib
    peak_mib: Mib | None
    charge_mib: Mib
    slots: int
    pinned: bool
    banned: bool
    can_sleep: bool
    queued: int
    running: int
    note: Sentence = ""


class WaitingView(Contract):
    """One request in the queue."""

    request_id: RequestId
    model: Name | None
    service_class: ServiceClass
    caller: ShortText
    agent: ShortText | None
    lease: bool
    position: int
    waited_seconds: Seconds
    expected_start_seconds: Seconds | None
    why: Sentence


class AgentView(Contract):
    """A registered agent."""

    id: ShortText
    caller: ShortText
    seen_at: Instant
    ttl_seconds: Seconds
    leases: int
    queued: int
    running: int


class NodeView(Contract):
    """A GPU node."""

    name: Name
    state: Literal["up", "away", "waking", "draining"]
    last_seen: Instant | None
    ram_budget_mib: Mib
    ram_used_mib: Mib
    error: Sentence | None = None  # of the node itself, as it says


class Decision(Contract):
    """One thing that the scheduler did, and why, in a sentence."""

    at: Instant
    verb: ShortText
    on: str
    why: Sentence


class Status(Contract):
    """`GET /v1/status`."""

    epoch: int
    paused: bool
    at: Instant
    nodes: tuple[NodeView, ...]
    cards: tuple[CardView, ...]
    models: tuple[ModelView, ...]
    instances: tuple[InstanceView, ...]
    queue: tuple[WaitingView, ...]
    queue_total: int
    leases: tuple[Lease, ...]
    agents: tuple[AgentView, ...]
    decisions: tuple[Decision, ...]
