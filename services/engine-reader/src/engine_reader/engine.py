"""Two questions to the engine, and no way to ask a third.

Whoever holds the engine's socket rules the host. So the paths are written here and not put together from anything
that comes in: the label of our own project, and an id that the engine itself gave and that is checked to be one.
"""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

from engine_reader.errors import EngineDenied, EngineUnavailable

PROJECT_LABEL = "com.docker.compose.project"
_ID = re.compile(r"^[0-9a-f]{64}$")
_PROJECT = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}$")
ANSWER_BYTES_MAX = 4 * 1024 * 1024
SECONDS_MAX = 3.0


class Engine:
    """The engine, as far as the reader may know it: the containers of one compose project."""

    def __init__(self, socket_path: Path, project: str) -> None:
        if not _PROJECT.match(project):
            raise ValueError(f"{project!r} is not a compose project")
        self._socket_path = str(socket_path)
        filters = json.dumps({"label": [f"{PROJECT_LABEL}={project}"]})
        self._list_path = f"/containers/json?all=1&filters={quote(filters)}"

    def containers(self) -> list[dict[str, Any]]:
        """Return the project's containers in brief. Raises EngineUnavailable, EngineDenied."""
        answer = self._get(self._list_path)
        if not isinstance(answer, list):
            raise EngineUnavailable("The engine's list of containers is not a list.")
        return answer

    def inspect(self, container_id: str) -> dict[str, Any] | None:
        """Return one container in full, or None when it is gone. Raises EngineUnavailable, EngineDenied."""
        if not _ID.match(container_id):
            raise ValueError("not a container id")
        answer = self._get(f"/containers/{container_id}/json")
        return answer if isinstance(answer, dict) else None

    def _get(self, path: str) -> Any:
        """Ask with HTTP/1.0: the engine answers whole and hangs up, so that nothing has to be parsed but a status."""
        request = f"GET {path} HTTP/1.0\r\nHost: engine\r\n\r\n".encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(SECONDS_MAX)
                connection.connect(self._socket_path)
                connection.sendall(request)
                answer = _read(connection)
        except PermissionError:
            raise EngineDenied() from None
        except OSError as error:
            raise EngineUnavailable(
                f"The engine does not answer: {type(error).__name__}."
            ) from None
        head, _, body = answer.partition(b"\r\n\r\n")
        status = head.split(b" ", 2)[1:2]
        if status == [b"404"]:
            return None
        if status != [b"200"]:
            raise EngineUnavailable("The engine refused the question.")
        try:
            return json.loads(body)
        except ValueError:
            raise EngineUnavailable("The engine's answer is cut off.") from None


def _read(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := connection.recv(65536):
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise EngineUnavailable("The engine's answer is larger than is taken.")
        parts.append(part)
    return b"".join(parts)
