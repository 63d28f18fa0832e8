"""After a restart: what was remembered is there, and the page finds its way back by itself."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from playwright.sync_api import expect

from tests.e2e.person import Person, source

BACK_MS = 90_000


def restart(stack: Any, *services: str) -> None:
    ids = [stack.container(service) for service in services]
    subprocess.run(
        ["docker", "restart", "-t", "10", *ids], check=True, capture_output=True, timeout=180
    )


def until(done: Any) -> None:
    """Wait until `done()` is true; a page has a person's patience, and no more."""
    deadline = time.monotonic() + BACK_MS / 1000
    while not done():
        assert time.monotonic() < deadline, "it did not come back"
        time.sleep(1)


def test_a_memory_outlives_the_containers_and_the_page_comes_back_by_itself(
    owner: Person, stack: Any, page: Any
) -> None:
    owner.knows("My dog is called Rex.")
    page.goto("/memory?q=dog")
    expect(page.get_by_text("Rex").first).to_be_visible()
    restart(stack, "postgres", "valkey", "memory", "memory-worker", "orchestrator", "dashboard")
    # The line broke, which the page says, and then mends without being touched.
    expect(page.get_by_text("Reconnecting to the house.")).to_have_count(0, timeout=BACK_MS)
    until(lambda: page.evaluate("async () => (await fetch('/api/memories')).ok"))
    page.reload()
    expect(page.get_by_text("Rex").first).to_be_visible()
    turn = owner.ask("What is my dog's name?", new=True)
    expect(source(turn, "Rex")).to_be_visible()


def test_a_part_that_is_away_is_named_with_what_to_do_and_the_rest_works(
    owner: Person, stack: Any, page: Any
) -> None:
    subprocess.run(
        ["docker", "stop", "-t", "5", stack.container("memory")], check=True, capture_output=True
    )
    try:
        page.goto("/memory")
        alert = page.get_by_role("alert").first
        expect(alert).to_contain_text("memory.unavailable", timeout=15_000)
        expect(alert).to_contain_text("correlation id")
        page.goto("/system")
        row = page.locator("tr:not(.domain)").filter(
            has=page.get_by_role("rowheader", name="memory", exact=True)
        )
        expect(row).to_contain_text("exited", timeout=30_000)
        page.goto("/")
        expect(page.get_by_role("link", name="memory is exited")).to_be_visible(timeout=30_000)
    finally:
        subprocess.run(
            ["docker", "start", stack.container("memory")], check=True, capture_output=True
        )
    page.goto("/memory")
    # Nobody has to press "Try again".
    expect(page.get_by_text("Rex").first).to_be_visible(timeout=BACK_MS)
