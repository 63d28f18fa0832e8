"""The home that is simulated: one card of 24 GB, seven models of the sizes and speeds that such a card runs, who asks.

Sizes are of weights + cache + compute buffers at the stated context. Speeds are those of one request while the other
slots work too, on a card of the RTX 3090's kind. A cold start makes a container and a context, reads the weights at about
1 GB/s and warms up; a wake copies them from host memory (about 10 GB/s).

This is full load, and it was chosen by how B alone fares under it, before any policy of ours was looked at: an earlier
simulation of such a home (7 models, 22.5 GB, 4 h) had B at 367 evictions, 28 % of the time loading, voice p95 49 s (66 %
within its 4 s), interactive 105 s (72 %), agents 112 s (84 %), infinite VRAM at 34 s and 25 s for the last two, and strict
FIFO collapsing. Sessions, their lengths, speeds and the small models' sizes were scaled until B came near to that. On the
tuning seeds B has 364 evictions, 25 % loading, voice 46 s (64 %), interactive 80 s (58 %), agents 92 s (90 %); infinite
VRAM 27 s and 36 s; FIFO's p95 is 3200 s. With staging B is 447 evictions, voice 27 s (85 %), interactive 44 s (78 %),
agents 81 s (94 %), where the earlier one had 607, 7 s (94 %), 62 s (88 %) and 66 s (96 %): so voice is harder here. With
chat and coder 500 MiB smaller each it would be easier than there (98 %): whether the voice fits beside both decides it.
It has not been changed since.
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
        # 3B Q4, 4k a request, two slots
        HomeModel("voice", "chat", 2_600, 2, 10.0, 0.8, 0.7, 0.5, 3000, 80, 4_000),
        # 12B Q4, 30k of context, its cache in eight bits, three slots
        HomeModel("chat", "chat", 9_300, 3, 18.0, 1.0, 1.1, 0.8, 900, 26, 30_000),
        # 14B Q4, 30k of context, its cache in eight bits, three slots
        HomeModel("coder", "chat", 11_400, 3, 21.0, 1.2, 1.4, 1.0, 800, 22, 30_000),
        # 8B vision Q4 with its projector, 15k of context, two slots
        HomeModel("vision", "chat", 7_700, 2, 16.5, 1.0, 1.0, 0.7, 1300, 33, 15_000, fixed_s=0.4),
        # 0.6B, eight at once
        HomeModel("embeddings", "embeddings", 900, 8, 6.0, 0.5, 0.4, 0.3, 20_000, 0, 8_000),
        # whisper large-v3-turbo in eight bits; the speech that came before its end was transcribed meanwhile
        HomeModel("transcription", "transcription", 1_400, 2, 7.5, 0.5, 0.5, 0.4, 0, 0, 1, 0.6),
        # SDXL, thirty steps; the first byte is the picture
        HomeModel("image", "image", 9_000, 1, 19.5, 1.0, 1.2, 0.9, 0, 0, 1, 8.0),
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
    Use("voice", "transcription", "conv", 50, 2.6, 10.0, PERSONS, then="voice"),
    Use("interactive", "chat", "mooncake", 2.6, 4.8, 32.0, PERSONS),
    Use("interactive", "coder", "code", 1.7, 7, 16.0, PERSONS[:2]),
    Use("interactive", "vision", "conv", 1.2, 2.4, 16.0, PERSONS),
    Use("interactive", "image", "conv", 0.9, 2.4, 32.0, PERSONS),
    Use("agent", "chat", "mooncake", 8, 16, 2.4, AGENTS[:9]),
    Use("agent", "coder", "mooncake", 7.4, 19, 2.4, AGENTS[9:15]),
    Use("agent", "vision", "synthetic", 6, 9.5, 1.6, AGENTS[15:18]),
    Use("agent", "embeddings", "mooncake", 15, 3, 1.6, AGENTS),
    Use("agent", "voice", "code", 4.4, 8, 2.4, AGENTS[18:]),
    Use("batch", "embeddings", "synthetic", 3, 20, 0.4, SERVICES[:2]),
    Use("batch", "image", "synthetic", 4.2, 4, 4.0, SERVICES[2:]),
    Use("batch", "chat", "synthetic", 2.1, 4, 4.0, SERVICES[1:2]),
)
