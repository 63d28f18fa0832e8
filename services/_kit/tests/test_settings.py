"""Settings decide whether a service starts: each way of being wrong must be named, and no secret may be shown."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from kit.settings import (
    HttpSettings,
    SecretMissing,
    SettingInvalid,
    SettingMissing,
    describe,
    load,
    read,
    secret,
    setting,
)


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    pool_max: int = setting("LARES_POOL_MAX", default=5, help="Most connections.")
    ratio: float = setting("LARES_RATIO", default=0.5, help="A share.")
    wide: bool = setting("LARES_WIDE", default=False, help="A switch.")
    mode: Literal["fast", "slow"] = setting("LARES_MODE", default="fast", help="A choice.")
    hosts: tuple[str, ...] = setting("LARES_HOSTS", default=(), help="A list.")
    note: str | None = setting("LARES_NOTE", default=None, help="Perhaps.")
    password: str = secret("db_password", help="The password.")
    api_key: str | None = secret("api_key", help="Perhaps a key.", optional=True)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "db_password").write_text("hunter2\n")
    return {"LARES_SECRETS_DIR": str(tmp_path), "LARES_BIND": "10.89.20.2"}


def test_values_are_read_and_typed(env: dict[str, str]) -> None:
    env |= {
        "LARES_POOL_MAX": "7",
        "LARES_RATIO": "0.25",
        "LARES_WIDE": "yes",
        "LARES_MODE": "slow",
        "LARES_HOSTS": "a, b,",
        "LARES_NOTE": "n",
        "LARES_HEARTBEAT": "/x/y",
    }
    settings = read(Settings, env)
    assert settings.pool_max == 7
    assert settings.ratio == 0.25
    assert settings.wide is True
    assert settings.mode == "slow"
    assert settings.hosts == ("a", "b")
    assert settings.note == "n"
    assert settings.heartbeat_path == Path("/x/y")
    assert settings.password == "hunter2"


def test_defaults_hold_where_nothing_or_an_empty_string_is_set(env: dict[str, str]) -> None:
    settings = read(Settings, {**env, "LARES_POOL_MAX": ""})
    assert (settings.pool_max, settings.wide, settings.note, settings.api_key) == (
        5,
        False,
        None,
        None,
    )


def test_a_missing_required_setting_is_named(env: dict[str, str]) -> None:
    del env["LARES_BIND"]
    with pytest.raises(SettingMissing, match="LARES_BIND"):
        read(Settings, env)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LARES_POOL_MAX", "many"),
        ("LARES_WIDE", "perhaps"),
        ("LARES_MODE", "other"),
        ("LARES_RATIO", "1,5"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_but_not_repeated(
    env: dict[str, str], variable: str, value: str
) -> None:
    with pytest.raises(SettingInvalid, match=variable) as raised:
        read(Settings, {**env, variable: value})
    assert value not in str(raised.value)


@pytest.mark.parametrize("content", [None, "", "  \n", "x" * 70_000])
def test_an_unusable_secret_is_named(
    env: dict[str, str], tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "db_password"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(SecretMissing, match="db_password"):
        read(Settings, env)


def test_an_optional_secret_that_is_present_but_empty_is_still_an_error(
    env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "api_key").write_text("")
    with pytest.raises(SecretMissing, match="api_key"):
        read(Settings, env)


def test_a_secret_never_shows_in_repr(env: dict[str, str]) -> None:
    assert "hunter2" not in repr(read(Settings, env))


def test_settings_cannot_be_changed(env: dict[str, str]) -> None:
    settings = read(Settings, env)
    with pytest.raises(AttributeError):
        settings.pool_max = 9  # type: ignore[misc]


def test_load_exits_with_a_coded_line_when_a_setting_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as raised:
        load(Settings, {})
    assert raised.value.code == 78
    line = json.loads(capsys.readouterr().err)
    assert line["code"] == "kit.setting_missing"
    assert "LARES_BIND" in line["reason"]


def test_describe_lists_inherited_and_own_settings_in_order() -> None:
    described = describe(Settings)
    assert list(described)[:2] == ["log_level", "heartbeat_path"]
    assert described["bind"].required
    assert not described["pool_max"].required
    assert described["password"].secret
