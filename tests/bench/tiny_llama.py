"""Writes a small Llama of random weights that a real vLLM serves: what it says is nonsense, what it takes is real.

`python tests/bench/tiny_llama.py FOLDER` makes the same files every time: config.json, a tokenizer trained on the lines
below, a chat template, and safetensors of 16-bit weights.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HIDDEN, LAYERS, HEADS, KEY_HEADS, HEAD, FEED, VOCABULARY = 512, 8, 8, 4, 64, 1536, 1024
CONTEXT = 2048
SPECIAL = ("<s>", "</s>", "<|user|>", "<|assistant|>")
LINES = (
    "The heating in the study goes on at seven and off at ten.",
    "Is the window in the kitchen open? It was closed an hour ago.",
    "Remind me tomorrow that the bins go out before eight o'clock.",
    "One, two, three, four, five, six, seven, eight, nine, ten.",
)
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|user|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "num_key_value_heads": KEY_HEADS, "head_dim": HEAD, "intermediate_size": FEED,
    "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 1,
}  # fmt: skip


def write(folder: Path) -> Path:
    """Write the model into `folder`, which is made, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1))
    _tokenizer().save(str(folder / "tokenizer.json"))
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[1],
        "model_max_length": CONTEXT,
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told, indent=1))
    _safetensors(folder / "model.safetensors")
    return folder


def _tokenizer() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(LINES, trainer)
    return made


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        yield f"{at}.input_layernorm.weight", (HIDDEN,)
        yield f"{at}.self_attn.q_proj.weight", (HEADS * HEAD, HIDDEN)
        yield f"{at}.self_attn.k_proj.weight", (KEY_HEADS * HEAD, HIDDEN)
        yield f"{at}.self_attn.v_proj.weight", (KEY_HEADS * HEAD, HIDDEN)
        yield f"{at}.self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD)
        yield f"{at}.post_attention_layernorm.weight", (HIDDEN,)
        yield f"{at}.mlp.gate_proj.weight", (FEED, HIDDEN)
        yield f"{at}.mlp.up_proj.weight", (FEED, HIDDEN)
        yield f"{at}.mlp.down_proj.weight", (HIDDEN, FEED)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def _safetensors(path: Path) -> None:
    """The format: the header's length in 8 bytes, the header as JSON, the tensors one after the other."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in _shapes():
        bytes_ = int(np.prod(shape)) * 2
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + bytes_]}
        at += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(7)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, shape in _shapes():
            values = (
                np.ones(shape, np.float32)
                if len(shape) == 1
                else random.standard_normal(shape, np.float32) * np.float32(0.02)
            )
            # bfloat16 is the upper half of a 32-bit float.
            file.write((values.view(np.uint32) >> 16).astype("<u2").tobytes())


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
