"""The table of phases, whatever comes: no way out of an end, no verb that is both refused and followed."""

from __future__ import annotations

from typing import get_args

import pytest
from contracts.gpunode import InstancePhase
from hypothesis import given
from hypothesis import strategies as st
from node_agent import phases

PHASES: tuple[InstancePhase, ...] = get_args(InstancePhase)
VERBS: tuple[phases.Verb, ...] = get_args(phases.Verb)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("verb", VERBS)
def test_what_a_verb_leads_to_may_follow_and_repeating_it_changes_nothing(
    phase: InstancePhase, verb: phases.Verb
) -> None:
    answer, after = phases.answer(phase, verb)
    if answer != "go":
        assert after == phase
        return
    assert phases.may_follow(phase, after)
    # The same wish again is content, unless the wish was to leave a drain.
    assert phases.answer(after, verb)[0] == "nothing"


@pytest.mark.parametrize("phase", sorted(phases.RUNNING))
def test_whatever_runs_can_be_stopped_and_can_fail(phase: InstancePhase) -> None:
    assert phases.answer(phase, "stop")[0] in ("go", "nothing")
    assert phases.may_follow(phase, "failed")


@given(st.lists(st.sampled_from(VERBS), max_size=30), st.sampled_from(PHASES))
def test_what_has_stopped_never_runs_again(verbs: list[phases.Verb], start: InstancePhase) -> None:
    phase, ended = start, False
    for verb in verbs:
        answer, after = phases.answer(phase, verb)
        if ended:
            assert after in phases.ENDED
        phase = after if answer == "go" else phase
        ended = ended or phase in phases.ENDED


def test_a_phase_is_running_or_has_ended() -> None:
    assert set(PHASES) == phases.RUNNING | phases.ENDED
    assert not phases.RUNNING & phases.ENDED
