"""Migrations are read in order for ever: their names, their headers and their way back are part of the design."""

import re

import pytest
import tree

FOLDER = tree.ROOT / "db" / "migrations"
FILES = sorted(path.name for path in FOLDER.iterdir())
NAME = re.compile(r"^(\d{4})_([a-z]+)_([a-z]+)_([a-z][a-z0-9_]*)\.sql$")


@pytest.mark.parametrize("name", FILES)
def test_a_migrations_name_says_number_domain_verb_and_noun(name: str) -> None:
    match = NAME.match(name)
    assert match, f"{name} is not NNNN_<domain>_<verb>_<noun>.sql"
    assert match.group(2) in tree.DOMAINS


def test_numbers_are_used_once() -> None:
    taken = [name[:4] for name in FILES]
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize("name", FILES)
def test_a_migration_goes_forward_and_back_in_one_named_database(name: str) -> None:
    text = (FOLDER / name).read_text()
    first = text.splitlines()[0]
    assert first in ("-- database: lares", "-- database: lares_sacred"), f"{name} begins: {first!r}"
    up, down = text.find("\n-- up\n"), text.find("\n-- down\n")
    assert 0 < up < down, f"{name} needs `-- up`, then `-- down`"
    assert re.search(r"^[^-\s]", text[up + 7 : down], re.MULTILINE), f"{name}: nothing under -- up"
    assert re.search(r"^[^-\s]", text[down + 9 :], re.MULTILINE), f"{name}: nothing under -- down"


@pytest.mark.parametrize("name", FILES)
def test_a_migration_is_one_transaction_of_the_runners(name: str) -> None:
    text = re.sub(r"--.*", "", (FOLDER / name).read_text())
    # BEGIN inside a function body is plpgsql's; a statement of its own is a second transaction.
    assert not re.search(r"^\s*(BEGIN|COMMIT|ROLLBACK)\s*;", text, re.MULTILINE | re.IGNORECASE)
    assert "CONCURRENTLY" not in text.upper(), f"{name}: that cannot run inside a transaction"
