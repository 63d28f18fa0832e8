"""How much each piece of evidence weighs. Learned on dialogues, conversation by conversation left out; see ADR 0014.

The numbers come out of tests/bench/recall_quality.py and go in here by hand, so that a change of them is read.
"""

from __future__ import annotations

from collections.abc import Mapping

# No weight of what an arm found is negative: better found is never ranked lower.
WEIGHTS: Mapping[str, float] = {
    "near": 5.712,
    "said": 0.0,
    "said_best": 1.721,
    "covers": 1.395,
    "covers_around": 0.999,
    "around": 3.771,
    "speaker": 2.057,
    "then": 5.592,
    "answers_near": 1.606,
    "answers_said": 1.273,
    "asks": -0.627,
    "long": 0.17,
    "dated": 0.61,
    "first_person": 0.377,
    "proper": 0.504,
    "phatic": -0.321,
}
# What is not in the dialogues is weighed by hand, in the same units.
ENTITY = 0.6
FADED = 1.5
REINFORCED = 0.15
# The sum at which a memory is as likely to answer as not, and how fast that changes around it.
MIDDLE = 9.5
SLOPE = 0.6
