"""The simulated house lies beside the tests that drive it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
