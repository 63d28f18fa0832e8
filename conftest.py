"""Every service's sources are importable in tests, also those of a service that was scaffolded a minute ago."""

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT / "tools"), *map(str, sorted(ROOT.glob("services/*/src")))]

if find_spec("hypothesis") is not None:
    from hypothesis import settings

    # How long an example takes says more about the machine's other work than about the code.
    settings.register_profile("lares", deadline=None)
    settings.load_profile("lares")

pytest_plugins = [
    name
    for name in ("kit.testing.callers", "kit.testing.data", "tests.gpu.fixtures")
    if find_spec(name) is not None
]
