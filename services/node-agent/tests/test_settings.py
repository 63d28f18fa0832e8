"""What the agent is told at its start."""

import pytest
from kit.settings import SettingMissing, read
from node_agent.settings import Settings


def test_a_node_without_a_name_does_not_start() -> None:
    with pytest.raises(SettingMissing, match="LARES_NODE"):
        read(Settings, {"LARES_BIND": "127.0.0.1"})


def test_models_run_on_when_the_agent_is_stopped_unless_it_is_told_otherwise() -> None:
    told = read(Settings, {"LARES_BIND": "127.0.0.1", "LARES_NODE": "gpu"})
    assert not told.stop_models
    assert not told.disabled
