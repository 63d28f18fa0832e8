"""What can go wrong when sound becomes text. Each code stands in docs/errors.md."""

from kit.errors import KitError


class SoundInvalid(KitError):
    code = "inference.sound_invalid"
    status = 400
    reason = "The file is not a sound that can be read."
    fix = "Send WAV, FLAC, MP3, Ogg, WebM or MP4 with one track of sound."


class SoundRequestInvalid(KitError):
    code = "inference.sound_request_invalid"
    status = 400
    reason = "The request is not one that the transcriber understands."
    fix = "Correct the field that the reason names."


class SoundTooLong(KitError):
    code = "inference.sound_too_long"
    status = 413
    reason = "The recording is longer than what is taken at once."
    fix = "Cut it into parts, or raise LARES_TRANSCRIBER_SOUND_SECONDS_MAX and the container's memory."


class TranscriberFailed(KitError):
    code = "inference.transcriber_failed"
    status = 500
    reason = "The model failed while it listened."
    fix = "Try again. If it happens again, look at the transcriber's log: a full card or a broken model."


class TranscriberBusy(KitError):
    code = "inference.transcriber_busy"
    status = 503
    reason = "Too many recordings wait to be heard."
    fix = "Try again in a moment."


class TranscriberModelInvalid(KitError):
    code = "inference.transcriber_model_invalid"
    status = 500
    reason = "The model's files are missing, or not a Whisper model for CTranslate2 that this device can run."
    fix = "Set LARES_MODEL_DIR to a folder with model.bin, config.json and tokenizer.json; look at device and compute type."
