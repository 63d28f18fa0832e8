"""The weights of evidence.py, fitted on the development parts of the first-person set (docs/adr/0016). Numbers only."""

from __future__ import annotations

from collections.abc import Mapping

# What answers a question.
ANSWER: Mapping[str, float] = {
    "near": 2.708,
    "below_nearest": 2.693,
    "states": 1.139,
    "own": 0.1625,
    "strange": -0.1251,
    "named": 0.5915,
    "kind": 0.2558,
    "after": -0.1426,
    "topic": 0.2917,
    "whose": -0.2641,
    "nobodys": -0.6872,
    "others": -0.5087,
    "leads_self": -0.1711,
    "only_self": -0.3241,
    "who": 0.2485,
    "where": 0.3645,
    "counted": 0.6554,
    "cues": 0.1924,
    "ended": 0.8047,
    "long": 0.304,
}
# That one memory replaced another in a question: as log odds.
REPLACE: Mapping[str, float] = {
    "near_both": -1.412,
    "near_earlier": 4.703,
    "near_later": 1.557,
    "gap": 1.959,
    "values": -0.9183,
    "kinds": 0.9429,
    "asked_of_later": 0.8155,
    "earlier_states": 0.986,
    "later_states": 0.9415,
    "topic_later": 0.3838,
    "shared": 0.4313,
    "rare": 1.126,
    "bridge": -0.5637,
    "bridge_cues": 0.7393,
    "name": -0.9417,
    "bridge_name": 0.7994,
    "name_asked": 0.7006,
    "cues": -0.3176,
    "cues_near": 1.308,
    "numbers_cues": 0.4449,
    "now": -0.366,
    "turned": -0.3546,
    "shifted": -0.6833,
    "righted": 3.949,
    "newest": -0.7871,
    "lacks": -0.7917,
    "stranger": -0.04311,
    "lost": -0.3962,
    "then": -0.4213,
    "after": 1.054,
}
REPLACE_BASE = -3.666
# For each unit by which the one that took the place answers better by itself.
REPLACE_GAIN = 1.386
