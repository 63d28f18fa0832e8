"""JSON lines on stdout: an event name, typed fields, the trace id. Never a person's text.

Messages of exceptions are left out on purpose: Postgres puts row values into them and pydantic what was typed.
Their type, their code and where they were raised stay.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

from kit import trace

VALUE_CHARS_MAX = 500
FRAMES_MAX = 12
_RESERVED = {"time", "level", "service", "logger", "event", "trace_id", "span_id"}


class Logger:
    """A named logger: `log.info("memory.remembered", memory_id=id)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        """Record detail that is off by default."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Record what happened as it should."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Record what was survived."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Record what was lost or refused."""
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, error: BaseException, **fields: Any) -> None:
        """Record `error`: its type, its code if it has one, and the frames it came through, without its message."""
        self._write(logging.ERROR, event, {**describe(error), **fields})

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"lares_fields": fields})


def get(name: str) -> Logger:
    """Return the logger of a module: `log = logs.get(__name__)`."""
    return Logger(name)


def describe(error: BaseException) -> dict[str, Any]:
    """Return what may be said of an error in a log."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    said: dict[str, Any] = {
        "error_type": f"{type(error).__module__}.{type(error).__qualname__}",
        "frames": [
            f"{'/'.join(frame.filename.rsplit('/', 2)[-2:])}:{frame.lineno} {frame.name}"
            for frame in frames
        ],
    }
    if code := getattr(error, "code", None):
        said["code"] = str(code)
    if isinstance(error, OSError) and error.strerror:
        said["os_error"] = error.strerror
    return said


class JsonFormatter(logging.Formatter):
    """One line of JSON per record."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "event": "",
        }
        here = trace.current()
        if here:
            line["trace_id"], line["span_id"] = here.trace_id, here.span_id
        own = getattr(record, "lares_fields", None)
        if own is None:
            # A library's record: its template's first line, never the arguments, which may hold a person's text.
            line["event"] = "library"
            line["template"] = (str(record.msg).splitlines() or [""])[0][:VALUE_CHARS_MAX]
            if record.exc_info and record.exc_info[1]:
                line.update(describe(record.exc_info[1]))
        else:
            line["event"] = str(record.msg)
            for key, value in own.items():
                line[f"{key}_" if key in _RESERVED else key] = _bounded(value)
        return json.dumps(
            line,
            ensure_ascii=False,
            separators=(",", ":"),
            default=lambda other: _bounded(str(other)),
        )


def _bounded(value: Any) -> Any:
    if isinstance(value, str) and len(value) > VALUE_CHARS_MAX:
        return value[:VALUE_CHARS_MAX] + "..."
    return value


def service_name() -> str | None:
    """Return the name under which this process logs, once `setup` has said it."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter):
            return handler.formatter.service
    return None


def setup(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every record of this process to stdout (or `stream`) as JSON. Libraries speak from WARNING upwards."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in (
        "uvicorn",
        "uvicorn.error",
        "httpx",
        "httpcore",
        "asyncio",
        "celery",
        "redis",
        "mcp",
        "fastmcp",
    ):
        library = logging.getLogger(noisy)
        library.handlers[:] = []
        library.propagate = True
        library.setLevel(logging.WARNING)
