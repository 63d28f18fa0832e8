"""A real Chromium before the running test stack, and the people who use it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.conftest import ROOT, Stack
from tests.e2e.browser import chromium
from tests.e2e.person import Person

ARTIFACTS = ROOT / ".artifacts"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives something that runs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Any:
    """The test stack; or another one, named by LARES_E2E_STACK=project:http_port:https_port:state."""
    other = os.environ.get("LARES_E2E_STACK")
    if not other:
        return request.getfixturevalue("stack")
    project, http_port, https_port, state = other.split(":")
    return Stack(project, "lares.test", int(http_port), int(https_port), "", Path(state))


# Playwright's loop would stand in the way of the asynchronous tests that come after: what these fixtures open is
# closed with the last test of this folder, and not at the end of the session.
OPEN = ExitStack()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Any:
    """Close the browser after the last test here."""
    yield
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        OPEN.close()


@pytest.fixture(scope="session")
def browser(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """Debian's Chromium before the running house."""
    return OPEN.enter_context(chromium(stack, tmp_path_factory.mktemp("browser")))


@pytest.fixture(scope="session")
def owner(browser: Browser, stack: Stack) -> Person:
    """The first owner, who came in by the one-time link; on a house that has one already, a second by invitation."""
    person = Person(browser, stack, "ada")
    OPEN.callback(person.leave)
    person.come_in()
    return person


@pytest.fixture
def page(owner: Person, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The owner's page; what it looked like at the end of a failed test is kept."""
    ARTIFACTS.mkdir(exist_ok=True)
    # A page behind another may not use a passkey.
    owner.page.bring_to_front()
    yield owner.page
    report = getattr(request.node, "report_of_call", None)
    if report is not None and report.failed:
        owner.page.screenshot(path=ARTIFACTS / f"failed-{request.node.name}.png")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Let fixtures know how their test went."""
    outcome = yield
    if outcome.get_result().when == "call":
        item.report_of_call = outcome.get_result()  # type: ignore[attr-defined]
