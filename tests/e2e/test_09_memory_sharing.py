"""A namespace that is shared with chosen clients: made on its page, and judged where a client asks."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.e2e.person import Person
from tests.e2e.test_03_keys import in_a_thread, recall_over_mcp

QUESTION = "Where are the garden shears?"


def new_token(owner: Person, page: Any, name: str) -> str:
    """Make an access token on the Security page and return its secret."""
    page.goto("/security")
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Make the token").click()
    dialog = page.get_by_role("dialog", name=f"Token “{name}”")
    again = page.get_by_role("dialog", name="Is it still you?")
    expect(dialog.or_(again).first).to_be_visible()
    owner.prove()
    secret: str = dialog.get_by_label("Access token").inner_text().strip()
    dialog.get_by_role("button", name="Done").click()
    return secret


def test_only_the_clients_that_share_a_namespace_find_what_is_in_it(
    owner: Person, page: Any, stack: Any
) -> None:
    trusted = new_token(owner, page, "The gardener's tablet")
    other = new_token(owner, page, "A visiting phone")
    page.goto("/memory/namespaces")
    page.get_by_role("button", name="New namespace").click()
    page.get_by_role("textbox", name="Name").fill("toolshed")
    page.get_by_role("radio", name="Only those chosen here").check()
    page.get_by_role("checkbox", name="The gardener's tablet").check()
    page.get_by_role("button", name="Save").click()
    made = page.get_by_role("list", name="Namespaces").get_by_role("listitem")
    made = made.filter(has_text="toolshed")
    expect(made).to_contain_text("Shared with The gardener's tablet.")

    page.goto("/memory?add=1")
    page.get_by_label("What to remember").fill("The garden shears hang on the third hook.")
    page.get_by_text("Where it belongs, how long it stays").click()
    page.get_by_label("Namespace").select_option("toolshed")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert "third hook" in in_a_thread(lambda: recall_over_mcp(stack, trusted, QUESTION))
    assert "third hook" not in in_a_thread(lambda: recall_over_mcp(stack, other, QUESTION))

    page.goto("/memory/namespaces")
    made.get_by_role("button", name="Share toolshed").click()
    page.get_by_role("checkbox", name="The gardener's tablet").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(made).to_contain_text(re.compile("you alone"))
    assert "third hook" not in in_a_thread(lambda: recall_over_mcp(stack, trusted, QUESTION))
