"""Which models there are and where they run: the models file, checked to the last key."""

import ipaddress
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

import yaml
from contracts.scheduling import ServiceClass
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from model_gateway.errors import CatalogueInvalid

FILE_BYTES_MAX = 256 * 1024
# What setup/render_egress.py takes for an address at home.
HOME_NETWORKS = tuple(
    ipaddress.IPv4Network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
HOUSE_SUFFIXES = (".local", ".lan", ".internal", ".home.arpa")
_VARIABLE = re.compile(r"\$\{([A-Z_]+)\}")

Tier = Literal["convenience", "sensitive", "sacred"]
TIERS: tuple[Tier, ...] = ("convenience", "sensitive", "sacred")


def lower(one: Tier, other: Tier) -> Tier:
    """Return the less private of two tiers."""
    return one if TIERS.index(one) <= TIERS.index(other) else other


Kind = Literal["chat", "completions", "embeddings", "rerank", "transcription", "speech", "image"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# What a model of its kind may or may not be able to do: read pictures, call tools, answer in a given JSON schema.
Skill = Literal["tools", "json_schema", "vision"]
SKILLS: tuple[Skill, ...] = ("tools", "json_schema", "vision")
SERVICE_CLASSES: tuple[ServiceClass, ...] = ("voice", "interactive", "agent", "batch")
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}$")]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Part(BaseModel):
    """A part of the file: unknown keys are refused, so that a typo does not silently mean the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Backend(Part):
    """A server that speaks OpenAI's protocol, or Anthropic's."""

    url: str
    protocol: Literal["openai", "anthropic"] = "openai"
    in_house: bool
    via_egress_proxy: bool = False
    max_tier: Tier | None = None
    api_key_secret: Annotated[str, Field(pattern=r"^backend_[a-z0-9_]{1,48}_api_key$")] | None = (
        None
    )
    enabled: bool = True
    connect_seconds: Seconds = 3
    silence_seconds: Seconds = 120
    answer_seconds: Seconds = 600
    max_concurrency: Annotated[int, Field(ge=1, le=256)] = 1
    queue_max: Annotated[int, Field(ge=0, le=1024)] = 8
    queue_seconds: Seconds = 60
    stream_usage: bool = True
    ca_certificate: Annotated[str, Field(max_length=64 * 1024)] | None = None

    @field_validator("url")
    @classmethod
    def _url_is_a_base(cls, url: str) -> str:
        parts = urlsplit(url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or parts.username
        ):
            raise ValueError(
                "url must be http(s)://host[:port]/path, without user, query or fragment"
            )
        return url.rstrip("/")

    @model_validator(mode="after")
    def _outside_is_guarded(self) -> Self:
        parts = urlsplit(self.url)
        if self.in_house:
            if not _may_be_in_house(parts.hostname or ""):
                raise ValueError(
                    "in_house needs a private address or a name of the house; this one is outside"
                )
            if self.via_egress_proxy:
                self._check_at_home(parts.hostname or "")
            return self
        if not self.via_egress_proxy:
            raise ValueError(
                "a backend outside needs via_egress_proxy: true; nothing else leaves the house"
            )
        if parts.scheme != "https":
            raise ValueError("a backend outside needs https")
        if self.max_tier == "sacred":
            raise ValueError(
                "sacred text never leaves the house: max_tier of a backend outside is convenience or sensitive"
            )
        return self

    def _check_at_home(self, host: str) -> None:
        try:
            address = ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(
                "a model server at home is named by its address in numbers, as `lan` in egress.yaml names it"
            ) from None
        if not any(address in network for network in HOME_NETWORKS):
            raise ValueError(
                "a model server at home has an address of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
            )
        # Another machine, and perhaps a network that others share: how far it is trusted is said, not assumed.
        if self.max_tier is None:
            raise ValueError(
                "a model server at home needs max_tier: the most private text that it may be shown"
            )

    @model_validator(mode="after")
    def _certificate_is_one(self) -> Self:
        if self.ca_certificate is None:
            return self
        if urlsplit(self.url).scheme != "https":
            raise ValueError("ca_certificate is for https; this url is http")
        self.tls()
        return self

    def tls(self) -> ssl.SSLContext | None:
        """Return what the server's certificate is checked against, where that is not the common store."""
        if self.ca_certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=self.ca_certificate)
        except (ssl.SSLError, ValueError) as error:
            raise ValueError("ca_certificate is no certificate in PEM") from error
        return context

    @property
    def plain(self) -> bool:
        """Whether the text travels unencrypted."""
        return urlsplit(self.url).scheme == "http"

    @property
    def tier_limit(self) -> Tier:
        """The most private tier this backend may be shown. Outside it is `convenience` unless the file says `sensitive`."""
        return self.max_tier or ("sacred" if self.in_house else "convenience")


class Price(Part):
    """What a provider takes, in the file's currency for a million tokens. `request`: for each call beside them."""

    read_per_million: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    written_per_million: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    request: Annotated[float, Field(ge=0, le=1000)] = 0.0


class Limits(Part):
    """What can be asked of a model. A way that says nothing of one has its model's."""

    context_tokens: Annotated[int, Field(ge=1, le=4_000_000)] | None = None
    output_tokens_max: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    inputs_max: Annotated[int, Field(ge=1, le=2048)] | None = None
    extra_fields: tuple[str, ...] | None = None
    tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    can: tuple[Skill, ...] | None = None
    price: Price | None = None


class Leg(Limits):
    """One way of a model, as the file names it: a model of the GPU nodes' catalogues, or a backend."""

    gpu: Name | None = None
    backend: Name | None = None
    upstream_name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    classes: Annotated[tuple[ServiceClass, ...], Field(min_length=1)] = SERVICE_CLASSES
    # Less than the backend or the node would be shown; never more.
    max_tier: Tier | None = None
    # Of a GPU way: how long it is waited for before the next one is tried, and how long it may answer.
    queue_seconds: Seconds = 300
    silence_seconds: Seconds = 120
    answer_seconds: Seconds = 900
    enabled: bool = True

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if (self.gpu is None) == (self.backend is None):
            raise ValueError("a way names either `gpu` or `backend`")
        return self

    @property
    def name(self) -> str:
        """How it is shown and switched off."""
        return f"gpu:{self.gpu}" if self.backend is None else self.backend


class Model(Limits):
    """A name that can be asked, and what stands behind it: `backend`, or `routes`, tried in their order."""

    kind: Kind
    backend: Name | None = None
    routes: Annotated[tuple[Leg, ...], Field(min_length=1, max_length=8)] | None = None
    upstream_name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    dimensions: Annotated[int, Field(ge=1, le=8192)] | None = None
    when_private: Name | None = None
    # What the model is good enough for beside conversation; `facts`: memory asks it to read memories.
    fit_for: tuple[Literal["facts"], ...] = ()
    enabled: bool = True

    @model_validator(mode="after")
    def _has_a_way(self) -> Self:
        if (self.backend is None) == (self.routes is None):
            raise ValueError("a model names either `backend` or `routes`")
        if self.routes is not None and self.upstream_name is not None:
            raise ValueError("upstream_name belongs to each of the `routes`")
        names = [leg.name for leg in self.legs]
        if len(set(names)) < len(names):
            raise ValueError("`routes` names a way twice")
        return self

    @model_validator(mode="after")
    def _has_a_context(self) -> Self:
        reads = self.kind in ("chat", "completions", "embeddings", "rerank")
        # A GPU node says itself how large the context of its models is.
        said = [leg.context_tokens or self.context_tokens for leg in self.legs if leg.backend]
        if reads and None in said:
            raise ValueError("context_tokens is missing")
        return self

    @property
    def legs(self) -> tuple[Leg, ...]:
        """The ways, in order."""
        if self.routes is not None:
            return self.routes
        return (Leg(backend=self.backend, upstream_name=self.upstream_name),)


class Budget(Part):
    """What may be used in a day (UTC) on a way: a backend, `gpu:<model>`, all that is `outside`, or `all`.

    `caller`: `all` together, `each` by itself, or one caller's name (`service:memory`, `person:<uuid>`).
    """

    way: Name = "outside"
    caller: Name = "all"
    money_per_day: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    tokens_per_day: Annotated[int, Field(ge=0, le=10**12)] | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.money_per_day is None and self.tokens_per_day is None:
            raise ValueError("a budget names money_per_day, tokens_per_day or both")
        return self


class Catalogue(Part):
    """The whole file."""

    version: Literal[1]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    budgets: Annotated[dict[Name, Budget], Field(max_length=32)] = {}
    backends: Annotated[dict[Name, Backend], Field(min_length=1, max_length=32)]
    models: Annotated[dict[Name, Model], Field(min_length=1, max_length=128)]

    @model_validator(mode="after")
    def _names_meet(self) -> Self:
        if any(name.startswith("gpu:") for name in self.backends):
            raise ValueError(
                "a backend's name does not begin with gpu: (a way over the GPU nodes does)"
            )
        for name, model in self.models.items():
            for leg in model.legs:
                if leg.backend is not None:
                    self._check_leg(name, model, self.backends.get(leg.backend), leg.backend)
            if model.when_private is not None:
                self._check_instead(name, model, model.when_private)
        return self

    @model_validator(mode="after")
    def _budgets_can_be_kept(self) -> Self:
        legs = [(model, leg) for model in self.models.values() for leg in model.legs]
        for name, budget in self.budgets.items():
            covered = [(model, leg) for model, leg in legs if self.covers(budget, leg)]
            if not covered and budget.way not in self.backends:
                raise ValueError(f"budget {name} names no way of the file: {budget.way}")
            if budget.money_per_day is None:
                continue
            # Without a price a call counts as free, and a budget of money would never be used up.
            free = [leg.name for model, leg in covered if not (leg.price or model.price)]
            if free:
                raise ValueError(f"budget {name} counts money, and {free[0]} has no price")
        return self

    def covers(self, budget: Budget, leg: Leg) -> bool:
        """Return whether a budget counts what goes over a way."""
        if budget.way == "outside":
            return leg.backend is not None and not self._in_house(leg.backend)
        return budget.way in ("all", leg.name)

    def _check_leg(self, name: str, model: Model, backend: Backend | None, said: str) -> None:
        if backend is None:
            raise ValueError(f"model {name} names the backend {said}, which is not in the file")
        if backend.protocol == "anthropic" and model.kind != "chat":
            raise ValueError(f"model {name}: a backend that speaks Anthropic's protocol only chats")

    def _check_instead(self, name: str, model: Model, instead: str) -> None:
        other = self.models.get(instead)
        if other is None or other.kind != model.kind:
            raise ValueError(f"when_private of {name} names no {model.kind} model of the file")
        theirs = [self.leg_limit(leg) for leg in other.legs]
        if any(leg.backend and not self._in_house(leg.backend) for leg in other.legs):
            raise ValueError(f"when_private of {name} must name a model that runs in the house")
        # Each may be shown more than the one before it: a request is handed on twice at most, and never back.
        mine = max((self.leg_limit(leg) for leg in model.legs), key=TIERS.index)
        most = max(theirs, key=TIERS.index)
        if mine != "sacred" and TIERS.index(most) <= TIERS.index(mine):
            raise ValueError(
                f"when_private of {name} must name a model that may be shown more than {mine} text"
            )

    def _in_house(self, backend: str) -> bool:
        return backend in self.backends and self.backends[backend].in_house

    def leg_limit(self, leg: Leg) -> Tier:
        """Return the most private tier that a way may be shown; of a GPU way, what this file lets it."""
        backend = self.backends.get(leg.backend or "")
        # The nodes belong to the house and are reached by mutual TLS alone; their own catalogue may say less.
        theirs: Tier = backend.tier_limit if backend else "sacred" if leg.gpu else "convenience"
        return lower(theirs, leg.max_tier or theirs)


def _may_be_in_house(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.lower().endswith(HOUSE_SUFFIXES)


class _Loader(yaml.SafeLoader):
    """YAML whose every key stands once: the later of two would win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.MarkedYAMLError(problem=f"twice in one place: {', '.join(twice)}")
        return super().construct_mapping(node, deep)


def read(path: Path, variables: Mapping[str, str]) -> Catalogue:
    """Return the checked catalogue. `${NAME}` is replaced from `variables` alone. Raises CatalogueInvalid."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueInvalid(f"{path} cannot be read.") from error
    if len(text) > FILE_BYTES_MAX:
        raise CatalogueInvalid(f"{path} is larger than {FILE_BYTES_MAX} bytes.")
    try:
        return Catalogue.model_validate(
            # A safe loader: it builds plain data alone.
            yaml.load(_VARIABLE.sub(lambda found: _value(found[1], variables), text), _Loader)  # noqa: S506
        )
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise CatalogueInvalid(f"{path} is not the YAML that is expected: {problem}.") from error
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()[:5]
        ]
        raise CatalogueInvalid(f"{path}: {'; '.join(problems)}.") from error


def _value(name: str, variables: Mapping[str, str]) -> str:
    if not variables.get(name):
        raise CatalogueInvalid(f"The models file uses ${{{name}}}, which is not set.")
    return variables[name]
