"""Which ways a request may go: decided without a wire."""

from typing import Any

import pytest
from contracts.scheduling import OfferedModel
from hypothesis import given
from hypothesis import strategies as st
from kit.errors import KitError
from model_gateway.catalogue import SERVICE_CLASSES, SKILLS, TIERS, Catalogue, Tier
from model_gateway.errors import (
    ClassRefused,
    GpuUnavailable,
    ModelOff,
    ModelUnable,
    ModelUnknown,
    PromptTooLong,
    RequestInvalid,
    TierRefused,
    TooManyTokens,
)
from model_gateway.terms import read_class, read_name, read_tier
from model_gateway.ways import Needs, Way, choose, find_model

OUTSIDE = {"url": "https://api.example.org/v1", "in_house": False, "via_egress_proxy": True}
BOOK = Catalogue.model_validate(
    {
        "version": 1,
        "backends": {
            "home": {"url": "http://10.0.0.2:8000/v1", "in_house": True},
            "cloud": OUTSIDE,
            "trusted": {**OUTSIDE, "max_tier": "sensitive"},
            "resting": {"url": "http://10.0.0.3:8000/v1", "in_house": True, "enabled": False},
        },
        "models": {
            "small": {"backend": "home", "kind": "chat", "context_tokens": 100},
            "large": {"backend": "cloud", "kind": "chat", "context_tokens": 1000},
            "clinic": {"backend": "trusted", "kind": "chat", "context_tokens": 1000},
            "careful": {
                "backend": "cloud",
                "kind": "chat",
                "context_tokens": 1000,
                "when_private": "small",
            },
            "asleep": {"backend": "resting", "kind": "chat", "context_tokens": 1000},
            "off": {"backend": "home", "kind": "chat", "context_tokens": 1000, "enabled": False},
            "map": {"backend": "home", "kind": "embeddings", "context_tokens": 100},
            "best": {
                "kind": "chat",
                "context_tokens": 100,
                "output_tokens_max": 40,
                "when_private": "deep",
                "routes": [
                    {"gpu": "qwen", "max_tier": "sensitive"},
                    {"backend": "home", "can": ["tools"]},
                    {"backend": "trusted", "context_tokens": 5000, "output_tokens_max": 400},
                    {"backend": "cloud", "classes": ["interactive"], "context_tokens": 9000},
                ],
            },
            "deep": {"kind": "chat", "context_tokens": 100, "routes": [{"gpu": "deep"}]},
        },
    }
)


def offer(model: str, **more: Any) -> OfferedModel:
    said = {"available": True, "resident": True, "max_tier": "sacred", "context_tokens": 2000}
    return OfferedModel.model_validate({"model": model, "kind": "chat", **said, **more})


OFFERS = {name: offer(name) for name in ("qwen", "deep")}
CHAT: Any = {"chat"}


def names(name: str, tier: Tier = "convenience", **more: Any) -> list[str]:
    needs = more.pop("needs", Needs())
    return [way.name for way in choose(BOOK, name, needs, tier=tier, **more)]


def test_a_request_that_says_nothing_of_its_tier_is_taken_for_sacred() -> None:
    assert read_tier([]) == "sacred"


@pytest.mark.parametrize("header", ["", "Sacred", "public", "convenience,sacred", "sacred "])
def test_a_tier_that_does_not_exist_is_refused_and_not_guessed(header: str) -> None:
    with pytest.raises(RequestInvalid):
        read_tier([header])


@pytest.mark.parametrize("headers", [["convenience", "sacred"], ["convenience", "convenience"]])
def test_a_tier_that_is_said_twice_is_refused(headers: list[str]) -> None:
    with pytest.raises(RequestInvalid):
        read_tier(headers)


def test_a_person_is_waited_for_and_a_service_waits() -> None:
    assert read_class([], person=True) == "interactive"
    assert read_class([], person=False) == "batch"
    assert read_class(["voice"], person=False) == "voice"
    with pytest.raises(RequestInvalid):
        read_class(["urgent"], person=True)


@pytest.mark.parametrize("header", ["", "a b", "x" * 65, "a\nb", "-a"])
def test_a_name_in_a_header_is_plain(header: str) -> None:
    with pytest.raises(RequestInvalid):
        read_name([header], "X-Lares-Agent")


def test_private_text_is_answered_by_the_model_of_the_house_that_the_file_names() -> None:
    assert names("careful") == ["cloud"]
    for tier in ("sensitive", "sacred"):
        [way] = choose(BOOK, "careful", Needs(), tier=tier)
        assert way.model == "small"
    with pytest.raises(ModelOff):
        names("careful", "sacred", disabled={"small"})


@pytest.mark.parametrize(
    ("name", "tier", "allowed"),
    [
        ("small", "sacred", True),
        ("small", "convenience", True),
        ("large", "convenience", True),
        ("large", "sensitive", False),
        ("large", "sacred", False),
        ("clinic", "sensitive", True),
        ("clinic", "sacred", False),
    ],
)
def test_text_goes_only_where_its_tier_may(name: str, tier: Tier, allowed: bool) -> None:
    if allowed:
        assert names(name, tier)
    else:
        with pytest.raises(TierRefused):
            names(name, tier)


def test_ways_are_tried_in_the_order_of_the_file() -> None:
    assert names("best", offers=OFFERS) == ["gpu:qwen", "home", "trusted", "cloud"]
    assert names("best", "sensitive", offers=OFFERS) == ["gpu:qwen", "home", "trusted"]
    assert names("best", "sacred", offers=OFFERS) == ["home"]
    assert names("best", "sacred", offers=OFFERS, disabled={"home"}) == ["gpu:deep"]


def test_a_gpu_way_is_none_while_no_node_offers_it() -> None:
    assert names("best") == ["home", "trusted", "cloud"]
    away = {"qwen": offer("qwen", available=False, why="its node is away")}
    assert names("best", offers=away) == ["home", "trusted", "cloud"]
    with pytest.raises(GpuUnavailable):
        names("deep")
    with pytest.raises(GpuUnavailable, match="banned"):
        names("deep", offers={"deep": offer("deep", available=False, why="it is banned")})


def test_a_queue_that_is_too_long_is_waited_in_only_where_nothing_else_is_left() -> None:
    long = {name: offer(name, expected_wait_seconds=301.0) for name in ("qwen", "deep")}
    assert names("best", offers=long) == ["home", "trusted", "cloud"]
    assert names("deep", offers=long) == ["gpu:deep"]


def test_a_node_may_be_shown_less_than_the_file_says_and_never_more() -> None:
    shy = {"qwen": offer("qwen", max_tier="convenience")}
    assert names("best", "sensitive", offers=shy) == ["home", "trusted"]
    open_to_all = {"qwen": offer("qwen", max_tier="sacred")}
    assert names("best", "sacred", offers=open_to_all) == ["home"]


def test_a_request_goes_only_where_it_fits() -> None:
    long = Needs(prompt_chars=801)
    # The node says that its model's context is 2000 tokens.
    assert names("best", needs=long, offers=OFFERS) == ["gpu:qwen", "trusted", "cloud"]
    assert names("best", needs=Needs(prompt_chars=17_000), offers=OFFERS) == ["trusted", "cloud"]
    assert names("best", needs=Needs(output_tokens=41), offers=OFFERS) == ["trusted"]
    assert names("best", needs=Needs(skills=frozenset({"vision"}))) == ["trusted", "cloud"]
    assert names("best", service_class="batch") == ["home", "trusted"]
    with pytest.raises(PromptTooLong):
        names("small", needs=long)
    with pytest.raises(TooManyTokens):
        names("small", needs=Needs(output_tokens=101))
    with pytest.raises(ModelUnable, match="vision"):
        names("best", needs=Needs(skills=frozenset({"vision"})), disabled={"outside", "gpu"})
    with pytest.raises(ClassRefused):
        names("best", service_class="voice", disabled={"home", "trusted", "gpu"})


@given(
    name=st.sampled_from(sorted(BOOK.models)),
    tier=st.sampled_from(TIERS),
    service_class=st.sampled_from(SERVICE_CLASSES),
    disabled=st.sets(
        st.sampled_from(["outside", "gpu", "qwen", "home", "cloud", "trusted", "small", "best"])
    ),
    offered=st.dictionaries(
        st.sampled_from(["qwen", "deep"]),
        st.tuples(st.booleans(), st.sampled_from(TIERS), st.integers(1, 3000)),
    ),
    needs=st.builds(
        Needs,
        prompt_chars=st.integers(0, 100_000),
        output_tokens=st.none() | st.integers(1, 500),
        inputs=st.integers(0, 80),
        skills=st.frozensets(st.sampled_from(SKILLS)),
    ),
)
def test_no_way_is_ever_shown_more_than_its_tier_whatever_else_is_off_or_away(
    name: str,
    tier: Tier,
    service_class: Any,
    disabled: set[str],
    offered: dict[str, tuple[bool, Tier, int]],
    needs: Needs,
) -> None:
    offers = {
        model: offer(model, available=available, max_tier=limit, context_tokens=context)
        for model, (available, limit, context) in offered.items()
    }
    try:
        ways = choose(
            BOOK,
            name,
            needs,
            tier=tier,
            service_class=service_class,
            disabled=disabled,
            offers=offers,
        )
    except KitError:
        return
    assert ways
    for way in ways:
        assert TIERS.index(tier) <= TIERS.index(limit_of(way, offers))
        assert way.in_house or tier != "sacred"
        assert way.in_house or "outside" not in disabled
        assert not disabled & {way.model, way.name}
        assert way.gpu is None or offers[way.gpu].available


def limit_of(way: Way, offers: dict[str, OfferedModel]) -> Tier:
    """Said once more and apart from the code: the least of what backend, file and node allow."""
    limits: list[Tier] = [way.leg.max_tier or "sacred"]
    if way.backend is not None:
        limits.append(way.backend.max_tier or ("sacred" if way.backend.in_house else "convenience"))
    if way.gpu is not None:
        limits.append(offers[way.gpu].max_tier)
    return min(limits, key=TIERS.index)


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        ModelUnknown, match="asleep, best, careful, clinic, deep, large, off, small"
    ):
        find_model(BOOK, "gpt", CHAT)


def test_a_model_is_not_asked_for_what_it_is_not_for() -> None:
    with pytest.raises(ModelUnknown):
        find_model(BOOK, "map", CHAT)


@pytest.mark.parametrize("name", [None, "", 3, ["small"]])
def test_a_model_has_a_name(name: Any) -> None:
    with pytest.raises(RequestInvalid):
        find_model(BOOK, name, CHAT)


@pytest.mark.parametrize("name", ["asleep", "off"])
def test_what_the_file_turns_off_is_off(name: str) -> None:
    with pytest.raises(ModelOff):
        names(name)


@pytest.mark.parametrize(
    ("switch", "still_on"),
    [
        ("all", set()),
        ("outside", {"small", "deep"}),
        ("cloud", {"small", "clinic", "deep"}),
        ("small", {"large", "clinic", "deep"}),
        ("home", {"large", "clinic", "deep"}),
        ("gpu", {"small", "large", "clinic"}),
        ("deep", {"small", "large", "clinic"}),
    ],
)
def test_the_off_switch_turns_off_what_it_names_and_nothing_else(
    switch: str, still_on: set[str]
) -> None:
    on: set[str] = set()
    for name in ("small", "large", "clinic", "deep"):
        try:
            names(name, disabled={switch}, offers=OFFERS)
            on.add(name)
        except ModelOff:
            continue
    assert on == still_on
