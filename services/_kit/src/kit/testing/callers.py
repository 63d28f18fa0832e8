"""Fixtures: a clock that moves when told, and callers signed with a key made for this test run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.identity import CALLER_HEADER, Caller

from kit.auth import CallerSigner, CallerVerifier
from kit.clock import Clock, FakeClock


@dataclass(frozen=True)
class SignedCaller:
    """A caller and the token that proves it."""

    caller: Caller
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What a request of this caller carries."""
        return {CALLER_HEADER: self.token}


@dataclass(frozen=True)
class CallerFactory:
    """`caller_factory(db_role="lares_mcp", kind="token", scopes=("memory:read",))` signs a caller."""

    private_key_pem: str
    public_key_pem: str

    def __call__(
        self,
        *,
        subject: UUID | None = None,
        clock: Clock | None = None,
        ttl_seconds: int = 300,
        **attributes: Any,
    ) -> SignedCaller:
        now = (clock or Clock()).now()
        told: dict[str, Any] = {
            "subject": subject or uuid4(),
            "username": "ada",
            "kind": "person",
            "role": "owner",
            "db_role": "lares_app",
            "aal": 1,
            "session_id": uuid4().hex,
            "auth_time": now,
            **attributes,
        }
        caller = Caller.model_validate(told)
        token = CallerSigner(self.private_key_pem, clock).sign(caller, ttl_seconds)
        return SignedCaller(caller, token)

    def verifier(self, clock: Clock | None = None) -> CallerVerifier:
        """Return a verifier that trusts this factory's key alone."""
        return CallerVerifier(self.public_key_pem, clock)


def make_keys() -> tuple[str, str]:
    """Return a fresh Ed25519 pair as PEM: private, public."""
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()
    ).decode()
    public = (
        key.public_key()
        .public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    return private, public


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    return FakeClock()


@pytest.fixture(scope="session")
def caller_factory() -> CallerFactory:
    """Signs callers; give `caller_factory.verifier()` to the application under test."""
    return CallerFactory(*make_keys())


@pytest.fixture
def make_settings(tmp_path: Any) -> Callable[..., Any]:
    """Build an HTTP Settings class for a test: own heartbeat path, a loopback bind, the rest as given."""

    def build(cls: type, **values: Any) -> Any:
        return cls(**{"bind": "127.0.0.1", "heartbeat_path": tmp_path / "heartbeat", **values})

    return build
