"""Policy is the brake: whatever is unknown, odd or broken must come out as FORBIDDEN."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from orchestrator.domain import Approval, PolicyContext, Risk, Step, Tool, Verdict
from orchestrator.plan import FORGET, RECALL, REMEMBER, TOOLS
from orchestrator.policy import argument_hash, decide

PERSON = PolicyContext(uuid4(), "person", read_only=False, actions_enabled=True)
ARGUMENTS = {"memories": [["id", "v1"]]}
DIGEST = argument_hash(FORGET.name, ARGUMENTS)
strange = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.just(object()))


def verdict(step: str, context: PolicyContext, tools: Mapping[str, Tool] = TOOLS) -> Verdict:
    return decide(Step(step), context, tools).verdict


def test_reading_is_always_allowed():
    off = replace(PERSON, actions_enabled=False)
    assert verdict(RECALL.name, off) is Verdict.AUTO_EXECUTE_LOW_RISK


def test_remembering_runs_by_itself():
    assert verdict(REMEMBER.name, PERSON) is Verdict.AUTO_EXECUTE_LOW_RISK


def test_forgetting_needs_a_person():
    assert verdict(FORGET.name, PERSON) is Verdict.REQUIRES_APPROVAL


def test_the_off_switch_stops_every_action():
    off = replace(PERSON, actions_enabled=False)
    assert verdict(REMEMBER.name, off) is Verdict.FORBIDDEN
    assert verdict(FORGET.name, off) is Verdict.FORBIDDEN


def test_an_unreadable_switch_is_an_off_switch():
    assert verdict(REMEMBER.name, replace(PERSON, actions_enabled=None)) is Verdict.FORBIDDEN


def test_the_off_switch_stops_what_was_approved_before_it():
    approved = replace(
        PERSON,
        actions_enabled=False,
        argument_hash=DIGEST,
        approval=Approval(PERSON.subject, DIGEST),
    )
    assert verdict(FORGET.name, approved) is Verdict.FORBIDDEN


def test_an_approval_counts_for_its_person_and_its_arguments_only():
    mine = Approval(PERSON.subject, DIGEST)
    good = replace(PERSON, argument_hash=DIGEST, approval=mine)
    other = argument_hash(FORGET.name, {"memories": [["id", "v2"]]})
    assert verdict(FORGET.name, good) is Verdict.AUTO_EXECUTE_LOW_RISK
    assert verdict(FORGET.name, replace(good, subject=uuid4())) is Verdict.FORBIDDEN
    assert verdict(FORGET.name, replace(good, argument_hash=other)) is Verdict.FORBIDDEN
    assert verdict(FORGET.name, replace(good, argument_hash="")) is Verdict.FORBIDDEN


def test_an_empty_hash_approves_nothing_even_when_both_are_empty():
    empty = replace(PERSON, argument_hash="", approval=Approval(PERSON.subject, ""))
    assert verdict(FORGET.name, empty) is Verdict.FORBIDDEN


def test_a_token_or_a_reader_may_not_act():
    assert verdict(REMEMBER.name, replace(PERSON, caller_kind="token")) is Verdict.FORBIDDEN
    assert verdict(REMEMBER.name, replace(PERSON, read_only=True)) is Verdict.FORBIDDEN


@given(st.text(max_size=40).filter(lambda name: name not in TOOLS))
def test_an_unknown_tool_is_forbidden(name: str):
    assert verdict(name, PERSON) is Verdict.FORBIDDEN


@given(strange, strange, strange, strange)
def test_only_true_opens_a_door(kind: Any, read_only: Any, enabled: Any, digest: Any):
    # A truthy stranger where a boolean belongs is how fail-open bugs look.
    context = PolicyContext(PERSON.subject, kind, read_only, enabled, digest)
    allowed = verdict(REMEMBER.name, context) is Verdict.AUTO_EXECUTE_LOW_RISK
    assert allowed == (kind == "person" and read_only is False and enabled is True)


@given(st.sampled_from(list(Risk)), strange, strange, st.booleans())
def test_what_cannot_be_undone_never_runs_by_itself(
    risk: Risk, reversible: Any, acts: Any, enabled: bool
):
    tool = Tool("t", risk, reversible, acts)
    context = replace(PERSON, actions_enabled=enabled)
    allowed = verdict("t", context, {"t": tool}) is Verdict.AUTO_EXECUTE_LOW_RISK
    only_reads = acts is False and risk is Risk.READ
    assert not allowed or only_reads or (reversible is True and risk is Risk.WRITE and enabled)


def test_a_policy_that_breaks_forbids():
    class Broken(dict[str, Tool]):
        def get(self, *_: Any) -> Any:
            raise RuntimeError("broken")

    assert decide(Step("memory.remember"), PERSON, Broken()).verdict is Verdict.FORBIDDEN


@given(
    st.dictionaries(st.text(max_size=5), st.integers()),
    st.dictionaries(st.text(max_size=5), st.integers()),
)
def test_two_uses_share_a_hash_only_when_they_are_equal(one: dict[str, Any], two: dict[str, Any]):
    assert (argument_hash("t", one) == argument_hash("t", two)) == (one == two)


def test_nothing_irreversible_may_be_listed_as_a_read():
    assert all(tool.reversible for tool in TOOLS.values() if tool.risk is Risk.READ)
    assert all(tool.acts for tool in TOOLS.values() if tool.risk is not Risk.READ)
