"""The change of embedding model, decided step by step: wherever it is interrupted, it comes to the same end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory.writing.embedder import read_vectors
from memory.writing.errors import DimensionsUnsupported, EmbeddingInvalid
from memory.writing.models import Known, State, Step, check_dimensions, next_id, plan

NAMES = st.sampled_from(["a", "b", "c"])


def answers(models: list[Known]) -> list[str]:
    return [model.name for model in models if model.state is State.ACTIVE]


def apply(models: list[Known], wanted: str) -> tuple[list[Known], Step]:
    """Do what the next step says, as the database would."""
    step, about = plan(models, wanted)
    if step is Step.REGISTER:
        return [*models, Known(next_id(models), wanted, 384, State.BUILDING)], step
    if about is None:
        return models, step
    if step is Step.ABANDON:
        return [replace(m, state=State.RETIRED) if m is about else m for m in models], step
    if step is Step.DROP:
        return [m for m in models if m is not about], step
    turned = {State.ACTIVE: State.RETIRED, State.BUILDING: State.ACTIVE}
    return [replace(m, state=turned.get(m.state, m.state)) for m in models], step


@given(st.lists(st.tuples(NAMES, st.integers(0, 4)), max_size=12), NAMES)
def test_whatever_was_wanted_before_the_last_wish_is_reached_and_one_model_always_answers(
    wishes: list[tuple[str, int]], last: str
) -> None:
    models = [Known(1, "a", 384, State.ACTIVE)]
    for wanted, steps in [*wishes, (last, 12)]:
        for _ in range(steps):
            models, _ = apply(models, wanted)
            assert len(answers(models)) == 1
            # No more than two models ever have vectors, and never two of one slot.
            assert len(models) <= 2
            assert len({model.id % 2 for model in models}) == len(models)
            assert len({model.name for model in models}) == len(models)
    assert answers(models) == [last]
    assert len(models) == 1
    assert plan(models, last) == (Step.NOTHING, None)


@given(st.integers(0, 2000))
def test_only_lengths_with_an_index_are_taken(length: int) -> None:
    if length in (256, 384, 512, 768, 1024):
        assert check_dimensions([0.5] * length) == length
    else:
        with pytest.raises(DimensionsUnsupported):
            check_dimensions([0.5] * length)


def reply(*vectors: object) -> dict[str, object]:
    return {"data": [{"index": at, "embedding": vector} for at, vector in enumerate(vectors)]}


def test_vectors_come_back_in_the_texts_order_whatever_the_answers_order() -> None:
    data = [{"index": 1, "embedding": [0.5, 1.0]}, {"index": 0, "embedding": [1.0, 0.5]}]
    assert [list(vector) for vector in read_vectors({"data": data}, 2, 2)] == [
        [1.0, 0.5],
        [0.5, 1.0],
    ]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"data": None},
        {"data": []},
        reply([1.0, 1.0]),
        reply([1.0, 1.0], [1.0, 1.0], [1.0, 1.0]),
        {"data": [{"index": 0, "embedding": [1.0, 1.0]}] * 2},
        reply([1.0, 1.0], [1.0, 1.0, 1.0]),
        reply([1.0, 1.0], [float("nan"), 1.0]),
        reply([1.0, 1.0], [float("inf"), 1.0]),
        reply([1.0, 1.0], [0.0, 0.0]),
        reply([1.0, 1.0], ["x", "y"]),
        reply([1.0, 1.0], "not base64"),
        reply([1.0, 1.0], "AAAA"),
        reply([1.0, 1.0], None),
        reply([1.0, 1.0], [1e400, 1.0]),
    ],
)
def test_an_answer_that_is_no_pair_of_vectors_is_refused_whole(body: object) -> None:
    with pytest.raises(EmbeddingInvalid):
        read_vectors(body, 2, 2)
