"""What mem0 finds, run by its own interpreter: a task on standard input, the places of turns on standard output.

Its extraction is off (`infer=False`), so that it stores what it is given, as the house does; its vectors come from the
house's embedder and lie in pgvector.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import json
import os
import sys
import time

os.environ["MEM0_TELEMETRY"] = "False"


def main() -> None:
    task = json.load(sys.stdin)
    # What libraries print on their way is no answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    from mem0 import Memory

    openai = {"api_key": "none", "openai_base_url": task["embedder"] + "/v1"}
    memory = Memory.from_config(
        {
            "history_db_path": task["folder"] + "/history.db",
            "llm": {"provider": "openai", "config": {**openai, "model": "none"}},
            "embedder": {
                "provider": "openai",
                "config": {**openai, "model": "minilm-l6-v2", "embedding_dims": 384},
            },
            "vector_store": {
                "provider": "pgvector",
                "config": {
                    **task["postgres"],
                    "collection_name": "mem0",
                    "embedding_model_dims": 384,
                    "hnsw": True,
                },
            },
        }
    )
    found: list[list[list[int]]] = []
    began = time.perf_counter()
    for dialogue in task["dialogues"]:
        for place, text in enumerate(dialogue["turns"]):
            memory.add(text, user_id=dialogue["name"], infer=False, metadata={"place": place})
    written = time.perf_counter() - began
    for dialogue in task["dialogues"]:
        places: list[list[int]] = []
        for question in dialogue["questions"]:
            answer = memory.search(
                question, filters={"user_id": dialogue["name"]}, top_k=20, threshold=0.0
            )
            places.append([one["metadata"]["place"] for one in answer["results"]])
        found.append(places)
    asked = time.perf_counter() - began - written
    json.dump({"found": found, "write_seconds": written, "ask_seconds": asked}, answers)


if __name__ == "__main__":
    main()
