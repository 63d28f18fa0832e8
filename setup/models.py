"""Better chat models for this house: list them, fetch one and check it. Standard library only.

    models.py STATE list
    models.py STATE fetch NAME
    models.py STATE fetch-url URL SHA256
    models.py STATE add FILE
    models.py STATE key NAME            (reads the key from the terminal or stdin)

A file counts only when its sha256 is the expected one: until then it bears the name `.part` and nobody loads it.
"""

from __future__ import annotations

import getpass
import hashlib
import ipaddress
import os
import re
import shutil
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "inference" / "catalogue.toml"
GGUF_MAGIC = b"GGUF"
BYTES_MAX = 200 * 10**9
FREE_BYTES_LEFT = 2 * 10**9
BLOCK_BYTES = 1 << 20
SILENCE_SECONDS_MAX = 60
GATEWAY_UID = 10040
KEY_CHARS_MAX = 4096
_FILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,150}\.gguf$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_KEY_NAME = re.compile(r"^[a-z0-9_]{1,48}$")


@dataclass(frozen=True)
class Entry:
    """A model that can be fetched."""

    url: str
    sha256: str
    bytes: int | None
    memory_mib: int | None

    @property
    def file_name(self) -> str:
        """The file's own name. Fails unless it is a plain name that ends with .gguf."""
        name = unquote(urlsplit(self.url).path.rsplit("/", 1)[-1])
        if not _FILE_NAME.match(name):
            fail(
                "models.name_refused",
                f"{name!r} is not the plain name of a .gguf file",
                "choose the address of one GGUF file",
            )
        return name


def fail(code: str, what: str, fix: str) -> NoReturn:
    """Say what is wrong as set-up does, and end."""
    raise SystemExit(f"\nERROR {code}: {what}\n  What to do: {fix}")


def read_catalogue(path: Path = CATALOGUE) -> dict[str, Any]:
    """Return the catalogue's entries by name."""
    return tomllib.loads(path.read_text())


def digest(path: Path) -> str:
    """Return the file's sha256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_address(url: str) -> None:
    """Fail unless `url` is https, or http to an address at home, where the checksum alone protects the file."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and _at_home(parts.hostname):
        return
    fail(
        "models.address_refused",
        f"{url} is neither https nor an address of this house",
        "use an https address",
    )


def _at_home(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host.endswith((".local", ".lan", ".home.arpa")) or "." not in host


def fetch(entry: Entry, folder: Path) -> Path:
    """Return the checked file in `folder`, fetched unless it is there already. An interrupted fetch goes on."""
    check_address(entry.url)
    if not _SHA256.match(entry.sha256):
        fail(
            "models.checksum_missing",
            "SHA256 is not 64 hex digits",
            "copy the checksum that the file's owner publishes",
        )
    target = folder / entry.file_name
    if target.exists() and digest(target) == entry.sha256:
        print(f"{target.name} is here already, and whole.")
        return target
    part = target.with_suffix(".part")
    _check_room(folder, (entry.bytes or 0) - (part.stat().st_size if part.exists() else 0))
    try:
        _download(entry, part)
    except (urllib.error.URLError, OSError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        fail(
            "models.no_connection",
            f"the model could not be fetched from {urlsplit(entry.url).hostname}: {reason}",
            "connect it to the internet, or fetch the file elsewhere and run: make models FILE=/path/to/model.gguf",
        )
    return _accept(part, target, entry.sha256)


def _download(entry: Entry, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(entry.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=SILENCE_SECONDS_MAX)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # Nothing is left to fetch; the checksum says whether that is right.
            return
        part.unlink(missing_ok=True)
        fail(
            "models.refused",
            f"the server answered {error.code}",
            "check the address in a browser; the model may have moved",
        )
    with answer:
        resumed = answer.status == 206
        total = (have if resumed else 0) + int(answer.headers.get("content-length") or 0)
        _check_room(part.parent, total - have)
        with part.open("ab" if resumed else "wb") as file:
            _copy(answer, file, have if resumed else 0, total)


def _copy(source: BinaryIO, file: BinaryIO, done: int, total: int) -> None:
    shown = -1
    while block := source.read(BLOCK_BYTES):
        done += len(block)
        if done > BYTES_MAX:
            fail(
                "models.too_large",
                f"the file is larger than {BYTES_MAX >> 30} GiB",
                "choose a smaller model",
            )
        file.write(block)
        percent = done * 100 // total if total else 0
        if percent != shown and percent % 5 == 0:
            print(f"  {percent:3d} %  {done >> 20} MiB", flush=True)
            shown = percent
    file.flush()
    os.fsync(file.fileno())
    if done < total:
        # What came is kept: the next run asks for the rest.
        raise ConnectionError(
            f"the connection broke off after {done >> 20} MiB; run it again to go on"
        )


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + FREE_BYTES_LEFT > free:
        fail(
            "models.disk_full",
            f"{needed >> 20} MiB are needed and {free >> 20} MiB are free",
            "make room, or choose a smaller model",
        )


def _accept(part: Path, target: Path, sha256: str) -> Path:
    with part.open("rb") as file:
        magic = file.read(len(GGUF_MAGIC))
    found = digest(part)
    if found != sha256:
        part.unlink()
        fail(
            "models.checksum_differs",
            f"the file's sha256 is {found} and not {sha256}; it was thrown away",
            "try again; if it differs again, do not use that source",
        )
    if magic != GGUF_MAGIC:
        part.unlink()
        fail("models.not_gguf", "the file is not a GGUF model", "choose a model in GGUF format")
    part.chmod(0o644)
    part.rename(target)
    return target


def add(source: Path, folder: Path) -> Path:
    """Copy a GGUF file that is on this machine already, and say its checksum."""
    if not _FILE_NAME.match(source.name) or not source.is_file():
        fail(
            "models.file_missing",
            f"{source} is not a .gguf file with a plain name",
            "give the path of one GGUF file",
        )
    _check_room(folder, source.stat().st_size)
    part = (folder / source.name).with_suffix(".part")
    shutil.copyfile(source, part)
    sha256 = digest(source)
    print(
        f"sha256 {sha256} (learned from the file itself: compare it with what its owner publishes)"
    )
    return _accept(part, folder / source.name, sha256)


def memory_needed(path: Path, known_mib: int | None) -> int:
    """Return the MiB that local-llm should be allowed with this model."""
    # Weights once, a context's cache and buffers: a fifth of the weights and 400 MiB is above what was measured.
    return known_mib or int(path.stat().st_size * 1.2 / 2**20) + 400


def explain(path: Path, memory_mib: int) -> None:
    """Say how to use the model."""
    print(f"\n{path.name} is ready. To use it, run:\n")
    print(
        f"  make up LARES_MODEL_PATH=/models/extra/{path.name} LARES_LOCAL_LLM_MEMORY={memory_mib}m\n"
    )
    print(
        "The choice is recorded; LARES_MODEL_PATH=/models/default.gguf goes back to the small model."
    )


def show(catalogue: dict[str, Any], folder: Path) -> None:
    """List what can be fetched and what is here."""
    print("Better models to fetch: make models NAME=...\n")
    for name, entry in catalogue.items():
        print(
            f"  {name:14} {entry['bytes'] / 1e9:4.1f} GB, needs {entry['memory_mib'] / 1024:.1f} GiB of memory. {entry['about']}. {entry['license']}"
        )
    print(
        "\nAny other GGUF: make models URL=https://... SHA256=..., or make models FILE=/path/to/model.gguf\n"
    )
    here = sorted(folder.glob("*.gguf"))
    print(
        "Here already: "
        + (
            ", ".join(path.name for path in here)
            if here
            else "only the small model inside the image"
        )
    )
    for path in _left_over(folder):
        print(
            f"Unfinished: {path.name} ({path.stat().st_size >> 20} MiB); the same command goes on with it"
        )


def _left_over(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*.part"))


def store_key(state: Path, name: str) -> Path:
    """Keep a provider's key as model-gateway's secret `backend_<name>_api_key`. It is never printed."""
    if not _KEY_NAME.match(name):
        fail(
            "models.key_name",
            f"{name!r} is not lower-case letters, digits and _",
            "choose a name like `openai`",
        )
    key = (
        getpass.getpass(f"Key of {name} (not shown): ")
        if sys.stdin.isatty()
        else sys.stdin.readline()
    ).strip()
    if not key or len(key) > KEY_CHARS_MAX or not key.isprintable():
        fail(
            "models.key_unusable",
            "no key was given, or it is not one line of text",
            "paste the key that the provider shows",
        )
    folder = state / "secrets" / "model-gateway"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"backend_{name}_api_key"
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(key)
    if os.geteuid() == 0:
        os.chown(folder, GATEWAY_UID, GATEWAY_UID)
        os.chown(new, GATEWAY_UID, GATEWAY_UID)
    new.rename(path)
    return path


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    state, verb, *rest = Path(arguments[0]), arguments[1], *arguments[2:]
    folder = state / "models"
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    catalogue = read_catalogue()
    if verb == "list":
        show(catalogue, folder)
    elif verb == "fetch":
        known = catalogue.get(rest[0])
        if known is None:
            fail(
                "models.unknown",
                f"the catalogue has no {rest[0]!r}",
                "run make models to see what there is",
            )
        entry = Entry(known["url"], known["sha256"], known["bytes"], known["memory_mib"])
        explain(path := fetch(entry, folder), memory_needed(path, entry.memory_mib))
    elif verb == "fetch-url":
        explain(
            path := fetch(Entry(rest[0], rest[1].lower(), None, None), folder),
            memory_needed(path, None),
        )
    elif verb == "add":
        explain(path := add(Path(rest[0]), folder), memory_needed(path, None))
    elif verb == "key":
        path = store_key(state, rest[0])
        print(
            f"Kept as the secret {path.name}. Name it in models.yaml, then: docker compose restart model-gateway"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
