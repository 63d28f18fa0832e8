"""The weights of evidence.py, fitted on the development parts of the first-person set (docs/adr/0016). Numbers only."""

from __future__ import annotations

from collections.abc import Mapping

# What answers a question.
ANSWER: Mapping[str, float] = {
    "near": 2.722,
    "below_nearest": 2.706,
    "states": 1.101,
    "own": 0.1795,
    "strange": -0.2362,
    "named": 0.6859,
    "kind": 0.2799,
    "after": -0.3814,
    "topic": 0.2547,
    "whose": -0.1533,
    "nobodys": -0.7477,
    "others": -0.6278,
    "leads_self": -0.1974,
    "only_self": -0.5334,
    "who": 0.2917,
    "where": 0.452,
    "counted": 0.6914,
    "cues": 0.2262,
    "ended": 1.021,
    "long": 0.368,
}
# That one memory replaced another in a question: as log odds.
REPLACE: Mapping[str, float] = {
    "near_both": -1.042,
    "near_earlier": 4.835,
    "near_later": 2.264,
    "gap": 2.272,
    "values": -1.21,
    "kinds": 1.019,
    "asked_of_later": 1.068,
    "earlier_states": 1.08,
    "later_states": 1.758,
    "topic_later": 0.5561,
    "shared": 0.3231,
    "rare": 1.657,
    "bridge": -0.7703,
    "bridge_cues": 0.9008,
    "name": -1.042,
    "bridge_name": 1.317,
    "name_asked": 0.6118,
    "cues": -0.2268,
    "cues_near": 1.232,
    "numbers_cues": 0.5864,
    "now": -0.3526,
    "turned": -0.2534,
    "shifted": -0.9586,
    "righted": 4.427,
    "newest": -1.229,
    "lacks": -0.8925,
    "stranger": -0.1435,
    "lost": -0.9002,
    "then": -0.4377,
    "after": 1.012,
}
REPLACE_BASE = -4.063
# For each unit by which the one that took the place answers better by itself.
REPLACE_GAIN = 1.522
