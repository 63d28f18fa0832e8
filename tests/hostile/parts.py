"""The edge alone on loopback: our own programs as their containers start them, and recorders behind them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml
from kit.testing.ports import free_port

from tests.hostile.house import HOST, House

ROOT = Path(__file__).resolve().parents[2]


class Listener(ThreadingHTTPServer):
    """Attacks break off in the middle; that is no news."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


class Recorder:
    """Stands where a front service stands, keeps what arrives, and can stream."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length) if length else b""
                recorder.seen.append(
                    {
                        "method": self.command,
                        "path": self.path,
                        "headers": [(k.lower(), v) for k, v in self.headers.items()],
                        "body": body,
                    }
                )
                if self.headers.get("upgrade", "").lower() == "websocket":
                    self.send_response(101)
                    self.send_header("upgrade", "websocket")
                    self.send_header("connection", "Upgrade")
                    self.end_headers()
                    self.close_connection = True
                    return
                said = json.dumps({"path": self.path}).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer

            def log_message(self, *_: Any) -> None:
                return

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def last(self) -> dict[str, Any]:
        return self.seen[-1]

    def headers(self) -> dict[str, str]:
        return dict(self.last()["headers"])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Process:
    """One of our programs, started as its container would start it."""

    def __init__(self, name: str, argv: list[str], env: dict[str, str], folder: Path) -> None:
        self.name, self.argv, self.env = name, argv, env
        self.log = folder / f"{name}.log"
        self.running: subprocess.Popen[bytes] | None = None

    def start(self, url: str | None = None) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.argv, env=self.env, stdout=log, stderr=log, cwd=ROOT
            )
        if url:
            wait_for(lambda: httpx.get(url, timeout=1, trust_env=False).status_code == 200, self)

    def stop(self) -> None:
        if self.running and self.running.poll() is None:
            self.running.terminate()
            try:
                self.running.wait(15)
            except subprocess.TimeoutExpired:
                self.running.kill()
        self.running = None

    def kill(self) -> None:
        assert self.running
        self.running.kill()
        self.running.wait(30)


def wait_for(ready: Callable[[], bool], process: Process, seconds: float = 30) -> None:
    """Return when `ready`; fail with the process's log after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError, OSError):
            if ready():
                return
        assert process.running is not None
        assert process.running.poll() is None, process.log.read_text()
        time.sleep(0.1)
    raise AssertionError(process.log.read_text())


class Parts:
    """The edge on loopback: Postgres, identity, forward-auth, Caddy, and recorders behind it."""

    def __init__(self, postgres: Any, folder: Path) -> None:
        from kit.testing.callers import make_keys

        self.postgres, self.folder = postgres, folder
        self.dashboard, self.mcp, self.gpu = Recorder(), Recorder(), Recorder()
        self.port, self.http_port = free_port(), free_port()
        self.identity_port, self.forward_auth_port = free_port(), free_port()
        self.setup_token = secrets.token_urlsafe(32)
        private, self.public_key = make_keys()
        self._secrets(
            "identity",
            db_password=postgres.password("svc_identity"),
            django_secret_key=secrets.token_urlsafe(50),
            setup_token=self.setup_token,
        )
        self._secrets(
            "forward-auth",
            db_password=postgres.password("svc_forward_auth"),
            caller_signing_key=private,
        )
        self.policy = self._policy()
        (folder / "www" / "assets").mkdir(parents=True)
        (folder / "www" / "index.html").write_text("<!doctype html><title>Lares</title>")
        (folder / "www" / "assets" / "a-1.js").write_text("0")
        self.identity = self._python("identity", "identity", self.identity_port)
        self.forward_auth = self._python("forward-auth", "forward_auth", self.forward_auth_port)
        self.caddy = Process("caddy", self._caddy_argv(), self._caddy_env(), folder)

    def _policy(self) -> Path:
        """The house's own policy, with one path of each kind put before it."""
        document = yaml.safe_load((ROOT / "edge" / "policy.yaml").read_text())
        document["rules"][:0] = [
            {"name": "open", "paths": ["/api/open"], "require": "public"},
            {"name": "vault", "paths": ["/api/vault"], "require": "two_factor"},
            {"name": "never", "paths": ["/api/never"], "require": "deny"},
        ]
        path = self.folder / "policy.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def _secrets(self, service: str, **values: str) -> None:
        where = self.folder / service
        where.mkdir()
        for name, value in values.items():
            (where / name).write_text(value)

    def _python(self, service: str, module: str, port: int) -> Process:
        house = [ROOT / "services" / s / "src" for s in (service, "_kit", "_contracts")]
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(path) for path in house),
            "LARES_SECRETS_DIR": str(self.folder / service),
            "LARES_BIND": "127.0.0.1",
            "LARES_PORT": str(port),
            "LARES_HOST": HOST,
            "LARES_HTTPS_PORT": str(self.port),
            "LARES_CADDY_ADDRESS": "127.0.0.1",
            "LARES_POSTGRES_HOST": self.postgres.host,
            "LARES_POSTGRES_PORT": str(self.postgres.port),
            "LARES_POLICY_FILE": str(self.policy),
            "LARES_HEARTBEAT": str(self.folder / f"{service}.heartbeat"),
        }
        return Process(service, [sys.executable, "-m", module], env, self.folder)

    def _caddy_argv(self) -> list[str]:
        binary = Path(sys.executable).with_name("caddy")
        config = ROOT / "edge" / "caddy" / "Caddyfile"
        return [str(binary), "run", "--config", str(config), "--adapter", "caddyfile"]

    def _caddy_env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "LARES_BIND": "127.0.0.1",
            "LARES_HOST": HOST,
            "LARES_HTTPS_PORT": str(self.port),
            "LARES_CADDY_HTTPS_PORT": str(self.port),
            "LARES_CADDY_HTTP_PORT": str(self.http_port),
            "LARES_IDENTITY_URL": f"http://127.0.0.1:{self.identity_port}",
            "LARES_FORWARD_AUTH_URL": f"http://127.0.0.1:{self.forward_auth_port}",
            "LARES_DASHBOARD_URL": self.dashboard.url,
            "LARES_MCP_GATEWAY_URL": self.mcp.url,
            "LARES_GPU_SCHEDULER_URL": self.gpu.url,
            "LARES_WWW": str(self.folder / "www"),
        }

    def start(self) -> House:
        """Start everything and return the house."""
        self.identity.start(f"http://127.0.0.1:{self.identity_port}/readyz")
        self.forward_auth.start(f"http://127.0.0.1:{self.forward_auth_port}/readyz")
        self.caddy.start()
        certificate = f"http://127.0.0.1:{self.http_port}/lares-ca.crt"
        headers = {"host": f"{HOST}:{self.http_port}"}

        def authority() -> httpx.Response:
            return httpx.get(certificate, headers=headers, timeout=1, trust_env=False)

        wait_for(lambda: authority().status_code == 200, self.caddy)
        tls = ssl.create_default_context(cadata=authority().text)
        return House(self.port, self.http_port, tls, self.command, self)

    def command(self, *arguments: str) -> str:
        """Run one of identity's commands, as on the machine."""
        done = subprocess.run(
            [*self.identity.argv, *arguments],
            env=self.identity.env,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def stop(self) -> None:
        for part in (self.caddy, self.forward_auth, self.identity):
            part.stop()
        for recorder in (self.dashboard, self.mcp, self.gpu):
            recorder.close()


@contextlib.contextmanager
def local_house(postgres: Any, folder: Path) -> Iterator[House]:
    """The edge on loopback for the length of a block."""
    parts = Parts(postgres, folder)
    try:
        yield parts.start()
    finally:
        parts.stop()
