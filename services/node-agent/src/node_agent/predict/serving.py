"""How a model is to be served: what is in models.yaml and decides, together with the weights, how much memory it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Engine = Literal["llama.cpp", "vllm"]
Vendor = Literal["nvidia", "amd", "simulated"]

# Bytes per value of a cache. q8_0 and its like keep a 16-bit scale per block of 32 (ggml-common.h).
CACHE_BYTES = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32,
    "q4_1": 20 / 32, "q4_0": 18 / 32, "iq4_nl": 18 / 32, "fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Serving:
    """`context_tokens` is what one request may use; `slots` requests run at once, each with all of it.

    llama.cpp shares `-c` among its `-np` slots, so it is started with `-c context_tokens*slots`; vLLM with
    `--max-model-len context_tokens --max-num-seqs slots`.
    """

    engine: Engine = "llama.cpp"
    context_tokens: int
    slots: int = 1
    cards: int = 1
    vendor: Vendor = "nvidia"
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    gpu_layers: int | None = (
        None  # None: all, with the head; as llama.cpp counts them: the last ones, the head included
    )
    cpu_moe_layers: int = 0  # of so many first layers the experts stay in host memory
    tensor_split: tuple[float, ...] = ()  # shares of the cards; empty: equal
    batch_tokens: int | None = None  # prompt tokens worked on at once; None: the engine's default
    flash_attention: bool = True
    unified_cache: bool = False  # llama.cpp --kv-unified
    full_window_cache: bool = False  # llama.cpp --swa-full
    cache_on_card: bool = True  # llama.cpp without --no-kv-offload
    graphs: bool = True  # vLLM without --enforce-eager
    projector: Path | None = None  # mmproj
    draft: Path | None = None
    draft_tokens: int | None = None  # the draft's context; None: the model's own
    adapters: tuple[Path, ...] = ()
    adapter_rank_max: int = 16  # vLLM --max-lora-rank
    adapters_at_once: int = 1  # vLLM --max-loras
    context_mib: int | None = None  # of the driver per process and card; None: the vendor's usual

    @property
    def batch(self) -> int:
        """Tokens of one step: llama.cpp's -ub, vLLM's --max-num-batched-tokens."""
        if self.batch_tokens is not None:
            return self.batch_tokens
        return 512 if self.engine == "llama.cpp" else 2048
