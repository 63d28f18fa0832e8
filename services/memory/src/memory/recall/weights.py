"""How much each piece of evidence weighs. Learned on dialogues, conversation by conversation left out; see ADR 0014.

The numbers come out of tests/bench/recall_quality.py and go in here by hand, so that a change of them is read.
"""

from __future__ import annotations

from collections.abc import Mapping

# No weight of what an arm found is negative: better found is never ranked lower.
WEIGHTS: Mapping[str, float] = {
    "near": 6.471,
    "said": 1.108,
    "covers": 1.422,
    "covers_around": 1.567,
    "around": 2.477,
    "two_before": 1.27,
    "thread": 1.024,
    "speaker": 1.995,
    "then": 6.405,
    "answers_near": 1.214,
    "answers_said": 1.295,
    "asks": -0.769,
    "long": 0.085,
    "dated": 0.56,
    "first_person": 0.45,
    "proper": 0.523,
    "phatic": -0.347,
}
# What is not in the dialogues is weighed by hand, in the same units.
ENTITY = 0.6
FADED = 1.5
REINFORCED = 0.15
# The sum at which a memory is as likely to answer as not, and how fast that changes around it.
MIDDLE = 7.1
SLOPE = 0.45
