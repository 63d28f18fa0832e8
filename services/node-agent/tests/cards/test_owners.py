"""Whose processes are whose, of a real container of a real engine."""

import os
import secrets
from pathlib import Path

import pytest
from kit.testing.containers import docker, require_image
from node_agent.cards.owners import Owners

IMAGE = "lares/valkey:dev"


@pytest.fixture
def container():
    """A container that only sleeps, of an image that is there in any case."""
    require_image(IMAGE)
    name = f"t-lares-owners-{secrets.token_hex(4)}"
    docker("run", "-d", "--name", name, "--network", "none", "--entrypoint", "sleep", IMAGE, "300")
    yield name
    docker("rm", "-f", "-v", name, check=False)


@pytest.mark.integration
def test_a_real_containers_processes_and_memory_are_found_by_its_id(container, resident):
    container_id, pid = docker("inspect", "-f", "{{.Id}} {{.State.Pid}}", container).split()
    owners = Owners()
    here = [
        resident("other", "sim-0", container_id=64 * "f"),
        resident("mine", "sim-0", container_id=container_id),
    ]
    assert owners.instance_of(int(pid), here) == (True, "mine")
    assert int(pid) in owners.pids(container_id)
    held = owners.memory_mib(container_id)
    assert held is not None
    assert 0 < held < 50


def test_a_process_that_is_nobodys_is_a_foreigners(machine, resident):
    machine.process(12, None)
    assert machine.owners.instance_of(12, [resident("a", "sim-0")]) == (True, None)


def test_a_process_that_is_not_there_is_not_taken_for_a_foreigners(machine):
    assert machine.owners.instance_of(13, []) == (False, None)


@pytest.mark.parametrize("container_id", ["", "../../etc", "abc", 64 * "g"])
def test_what_is_no_id_leads_nowhere(machine, container_id):
    assert list(machine.owners.pids(container_id)) == []
    assert machine.owners.memory_mib(container_id) is None


def test_weights_that_another_container_touched_first_are_counted_all_the_same(machine):
    """Two servers map one file; the kernel charges its pages to the first, and the second holds them too."""
    container_id = 64 * "c"
    machine.process(21, container_id)
    machine.memory(container_id, 40)
    pages = 300 * 1024 * 1024 // os.sysconf("SC_PAGE_SIZE")
    (machine.proc / "21" / "statm").write_text(f"999999 {pages} 10 1 0 5 0\n")
    assert machine.owners.memory_mib(container_id) == 300


def test_memory_is_read_in_the_words_of_both_versions_of_control_groups(tmp_path: Path):
    for form, text in (("system.slice/docker-{}.scope", "anon 1048576\nfile_mapped 2097152\n"),
                       ("memory/docker/{}", "rss 1048576\nmapped_file 2097152\ntotal_rss 9\n")):  # fmt: skip
        container_id = 64 * ("a" if "slice" in form else "b")
        group = tmp_path / form.format(container_id)
        group.mkdir(parents=True)
        (group / "memory.stat").write_text(text)
        assert Owners(tmp_path, tmp_path).memory_mib(container_id) == 3
