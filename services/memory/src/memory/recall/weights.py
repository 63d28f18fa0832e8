"""How much each piece of evidence weighs. Learned on dialogues, conversation by conversation left out; see ADR 0014.

The numbers come out of tests/bench/recall_quality.py and go in here by hand, so that a change of them is read.
"""

from __future__ import annotations

from collections.abc import Mapping

# No weight of what an arm found is negative: better found is never ranked lower.
WEIGHTS: Mapping[str, float] = {
    "near": 6.667,
    "said": 1.512,
    "covers": 1.319,
    "covers_around": 1.355,
    "around": 2.544,
    "two_before": 1.427,
    "thread": 0.757,
    "speaker": 2.043,
    "then": 6.454,
    "answers_near": 1.075,
    "answers_said": 1.468,
    "asks": -0.791,
    "long": 0.143,
    "dated": 0.588,
    "first_person": 0.488,
    "proper": 0.491,
    "phatic": -0.296,
}
# What is not in the dialogues is weighed by hand, in the same units.
ENTITY = 0.6
FADED = 1.5
REINFORCED = 0.15
# The sum at which a memory is as likely to answer as not, and how fast that changes around it.
MIDDLE = 7.5
SLOPE = 0.45
