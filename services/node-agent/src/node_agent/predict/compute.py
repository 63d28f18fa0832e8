"""What is needed beside weights and cache while a batch is worked on, and what the driver takes for a process.

llama.cpp lays its graph out before the first token (`sched_reserve`); its size was read off for the architectures of
the tests: logits, six vectors as wide as the model, and the masks, unless attention or a feed-forward layer is larger.
Its newer servers keep fewer logits; they are counted in full. vLLM's profile run is bounded by the same terms in 16 bits.
"""

from __future__ import annotations

from node_agent.predict.cache import llama_cells
from node_agent.predict.serving import Serving, Vendor
from node_agent.predict.shape import Shape

MIB = 1024 * 1024
# Of a process on a card before it does anything: 264 MiB were seen on a 3090 and 472 on a 4090 (total less free in the
# breakdowns of llama.cpp's and ollama's issue threads); the libraries' workspaces come to it. PyTorch takes more.
CONTEXT_MIB: dict[Vendor, int] = {"nvidia": 512, "amd": 512, "simulated": 0}
TORCH_MIB = 384
# vLLM's captured graphs: 0.5 GiB is usual in its log, 2.4 were seen (vllm#7553).
GRAPHS_MIB = 1024
# Host memory of each of vLLM's processes before it holds anything: its API server, its engine and a worker took 548, 513
# and 732 MiB (vLLM 0.32 on a processor; what CUDA's libraries add has not been measured).
VLLM_PROCESS_MIB = 768
COMMUNICATION_MIB = 256  # NCCL's or RCCL's buffers, where cards work together


def context_mib(serving: Serving) -> int:
    """What the driver and the libraries take per process and card."""
    if serving.context_mib is not None:
        return serving.context_mib
    base = CONTEXT_MIB[serving.vendor]
    if serving.vendor == "simulated":
        return base
    if serving.cards > 1:
        base += COMMUNICATION_MIB
    if serving.engine == "vllm":
        base += TORCH_MIB + GRAPHS_MIB * serving.graphs
    return base


def vllm_host_mib(serving: Serving) -> int:
    """What vLLM's processes hold of the host's memory beside weights: server, engine, and a worker for each card."""
    return VLLM_PROCESS_MIB * (2 + serving.cards)


def llama_compute_bytes(shape: Shape, serving: Serving, *, head: bool) -> int:
    """The graph's buffer on one card; `head`: the card makes the logits."""
    tokens = min(serving.batch, serving.context_tokens * serving.slots)
    wide = 4 * tokens
    attending = [layer for layer in shape.layers if layer.keeps]
    cells = {layer.window: llama_cells(layer, serving) for layer in attending}
    masks = sum(cells.values()) * tokens * (2 if serving.flash_attention else 4)
    if not shape.generates:
        cells = {None: tokens}
    longest = max(cells.values(), default=0)
    key_value = max((layer.key_width + layer.value_width for layer in shape.layers), default=0)
    state = max((layer.conv_state for layer in shape.layers), default=0)
    attention = wide * (8 * shape.embedding + 3 * shape.query_width + 2 * key_value + 2 * state)
    if not serving.flash_attention:
        attention += shape.heads * longest * wide
    elif serving.cache_type_k not in ("f16", "f32", "bf16") or serving.cache_type_v not in (
        "f16",
        "f32",
        "bf16",
    ):
        attention += (
            longest * key_value * 2
        )  # one layer's cache is unpacked to 16 bits for long batches
    feed = wide * (3 * shape.feed_forward + 6 * shape.embedding)
    logits = wide * (shape.vocabulary * shape.generates + 6 * shape.embedding) if head else 0
    beside = wide * shape.side_width
    if any(layer.index_width for layer in attending):
        beside += 3 * wide * longest + wide * shape.query_width  # scores of the indexer
    if serving.cards > 1:
        masks *= 4  # batches follow one another through the cards: GGML_SCHED_MAX_COPIES
    return max(attention, feed, logits) + masks + beside


def vllm_compute_bytes(shape: Shape, serving: Serving) -> int:
    """The peak of vLLM's profile run on one card: a full batch through one layer, then logits and a sampler's copies."""
    tokens = max(serving.batch, serving.slots)
    layer = (
        tokens
        * 2
        * (8 * shape.embedding + (3 * shape.feed_forward + 3 * shape.query_width) // serving.cards)
    )
    # 32-bit logits of every slot, with the sorted copy, its indices and the probabilities.
    logits = serving.slots * shape.vocabulary * (4 + 4 + 8 + 4) if shape.generates else 0
    return layer + logits
