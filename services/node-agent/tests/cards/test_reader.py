"""Whoever reads the cards is answered in time, whatever the driver does."""

import asyncio
import threading

import pytest
from node_agent.cards import Cards
from node_agent.cards.owners import Owners
from node_agent.cards.seen import Seen


class Driver:
    """A reader that does what the test wants of a driver."""

    def __init__(self) -> None:
        self.owners = Owners()
        self.cards = (
            Seen("a", 0, "card", "simulated", 1000, 400),
            Seen("b", 1, "card", "simulated", 1000, 0),
        )
        self.error: Exception | None = None
        self.hangs, self.let_go = False, threading.Event()
        self.looks = self.closed = 0

    def look(self, residents):
        self.looks += 1
        if self.hangs:
            self.let_go.wait(30)
        if self.error is not None:
            raise self.error
        return self.cards

    def close(self):
        self.closed += 1


@pytest.fixture
async def driver():
    driver = Driver()
    yield driver
    driver.let_go.set()


async def test_all_cards_are_read(driver):
    cards = Cards(driver)
    assert [(card.id, card.used_mib, card.error) for card in await cards.read()] == [
        ("a", 400, None),
        ("b", 0, None),
    ]
    await cards.close()
    assert driver.closed == 1


async def test_a_driver_that_hangs_hangs_nobody_and_the_cards_are_told_with_an_error(driver):
    cards = Cards(driver, seconds_max=1.0)
    await cards.read()
    driver.hangs = True
    read = await cards.read()
    assert [card.used_mib for card in read] == [400, 0]  # as they were last
    assert all(card.error for card in read)


async def test_a_driver_that_hangs_is_not_asked_again_until_it_answers_and_its_late_answer_is_not_believed(
    driver,
):
    cards = Cards(driver, seconds_max=1.0)
    await cards.read()
    driver.hangs = True
    await cards.read()
    for _ in range(5):
        assert all(card.error for card in await cards.read())
    assert driver.looks == 2
    driver.hangs = False
    driver.let_go.set()
    async with asyncio.timeout(10):
        while any(card.error for card in await cards.read()):
            await asyncio.sleep(0.01)
    assert driver.looks == 3  # read anew: what came late was of the past
    await cards.close()


async def test_whatever_a_library_raises_is_the_cards_error(driver):
    cards = Cards(driver)
    await cards.read()
    driver.error = RuntimeError("driver gone")
    assert all("driver gone" in str(card.error) for card in await cards.read())
    driver.error = None
    assert not any(card.error for card in await cards.read())
    await cards.close()


async def test_before_the_first_good_reading_there_are_no_cards(driver):
    driver.error = RuntimeError("no driver yet")
    cards = Cards(driver)
    assert await cards.read() == ()
    await cards.close()


async def test_a_card_that_is_listed_no_more_is_told_with_an_error(driver):
    cards = Cards(driver)
    await cards.read()
    driver.cards = driver.cards[:1]
    read = {card.id: card.error for card in await cards.read()}
    assert read["a"] is None
    assert read["b"] is not None
    await cards.close()


async def test_what_is_ours_never_exceeds_what_is_used(driver):
    driver.cards = (Seen("a", 0, "card", "simulated", 1000, 400, ours={"x": 300, "y": 300}),)
    cards = Cards(driver)
    (card,) = await cards.read()
    assert [use.used_mib for use in card.ours] == [300, 100]
    await cards.close()
