"""The weights of evidence.py, fitted on the development half of the first-person set (docs/adr/0016). Numbers only."""

from __future__ import annotations

from collections.abc import Mapping

# What answers a question.
ANSWER: Mapping[str, float] = {
    "near": 5.139,
    "below_nearest": 4.941,
    "covers": 0.3579,
    "states": 1.92,
    "idle": -0.2631,
    "own": 0.4825,
    "strange": -0.215,
    "named": 0.9387,
    "kind": 0.6006,
    "past": -1.353,
    "planned": -0.4306,
    "after": -0.1841,
    "topic": 1.252,
    "topics": 1.585,
}
# That one memory replaced another in a question: as log odds, with what is true of none.
REPLACE: Mapping[str, float] = {
    "near_both": 2.955,
    "near_earlier": -1.036,
    "near_later": 2.734,
    "nearer": 2.505,
    "ratio": 2.39,
    "shared": -0.1684,
    "asked_of_both": -1.375,
    "asked_lost": 0.008814,
    "values": 1.264,
    "updates": 0.6196,
    "corrects": 0.7757,
    "adds": -0.4206,
    "ended": 1.512,
    "left": 3.11,
    "people": 0.2757,
    "same_people": -0.2491,
    "names": 0.4085,
    "verdict": 1.131,
    "name_lost": -0.6211,
    "slot": -0.01012,
    "late": 1.067,
    "gap": 6.201,
    "near_product": 1.056,
    "asked_of_later": 0.09844,
    "earlier_states": -0.7722,
    "later_states": 3.535,
    "kinds": 1.243,
    "topic": 0.979,
    "flip": 0.3533,
    "flip_asked": 1.695,
    "topic_later": 0.6188,
    "topic_gain": 0.4232,
    "negative": -0.3827,
}
REPLACE_BASE = -10.37
# A superseded answer in front is worse than an order that was good before: the best cut lies below even odds.
REPLACE_LEAST = 0.2
