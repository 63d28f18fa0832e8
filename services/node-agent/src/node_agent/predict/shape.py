"""What decides a model's use of memory, whatever file said it: per layer what is kept of a token and of a sequence."""

from __future__ import annotations

from dataclasses import dataclass, field

from node_agent.predict.errors import WeightsUnreadable

LAYERS_MAX = 2048
WIDTH_MAX = 1 << 28


@dataclass(frozen=True)
class Layer:
    """One layer. Widths are values per token; states are values per sequence, whatever its length."""

    key_width: int = 0
    value_width: int = 0
    window: int | None = None  # tokens that are looked back at; None: all
    index_width: int = 0  # keys of a sparse attention's indexer
    conv_state: int = 0
    state: int = 0
    key_heads: int = 1  # between how many cards the keys can be split

    @property
    def keeps(self) -> bool:
        """Whether tokens leave keys or values here."""
        return self.key_width + self.value_width > 0


@dataclass(frozen=True)
class Shape:
    """A model. `layer_bytes` are the weights of each layer, `expert_bytes` the part of them that are routed experts."""

    architecture: str
    layers: tuple[Layer, ...]
    layer_bytes: tuple[int, ...]
    expert_bytes: tuple[int, ...]
    input_bytes: int  # read row by row: llama.cpp leaves it in host memory
    output_bytes: int
    embedding: int
    heads: int
    query_width: int
    feed_forward: int  # values per token in the widest layer, of all experts that are used together
    vocabulary: int
    context_trained: int
    generates: bool = True
    side_width: int = (
        0  # values per token that all layers are given beside the model's width (Gemma 3n and 4)
    )
    wide_bytes: int = 0  # stored as 32-bit floats, which vLLM halves
    notes: tuple[str, ...] = field(default=())

    @property
    def weights_bytes(self) -> int:
        """All weights."""
        return sum(self.layer_bytes) + self.input_bytes + self.output_bytes


def bounded(value: object, what: str, most: int = WIDTH_MAX) -> int:
    """Return `value` as a number from 0 to `most`. Raises WeightsUnreadable: a header is somebody else's claim."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WeightsUnreadable(f"The header's {what} is no number.")
    if not 0 <= value <= most or value != int(value):
        raise WeightsUnreadable(f"The header's {what} is beyond all bounds.")
    return int(value)
