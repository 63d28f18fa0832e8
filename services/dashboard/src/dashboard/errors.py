"""What the dashboard itself refuses; its neighbours' coded errors pass through as they came."""

from kit.errors import KitError


class TooManyStreams(KitError):
    """One person holds as many streams open as one person may."""

    code, status = "dashboard.too_many_streams", 429
    reason = "Too many pages of the house are open at once."
    fix = "Close a few of its tabs, then reload this one."


class SessionEnded(KitError):
    """The session was signed out or revoked while a stream was open."""

    code, status = "dashboard.session_ended", 401
    reason = "This session has ended."
    fix = "Sign in again."


class AnswerInterrupted(KitError):
    """The service that was answering went away in the middle of the answer."""

    code, status = "dashboard.answer_interrupted", 503
    reason = "The answer was interrupted: a part of the house went away."
    fix = "Ask again in a moment; System shows which part is down."


class FileRefused(KitError):
    """A file was sent for import that is none of the kinds that are taken."""

    code, status = "dashboard.file_refused", 415
    reason = "That kind of file cannot be imported."
    fix = "Choose a .zip or .md of Markdown, or a .jsonl file, as the export makes them."
