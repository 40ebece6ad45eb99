"""How far apart two methods are, and whether that is shown to be too little to matter.

No difference found is no proof of equality: few seeds find little. Equality within a margin is a claim of its
own, which a test of its own must support.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmark.statistics.intervals import seed_variance, shared_factor

Array = NDArray[np.float64]

MARGIN = 0.01
"""Difference of two RMSE, or RBO, that does not matter: what tables show with two places."""


class Difference(NamedTuple):
    """A difference of pooled scores with its standard error and the degrees of freedom of that."""

    value: float
    error: float
    freedom: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the ends of Student's interval."""
        if self.error == 0:
            return self.value, self.value
        reach = float(stats.t.ppf((1 + confidence) / 2, self.freedom)) * self.error
        return self.value - reach, self.value + reach


def difference(first: Array, second: Array, *, squared: bool, over_seeds: bool, unseen: float) -> Difference:
    """Return first − second, pooled, of cells that are paired.

    Of squared errors, the difference of the roots of their means, √A − √B, which to first order is the mean
    of a / (2√A) − b / (2√B) over cells (delta method): a paired difference of means, with the variances of
    the tests of ``comparisons``.

    Args:
        first: ``[s, k]``, a scenario and seed each, NaN where there is none.
        second: likewise.
        squared: whether the values are squared errors.
        over_seeds: whether seeds vary and scenarios are fixed; else scenarios vary.
        unseen: see ``intervals.UNSEEN``.
    """
    sides = []
    for values in (first, second):
        mean = float(np.nanmean(np.nanmean(values, axis=1)))
        root = np.sqrt(mean) if squared else mean
        sides.append((root, values / (2 * root) if squared and root > 0 else values))
    (a, parts), (b, others) = sides
    each = parts - others
    if over_seeds:
        variance, freedom = seed_variance(each, unseen=unseen)
        variance *= shared_factor(each)
    else:
        means = np.nanmean(each, axis=1)
        freedom = len(means) - 1.0
        variance = float(means.var(ddof=1)) / len(means) if freedom else np.nan
    return Difference(float(a - b), float(np.sqrt(variance)), float(freedom))


def equivalence_p(found: Difference, margin: float = MARGIN) -> float:
    """Return the p of the hypothesis that a difference is as large as the margin, or larger.

    Two one-sided t tests, of which the larger p counts (Schuirmann 1987, "A comparison of the two one-sided
    tests procedure and the power approach for assessing the equivalence of average bioavailability").

    Example:
        >>> round(equivalence_p(Difference(0.0, 0.005, 10.0)), 4)  # two errors from either margin
        0.0367
    """
    room = margin - abs(found.value)
    if found.error == 0:
        return 0.0 if room > 0 else 1.0
    return float(stats.t.sf(room / found.error, found.freedom))
