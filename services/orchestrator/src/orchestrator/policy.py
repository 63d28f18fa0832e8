"""Stage 3: may this step run? Pure, and closed: what is unknown or goes wrong is FORBIDDEN."""

import hashlib
import json
from collections.abc import Mapping

from orchestrator.domain import Decision, PolicyContext, Risk, Step, Tool, Verdict
from orchestrator.plan import TOOLS

UNKNOWN_TOOL = "No such tool."
SWITCHED_OFF = "Actions are switched off in this house."
SWITCH_UNREADABLE = "The off switch could not be read, so nothing may act."
READ_ONLY = "This sign-in may only read."
NOT_A_PERSON = "Only a signed-in person may ask for an action."
NOT_UNDOABLE = "It cannot be undone, so a person must approve it first."
NOT_LOW_RISK = "Its risk is not low, so a person must approve it first."
APPROVAL_DIFFERS = "The approval is for somebody else or for something else."
POLICY_FAILED = "Policy could not decide."


def argument_hash(tool: str, arguments: Mapping[str, object]) -> str:
    """Return a digest of one exact use of one tool: an approval is worth nothing for any other."""
    body = json.dumps([tool, arguments], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(body.encode()).hexdigest()


def decide(step: Step, context: PolicyContext, tools: Mapping[str, Tool] = TOOLS) -> Decision:
    """Return the verdict on one step; never raises.

    1. A tool that is not in the list -> FORBIDDEN.
    2. A tool that only reads -> AUTO.
    3. The off switch is off, or could not be read -> FORBIDDEN.
    4. The caller is not a person, or may only read -> FORBIDDEN.
    5. With an approval: AUTO if it is this person's for these arguments, else FORBIDDEN.
    6. It cannot be undone -> REQUIRES_APPROVAL.
    7. Low risk -> AUTO; anything else -> REQUIRES_APPROVAL.
    """
    try:
        return _decide(step, context, tools)
    # A policy that errs must not let the step pass, whatever the error is.
    except Exception:
        return Decision(Verdict.FORBIDDEN, POLICY_FAILED)


def _decide(step: Step, context: PolicyContext, tools: Mapping[str, Tool]) -> Decision:
    tool = tools.get(step.tool)
    if tool is None:
        return Decision(Verdict.FORBIDDEN, UNKNOWN_TOOL)
    # `is True` and `is False` throughout: a truthy stranger ("false", 1, a mock) must not open a door.
    if tool.acts is False and tool.risk is Risk.READ:
        return Decision(Verdict.AUTO_EXECUTE_LOW_RISK, "It only reads.", tool.risk)
    if context.actions_enabled is not True:
        reason = SWITCH_UNREADABLE if context.actions_enabled is None else SWITCHED_OFF
        return Decision(Verdict.FORBIDDEN, reason, tool.risk)
    if context.caller_kind != "person":
        return Decision(Verdict.FORBIDDEN, NOT_A_PERSON, tool.risk)
    if context.read_only is not False:
        return Decision(Verdict.FORBIDDEN, READ_ONLY, tool.risk)
    if context.approval is not None:
        return _decide_approved(tool, context)
    if tool.reversible is not True:
        return Decision(Verdict.REQUIRES_APPROVAL, NOT_UNDOABLE, tool.risk)
    if tool.risk is Risk.WRITE:
        return Decision(
            Verdict.AUTO_EXECUTE_LOW_RISK, "It is low risk and can be undone.", tool.risk
        )
    return Decision(Verdict.REQUIRES_APPROVAL, NOT_LOW_RISK, tool.risk)


def _decide_approved(tool: Tool, context: PolicyContext) -> Decision:
    approval = context.approval
    same_person = approval is not None and approval.subject == context.subject
    same_act = (
        approval is not None
        and bool(context.argument_hash)
        and approval.argument_hash == context.argument_hash
    )
    if same_person is True and same_act is True:
        return Decision(
            Verdict.AUTO_EXECUTE_LOW_RISK, "The person approved exactly this.", tool.risk
        )
    return Decision(Verdict.FORBIDDEN, APPROVAL_DIFFERS, tool.risk)
