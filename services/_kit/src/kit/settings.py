"""Settings read once, typed and frozen. Each knows its variable, its default and its help, and docs/settings.md lists it.

@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings):
    pool_max: int = setting("LARES_POOL_MAX", default=5, help="Most connections to Postgres.")
    db_password: str = secret("db_password", help="Password of the login role.")

settings = load(Settings)
"""

import dataclasses
import os
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kit import logs
from kit.errors import KitError

log = logs.get(__name__)

SECRETS_DIR_VARIABLE = "LARES_SECRETS_DIR"
SECRETS_DIR = "/run/secrets"
SECRET_BYTES_MAX = 64 * 1024
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h
T = TypeVar("T")


class SettingMissing(KitError):
    code = "kit.setting_missing"
    status = 500
    reason = "A setting without a default is not set."
    fix = "Set the variable that the reason names in compose, see docs/settings.md."


class SettingInvalid(KitError):
    code = "kit.setting_invalid"
    status = 500
    reason = "A setting's value cannot be used."
    fix = "Correct the variable that the reason names, see docs/settings.md."


class SecretMissing(KitError):
    code = "kit.secret_missing"
    status = 500
    reason = "A secret's file is absent, unreadable or empty."
    fix = "Run `make up`: it makes missing secrets and gives each file to its service's user."


@dataclass(frozen=True)
class Described:
    """What docs/settings.md says of one field."""

    env: str
    help: str
    secret: bool
    required: bool
    default: Any


def setting(env: str, *, help: str, default: Any = dataclasses.MISSING) -> Any:
    """Declare a field that is read from the environment variable `env`. Without a default it is required."""
    described = Described(env, help, False, default is dataclasses.MISSING, default)
    metadata = {"lares": described}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def secret(name: str, *, help: str, optional: bool = False) -> Any:
    """Declare a field that is read from the file `/run/secrets/<name>`. It never appears in repr, logs or docs."""
    metadata = {"lares": Described(name, help, True, not optional, None)}
    if optional:
        return dataclasses.field(default=None, repr=False, metadata=metadata)
    return dataclasses.field(repr=False, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """What every process of the house has."""

    log_level: str = setting(
        "LARES_LOG_LEVEL",
        default="INFO",
        help="Least level that is logged: DEBUG, INFO, WARNING or ERROR.",
    )
    heartbeat_path: Path = setting(
        "LARES_HEARTBEAT",
        default=Path("/run/lares/heartbeat"),
        help="File touched while the service is ready; the healthcheck reads its age.",
    )


@dataclass(frozen=True, kw_only=True)
class HttpSettings(CommonSettings):
    """What every HTTP service has."""

    bind: str = setting(
        "LARES_BIND",
        help="The service's own address on the network that bears its name. Never every address.",
    )
    port: int = setting("LARES_PORT", default=8000, help="Port to listen on.")
    body_bytes_max: int = setting(
        "LARES_BODY_BYTES_MAX", default=1024 * 1024, help="Largest request body that is taken."
    )
    connections_max: int = setting(
        "LARES_CONNECTIONS_MAX",
        default=256,
        help="Most connections served at once; more are answered 503.",
    )
    stop_seconds: int = setting(
        "LARES_STOP_SECONDS", default=8, help="How long running requests may finish after SIGTERM."
    )


def describe(cls: type) -> dict[str, Described]:
    """Return the declared settings of a Settings class, by field name, in order."""
    return {
        field.name: field.metadata["lares"]
        for field in dataclasses.fields(cls)
        if "lares" in field.metadata
    }


def read(cls: type[T], env: Mapping[str, str] | None = None) -> T:
    """Return `cls` filled from `env` and the secret files. Raises SettingMissing, SettingInvalid or SecretMissing."""
    source = os.environ if env is None else env
    secrets_dir = Path(source.get(SECRETS_DIR_VARIABLE, SECRETS_DIR))
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, described in describe(cls).items():
        if described.secret:
            values[name] = _read_secret(secrets_dir / described.env, described)
            continue
        raw = source.get(described.env, "")
        # Compose writes an unset variable as an empty string: both mean "not set".
        if raw != "":
            values[name] = _convert(described.env, raw, hints[name])
        elif described.required:
            raise SettingMissing(f"{described.env} is not set ({described.help})")
    return cls(**values)


def load(cls: type[T], env: Mapping[str, str] | None = None) -> T:
    """Like `read`, for a service's start: a bad setting is logged with its code and the process exits with 78."""
    try:
        return read(cls, env)
    except KitError as error:
        logs.setup(cls.__module__.split(".")[0], stream=sys.stderr)
        log.error("settings.refused", code=error.code, reason=error.reason, fix=error.fix)
        raise SystemExit(EXIT_CONFIG) from error


def _read_secret(path: Path, described: Described) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        if not described.required and isinstance(error, FileNotFoundError):
            return None
        raise SecretMissing(f"{path}: {error.strerror}") from error
    if not content.strip() or len(content) > SECRET_BYTES_MAX:
        raise SecretMissing(f"{path} is empty or larger than {SECRET_BYTES_MAX} bytes")
    return content.decode().strip()


def _convert(variable: str, raw: str, hint: Any) -> Any:
    try:
        return _converted(raw, hint)
    except ValueError as error:
        # The value itself may be personal (an address, a name): only the variable is named.
        raise SettingInvalid(
            f"{variable} is not a valid {getattr(hint, '__name__', hint)}"
        ) from error


def _converted(raw: str, hint: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _converted(raw, next(arg for arg in args if arg is not type(None)))
    if origin is typing.Literal:
        if raw not in args:
            raise ValueError(raw)
        return raw
    if origin is tuple:
        return tuple(_converted(part.strip(), args[0]) for part in raw.split(",") if part.strip())
    if hint is bool:
        if raw.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ValueError(raw)
        return raw.lower() in ("true", "1", "yes")
    if hint in (str, int, float, Path):
        return hint(raw)
    raise TypeError(f"a setting cannot have the type {hint}")
