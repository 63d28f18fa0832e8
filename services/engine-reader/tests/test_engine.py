"""The two questions, asked of a socket that records every byte it is sent."""

import json
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from engine_reader.engine import ANSWER_BYTES_MAX, Engine
from engine_reader.errors import EngineUnavailable

ID = "a" * 64


@dataclass
class RecordingEngine:
    """Speaks HTTP on a Unix socket as the engine does: answers whole and hangs up."""

    path: Path
    answers: list[bytes]
    asked: list[bytes] = field(default_factory=list)

    def serve(self) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            listener.listen()
            self.ready.set()
            for answer in self.answers:
                connection, _ = listener.accept()
                with connection:
                    self.asked.append(connection.recv(4096))
                    try:
                        connection.sendall(answer)
                    except OSError:
                        pass  # the reader hung up on too long an answer

    def __post_init__(self) -> None:
        self.ready = threading.Event()


@pytest.fixture
def recording(tmp_path: Path) -> RecordingEngine:
    return RecordingEngine(tmp_path / "engine.sock", [])


def start(engine: RecordingEngine, *bodies: bytes, status: str = "200 OK") -> Engine:
    engine.answers = [f"HTTP/1.0 {status}\r\nX: y\r\n\r\n".encode() + body for body in bodies]
    threading.Thread(target=engine.serve, daemon=True).start()
    assert engine.ready.wait(5)
    return Engine(engine.path, "lares-test")


def test_only_containers_of_the_own_project_are_asked_for(recording: RecordingEngine) -> None:
    assert start(recording, b"[]").containers() == []
    line = recording.asked[0].split(b"\r\n")[0]
    assert line.startswith(b"GET /containers/json?all=1&filters=")
    assert b"com.docker.compose.project%3Dlares-test" in line


def test_a_container_that_is_gone_is_none(recording: RecordingEngine) -> None:
    assert start(recording, b"{}", status="404 Not Found").inspect(ID) is None


@pytest.mark.parametrize(
    "forged",
    ["", "../images/json", ID[:-1], ID + "/stop", ID.upper(), "a" * 63 + "\n", f"{ID}\r\nPOST /x"],
)
def test_nothing_but_an_id_is_ever_put_into_a_question(forged: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a container id"):
        Engine(tmp_path / "absent.sock", "lares").inspect(forged)


@pytest.mark.parametrize("project", ["", "a b", 'x"]}', "-x", "A"])
def test_a_project_cannot_widen_the_filter(project: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a compose project"):
        Engine(tmp_path / "absent.sock", project)


def test_an_absent_engine_is_a_coded_error(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable):
        Engine(tmp_path / "absent.sock", "lares").containers()


@pytest.mark.parametrize("body", [b'[{"Id": ', b"{}", b"<html>"])
def test_an_answer_that_makes_no_sense_is_a_coded_error(
    recording: RecordingEngine, body: bytes
) -> None:
    with pytest.raises(EngineUnavailable):
        start(recording, body).containers()


def test_an_answer_without_end_is_hung_up_on(recording: RecordingEngine) -> None:
    engine = start(recording, json.dumps(["x" * (ANSWER_BYTES_MAX + 1)]).encode())
    with pytest.raises(EngineUnavailable, match="larger than is taken"):
        engine.containers()
