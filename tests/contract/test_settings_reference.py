"""docs/settings.md lists every setting: one that is not documented does not pass."""

import settings_reference
from kit.settings import describe


def test_the_settings_reference_is_what_the_code_says() -> None:
    written = settings_reference.DOCUMENT.read_text()
    assert written == settings_reference.render(), "run `make docs`"


def test_every_setting_has_a_name_of_the_house_and_a_sentence_of_help() -> None:
    wrong = [
        f"{service}: {described.env}: {described.help!r}"
        for service, classes in settings_reference.settings_classes().items()
        for cls in classes
        for described in describe(cls).values()
        if len(described.help) < 8 or not (described.secret or described.env.startswith("LARES_"))
    ]
    assert not wrong


def test_one_variable_has_one_meaning_within_a_service() -> None:
    double: list[str] = []
    for service, classes in settings_reference.settings_classes().items():
        for cls in classes:
            names = [described.env for described in describe(cls).values()]
            double += [f"{service}: {name}" for name in set(names) if names.count(name) > 1]
    assert not double
