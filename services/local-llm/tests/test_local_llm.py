"""How the local model is set up. No model needed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.settings import read
from local_llm.cores import choose_threads, quota_cores
from local_llm.errors import BindRefused, ModelInvalid, ModelMissing
from local_llm.server import check_bind, check_model, make_params
from local_llm.settings import Settings


def settings(**env: str) -> Settings:
    return read(Settings, {"LARES_BIND": "10.89.31.2", **env})


@given(st.integers(1, 64), st.one_of(st.none(), st.floats(0.1, 64)))
def test_one_core_stays_free_and_one_thread_always_runs(cores: int, quota: float | None) -> None:
    threads = choose_threads(0, cores, quota)
    assert threads >= 1
    assert threads <= max(1, cores - 1)
    assert quota is None or threads <= max(1, quota)


def test_a_wanted_number_of_threads_is_kept() -> None:
    assert choose_threads(3, 2, 1.0) == 3


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "200000 100000\n"}, 2.0),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_containers_cpu_limit_is_read_from_either_version(
    tmp_path: Path, files: dict[str, str], cores: float | None
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert quota_cores(tmp_path) == cores


def test_the_server_listens_on_its_own_address_and_offers_nothing_beside_the_model() -> None:
    params = make_params(settings(), 3)
    assert params.hostnames == ["10.89.31.2"]
    assert params.port == 8000
    assert params.cpuparams.n_threads == 3
    assert not params.ui
    assert not params.endpoint_slots
    assert not params.endpoint_props
    assert params.cors_origins == ""
    assert params.cache_ram_mib == 64


def test_each_slot_has_the_whole_context() -> None:
    assert make_params(settings(LARES_LOCAL_LLM_SLOTS="2"), 1).n_ctx == 8192


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="absent"):
        check_model(tmp_path / "absent.gguf")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.gguf"
    path.write_text("<html>not found</html>")
    with pytest.raises(ModelInvalid):
        check_model(path)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "", "local-llm", "*"])
def test_it_never_listens_on_every_address(bind: str) -> None:
    with pytest.raises(BindRefused):
        check_bind(bind)
    check_bind("10.89.31.2")
