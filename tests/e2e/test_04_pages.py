"""Every page as it looks and behaves: states live, keyboard alone, nothing that axe finds, light and dark."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.conftest import ROOT
from tests.e2e.conftest import ARTIFACTS
from tests.e2e.person import Person

PAGES = {
    "ask": "/",
    "memory": "/memory",
    "inference": "/inference",
    "system": "/system",
    "security": "/security",
}
SIZES = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}
CONTAINERS = [
    "caddy", "identity", "forward-auth", "dashboard", "mcp-gateway", "egress-proxy", "postgres", "valkey",
    "memory", "memory-worker", "consolidator", "embedder", "model-gateway", "gpu-scheduler", "local-llm", "orchestrator",
    "state-registry", "engine-reader",
]  # fmt: skip


def test_system_shows_each_container_with_its_memory_and_how_old_that_is(
    owner: Person, page: Any
) -> None:
    page.goto("/system")
    table = page.get_by_role("table")
    for name in CONTAINERS:
        row = table.locator("tr:not(.domain)").filter(
            has=page.get_by_role("rowheader", name=name, exact=True)
        )
        expect(row).to_contain_text(re.compile("healthy|running|starting"))
        expect(row.get_by_text(re.compile("MiB")).first).to_be_visible()
    finished = table.get_by_role("row").filter(
        has=page.get_by_role("rowheader", name="migrate", exact=True)
    )
    expect(finished).to_contain_text("finished")
    expect(page.get_by_text(re.compile(r"Read\s+(just now|\d+ s ago)"))).to_be_visible()
    expect(page.get_by_text("lares-small")).to_be_visible()


def test_the_keyboard_alone_reaches_everything(owner: Person, page: Any) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name=owner.username)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()

    palette = page.get_by_role("dialog", name="Command palette")
    page.keyboard.press("Control+k")
    expect(palette.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("go mem")
    expect(page.get_by_role("option", selected=True)).to_contain_text("Go to Memory")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Memory", level=1)).to_be_visible()

    page.keyboard.press("Control+k")
    page.keyboard.type("add a mem")
    page.keyboard.press("Enter")
    page.get_by_label("What to remember").focus()
    page.keyboard.type("Written without a mouse.")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name=re.compile("^Sensitive"))).to_be_checked()
    # Past what may stay closed, and past Cancel.
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Written without a mouse.")).to_be_visible()

    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    expect(palette).to_have_count(0)
    page.keyboard.press("Control+k")
    page.keyboard.type("dark theme")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.keyboard.press("Control+k")
    page.keyboard.type("follow")
    page.keyboard.press("Enter")
    expect(page.locator("html")).not_to_have_attribute("data-theme", re.compile("."))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    owner: Person, page: Any, name: str, size: str, scheme: str
) -> None:
    page.set_viewport_size(SIZES[size])
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    try:
        page.goto(PAGES[name])
        settle(page)
        page.screenshot(path=ARTIFACTS / f"{name}-{size}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert_accessible(page)
    finally:
        page.set_viewport_size(SIZES["desktop"])
        page.emulate_media(color_scheme="light", reduced_motion="no-preference")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", ["/signin", "/setup#token", "/invite#token", "/recover#token", "/nowhere"]
)
def test_the_ways_in_are_accessible_too(browser: Any, stack: Any, path: str, scheme: str) -> None:
    stranger = Person(browser, stack, "nobody", color_scheme=scheme)
    stranger.page.goto(path)
    expect(stranger.page.get_by_role("heading", level=1)).to_have_count(1)
    stranger.page.screenshot(path=ARTIFACTS / f"{path.strip('/').split('#')[0]}-{scheme}.png")
    assert_accessible(stranger.page)
    stranger.leave()


@pytest.mark.parametrize("button", ["Add a memory", "Go or do"])
def test_dialogs_are_accessible_and_give_the_focus_back(
    owner: Person, page: Any, button: str
) -> None:
    page.goto("/memory")
    opener = page.get_by_role("button", name=button)
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()


def test_the_readme_shows_the_house_as_it_is(owner: Person, page: Any) -> None:
    owner.knows("The blue bicycle is lent to Grace.")
    owner.ask("Remember that my dog is called Rex", new=True)
    turn = owner.ask("Forget that the blue bicycle is lent to Grace")
    expect(turn.get_by_role("button", name="Deny")).to_be_visible()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.screenshot(path=ARTIFACTS / "screenshot.png")
    turn.get_by_role("button", name="Deny").click()
    expect(turn.get_by_role("status").filter(has_text="Denied")).to_be_visible()
    assert (ROOT / "docs" / "screenshot.png").stat().st_size > 20_000


def settle(page: Any) -> None:
    """Wait until the page shows what it came to show."""
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    page.wait_for_timeout(700)


def assert_accessible(page: Any) -> None:
    """Fail with each violation that axe finds, and where."""
    found = Axe().run(page)
    assert not found.response["violations"], found.generate_report()
