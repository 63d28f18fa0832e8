"""Learns the sums of supersede/worth.py: all cases in one step, with numpy. What is learned from is in first_person_learning.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

STEPS, RATE, RIDGE = 80, 0.08, 10.0
# What an old answer in front costs beside a missed one; how much the pairs and the matter alone are learned besides.
WRONG, PAIRS, MATTER = 3.0, 0.1, 0.3
# Log odds beyond which nothing changes any more, and the least chance of having been replaced: as in worth.py.
SURE, LEAST = 30.0, 1e-3


@dataclass
class Case:
    """One question with the evidence of its best candidates; `may[a, b]` says that time favours b before a."""

    alone: np.ndarray
    between: np.ndarray
    may: np.ndarray
    first: np.ndarray
    never: np.ndarray
    matter: bool
    before: bool


@dataclass
class Model:
    """The weights, with the base and the gain of worth.py."""

    alone: np.ndarray
    between: np.ndarray
    base: float
    gain: float


@dataclass
class Batch:
    """Cases side by side: `there` says which places are taken, `pairs` are (case, one, two) of each row of `between`."""

    alone: np.ndarray
    between: np.ndarray
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray]
    there: np.ndarray
    first: np.ndarray
    never: np.ndarray
    matter: np.ndarray
    before: np.ndarray

    def summed(self, place: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return for each place of each case the sum of what its pairs have, `place` being one side of them."""
        count, width = self.there.shape
        flat = np.bincount(self.pairs[0] * width + place, values, count * width)
        return flat.reshape(count, width)


@dataclass
class Seen:
    """What worth.py works out on the way."""

    alone: np.ndarray
    ahead: np.ndarray
    chance: np.ndarray
    lost: np.ndarray
    power: np.ndarray
    handed: np.ndarray
    whole: np.ndarray
    worth: np.ndarray


def side_by_side(told: Sequence[Case]) -> Batch:
    """Return the cases as one batch."""
    count, width = len(told), max(len(case.alone) for case in told)
    alone = np.zeros((count, width, told[0].alone.shape[1]))
    may, there, first, never = (
        np.zeros(shape, bool) for shape in [(count, width, width), *[(count, width)] * 3]
    )
    for number, case in enumerate(told):
        size = len(case.alone)
        alone[number, :size] = case.alone
        may[number, :size, :size] = case.may > 0
        there[number, :size] = True
        first[number, :size], never[number, :size] = case.first, case.never
    at, one, two = np.nonzero(may)
    return Batch(
        alone,
        np.concatenate([case.between[case.may > 0] for case in told]),
        (at, one, two),
        there,
        first,
        never,
        np.array([case.matter for case in told]),
        np.array([case.before for case in told]),
    )


def forward(batch: Batch, model: Model) -> Seen:
    """Return what worth.py works out, for all cases at once."""
    at, one, two = batch.pairs
    alone = np.where(batch.there, batch.alone @ model.alone, -1e3)
    ahead = alone[at, two] - alone[at, one]
    odds = np.clip(batch.between @ model.between + model.base + model.gain * ahead, -SURE, SURE)
    chance = 1 / (1 + np.exp(-odds))
    lost = batch.summed(one, np.logaddexp(0, odds))
    top = alone.max(1, keepdims=True)
    power = np.where(batch.there, np.exp(alone - top), 0.0)
    handed = power[at, one] * chance
    whole = np.maximum(power + batch.summed(two, handed), 1e-30)
    worth = np.where(
        batch.before[:, None],
        alone + np.log(1 - np.exp(-lost) + LEAST),
        np.log(whole) + top - lost,
    )
    worth = np.where(batch.there, worth, -1e4)
    return Seen(alone, ahead, chance, lost, power, handed, whole, worth)


def _share(worth: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return what share of the whole each place has, where `among` says how much each counts."""
    most = np.where(among > 0, worth, -np.inf).max(1, keepdims=True)
    power = np.exp(np.minimum(worth - np.where(np.isfinite(most), most, 0.0), 0.0)) * among
    return power / np.maximum(power.sum(1, keepdims=True), 1e-30)


def slopes(batch: Batch, model: Model) -> np.ndarray:
    """Return how the loss changes with each weight, the base and the gain."""
    at, one, two = batch.pairs
    seen = forward(batch, model)
    dear = np.where(batch.never, WRONG, 1.0) * batch.there
    slope = _share(seen.worth, dear) - _share(seen.worth, 1.0 * batch.first)
    fade, before = np.exp(-seen.lost), batch.before[at]
    share = slope[at, two] * seen.handed / seen.whole[at, two]
    by_odds = np.where(
        before,
        (slope * fade / (1 - fade + LEAST))[at, one] * seen.chance,
        share * (1 - seen.chance) - slope[at, one] * seen.chance,
    )
    by_alone = np.where(batch.before[:, None], slope, slope * seen.power / seen.whole)
    by_alone += batch.summed(one, np.where(before, 0.0, share))
    # Known of a pair: what may come first was not replaced, what may not was, by what may and by nothing else.
    right = batch.never[at, one] & batch.first[at, two]
    other = batch.never[at, one] & ~batch.never[at, two] & ~batch.first[at, two]
    known = batch.first[at, one] | right | other
    by_odds += PAIRS * np.where(known, seen.chance - right, 0.0)
    matter = batch.first | (batch.never & batch.matter[:, None])
    by_alone += MATTER * (
        _share(seen.alone, 1.0 * batch.there) - matter / matter.sum(1, keepdims=True)
    )
    gain = (by_odds * seen.ahead).sum()
    by_alone += model.gain * (batch.summed(two, by_odds) - batch.summed(one, by_odds))
    return np.r_[
        np.tensordot(by_alone, batch.alone, 2), by_odds @ batch.between, by_odds.sum(), gain
    ]


def learned(told: Sequence[Case]) -> Model:
    """Return the weights for these cases: every step looks at all of them (Adam, with a ridge)."""
    batch = side_by_side([case for case in told if case.first.any()])
    wide = batch.alone[batch.there].std(0) + 1e-6
    middle, broad = batch.between.mean(0), batch.between.std(0) + 1e-6
    scaled = replace(batch, alone=batch.alone / wide, between=(batch.between - middle) / broad)
    size = len(wide)
    at = np.r_[np.zeros(size + len(broad)), -1.0, 0.3]
    mean, square = np.zeros_like(at), np.zeros_like(at)
    for step in range(1, STEPS + 1):
        model = Model(at[:size], at[size:-2], float(at[-2]), float(at[-1]))
        slope = (slopes(scaled, model) + np.r_[RIDGE * at[:-2], 0.0, 0.0]) / len(batch.first)
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        at = at - RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    weights = at[size:-2] / broad
    return Model(at[:size] / wide, weights, float(at[-2] - weights @ middle), float(at[-1]))


def score(told: Sequence[Case], model: Model) -> tuple[int, int]:
    """Return how many are right first, and how many wrong first."""
    batch = side_by_side(told)
    rows = np.arange(len(told))
    best = forward(batch, model).worth.argmax(1)
    return int(batch.first[rows, best].sum()), int(batch.never[rows, best].sum())
