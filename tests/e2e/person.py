"""A person at a browser."""

from __future__ import annotations

import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.conftest import Stack

PASSWORD = "a lamp in every window"
# A small model on two busy cores takes its time; a person would wait as long.
ANSWER_MS = 120_000


def as_said(text: str) -> re.Pattern[str]:
    """Match the memory that says `text`: the house keeps one of two that differ in capitals or the full stop."""
    return re.compile(rf"^\s*{re.escape(text.rstrip('.'))}\.?\s*$", re.IGNORECASE)


def source(turn: Locator, text: str) -> Locator:
    """Return the memory with `text` that a turn rests on. The answer itself may hold lists of its own."""
    return (
        turn.get_by_role("list", name="Sources").get_by_role("listitem").filter(has_text=text).first
    )


class Person:
    """Somebody with a browser context of their own."""

    def __init__(self, browser: Browser, stack: Stack, username: str, **options: Any) -> None:
        self.browser = browser
        self.stack = stack
        self.username = username
        self.context: BrowserContext = browser.new_context(base_url=stack.url, **options)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page: Page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        # A refused script or style is a hole that somebody tried to use, or one that we made ourselves.
        if message.type == "error" and "Content Security Policy" in message.text:
            self.troubles.append(message.text)

    def leave(self) -> None:
        """Close the browser context. Fails if a page of it was in trouble."""
        self.context.close()
        assert not self.troubles, self.troubles

    def come_in(self) -> None:
        """Become the first owner by the one-time link, or an owner by invitation when the house has one."""
        self.page.goto("/")
        self.page.wait_for_url(re.compile(r"/signin(\?|$)"))
        asked = "async () => (await (await fetch('/auth/setup')).json()).needed"
        if self.page.evaluate(asked):
            expect(self.page.get_by_text("This house has no owner yet")).to_be_visible()
            token = self.setup_token()
            self.fill_account(f"/setup#{token}", "Move in")
            return
        self.username = f"{self.username}-{secrets.token_hex(3)}"
        link = self.identity("invite", "--role", "owner")
        self.fill_account(link[link.index("/invite#") :], "Come in")

    def setup_token(self) -> str:
        """Read the one-time token where `make up` put it."""
        path: Path = self.stack.state / "secrets" / "identity" / "setup_token"
        return path.read_text().strip()

    def identity(self, *arguments: str) -> str:
        """Run one of identity's commands on the machine."""
        command = ["docker", "exec", self.stack.container("identity"), "python", "-m", "identity"]
        return subprocess.run(
            [*command, *arguments], check=True, capture_output=True, text=True, timeout=60
        ).stdout.strip()

    def fill_account(self, path: str, button: str) -> None:
        """Choose a name and a password on the page of a one-time link."""
        # Another fragment of the same page would not load it again.
        self.page.goto("about:blank")
        self.page.goto(path)
        self.page.get_by_label("Name").fill(self.username)
        self.page.get_by_label("Password", exact=True).fill(PASSWORD)
        self.page.get_by_label("The password again").fill(PASSWORD)
        self.page.get_by_role("button", name=button).click()
        expect(self.page.get_by_role("heading", name=self.username)).to_be_visible()

    def sign_in(self) -> None:
        """Sign in with name and password."""
        self.page.goto("/signin")
        self.page.get_by_label("Name").fill(self.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def ask(self, text: str, *, new: bool = False) -> Locator:
        """Ask something, wait for the end of the answer, and return the turn."""
        turn = self.begin(text, new=new)
        expect(turn).to_have_attribute("aria-busy", "false", timeout=ANSWER_MS)
        return turn

    def begin(self, text: str, *, new: bool = False) -> Locator:
        """Ask something and return the turn at once."""
        if new or (
            not self.page.url.startswith(f"{self.stack.url}/?")
            and self.page.url != f"{self.stack.url}/"
        ):
            self.page.goto("/")
        before = self.page.get_by_role("article").count()
        box = self.page.get_by_label("Ask or tell the house something")
        box.fill(text)
        box.press("Enter")
        turns = self.page.get_by_role("article")
        expect(turns).to_have_count(before + 1)
        return turns.last

    def knows(self, text: str) -> None:
        """Make sure that the house remembers `text`, whatever was tested before."""
        self.page.goto("/memory")
        expect(self.page.get_by_role("heading", name="Memory", level=1)).to_be_visible()
        expect(self.page.get_by_role("status").filter(has_text="shown")).to_be_attached()
        if self.page.get_by_text(as_said(text)).count() == 0:
            self.page.get_by_role("button", name="Add a memory").click()
            self.page.get_by_label("What to remember").fill(text)
            self.page.get_by_role("button", name="Save").click()
            expect(self.page.get_by_text(as_said(text))).to_be_visible()

    def prove(self) -> None:
        """Answer "Is it still you?" with the password, if the house asks."""
        dialog = self.page.get_by_role("dialog", name="Is it still you?")
        if dialog.is_visible():
            dialog.get_by_label("Password").fill(PASSWORD)
            dialog.get_by_role("button", name="Continue").click()
            expect(dialog).to_be_hidden()

    def toast(self, text: str) -> Locator:
        """The short news at the edge of the page that says `text`."""
        return self.page.get_by_role("region", name="News").get_by_text(re.compile(text))
