"""What a migration file may be called, say and hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from migrate.errors import BadFile
from migrate.files import read, read_all

GOOD = "-- database: lares\n-- why\n\n-- up\nCREATE TABLE x ();\n\n-- down\nDROP TABLE x;\n"


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_is_read_into_its_two_ways_and_its_checksum(tmp_path: Path) -> None:
    one = read(_file(tmp_path, "0001_data_create_x.sql", GOOD))
    assert (one.number, one.database, one.up, one.down) == (
        1,
        "lares",
        "CREATE TABLE x ();",
        "DROP TABLE x;",
    )
    other = read(_file(tmp_path, "0001_data_create_x.sql", GOOD + "\n"))
    assert one.checksum != other.checksum


@pytest.mark.parametrize(
    "name", ["1_data_x.sql", "0001-data.sql", "0001_data_X.sql", "0001_data.sql"]
)
def test_a_name_that_is_not_number_domain_and_words_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadFile):
        read(_file(tmp_path, name, GOOD))


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.replace("-- database: lares", "-- database: postgres"),
        GOOD.replace("-- database: lares\n", ""),
        GOOD.replace("-- down\nDROP TABLE x;\n", ""),
        GOOD.replace("-- up\n", ""),
        GOOD.replace("-- up\n", "-- up\n-- up\n"),
        GOOD.replace("DROP TABLE x;", "-- nothing"),
        GOOD.replace("-- why", "SELECT 1;"),
        GOOD.replace("CREATE TABLE x ();", "CREATE TABLE x ();\nCOMMIT;"),
        GOOD.replace("CREATE TABLE x ();", "begin;\nCREATE TABLE x ();"),
        GOOD.replace("CREATE TABLE x ();", "START TRANSACTION;"),
        GOOD.replace("CREATE TABLE x ();", "-- it's\nCREATE TABLE x ();\nCOMMIT;\n-- it's"),
        GOOD.replace("CREATE TABLE x ();", "CREATE INDEX CONCURRENTLY i ON x (y);"),
        GOOD.replace("CREATE TABLE x ();", "CREATE DATABASE y;"),
        GOOD.replace("CREATE TABLE x ();", "ALTER SYSTEM SET fsync = off;"),
    ],
)
def test_a_file_that_cannot_be_one_transaction_forward_and_back_is_refused(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(BadFile):
        read(_file(tmp_path, "0001_data_create_x.sql", text))


def test_a_function_s_own_begin_and_end_are_its_own(tmp_path: Path) -> None:
    body = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  NULL;\nEND;\n$$;"
    read(_file(tmp_path, "0001_data_create_f.sql", GOOD.replace("CREATE TABLE x ();", body)))


def test_two_files_with_one_number_are_refused(tmp_path: Path) -> None:
    _file(tmp_path, "0001_data_create_x.sql", GOOD)
    _file(tmp_path, "0001_edge_create_y.sql", GOOD)
    with pytest.raises(BadFile, match="same number"):
        read_all(tmp_path)


def test_a_folder_without_files_is_refused_rather_than_found_up_to_date(tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        read_all(tmp_path)
