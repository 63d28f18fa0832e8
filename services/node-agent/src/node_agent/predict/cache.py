"""How much memory the tokens of all slots leave behind, per card: what llama.cpp and vLLM allocate for it at the start."""

from __future__ import annotations

from collections.abc import Sequence

from node_agent.predict.errors import PredictError
from node_agent.predict.serving import CACHE_BYTES, Serving
from node_agent.predict.shape import Layer, Shape

BLOCK_TOKENS = 16  # of vLLM's cache, where its attention does not ask for more
# FlashMLA and AITER ask for 64, CUTLASS's MLA, FlashAttention 4 with heads of 256 and the processor for 128.
BLOCK_TOKENS_MAX = 128
BATCHES_IN_FLIGHT = (
    2  # of vLLM: the next is scheduled while one runs (VllmConfig.max_in_flight_tokens)
)
WINDOW_PAD = 256  # llama-kv-cache-iswa.cpp pads to it, llama-context.cpp the context itself


class CacheTypeUnknown(PredictError):
    """The cache is to be kept in a type that is not known here."""

    code, status = "node.cache_type_unknown", 422
    reason = "How many bytes this type of cache takes is not known."
    fix = "Use one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl and fp8."


def _bytes_of(kind: str) -> float:
    if kind not in CACHE_BYTES:
        raise CacheTypeUnknown(f"How many bytes a cache of type {kind[:40]} takes is not known.")
    return CACHE_BYTES[kind]


def _padded(tokens: int, to: int) -> int:
    return -(-tokens // to) * to


def llama_cells(layer: Layer, serving: Serving) -> int:
    """Tokens that llama.cpp keeps of one layer for a slot, or for all where they share (llama_kv_cache_iswa)."""
    each = serving.context_tokens * (serving.slots if serving.unified_cache else 1)
    each = _padded(each, WINDOW_PAD)
    if layer.window is not None and not serving.full_window_cache:
        # A window needs room for itself and for the batch that is being worked on.
        back = layer.window * (serving.slots if serving.unified_cache else 1)
        each = _padded(min(each, back + serving.batch), WINDOW_PAD)
    return each


def llama_layer_bytes(shape: Shape, serving: Serving) -> list[int]:
    """Bytes of each layer's cache in llama.cpp: keys and values per token, 32-bit states per slot."""
    key, value = _bytes_of(serving.cache_type_k), _bytes_of(serving.cache_type_v)
    # Without flash attention values are kept transposed, all as wide as the widest (TAG_V_CACHE_VARIABLE).
    widest = max((layer.value_width for layer in shape.layers), default=0)
    found: list[int] = []
    for layer in shape.layers:
        bytes_ = 4 * (layer.conv_state + layer.state) * serving.slots
        if layer.keeps:
            wide = layer.value_width if serving.flash_attention else widest
            cells = llama_cells(layer, serving) * (1 if serving.unified_cache else serving.slots)
            bytes_ += int(cells * ((layer.key_width + layer.index_width) * key + wide * value))
        found.append(bytes_)
    return found


def _vllm_layer(layer: Layer, serving: Serving) -> float:
    """Bytes that vLLM keeps of one token in one layer of one card."""
    # Heads are divided among the cards and repeated when there are fewer of them; a latent vector is on each card.
    latent = layer.value_width == 0
    share = 1 if latent else min(serving.cards, layer.key_heads)
    split = -(-layer.key_heads // share) / layer.key_heads
    return (layer.key_width * split + layer.index_width) * _bytes_of(
        serving.cache_type_k
    ) + layer.value_width * split * _bytes_of(serving.cache_type_v)


def vllm_cache_bytes(shape: Shape, serving: Serving) -> int:
    """Bytes per card for `--kv-cache-memory-bytes`, so that all slots can use their whole context at once.

    After v1/kv_cache_interface.py (max_memory_usage_bytes) and v1/core/kv_cache_planning.py: layers of one kind form
    groups of equal size, and every group takes pages of the same size. Without it vLLM takes nine tenths of the card.
    """
    paged = [layer for layer in shape.layers if layer.keeps]
    states = [layer for layer in shape.layers if layer.conv_state + layer.state]
    per_token = max((_vllm_layer(layer, serving) for layer in paged), default=0.0)
    # A state is kept in the model's 16 bits, a recurrence's in 32 where the model asks for it: counted as if it did.
    per_state = (
        max((2 * layer.conv_state + 4 * layer.state for layer in states), default=0) / serving.cards
    )
    block = BLOCK_TOKENS
    if paged and states:
        # Both must fit the same page: vLLM makes the blocks of tokens longer until they do.
        block *= max(1, -int(-per_state // (per_token * block)))
    page = max(block * per_token, per_state)
    windows: dict[int | None, list[Layer]] = {}
    for layer in paged:
        windows.setdefault(layer.window, []).append(layer)
    kinds = [(len(layers), _blocks(window, block, serving)) for window, layers in windows.items()]
    # With prefix caching a sequence holds two states: the one it is at and the one it came from.
    kinds += [(len(states), 2)] if states else []
    if not kinds:
        return 0
    fewest, most = min(count for count, _ in kinds), max(count for count, _ in kinds)
    group = most if most < fewest * 1.5 else fewest
    blocks = sum(-(-count // group) * held for count, held in kinds) * serving.slots
    return int((blocks + 1) * group * page) + 1  # one block is never given out


def vllm_spare_bytes(shape: Shape, serving: Serving) -> int:
    """Bytes per card beside vllm_cache_bytes, in case the blocks are long: without them a request of the whole context
    would wait for ever, because the block that is never given out is long too."""
    paged = [layer for layer in shape.layers if layer.keeps]
    if any(layer.conv_state + layer.state for layer in shape.layers):
        return 0  # states have made the blocks longer than these
    ragged = serving.context_tokens % BLOCK_TOKENS_MAX or any(layer.window for layer in paged)
    longer = (BLOCK_TOKENS_MAX - BLOCK_TOKENS) * (1 + (serving.slots if ragged else 0))
    return int(longer * sum(_vllm_layer(layer, serving) for layer in paged))


def _blocks(window: int | None, block: int, serving: Serving) -> int:
    tokens = serving.context_tokens
    if window is None:
        return -(-tokens // block)
    held = min(window - 1 + BATCHES_IN_FLIGHT * serving.batch, tokens)
    return -(-held // block) + 1


def split_layers(count: int, serving: Serving) -> Sequence[int | None]:
    """On which card each layer lies, and last the head; None: in host memory (llama-model.cpp, load_tensors)."""
    wanted = count + 1 if serving.gpu_layers is None else min(serving.gpu_layers, count + 1)
    shares = serving.tensor_split or (1.0,) * serving.cards
    total, sums = sum(shares) or 1.0, [0.0]
    for share in shares[: serving.cards]:
        sums.append(sums[-1] + share / total)
    placed: list[int | None] = []
    first = count + 1 - wanted
    for at in range(count + 1):
        if at < first:
            placed.append(None)
            continue
        part = (at - first) / wanted
        placed.append(min(sum(part >= edge for edge in sums[1:]), serving.cards - 1))
    return placed
