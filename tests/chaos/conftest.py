"""`house`: the machine of the test stack. `talker`: the person who talks while it breaks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.house import House
from tests.chaos.resident import Resident
from tests.chaos.talker import Talker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder breaks something that runs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.chaos)


@pytest.fixture(scope="session")
def house(stack: Any) -> House:
    """The machine under the test stack."""
    assert os.geteuid() == 0, "chaos kills other users' processes: run it as root"
    return House(stack)


@pytest.fixture(scope="session")
def talker(house: House) -> Iterator[Talker]:
    """One person, talking from the first chaos test to the last."""
    token = house.invitation()

    async def sign_in() -> Resident:
        stack = house.stack
        resident = Resident(stack.url, stack.https_port, house.authority())
        await resident.come_in(token)
        return resident

    person = Talker(sign_in)
    person.start()
    try:
        yield person
    finally:
        person.hush()
        print("", *house.notes, person.summary(), sep="\n")
        person.close()
