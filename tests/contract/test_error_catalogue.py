"""docs/errors.md is what a person looks up with a code in hand: it must hold every code, and no dead one."""

import re
from collections import Counter
from pathlib import Path

import catalogue

ROOT = Path(__file__).resolve().parents[2]


def test_every_coded_error_is_in_the_catalogue_with_its_status() -> None:
    rows = catalogue.read_rows(catalogue.DOCUMENT.read_text())
    wrong = [
        f"{error.place}: {error.code} {error.status}"
        for error in [*catalogue.coded_errors(), *catalogue.script_errors()]
        if rows.get(error.code, ("",))[0] != error.status
    ]
    assert not wrong, "run `make docs`; not in docs/errors.md with this status:\n" + "\n".join(
        wrong
    )


def test_every_code_in_the_catalogue_can_still_be_given() -> None:
    errors = [*catalogue.coded_errors(), *catalogue.script_errors()]
    classes = {error.code for error in errors}
    rows = catalogue.read_rows(catalogue.DOCUMENT.read_text())
    dead = [
        code for code in rows if code not in classes and not catalogue.raised_elsewhere(ROOT, code)
    ]
    assert not dead, f"run `make docs`; nothing gives these codes any more: {dead}"


def test_every_error_says_what_happened_and_what_to_do() -> None:
    poor = [
        f"{error.place}: {error.code}"
        for error in catalogue.coded_errors()
        if len(error.reason) < 8 or len(error.fix) < 8 or not error.status.isdigit()
    ]
    assert not poor, "give these a reason, a fix and a status:\n" + "\n".join(poor)


def test_a_code_means_one_thing() -> None:
    meanings: dict[str, set[tuple[str, str]]] = {}
    for error in catalogue.coded_errors():
        meanings.setdefault(error.code, set()).add((error.status, error.place.split("/")[1]))
    # Two services may share a code only if they share its status.
    double = {
        code: found
        for code, found in meanings.items()
        if len({status for status, _ in found}) > 1
        or max(Counter(service for _, service in found).values()) > 1
    }
    assert not double, f"one code with several meanings: {double}"


def test_every_failure_of_a_script_says_what_happened_and_what_to_do() -> None:
    told = {error.code: (error.reason, error.fix) for error in catalogue.script_errors()}
    assert "setup.port_taken" in told
    for path in sorted((ROOT / "setup").rglob("*.sh")):
        for code in re.findall(r"\bfail ([a-z]+\.[a-z_]+)", path.read_text()):
            assert code in told, f"{path.name}: {code} needs a reason and a fix in quotes"
            assert all(told[code]), code


def test_codes_are_lower_case_words_with_a_dot() -> None:
    wrong = [
        error.code
        for error in catalogue.coded_errors()
        if not all(part.replace("_", "").isalnum() for part in error.code.split("."))
        and error.code != "<service>.unavailable"
    ]
    assert not wrong


def test_the_catalogue_is_sorted() -> None:
    codes = list(catalogue.read_rows(catalogue.DOCUMENT.read_text()))
    assert codes == sorted(codes), "run `make docs`"


def test_the_reader_of_classes_finds_codes_in_every_way_they_are_written(tmp_path: Path) -> None:
    source = tmp_path / "services" / "x" / "src" / "x" / "errors.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        "class KitError(Exception):\n    status = 500\n"
        "class Plain(KitError):\n    code = 'x.plain'\n    status = 404\n"
        "class Pair(KitError):\n    code, status = 'x.pair', 403\n    reason = 'a' 'b'\n"
        "class Child(Pair):\n    code: str = 'x.child'\n"
        "class Base(KitError):\n    status = 409\n"
        "class Other(Exception):\n    code = 'x.not_ours'\n"
    )
    found = {error.code: (error.status, error.reason) for error in catalogue.coded_errors(tmp_path)}
    assert found == {"x.plain": ("404", ""), "x.pair": ("403", "ab"), "x.child": ("403", "ab")}
