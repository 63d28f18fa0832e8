"""`/v1/audio/transcriptions` and `/v1/audio/translations`: sound to text, whole or word by word."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.requests import Request

from model_gateway import sse
from model_gateway.body import Fields, read_json
from model_gateway.catalogue import Model
from model_gateway.endpoint import (
    JSON_TYPE,
    STREAM_TYPE,
    Answer,
    Ask,
    Endpoint,
    Form,
    Outgoing,
    Tally,
    Upload,
    Whole,
)
from model_gateway.endpoints.fields import choice_of, extra_fields, refuse_unknown, text_of
from model_gateway.endpoints.transcripts import FORMATS, TIMED, render, seconds_of, wav_seconds
from model_gateway.errors import BackendFailed, BackendInvalid, RequestInvalid
from model_gateway.uploads import FORM_BYTES_MAX, multipart, receive_form
from model_gateway.ways import Needs, Way

FORM_FIELDS = frozenset(
    {
        "include",
        "language",
        "model",
        "prompt",
        "response_format",
        "stream",
        "temperature",
        "timestamp_granularities",
    }
)
PROMPT_CHARS_MAX = 4096
TRANSCRIPT_CHARS_MAX = 4 * 1024 * 1024
_DELTA, _DONE = "transcript.text.delta", "transcript.text.done"


@dataclass(frozen=True)
class SoundAsk(Ask):
    """A checked request to listen."""

    upload: Upload | None = None
    wanted: str = "json"
    passed_on: tuple[tuple[str, str], ...] = ()


class Transcriptions(Endpoint[SoundAsk]):
    """What was said, in its own language.

    Backends are asked for json or verbose_json alone; every other form is made here, so that each backend has all of
    them and the sound's length is known to the accounts.
    """

    path = "/audio/transcriptions"
    kinds = frozenset({"transcription"})
    body_bytes_max = FORM_BYTES_MAX
    streams = True
    languages = True

    async def receive(self, request: Request) -> Form:
        """Return the form. Raises RequestInvalid."""
        return await receive_form(request)

    def read(self, form: Form, model: Model) -> SoundAsk:
        """Return the checked request. Raises RequestInvalid."""
        fields = form.fields
        refuse_unknown(fields, FORM_FIELDS | extra_fields(model))
        if len(form.uploads) != 1 or form.uploads[0].name != "file" or not form.uploads[0].data:
            raise RequestInvalid("`file` is missing or empty.")
        wanted = choice_of(fields, "response_format", FORMATS) or "json"
        if fields.get("include"):
            raise RequestInvalid("`include` asks for what is not there: leave it out.")
        stream = choice_of(fields, "stream", ("true", "True", "false", "False")) in ("true", "True")
        if stream and not self.streams:
            raise RequestInvalid("Translations are not streamed: leave `stream` out.")
        if stream and wanted not in ("json", "text"):
            raise RequestInvalid("A streamed transcript is json or text.")
        passed_on = (*self._passed_on(fields), *_granularities(fields, wanted))
        return SoundAsk(
            form, Needs(), stream, upload=form.uploads[0], wanted=wanted, passed_on=passed_on
        )

    def _passed_on(self, fields: Fields) -> list[tuple[str, str]]:
        passed: list[tuple[str, str]] = []
        if (prompt := text_of(fields, "prompt", PROMPT_CHARS_MAX)) is not None:
            passed.append(("prompt", prompt))
        if (language := text_of(fields, "language", 16)) is not None:
            if not self.languages:
                raise RequestInvalid("A translation is English: leave `language` out.")
            if not language.isascii() or not language.replace("-", "").isalnum():
                raise RequestInvalid("`language` is not a language's code.")
            passed.append(("language", language))
        if (temperature := text_of(fields, "temperature", 16)) is not None:
            try:
                warm = float(temperature)
            except ValueError:
                warm = -1.0
            if not 0 <= warm <= 1:
                raise RequestInvalid("`temperature` is not a number from 0 to 1.")
            passed.append(("temperature", temperature))
        return passed

    def outgoing(self, ask: SoundAsk, way: Way) -> Outgoing:
        """Return the form under the way's name for the model."""
        form_fields = [("model", way.upstream_name), *ask.passed_on]
        form_fields.append(("response_format", "verbose_json" if ask.wanted in TIMED else "json"))
        for key, value in ask.form.fields.items():
            if key in way.extra_fields and key not in FORM_FIELDS and isinstance(value, str):
                form_fields.append((key, value))
        if ask.stream:
            form_fields.append(("stream", "true"))
        form = multipart(form_fields, _upload(ask))
        return Outgoing(
            self.path,
            form.pieces,
            content_type=form.content_type,
            accept=STREAM_TYPE if ask.stream else JSON_TYPE,
            headers={"content-length": str(form.size)},
        )

    async def whole(self, ask: SoundAsk, way: Way, answer: Answer, tally: Tally) -> Whole:
        """Return the transcript in the wanted form. Raises BackendInvalid."""
        tally.audio_seconds = wav_seconds(_upload(ask).data)
        reply = await read_json(answer.pieces())
        _count(reply, tally)
        return render(reply, ask.wanted)

    async def stream(
        self, ask: SoundAsk, way: Way, answer: Answer, tally: Tally
    ) -> AsyncGenerator[bytes]:
        """Yield OpenAI's events of a transcript. Raises BackendInvalid, or BackendFailed before its end."""
        tally.audio_seconds = wav_seconds(_upload(ask).data)
        heard = _Heard(tally)
        if answer.content_type.startswith(JSON_TYPE):
            # A server that does not stream answers as if it had not been asked to: all its words at once.
            reply = await read_json(answer.pieces())
            render(reply, "json")
            _count(reply, tally)
            yield heard.delta(str(reply["text"]))
            yield heard.done(reply)
            return
        if not answer.content_type.startswith(STREAM_TYPE):
            raise BackendInvalid("The backend answered a streaming request without a stream.")
        events = sse.split(answer.pieces())
        async for event in events:
            if (out := heard.read(event)) is not None:
                yield out
            if heard.ended:
                return
        if not heard.finished:
            raise BackendFailed("The backend stopped in the middle of its transcript.")
        yield heard.done({})


class Translations(Transcriptions):
    """What was said, in English."""

    path = "/audio/translations"
    streams = False
    languages = False


class _Heard:
    """A streamed transcript: OpenAI's events are handed on, vLLM's chunks become such events."""

    def __init__(self, tally: Tally) -> None:
        self.text = ""
        self.ended = False  # the last event is made
        self.finished = False  # the backend said that there is no more
        self._usage: Fields = {}
        self._tally = tally

    def read(self, event: bytes) -> bytes | None:
        """Return the event to send on, or None. Raises BackendInvalid."""
        data = sse.data_of(event)
        if data is None:
            return sse.PING
        if data.strip() == b"[DONE]":
            self.finished = True
            return None
        told = sse.read_object(data)
        if told.get("type") == _DELTA and isinstance(told.get("delta"), str):
            return self.delta(told["delta"])
        if told.get("type") == _DONE and isinstance(told.get("text"), str):
            self.text = told["text"]
            return self.done(told)
        if isinstance(told.get("choices"), list):
            return self._chunk(told)
        if isinstance(told.get("type"), str):
            return None  # segments and the like, which were not asked for
        raise BackendInvalid("An event of the backend's stream is not of a transcript.")

    def _chunk(self, chunk: Fields) -> bytes | None:
        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]
        text = ""
        for choice in chunk["choices"]:
            delta = choice.get("delta") if isinstance(choice, dict) else None
            if not isinstance(delta, dict):
                raise BackendInvalid("A choice in the backend's stream has no delta.")
            self.finished = self.finished or bool(choice.get("finish_reason"))
            text += delta["content"] if isinstance(delta.get("content"), str) else ""
        return self.delta(text) if text else None

    def delta(self, text: str) -> bytes:
        """Return more of the text as an event. Raises BackendInvalid when it never ends."""
        self.text += text
        if len(self.text) > TRANSCRIPT_CHARS_MAX:
            raise BackendInvalid("The backend's transcript never ends.")
        self._tally.pieces += 1
        return sse.encode({"type": _DELTA, "delta": text})

    def done(self, told: Fields) -> bytes:
        """Return the last event: the whole text."""
        self.ended = True
        usage = told.get("usage") or self._usage
        _count({"usage": usage}, self._tally)
        event: Fields = {"type": _DONE, "text": self.text}
        if usage:
            event["usage"] = usage
        return sse.encode(event)


def _upload(ask: SoundAsk) -> Upload:
    if ask.upload is None:
        raise RuntimeError("a sound that was read has a file")
    return ask.upload


def _count(reply: Fields, tally: Tally) -> None:
    tally.take(reply.get("usage"))
    seconds = seconds_of(reply)
    if seconds is not None:
        tally.audio_seconds = seconds


def _granularities(fields: Fields, wanted: str) -> list[tuple[str, str]]:
    given = fields.get("timestamp_granularities")
    if given is None:
        return []
    words = given if isinstance(given, list) else [given]
    if wanted != "verbose_json" or not all(word in ("word", "segment") for word in words):
        raise RequestInvalid(
            "`timestamp_granularities` is word or segment, and needs response_format verbose_json."
        )
    return [("timestamp_granularities[]", str(word)) for word in words]
