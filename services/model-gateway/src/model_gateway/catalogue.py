"""Which models there are and where they run: the models file, checked to the last key."""

import ipaddress
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
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
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}$")]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Part(BaseModel):
    """A part of the file: unknown keys are refused, so that a typo does not silently mean the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Backend(Part):
    """A server that speaks OpenAI's protocol."""

    url: str
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


class Model(Part):
    """A name that can be asked, and what stands behind it."""

    backend: Name
    kind: Literal["chat", "embeddings"]
    upstream_name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    context_tokens: Annotated[int, Field(ge=1, le=4_000_000)]
    output_tokens_max: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    inputs_max: Annotated[int, Field(ge=1, le=2048)] = 64
    dimensions: Annotated[int, Field(ge=1, le=8192)] | None = None
    extra_fields: tuple[str, ...] = ()
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    when_private: Name | None = None
    # What the model is good enough for beside conversation; `facts`: memory asks it to read memories.
    fit_for: tuple[Literal["facts"], ...] = ()
    enabled: bool = True


class Catalogue(Part):
    """The whole file."""

    version: Literal[1]
    backends: Annotated[dict[Name, Backend], Field(min_length=1, max_length=32)]
    models: Annotated[dict[Name, Model], Field(min_length=1, max_length=128)]

    @model_validator(mode="after")
    def _names_meet(self) -> Self:
        for name, model in self.models.items():
            if model.backend not in self.backends:
                raise ValueError(
                    f"model {name} names the backend {model.backend}, which is not in the file"
                )
            if model.when_private is not None:
                self._check_instead(name, model, model.when_private)
        return self

    def _check_instead(self, name: str, model: Model, instead: str) -> None:
        other = self.models.get(instead)
        if other is None or other.kind != model.kind:
            raise ValueError(f"when_private of {name} names no {model.kind} model of the file")
        if (
            self.backends.get(other.backend, None) is None
            or not self.backends[other.backend].in_house
        ):
            raise ValueError(f"when_private of {name} must name a model that runs in the house")
        # Each may be shown more than the one before it: a request is handed on twice at most, and never back.
        mine = self.backends[model.backend].tier_limit
        theirs = self.backends[other.backend].tier_limit
        if mine != "sacred" and TIERS.index(theirs) <= TIERS.index(mine):
            raise ValueError(
                f"when_private of {name} must name a model that may be shown more than {mine} text"
            )


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
