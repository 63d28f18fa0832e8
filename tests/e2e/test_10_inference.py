"""The cards: a question that is answered on the GPU node, the page that shows it and what its owner orders there.

What an order does is seen on the node's own engine, not on the page alone.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import expect

from tests.e2e.conftest import ARTIFACTS, OPEN
from tests.e2e.person import Person
from tests.e2e.test_01_asking import WATCH_WORDS
from tests.e2e.test_04_pages import SIZES, assert_accessible, settle
from tests.gpu.asking import ask, chat
from tests.gpu.crowd import Crowd, until
from tests.gpu.node import GpuNode

pytestmark = pytest.mark.timeout(300)

STARTED_MS = 60_000
QUESTION = "Explain in three sentences why the sky is blue."
CATALOGUE = {"tiny-a", "tiny-b", "tiny-c", "huge"}
SPENT = """async () => {
  const usage = await (await fetch('/api/inference/usage?by=way')).json();
  return Object.fromEntries(usage.rows.map((row) => [row.way, row.calls - row.failed]));
}"""
ORDER = """async (order) => {
  const token = /csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? "";
  const headers = { "Content-Type": "application/json", "X-CSRFToken": token };
  return (await fetch("/api/inference/orders", { method: "POST", headers, body: JSON.stringify(order) })).status;
}"""


@pytest.fixture(scope="module")
def keeper(browser: Any, stack: Any) -> Person:
    """An owner who looks after the cards."""
    person = Person(browser, stack, "keeper")
    OPEN.callback(person.leave)
    person.come_in()
    return person


@pytest.fixture
def page(keeper: Person, gpu_node: GpuNode, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The keeper's page; what it looked like at the end of a failed test is kept."""
    ARTIFACTS.mkdir(exist_ok=True)
    keeper.page.bring_to_front()
    yield keeper.page
    report = getattr(request.node, "report_of_call", None)
    if report is not None and report.failed:
        keeper.page.screenshot(path=ARTIFACTS / f"failed-{request.node.name}.png", full_page=True)


@pytest.fixture(scope="module")
def by_the_node(stack: Any, gpu_node: GpuNode) -> Iterator[None]:
    """The model that answers in the dashboard has two ways: the node's tiny-b, then the house's own."""
    file: Path = stack.state / "models-with-gpu.yaml"
    before = file.read_text()
    book = yaml.safe_load(before)
    model = book["models"]["lares-small"]
    model.pop("backend", None)
    model["routes"] = [{"gpu": "tiny-b"}, {"backend": "local-llm"}]
    # Written where it is: another file in its place would not be the one that is mounted.
    file.write_text(yaml.safe_dump(book, sort_keys=False))
    restart_gateway(stack)
    yield
    file.write_text(before)
    restart_gateway(stack)


def restart_gateway(stack: Any) -> None:
    """Start the gateway anew; return when it offers the node's models."""
    restarted = ["docker", "restart", "-t", "5", stack.container("model-gateway")]
    subprocess.run(restarted, check=True, capture_output=True, timeout=60)

    def offered() -> bool:
        try:
            said = ask(
                stack,
                "orchestrator",
                "GET",
                f"http://{stack.net}.30.2:8000/v1/models/tiny-b",
                timeout_s=5,
            )
        except AssertionError:
            return False
        return said.status == 200 and said.content["routes"][0]["available"]

    until(offered, 45, "the gateway does not offer the node's models")


def running(node: GpuNode, model: str) -> list[str]:
    """Return the containers of a model that the node's engine runs."""
    return node.docker("ps", "-q", "--filter", f"label=house.lares.model={model}").split()


def resident_mib(node: GpuNode, container: str) -> float:
    """Return what a container's processes hold of the machine's memory."""
    pids = node.docker("top", container, "-o", "pid").split()[1:]
    held = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    return sum(held) * 4096 / 2**20


def row_of(page: Any, model: str) -> Any:
    """The catalogue's row of a model."""
    rows = page.get_by_role("region", name="Models of the GPU nodes").get_by_role("row")
    return rows.filter(has=page.get_by_role("rowheader", name=re.compile(f"^{model}")))


def press(page: Any, name: str) -> None:
    """Press the catalogue's button of that name, and confirm where the page asks."""
    page.get_by_role("button", name=name, exact=True).click()
    dialog = page.get_by_role("dialog", name=f"{name}?")
    if dialog.count():
        dialog.get_by_role("button", name=name.split()[0]).click()


def show(page: Any) -> None:
    """Open the page of the cards."""
    page.goto("/inference")
    expect(page.get_by_role("heading", name="Models", level=1)).to_be_visible()
    expect(page.get_by_text("forge: up")).to_be_visible(timeout=20_000)


def all_off(page: Any, node: GpuNode) -> None:
    """Have every model leave the card."""
    for model in CATALOGUE - {"huge"}:
        if running(node, model):
            assert page.evaluate(ORDER, {"verb": "evict", "on": model}) == 202
    until(lambda: not node.models(), 30, "models run still", node.models)


def needs(page: Any, title: str) -> bool:
    """Whether the way in says that this needs its owner, and leads to the page of the cards."""
    page.goto("/")
    region = page.get_by_role("region", name="What needs you")
    expect(region.locator("a, .calm:not([aria-hidden])").first).to_be_visible()
    link = region.get_by_role("link", name=re.compile(title))
    return link.count() == 1 and link.get_attribute("href") == "/inference"


def test_a_question_is_answered_word_by_word_by_the_node(
    keeper: Person, page: Any, gpu_node: GpuNode, by_the_node: None
) -> None:
    page.goto("/")
    before = page.evaluate(SPENT)
    page.evaluate(WATCH_WORDS)
    turn = keeper.ask(QUESTION)
    expect(turn.locator(".prose")).not_to_be_empty()
    assert page.evaluate("window.lengths.size") >= 3, "it did not stream"
    assert running(gpu_node, "tiny-b")
    until(
        lambda: page.evaluate(SPENT).get("gpu:tiny-b", 0) > before.get("gpu:tiny-b", 0),
        20,
        "no call over the node was written down",
        lambda: page.evaluate(SPENT),
    )
    show(page)
    page.get_by_label("By", exact=True).select_option("way")
    spent = page.get_by_role("region", name="What calls took")
    expect(spent.get_by_role("rowheader", name="gpu:tiny-b")).to_be_visible()


def test_with_the_node_away_the_house_answers_and_the_page_says_so(
    keeper: Person, page: Any, gpu_node: GpuNode, by_the_node: None
) -> None:
    show(page)
    before = page.evaluate(SPENT)
    with gpu_node.unplugged():
        expect(page.get_by_text("forge cannot be reached.")).to_be_visible(timeout=20_000)
        turn = keeper.ask(QUESTION, new=True)
        expect(turn.locator(".prose")).not_to_be_empty()
        until(lambda: needs(page, "forge cannot be reached"), 90, "nobody is told on the way in")
    until(
        lambda: page.evaluate(SPENT).get("local-llm", 0) > before.get("local-llm", 0),
        20,
        "the house's own model was not called",
        lambda: page.evaluate(SPENT),
    )
    assert page.evaluate(SPENT).get("gpu:tiny-b") == before.get("gpu:tiny-b")
    show(page)
    expect(page.get_by_text("forge cannot be reached.")).to_have_count(0)


def test_the_catalogue_loads_sends_to_sleep_wakes_and_evicts_on_the_node(
    page: Any, gpu_node: GpuNode
) -> None:
    show(page)
    all_off(page, gpu_node)
    row = row_of(page, "tiny-a")
    press(page, "Load tiny-a")
    expect(row.get_by_text("ready", exact=True)).to_be_visible(timeout=STARTED_MS)
    [container] = running(gpu_node, "tiny-a")
    bar = page.get_by_role("img", name=re.compile("of 6.0 GiB in use"))
    expect(bar).to_be_visible()
    expect(bar.locator('[title^="tiny-a: Model"]')).to_be_visible()
    awake = resident_mib(gpu_node, container)
    press(page, "Sleep tiny-a")
    expect(row.get_by_text("asleep", exact=True)).to_be_visible(timeout=STARTED_MS)
    until(
        lambda: resident_mib(gpu_node, container) < awake * 0.6,
        10,
        f"it sleeps and holds its {awake:.0f} MiB",
    )
    press(page, "Wake tiny-a")
    expect(row.get_by_text("ready", exact=True)).to_be_visible(timeout=STARTED_MS)
    assert running(gpu_node, "tiny-a") == [container]
    press(page, "Evict tiny-a")
    expect(row.get_by_text("stopped", exact=True)).to_be_visible(timeout=STARTED_MS)
    until(lambda: not running(gpu_node, "tiny-a"), 10, "its container runs still")


def test_a_pin_holds_and_is_undone_and_a_ban_is_obeyed(
    page: Any, stack: Any, gpu_node: GpuNode
) -> None:
    show(page)
    row = row_of(page, "tiny-c")
    press(page, "Pin tiny-c")
    expect(row.get_by_text("pinned", exact=True)).to_be_visible()
    page.get_by_role("region", name="News").get_by_role("button", name="Undo").first.click()
    expect(row.get_by_text("pinned", exact=True)).to_have_count(0)
    press(page, "Ban tiny-c")
    try:
        expect(row.get_by_text("banned", exact=True)).to_be_visible()
        assert page.evaluate(ORDER, {"verb": "load", "on": "tiny-c"}) == 409
        refused = chat(stack, "tiny-c")
        assert refused.status >= 400
        assert refused.content["error"]["code"].startswith("inference.")
        until(lambda: not running(gpu_node, "tiny-c"), 30, "it is banned and runs")
    finally:
        press(page, "Allow tiny-c")
    expect(row.get_by_text("banned", exact=True)).to_have_count(0)
    assert chat(stack, "tiny-c").status == 200


def test_who_waits_is_seen_in_order_with_why(page: Any, stack: Any, gpu_node: GpuNode) -> None:
    show(page)
    expect(page.get_by_text("Nobody waits.")).to_be_visible(timeout=20_000)
    with Crowd(stack, ("tiny-a",), 8):
        queue = page.get_by_role("region", name="Queue")
        expect(queue.get_by_label("Place 1")).to_be_visible(timeout=STARTED_MS)
        expect(queue.get_by_label("Place 3")).to_be_visible(timeout=STARTED_MS)
        waiting = queue.get_by_role("listitem").first
        expect(waiting).to_contain_text("tiny-a for orchestrator")
        expect(waiting).to_contain_text("waits for")
        page.screenshot(path=ARTIFACTS / "inference-busy.png", full_page=True)
    expect(page.get_by_text("Nobody waits.")).to_be_visible(timeout=20_000)


def test_each_decision_is_a_sentence(page: Any, gpu_node: GpuNode) -> None:
    show(page)
    decided = page.get_by_role("region", name="Decisions").get_by_role("listitem")
    expect(decided.first).to_be_visible()
    shown = decided.all_inner_texts()
    assert len(shown) >= 5
    for text in shown:
        what, why = text.splitlines()[0], text.splitlines()[1:]
        assert what
        assert any(len(line.split()) >= 3 for line in why), text
    page.get_by_role("button", name="Show older ones").click()
    expect(page.get_by_role("region", name="Decisions").get_by_role("alert")).to_have_count(0)


def test_the_brake_stops_the_cards_and_lets_them_go_on(
    page: Any, stack: Any, gpu_node: GpuNode
) -> None:
    show(page)
    page.get_by_role("button", name="Stop using the cards").click()
    try:
        expect(page.get_by_text("The cards are at rest.")).to_be_visible()
        refused = chat(stack, "tiny-a")
        assert refused.status == 503
        assert "paused" in json.dumps(refused.content)
        assert chat(stack, "tiny-b").status == 200, "the house's own model answers"
    finally:
        page.get_by_role("button", name="Use the cards again").click()
    expect(page.get_by_text("The cards are at rest.")).to_have_count(0)
    until(lambda: chat(stack, "tiny-a").status == 200, 30, "the cards are at rest still")


def test_the_keyboard_alone_gives_an_order(page: Any, gpu_node: GpuNode) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Command palette")
    expect(palette.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("go models")
    expect(page.get_by_role("option", selected=True)).to_contain_text("Go to Models")
    page.keyboard.press("Enter")
    expect(page.get_by_text("forge: up")).to_be_visible(timeout=20_000)
    button = page.get_by_role("button", name="Pin tiny-b", exact=True)
    expect(button).to_be_visible()
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Pin tiny-b":
            break
    page.keyboard.press("Enter")
    expect(row_of(page, "tiny-b").get_by_text("pinned", exact=True)).to_be_visible()
    page.get_by_role("button", name="Unpin tiny-b", exact=True).focus()
    page.keyboard.press("Enter")
    expect(row_of(page, "tiny-b").get_by_text("pinned", exact=True)).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_on_cards_at_work(
    page: Any, stack: Any, gpu_node: GpuNode, size: str, scheme: str
) -> None:
    page.set_viewport_size(SIZES[size])
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    try:
        with Crowd(stack, ("tiny-a",), 4):
            show(page)
            expect(page.get_by_label("Place 1")).to_be_visible(timeout=STARTED_MS)
            settle(page)
            page.screenshot(path=ARTIFACTS / f"cards-{size}-{scheme}.png", full_page=True)
            # The tables behind the bars, too.
            page.evaluate(
                "document.querySelectorAll('details').forEach((one) => (one.open = true))"
            )
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert_accessible(page)
    finally:
        page.set_viewport_size(SIZES["desktop"])
        page.emulate_media(color_scheme="light", reduced_motion="no-preference")


def test_a_member_is_shown_no_cards_and_can_order_nothing(
    keeper: Person, browser: Any, stack: Any, gpu_node: GpuNode
) -> None:
    link = keeper.identity("invite", "--role", "member")
    member = Person(browser, stack, f"guest{link[-4:].lower()}")
    member.fill_account(link[link.index("/invite#") :], "Come in")
    member.page.goto("/inference")
    expect(member.page.get_by_role("alert")).to_contain_text("inference.")
    expect(member.page.get_by_role("region", name="Models of the GPU nodes")).to_have_count(0)
    for verb in ("evict", "pause"):
        assert member.page.evaluate(ORDER, {"verb": verb, "on": "tiny-a"}) == 403
    for path in ("status", "history", "decisions", "usage", "budgets"):
        said = f"async () => (await fetch('/api/inference/{path}')).status"
        assert member.page.evaluate(said) == 403, path
    member.leave()
