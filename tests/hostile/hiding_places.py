"""Every place of a running house where a word could have been left: read from the machine, as root can."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.conftest import Stack

COMMAND_SECONDS_MAX = 120


def run(*command: str, check: bool = True) -> bytes:
    """Run a command and return what it wrote, errors included."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert not check or done.returncode == 0, f"{command[:4]}: {done.stdout[-500:]!r}"
    return done.stdout


class HidingPlaces:
    """The running stack, searched from outside."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        label = f"label=com.docker.compose.project={stack.project}"
        listed = run("docker", "ps", "-a", "--filter", label, "--format", "{{.Names}}").decode()
        self.containers = sorted(listed.split())
        assert len(self.containers) >= 15, self.containers

    def logs(self) -> Iterator[tuple[str, bytes]]:
        """What every container wrote, the finished ones too."""
        for name in self.containers:
            yield f"log of {name}", run("docker", "logs", name)

    def engine(self) -> Iterator[tuple[str, bytes]]:
        """What the engine tells of every container: environment, labels, health output."""
        for name in self.containers:
            yield f"inspect of {name}", run("docker", "inspect", name)

    def processes(self) -> Iterator[tuple[str, bytes]]:
        """Every process's command line and environment."""
        for name in self.containers:
            top = run("docker", "top", name, "-eo", "pid", check=False).decode().split()
            for pid in (word for word in top if word.isdigit()):
                for part in ("cmdline", "environ"):
                    try:
                        content = Path(f"/proc/{pid}/{part}").read_bytes()
                    except OSError:
                        continue  # it ended meanwhile
                    yield f"{part} of {name}", content

    def scratch(self) -> Iterator[tuple[str, bytes]]:
        """What lies in the writable places of every running container: the tmpfs under /tmp, /run and /dev/shm."""
        for name in self.containers:
            pid = run("docker", "inspect", "-f", "{{.State.Pid}}", name).decode().strip()
            if pid == "0":
                continue
            for folder in ("tmp", "run", "dev/shm"):
                for path in Path(f"/proc/{pid}/root/{folder}").rglob("*"):
                    if path.is_file() and not path.is_symlink() and "secrets" not in path.parts:
                        yield (
                            f"{path.relative_to(f'/proc/{pid}/root')} of {name}",
                            path.read_bytes(),
                        )

    def metrics(self) -> Iterator[tuple[str, bytes]]:
        """Every metric name and label that the services with an address give out."""
        script = (
            "import os,urllib.request as u;"
            "print(u.urlopen('http://'+os.environ['LARES_BIND']+':8000/metrics',timeout=5).read().decode())"
        )
        for service in ("memory", "orchestrator", "dashboard", "model-gateway", "mcp-gateway"):
            yield (
                f"metrics of {service}",
                run("docker", "exec", self.stack.container(service), "python", "-c", script),
            )

    def dump(self, database: str) -> bytes:
        """A whole database as text, as the superuser sees it."""
        container = self.stack.container("postgres")
        address = ("-h", "/run/postgresql", "-U", "postgres")
        return run("docker", "exec", container, "pg_dump", *address, "--inserts", database)

    def ask(self, database: str, query: str) -> str:
        """One value from a database, as the superuser."""
        container = self.stack.container("postgres")
        address = ("-h", "/run/postgresql", "-U", "postgres", "-d", database)
        said = run("docker", "exec", container, "psql", *address, "-Atq", "-c", query)
        return said.decode().strip()

    def postgres_files_with(self, *words: str) -> list[str]:
        """The files of the cluster that hold one of the words: heap, indexes, TOAST, write-ahead log, statistics."""
        container = self.stack.container("postgres")
        patterns = [part for word in words for part in ("-e", word)]
        found = run(
            *("docker", "exec", container, "grep", "-rlaF", *patterns, "/var/lib/postgresql/data"),
            check=False,
        )
        return [line for line in found.decode().splitlines() if line.startswith("/")]

    def postgres_folder(self, folder: str) -> bytes:
        """A folder of the cluster's files, one after the other."""
        return run(
            "docker", "exec", self.stack.container("postgres"), "tar", "-C", folder, "-c", "."
        )

    def valkey_files(self) -> Iterator[tuple[str, bytes]]:
        """Valkey's append-only files as they lie on the disk."""
        archive = run("docker", "cp", f"{self.stack.container('valkey')}:/data", "-")
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            for member in files:
                content = files.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield f"valkey's {member.name}", content.read()

    def nightly_files(self) -> Iterator[tuple[str, bytes]]:
        """The Markdown files that the consolidator writes, as they lie on their volume."""
        container = self.stack.container("consolidator")
        archive = run("docker", "cp", f"{container}:/var/lib/lares/memory", "-")
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            for member in files:
                content = files.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield f"nightly file {member.name}", content.read()

    def valkey_entries(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        """Every key and value, from a stolen copy of Valkey's disk opened with rights of the thief's own.

        The base file is compressed, so that looking for a word in it proves nothing: the thief's server unpacks it.
        """
        password = "thief"
        hashed = hashlib.sha256(password.encode()).hexdigest()
        users = folder / "users.acl"
        users.write_text(
            f"user default off resetpass ~* &* +@all\nuser thief on #{hashed} ~* &* +@all\n"
        )
        image = (
            run("docker", "inspect", "-f", "{{.Image}}", self.stack.container("valkey"))
            .decode()
            .strip()
        )
        archive = run("docker", "cp", "-a", f"{self.stack.container('valkey')}:/data", "-")
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            # With its owner, which only root can: the thief's server must be able to read it.
            # Debian 12's Python knows no filters yet; the archive is the engine's own.
            safely = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
            files.extractall(folder, numeric_owner=True, **safely)
        created = run(
            *("docker", "run", "-d", "-e", "LARES_BIND=0.0.0.0", "-p", "127.0.0.1::6379"),
            *("--tmpfs", "/run/valkey:uid=10021,mode=0700", "-v", f"{folder}/data:/data"),
            *("-v", f"{users}:/run/secrets/users.acl:ro", image),
        )
        thief = created.decode().strip()
        try:
            yield from _entries(thief, password)
        finally:
            run("docker", "rm", "-f", "-v", thief)


def _entries(container: str, password: str) -> Iterator[tuple[str, bytes]]:
    published = run("docker", "port", container, "6379").decode().split()[0]
    host, _, port = published.rpartition(":")
    client = Redis(host=host, port=int(port), username="thief", password=password, protocol=2)
    deadline = time.monotonic() + 30
    while True:
        try:
            client.ping()
            break
        except RedisError:
            assert time.monotonic() < deadline, run("docker", "logs", container).decode()
            time.sleep(0.2)
    reading = {
        b"string": ("GET",),
        b"list": ("LRANGE", 0, -1),
        b"set": ("SMEMBERS",),
        b"zset": ("ZRANGE", 0, -1),
        b"hash": ("HGETALL",),
        b"stream": ("XRANGE", "-", "+"),
    }
    for key in client.scan_iter():
        verb, *rest = reading[client.type(key)]
        yield (
            f"valkey's {key.decode()}",
            key + repr(client.execute_command(verb, key, *rest)).encode(),
        )
    client.close()
