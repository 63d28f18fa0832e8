"""A folder of files that a person and a process both write: nothing is torn, nothing of a hand is lost."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.tiers import Level, Tier
from memory.domain import Entry
from memory.exchange import markdown, topics
from memory.exchange.archive import check_path
from memory.exchange.errors import ImportUnsafe
from memory.exchange.folder import Folder, digest, without
from memory.exchange.record import Record, to_plain
from memory.exchange.topics import Filed, Topic

NOW = datetime(2026, 5, 14, tzinfo=UTC)


def file_of(*texts: str) -> tuple[bytes, list[UUID]]:
    lines = markdown.head_lines({"lares": "topic"}, "May 2026")
    idents = [uuid4() for _ in texts]
    for ident, text in zip(idents, texts, strict=True):
        entry = Entry(ident, UUID(int=7), Tier.CONVENIENCE, text, "api", None, None, NOW, NOW)
        lines += markdown.entry_lines(to_plain(Record(entry), lambda _: "0" * 16))
    lines += markdown.ids_lines(idents)
    return "\n".join(lines).encode(), idents


def opened(path: Path) -> Folder:
    folder = Folder(path)
    folder.open()
    return folder


def test_a_file_is_seen_as_changed_only_by_a_hand(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    assert folder.write("a/b.md", b"one", None)
    folder.save()
    again = opened(tmp_path)
    assert list(again.changed()) == []
    (tmp_path / "a/b.md").write_bytes(b"two")
    (tmp_path / "mine.md").write_bytes(b"- new")
    assert dict(again.changed()) == {"a/b.md": b"two", "mine.md": b"- new"}


def test_what_a_hand_changes_while_we_write_is_not_written_over(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write("a.md", b"one", None)
    (tmp_path / "a.md").write_bytes(b"typed just now")
    assert not folder.write("a.md", b"two", digest(b"one"))
    assert (tmp_path / "a.md").read_bytes() == b"typed just now"
    folder.drop("a.md", digest(b"one"))
    assert (tmp_path / "a.md").exists()


def test_a_crash_in_the_middle_of_writing_leaves_the_old_file_and_is_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = opened(tmp_path)
    folder.write("a.md", b"one", None)
    folder.save()

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            folder.write("a.md", b"two", digest(b"one"))
    assert (tmp_path / "a.md").read_bytes() == b"one"
    assert len(list(tmp_path.iterdir())) == 3
    assert list(opened(tmp_path).changed()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"a.md", ".lares.json"}


def test_a_torn_note_only_means_that_every_file_is_read_once_more(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write("a.md", b"one", None)
    (tmp_path / ".lares.json").write_bytes(b'{"a.md": [')
    assert dict(opened(tmp_path).changed()) == {"a.md": b"one"}


def test_a_link_out_of_the_folder_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    secret = tmp_path / "outside/secret.md"
    secret.write_bytes(b"- not yours")
    folder = opened(tmp_path / "mine")
    (tmp_path / "mine/link.md").symlink_to(secret)
    (tmp_path / "mine/up").symlink_to(tmp_path / "outside")
    assert list(folder.changed()) == []
    folder.write("link.md", b"ours", digest(b"- not yours"))
    assert secret.read_bytes() == b"- not yours"


def test_what_could_not_be_taken_lies_beside_its_file_once_and_is_never_read_back(
    tmp_path: Path,
) -> None:
    folder = opened(tmp_path)
    assert folder.set_aside("a/b.md", b"- mine") == "a/b.conflict.md"
    assert folder.set_aside("a/b.md", b"- mine") is None
    assert folder.set_aside("a/b.md", b"- other") == "a/b.2.conflict.md"
    assert list(folder.changed()) == []


def test_what_is_forgotten_is_cut_out_of_every_file_and_the_rest_stays_as_it_is(
    tmp_path: Path,
) -> None:
    content, idents = file_of("keep this", "zibaldone\nin two lines", "and this")
    folder = opened(tmp_path)
    folder.write("a.md", content, None)
    folder.set_aside("a.md", content)
    (tmp_path / "mine.md").write_bytes(b"- a note\n" + content)
    folder.save()
    assert opened(tmp_path).take_out({idents[1]}) == 3
    for path in tmp_path.glob("*.md"):
        left = path.read_bytes()
        assert b"zibaldone" not in left
        assert str(idents[1]).encode() not in left
        assert idents[1].hex.encode() not in left
        assert b"keep this" in left
    # Cutting is no hand's change; what a hand had changed is still one.
    assert [name for name, _ in opened(tmp_path).changed()] == ["mine.md"]


def test_a_file_that_names_none_of_them_is_left_alone() -> None:
    content, _ = file_of("one")
    assert without(content, {uuid4()}) == (content, 0)


@pytest.mark.parametrize(
    "path", ["../a.md", "/a.md", "a/../../b.md", "C:/a.md", "a\\b.md", "", "a\n.md", "x" * 500]
)
def test_a_path_that_leads_out_of_an_archive_is_refused(path: str) -> None:
    with pytest.raises(ImportUnsafe):
        check_path(path)


def test_names_of_files_are_stable_plain_and_never_two_of_one() -> None:
    def topic(name: str) -> Topic:
        return Topic(Tier.CONVENIENCE, "home", Level.KNOWLEDGE, name)

    names = ["Ana", "São Paulo", "sao paulo", "Ana!", "../../etc", "CON", "2026-05", "", "🦜"]
    made = list(topics.paths((topic(name), 1) for name in names))
    flat = [path for paths in made for path in paths]
    assert len(set(flat)) == len(names)
    assert flat[0] == "convenience/home/knowledge/ana.md"
    assert flat[3] == "convenience/home/knowledge/ana--2.md"
    assert all(".." not in path and path.count("/") == 3 for path in flat)
    assert "convenience/home/knowledge/con-.md" in flat
    parts = next(iter(topics.paths([(topic("Ana"), 1001)])))
    assert [path.rsplit("/", 1)[1] for path in parts] == ["ana.md", "ana.part2.md", "ana.part3.md"]


def test_the_index_names_every_file_and_is_not_taken_for_memories() -> None:
    filed = [
        Filed(
            "a/b.md", Topic(Tier.CONVENIENCE, "home", Level.KNOWLEDGE, "An [odd] name"), 1, 2, NOW
        )
    ]
    page = markdown.read(topics.index_lines(filed, {"work": False}))
    assert [topics.is_index_entry(entry.text) for entry in page.entries] == [True]
    assert topics.shared_namespaces(page.head) == {"work": False}
    assert {line for _, line in page.notes} == set(topics.INDEX_TEXT)
