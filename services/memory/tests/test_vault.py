"""The seal: what goes in comes out, in its own place alone."""

from __future__ import annotations

from base64 import b64encode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory.errors import SacredKeyInvalid, SacredUnreadable
from memory.vault import Vault, pack_vector, unpack_vector

KEY = b64encode(bytes(range(32))).decode()
OTHER = b64encode(bytes(32)).decode()
ADA, BOB, ROW, NEXT = (UUID(int=number) for number in range(1, 5))


@given(st.binary(max_size=500))
def test_what_was_sealed_opens_in_its_own_place(value: bytes) -> None:
    vault = Vault(KEY)
    sealed = vault.seal(ADA, ROW, "sealed", value)
    assert vault.open(ADA, ROW, "sealed", vault.key_id, sealed) == value
    assert sealed != vault.seal(ADA, ROW, "sealed", value), "a nonce was used twice"
    assert len(value) < 4 or value not in sealed


@pytest.mark.parametrize(
    ("subject", "row", "column"),
    [(BOB, ROW, "sealed"), (ADA, NEXT, "sealed"), (ADA, ROW, "embedding_sealed")],
)
def test_it_opens_for_no_other_person_row_or_column(subject: UUID, row: UUID, column: str) -> None:
    vault = Vault(KEY)
    sealed = vault.seal(ADA, ROW, "sealed", b"secret")
    with pytest.raises(SacredUnreadable):
        vault.open(subject, row, column, vault.key_id, sealed)


@given(st.integers(0, 33), st.integers(1, 255))
def test_a_single_changed_byte_is_noticed(place: int, change: int) -> None:
    vault = Vault(KEY)
    sealed = bytearray(vault.seal(ADA, ROW, "sealed", b"secret"))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(SacredUnreadable):
        vault.open(ADA, ROW, "sealed", vault.key_id, bytes(sealed))


def test_another_key_opens_nothing_and_is_told_apart_before_trying() -> None:
    mine, other = Vault(KEY), Vault(OTHER)
    sealed = mine.seal(ADA, ROW, "sealed", b"secret")
    assert mine.key_id != other.key_id
    for key_id in (mine.key_id, other.key_id):
        with pytest.raises(SacredUnreadable):
            other.open(ADA, ROW, "sealed", key_id, sealed)
    assert mine.fingerprint(b"x") != other.fingerprint(b"x")


@pytest.mark.parametrize(
    "secret",
    ["", "nonsense", b64encode(bytes(16)).decode(), b64encode(bytes(33)).decode(), "ü" * 44],
)
def test_a_secret_that_is_no_key_is_refused_at_once(secret: str) -> None:
    with pytest.raises(SacredKeyInvalid):
        Vault(secret)


def test_the_key_is_in_no_repr() -> None:
    assert KEY not in repr(Vault(KEY))


@given(st.lists(st.floats(-1, 1, width=32), min_size=384, max_size=384))
def test_a_vector_comes_back_as_it_was(vector: list[float]) -> None:
    assert list(unpack_vector(pack_vector(vector))) == vector


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError):
        pack_vector([0.0] * 383)
