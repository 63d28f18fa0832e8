"""Cards that are only played, and how the readers are chosen."""

import json

import pytest
from node_agent.cards import CardsError, open_reader
from node_agent.cards.amd import AmdReader
from node_agent.cards.sharing import Sharing
from node_agent.cards.simulated import SimulatedReader, parse_cards

CONTAINER = "5eed" + 60 * "0"


def test_a_life_on_the_card_is_played_as_it_was_recorded(recording, machine, resident, tmp_path):
    told, now, faults = recording("simulated"), [0.0], tmp_path / "faults.json"
    reader = SimulatedReader(
        parse_cards(told["cards"]), machine.owners, faults=faults, now=lambda: now[0]
    )
    sharing = Sharing(machine.owners)
    for step in told["readings"]:
        now[0] = step["at"]
        faults.write_text(json.dumps(step["faults"]))
        here = [resident(card="sim-0", **words) for words in step["residents"]]
        reading = sharing.reading(reader.look(here)[0], here)
        assert reading.used_mib == step["used_mib"], step
        assert {use.instance_id: use.used_mib for use in reading.ours} == step["ours"], step


def test_what_a_container_really_holds_is_its_use(machine, resident):
    reader = SimulatedReader(parse_cards(["1000"]), machine.owners, use="measured")
    machine.memory(CONTAINER, 240, mapped_mib=92)
    (card,) = reader.look([resident("a", "sim-0", container_id=CONTAINER)])
    assert card.used_mib == 332


def test_a_small_model_plays_a_large_one_and_its_real_sleep_frees_what_it_stands_for(
    machine, resident
):
    reader = SimulatedReader(parse_cards(["24576"]), machine.owners, use="scaled")
    here = [resident("a", "sim-0", container_id=CONTAINER, footprint_mib=8000, ram_mib=365)]
    machine.memory(CONTAINER, 365)
    assert reader.look(here)[0].used_mib == 8000
    machine.memory(CONTAINER, 83)  # llama.cpp asleep, as measured
    assert reader.look(here)[0].used_mib == 1819


def test_a_card_can_be_used_beyond_its_size_and_that_is_told(machine, resident):
    reader = SimulatedReader(parse_cards(["10000"]), machine.owners)
    here = [resident("a", "sim-0"), resident("b", "sim-0")]
    assert Sharing(machine.owners).reading(reader.look(here)[0], here).used_mib == 18000


def test_a_card_that_plays_unreadable_tells_so_and_one_that_is_gone_is_not_listed(
    machine, tmp_path
):
    faults = tmp_path / "faults.json"
    reader = SimulatedReader(parse_cards(["1000x2"]), machine.owners, faults=faults)
    faults.write_text('{"unreadable": ["sim-0"], "gone": ["sim-1"]}')
    (card,) = reader.look(())
    assert (card.id, card.error is None) == ("sim-0", False)


def test_shares_that_the_driver_does_not_tell_are_told_by_difference(machine, resident, tmp_path):
    faults, sharing = tmp_path / "faults.json", Sharing(machine.owners)
    reader = SimulatedReader(parse_cards(["24576"]), machine.owners, faults=faults)
    faults.write_text('{"foreign_mib": {"sim-0": 700}, "unattributed": true}')
    sharing.reading(reader.look(())[0], ())
    here = [resident("a", "sim-0")]
    reading = sharing.reading(reader.look(here)[0], here)
    assert (reading.used_mib, reading.ours[0].used_mib) == (9700, 9000)


@pytest.mark.parametrize("text", ['{"slow": 1}', "[", '{"slow_seconds": 1e9}'])
def test_a_file_of_faults_that_cannot_be_read_makes_the_cards_unreadable(machine, tmp_path, text):
    (tmp_path / "faults.json").write_text(text)
    reader = SimulatedReader(parse_cards(["1000"]), machine.owners, faults=tmp_path / "faults.json")
    with pytest.raises(CardsError):
        reader.look(())


@pytest.mark.parametrize(
    ("words", "cards"),
    [
        (["24576"], (("sim-0", 24576),)),
        (["24576x2"], (("sim-0", 24576), ("sim-1", 24576))),
        (["left:8192", "right:8192"], (("left", 8192), ("right", 8192))),
    ],
)
def test_simulated_cards_are_told_by_size_or_by_name(words, cards):
    assert parse_cards(words) == cards


@pytest.mark.parametrize("words", [[], ["a:1", "a:2"], ["24 GB"], ["9x99"], [":5"]])
def test_simulated_cards_that_make_no_sense_are_refused(words):
    with pytest.raises(CardsError):
        parse_cards(words)


def test_the_setting_chooses_the_reader(amd, tmp_path):
    amd("amd-rx-7900-xt")
    assert isinstance(open_reader("simulated:24576[x2]"), SimulatedReader)
    assert isinstance(open_reader("simulated", simulated=("sim-0:24576",)), SimulatedReader)
    assert isinstance(open_reader("auto", sys_root=tmp_path / "sys", proc_root=tmp_path), AmdReader)
    assert isinstance(
        open_reader("auto", simulated=("sim-0:1",), sys_root=tmp_path / "none", proc_root=tmp_path),
        SimulatedReader,
    )


@pytest.mark.parametrize("kind", ["auto", "intel", "amd:5", "simulated", "simulated:big"])
def test_a_setting_that_cannot_be_followed_is_refused(kind, tmp_path):
    with pytest.raises(CardsError):
        open_reader(kind, sys_root=tmp_path, proc_root=tmp_path)
