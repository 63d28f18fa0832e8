"""The weights of evidence.py, fitted on the development half of the first-person set (docs/adr/0016). Numbers only."""

from __future__ import annotations

from collections.abc import Mapping

# What answers a question about now, and one about another time.
ANSWER_NOW: Mapping[str, float] = {
    "near": 4.919,
    "below_nearest": 4.773,
    "covers": 0.9278,
    "states": 2.185,
    "idle": 0.1063,
    "own": 0.5877,
    "strange": -0.1541,
    "named": 0.7468,
    "kind": 0.6701,
    "past": -1.253,
    "planned": -0.2583,
    "after": 0,
    "topic": 1.282,
    "topics": 1.055,
}
ANSWER_THEN: Mapping[str, float] = {
    "near": 4.482,
    "below_nearest": 4.122,
    "covers": -0.07017,
    "states": 0.8888,
    "idle": -2.871,
    "own": 0.3029,
    "strange": 0.2899,
    "named": 0.5224,
    "kind": 0.3529,
    "past": -2.158,
    "planned": -1.606,
    "after": -0.08662,
    "topic": 1.037,
    "topics": 2.313,
}
# That one memory replaced another: as log odds, with what is true of none.
REPLACE: Mapping[str, float] = {
    "near_both": 3.036,
    "near_earlier": -0.982,
    "near_later": 2.759,
    "nearer": 2.493,
    "ratio": 2.407,
    "shared": -0.08279,
    "asked_of_both": -1.354,
    "asked_lost": 0.03984,
    "values": 1.255,
    "updates": 0.5948,
    "corrects": 0.7215,
    "adds": -0.2415,
    "ended": 1.149,
    "left": 2.985,
    "people": 0.3213,
    "same_people": -0.3078,
    "names": 0.4584,
    "verdict": 1.103,
    "name_lost": -0.7017,
    "slot": 0.0046,
    "late": 0.9911,
    "gap": 6.272,
    "near_product": 0.8523,
    "asked_of_later": 0.01731,
    "earlier_states": -0.8036,
    "later_states": 3.502,
    "kinds": 1.235,
    "topic": 0.9631,
    "flip": 0.3288,
    "flip_asked": 1.82,
    "topic_later": 0.6357,
    "topic_gain": 0.4321,
    "negative": -0.2223,
}
REPLACE_BASE = -10.44
# Where a wrong order costs as much as a missed one, the best cut lies below even odds: the question has one answer.
REPLACE_LEAST = 0.2
