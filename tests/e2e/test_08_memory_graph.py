"""The graph of memory: a picture with its tables, entities with their facts, merged and taken apart."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, expect

from tests.e2e.person import Person
from tests.e2e.test_04_pages import assert_accessible

# What is drawn from a memory comes behind its writing, on a machine that does much else.
DRAWN_MS = 60_000


def reload_until(page: Any, shown: Locator) -> None:
    """Wait for what the house draws from memories behind their writing."""
    for _ in range(30):
        try:
            expect(shown).to_be_visible(timeout=DRAWN_MS / 30)
            return
        except AssertionError:
            page.reload()
    expect(shown).to_be_visible()


def find(page: Any, name: str) -> None:
    """Put an entity into the middle of the graph, as soon as the house knows it."""
    page.goto("/memory/graph")
    for _ in range(30):
        page.get_by_label("Find somebody or something").fill(name)
        page.get_by_role("button", name="Find").click()
        found = page.get_by_role("list", name="Entities found")
        expect(found).to_be_visible()
        if found.get_by_role("button").count() > 0:
            break
        page.wait_for_timeout(DRAWN_MS / 30)
    found.get_by_role("button").first.click()


def test_the_graph_has_its_tables_and_an_entity_its_facts_then_and_now(
    owner: Person, page: Any
) -> None:
    owner.knows("My sister Ottilie lives in Bergen.")
    page.goto("/memory/graph")
    entities = page.get_by_role("region", name="Entities")
    reload_until(page, entities.get_by_role("link", name="Ottilie"))
    expect(page.get_by_role("img", name=re.compile("^Picture of"))).to_be_visible()
    expect(page.locator("canvas").first).to_be_attached()

    by_name = entities.get_by_role("columnheader", name="Name")
    by_name.get_by_role("button").click()
    expect(by_name).to_have_attribute("aria-sort", "ascending")
    names = entities.get_by_role("rowheader").all_inner_texts()
    assert names == sorted(names, key=str.casefold)

    entities.get_by_role("link", name="Ottilie").click()
    shown = page.get_by_role("dialog", name="Ottilie")
    expect(shown.get_by_text(re.compile("^Ottilie lives in Bergen$"))).to_be_visible()
    expect(shown.get_by_role("link", name="My sister Ottilie lives in Bergen.")).to_be_visible()
    shown.get_by_label("As of").fill("2001-01-01")
    expect(shown.get_by_text("What held then")).to_be_visible()
    assert_accessible(page)


def test_an_entity_is_renamed_and_that_can_be_taken_back(owner: Person, page: Any) -> None:
    owner.knows("Wilhelmine repaired the harmonium.")
    find(page, "Wilhelmine")
    page.get_by_role("region", name="Entities").get_by_role("link", name="Wilhelmine").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("textbox", name="Name").fill("Minna")
    page.get_by_role("dialog", name="Rename").get_by_role("button", name="Rename").click()
    expect(page.get_by_role("dialog", name="Minna")).to_contain_text("Wilhelmine")
    page.get_by_role("button", name="Close").click()
    entities = page.get_by_role("region", name="Entities")
    expect(entities.get_by_role("link", name="Minna")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(entities.get_by_role("link", name="Wilhelmine")).to_be_visible()


def test_two_names_of_one_are_merged_and_taken_apart_again(owner: Person, page: Any) -> None:
    owner.knows("My uncle Bartholomew lives in Gdansk.")
    owner.knows("My cousin Barty lives in Aarhus.")
    find(page, "Bartholomew")
    page.get_by_role("region", name="Entities").get_by_role("link", name="Bartholomew").click()
    shown = page.get_by_role("dialog", name="Bartholomew")
    shown.get_by_role("button", name="Merge").click()
    for _ in range(30):
        shown.get_by_label("Find the other one").fill("Barty")
        shown.get_by_role("button", name="Find").click()
        found = shown.get_by_role("list", name="Entities found")
        expect(found).to_be_visible()
        if found.get_by_role("button").count() > 0:
            break
        page.wait_for_timeout(DRAWN_MS / 30)
    found.get_by_role("button").first.click()
    page.get_by_role("dialog", name="Merge the two?").get_by_role("button", name="Merge").click()
    expect(shown.get_by_role("link", name="My cousin Barty lives in Aarhus.")).to_be_visible()
    shown.get_by_role("button", name="Take Barty out again").click()
    expect(shown.get_by_role("link", name="My cousin Barty lives in Aarhus.")).to_have_count(0)
    expect(shown.get_by_role("link", name="My uncle Bartholomew lives in Gdansk.")).to_be_visible()


def test_a_fact_that_is_wrong_is_no_longer_believed_until_that_is_undone(
    owner: Person, page: Any
) -> None:
    owner.knows("My brother Ansgar lives in Turku.")
    find(page, "Ansgar")
    page.get_by_role("region", name="Entities").get_by_role("link", name="Ansgar").click()
    fact = page.get_by_role("dialog", name="Ansgar").get_by_text(
        re.compile("^Ansgar lives in Turku$")
    )
    expect(fact).to_be_visible()
    page.get_by_role("button", name="Not so: Ansgar lives in Turku").click()
    expect(fact).to_have_count(0)
    expect(owner.toast("no longer believed")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("region", name="Entities").get_by_role("link", name="Ansgar").click()
    expect(fact).to_be_visible()


def test_two_people_of_one_name_are_told_apart_by_their_memories(owner: Person, page: Any) -> None:
    owner.knows("My friend Matthias lives in Oulu.")
    owner.knows("My neighbour Matthias works at the bakery.")
    find(page, "Matthias")
    page.get_by_role("region", name="Entities").get_by_role("link", name="Matthias").click()
    shown = page.get_by_role("dialog", name="Matthias", exact=True)
    expect(shown.get_by_role("link", name="works at the bakery")).to_be_visible(timeout=DRAWN_MS)
    shown.get_by_role("button", name="Split").click()
    dialog = page.get_by_role("dialog", name="Split Matthias")
    dialog.get_by_role("radio", name="By memory").check()
    dialog.get_by_role("checkbox", name=re.compile("works at the bakery")).check()
    dialog.get_by_role("textbox", name="Name of the other one").fill("Matthias the baker")
    dialog.get_by_role("button", name="Split").click()
    other = page.get_by_role("dialog", name="Matthias the baker")
    expect(other.get_by_role("link", name="works at the bakery")).to_be_visible()
    expect(other.get_by_role("link", name="lives in Oulu")).to_have_count(0)
