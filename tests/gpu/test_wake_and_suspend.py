"""A node is woken by one packet of the host's, and suspended by the host's own hand; a container can only ask for it.

Up to the packet and up to the command. Whether a network card wakes its machine is seen on that machine alone.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path

import pytest
from gpu_scheduler.wake import WakeFailed, Waker
from node_agent import leaving

from tests.integration.house import ROOT
from tests.integration.outside import HOME_NEIGHBOUR, HOME_SERVER, NAMESPACE, outside

pytestmark = pytest.mark.integration

HARDWARE = "02:00:5e:10:00:07"
LISTEN = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
    listener.bind(("", 9)); listener.settimeout(3)
    print("up", flush=True)
    try:
        while True: print(listener.recv(2000).hex(), flush=True)
    except TimeoutError: pass
"""


def wake(nodes: Path, folder: Path) -> str:
    command = [str(ROOT / "setup/gpu-wake.sh"), str(nodes), str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def aged(file: Path) -> None:
    """Make it a minute old."""
    before = time.time() - 60
    os.utime(file, (before, before))


def test_the_node_that_is_asked_for_gets_its_packet_and_no_other_does(tmp_path: Path) -> None:
    nodes, folder = tmp_path / "gpu-nodes", tmp_path / "wake"
    folder.mkdir()
    nodes.write_text(
        f"forge {HOME_SERVER} {HARDWARE}\n"
        f"anvil {HOME_NEIGHBOUR} 02:00:5e:10:00:08\n"
        f"late {HOME_NEIGHBOUR} 02:00:5e:10:00:09\n"
        f"quiet {HOME_NEIGHBOUR} -\n"
    )
    with outside():
        listening = ["ip", "netns", "exec", NAMESPACE, "/usr/bin/python3", "-c", LISTEN]
        with subprocess.Popen(listening, stdout=subprocess.PIPE, text=True) as listener:
            assert listener.stdout
            assert listener.stdout.readline() == "up\n"
            assert wake(nodes, folder) == "", "nobody was asked for"
            waker = Waker(folder)
            for name in ("forge", "quiet", "late"):
                asyncio.run(waker.wake(name))
            aged(folder / "late")
            (folder / "stranger").touch()
            assert wake(nodes, folder) == "woke forge\n"
            heard = set(listener.stdout.read().split())
    assert heard == {"ff" * 6 + HARDWARE.replace(":", "") * 16}


def test_a_scheduler_that_was_taken_over_chooses_no_hardware_address(tmp_path: Path) -> None:
    """The folder holds names. What else is written there is not looked at."""
    folder = tmp_path / "wake"
    folder.mkdir()
    with pytest.raises(WakeFailed):
        asyncio.run(Waker(folder).wake("../forge"))
    (folder / "02:00:5e:10:00:07").write_text("02:00:5e:10:00:07")
    (folder / "forge -exec sh").write_text("x")
    nodes = tmp_path / "gpu-nodes"
    nodes.write_text(f"anvil {HOME_NEIGHBOUR} {HARDWARE}\n")
    assert wake(nodes, folder) == ""


def test_without_the_folder_the_scheduler_is_told_that_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(WakeFailed):
        asyncio.run(Waker(tmp_path / "absent").wake("forge"))


def suspend(file: Path, tools: Path, who: str = "") -> bool:
    """Run the node's watcher; say whether it would have suspended the machine."""
    tools.mkdir(exist_ok=True)
    (tools / "who").write_text(f"#!/bin/sh\nprintf '%s' '{who}'\n")
    (tools / "who").chmod(0o755)
    done = tools / "suspended"
    done.unlink(missing_ok=True)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "LARES_SUSPEND_COMMAND": f"touch {done}",
        "LARES_SUSPEND_DELAY_SECONDS": "0",
    }
    command = [str(ROOT / "gpu-node/setup/suspend.sh"), str(file)]
    subprocess.run(command, check=True, env=environment, timeout=30)
    return done.exists()


def test_the_machine_is_suspended_once_when_the_agent_asks(tmp_path: Path) -> None:
    file, tools = tmp_path / "host/suspend", tmp_path / "tools"
    file.parent.mkdir()
    assert not suspend(file, tools)
    leaving.suspend(file)
    assert suspend(file, tools)
    assert not suspend(file, tools), "the same request does not put it to sleep again"


def test_an_old_request_or_somebody_at_work_keeps_it_awake(tmp_path: Path) -> None:
    file, tools = tmp_path / "host/suspend", tmp_path / "tools"
    file.parent.mkdir()
    leaving.suspend(file)
    assert not suspend(file, tools, who="ada pts/0")
    aged(file)
    assert not suspend(file, tools)


def test_an_agent_without_a_host_to_ask_says_so(tmp_path: Path) -> None:
    with pytest.raises(leaving.SuspendFailed):
        leaving.suspend(tmp_path / "absent/suspend")
