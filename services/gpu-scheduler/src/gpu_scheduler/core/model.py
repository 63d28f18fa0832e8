"""What the scheduler knows: nodes, cards, deployments, instances, requests. Plain data; `apply` alone changes it.

Times are seconds of one monotonic clock. Sizes are MiB. A card's id is its UUID, which is unique among all nodes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

DeploymentKey = tuple[str, str]  # (node, model)
FENCES_PER_EPOCH = 1_000_000_000  # a fence is its epoch's number times this, and a counter


class ServiceClass(StrEnum):
    """Who waits: a voice at the speaker, a person at a screen, an agent, or nobody."""

    VOICE = "voice"
    INTERACTIVE = "interactive"
    AGENT = "agent"
    BATCH = "batch"


class Phase(StrEnum):
    """Where an instance is in its life. The card is charged in all of them but `STOPPED` and `FAILED`."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # finishes what runs, takes nothing new; `Instance.after_drain` says what follows
    SLEEPING = "sleeping"  # on its way to asleep
    ASLEEP = "asleep"
    WAKING = "waking"
    STOPPING = "stopping"
    STOPPED = "stopped"  # gone; the charge stays until the card has been read after it
    FAILED = "failed"


@dataclass(frozen=True)
class Deployment:
    """A model as one node declares it. `peak_mib` is the highest use that was measured, None before the first run."""

    node: str
    model: str
    kind: str  # chat, completions, embeddings, rerank, transcription, speech, image, other
    fingerprint: str  # changes with the weights or the settings; measured peaks belong to it
    predicted_mib: int  # per card
    peak_mib: int | None = None  # per card
    asleep_mib: int = 0  # what sleep leaves on each card, as measured or declared
    ram_mib: int = 0  # host memory while resident
    asleep_ram_mib: int = 0  # host memory while asleep: staged weights
    can_sleep: bool = False
    cards: tuple[str, ...] = ()  # where it may run; empty: any card of the node
    cards_needed: int = 1
    slots: int = 1  # requests at once
    start_s: float = 10.0
    wake_s: float = 1.0
    sleep_s: float = 1.0
    stop_s: float = 1.0
    group: str | None = None  # of a group one member is resident at a time
    pinned: bool = False
    min_dwell_s: float = 5.0
    idle_sleep_s: float | None = 300.0
    idle_stop_s: float | None = 3600.0
    enabled: bool = True

    @property
    def key(self) -> DeploymentKey:
        """The deployment's name among all."""
        return self.node, self.model


@dataclass
class Card:
    """One card as it was last read, and what is booked on it."""

    id: str
    node: str
    index: int
    total_mib: int
    used_mib: int = 0
    read_at: float = float("-inf")
    # What processes of known instances were read to use; the rest of `used_mib` is foreign.
    ours_mib: Mapping[str, int] = field(default_factory=dict[str, int])  # instance id -> MiB
    # Charges of instances that are gone, kept until a reading begun later shows the memory free or foreign.
    remnants: dict[str, Remnant] = field(default_factory=dict[str, "Remnant"])
    # The lowest foreign use in this and in the last window of readings: what does not come and go.
    foreign_low: tuple[int, int] = (0, 0)
    foreign_window_at: float = float("-inf")
    over_since: float | None = None  # more is booked and read than the card has
    error: str | None = None  # why it could not be read last


@dataclass
class Remnant:
    """Memory that was charged to an instance which has stopped or gone to sleep, and not yet been seen free."""

    mib: int
    since: float
    expires_after_reading_at: float


@dataclass
class Node:
    """One GPU node. A node that is not `up` grants nothing and is sent nothing."""

    name: str
    up: bool = False
    last_seen: float = float("-inf")
    ram_budget_mib: int = 0
    ram_foreign_mib: int = 0
    wakeable: bool = False  # by Wake-on-LAN
    wake_tried_at: float | None = None
    draining: bool = False  # by the owner's order: nothing new is started or granted
    boot: str = ""
    read_at: float = float("-inf")  # of the newest state that was taken in
    declared: tuple[Deployment, ...] = ()  # as it named them last


@dataclass
class Instance:
    """One container of a deployment. `charge_mib` is booked on each of `cards` before its start is sent."""

    id: str
    deployment: DeploymentKey
    cards: tuple[str, ...]
    charge_mib: int
    phase: Phase
    since: float  # in this phase
    fence: int
    ram_mib: int = 0  # booked of its host's memory
    resident_since: float | None = None
    last_used: float = float("-inf")
    running: set[str] = field(default_factory=set[str])  # request ids
    after_drain: Phase | None = None  # SLEEPING or STOPPING
    error: str | None = None
    oom: bool = False
    action_sent_at: float | None = None
    # Seen by the node at least once since the action that made it: until then silence is not absence.
    seen: bool = False
    fingerprint: str = ""
    grants: int = 0  # since it became resident
    served: int = 0  # requests that ended well, in its whole life
    peak_mib: int = 0  # the highest use of a card that was read
    ordered: Phase | None = None  # the owner wants it ASLEEP or STOPPED
    # Another model waits for this one's room: nothing less urgent than it is granted here meanwhile.
    held_for: str | None = None
    # Requests that the node saw running when a new scheduler met it, until their gateways name them.
    unclaimed: int = 0
    unclaimed_until: float = float("-inf")


@dataclass
class Request:
    """One ask. A lease is an ask that is held until released, renewed by heartbeats, on a deployment or on bare memory."""

    id: str
    origin: str  # the gateway's or holder's connection: lost with it
    model: str  # empty for bare memory
    service_class: ServiceClass
    caller: str  # for fair shares
    arrived: float
    seq: int  # given by `apply`
    deadline: float | None = None
    work_s: float = 1.0  # expected, for estimates and fair shares
    prompt_tokens: int = 0  # about how many are to be read before the first byte; 0 if nobody said
    agent: str | None = None
    lease: bool = False
    lease_mib: int = 0  # bare memory that is asked for, when `model` is empty
    lease_card: str | None = None  # asked for by name; filled in when granted
    lease_ttl_s: float = 30.0
    lease_until: float | None = None
    cards_allowed: frozenset[str] | None = None
    nodes_allowed: frozenset[str] | None = None
    instance: str | None = None  # granted
    fence: int | None = None
    granted_at: float | None = None
    first_byte: bool = False
    preemptions: int = 0
    preempting: bool = False
    retried: bool = False  # it was put back once because its instance died under it
    # Its gateway is to ask for it again, or to give it back, by then.
    confirm_by: float | None = None
    # Set when it is queued; none of them changes while it waits.
    # arrived, less what its class and its deadline are worth: the lower, the sooner
    due: float = 0.0
    expires_at: float = float("inf")
    pressing_at: float = 0.0  # when its class has been patient for long enough
    weight: float = 1.0

    @property
    def queued(self) -> bool:
        """Whether it waits for its grant."""
        return self.granted_at is None


@dataclass
class ModelBook:
    """How a deployment has been doing: crashes and out-of-memory starts, and when it may be tried again."""

    crashes: int = 0
    not_before: float = float("-inf")
    oom_retried: bool = False
    refused_why: str | None = None  # given up on: every ask is refused with it until `not_before`
    last_evicted: float = float("-inf")
    alone: bool = False  # it ran out of memory beside others: the next start has the card to itself
    # Decayed sums of what was read until the first byte: seconds and tokens.
    read_s: float = 0.0
    read_tokens: float = 0.0
    sleep_failures: int = 0  # it stayed awake, or its memory stayed on the card
    error: str | None = None
    # exponentially weighted: what a start, a wake and a request really took
    start_s: float | None = None
    wake_s: float | None = None
    work_s: float | None = None


@dataclass(frozen=True)
class Doom:
    """Why a request is to go. `retry` puts it back into the queue once instead, if its answer has not begun."""

    code: str
    why: str
    retry_after_s: float | None = None
    retry: bool = False


@dataclass
class Demand:
    """How a model is asked for: the gaps in which it rested, and since when it rests now."""

    gaps: deque[float] = field(default_factory=lambda: deque[float](maxlen=60))
    rests_since: float | None = None  # its last ask, or the end of the last that ran
    protected_until: float = float("-inf")
    # Of classes that cannot wait, decayed: its asks, and how many of them an ask for another model followed at once.
    asks: float = 0.0
    followers: dict[str, float] = field(default_factory=dict[str, float])
    expected_until: float = float("-inf")  # one that it follows has just been asked for


@dataclass
class Before:
    """An ask of a class that cannot wait, and which models such asks followed it for."""

    model: str
    at: float
    followed: set[str] = field(default_factory=set[str])


@dataclass
class Agent:
    """Somebody who holds leases and places, and says every few seconds that it lives."""

    id: str
    caller: str
    seen_at: float
    ttl_s: float


@dataclass
class State:
    """All of it. `fence` only grows; `epoch` is the number of this scheduler's life and the fence's upper part."""

    policy: Policy
    epoch: int = 0
    fence: int = 0
    nodes: dict[str, Node] = field(default_factory=dict[str, Node])
    cards: dict[str, Card] = field(default_factory=dict[str, Card])
    deployments: dict[DeploymentKey, Deployment] = field(
        default_factory=dict[DeploymentKey, Deployment]
    )
    instances: dict[str, Instance] = field(default_factory=dict[str, Instance])
    requests: dict[str, Request] = field(default_factory=dict[str, Request])
    arrivals: int = 0  # a request's `seq` is its number among them
    books: dict[DeploymentKey, ModelBook] = field(default_factory=dict[DeploymentKey, ModelBook])
    agents: dict[str, Agent] = field(default_factory=dict[str, Agent])
    usage: dict[str, float] = field(
        default_factory=dict[str, float]
    )  # caller -> decayed seconds of service
    usage_at: float = 0.0
    # The owner's orders, which outlast one decision: model -> pinned or not; models never to be started.
    pins: dict[str, bool] = field(default_factory=dict[str, bool])
    banned: set[str] = field(default_factory=set[str])
    wanted: set[DeploymentKey] = field(
        default_factory=set[DeploymentKey]
    )  # load orders not yet carried out
    paused: bool = False  # the off switch: nothing is started or granted
    started_at: float = float("-inf")  # of this scheduler: what it has not met yet may still come
    queue: dict[str, dict[str, Request]] = field(
        default_factory=dict[str, "dict[str, Request]"]
    )  # model -> those who wait for it; bare memory under ""
    granted: dict[str, Request] = field(
        default_factory=dict[str, Request]
    )  # those that run or hold
    queue_weight: dict[str, float] = field(default_factory=dict[str, float])  # by model
    expiry_floor: float = float("inf")  # nobody's time in the queue is over before
    unconfirmed: set[str] = field(default_factory=set[str])  # those with a `confirm_by`, waiting
    queued_by_class: Counter[ServiceClass] = field(default_factory=Counter[ServiceClass])
    queued_by_caller: Counter[str] = field(default_factory=Counter[str])
    # Requests to be refused or taken back by the next plan: id -> (code, why, retry after seconds).
    doomed: dict[str, Doom] = field(default_factory=dict[str, "Doom"])
    peaks: dict[tuple[str, str, str], int] = field(default_factory=dict[tuple[str, str, str], int])
    peaks_unsaved: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])
    demand: dict[str, Demand] = field(default_factory=dict[str, "Demand"])  # by model
    before: deque[Before] = field(default_factory=lambda: deque["Before"](maxlen=16))
    journal: deque[str] = field(default_factory=lambda: deque[str](maxlen=200))


@dataclass(frozen=True)
class ClassPolicy:
    """How one class is treated. `priority` counts in seconds of waiting; `slo_s` is the wait it is served within.

    `patience_s`: how long it waits before models that will probably be asked for again soon go for it though they are
    idle, less what its first byte is expected to take and `Policy.patience_loads` of its model's loads.
    `drain_after_s`: having waited that long, busy models take nothing less urgent until they have gone for it. It bounds
    the wait and wastes the card meanwhile.
    `protect_s`: so long after its ask a model goes for others only if they are `Policy.protect_over_s` overdue.
    `weight`: how much its waiting counts beside that of another class when a busy model is to make room.
    `dwell_factor`: how often over a resident's reload time must have been worth its while before it goes for this class.
    `preempt_after_s`: having waited that long it may take the place of a preemptible one; None never does.
    """

    priority: float
    slo_s: float
    queue_max: int
    wait_max_s: float  # refused when it has waited this long
    preemptible: bool = False
    patience_s: float = 0.0
    drain_after_s: float = 60.0
    protect_s: float = 0.0
    weight: float = 1.0
    dwell_factor: float = 1.0
    preempt_after_s: float | None = None


@dataclass(frozen=True)
class Policy:
    """The numbers of the decision; `inference/scheduling.yaml` sets them."""

    classes: Mapping[ServiceClass, ClassPolicy]
    queue_max: int = 1000
    caller_queue_max: int = 100
    # Beside others, a model that was never measured is given as much as predictions err by; alone on a card, less.
    margin_unmeasured: float = 0.30
    margin_alone: float = 0.15
    margin_unmeasured_mib: int = 512
    margin_measured: float = 0.03
    margin_measured_mib: int = 128
    measured_after: int = 3  # requests served before a peak counts as measured
    reserve_mib: int = 256  # of each card, never booked
    reading_age_max_s: float = 5.0  # an older reading books nothing new
    foreign_window_s: float = 10.0  # foreign use that lasts as long is there to stay
    # how long a card may be over before idle models make room for foreign use
    over_budget_s: float = 5.0
    switch_cost: float = 0.05  # of sending one model away, beside how soon it is asked for again
    patience_least_s: float = 1.0  # however long the loading and the first byte take
    patience_loads: float = 2.0  # so many loads of its own model shorten a patience
    # 1/s: an idle model whose next ask is expected to be farther off than the inverse goes without patience
    unneeded_below: float = 0.06
    drain_loads: float = 3.0  # a busy model is not drained for one that has waited for less than so many of its loads
    protect_over_s: float = 6.0
    # what sleeps, or could, ends for the card of one who is overdue by that much
    end_over_s: float = 30.0
    aging_per_s: float = 1.0
    deadline_boost_s: float = 30.0  # at most so much does a near deadline count
    fairness_half_life_s: float = 300.0
    fairness_weight: float = 1.0
    # at most so much does a caller stand back for having had its share
    fairness_cap_s: float = 10.0
    crash_backoff_s: float = 5.0
    crash_backoff_max_s: float = 300.0
    crashes_max: int = 5
    start_timeout_s: float = 300.0
    transition_timeout_s: float = 60.0  # of sleeping, waking and stopping
    action_timeout_s: float = 10.0  # until then a node may not have heard of an action
    remnant_timeout_s: float = 30.0  # what sleep has not given back by then, it keeps
    settle_s: float = 2.0
    node_wake_s: float = 90.0  # how long a node that was woken is waited for
    node_wake_retry_s: float = 300.0
