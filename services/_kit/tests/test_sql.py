"""kit.sql: named statements, and what a file of them may not hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.sql import SqlFileError, load, parse

GOOD = """-- what this file is for

-- name: one
-- role: lares_app
-- database: lares_sacred
SELECT 1;  -- a comment; it's fine

-- name: two
SELECT ';', $x$ a; b $x$, 'it''s; fine -- really'
FROM somewhere;
"""


def test_statements_are_found_by_name_with_their_role_and_database(tmp_path: Path) -> None:
    path = tmp_path / "queries.sql"
    path.write_text(GOOD)
    queries = load(path)
    assert list(queries) == ["one", "two"]
    assert queries.one.startswith("SELECT 1")
    assert (queries["one"].role, queries["one"].database) == ("lares_app", "lares_sacred")
    assert (queries["two"].role, queries["two"].database) == (None, None)
    assert queries.two.endswith("FROM somewhere")


def test_an_attribute_is_plain_text_as_the_driver_wants_it() -> None:
    assert type(parse(GOOD).one) is str


def test_a_name_that_is_not_there_says_which_file_was_asked() -> None:
    queries = parse(GOOD, "memory.sql")
    with pytest.raises(AttributeError, match=r"memory\.sql has no statement named 'three'"):
        _ = queries.three
    with pytest.raises(KeyError, match=r"memory\.sql"):
        _ = queries["three"]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;",
        "-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;",
        "-- name: one\n-- only a comment\n-- name: two\nSELECT 2;",
        "-- name: one\nSELECT 1; DROP TABLE x;",
    ],
)
def test_a_file_that_is_not_one_statement_per_name_is_refused(text: str) -> None:
    with pytest.raises(SqlFileError):
        parse(text)
