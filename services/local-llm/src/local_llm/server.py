"""The model behind llama.cpp's own server, which binds the service's address and nothing else."""

import http.client
import importlib
import ipaddress
import re
from pathlib import Path
from typing import Any

from kit import logs

from local_llm.errors import BindRefused, ModelInvalid, ModelMissing
from local_llm.settings import Settings

log = logs.get(__name__)

# Loaded by name: the library is one compiled module that describes no types.
llama: Any = importlib.import_module("xllamacpp")

GGUF_MAGIC = b"GGUF"
HEALTH_SECONDS_MAX = 5
_PROCESSING = re.compile(r"^llamacpp:requests_processing (\d+)", re.MULTILINE)
_DEFERRED = re.compile(r"^llamacpp:requests_deferred (\d+)", re.MULTILINE)


def check_bind(bind: str) -> None:
    """Raise BindRefused unless `bind` is one address. (kit.http has the same check, and costs 13 MiB here.)"""
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        raise BindRefused(f"LARES_BIND={bind!r} is not an IP address.") from None
    if address.is_unspecified:
        raise BindRefused(f"LARES_BIND={bind} stands for every address.")


def check_model(path: Path) -> None:
    """Raise ModelMissing or ModelInvalid unless `path` is a readable GGUF file."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise ModelMissing(f"{path}: {error.strerror}.") from error
    if magic != GGUF_MAGIC:
        raise ModelInvalid(f"{path} is not a GGUF file.")


def make_params(settings: Settings, threads: int) -> Any:
    """Return llama.cpp's parameters: everything that is not needed is off."""
    params = llama.CommonParams()
    params.model.path = str(settings.model_path)
    params.model_alias = {settings.model_name}
    params.hostnames = [settings.bind]
    params.port = settings.port
    params.n_parallel = settings.slots
    # llama.cpp divides the context among the slots.
    params.n_ctx = settings.context_tokens * settings.slots
    params.n_batch = params.n_ubatch = 256
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_threads_http = settings.slots + 3
    params.sleep_idle_seconds = settings.idle_seconds
    # Its default is 8 GiB: more than a whole Pi.
    params.cache_ram_mib = settings.prompt_cache_mib
    params.endpoint_metrics = True
    params.endpoint_slots = False
    params.endpoint_props = False
    params.ui = False
    params.cors_origins = ""
    params.offline = True
    # Errors only: at higher levels llama.cpp logs prompts.
    params.verbosity = 1
    return params


class Server:
    """A running model server."""

    def __init__(self, settings: Settings, threads: int) -> None:
        check_bind(settings.bind)
        check_model(settings.model_path)
        self._address = (settings.bind, settings.port)
        try:
            self._server: Any = llama.Server(make_params(settings, threads))
        except Exception as error:
            raise ModelInvalid(
                f"{settings.model_path} cannot be served at {settings.bind}:{settings.port}."
            ) from error
        log.info(
            "model.ready",
            path=str(settings.model_path),
            threads=threads,
            slots=settings.slots,
            context=settings.context_tokens,
        )

    def healthy(self) -> bool:
        """Return whether the server answers on its address. A sleeping model is healthy and stays asleep."""
        try:
            return self._get("/health")[0] == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def busy(self) -> bool:
        """Return whether a request is being answered or waits for a slot. False when the server cannot say."""
        try:
            status, text = self._get("/metrics")
        except (OSError, http.client.HTTPException):
            return False
        counts = [pattern.search(text) for pattern in (_PROCESSING, _DEFERRED)]
        return status == http.client.OK and any(
            count is not None and int(count[1]) > 0 for count in counts
        )

    def close(self) -> None:
        """Stop listening and free the model."""
        self._server = None

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(*self._address, timeout=HEALTH_SECONDS_MAX)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read(1 << 20).decode()
        finally:
            connection.close()
