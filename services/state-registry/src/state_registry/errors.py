"""What the registry says when it knows nothing."""

from kit.errors import KitError


class NothingRead(KitError):
    """No snapshot has been read since the start."""

    code, status = "ops.nothing_read", 503
    reason = "The state of the containers has not been read yet."
    fix = "Wait a few seconds; if it lasts, look at engine-reader's log."
