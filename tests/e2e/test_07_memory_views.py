"""The views of memory: time, graph, levels, namespaces, files, and what one memory's panel can do."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.conftest import ARTIFACTS
from tests.e2e.person import Person
from tests.e2e.test_04_pages import SIZES, assert_accessible, settle

VIEWS = {
    "Timeline": "/memory/timeline",
    "Graph": "/memory/graph",
    "Levels": "/memory/levels",
    "Namespaces": "/memory/namespaces",
    "Export and import": "/memory/transfer",
}


def panel_of(page: Any, text: str) -> Locator:
    """Open the panel of the memory that says `text`, from the list."""
    page.goto("/memory")
    page.get_by_role("link", name=re.compile(f"^Open “{re.escape(text[:40])}")).first.click()
    panel = page.get_by_role("dialog", name="Memory")
    expect(panel).to_contain_text(text)
    return panel


def test_the_tabs_and_the_palette_reach_every_view(owner: Person, page: Any) -> None:
    page.goto("/memory")
    for title, path in VIEWS.items():
        page.get_by_role("navigation", name="Views of memory").get_by_role(
            "link", name=title
        ).click()
        expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
        expect(page).to_have_url(re.compile(f"{path}$"))
        expect(
            page.get_by_role("navigation", name="Pages").get_by_role("link", name="Memory")
        ).to_have_attribute("aria-current", "true")
    page.keyboard.press("Control+k")
    page.keyboard.type("timel")
    palette = page.get_by_role("dialog", name="Command palette")
    expect(palette.get_by_role("option", selected=True)).to_contain_text("Go to Timeline")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Timeline", level=1)).to_be_visible()


def test_the_filters_are_in_the_address_and_each_can_be_taken_off(owner: Person, page: Any) -> None:
    owner.knows("The ladder stands behind the shed.")
    page.goto("/memory?q=ladder")
    page.get_by_role("button", name="Filters", exact=True).click()
    page.get_by_label("Level").select_option("identity")
    expect(page).to_have_url(re.compile(r"level=identity"))
    expect(page.get_by_text("Nothing found")).to_be_visible()
    page.get_by_role("button", name="Remove filter: level identity").click()
    expect(page).not_to_have_url(re.compile(r"level="))
    expect(page.get_by_text("The ladder stands behind the shed.")).to_be_visible()
    page.get_by_label("Until").fill("2020-01-01")
    expect(page.get_by_text("Nothing found")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Remove filter: until 2020-01-01")).to_be_visible()


def test_the_timeline_counts_by_month_and_opens_one(owner: Person, page: Any) -> None:
    owner.knows("The plum tree was planted.")
    page.goto("/memory")
    page.get_by_role("button", name="Edit “The plum tree was planted.”").click()
    page.get_by_text("Where it belongs, how long it stays").click()
    page.get_by_label("It happened").fill("2021-04-17T10:00")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.goto("/memory/timeline")
    page.get_by_label("Jump to month").fill("2021-04")
    expect(page).to_have_url(re.compile(r"at=2021-04-30"))
    page.get_by_role("button", name=re.compile(r"^April 2021 1")).click()
    opened = page.get_by_role("region", name="Memories of what was chosen")
    expect(opened.get_by_role("heading", name="April 2021")).to_be_visible()
    opened.get_by_role("link", name="The plum tree was planted.").click()
    expect(page.get_by_role("dialog", name="Memory")).to_contain_text("Happened")
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Days").click()
    expect(page.get_by_role("button", name=re.compile(r"^Apr 17, 2021 1"))).to_be_visible()


def test_what_is_no_longer_true_is_replaced_and_can_be_restored(owner: Person, page: Any) -> None:
    owner.knows("The bins are emptied on Monday.")
    panel = panel_of(page, "The bins are emptied on Monday.")
    panel.get_by_role("button", name="No longer true").click()
    page.get_by_role("textbox", name="What holds now").fill("The bins are emptied on Thursday.")
    page.get_by_role("button", name="Replace it").click()
    expect(panel.get_by_text("The bins are emptied on Thursday.")).to_be_visible()
    panel.get_by_role("link", name="The bins are emptied on Monday.").click()
    expect(panel.get_by_text("It is superseded")).to_be_visible()

    # It ranks below what replaced it, and says so.
    page.goto("/memory?q=when+are+the+bins+emptied")
    rows = page.get_by_role("list", name=re.compile("^Memories found")).locator("> li")
    expect(rows.filter(has_text="on Monday.")).to_contain_text("superseded")
    texts = [text for text in rows.all_inner_texts() if "The bins are emptied" in text]
    assert "Thursday" in texts[0]
    assert "Monday" in texts[1]

    rows.filter(has_text="on Monday.").get_by_role("link", name="what replaced it").click()
    panel.get_by_role("link", name="The bins are emptied on Monday.").click()
    panel.get_by_role("button", name="Restore").click()
    expect(panel.get_by_text("It is superseded")).to_have_count(0)


def test_two_memories_that_say_the_same_become_one_with_both_sources(
    owner: Person, page: Any
) -> None:
    owner.knows("The attic key is in the blue tin.")
    owner.knows("In the kitchen's blue tin lies the key of the attic room.")
    panel = panel_of(page, "The attic key is in the blue tin.")
    panel.get_by_role("button", name="Merge").click()
    dialog = page.get_by_role("dialog", name="Merge with another")
    dialog.get_by_role("radio", name=re.compile("^In the kitchen's blue tin")).check()
    dialog.get_by_role("button", name="Merge them").click()
    expect(panel.get_by_role("heading", name="2 sources")).to_be_visible()
    page.goto("/memory?q=attic+key")
    expect(page.get_by_role("list", name=re.compile("^Memories found"))).to_be_visible()
    expect(page.get_by_text("In the kitchen's blue tin")).to_have_count(0)


def test_forgetting_shows_the_proof(owner: Person, page: Any) -> None:
    owner.knows("The old safe's number is 4711.")
    panel = panel_of(page, "The old safe's number is 4711.")
    panel.get_by_role("button", name="Forget").click()
    page.get_by_role("dialog", name="Forget this?").get_by_role("button", name="Forget it").click()
    proof = page.get_by_role("dialog", name="Forgotten")
    expect(proof).to_contain_text("1 memory forgotten and verified")
    expect(proof.get_by_role("rowheader", name="rows")).to_be_visible()
    expect(proof.get_by_text("Backups", exact=True)).to_be_visible()
    assert_accessible(page)
    proof.get_by_role("button", name="Done").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text("The old safe's number is 4711.")).to_have_count(0)


def test_the_levels_show_their_promise_and_a_dry_run_moves_nothing(
    owner: Person, page: Any
) -> None:
    page.goto("/memory/levels")
    levels = page.get_by_role("list", name="The five levels").locator("> li")
    expect(levels).to_have_count(5)
    expect(levels.filter(has_text="Session")).to_contain_text("30 minutes")
    expect(levels.filter(has_text="Episodic")).to_contain_text("7 days")
    expect(levels.filter(has_text="Identity")).to_contain_text("6,000")
    page.get_by_role("button", name="Show what would move").click()
    expect(
        page.get_by_role("status").filter(has_text=re.compile("Nothing (was moved|is due)"))
    ).to_be_visible()
    page.get_by_role("button", name="Run now").click()
    expect(owner.toast("Moved:|Nothing was due")).to_be_visible()


def test_a_memory_that_is_used_moves_up_and_the_journal_says_why(owner: Person, page: Any) -> None:
    page.goto("/memory?add=1")
    page.get_by_label("What to remember").fill("The meeting about the fence is at the mill.")
    page.get_by_text("Where it belongs, how long it stays").click()
    page.get_by_label("Level").select_option("session")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    # Two uses are what it takes.
    for _ in range(3):
        page.goto("/memory?q=where+is+the+meeting+about+the+fence")
        expect(page.get_by_role("list", name=re.compile("^Memories found"))).to_contain_text(
            "fence"
        )
    page.goto("/memory/levels")
    journal = page.get_by_role("list", name="Moves, newest first")
    moved = journal.get_by_role("listitem").filter(has_text="promoted from Session to Working")
    for _ in range(20):
        page.get_by_role("button", name="Run now").click()
        expect(owner.toast("Moved:|Nothing was due").first).to_be_visible()
        if moved.count() > 0:
            break
        page.wait_for_timeout(3000)
    moved.first.get_by_role("link", name="the memory").click()
    expect(page.get_by_role("dialog", name="Memory")).to_contain_text("the fence")


def test_consolidation_is_switched_off_and_on_again_by_undo(owner: Person, page: Any) -> None:
    page.goto("/memory/levels")
    switch = page.get_by_role("switch")
    expect(switch).to_be_checked()
    switch.uncheck()
    expect(owner.toast("Consolidation is off")).to_be_visible()
    page.reload()
    expect(page.get_by_role("switch")).not_to_be_checked()
    page.get_by_role("switch").check()
    expect(owner.toast("Consolidation is on")).to_be_visible()


def test_a_namespace_is_made_shared_and_deleted(owner: Person, page: Any) -> None:
    page.goto("/memory/namespaces")
    page.get_by_role("button", name="New namespace").click()
    name = page.get_by_role("textbox", name="Name")
    name.fill("Garden!")
    expect(page.get_by_text("Small letters")).to_be_visible()
    name.fill("garden")
    page.get_by_role("radio", name="Only those chosen here").check()
    page.get_by_role("button", name="Save").click()
    made = (
        page.get_by_role("list", name="Namespaces")
        .get_by_role("listitem")
        .filter(has_text="garden")
    )
    expect(made).to_contain_text("private")
    expect(made).to_contain_text("you alone")
    made.get_by_role("button", name="Share garden").click()
    page.get_by_role("radio", name=re.compile("^All your clients")).check()
    page.get_by_role("button", name="Save").click()
    expect(made).to_contain_text("shared")
    made.get_by_role("button", name="Delete garden").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(made).to_have_count(0)


def test_all_of_a_namespace_is_forgotten_once_its_number_is_typed(owner: Person, page: Any) -> None:
    page.goto("/memory/namespaces")
    page.get_by_role("button", name="New namespace").click()
    page.get_by_role("textbox", name="Name").fill("attic")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    for text in ("The trunk holds winter coats.", "The rocking horse has lost an ear."):
        page.goto("/memory?add=1")
        page.get_by_label("What to remember").fill(text)
        page.get_by_text("Where it belongs, how long it stays").click()
        page.get_by_label("Namespace").select_option("attic")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto("/memory?namespace=attic")
    page.get_by_role("button", name="Forget all of these").click()
    dialog = page.get_by_role("dialog", name="Forget all of these?")
    expect(dialog).to_contain_text("2 memories")
    expect(dialog.get_by_role("button", name="Forget them")).to_be_disabled()
    dialog.get_by_label("Type the number 2 to confirm").fill("2")
    dialog.get_by_role("button", name="Forget them").click()
    proof = page.get_by_role("dialog", name="Forgotten")
    expect(proof).to_contain_text("2 memories forgotten and verified", timeout=30_000)
    proof.get_by_role("button", name="Done").click()
    expect(page.get_by_text("Nothing found")).to_be_visible()
    page.goto("/memory/namespaces")
    page.get_by_role("button", name="Delete attic").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Delete attic")).to_have_count(0)


def test_memories_leave_as_a_zip_and_come_back_as_edits(owner: Person, page: Any) -> None:
    owner.knows("The well is nine metres deep.")
    page.goto("/memory/transfer")
    with page.expect_download() as begun:
        page.get_by_role("button", name="Download").click()
    data = begun.value.path().read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert "MEMORY.md" in {name.rsplit("/", 1)[-1] for name in archive.namelist()}
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert any("The well is nine metres deep." in text for text in parts.values())

    edited = io.BytesIO()
    with zipfile.ZipFile(edited, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text.replace("nine metres deep", "ten metres deep"))
    file = {"name": "memory.zip", "mimeType": "application/zip", "buffer": edited.getvalue()}
    page.get_by_label("File", exact=True).set_input_files(file)
    expect(page.get_by_text("Nothing was changed yet.")).to_be_visible()
    outcome = page.get_by_role("list", name="Rows by outcome")
    expect(outcome).to_contain_text("1 edited")
    page.get_by_role("button", name="Import 1 change").click()
    page.get_by_role("dialog").get_by_role("button", name="Import").click()
    expect(page.get_by_text("Imported.")).to_be_visible()
    page.goto("/memory?q=how+deep+is+the+well")
    expect(page.get_by_text("The well is ten metres deep.")).to_be_visible()


def test_json_lines_hold_one_memory_each_and_a_strange_file_is_not_sent(
    owner: Person, page: Any
) -> None:
    owner.knows("The gate squeaks.")
    page.goto("/memory/transfer")
    page.get_by_role("radio", name=re.compile("^JSON Lines")).check()
    with page.expect_download() as begun:
        page.get_by_role("button", name="Download").click()
    lines = [json.loads(line) for line in begun.value.path().read_text().splitlines()]
    assert "The gate squeaks." in json.dumps(lines)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.get_by_label("File", exact=True).set_input_files(
        {"name": "virus.exe", "mimeType": "application/octet-stream", "buffer": b"MZ"}
    )
    expect(page.get_by_text("can be imported")).to_be_visible()
    assert not [url for url in sent if "/import" in url]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("title", VIEWS)
def test_axe_finds_nothing_in_any_view_and_nothing_scrolls_sideways(
    owner: Person, page: Any, title: str, size: str, scheme: str
) -> None:
    page.set_viewport_size(SIZES[size])
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    try:
        page.goto(VIEWS[title])
        settle(page)
        name = VIEWS[title].rsplit("/", 1)[-1]
        page.screenshot(path=ARTIFACTS / f"{name}-{size}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert_accessible(page)
    finally:
        page.set_viewport_size(SIZES["desktop"])
        page.emulate_media(color_scheme="light", reduced_motion="no-preference")


def test_the_panel_of_a_memory_is_accessible_and_gives_the_focus_back(
    owner: Person, page: Any
) -> None:
    owner.knows("The panel shows where this came from.")
    page.goto("/memory")
    opener = page.get_by_role("link", name=re.compile("^Open “The panel shows")).first
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Memory")).to_contain_text("from dashboard")
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()
