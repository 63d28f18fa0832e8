"""The weights of evidence.py, fitted on the development parts of the first-person set (docs/adr/0016). Numbers only."""

from __future__ import annotations

from collections.abc import Mapping

# What answers a question.
ANSWER: Mapping[str, float] = {
    "near": 2.7,
    "below_nearest": 2.685,
    "states": 1.106,
    "own": 0.1623,
    "strange": -0.1461,
    "named": 0.5886,
    "kind": 0.2912,
    "after": -0.4442,
    "topic": 0.278,
    "whose": -0.4194,
    "nobodys": -0.6646,
    "others": -0.5415,
    "leads_self": -0.1403,
    "only_self": -0.3272,
    "who": 0.3105,
    "where": 0.5144,
    "counted": 0.6402,
    "cues": 0.1722,
    "ended": 0.8334,
    "long": 0.3151,
}
# That one memory replaced another in a question: as log odds.
REPLACE: Mapping[str, float] = {
    "near_both": -1.607,
    "near_earlier": 4.749,
    "near_later": 1.661,
    "gap": 1.997,
    "values": -0.9041,
    "kinds": 1.055,
    "asked_of_later": 0.8213,
    "earlier_states": 0.9265,
    "later_states": 1.076,
    "topic_later": 0.4116,
    "shared": 0.472,
    "rare": 1.043,
    "bridge": -0.538,
    "bridge_cues": 0.7136,
    "name": -0.8235,
    "bridge_name": 0.7866,
    "name_asked": 0.7071,
    "cues": -0.2418,
    "cues_near": 1.294,
    "numbers_cues": 0.4174,
    "now": -0.4848,
    "turned": -0.4043,
    "shifted": -0.7257,
    "righted": 3.911,
    "newest": -0.7238,
}
REPLACE_BASE = -3.935
# For each unit by which the one that took the place answers better by itself.
REPLACE_GAIN = 1.368
