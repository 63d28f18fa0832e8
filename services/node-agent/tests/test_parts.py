"""Small parts: what has been seen once, why a container ended, host memory, the engine's frames and its silence."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_agent import machine
from node_agent.cards.owners import Owners
from node_agent.engine import Engine
from node_agent.errors import BindRefused, EngineRefused, EngineUnavailable
from node_agent.once import Once
from node_agent.settings import check_bind
from node_agent.troubles import why_ended

from .conftest import House


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 3)), max_size=60))
def test_no_key_is_taken_twice_within_its_time_and_no_more_than_there_is_room_for(
    asked: list[tuple[int, float]],
) -> None:
    once, now, taken = Once(3, 10.0), 0.0, dict[int, float]()
    for key, pause in asked:
        now += pause
        taken = {k: at for k, at in taken.items() if at > now - 10.0 or k in once}
        if key in once:
            with pytest.raises(KeyError):
                once.take(key, now)
        elif once.take(key, now):
            taken[key] = now
        else:
            # Full: of keys that are all younger than their time.
            assert sum(at > now - 10.0 for at in taken.values()) == 3


@pytest.mark.parametrize(
    ("log", "out_of_memory"),
    [
        ("HIP out of memory. Tried to allocate", True),
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", True),
        ("CUDA error: an illegal memory access was encountered", False),
        ("CUDA error: unspecified launch failure", False),
        ("failed to fit params to free device memory", True),
        ("cannot find the memory of last summer", False),
        ("", False),
    ],
)  # fmt: skip
def test_signs_of_memory_that_ran_out(log: str, out_of_memory: bool) -> None:
    assert why_ended(1, False, log).out_of_memory is out_of_memory


def test_what_is_told_of_an_end_is_one_short_printable_line() -> None:
    told = why_ended(3, False, "starting\nfatal error: \x1b[31m" + "x" * 5000 + "\nbye\n").sentence
    assert told.startswith("It ended by itself with 3: fatal error:")
    assert len(told) < 300
    assert told.isprintable()


VLLM_ON_A_PROCESSOR = """(APIServer pid=7) WARNING Found ulimit of 4096 and failed. This can cause `OSError: [Errno 24]`
  File "/opt/vllm/pydantic/_internal/_dataclasses.py", line 121, in __init__
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, Sleep mode is not supported on current platform. [type=value_error, input_value=ArgsKwargs(())]
    For further information visit https://errors.pydantic.dev/2.14/v/value_error"""
VLLM_WHOSE_WORKER_DIED = f"""(EngineCore pid=28) ERROR 11-20 19:28:28 [core.py:1510] RuntimeError: Worker failed with 'OSError: /tmp/.cache/{"0" * 250}/ob/x.so: failed to map segment'
  File "/opt/vllm/vllm/v1/engine/utils.py", line 1431, in wait_for_engine_startup
    raise RuntimeError(
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{'EngineCore': 1}}"""


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (VLLM_ON_A_PROCESSOR, "with 1: Value error, Sleep mode is not supported on current platform."),
        (VLLM_WHOSE_WORKER_DIED, "with 1: RuntimeError: Worker failed with 'OSError: .../x.so: failed to map segment'"),
    ],
)  # fmt: skip
def test_of_vllms_last_words_the_cause_is_told_and_not_who_saw_it(log: str, told: str) -> None:
    assert told in why_ended(1, False, log).sentence


def test_host_memory_is_what_is_not_available_to_a_new_program(tmp_path: Path) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       8000000 kB\nMemFree: 1 kB\nMemAvailable:    6000000 kB\n")
    assert machine.ram(told) == machine.Ram(7812, 1953)
    ours = machine.ram()
    assert 0 < ours.used_mib < ours.total_mib


def test_a_container_of_an_engine_with_a_parent_group_of_its_own_is_found(tmp_path: Path) -> None:
    container = "a" * 64
    folder = tmp_path / "memory/dockerb" / container
    folder.mkdir(parents=True)
    (folder / "memory.stat").write_text(f"rss {2**20}\nmapped_file 0\n")
    owners = Owners(tmp_path / "proc", tmp_path)
    assert owners.memory_mib(container) == 1
    assert owners.memory_mib("b" * 64) is None


async def test_an_engine_that_hangs_is_unavailable_within_the_limit(house: House) -> None:
    engine = Engine(house.settings.socket_path, "forge", seconds_max=0.2)
    house.engine.hangs = True
    async with asyncio.timeout(5):
        with pytest.raises(EngineUnavailable, match="did not answer"):
            await engine.containers()
    house.engine.hangs = False
    assert await engine.containers() == []
    await engine.close()


async def test_an_engine_that_is_not_there_and_one_that_refuses(
    house: House, tmp_path: Path
) -> None:
    absent = Engine(tmp_path / "nothing.sock", "forge")
    with pytest.raises(EngineUnavailable):
        await absent.ping()
    await absent.close()
    engine = Engine(house.settings.socket_path, "forge")
    with pytest.raises(EngineRefused, match="No such image: x"):
        await engine.create("lares-model-a", {"Image": "x"})
    with pytest.raises(ValueError, match="not a container"):
        await engine.start("../images/x")
    await engine.stop("gone", 1)
    await engine.remove("gone")
    assert await engine.inspect("gone") is None
    await engine.close()


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "", "node-agent"])
def test_the_agent_never_listens_on_every_address(bind: str) -> None:
    with pytest.raises(BindRefused):
        check_bind(bind)
    check_bind("10.86.0.2")
