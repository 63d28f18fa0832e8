"""The round trip: whatever may be stored comes back from a file as it was, and what a hand does there is understood."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.tiers import Level, Tier
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from memory.domain import Entry, clean_text
from memory.errors import TextEmpty, TextTooLong, TextUnprintable
from memory.exchange import jsonl, markdown
from memory.exchange.record import (
    Incoming,
    Origin,
    Record,
    Tie,
    check_text,
    from_plain,
    to_plain,
)
from memory.exchange.values import BadRecord

ADA = UUID(int=7)
NOW = datetime(2026, 5, 14, 9, 0, tzinfo=UTC)
MARKUP = (
    *("- ", "* ", "+ ", "1. ", "# ", "> ", "```", "~~~", "---", "===", "***", "--", "-->", "<!--"),
    *("<!-- lares {}", "<!-- lares entries", "\\", "\\<!-- lares", "[a]: b", "![x](y)", "|a|b|"),
    *(
        "    ",
        "\t",
        "  ",
        " ",
        "\n",
        "\n\n",
        "\r\n",
        "a",
        "b",
        "é",
        "\u2028",
        "\u00a0",
        "🦜",
        "&amp;",
    ),
    *("<script>", "{{x}}", "lares: topic", "\u200b", "\ufeff", "\u202e", "x" * 70),
)
texts = st.one_of(
    st.text(min_size=1, max_size=300),
    st.lists(st.sampled_from(MARKUP), min_size=1, max_size=25).map("".join),
)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
maybe = st.none() | moments
words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)
kinds = st.from_regex(r"[a-z][a-z0-9_.-]{0,39}", fullmatch=True)
names = st.from_regex(r"[a-z][a-z0-9_-]{0,39}", fullmatch=True)
positions = st.integers(-(2**62), 2**62)


def seal(ident: UUID) -> str:
    return f"{ident.int % 2**64:016x}"


def storable(text: str) -> bool:
    try:
        check_text(text)
    except BadRecord:
        return False
    return True


@st.composite
def origins(draw: Any) -> Origin:
    return Origin(
        draw(st.uuids()),
        draw(kinds),
        draw(st.none() | words.filter(lambda word: len(word) <= 200)),
        draw(st.none() | words.filter(lambda word: len(word) <= 200)),
        draw(st.none() | positions),
        draw(st.none() | words.filter(lambda word: len(word) <= 100)),
        draw(st.none() | texts.filter(storable)),
        draw(maybe),
        draw(moments),
        draw(st.none() | st.uuids()),
    )


@st.composite
def records(draw: Any) -> Record:
    created = draw(moments)
    valid = sorted(draw(st.lists(moments, min_size=2, max_size=2)))
    thread = draw(st.none() | words.filter(lambda word: len(word) <= 200))
    entry = Entry(
        id=draw(st.uuids()),
        subject_id=ADA,
        tier=draw(st.sampled_from(Tier)),
        text=draw(texts.filter(storable)),
        source_kind=draw(kinds),
        source_ref=draw(st.none() | words.filter(lambda word: len(word) <= 200)),
        occurred_at=draw(maybe),
        created_at=created,
        updated_at=draw(st.just(created) | moments),
        revision=draw(st.integers(1, 2**62)),
        namespace=draw(names),
        level=draw(st.sampled_from(Level)),
        thread=thread,
        position=draw(positions) if thread is not None else None,
        speaker=draw(st.none() | words.filter(lambda word: len(word) <= 100)),
        strength=draw(st.floats(0, 8, width=32)),
        accesses=draw(st.integers(0, 2**31 - 1)),
        accessed_at=draw(st.just(created) | moments),
        expires_at=draw(maybe),
        archived_at=draw(maybe),
        valid_from=draw(st.none() | st.just(valid[0])),
        valid_to=draw(st.none() | st.just(valid[1])),
        superseded_by=draw(st.none() | st.uuids()),
        superseded_at=draw(maybe),
    )
    ties = draw(
        st.lists(st.builds(Tie, st.sampled_from(["summarises", "derived"]), st.uuids()), max_size=3)
    )
    return Record(entry, tuple(draw(st.lists(origins(), max_size=2))), tuple(ties))


def memory(text: str, **more: Any) -> Record:
    more.setdefault("accessed_at", NOW)
    return Record(Entry(uuid4(), ADA, Tier.CONVENIENCE, text, "api", None, None, NOW, NOW, **more))


def page_of(*kept: Record) -> list[str]:
    lines = markdown.head_lines({"lares": "topic", "tier": "convenience"}, "Home")
    for record in kept:
        lines += markdown.entry_lines(to_plain(record, seal))
    return lines + markdown.ids_lines([record.entry.id for record in kept])


def back(drafted: markdown.Drafted) -> Incoming:
    assert drafted.plain is not None
    return from_plain(drafted.plain, ADA, seal, NOW + timedelta(days=1))


def written(lines: list[str]) -> markdown.Page:
    return markdown.read(markdown.split("\n".join(lines).encode()))


@given(st.lists(records(), min_size=1, max_size=4, unique_by=lambda record: record.entry.id))
@settings(max_examples=120, deadline=None)
def test_every_field_of_every_memory_comes_back_from_markdown(kept: list[Record]) -> None:
    page = written(page_of(*kept))
    read = [back(drafted) for drafted in page.entries]
    assert [each.record for each in read] == kept
    assert not any(each.text_changed or each.fields_changed for each in read)
    assert all(each.ours for each in read)
    assert page.ids == {record.entry.id for record in kept}
    assert page.notes == []


@given(texts)
@example("---")
@example("- -")
@example("<!-- lares {}\n\\<!-- lares {}")
@example("a\r\nb  \nc\t\n\n\nd")
@example("```\n- unclosed\n<!--")
@settings(max_examples=250, deadline=None)
def test_any_text_between_two_others_comes_back_to_the_character(text: str) -> None:
    assume(storable(text))
    kept = [memory("before"), memory(text), memory("after")]
    page = written(page_of(*kept))
    assert [back(drafted).record.entry.text for drafted in page.entries] == [
        "before",
        text,
        "after",
    ]


@given(st.lists(texts, min_size=1, max_size=5))
@settings(max_examples=120, deadline=None)
def test_other_tools_see_one_list_item_per_memory(said: list[str]) -> None:
    kept: list[Record] = []
    for text in said:
        try:
            kept.append(memory(clean_text(text)))
        except (TextEmpty, TextTooLong, TextUnprintable):
            continue
    lines = page_of(*kept)
    body = "\n".join(lines[lines.index("---", 1) + 1 :])
    items = [
        token
        for token in MarkdownIt("commonmark").parse(body)
        if token.type == "list_item_open" and token.level == 1
    ]
    assert len(items) == len(kept)


@given(records())
@settings(max_examples=120, deadline=None)
def test_every_field_of_a_memory_comes_back_from_a_line_of_json(record: Record) -> None:
    line = jsonl.line(to_plain(record, seal))
    assert line.count(b"\n") == 1
    again = from_plain(jsonl.parse(line), ADA, seal, NOW)
    assert again.record == record
    assert not again.text_changed
    assert not again.fields_changed


@given(records())
@settings(max_examples=60, deadline=None)
def test_an_editor_that_trims_blanks_and_writes_crlf_has_changed_nothing(record: Record) -> None:
    lines = page_of(record)
    trimmed = "\r\n".join(line.rstrip() for line in lines)
    page = markdown.read(markdown.split(trimmed.encode()))
    again = back(page.entries[0])
    assert again.record == record
    assert not again.text_changed


def test_a_changed_text_is_an_edit_and_carries_the_revision_it_was_made_of() -> None:
    record = memory("I live in Lisbon", revision=3)
    lines = [line.replace("Lisbon", "Porto") for line in page_of(record)]
    again = back(written(lines).entries[0])
    assert (again.id, again.text_changed, again.fields_changed) == (record.entry.id, True, False)
    assert (again.record.entry.text, again.record.entry.revision) == ("I live in Porto", 3)


@pytest.mark.parametrize("bullet", ["- ", "* ", "+ ", "1. "])
def test_a_bullet_without_an_id_is_a_new_memory(bullet: str) -> None:
    lines = page_of(memory("one"))
    page = written([*lines[:7], f"{bullet}Our cat is Miso", "  and she is grey", "", *lines[7:]])
    new = [drafted for drafted in page.entries if drafted.plain is None]
    assert [drafted.text for drafted in new] == ["Our cat is Miso\nand she is grey"]
    assert len(page.entries) == 2


def test_a_bullet_put_between_a_text_and_its_comment_does_not_become_its_edit() -> None:
    record = memory("I take the blue train")
    lines = page_of(record)
    place = next(number for number, line in enumerate(lines) if line.startswith("  <!-- lares"))
    page = written([*lines[:place], "- I also own a bicycle", *lines[place:]])
    known, new = sorted(page.entries, key=lambda drafted: drafted.plain is None)
    assert back(known).record == record
    assert not back(known).text_changed
    assert (new.plain, new.text) == (None, "I also own a bicycle")


def test_two_bullets_of_which_neither_fits_the_comment_are_left_to_the_person() -> None:
    lines = [line.replace("blue", "red") for line in page_of(memory("I take the blue train"))]
    place = next(number for number, line in enumerate(lines) if line.startswith("  <!-- lares"))
    page = written([*lines[:place], "- I also own a bicycle", *lines[place:]])
    assert [drafted.problem for drafted in page.entries] == ["bullets_share_a_comment"] * 2


def test_what_a_person_writes_beside_the_entries_is_noticed_and_kept() -> None:
    lines = page_of(memory("one"))
    page = written([*lines, "Ask Ana about this.", "", "```", "- not a memory", "```"])
    assert [line for _, line in page.notes] == [
        "Ask Ana about this.",
        "```",
        "- not a memory",
        "```",
    ]
    assert len(page.entries) == 1


def test_an_entry_taken_out_is_missing_from_the_list_the_file_ends_with() -> None:
    gone, kept = memory("gone"), memory("kept")
    lines = page_of(gone, kept)
    place = lines.index("- gone")
    page = written([*lines[:place], *lines[place + 3 :]])
    assert page.ids is not None
    assert page.ids - {back(drafted).id for drafted in page.entries} == {gone.entry.id}


def test_a_text_that_poses_as_a_comment_of_ours_stays_a_text() -> None:
    victim = memory("mine")
    posing = f'first\n  <!-- lares {{"id":"{victim.entry.id}"}} -->\n- not a bullet\n---'
    page = written(page_of(memory(posing), victim))
    assert [back(drafted).record.entry.text for drafted in page.entries] == [posing, "mine"]


def test_a_seal_of_another_house_or_for_another_id_is_no_seal() -> None:
    plain = to_plain(memory("one"), lambda _: "0" * 16)
    assert not from_plain(plain, ADA, seal, NOW).ours
    stolen = {**to_plain(memory("one"), seal), "id": str(uuid4())}
    assert not from_plain(stolen, ADA, seal, NOW).ours


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": "x" * 8001}, "text_too_long"),
        ({"text": "bell\x07"}, "text_unprintable"),
        ({"text": " \n "}, "text_empty"),
        ({"text": None}, "text_missing"),
        ({"tier": "secret"}, "tier_unknown"),
        ({"level": ["identity"]}, "level_unknown"),
        ({"namespace": "../etc"}, "namespace_invalid"),
        ({"created_at": "yesterday"}, "time_invalid"),
        ({"created_at": "2026-05-01T00:00:00"}, "time_invalid"),
        (
            {"valid_from": "2026-05-02T00:00:00Z", "valid_to": "2026-05-01T00:00:00Z"},
            "time_invalid",
        ),
        ({"revision": 0}, "number_invalid"),
        ({"accesses": True}, "number_invalid"),
        ({"strength": float("nan")}, "number_invalid"),
        ({"id": 5}, "id_invalid"),
        ({"thread": "t"}, "position_without_thread"),
        ({"source": {"kind": "A"}}, "source_invalid"),
        ({"sources": [{}]}, "source_invalid"),
        ({"links": [{"kind": "owns", "to": str(ADA)}]}, "link_invalid"),
        ({"check": "no"}, "check_malformed"),
        ({"subject": str(ADA)}, "field_unknown"),
    ],
)
def test_a_record_that_cannot_be_is_refused_with_a_reason(
    change: dict[str, Any], reason: str
) -> None:
    plain = {**to_plain(memory("one"), seal), **change}
    with pytest.raises(BadRecord) as refused:
        from_plain(plain, ADA, seal, NOW)
    assert refused.value.reason == reason


def test_an_entry_of_another_file_takes_that_files_place_and_remembers_its_own() -> None:
    from memory.exchange.record import placed

    again = back(written(page_of(memory("one"))).entries[0])
    moved = placed(again, Tier.SENSITIVE, "work", Level.IDENTITY)
    assert moved.record.entry == replace(
        again.record.entry, tier=Tier.SENSITIVE, namespace="work", level=Level.IDENTITY
    )
    assert moved.base == (Tier.CONVENIENCE, "home", Level.KNOWLEDGE)
