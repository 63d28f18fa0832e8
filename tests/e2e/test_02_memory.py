"""The Memory page: found with reasons, changed and taken back, forgotten after a question."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.e2e.person import Person


def add(page: Any, text: str, tier: str = "Convenience") -> None:
    page.goto("/memory")
    page.get_by_role("button", name="Add a memory").click()
    page.get_by_label("What to remember").fill(text)
    page.get_by_role("radio", name=re.compile(f"^{tier}")).check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_memory_is_found_by_search_with_the_reasons(owner: Person, page: Any) -> None:
    add(page, "The spare key hangs behind the barometer.")
    page.get_by_label("Search memories").fill("where is the spare key")
    page.get_by_role("button", name="Search").click()
    found = page.get_by_role("listitem").filter(has_text="barometer").first
    expect(found).to_contain_text(re.compile(r"match \d+ %"))
    expect(found).to_contain_text(re.compile(r"found by (meaning|its words)"))
    expect(page).to_have_url(re.compile(r"/memory\?q="))


def test_a_change_of_text_can_be_taken_back(owner: Person, page: Any) -> None:
    add(page, "The cellar light is on the left.")
    page.get_by_role("button", name="Edit “The cellar light is on the left.”").click()
    page.get_by_label("What to remember").fill("The cellar light is on the right.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("on the right.")).to_be_visible()
    owner.page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The cellar light is on the left.")).to_be_visible()
    page.reload()
    expect(page.get_by_text("The cellar light is on the left.")).to_be_visible()


def test_a_sacred_memory_is_shown_only_when_it_is_asked_for(owner: Person, page: Any) -> None:
    add(page, "What I told the doctor stays here.", tier="Sacred")
    page.reload()
    expect(page.get_by_role("heading", name="Memory", level=1)).to_be_visible()
    expect(page.get_by_role("listitem").first).to_be_visible()
    expect(page.get_by_text("What I told the doctor")).to_have_count(0)
    page.get_by_label("Tier").select_option("sacred")
    expect(page.get_by_text("What I told the doctor stays here.")).to_be_visible()


def test_forgetting_asks_first_and_is_over_afterwards(owner: Person, page: Any) -> None:
    add(page, "This is soon forgotten.")
    page.get_by_role("button", name="Forget “This is soon forgotten.”").click()
    dialog = page.get_by_role("dialog", name="Forget this?")
    expect(dialog).to_contain_text("cannot be undone")
    dialog.get_by_role("button", name="Keep it").click()
    expect(page.get_by_text("This is soon forgotten.")).to_be_visible()
    page.get_by_role("button", name="Forget “This is soon forgotten.”").click()
    page.get_by_role("button", name="Forget it").click()
    proof = page.get_by_role("dialog", name="Forgotten")
    expect(proof).to_contain_text("verified")
    proof.get_by_role("button", name="Done").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", name="Memory", level=1)).to_be_visible()
    expect(page.get_by_role("listitem").first).to_be_visible()
    expect(page.get_by_text("This is soon forgotten.")).to_have_count(0)


def test_another_tab_hears_of_a_new_memory_over_its_one_line(owner: Person, page: Any) -> None:
    other = owner.context.new_page()
    requests: list[str] = []
    other.on("request", lambda request: requests.append(request.url))
    try:
        with other.expect_response("**/api/events"):
            other.goto("/memory")
        expect(other.get_by_role("listitem").first).to_be_visible()
        add(page, "Another tab should hear of this.")
        other.get_by_role("button", name="Show it").click(timeout=15_000)
        expect(other.get_by_text("Another tab should hear of this.")).to_be_visible()
        assert len([url for url in requests if url.endswith("/api/events")]) == 1
    finally:
        other.close()


def test_a_member_of_the_house_sees_nothing_of_its_owner(
    owner: Person, browser: Any, stack: Any
) -> None:
    member = Person(browser, stack, "bob")
    link = member.identity("invite")
    member.username = "bob" + link[-6:].lower().replace("-", "x").replace("_", "y")
    member.fill_account(link[link.index("/invite#") :], "Come in")
    member.page.goto("/memory")
    expect(member.page.get_by_text("Nothing remembered yet")).to_be_visible()
    member.page.goto("/security")
    expect(member.page.get_by_role("heading", name="Sessions")).to_be_visible()
    expect(member.page.get_by_role("heading", name="Invitations")).to_have_count(0)
    member.leave()
