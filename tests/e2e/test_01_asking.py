"""The owner comes in, asks, is answered word by word, and is remembered."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.person import ANSWER_MS, Person, as_said, source

WATCH_WORDS = """() => {
  window.lengths = new Set();
  const look = () => {
    const said = [...document.querySelectorAll('article')].at(-1)?.querySelector('.prose')?.textContent ?? '';
    if (said) window.lengths.add(said.length);
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def test_the_first_owner_sets_up_the_house_and_the_link_works_once(
    owner: Person, browser: Any, stack: Any
) -> None:
    expect(owner.page.get_by_role("heading", name=owner.username)).to_be_visible()
    late = Person(browser, stack, "late")
    late.page.goto(f"/setup#{late.setup_token()}")
    late.page.get_by_label("Name").fill("late")
    for label in ("Password", "The password again"):
        late.page.get_by_label(label, exact=True).fill("another lamp in a window")
    late.page.get_by_role("button", name="Move in").click()
    expect(late.page.get_by_role("alert")).to_contain_text(re.compile(r"identity\.setup_\w+"))
    late.leave()


def test_a_stranger_is_shown_the_way_in_and_nothing_else(browser: Any, stack: Any) -> None:
    stranger = Person(browser, stack, "nobody")
    stranger.page.goto("/memory")
    stranger.page.wait_for_url(re.compile(r"/signin\?rd=(%2F|/)memory"))
    stranger.page.get_by_label("Name").fill("nobody")
    stranger.page.get_by_label("Password").fill("not a password of this house")
    stranger.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(stranger.page.get_by_role("alert")).to_contain_text("identity.bad_credentials")
    stranger.leave()


def test_signing_in_leads_back_to_where_the_person_wanted_to_go(
    owner: Person, browser: Any, stack: Any
) -> None:
    again = Person(browser, stack, owner.username)
    again.page.goto("/system")
    again.page.wait_for_url(re.compile(r"/signin\?rd=(%2F|/)system"))
    again.page.get_by_label("Name").fill(owner.username)
    again.page.get_by_label("Password").fill("a lamp in every window")
    again.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(again.page.get_by_role("heading", name="System", level=1)).to_be_visible()
    again.page.get_by_role("button", name="Sign out").click()
    again.page.wait_for_url(re.compile(r"/signin\?rd=(%2F|/)system"))
    again.leave()


def test_the_answer_comes_word_by_word(owner: Person, page: Any) -> None:
    page.goto("/")
    page.evaluate(WATCH_WORDS)
    turn = owner.ask("Explain in three sentences why the sky is blue.")
    expect(turn.locator(".prose")).not_to_be_empty()
    seen = page.evaluate("window.lengths.size")
    assert seen >= 3, f"the answer was painted {seen} times: it did not stream"
    turn.get_by_text("How this was answered").click()
    for stage in ("normalize", "plan", "policy", "execute"):
        expect(turn.get_by_text(stage, exact=True).first).to_be_visible()
    expect(turn.locator("code").last).to_have_text(re.compile(r"^[0-9a-f]{32}$"))


def test_an_answer_can_be_stopped_and_keeps_what_was_said(owner: Person, page: Any) -> None:
    turn = owner.begin(
        "Tell a very long story about a lighthouse keeper, with many chapters.", new=True
    )
    expect(turn.locator(".prose")).not_to_be_empty(timeout=ANSWER_MS)
    page.get_by_role("button", name="Stop the answer").click()
    expect(turn.get_by_text("Stopped by you")).to_be_visible(timeout=8000)
    said = turn.locator(".prose").inner_text()
    page.reload()
    kept = page.get_by_role("article").last
    expect(kept.get_by_text("Stopped by you")).to_be_visible()
    assert kept.locator(".prose").inner_text()[:20] == said[:20]


def test_a_fact_is_remembered_and_named_as_the_source_in_a_new_conversation(
    owner: Person, page: Any
) -> None:
    told = owner.ask("Remember that my dog is called Rex", new=True)
    expect(told).to_contain_text("Rex")
    turn = owner.ask("What is my dog's name?", new=True)
    shown = source(turn, "Rex")
    expect(shown).to_be_visible()
    expect(shown).to_contain_text(re.compile(r"match \d+ %"))
    expect(shown).to_contain_text("Convenience")
    expect(page.get_by_role("complementary", name="Conversations")).to_contain_text(
        "What is my dog's name?"
    )


def test_a_conversation_is_found_again_renamed_and_deleted(owner: Person, page: Any) -> None:
    owner.ask("What is my dog's name?", new=True)
    page.reload()
    expect(page.get_by_role("article")).to_have_count(1)
    name = "Dogs of this house"
    page.locator("aside li.current button").click()
    page.get_by_label("Title").fill(name)
    page.get_by_role("button", name="Save").click()
    entry = page.locator("aside li").filter(has_text=name)
    expect(entry).to_be_visible()
    # The list shows it at once; the heading when the house has agreed.
    expect(page.get_by_role("heading", name=name)).to_be_attached()
    page.reload()
    expect(entry).to_be_visible()
    entry.get_by_role("button").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(entry).to_have_count(0)
    expect(page.get_by_role("article")).to_have_count(0)


@pytest.mark.parametrize("decision", ["Deny", "Approve"])
def test_forgetting_asks_first_and_only_then_forgets(
    owner: Person, page: Any, decision: str
) -> None:
    owner.knows("My bicycle is green.")
    owner.knows("My dog is called Rex.")
    turn = owner.ask("Forget that my bicycle is green", new=True)
    card = turn.get_by_role("region", name="The house asks before it acts")
    expect(card).to_contain_text("Cannot be undone")
    expect(card).to_contain_text(f"{owner.username} asked")
    # It waits, also for somebody who comes back later: and it is the first thing they are told.
    page.goto("/")
    page.get_by_role("link", name="A decision waits for you").first.click()
    turn = page.get_by_role("article").last
    turn.get_by_role("button", name=decision).click()
    expect(
        turn.get_by_role("status").filter(has_text=re.compile("Denied|Approved"))
    ).to_be_visible()
    page.goto("/memory")
    expect(page.get_by_role("heading", name="Memory", level=1)).to_be_visible()
    expect(page.get_by_text(as_said("My dog is called Rex."))).to_be_visible()
    expect(page.get_by_text(as_said("My bicycle is green."))).to_have_count(
        1 if decision == "Deny" else 0
    )
