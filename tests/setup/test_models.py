"""`make models`: a file counts only when its checksum is right."""

import hashlib
import http.server
import importlib.util
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
GGUF = b"GGUF" + bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def models() -> ModuleType:
    spec = importlib.util.spec_from_file_location("models_setup", ROOT / "setup" / "models.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name.
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Hub(http.server.BaseHTTPRequestHandler):
    """A file server at home that knows ranges, and sometimes breaks off."""

    content = GGUF
    breaks_after: int | None = None
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("range")
        type(self).asked.append(wanted)
        if self.path.startswith("/gone"):
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(self.content):
            self.send_error(416)
            return
        body = self.content[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.breaks_after is None else body[: self.breaks_after])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.content, Hub.breaks_after, Hub.asked = GGUF, None, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def entry(models: ModuleType, url: str, content: bytes = GGUF) -> Any:
    return models.Entry(url, hashlib.sha256(content).hexdigest(), len(content), None)


def test_a_fetched_model_is_whole_and_readable_by_its_container(
    models: ModuleType, hub: str, tmp_path: Path
) -> None:
    path = models.fetch(entry(models, f"{hub}/good.gguf"), tmp_path)
    assert path.read_bytes() == GGUF
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_with_another_checksum_is_thrown_away(
    models: ModuleType, hub: str, tmp_path: Path
) -> None:
    Hub.content = GGUF[:-1] + b"!"
    with pytest.raises(SystemExit, match="models.checksum_differs"):
        models.fetch(entry(models, f"{hub}/bad.gguf"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_fetch_goes_on_where_it_stopped(
    models: ModuleType, hub: str, tmp_path: Path
) -> None:
    Hub.breaks_after = 300_000
    with pytest.raises(SystemExit, match="models.no_connection"):
        models.fetch(entry(models, f"{hub}/slow.gguf"), tmp_path)
    assert not (tmp_path / "slow.gguf").exists()
    Hub.breaks_after = None
    assert models.fetch(entry(models, f"{hub}/slow.gguf"), tmp_path).read_bytes() == GGUF
    assert Hub.asked[-1] == "bytes=300000-"


def test_a_model_that_is_here_is_not_fetched_again(
    models: ModuleType, hub: str, tmp_path: Path
) -> None:
    models.fetch(entry(models, f"{hub}/twice.gguf"), tmp_path)
    models.fetch(entry(models, f"{hub}/twice.gguf"), tmp_path)
    assert len(Hub.asked) == 1


def test_a_model_that_was_altered_here_is_fetched_again(
    models: ModuleType, hub: str, tmp_path: Path
) -> None:
    models.fetch(entry(models, f"{hub}/twice.gguf"), tmp_path).write_bytes(b"GGUF altered")
    assert models.fetch(entry(models, f"{hub}/twice.gguf"), tmp_path).read_bytes() == GGUF


def test_a_page_with_the_right_checksum_is_still_no_model(
    models: ModuleType, hub: str, tmp_path: Path
) -> None:
    Hub.content = b"<html>"
    with pytest.raises(SystemExit, match="models.not_gguf"):
        models.fetch(entry(models, f"{hub}/page.gguf", b"<html>"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example.org/a.gguf",
        "ftp://127.0.0.1/a.gguf",
        "file:///etc/passwd",
        "https:///a.gguf",
        "http://8.8.8.8/a.gguf",
    ],
)
def test_a_model_comes_by_https_or_from_home(models: ModuleType, tmp_path: Path, url: str) -> None:
    with pytest.raises(SystemExit, match="models.address_refused"):
        models.fetch(entry(models, url), tmp_path)


@pytest.mark.parametrize("name", ["..%2fevil.gguf", "a.sh", ".gguf", "a b.gguf", "", "x.gguf.part"])
def test_a_model_has_a_plain_name(models: ModuleType, hub: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit, match="models.name_refused"):
        models.fetch(entry(models, f"{hub}/{name}"), tmp_path)
    assert not Hub.asked


def test_no_checksum_no_fetch(models: ModuleType, hub: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="models.checksum_missing"):
        models.fetch(models.Entry(f"{hub}/a.gguf", "", None, None), tmp_path)
    assert not Hub.asked


def test_a_server_that_says_no_leaves_nothing_behind(
    models: ModuleType, hub: str, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="models.refused"):
        models.fetch(entry(models, f"{hub}/gone.gguf"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_a_connection_it_says_so_plainly(models: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="models.no_connection"):
        models.fetch(entry(models, "https://nowhere.invalid/a.gguf"), tmp_path)


def test_a_file_of_this_machine_can_be_added(models: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "mine.gguf"
    source.write_bytes(GGUF)
    (tmp_path / "models").mkdir()
    assert models.add(source, tmp_path / "models").read_bytes() == GGUF


def test_a_model_larger_than_the_disk_is_refused_before_it_is_fetched(
    models: ModuleType, hub: str, tmp_path: Path
) -> None:
    huge = models.Entry(f"{hub}/huge.gguf", "a" * 64, 10**15, None)
    with pytest.raises(SystemExit, match="models.disk_full"):
        models.fetch(huge, tmp_path)
    assert not Hub.asked


def test_every_model_of_the_catalogue_is_pinned() -> None:
    catalogue = tomllib.loads((ROOT / "inference" / "catalogue.toml").read_text())
    assert catalogue
    for name, model in catalogue.items():
        assert set(model) == {"about", "license", "url", "bytes", "sha256", "memory_mib"}, name
        assert model["url"].startswith("https://"), name
        # A fixed revision: `main` may become another file.
        assert "/resolve/main/" not in model["url"], name
        assert len(model["sha256"]) == 64, name
        assert model["memory_mib"] * 2**20 > model["bytes"], name


def test_a_key_is_kept_for_the_gateway_alone(
    models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("sk-very-secret\n"))
    path = models.store_key(tmp_path, "openai")
    assert path.read_text() == "sk-very-secret"
    assert path.name == "backend_openai_api_key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "sk-very-secret" not in capsys.readouterr().out


@pytest.mark.parametrize(("name", "key"), [("../x", "k"), ("", "k"), ("ok", ""), ("ok", "a\x00b")])
def test_a_key_that_cannot_be_one_is_refused(
    models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(key + "\n"))
    with pytest.raises(SystemExit, match="models.key"):
        models.store_key(tmp_path, name)
    assert not list(tmp_path.iterdir())
