"""What the gateway refuses, each with its code, its status and what the reader can do."""

from __future__ import annotations

from collections.abc import Sequence

from kit.errors import KitError


class InsufficientScope(KitError):
    """Raised before anything runs, when the token lacks the scope of what it asks for."""

    code, status = "mcp.insufficient_scope", 403
    reason = "The access token does not carry the scope that this needs."
    fix = "Make a token with that scope in Security, and give it to the client."

    @classmethod
    def of(cls, missing: Sequence[str]) -> InsufficientScope:
        """Return the refusal for these scopes, with the challenge that RFC 6750 asks for."""
        scopes = " ".join(missing)
        error = cls(f"The access token does not carry {scopes}.")
        error.headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{scopes}"'
        return error


class RateLimited(KitError):
    """Raised when one token asks more often than it may."""

    code, status = "mcp.rate_limited", 429
    reason = "This access token asks too often."
    fix = "Wait for as many seconds as Retry-After says."


class Crowded(KitError):
    """Raised when one token has too many requests under way."""

    code, status = "mcp.too_many_at_once", 429
    reason = "This access token has too many requests under way."
    fix = "Wait for one to end."


class BodyRefused(KitError):
    """Raised for a request that is not JSON."""

    code, status = "mcp.not_json", 400
    reason = "The request's body is not JSON."
    fix = "Send one JSON-RPC message."


class VerifierUnavailable(KitError):
    """Raised when nobody can say whether a token is good: then it is not used."""

    code, status = "mcp.verifier_unavailable", 503
    reason = "The part of the house that checks access tokens is not answering."
    fix = "Try again in a few seconds."


class ArgumentsInvalid(KitError):
    """Raised for a tool's arguments that memory would not understand."""

    code, status = "mcp.arguments_invalid", 422
    reason = "The tool's arguments do not have the expected shape."
    fix = "Read the tool's input schema; ids are UUIDs and times are ISO 8601 with an offset."
