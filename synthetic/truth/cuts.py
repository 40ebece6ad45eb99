"""Where F is cut into classes: thresholds and class shares, with what sampling leaves open of them.

A threshold that is a quantile of F's law has a closed form where F is Gaussian and is an estimate elsewhere.
Its error is one of every truth that rests on the label. So it is estimated once a replicate, each time from
points of its own, and each replicate of a truth uses its own: the spread of the replicates then holds this
error, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from synthetic.labels import Labels
from synthetic.truth.draws import check_varies, complete, points
from synthetic.truth.reduction import Reduction
from synthetic.truth.replicates import N_REPLICATES

_N_POINTS = 2**15
"""Quasi-random patients a replicate."""
_REACHED = 0.01
"""Furthest that the share of a class may be from what was asked, where F has few values."""
_ATOM = 2e-3
"""Least probability of a value of F that many patients share; among so many points, chance repeats none."""


@dataclass(frozen=True, eq=False)
class Cuts:
    """Thresholds of F and class probabilities, in replicates.

    Attributes:
        replicates: thresholds ``[replicates, classes − 1]``, ascending; one replicate where exact.
        shares: P(class) before label noise, ``[replicates, classes]``.
    """

    replicates: np.ndarray
    shares: np.ndarray

    def __len__(self) -> int:
        return len(self.replicates)

    @property
    def thresholds(self) -> np.ndarray:
        """The thresholds that labels are drawn with ``[classes − 1]``: the replicates' mean."""
        return self.replicates.mean(0)

    @property
    def probabilities(self) -> np.ndarray:
        """P(class) ``[classes]``: the replicates' mean."""
        return self.shares.mean(0)

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return thresholds and class probabilities for a replicate of a truth."""
        place = number % len(self)
        return self.replicates[place], self.shares[place]


def cut(reduction: Reduction, labels: Labels, seed: int = 0) -> Cuts:
    """Return where F is cut: at the given thresholds, or at quantiles of its law.

    In closed form where F is Gaussian, else in 32 replicates of 2¹⁵ quasi-random patients. What of L no other
    argument of F shares is integrated in closed form, so that P(F < t) is a smooth function of t.

    Args:
        reduction: F.
        labels: class shares, or thresholds.
        seed: decides the points.

    Raises:
        ValueError: if F does not vary, or takes so few values that no thresholds give the shares.
    """
    check_varies(reduction)
    if reduction.is_linear:
        spread = np.sqrt(reduction.total[-1, -1])
        if labels.thresholds is None:
            return Cuts(spread * special.ndtri(labels.levels)[None], np.asarray(labels.shares, float)[None])
        given = np.asarray(labels.thresholds, dtype=float)
        return Cuts(given[None], _between(special.ndtr(given / spread))[None])
    found = [_replicate(reduction, labels, number, seed) for number in range(N_REPLICATES)]
    return Cuts(np.stack([limits for limits, _ in found]), np.stack([shares for _, shares in found]))


def label_entropy(cuts: Cuts, labels: Labels) -> float:
    """Return the entropy of the label in bits, label noise included."""
    return float(special.entr(labels.blurred(cuts.probabilities)).sum() / np.log(2))


def _replicate(reduction: Reduction, labels: Labels, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    values, noise = complete(reduction, points(reduction, _N_POINTS, "thresholds", number, seed))
    values = np.sort(values)
    if labels.thresholds is not None:
        given = np.asarray(labels.thresholds, dtype=float)
        return given, _between(np.array([_below(values, noise, limit) for limit in given]))
    if noise:
        limits = np.array([_smooth_quantile(values, noise, level) for level in labels.levels])
        return limits, np.asarray(labels.shares, dtype=float)
    pairs = [_quantile(values, level) for level in labels.levels]
    limits, below = (np.array(column) for column in zip(*pairs, strict=True))
    if not (np.diff(limits) > 0).all() or (np.abs(below - labels.levels) > _REACHED).any():
        raise ValueError(
            f"The 'shares' {labels.shares} of Labels cannot be reached: F takes too few values. "
            "Give 'thresholds' instead."
        )
    return limits, _between(below)


def _below(values: np.ndarray, noise: float, limit: float) -> float:
    """Return P(F < limit) for ascending values and the standard deviation of what is added to them."""
    if noise:
        return float(special.ndtr((limit - values) / noise).mean())
    return float(np.searchsorted(values, limit, side="left") / len(values))


def _smooth_quantile(values: np.ndarray, noise: float, level: float) -> float:
    """Return t with P(F < t) = level, where ascending values are blurred by Gaussian noise."""
    reach = noise * special.ndtri(level)  # the quantile, were all values the least, or the largest
    low, high = float(values[0] + reach), float(values[-1] + reach)
    if not low < high:
        return low
    found = optimize.root_scalar(
        lambda limit: _below(values, noise, limit) - level, bracket=(low, high), method="brentq", xtol=1e-14
    )
    return float(found.root)


def _quantile(values: np.ndarray, level: float) -> tuple[float, float]:
    """Return a threshold at a level of ascending values, and the share of F's law below it.

    Among single values it is interpolated (Hazen's rule), and the share is the level. Where many share a
    value, the cut is halfway to its neighbour, on the side that is nearer to the level, and the share below
    is counted.
    """
    n = len(values)
    value = values[min(int(np.ceil(level * n)), n) - 1]
    first, last = (int(np.searchsorted(values, value, side=side)) for side in ("left", "right"))
    is_below = first > 0 and (last == n or level - first / n <= last / n - level)
    place = first if is_below else last
    left, right = values[place - 1], values[min(place, n - 1)]
    if max(np.count_nonzero(values == left), np.count_nonzero(values == right)) > _ATOM * n:
        return float(left / 2 + right / 2), place / n
    return float(np.quantile(values, level, method="hazen")), level


def _between(below: np.ndarray) -> np.ndarray:
    return np.diff(below, prepend=0.0, append=1.0)
