"""Texts, tiers, cursors and interrupted moves: what must hold for every input, not just for the examples."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from contracts.memory import Tier
from hypothesis import given
from hypothesis import strategies as st
from kit.auth import ReadOnly
from memory import domain, presenting
from memory.errors import (
    CursorInvalid,
    LimitInvalid,
    TextEmpty,
    TextTooLong,
    TextUnprintable,
    TierDenied,
    TierUnknown,
    TimeInvalid,
)

ROLES = st.sampled_from([*domain.TIERS_OF_ROLE, "postgres", "svc_memory", ""])
TIERS = st.lists(st.sampled_from(list(Tier)), min_size=1, max_size=3, unique=True).map(tuple)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)


@given(st.text(max_size=200))
def test_a_text_comes_back_clean_or_is_refused_with_a_code(raw: str) -> None:
    try:
        text = domain.clean_text(raw)
    except (TextEmpty, TextTooLong, TextUnprintable):
        return
    assert text == text.strip() != ""
    assert domain.clean_text(text) == text
    assert all(
        unicodedata.category(letter) not in ("Cc", "Cs") or letter in "\n\t" for letter in text
    )
    assert text.encode("utf-8").decode("utf-8") == text


@given(st.integers(1, 8100))
def test_the_limit_is_counted_in_characters(length: int) -> None:
    text = "ü" * length
    if length <= 8000:
        assert domain.clean_text(text) == text
    else:
        with pytest.raises(TextTooLong):
            domain.clean_text(text)


@pytest.mark.parametrize("raw", ["", " ", "\n\t", "\u00a0", "\u200b", "\u2060\ufeff", "\u202e"])
def test_what_nobody_can_see_is_no_text(raw: str) -> None:
    with pytest.raises(TextEmpty):
        domain.clean_text(raw)


def test_family_emoji_keep_their_joiners() -> None:
    assert domain.clean_text("\U0001f468\u200d\U0001f469\u200d\U0001f467") != ""


@given(
    ROLES,
    st.none()
    | st.lists(st.sampled_from([*(tier.value for tier in Tier), "secret", ""]), max_size=4),
)
def test_no_role_is_ever_given_a_tier_it_has_no_part_in(role: str, asked: list[str] | None) -> None:
    try:
        chosen = domain.chosen_tiers(role, asked)
    except (TierDenied, TierUnknown):
        return
    assert chosen
    assert set(chosen) <= set(domain.allowed_tiers(role))
    assert len(set(chosen)) == len(chosen)
    if asked is None:
        assert Tier.SACRED not in chosen
    else:
        assert {tier.value for tier in chosen} == set(asked)


@given(ROLES)
def test_only_the_application_has_a_part_in_sacred(role: str) -> None:
    assert (Tier.SACRED in domain.allowed_tiers(role)) == (role == "lares_app")


@given(ROLES, st.booleans())
def test_a_reader_never_writes(role: str, read_only: bool) -> None:
    if read_only or role == "lares_readonly":
        with pytest.raises(ReadOnly):
            presenting.check_writes(role, read_only)
    else:
        presenting.check_writes(role, read_only)


@given(MOMENTS, st.uuids(), st.text(max_size=300))
def test_a_cursor_comes_back_to_the_microsecond(
    moment: datetime, ident: UUID, listing: str
) -> None:
    cursor = domain.Cursor(moment, ident)
    word = domain.encode_cursor(cursor, listing)
    assert len(word) <= domain.CURSOR_CHARS_MAX
    assert domain.decode_cursor(word, listing) == cursor


@given(MOMENTS, st.uuids(), st.text(max_size=30), st.text(max_size=30))
def test_a_cursor_of_another_list_is_refused(
    moment: datetime, ident: UUID, given_for: str, used_for: str
) -> None:
    word = domain.encode_cursor(domain.Cursor(moment, ident), given_for)
    if given_for != used_for:
        with pytest.raises(CursorInvalid):
            domain.decode_cursor(word, used_for)


@given(st.text(max_size=400) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_no_made_up_cursor_does_more_than_be_refused(raw: str) -> None:
    try:
        domain.decode_cursor(raw, "a list")
    except CursorInvalid:
        return
    pytest.fail("a made-up cursor was taken")


@given(st.integers(-10, 400))
def test_a_limit_is_taken_only_within_its_range(limit: int) -> None:
    if 1 <= limit <= 50:
        assert domain.check_recall_limit(limit) == limit
    else:
        with pytest.raises(LimitInvalid):
            domain.check_recall_limit(limit)


@given(
    st.sampled_from(list(Tier)),
    st.sampled_from(list(Tier)),
    st.sets(st.sampled_from(list(Tier))),
    st.booleans(),
)
def test_an_interrupted_move_never_loses_nor_lowers_a_memory(
    from_tier: Tier, to_tier: Tier, present: set[Tier], forgotten: bool
) -> None:
    survivor = domain.surviving_tier(from_tier, to_tier, present, forgotten)
    copies = present & {from_tier, to_tier}
    if forgotten or not copies:
        assert survivor is None
    else:
        assert survivor in copies
        assert all(domain.PRIVACY[survivor] >= domain.PRIVACY[tier] for tier in copies)


def test_a_time_without_a_zone_is_refused_and_others_become_utc() -> None:
    with pytest.raises(TimeInvalid):
        domain.aware(datetime(2026, 5, 1))
    with pytest.raises(TimeInvalid):
        domain.aware(datetime.fromisoformat("9999-12-31T23:59:59-05:00"))
    assert domain.aware(datetime.fromisoformat("2026-05-01T09:00:00+02:00")) == datetime(
        2026, 5, 1, 7, tzinfo=UTC
    )
    assert domain.aware(None) is None
    assert domain.aware(datetime(2026, 5, 1, tzinfo=UTC)).utcoffset() == timedelta(0)  # type: ignore[union-attr]
