"""What can go wrong between the reader and the engine."""

from kit.errors import KitError


class EngineUnavailable(KitError):
    """The engine's socket does not answer, or not with what was asked."""

    code, status = "ops.engine_unavailable", 503
    reason = "The container engine does not answer."
    fix = "Look at the engine on the host (`systemctl status docker`); the reader tries again by itself."


class EngineDenied(KitError):
    """The reader may not open the engine's socket."""

    code, status = "ops.engine_denied", 500
    reason = "The reader may not open the engine's socket."
    fix = "Run `make up`: it gives the reader the group that the socket belongs to now."
