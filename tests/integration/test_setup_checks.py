"""`make up` says what is wrong before it changes anything, and says what to do."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.integration.house import ROOT

pytestmark = pytest.mark.integration

MEMINFO = "MemTotal:        8000000 kB\n"
CGROUPS = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t1\t{enabled}\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Another machine's files, as the checks read them: a Raspberry Pi with everything right."""
    for folder in ("etc", "proc", "sys/fs/cgroup"):
        (tmp_path / "machine" / folder).mkdir(parents=True)
    root = tmp_path / "machine"
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="13"\n')
    (root / "proc/meminfo").write_text(MEMINFO)
    (root / "proc/cgroups").write_text(CGROUPS.format(enabled=1))
    (root / "sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return root


def up(machine: Path, *prefix: str, **settings: str) -> str:
    """Run set-up for a house of its own that must not come to be; return what it complained of."""
    state = machine.parent / "state"
    environment = {
        "PATH": os.environ["PATH"],
        "LARES_STATE": str(state),
        "LARES_SYSROOT": str(machine),
        "COMPOSE_PROJECT_NAME": "lares-never",
        # No port of this name can be free by accident: the last check stops what gets this far.
        "LARES_HTTP_PORT": "8499",
        "LARES_HTTPS_PORT": "8498",
        **settings,
    }
    done = subprocess.run(
        [*prefix, "setup/up.sh"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    assert not (state / "secrets").exists(), "something was made although a check failed"
    assert "What to do:" in done.stderr
    return done.stderr


def test_without_root_it_says_to_use_sudo(machine: Path) -> None:
    said = up(machine, "setpriv", "--reuid=65534", "--clear-groups")
    assert "setup.not_root" in said
    assert "sudo make up" in said


def test_another_system_is_refused(machine: Path) -> None:
    (machine / "etc/os-release").write_text('ID=fedora\nVERSION_ID="44"\n')
    assert "setup.system" in up(machine)


def test_an_old_debian_is_refused(machine: Path) -> None:
    (machine / "etc/os-release").write_text('ID=debian\nVERSION_ID="11"\n')
    assert "setup.system" in up(machine)


def test_a_32_bit_system_is_refused(machine: Path) -> None:
    assert "setup.architecture" in up(machine, LARES_ARCHITECTURE="armhf")


def test_the_memory_cgroup_of_a_pi_that_is_off_is_named_with_its_cure(machine: Path) -> None:
    (machine / "sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io pids\n")
    said = up(machine)
    assert "setup.memory_cgroup" in said
    assert "cgroup_enable=memory" in said
    assert "cmdline.txt" in said


def test_the_memory_cgroup_is_looked_for_in_the_older_layout_too(machine: Path) -> None:
    (machine / "sys/fs/cgroup/cgroup.controllers").unlink()
    (machine / "proc/cgroups").write_text(CGROUPS.format(enabled=0))
    assert "setup.memory_cgroup" in up(machine)


def test_too_little_memory_is_refused_with_the_numbers(machine: Path) -> None:
    (machine / "proc/meminfo").write_text("MemTotal:        1000000 kB\n")
    said = up(machine)
    assert "setup.memory:" in said
    assert "976 MiB" in said


def test_too_little_disk_is_refused(machine: Path) -> None:
    assert "setup.disk" in up(machine, LARES_DISK_MIN_MIB="999999999")


def test_a_taken_port_is_named_with_who_holds_it(machine: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        said = up(machine, LARES_HTTPS_PORT=port)
    assert "setup.port_taken" in said
    assert f"port {port} is taken by" in said
    assert str(os.getpid()) in said


def test_a_second_run_at_the_same_time_is_refused(machine: Path) -> None:
    state = machine.parent / "state"
    state.mkdir()
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "setup.running" in up(machine)


def test_a_setting_that_is_no_plain_text_is_refused(machine: Path) -> None:
    assert "setup.setting" in up(machine, LARES_HOST="a$(reboot)")


def test_data_without_its_secrets_is_left_alone_and_said(machine: Path) -> None:
    volume = "lares-never_postgres-data"
    subprocess.run(["docker", "volume", "create", volume], check=True, capture_output=True)
    try:
        said = up(machine)
    finally:
        subprocess.run(["docker", "volume", "rm", volume], check=True, capture_output=True)
    assert "setup.secrets_lost" in said


def test_leftovers_of_a_real_house_are_never_erased() -> None:
    done = subprocess.run(
        ["setup/erase-leftovers.sh", "lares"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "no test house" in done.stderr


def test_purge_asks_first_and_a_wrong_answer_erases_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    shutil.copy(ROOT / "networks/egress.yaml", state / "kept")
    (state / "env").write_text("COMPOSE_PROJECT_NAME=lares-never\n")
    for answer in ("", "yes\n"):
        done = subprocess.run(
            ["setup/down.sh", "purge"], cwd=ROOT, input=answer, capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": os.environ["PATH"], "LARES_STATE": str(state)},
        )  # fmt: skip
        assert done.returncode != 0
        assert "setup.purge_declined" in done.stderr
        assert (state / "kept").exists()


def test_down_where_there_is_no_house_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        ["setup/down.sh"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "LARES_STATE": str(tmp_path / "none")},
    )  # fmt: skip
    assert done.returncode == 0
    assert "nothing to do" in done.stdout
