"""Who asks: the person of a caller token that is believed, or the service that says its name."""

from contracts.identity import CALLER_HEADER, Caller
from contracts.names import AGENT_HEADER, CLASS_HEADER, SERVICE_HEADER, TIER_HEADER
from kit import logs
from kit.auth import CallerInvalid, CallerVerifier
from starlette.datastructures import Headers

from model_gateway.terms import UNKNOWN, Terms, read_class, read_name, read_tier

log = logs.get(__name__)


class LateVerifier(CallerVerifier):
    """Loads the key with the first caller: it brings megabytes of cryptography that a house of services never needs."""

    def __init__(self, public_key_pem: str) -> None:
        self._pem = public_key_pem
        self._made: CallerVerifier | None = None

    def verify(self, token: str) -> Caller:
        """Return the caller that `token` speaks for. Raises CallerInvalid."""
        if self._made is None:
            self._made = CallerVerifier(self._pem)
        return self._made.verify(token)


def read_terms(headers: Headers, verifier: CallerVerifier | None) -> Terms:
    """Return on which terms a request is made. Raises RequestInvalid for a header that is not what it should be."""
    service = read_name(headers.getlist(SERVICE_HEADER), SERVICE_HEADER)
    person = _person(headers.getlist(CALLER_HEADER), verifier)
    return Terms(
        tier=read_tier(headers.getlist(TIER_HEADER)),
        service_class=read_class(headers.getlist(CLASS_HEADER), person=person is not None),
        caller=person or (f"service:{service}" if service else UNKNOWN),
        service=service,
        agent=read_name(headers.getlist(AGENT_HEADER), AGENT_HEADER),
    )


def _person(tokens: list[str], verifier: CallerVerifier | None) -> str | None:
    if len(tokens) != 1 or verifier is None:
        return None
    try:
        return f"person:{verifier.verify(tokens[0]).subject}"
    except CallerInvalid:
        # A long turn outlives its token. It says who pays, and opens no door: the service pays instead.
        log.info("caller.not_believed")
        return None
