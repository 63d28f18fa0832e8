"""Which ways a request may go, in which order. Pure: no I/O, no clock.

`choose` decides in this order:
1. the model's name is known, and of a kind that the endpoint asks;
2. a way that is switched off is none: `enabled`, the off switch, `outside`;
3. a way that may not see text of the request's tier is none; where no way is left, the model that the file names for
   private text is asked instead, and where there is none the request is refused; so is one that is not `convenience` and
   names something by an address, which whoever answers would ask for;
4. a way that cannot do what is asked (context, answer's length, tools, JSON schema, pictures, class) is none;
5. a GPU way that no node offers now, or not up to this tier, is none; one that would be waited for longer than the file
   allows is none where another is left.

What is left is tried in the file's order. What a way refuses later (away, busy, over its budget) passes to the next.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.scheduling import OfferedModel, ServiceClass
from kit.errors import KitError

from model_gateway.catalogue import (
    SKILLS,
    TIERS,
    Backend,
    Catalogue,
    Kind,
    Leg,
    Model,
    Price,
    Skill,
    Tier,
    lower,
)
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

# A prompt of more characters than this per token of context cannot fit; the exact count is the backend's to make.
CHARS_PER_TOKEN_MAX = 8
OUTPUT_TOKENS_MAX = 1024
INPUTS_MAX = 64
GPU = "gpu"


@dataclass(frozen=True)
class Needs:
    """What a request asks of whoever answers it."""

    prompt_chars: int = 0  # of text: a picture has none
    pictures: int = 0
    fetched: bool = (
        False  # something in it is named by an address that whoever answers would ask for
    )
    output_tokens: int | None = None  # None: as many as the way gives by itself
    inputs: int = 0
    skills: frozenset[Skill] = frozenset()


@dataclass(frozen=True)
class Way:
    """One way to answer: who is asked, for what, and within which limits."""

    model: str  # the house's name for it: what the answer bears
    name: str  # `gpu:<model>`, or the backend's name
    upstream_name: str
    tier_limit: Tier
    in_house: bool
    leg: Leg = field(repr=False)
    backend: Backend | None = field(default=None, repr=False)  # None: the scheduler is asked
    context_tokens: int | None = None
    output_tokens_max: int = OUTPUT_TOKENS_MAX
    inputs_max: int = INPUTS_MAX
    dimensions: int | None = None
    extra_fields: frozenset[str] = frozenset()
    tokens_field: str = "max_tokens"
    can: frozenset[Skill] = frozenset(SKILLS)
    price: Price | None = None

    @property
    def gpu(self) -> str | None:
        """The scheduler's name of the model, on a way over the GPU nodes."""
        return self.leg.gpu

    @property
    def stream_usage(self) -> bool:
        """Whether it can be asked to report usage at the end of a stream."""
        return self.backend is None or self.backend.stream_usage

    @property
    def protocol(self) -> str:
        """What is spoken there."""
        return self.backend.protocol if self.backend else "openai"


Offers = Mapping[str, OfferedModel]
NO_OFFERS: Offers = {}


def is_off(model_name: str, model: Model, way: Way, disabled: Collection[str]) -> bool:
    """Return whether the file or the off switch has turned this way off."""
    if not (model.enabled and way.leg.enabled and (way.backend is None or way.backend.enabled)):
        return True
    if "outside" in disabled and not way.in_house:
        return True
    if way.gpu is not None and (GPU in disabled or way.gpu in disabled):
        return True
    return any(word in disabled for word in ("all", model_name, way.name))


def ways_of(catalogue: Catalogue, name: str, offers: Offers = NO_OFFERS) -> tuple[Way, ...]:
    """Return every way of a model that the file names, whatever is off or away."""
    model = catalogue.models[name]
    return tuple(_way(catalogue, name, model, leg, offers) for leg in model.legs)


def _way(catalogue: Catalogue, name: str, model: Model, leg: Leg, offers: Offers) -> Way:
    backend = catalogue.backends.get(leg.backend or "")
    limit = catalogue.leg_limit(leg)
    context = leg.context_tokens
    if leg.gpu is not None and (offer := offers.get(leg.gpu)) is not None:
        limit = lower(limit, offer.max_tier)
        context = context or offer.context_tokens
    extra = leg.extra_fields if leg.extra_fields is not None else model.extra_fields
    can = leg.can if leg.can is not None else model.can
    return Way(
        model=name,
        name=leg.name,
        upstream_name=leg.upstream_name or leg.gpu or name,
        tier_limit=limit,
        in_house=backend is None or backend.in_house,
        leg=leg,
        backend=backend,
        context_tokens=context or model.context_tokens,
        output_tokens_max=leg.output_tokens_max or model.output_tokens_max or OUTPUT_TOKENS_MAX,
        inputs_max=leg.inputs_max or model.inputs_max or INPUTS_MAX,
        dimensions=model.dimensions,
        extra_fields=frozenset(extra or ()),
        tokens_field=leg.tokens_field or model.tokens_field or "max_tokens",
        can=frozenset(SKILLS if can is None else can),
        price=leg.price or model.price,
    )


def find_model(catalogue: Catalogue, name: Any, kinds: Collection[Kind]) -> Model:
    """Return the model of that name. Raises RequestInvalid, or ModelUnknown with the names there are."""
    if not isinstance(name, str) or not name:
        raise RequestInvalid("`model` is missing.")
    model = catalogue.models.get(name)
    if model is None or model.kind not in kinds:
        known = ", ".join(
            sorted(other for other, entry in catalogue.models.items() if entry.kind in kinds)
        )
        kind = " or ".join(sorted(kinds))
        raise ModelUnknown(f"There is no {kind} model of that name. There are: {known or 'none'}.")
    return model


def choose(
    catalogue: Catalogue,
    name: str,
    needs: Needs,
    *,
    tier: Tier,
    service_class: ServiceClass = "interactive",
    disabled: Collection[str] = (),
    offers: Offers = NO_OFFERS,
) -> tuple[Way, ...]:
    """Return the ways that a request for the known model `name` may go, best first, at least one.

    Raises ModelOff, TierRefused, ModelUnable, PromptTooLong, TooManyTokens, ClassRefused or GpuUnavailable.
    """
    model = catalogue.models[name]
    if needs.fetched and tier != "convenience":
        raise TierRefused(
            f"The request is {tier}, and what it names by an address would be fetched by whoever answers.",
            fix="Send the picture itself, as a data: URL in base64.",
        )
    on = [way for way in ways_of(catalogue, name, offers) if not is_off(name, model, way, disabled)]
    if not on:
        raise ModelOff(f"The model {name} is switched off.")
    seeing = [way for way in on if TIERS.index(tier) <= TIERS.index(way.tier_limit)]
    if not seeing:
        if model.when_private is not None:
            return choose(
                catalogue,
                model.when_private,
                needs,
                tier=tier,
                service_class=service_class,
                disabled=disabled,
                offers=offers,
            )
        most = max((way.tier_limit for way in on), key=TIERS.index)
        raise TierRefused(
            f"The model {name} may be shown text up to the tier {most}; this request is {tier}."
        )
    able = _first(seeing, lambda way: _unable(way, needs, service_class))
    there = _first(able, lambda way: _absent(way, offers))
    soon = [way for way in there if not _too_long(way, offers)]
    return tuple(soon or there)


def _first(ways: list[Way], why_not: Callable[[Way], KitError | None]) -> list[Way]:
    """Return the ways that nothing speaks against. Raises what speaks against the last of them."""
    found = [(way, why_not(way)) for way in ways]
    left = [way for way, why in found if why is None]
    if not left:
        # The file's order goes from the best to the plainest, which refuses for the plainest reason.
        raise next(why for _, why in reversed(found) if why is not None)
    return left


def _unable(way: Way, needs: Needs, service_class: ServiceClass) -> KitError | None:
    if service_class not in way.leg.classes:
        return ClassRefused(f"{way.model} is not there for {service_class} requests.")
    if missing := sorted(needs.skills - way.can):
        return ModelUnable(f"{way.model} cannot do: {', '.join(missing)}.")
    if way.context_tokens and needs.prompt_chars > way.context_tokens * CHARS_PER_TOKEN_MAX:
        return PromptTooLong(
            f"The prompt has {needs.prompt_chars} characters; the model's context is {way.context_tokens} tokens."
        )
    limit = output_limit(way)
    if needs.output_tokens is not None and needs.output_tokens > limit:
        return TooManyTokens(
            f"{needs.output_tokens} tokens are asked for; this model answers with at most {limit}."
        )
    if needs.inputs > way.inputs_max:
        return RequestInvalid(
            f"`input` has {needs.inputs} texts; {way.model} takes at most {way.inputs_max} at once."
        )
    return None


def output_limit(way: Way) -> int:
    """Return how many tokens it answers with at most."""
    return min(way.output_tokens_max, way.context_tokens or way.output_tokens_max)


def _absent(way: Way, offers: Offers) -> KitError | None:
    if way.gpu is None:
        return None
    offer = offers.get(way.gpu)
    if offer is None or not offer.available:
        why = offer.why if offer and offer.why else "no GPU node offers it now"
        return GpuUnavailable(f"{way.model} is not available: {why}.")
    return None


def _too_long(way: Way, offers: Offers) -> bool:
    wait = offers[way.gpu].expected_wait_seconds if way.gpu is not None else None
    return wait is not None and wait > way.leg.queue_seconds
