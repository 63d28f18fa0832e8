"""The home that is simulated: one card of 24 GB, seven models of the sizes and speeds that such a card runs, who asks.

Sizes are of weights + cache + compute buffers at the stated context. Speeds are what llama.cpp, whisper.cpp and SDXL
reach on a card of the RTX 3090's kind. A cold start reads the weights from NVMe (about 1.5 GB/s) and warms up; a wake
copies them from host memory (about 10 GB/s). How often the house is used was set by how B fares under it: two thirds of
voice in time without staging and nine tenths with it, where strict FIFO collapses.
"""

from __future__ import annotations

from dataclasses import dataclass

CARD_MIB = 24_564
# What models may have of it where nothing keeps account: the rest is the slack that an owner leaves by hand. Lares gets
# no such number: its reserve and the margin on every model are its slack.
PEERS_MIB = 23_040
RAM_BUDGET_MIB = 57_344  # of a host with 64 GiB
SLO_S = {"voice": 4.0, "interactive": 15.0, "agent": 60.0, "batch": 600.0}
CLASSES = tuple(SLO_S)


@dataclass(frozen=True)
class HomeModel:
    """One model: what it takes, how long it takes to come and go, how fast it answers."""

    name: str
    kind: str
    mib: int
    slots: int
    start_s: float
    stop_s: float
    wake_s: float
    sleep_s: float
    prefill_tokens_s: float
    decode_tokens_s: float
    context_tokens: int
    fixed_s: float = 0.05  # of every request
    asleep_mib: int = 200  # the driver's context, which sleep leaves on the card
    min_dwell_s: float = 5.0


MODELS = {
    model.name: model
    for model in (
        # 4B Q4, 4k a request, two slots
        HomeModel("voice", "chat", 4_300, 2, 7.0, 0.8, 0.7, 0.5, 3000, 80, 4_000),
        # 12B Q4, 30k of context, its cache in eight bits, three slots
        HomeModel("chat", "chat", 9_300, 3, 12.0, 1.0, 1.1, 0.8, 1200, 35, 30_000),
        # 14B Q4, 30k of context, its cache in eight bits, three slots
        HomeModel("coder", "chat", 11_400, 3, 14.0, 1.2, 1.4, 1.0, 1100, 30, 30_000),
        # 8B vision Q4 with its projector, 15k of context, two slots
        HomeModel("vision", "chat", 7_700, 2, 11.0, 1.0, 1.0, 0.7, 1800, 45, 15_000, fixed_s=0.4),
        # 0.6B, eight at once
        HomeModel("embeddings", "embeddings", 1_500, 8, 4.0, 0.5, 0.4, 0.3, 20_000, 0, 8_000),
        # whisper large-v3-turbo; a second of speech is about fifty tokens to it
        HomeModel("transcription", "transcription", 2_300, 2, 5.0, 0.5, 0.5, 0.4, 0, 0, 1, 0.6),
        # SDXL, thirty steps; the first byte is the picture
        HomeModel("image", "image", 9_000, 1, 13.0, 1.0, 1.2, 0.9, 0, 0, 1, 8.0),
    )
}


@dataclass(frozen=True)
class Use:
    """One way of using the house at full load: of which model, by which class, how often an hour it begins.

    What begins is a session of `turns` requests on average, each `pause_s` on average after the last would have ended on
    a ready model: a talk at the speaker, an agent's run of calls, an hour of work on code, a folder that is indexed.
    """

    service_class: str
    model: str
    trace: str  # conv, code, mooncake or synthetic: where times and token counts are from
    sessions_per_hour: float
    turns: float
    pause_s: float
    callers: tuple[str, ...]
    # A voice at the speaker is transcribed first and answered by the voice model a moment later.
    then: str | None = None


PERSONS = ("anna", "ben", "carla", "david")
AGENTS = tuple(f"agent-{number:02}" for number in range(1, 22))
SERVICES = ("ingest", "memory", "albums")
USES = (
    Use("voice", "transcription", "conv", 14, 3, 10.0, PERSONS, then="voice"),
    Use("interactive", "chat", "mooncake", 8.5, 4, 40.0, PERSONS),
    Use("interactive", "coder", "code", 5.5, 6, 20.0, PERSONS[:2]),
    Use("interactive", "vision", "conv", 4, 2, 20.0, PERSONS),
    Use("interactive", "image", "conv", 3, 2, 40.0, PERSONS),
    Use("agent", "chat", "mooncake", 5.5, 10, 3.0, AGENTS[:9]),
    Use("agent", "coder", "mooncake", 5, 12, 3.0, AGENTS[9:15]),
    Use("agent", "vision", "synthetic", 4, 6, 2.0, AGENTS[15:18]),
    Use("agent", "embeddings", "mooncake", 14, 3, 2.0, AGENTS),
    Use("agent", "voice", "code", 3, 5, 3.0, AGENTS[18:]),
    Use("batch", "embeddings", "synthetic", 3, 20, 0.5, SERVICES[:2]),
    Use("batch", "image", "synthetic", 1.4, 4, 5.0, SERVICES[2:]),
    Use("batch", "chat", "synthetic", 0.7, 4, 5.0, SERVICES[1:2]),
)
