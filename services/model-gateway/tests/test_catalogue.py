"""The models file: what it may say."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from model_gateway.app import build
from model_gateway.catalogue import read
from model_gateway.errors import CatalogueInvalid
from model_gateway.ways import Needs, choose

from .conftest import book

SHIPPED = Path(__file__).resolve().parents[3] / "inference" / "models.yaml"
VARIABLES = {
    "LARES_LOCAL_LLM_URL": "http://10.89.31.2:8000",
    "LARES_EMBEDDER_URL": "http://10.89.21.2:8000",
}
OUTSIDE: dict[str, Any] = {
    "url": "https://api.example.org/v1",
    "in_house": False,
    "via_egress_proxy": True,
}
HOME: dict[str, Any] = {
    "url": "http://192.168.1.20:11434/v1",
    "in_house": True,
    "via_egress_proxy": True,
    "max_tier": "sensitive",
}


def write(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_the_shipped_file_keeps_everything_in_the_house() -> None:
    catalogue = read(SHIPPED, VARIABLES)
    assert all(
        backend.in_house and not backend.via_egress_proxy for backend in catalogue.backends.values()
    )
    assert catalogue.models["lares-small"].kind == "chat"
    assert [leg.name for leg in catalogue.models["lares-small"].legs] == [
        "gpu:lares-small",
        "local-llm",
    ]
    assert catalogue.models["minilm-l6-v2"].dimensions == 384


def test_a_variable_that_is_not_set_is_refused() -> None:
    with pytest.raises(CatalogueInvalid, match="LARES_EMBEDDER_URL"):
        read(SHIPPED, {"LARES_LOCAL_LLM_URL": "http://10.0.0.2"})


def test_the_environment_cannot_be_read_through_the_file(tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid, match="PATH"):
        read(write(tmp_path, "version: ${PATH}"), VARIABLES)


@pytest.mark.parametrize(
    "entry",
    [
        {"url": "http://api.example.org/v1", "in_house": True},
        {"url": "https://8.8.8.8/v1", "in_house": True},
        {**OUTSIDE, "via_egress_proxy": False},
        {**OUTSIDE, "url": "http://api.example.org/v1"},
        {**OUTSIDE, "max_tier": "sacred"},
        {**OUTSIDE, "api_key_secret": "../../etc/passwd"},
        {**OUTSIDE, "url": "https://user:pass@api.example.org/v1"},
        {**OUTSIDE, "url": "ftp://api.example.org"},
        {key: value for key, value in HOME.items() if key != "max_tier"},
        {**HOME, "url": "http://gpu.lan:11434/v1"},
        {**HOME, "url": "http://127.0.0.1:11434/v1"},
        {**HOME, "url": "http://169.254.169.254/v1"},
        {**HOME, "url": "http://203.0.113.10:11434/v1"},
        {**HOME, "url": "http://[fd00::20]:11434/v1"},
        {**HOME, "in_house": False},
        {**HOME, "ca_certificate": "-----BEGIN CERTIFICATE-----"},
        {**HOME, "url": "https://192.168.1.20/v1", "ca_certificate": "no certificate"},
        {"url": "http://10.0.0.2/v1", "in_house": True, "max_concurency": 3},
        {"url": "http://10.0.0.2/v1"},
        {"url": "http://10.0.0.2/v1", "in_house": True, "max_concurrency": 0},
    ],
)
def test_a_backend_that_could_let_text_out_or_is_mistyped_is_refused(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    content = book("http://127.0.0.1/v1")
    content["backends"]["outsider"] = entry
    with pytest.raises(CatalogueInvalid, match="outsider"):
        read(write(tmp_path, content), {})


@pytest.mark.parametrize(
    "host", ["10.1.2.3", "192.168.1.7", "gpu-node", "gpu.local", "gpu.home.arpa"]
)
def test_a_machine_of_the_house_may_be_a_backend(tmp_path: Path, host: str) -> None:
    assert (
        read(write(tmp_path, book(f"http://{host}:8000/v1")), {}).backends["outsider"].tier_limit
        == "sacred"
    )


@pytest.mark.parametrize("tier", ["convenience", "sensitive", "sacred"])
def test_a_model_server_at_home_sees_what_the_file_says_and_not_more(
    tmp_path: Path, tier: str
) -> None:
    content = book("http://127.0.0.1/v1")
    content["backends"]["gpu"] = {**HOME, "max_tier": tier}
    assert read(write(tmp_path, content), {}).backends["gpu"].tier_limit == tier


def test_private_text_is_never_handed_round_in_a_circle(tmp_path: Path) -> None:
    content = book("http://127.0.0.1/v1")
    content["backends"]["gpu"] = content["backends"]["other"] = HOME
    content["models"]["talker"] |= {"backend": "gpu", "when_private": "second"}
    content["models"]["second"] = {
        **content["models"]["talker"],
        "backend": "other",
        "when_private": "talker",
    }
    with pytest.raises(CatalogueInvalid, match="more than sensitive"):
        read(write(tmp_path, content), {})


def test_a_backend_outside_sees_convenience_unless_the_file_says_more(tmp_path: Path) -> None:
    content = book("http://127.0.0.1/v1")
    content["backends"]["outsider"] = OUTSIDE
    assert read(write(tmp_path, content), {}).backends["outsider"].tier_limit == "convenience"


@pytest.mark.parametrize("content", ["[]", "{", "", "version: 2", "x" * 300_000])
def test_a_file_that_is_no_catalogue_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(CatalogueInvalid):
        read(write(tmp_path, content), {})


def test_a_name_that_stands_twice_is_refused_and_not_guessed(tmp_path: Path) -> None:
    text = (
        SHIPPED.read_text() + "  lares-small: {backend: local-llm, kind: chat, context_tokens: 9}\n"
    )
    with pytest.raises(CatalogueInvalid, match="lares-small"):
        read(write(tmp_path, text), VARIABLES)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid):
        read(tmp_path / "absent.yaml", {})


def test_a_model_without_its_backend_is_refused(tmp_path: Path) -> None:
    content = book("http://127.0.0.1/v1")
    content["models"]["talker"]["backend"] = "nobody"
    with pytest.raises(CatalogueInvalid, match="nobody"):
        read(write(tmp_path, content), {})


def test_a_mistyped_off_switch_stops_the_start(settings_for: Any) -> None:
    with pytest.raises(CatalogueInvalid, match="outsde"):
        build(settings_for(book("http://127.0.0.1/v1"), LARES_INFERENCE_DISABLED="outsde"))


def test_a_backend_outside_without_the_proxy_stops_the_start(settings_for: Any) -> None:
    content = book("http://127.0.0.1/v1")
    content["backends"]["outsider"] = OUTSIDE
    with pytest.raises(CatalogueInvalid, match="LARES_EGRESS_PROXY_URL"):
        build(settings_for(content))


@pytest.mark.parametrize("key", [None, "", "  \n", "two\nlines"])
def test_a_key_that_cannot_be_used_stops_the_start(
    settings_for: Any, tmp_path: Path, key: str | None
) -> None:
    if key is not None:
        (tmp_path / "backend_cloud_api_key").write_text(key)
    content = book("http://127.0.0.1/v1")
    content["backends"]["outsider"] = {**OUTSIDE, "api_key_secret": "backend_cloud_api_key"}
    with pytest.raises(CatalogueInvalid, match="backend_cloud_api_key"):
        build(settings_for(content, LARES_EGRESS_PROXY_URL="http://127.0.0.1:3128"))


@pytest.mark.parametrize("instead", ["nobody", "mapper", "talker"])
def test_private_text_is_handed_to_a_chat_model_of_the_house_or_the_file_is_refused(
    tmp_path: Path, instead: str
) -> None:
    content = book("http://127.0.0.1/v1")
    content["backends"]["cloud"] = OUTSIDE
    content["models"]["talker"]["backend"] = "cloud"
    content["models"]["talker"]["when_private"] = instead
    with pytest.raises(CatalogueInvalid, match="when_private"):
        read(write(tmp_path, content), {})


def pasted(heading: str) -> dict[str, Any]:
    """The shipped file with the example under a heading of the runbook pasted into it."""
    runbook = (SHIPPED.parents[1] / "docs" / "runbooks" / "models.md").read_text()
    section = runbook.split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = [yaml.safe_load(block.split("```")[0]) for block in section.split("```yaml\n")[1:]]
    example = next(block for block in blocks if "backends" in block)
    content = yaml.safe_load(SHIPPED.read_text())
    for part in ("backends", "models"):
        content[part].update(example[part])
    return content


def test_the_runbooks_example_can_be_pasted_into_the_shipped_file(tmp_path: Path) -> None:
    catalogue = read(write(tmp_path, pasted("A model server outside")), VARIABLES)
    [route] = choose(catalogue, "lares-small", Needs(), tier="convenience")
    assert route.name == "provider"
    [at_home] = choose(catalogue, "lares-small", Needs(), tier="sensitive")
    assert at_home.name == "local-llm"


def test_the_runbooks_example_at_home_answers_conversations_and_leaves_sacred_text_in_the_house(
    tmp_path: Path,
) -> None:
    catalogue = read(write(tmp_path, pasted("A model server at home")), VARIABLES)
    for tier in ("convenience", "sensitive"):
        # It is of the house: the switch for what is outside leaves it on.
        [way] = choose(catalogue, "lares-small", Needs(), tier=tier, disabled=("outside",))
        assert way.name == "gpu"
    [private] = choose(catalogue, "lares-small", Needs(), tier="sacred")
    assert private.name == "local-llm"
