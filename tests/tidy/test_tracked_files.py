"""What must never be in the tree: addresses of registries and mirrors, keys, what tools and machines leave behind."""

import re
from pathlib import Path

import tree

# Written so that this file does not hold what it looks for.
REGISTRIES = re.compile(
    r"pypi[.]org|pythonhosted[.]org|registry[.]npmjs[.]org|registry[.]yarnpkg[.]com"
    r"|registry-1[.]docker[.]io|index[.]docker[.]io|hub[.]docker[.]com|ghcr[.]io|quay[.]io|gcr[.]io"
    r"|(deb|security|ftp[.][a-z]+)[.]debian[.]org|archive[.]raspberrypi|conda[.]anaconda[.]org"
    r"|(^|[\s\"'=])--(extra-)?index-url|npm_config_registry=http",
    re.IGNORECASE | re.MULTILINE,
)
PRIVATE_KEY = re.compile("-----BEGIN " + "(RSA |EC |OPENSSH )?PRIVATE KEY-----")
ADDRESS = re.compile(r"https?://|file:/|git\+")
SELF = Path("tests/tidy/test_tracked_files.py")
LEFT_BEHIND = re.compile(
    r"(^|/)(uv\.lock|\.env|\.DS_Store|poetry\.lock|yarn\.lock)$|\.(pyc|orig|rej|swp|pem|key|gguf|onnx)$"
)
BYTES_MAX = 2 * 1024 * 1024


def test_no_file_names_a_registry_or_a_mirror() -> None:
    found = [
        f"{path}: {match.group(0).strip()}"
        for path in tree.tracked_files()
        if path != SELF and (match := REGISTRIES.search(tree.read(path)))
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
