"""What an address of the OpenAI protocol is: how its request is read, sent on, and its answer handed back.

An `Endpoint` knows one address and nothing of ways, tiers, queues or money. For a request the desk calls, in order:
`receive` (the body), `read` (checks it, says what it needs), then for each way that may be tried `outgoing` (what is
sent there), and once somebody answers either `whole` or `stream`. Everything else is the desk's and the ways'.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from kit.errors import KitError
from starlette.requests import Request

from model_gateway import sse
from model_gateway.body import Fields, json_object
from model_gateway.catalogue import Kind, Model
from model_gateway.pictures import Pictures
from model_gateway.ways import Needs, Way

JSON_TYPE, STREAM_TYPE = "application/json", sse.MEDIA_TYPE


@dataclass(frozen=True)
class Upload:
    """A file of a multipart body."""

    name: str
    filename: str
    content_type: str
    data: bytes | bytearray = field(repr=False)


@dataclass(frozen=True)
class Form:
    """A request's body: a JSON object, or a multipart form with its files. Large pictures stand beside their marks."""

    fields: Fields = field(repr=False)
    uploads: tuple[Upload, ...] = ()
    pictures: Pictures | None = None


@dataclass(frozen=True)
class Ask:
    """A checked request. An endpoint may subclass it to remember more."""

    form: Form = field(repr=False)
    needs: Needs
    stream: bool = False  # answered while it is made


@dataclass(frozen=True)
class Outgoing:
    """What is sent to a way: `path` below its base (`/chat/completions`), and the body, which may have to be sent again.

    `pictures` are put into a body of bytes while it is sent.
    """

    path: str
    body: bytes | Callable[[], AsyncIterator[bytes]] = field(repr=False)
    content_type: str = JSON_TYPE
    accept: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict[str, str])  # beside the usual ones
    pictures: Pictures | None = None

    def data(self) -> bytes | AsyncIterator[bytes]:
        """Return the body for one sending."""
        if not isinstance(self.body, bytes):
            return self.body()
        return self.body if self.pictures is None else self.pictures.pieces(self.body)


class Answer(Protocol):
    """Somebody's successful answer, whose first byte is there."""

    @property
    def content_type(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises the coded error that says why it broke off."""
        ...


@dataclass
class Tally:
    """What an answer turned out to be; kept up while it is handed on, so that it is true when it breaks off."""

    tokens_read: int | None = None
    tokens_written: int | None = None
    pieces: int = 0  # of a stream: tokens, roughly, where nobody reports them
    audio_seconds: float | None = None  # of sound that was listened to
    characters: int = 0  # of text that was spoken
    images: int = 0  # pictures that were made

    def take(self, usage: Any) -> None:
        """Take the usage that the upstream reports, in OpenAI's names."""
        if not isinstance(usage, dict):
            return
        for names, attribute in (
            (("prompt_tokens", "input_tokens"), "tokens_read"),
            (("completion_tokens", "output_tokens"), "tokens_written"),
        ):
            for name in names:
                count = usage.get(name)
                if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
                    setattr(self, attribute, count)


@dataclass(frozen=True)
class Whole:
    """An answer that is sent at once."""

    body: bytes = field(repr=False)
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


A = TypeVar("A", bound=Ask)


class Endpoint(ABC, Generic[A]):
    """One address. Stateless: one object serves every request."""

    path: ClassVar[str]  # below /v1
    aliases: ClassVar[tuple[str, ...]] = ()  # whole addresses where the same is spoken
    kinds: ClassVar[frozenset[Kind]]  # which kinds of models can be asked here
    body_bytes_max: ClassVar[int | None] = None  # None: the service's own limit

    async def receive(self, request: Request) -> Form:
        """Return the body. Raises RequestInvalid."""
        return Form(json_object(await request.body()))

    @abstractmethod
    def read(self, form: Form, model: Model) -> A:
        """Return the checked request and what it needs. Raises RequestInvalid and its kin.

        Limits of single ways (context, tokens, inputs) are not checked here: they go into `needs`.
        """

    @abstractmethod
    def outgoing(self, ask: A, way: Way) -> Outgoing:
        """Return what is sent to `way`: under its name for the model, within its limits."""

    @abstractmethod
    async def whole(self, ask: A, way: Way, answer: Answer, tally: Tally) -> Whole:
        """Return the whole answer in the house's shape. Raises BackendInvalid. Called unless `ask.stream`."""

    def stream(self, ask: A, way: Way, answer: Answer, tally: Tally) -> AsyncGenerator[bytes]:
        """Yield what the client gets, as it comes, its regular ending included. Called if `ask.stream`.

        Raises a coded error when the answer is broken off or not the protocol: `broken` then ends the stream.
        """
        raise NotImplementedError(f"{self.path} does not stream")

    def stream_type(self, answer: Answer | None) -> str:
        """Return the media type of a streamed answer; `answer` is None when a comment has to be sent before there is one."""
        return STREAM_TYPE

    def comment(self, text: str) -> bytes | None:
        """Return what keeps a streaming client waiting patiently, or None where the format has no such thing."""
        return sse.comment(text)

    def broken(self, error: KitError) -> bytes | None:
        """Return the last bytes of a stream that broke off, or None: the connection is then cut, which nobody mistakes for the end."""
        return sse.encode(error.body())
