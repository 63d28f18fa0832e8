"""AMD cards by what the kernel shows; see recordings/README.md for where these are from."""

import pytest
from node_agent.cards.amd import AmdReader
from node_agent.cards.recording import record_amd
from node_agent.cards.sharing import Sharing

CONTAINER = "abad1dea" + 56 * "0"


def test_a_card_is_read_from_what_the_kernel_shows(amd):
    (card,) = amd("amd-rx-7900-xt").look(())
    assert (card.id, card.name) == ("amd-a8c4f0d7b1e2935c", "Radeon RX 7900 XT")
    assert (card.total_mib, card.used_mib) == (20464, 15027)
    assert (card.watts, card.temperature_c, card.utilisation_percent) == (21.0, 44.0, 0.0)


def test_a_card_is_opened_by_its_own_render_node_where_another_makers_comes_first(amd, tmp_path):
    reader = amd("amd-rx-7900-xt")
    assert reader.look(())[0].index == 0
    (tmp_path / "sys/class/drm/card0/device/drm/renderD129").mkdir(parents=True)
    assert reader.look(())[0].index == 1


def test_descriptors_of_one_client_are_counted_once(amd, machine, resident):
    reader = amd("amd-rx-7900-xt")
    machine.process(2217, CONTAINER)
    here = [resident("qwen-1", "amd-a8c4f0d7b1e2935c", container_id=CONTAINER)]
    (card,) = reader.look(here)
    reading = Sharing(machine.owners).reading(card, here)
    assert [use.used_mib for use in reading.ours] == [15000]


def test_compute_memory_that_descriptors_leave_out_is_found(amd, machine, resident):
    reader = amd("amd-rx-7900-xt")
    machine.process(2217, CONTAINER)
    for path in (machine.proc / "2217/fdinfo").iterdir():
        path.write_text(
            "drm-driver:\tamdgpu\ndrm-pdev:\t0000:08:00.0\ndrm-client-id:\t217\ndrm-memory-vram:\t12 KiB\n"
        )
    here = [resident("qwen-1", "amd-a8c4f0d7b1e2935c", container_id=CONTAINER)]
    (card,) = reader.look(here)
    assert Sharing(machine.owners).reading(card, here).ours[0].used_mib == 14990


def test_the_card_of_a_processor_is_the_memory_that_models_can_lie_in(amd, machine, resident):
    reader = amd("amd-strix-halo")
    machine.process(3131, CONTAINER)
    here = [resident("gpt-oss-1", "pci-0000:c3:00.0", container_id=CONTAINER)]
    (card,) = reader.look(here)
    assert card.total_mib == 98304  # what ROCm says of that machine, too
    assert card.used_mib == 24174 + 200
    assert "shared" in card.name
    assert Sharing(machine.owners).reading(card, here).ours[0].used_mib == 24160


def test_a_card_that_is_known_by_its_slot_alone_is_told_from_one_in_the_same_slot_elsewhere(amd):
    reader = amd("amd-strix-halo")
    ids = {
        AmdReader(reader.owners, reader._sys, node).look(())[0].id for node in ("forge", "attic")
    }
    assert ids == {"pci-forge-0000:c3:00.0", "pci-attic-0000:c3:00.0"}


def test_a_container_whose_processes_cannot_be_seen_is_told_by_difference(amd, machine, resident):
    reader, sharing = amd("amd-rx-7900-xt"), Sharing(machine.owners)
    here = [resident("qwen-1", "amd-a8c4f0d7b1e2935c", container_id=CONTAINER)]
    (card,) = reader.look(here)
    assert sharing.reading(card, here).ours[0].used_mib == 15027


def test_a_card_that_the_kernel_does_not_tell_of_has_an_error(amd, tmp_path):
    reader = amd("amd-rx-7900-xt")
    (tmp_path / "sys/class/drm/card0/device/mem_info_vram_used").write_text("N/A\n")
    assert reader.look(())[0].error is not None


def test_a_machine_without_such_a_card_cannot_be_read(machine, amd, tmp_path):
    reader = amd("amd-rx-7900-xt")
    (tmp_path / "sys/class/drm/card0/device/vendor").write_text("0x8086\n")
    with pytest.raises(OSError, match="No AMD card"):
        reader.look(())


def test_a_recording_holds_the_files_that_are_read_and_no_serial_number(amd, tmp_path):
    amd("amd-rx-7900-xt")
    (recorded,) = record_amd(tmp_path / "sys", readings=1, seconds=0)
    assert recorded["files"]["class/drm/card0/device/mem_info_vram_total"] == "21458059264\n"
    assert recorded["addresses"] == {"class/drm/card0/device": "0000:08:00.0"}
    assert "a8c4f0d7b1e2935c" not in str(recorded)
