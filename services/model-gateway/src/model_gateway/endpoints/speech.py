"""`/v1/audio/speech`: text is spoken, and the sound is handed on while it is made."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from kit.errors import KitError

from model_gateway.body import Fields, to_json
from model_gateway.catalogue import Model
from model_gateway.endpoint import Answer, Ask, Endpoint, Form, Outgoing, Tally, Whole
from model_gateway.endpoints.fields import (
    DROPPED_FIELDS,
    choice_of,
    extra_fields,
    needed_text,
    number_of,
    refuse_unknown,
    text_of,
)
from model_gateway.errors import BackendFailed, BackendInvalid, RequestInvalid
from model_gateway.ways import Needs, Way

SPEECH_FIELDS = frozenset(
    {"model", "input", "voice", "instructions", "response_format", "speed", "stream_format"}
)
FORMATS = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
INPUT_CHARS_MAX = 4096
WORDS_CHARS_MAX = 4096
# Two hours of speech at 24 kHz would be more; nobody says 4096 characters in two hours.
SOUND_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True)
class SpeechAsk(Ask):
    """A checked request to say something."""

    payload: Fields | None = None
    media_type: str = FORMATS["mp3"]


class Speech(Endpoint[SpeechAsk]):
    """Text to sound. Always streamed: the first samples are worth the most."""

    path = "/audio/speech"
    kinds = frozenset({"speech"})

    def read(self, form: Form, model: Model) -> SpeechAsk:
        """Return the checked request. Raises RequestInvalid."""
        fields = form.fields
        refuse_unknown(fields, SPEECH_FIELDS | DROPPED_FIELDS | extra_fields(model))
        text = needed_text(fields, "input", INPUT_CHARS_MAX)
        voice = fields.get("voice")
        if isinstance(voice, dict):
            voice = voice.get("id")
        if not isinstance(voice, str) or not 0 < len(voice) <= 200:
            raise RequestInvalid("`voice` is not the name of a voice.")
        if choice_of(fields, "stream_format", ("audio", "sse")) == "sse":
            raise RequestInvalid("`stream_format` is audio here: the sound itself is streamed.")
        kind = choice_of(fields, "response_format", tuple(FORMATS)) or "mp3"
        payload: Fields = {"input": text, "voice": voice, "response_format": kind}
        if (speed := number_of(fields, "speed", 0.25, 4)) is not None:
            payload["speed"] = speed
        if (instructions := text_of(fields, "instructions", WORDS_CHARS_MAX)) is not None:
            payload["instructions"] = instructions
        needs = Needs(prompt_chars=len(text))
        return SpeechAsk(form, needs, stream=True, payload=payload, media_type=FORMATS[kind])

    def outgoing(self, ask: SpeechAsk, way: Way) -> Outgoing:
        """Return the text under the way's name for the model."""
        known = SPEECH_FIELDS | DROPPED_FIELDS
        more = {
            key: value
            for key, value in ask.form.fields.items()
            if key in way.extra_fields and key not in known
        }
        payload = {**more, **(ask.payload or {}), "model": way.upstream_name}
        return Outgoing(self.path, to_json(payload), accept=ask.media_type)

    async def whole(self, ask: SpeechAsk, way: Way, answer: Answer, tally: Tally) -> Whole:
        """Never called: speech is streamed."""
        raise NotImplementedError(f"{self.path} streams")

    async def stream(
        self, ask: SpeechAsk, way: Way, answer: Answer, tally: Tally
    ) -> AsyncGenerator[bytes]:
        """Yield the sound as it comes. Raises BackendInvalid for what is not sound."""
        kind = answer.content_type.split(";")[0].strip().lower()
        if not kind.startswith("audio/") and kind != "application/octet-stream":
            raise BackendInvalid("The backend answered with something that is not sound.")
        # Asked for is charged for: a caller that hangs up in mid-sentence had the whole sentence made.
        tally.characters = ask.needs.prompt_chars
        taken = 0
        async for piece in answer.pieces():
            taken += len(piece)
            if taken > SOUND_BYTES_MAX:
                raise BackendInvalid(f"The backend's sound is larger than {SOUND_BYTES_MAX} bytes.")
            yield piece
        if not taken:
            raise BackendFailed("The backend answered without a sound.")

    def stream_type(self, answer: Answer | None) -> str:
        """Return the sound's own type."""
        return FORMATS["mp3"] if answer is None else answer.content_type

    def comment(self, text: str) -> bytes | None:
        """Sound has no comments: whoever waits, waits in silence."""
        return None

    def broken(self, error: KitError) -> bytes | None:
        """Sound has no word for a failure: the connection is cut."""
        return None
