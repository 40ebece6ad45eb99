"""Confidence intervals of means over scenarios and seeds; two questions, two intervals.

*Over seeds*: what would this number be on these scenarios with other seeds? The scenarios are fixed, as those
of a suite are. *Over scenarios*: what would it be on other scenarios of the same kind? Scenarios are few and
unlike each other, so the answer is much less sure. Neither holds for the other question.

With three seeds, a scenario has ten distinct bootstrap samples and its resampled variance is a third too
small: percentile and BCa intervals cover too little. Over seeds, the variances are therefore worked out; over
scenarios, the bootstrap is studentised. ``results/reference/gate.md`` has the measured coverage.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmark.statistics.grid import Gaps, Metric, grid
from synthetic.names import check_known
from synthetic.seeding import numpy_rng

Array = NDArray[np.float64]

Over = Literal["seeds", "scenarios"]

MeanOf = Literal["scenarios", "results"]
"""What weighs the same in a mean: scenarios, or results, which a scenario with more seeds has more of."""

UNSEEN = 0.02
"""Sum of squared deviations of an RBO that is taken to hide in the seeds that were not drawn.

RBO moves in steps: a near tie of the truth that flips with one seed in ten shows in few tables of three, and
three seeds without a flip have no variance at all. One deviation of 0.14 is added to those that were seen,
about half a swap of neighbours among four modalities. Chosen by the coverage that it gives.
"""


SHARED_DRAWS = 0.05
"""Correlation of the errors that one method makes with the same seed on two scenarios.

Scenarios of one seed share what they are drawn from (patients, clinical tables), so that their errors are not
independent: the variance of a mean over s scenarios is 1 + (s − 1) ρ times that of independent ones. Three
seeds cannot tell ρ. From 24 seeds of suite ``smoke``, the factor is 1.3 (squared errors) and 1.4 (RBO) at
s = 8.
"""


class Interval(NamedTuple):
    """A mean and its confidence interval, on the scale of the metric; NaN bounds where there is none."""

    value: float
    low: float
    high: float


class Variance(NamedTuple):
    """The variance of a mean, and the degrees of freedom of its estimate."""

    variance: float
    freedom: float


def intervals(
    table: pd.DataFrame,
    *,
    over: Over = "seeds",
    confidence: float = 0.95,
    model: str | None = None,
    estimand: str | None = None,
    gaps: Gaps | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return pooled RMSE, mean RBO and mean chance-corrected RBO of each method, with confidence intervals.

    Args:
        table: from ``benchmark.table.scores``.
        over: what varies: ``"seeds"`` (these scenarios, other seeds) or ``"scenarios"`` (others like these).
        confidence: in (0, 1).
        model: whose; None if the table has one network, or the oracle alone.
        estimand: the truth that all are scored against; None for the one that each method targets.
        gaps: what to do with empty cells; None refuses them.
        n_resamples: of the bootstrap over scenarios.
        seed: of the bootstrap; equal seeds give equal intervals.

    Returns:
        One row a method and metric: ``model``, ``method``, ``metric``, ``value``, ``low``, ``high``,
        ``n_scenarios`` and ``n_seeds``. With one seed there is no interval over seeds.

    Raises:
        ValueError: if the table has gaps and `gaps` does not say what to do, or an argument is out of range.
    """
    check_known("source of variation", over, ("seeds", "scenarios"))
    _check_confidence(confidence)
    cells = grid(table, model=model, estimand=estimand, gaps=gaps)
    metrics: tuple[Metric, ...] = ("rmse", "rbo", "rbo_corrected")
    rows = []
    for place, method in enumerate(cells.methods):
        for metric in metrics:
            values, unseen = cells.of(metric)[place], _unseen(metric, cells.rbo_room)
            if over == "seeds":
                found = seed_interval(values, confidence=confidence, squared=metric == "rmse", unseen=unseen)
            else:
                found = scenario_interval(
                    values,
                    confidence=confidence,
                    squared=metric == "rmse",
                    unseen=unseen,
                    n_resamples=n_resamples,
                    rng=numpy_rng("interval", method, metric, seed),
                )
            rows.append(
                {
                    "model": cells.model,
                    "method": method,
                    "metric": metric,
                    **found._asdict(),
                    "n_scenarios": int(np.isfinite(values).any(1).sum()),
                    "n_seeds": len(cells.seeds),
                }
            )
    return pd.DataFrame(rows)


def seed_variance(
    values: Array, *, unseen: float = 0.0, mean_of: MeanOf = "scenarios", squared: bool = False
) -> Variance:
    """Return the variance over seeds of a mean over scenarios, which are fixed.

    Each scenario has a variance of its own: V = Σ_i w_i² s_i² / k_i, where w_i is 1 / S in a mean of
    scenarios and k_i / Σ k in one of results, with the degrees of freedom of Satterthwaite (1946), "An
    approximate distribution of estimates of variance components". A scenario with one seed gets the mean
    variance of the others; of squared errors, which vary in proportion to their size, the others'
    coefficient of variation, Σ s² / Σ mean². Where `unseen` is given, variances are pooled instead: those of
    steps are 0 in nearly all scenarios, and no scenario's own can be told from three seeds.

    Args:
        values: ``[s, k]``, NaN where there is none.
        unseen: sum of squared deviations added for seeds that were not drawn; see ``UNSEEN``.
        mean_of: what weighs the same in the mean.
        squared: whether the values are squared errors.

    Returns:
        The variance and its degrees of freedom; NaN and 0 where no scenario has two seeds.
    """
    there = np.isfinite(values)
    filled = there.any(1)
    values, there = values[filled], there[filled]
    counts = there.sum(1).astype(float)
    several = counts > 1
    if not several.any():
        return Variance(np.nan, 0.0)
    means = np.where(there, values, 0.0).sum(1) / counts
    squares = np.where(there, (values - means[:, None]) ** 2, 0.0).sum(1)
    weights = _weights(counts, mean_of)
    if unseen > 0:
        freedom = float((counts - 1).sum()) + 1
        pooled = (squares.sum() + unseen) / freedom
        return Variance(float((weights**2 * pooled / counts).sum()), freedom)
    own = np.where(several, squares / np.maximum(counts - 1, 1), 0.0)
    sizes = means**2 if squared and (means[several] > 0).all() else np.ones(len(means))
    own = np.where(several, own, sizes * own[several].sum() / sizes[several].sum())
    parts = weights**2 * own / counts
    total = float(parts.sum())
    freedom = float((counts[several] - 1).sum())
    if total > 0:
        spread = float((parts[several] ** 2 / (counts[several] - 1)).sum())
        freedom = min(freedom, float(parts[several].sum() ** 2 / spread)) if spread > 0 else freedom
    return Variance(total, freedom)


def shared_factor(values: Array) -> float:
    """Return 1 + (s − 1) ρ for values ``[s, k]``; see ``SHARED_DRAWS``."""
    return 1 + (int(np.isfinite(values).any(1).sum()) - 1) * SHARED_DRAWS


def seed_interval(
    values: Array,
    *,
    confidence: float = 0.95,
    squared: bool = False,
    unseen: float = 0.0,
    mean_of: MeanOf = "scenarios",
) -> Interval:
    """Return the interval of a mean over fixed scenarios, if seeds vary.

    Student's t with the variance of `seed_variance`, times what scenarios share (``SHARED_DRAWS``); for
    squared errors on the scale of their logarithm, on which the few seeds of a positive quantity are less
    skewed (delta method).

    Args:
        values: ``[s, k]``, one a scenario and seed, NaN where there is none.
        confidence: in (0, 1).
        squared: whether the values are squared errors, of which the root of the mean is wanted.
        unseen: see ``UNSEEN``.
        mean_of: what weighs the same in the mean.

    Example:
        >>> seed_interval(np.array([[0.0, 2.0], [4.0, 6.0]])).value
        3.0
        >>> seed_interval(np.array([[0.0, 2.0], [4.0, np.nan]]), mean_of="results").value
        2.0
    """
    mean = _mean(values, mean_of)
    variance, freedom = seed_variance(values, unseen=unseen, mean_of=mean_of, squared=squared)
    if np.isnan(variance):
        return Interval(_root(mean, squared=squared), np.nan, np.nan)
    reach = stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(variance * shared_factor(values))
    if not squared:
        return Interval(mean, mean - reach, min(mean + reach, 1.0) if unseen > 0 else mean + reach)
    if mean <= 0:
        return Interval(0.0, 0.0, 0.0)
    return Interval(
        _root(mean, squared=True), *(float(np.sqrt(mean * np.exp(sign * reach / mean))) for sign in (-1, 1))
    )


def scenario_interval(
    values: Array,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    squared: bool = False,
    unseen: float = 0.0,
    mean_of: MeanOf = "scenarios",
    n_resamples: int = 2000,
) -> Interval:
    """Return the interval of a mean if scenarios vary, and seeds in them.

    The studentised hierarchical bootstrap (Davison & Hinkley 1997, "Bootstrap Methods and their Application",
    sections 3.8 and 5.2): scenarios are drawn with replacement, then seeds inside each; every resample is
    measured in its own standard errors. Steps (`unseen`) leave most resamples without a variance: there,
    Student's t over the means of scenarios. A mean of results is the ratio Σ k_i m_i / Σ k_i of scenarios
    that are drawn with their numbers of seeds k_i (Cochran 1977, "Sampling Techniques", section 6.4).

    Args:
        values: ``[s, k]``, one a scenario and seed, NaN where there is none.
        rng: of the bootstrap.
        confidence: in (0, 1).
        squared: whether the values are squared errors, of which the root of the mean is wanted.
        unseen: see ``UNSEEN``.
        mean_of: what weighs the same in the mean.
        n_resamples: of the bootstrap.
    """
    filled = values[np.isfinite(values).any(1)]
    if not len(filled):
        return Interval(np.nan, np.nan, np.nan)
    mean, n = _mean(filled, mean_of), len(filled)
    if n < 2:
        return Interval(_root(mean, squared=squared), np.nan, np.nan)
    means, shares = np.nanmean(filled, axis=1), n * _weights(np.isfinite(filled).sum(1), mean_of)
    deviation = float(((shares * (means - mean)) ** 2).sum())
    level = (1 - confidence) / 2
    if unseen > 0:
        reach = stats.t.ppf(1 - level, n - 1) * np.sqrt((deviation + unseen) / (n - 1) / n)
        return Interval(mean, mean - reach, min(mean + reach, 1.0))
    error = np.sqrt(deviation / (n - 1) / n)
    ratios = _studentised(filled, mean, mean_of, n_resamples, rng) if error > 0 else np.zeros(1)
    low, high = (mean - np.quantile(ratios, q) * error for q in (1 - level, level))
    return Interval(*(_root(float(value), squared=squared) for value in (mean, low, high)))


def _studentised(
    values: Array, mean: float, mean_of: MeanOf, n_resamples: int, rng: np.random.Generator
) -> Array:
    """Return (mean* − mean) / standard error* of resamples that have one."""
    n = len(values)
    scenarios = rng.integers(0, n, (n_resamples, n))
    # Seeds that are there come first, so that a number below their count picks one of them.
    packed = np.take_along_axis(values, np.argsort(np.isnan(values), axis=1, kind="stable"), axis=1)
    counts = np.isfinite(values).sum(1)[scenarios]
    width = values.shape[1]
    seeds = (rng.random((n_resamples, n, width)) * counts[..., None]).astype(int)
    drawn = packed[scenarios[..., None], seeds]
    # As many draws as there are seeds.
    drawn = np.where(np.arange(width) < counts[..., None], drawn, np.nan)
    means, weights = np.nanmean(drawn, axis=2), _weights(counts, mean_of)
    each = (weights * means).sum(1)
    deviations = n * weights * (means - each[:, None])
    errors = np.sqrt((deviations**2).sum(1) / (n - 1) / n)
    usable = errors > 1e-12 * max(abs(mean), 1e-300)
    return (each[usable] - mean) / errors[usable] if usable.any() else np.zeros(1)


def _weights(counts: NDArray[Any], mean_of: MeanOf) -> Array:
    """Return the weight of each scenario in a mean, ``[..., s]``, from its number of seeds."""
    check_known("weighing", mean_of, get_args(MeanOf))
    parts = counts.astype(float) if mean_of == "results" else np.ones(counts.shape)
    return parts / parts.sum(-1, keepdims=True)


def _mean(values: Array, mean_of: MeanOf) -> float:
    """Return the mean over scenarios of their means over seeds; NaN of none."""
    filled = values[np.isfinite(values).any(1)]
    if not len(filled):
        return np.nan
    return float(_weights(np.isfinite(filled).sum(1), mean_of) @ np.nanmean(filled, axis=1))


def _root(value: float, *, squared: bool) -> float:
    return float(np.sqrt(max(value, 0.0))) if squared else value


def _unseen(metric: Metric, room: Array) -> float:
    """Return ``UNSEEN`` on the scale of a metric: the corrected RBO stretches it by the room above chance."""
    if metric == "rmse":
        return 0.0
    if metric == "rbo":
        return UNSEEN
    finite = room[np.isfinite(room)]
    return UNSEEN * float((1 / finite**2).mean()) if finite.size else UNSEEN


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence must be in (0, 1). Got {confidence}.")
