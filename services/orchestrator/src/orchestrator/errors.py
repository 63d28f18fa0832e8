"""The orchestrator's coded errors; each stands in docs/errors.md."""

from kit.errors import KitError


class TooManyTurns(KitError):
    """This person already has as many turns running as one may."""

    code, status = "agents.too_many_turns", 429
    reason = "You already have as many answers under way as one person may."
    fix = "Wait for one to end, or stop it."


class Busy(KitError):
    """The house as a whole has as many turns running as it can bear."""

    code, status = "agents.busy", 503
    reason = "The house is answering as many questions as it can."
    fix = "Try again in a few seconds."


class TurnNotFound(KitError):
    code, status = "agents.turn_not_found", 404
    reason = "There is no such turn, or it is not yours."
    fix = "Open the conversation again."


class ConversationNotFound(KitError):
    code, status = "agents.conversation_not_found", 404
    reason = "There is no such conversation, or it is not yours."
    fix = "Choose one from the list, or start a new one."


class TurnDiffers(KitError):
    """An idempotency key came back with other words."""

    code, status = "agents.turn_differs", 409
    reason = "This request was sent before with other words."
    fix = "Send the new words as a new question."


class ConfirmationNotFound(KitError):
    code, status = "agents.confirmation_not_found", 404
    reason = "There is no such confirmation, or it is not yours."
    fix = "Ask again for what you wanted done."


class ConfirmationExpired(KitError):
    code, status = "agents.confirmation_expired", 410
    reason = "Time ran out before the decision, and no decision means no."
    fix = "Ask again for what you wanted done."


class ConfirmationUsed(KitError):
    code, status = "agents.confirmation_used", 409
    reason = "This confirmation was decided before."
    fix = "Look at the conversation for what came of it."


class ConfirmationChanged(KitError):
    """What would be acted upon is no longer what the person was shown."""

    code, status = "agents.confirmation_changed", 409
    reason = "What you were shown has changed since, so nothing was done."
    fix = "Ask again, and look at the new description."


class ConfirmationInterrupted(KitError):
    code, status = "agents.confirmation_interrupted", 503
    reason = "The house was interrupted while it carried this out."
    fix = "Look on the Memory page whether it is gone; if not, ask again."


class Forbidden(KitError):
    """Policy said no."""

    code, status = "agents.forbidden", 403
    reason = "The house's policy does not allow this."
    fix = "Sign in as a person who may, or do it on the Memory page."


class ActionsOff(KitError):
    code, status = "agents.actions_off", 403
    reason = "Actions are switched off in this house; questions still work."
    fix = "Whoever runs the house can switch them on: `docker compose exec orchestrator python -m orchestrator actions on`."


class MemoryAway(KitError):
    code, status = "agents.memory_away", 503
    reason = (
        "The memory service did not answer, so nothing was remembered or forgotten by this turn."
    )
    fix = "Wait a few seconds and send it again."


class ModelAway(KitError):
    code, status = "agents.model_away", 503
    reason = "The model did not answer."
    fix = "Wait a few seconds and ask again; the System page shows whether the model is up."


class ModelRefused(KitError):
    code, status = "agents.model_refused", 502
    reason = "The model gateway refused the request."
    fix = "Look at the model's settings; the gateway's log has the correlation id."


class TurnTimedOut(KitError):
    code, status = "agents.turn_timed_out", 504
    reason = "The answer took longer than a turn may."
    fix = "Ask for something shorter, or try again when the house is less busy."


class NotSaved(KitError):
    code, status = "agents.not_saved", 503
    reason = "The answer could not be saved."
    fix = "Copy what you need; ask again in a few seconds."


class Interrupted(KitError):
    """What a turn says that was running when the house stopped."""

    code, status = "agents.interrupted", 503
    reason = "The house was interrupted during this answer."
    fix = "Send it again; nothing is remembered twice."


class Redacted(KitError):
    """What a turn says whose words went away with a forgotten memory."""

    code, status = "agents.redacted", 410
    reason = "These words went away with a memory that was forgotten or made sacred."
    fix = "Nothing needs to be done."


STORED = {
    error.code: error
    for error in (
        ActionsOff,
        ConfirmationExpired,
        ConfirmationInterrupted,
        Forbidden,
        Interrupted,
        MemoryAway,
        ModelAway,
        ModelRefused,
        NotSaved,
        Redacted,
        TurnTimedOut,
    )
}
"""The codes that a kept turn may bear, so that it can say again what happened."""
