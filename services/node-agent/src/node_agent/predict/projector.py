"""What a projector (mmproj) needs beside its weights: the largest picture, or the longest piece of sound, on its way.

After tools/mtmd/clip.cpp. Projectors that take pictures of any size are bounded by the tokens that llama.cpp lets them
make of one (set_limit_image_tokens); the others work at one size. Sound is heard in pieces of thirty seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

from node_agent.predict.gguf_file import GgufHeader
from node_agent.predict.shape import bounded

# Projector -> the most tokens of a picture, and how many patches beside one another become one token.
_ANY_SIZE = {
    "qwen2vl_merger": (4096, 2), "qwen2.5vl_merger": (4096, 2), "qwen3vl_merger": (4096, 2), "ling3vl": (4096, 2),
    "glm4v": (4096, 2), "pixtral": (1024, 2), "lightonocr": (1024, 2), "lfm2": (256, 2), "kimivl": (1024, 2),
    "gemma4v": (1120, 3), "youtuvl": (4096, 2),
}  # fmt: skip
_SOUND_FRAMES = 3000


def projector_compute_bytes(header: GgufHeader) -> int:
    """Bytes of the compute buffer. Raises WeightsUnreadable for numbers that cannot be."""
    return _picture(header.values) + _sound(header.values)


def _number(values: Mapping[str, object], key: str) -> int:
    return bounded(values.get(f"clip.{key}", 0), key, 1 << 20)


def _picture(values: Mapping[str, object]) -> int:
    wide, feed = (
        _number(values, "vision.embedding_length"),
        _number(values, "vision.feed_forward_length"),
    )
    kind = values.get("clip.projector_type") or values.get("clip.vision.projector_type")
    if kind in _ANY_SIZE:
        tokens, merged = _ANY_SIZE[str(kind)]
        patches, scores = (
            tokens * merged * merged,
            0,
        )  # flash attention: scores would not fit anywhere
    else:
        patches = (
            _number(values, "vision.image_size") // max(_number(values, "vision.patch_size"), 1)
        ) ** 2 + 1
        scores = _number(values, "vision.attention.head_count") * patches
    return 4 * patches * (scores + 8 * wide + 2 * feed)


def _sound(values: Mapping[str, object]) -> int:
    wide, feed = (
        _number(values, "audio.embedding_length"),
        _number(values, "audio.feed_forward_length"),
    )
    if not wide:
        return 0
    scores = _number(values, "audio.attention.head_count") * _SOUND_FRAMES // 2
    return 4 * _SOUND_FRAMES * (scores + 8 * wide + 2 * feed)
