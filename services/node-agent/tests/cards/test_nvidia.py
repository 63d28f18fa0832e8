"""NVIDIA cards by recordings of what NVML tells of them; see recordings/README.md for where these are from."""

import pynvml
import pytest
from node_agent.cards.recording import record_nvidia
from node_agent.cards.sharing import Sharing

CONTAINER = "c0ffee" + 58 * "0"
CARD = "GPU-4fb6ac9a-29e1-b611-4af7-b61a99e3b92d"


def test_what_the_driver_keeps_for_itself_counts_as_used(nvidia):
    reader, _ = nvidia("nvidia-rtx-3090")
    (card,) = reader.look(())
    assert (card.id, card.name) == (CARD, "NVIDIA GeForce RTX 3090")
    assert (card.total_mib, card.used_mib) == (24576, 15005 + 452)
    assert (card.watts, card.temperature_c, card.utilisation_percent) == (144.0, 66.0, 0.0)
    assert card.error is None


def test_a_process_is_its_containers_and_counted_once_although_it_is_in_both_lists(
    nvidia, machine, resident
):
    reader, _ = nvidia("nvidia-rtx-3090")
    machine.process(4211, CONTAINER)
    machine.process(1893, None)
    here = [resident("qwen-1", CARD, container_id=CONTAINER)]
    (card,) = reader.look(here)
    reading = Sharing(machine.owners).reading(card, here)
    assert [(use.instance_id, use.used_mib) for use in reading.ours] == [("qwen-1", 14604)]
    assert reading.used_mib == 15457


def test_a_process_that_cannot_be_looked_up_is_told_by_difference(nvidia, machine, resident):
    """In a container without the host's process numbers NVML's numbers name nobody."""
    reader, _ = nvidia("nvidia-rtx-3090")
    here = [resident("qwen-1", CARD, container_id=CONTAINER)]
    (card,) = reader.look(here)
    (use,) = Sharing(machine.owners).reading(card, here).ours
    assert use.used_mib == 15457  # no baseline is known: better too much than too little


def test_where_the_driver_does_not_say_how_much_it_is_all_above_what_was_there_before(
    nvidia, machine, resident
):
    reader, library = nvidia("nvidia-wsl")
    sharing, card_id = Sharing(machine.owners), "GPU-00000000-0000-4070-0000-000000000432"
    (before,) = reader.look(())
    assert sharing.reading(before, ()).used_mib == 1264
    library.at = 1
    machine.process(79, CONTAINER)
    here = [resident("whisper-1", card_id, container_id=CONTAINER)]
    (card,) = reader.look(here)
    reading = sharing.reading(card, here)
    assert reading.used_mib == 14360
    assert reading.ours[0].used_mib == 14360 - 1264
    assert (reading.watts, reading.temperature_c, reading.utilisation_percent) == (None, None, None)


def test_what_is_above_the_baseline_is_divided_in_proportion_to_the_footprints(
    nvidia, machine, resident
):
    reader, library = nvidia("nvidia-wsl")
    sharing, card_id = Sharing(machine.owners), "GPU-00000000-0000-4070-0000-000000000432"
    sharing.reading(reader.look(())[0], ())
    library.at = 1
    here = [
        resident("a", card_id, footprint_mib=9000),
        resident("b", card_id, footprint_mib=3000),
        resident("c", card_id, footprint_mib=9000, asleep_mib=1000, phase="asleep"),
    ]
    reading = sharing.reading(reader.look(here)[0], here)
    uses = {use.instance_id: use.used_mib for use in reading.ours}
    assert sum(uses.values()) == 14360 - 1264
    assert uses["a"] == pytest.approx(9 / 13 * 13096, abs=2)
    assert uses["c"] == pytest.approx(1 / 13 * 13096, abs=2)


def test_a_card_that_does_not_tell_its_memory_is_told_with_an_error(nvidia):
    reader, _ = nvidia("nvidia-gb10")
    (card,) = reader.look(())
    assert card.error is not None
    assert (card.name, card.watts) == ("NVIDIA GB10", 11.17)


def test_a_divided_card_is_shown_as_its_parts(nvidia, machine, resident):
    reader, _ = nvidia("nvidia-a100-mig")
    parts = reader.look(())
    assert [(part.total_mib, part.used_mib) for part in parts] == [
        (19968, 14366),
        (19968, 9826),
        (19968, 13),
    ]
    assert all(part.id.startswith("MIG-") for part in parts)
    machine.process(7002, CONTAINER)
    here = [resident("tts-1", parts[1].id, container_id=CONTAINER)]
    readings = [Sharing(machine.owners).reading(part, here) for part in parts]
    assert [[use.used_mib for use in reading.ours] for reading in readings] == [[], [9813], []]


def test_a_card_breaks_is_lost_takes_the_driver_with_it_and_all_come_back(nvidia):
    reader, library = nvidia("nvidia-lost-and-back")
    assert [card.error for card in reader.look(())] == [None, None]  # XID 31 is an application's
    library.at = 1
    assert "XID 79" in str(reader.look(())[1].error)
    library.at = 2
    first, second = reader.look(())
    assert first.error is None
    assert "lost" in str(second.error).lower()
    assert second.used_mib == 22630 + 452  # as it was last: not 0
    library.at = 3
    with pytest.raises(pynvml.NVMLError):
        reader.look(())
    library.at = 4
    assert [card.error for card in reader.look(())] == [None, None]


def test_the_library_is_begun_once_while_the_driver_is_well(nvidia):
    reader, library = nvidia("nvidia-rtx-3090")
    reader.look(())
    reader.look(())
    assert library.asked.count("nvmlInit()") == 1
    reader.close()
    assert library.asked.count("nvmlShutdown()") == 1


def test_a_recording_of_the_library_replays_to_the_same_readings(nvidia, machine):
    """The recorder is run against the replayed library: what it writes down must be readable as the real one is."""
    reader, library = nvidia("nvidia-lost-and-back")
    expected = reader.look(())
    _, fresh = nvidia("nvidia-lost-and-back")
    (recorded,) = record_nvidia(fresh, readings=1, seconds=0)
    assert recorded["error"] is None
    again = type(library)({"readings": [recorded]})
    seen = type(reader)(again, machine.owners).look(())
    assert [(card.total_mib, card.used_mib, card.watts) for card in seen] == [
        (card.total_mib, card.used_mib, card.watts) for card in expected
    ]
    assert seen[0].id != expected[0].id  # serial numbers are made unreadable
