"""`python -m node_agent.predict PATH --context-tokens 8192 --slots 4`: prints the footprint, for whoever writes models.yaml."""

import argparse
import json
import sys
from pathlib import Path

from node_agent.predict import PredictError, Serving, predict


def main() -> int:
    """Print the prediction as JSON; 1 and the coded reason when there is none."""
    parser = argparse.ArgumentParser(prog="python -m node_agent.predict", description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--engine", choices=("llama.cpp", "vllm"), default="llama.cpp")
    parser.add_argument("--context-tokens", type=int, default=8192)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--cards", type=int, default=1)
    parser.add_argument("--cache-type", default="f16")
    parser.add_argument("--vendor", choices=("nvidia", "amd", "simulated"), default="nvidia")
    told = parser.parse_args()
    serving = Serving(
        engine=told.engine,
        context_tokens=told.context_tokens,
        slots=told.slots,
        cards=told.cards,
        vendor=told.vendor,
        cache_type_k=told.cache_type,
        cache_type_v=told.cache_type,
    )
    try:
        found = predict(told.path, serving)
    except PredictError as error:
        print(f"{error.code}: {error.reason} {error.fix}", file=sys.stderr)
        return 1
    shown = {
        "architecture": found.architecture,
        "total_mib": [card.total_mib for card in found.cards],
        "cards": [card.model_dump() for card in found.cards],
        "host_mib": found.host_mib,
        "cache_bytes_per_card": found.cache_bytes_per_card,
        "context_tokens_max": found.context_tokens_max,
    }
    print(json.dumps(shown, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
