"""Which method is better, beyond noise: paired tests, ranks, and groups in which no difference is found."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmark.statistics.equivalence import MARGIN, Difference, difference, equivalence_p
from benchmark.statistics.grid import Gaps, Grid, GridError, Metric, grid
from benchmark.statistics.intervals import UNSEEN, seed_variance, shared_factor
from synthetic.names import check_known

Array = NDArray[np.float64]

Test = Literal["wilcoxon", "t", "seeds"]


class Friedman(NamedTuple):
    """Friedman's test of equal ranks."""

    statistic: float
    p: float
    n_methods: int
    n_scenarios: int


@dataclass(frozen=True)
class Groups:
    """What a critical-difference diagram shows.

    Attributes:
        ranks: average rank of each method, 1 the best, best first.
        friedman: whether any differ.
        groups: neighbours in rank of which no two are found to differ; longest runs, of two or more.
        pairs: from `compare_methods`.
    """

    ranks: pd.Series
    friedman: Friedman
    groups: tuple[tuple[str, ...], ...]
    pairs: pd.DataFrame


def compare_methods(
    table: pd.DataFrame,
    *,
    metric: Metric = "rmse",
    test: Test = "seeds",
    level: float = 0.05,
    margin: float = MARGIN,
    model: str | None = None,
    estimand: str | None = None,
    gaps: Gaps | None = None,
) -> pd.DataFrame:
    """Return each pair of methods: how far apart they are, and whether that is more than noise.

    Cells are paired: both methods explained the same model on the same samples. ``"seeds"`` takes the
    scenarios as fixed, as a suite's are: would other seeds turn the difference? (Student's t, with the
    variance of `seed_variance` times `shared_factor`.) ``"wilcoxon"`` (signed ranks, exact up to 50
    scenarios) and ``"t"`` compare means over seeds, paired over scenarios: do the methods differ on other
    scenarios like these? With eight scenarios, the least p of Wilcoxon's test is 0.0078, so that after Holm's
    correction five methods or more cannot differ. Error rates of all: ``results/reference/gate.md``.

    A difference that is not found may be there all the same. Whether it is *shown* to be below a margin, so
    small that it does not matter, is a question of its own: two one-sided t tests of the difference of the
    pooled scores, over what varies in the test of the difference (seeds, or scenarios; for Wilcoxon's test,
    which knows no margin, over scenarios), corrected after Holm for the same pairs. Where neither is shown,
    it is not decided which of two methods is better.

    Args:
        table: from ``benchmark.table.scores``.
        metric: ``"rmse"`` compares mean squared errors, the others means of the metric.
        test: see above.
        level: family-wise error rate that ``differs`` stands for, and ``within``.
        margin: difference of two RMSE, or mean RBO, that does not matter.
        model: whose; None if the table has one network, or the oracle alone.
        estimand: the truth that all are scored against; None for the one that each method targets.
        gaps: what to do with empty cells; None refuses them.

    Returns:
        One row a pair: ``better``, ``worse`` (in this order of the mean; of equals, as in the table),
        ``difference`` (better − worse, of pooled RMSE or mean RBO), its 95 % interval ``low`` to ``high`` (of
        the pair alone, not corrected), ``p``, ``p_holm`` and ``differs``; ``p_within``, ``p_within_holm`` and
        ``within``.

    Raises:
        ValueError: if the table has gaps and `gaps` does not say what to do, or an argument is no choice.
    """
    check_known("test", test, ("wilcoxon", "t", "seeds"))
    return _compare(
        grid(table, model=model, estimand=estimand, gaps=gaps),
        metric=metric,
        test=test,
        level=level,
        margin=margin,
    )


def _compare(cells: Grid, *, metric: Metric, test: Test, level: float, margin: float) -> pd.DataFrame:
    values = _shared(cells, metric)
    means = np.nanmean(np.nanmean(values, axis=2), axis=1)
    sign = 1 if metric == "rmse" else -1
    unseen = 0.0 if metric == "rmse" else UNSEEN
    rows = []
    for first, second in combinations(range(len(cells.methods)), 2):
        a, b = (first, second) if sign * means[first] <= sign * means[second] else (second, first)
        p = _p_value(values[a] - values[b], test, unseen=unseen)
        apart = _apart(values[a], values[b], metric=metric, test=test, unseen=unseen)
        low, high = apart.interval()
        rows.append(
            {
                "better": cells.methods[a],
                "worse": cells.methods[b],
                "difference": apart.value,
                "low": low,
                "high": high,
                "p": p,
                "p_within": equivalence_p(apart, margin),
            }
        )
    columns = ["better", "worse", "difference", "low", "high", "p", "p_within"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["p_holm"] = holm(frame["p"].to_numpy(float))
    frame["differs"] = frame["p_holm"] < level
    frame["p_within_holm"] = holm(frame["p_within"].to_numpy(float))
    frame["within"] = frame["p_within_holm"] < level
    return frame


def beside_the_best(pairs: pd.DataFrame, first: str, *, level: float = 0.05) -> dict[str, tuple[bool, bool]]:
    """Return of each method whether it is shown to be worse than the best, and to be near the first.

    Which of m methods is the best is not known. A method is worse than it where it is worse than *any* other,
    each test at level / (m − 1): whichever the best is, only its own m − 1 comparisons can make such a claim
    false (multiple comparisons with the best; Hsu 1984, "Constrained simultaneous confidence intervals for
    multiple comparisons with the best"). That is far fewer than all pairs. Nearness is to the method of least
    error, at the same level; that it was chosen for its score makes others look farther from it, not nearer.

    Args:
        pairs: from `compare_methods`.
        first: the method of least error.
        level: of all claims of one kind together.
    """
    names = dict.fromkeys([*pairs["better"], *pairs["worse"]])
    each = level / max(len(names) - 1, 1)
    worse, near = dict.fromkeys(names, False), dict.fromkeys(names, False)
    for row in pairs.to_dict(orient="records"):
        better, other = row["better"], row["worse"]
        worse[other] |= bool(row["p"] < each)
        if first in (better, other):
            near[other if better == first else better] = bool(row["p_within"] < each)
    return {name: (worse[name], near[name]) for name in names}


def _apart(first: Array, second: Array, *, metric: Metric, test: Test, unseen: float) -> Difference:
    """Return the difference of two methods; exactly 0 where their scores are the same."""
    if np.nanmax(np.abs(first - second)) <= 1e-12:
        return Difference(0.0, 0.0, 1.0)
    return difference(first, second, squared=metric == "rmse", over_seeds=test == "seeds", unseen=unseen)


def _p_value(differences: Array, test: Test, *, unseen: float) -> float:
    """Return the two-sided p of differences ``[s, k]``; equal scores have p = 1."""
    if np.nanmax(np.abs(differences)) <= 1e-12:
        return 1.0
    means = np.nanmean(differences, axis=1)
    if test == "seeds":
        variance, freedom = seed_variance(differences, unseen=unseen)
        if np.isnan(variance):
            raise ValueError(
                "The test 'seeds' must have two seeds or more. Got one: take more, or 'wilcoxon'."
            )
        return _t_test(float(means.mean()), variance * shared_factor(differences), freedom)
    if len(means) < 2:
        raise ValueError(f"The test {test!r} must have two scenarios or more. Got one: take test='seeds'.")
    if test == "t":
        return _t_test(float(means.mean()), float(means.var(ddof=1) / len(means)), len(means) - 1)
    return signed_rank_test(means)


def signed_rank_test(differences: ArrayLike) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; differences of 0 are left out.

    Wilcoxon (1945), "Individual comparisons by ranking methods". Exact, whatever is tied, up to 50
    differences: the distribution over all signs of the ranks. Beyond, the normal approximation.

    Example:
        >>> signed_rank_test([1.0, 2.0, 3.0, 4.0, 5.0])  # 2 of 2⁵ signs
        0.0625
    """
    values = np.asarray(differences, dtype=float)
    values = values[np.abs(values) > 1e-12]
    if not len(values):
        return 1.0
    if len(values) > _MOST_EXACT:
        found = stats.wilcoxon(values, method="approx")
        return float(found.pvalue)  # pyright: ignore[reportAttributeAccessIssue]
    # Twice the ranks are whole, with ties, too: sums of them can be counted.
    ranks = np.rint(2 * stats.rankdata(np.round(np.abs(values), 12))).astype(int)
    counts = _rank_sums(ranks)
    # The distance from the mean, doubled once more so that it is whole.
    distance = np.abs(2 * np.arange(len(counts)) - ranks.sum())
    return float(counts[distance >= distance[ranks[values > 0].sum()]].sum() / counts.sum())


def _rank_sums(ranks: NDArray[np.int_]) -> Array:
    """Return in how many ways signs of whole ranks ``[n]`` give each sum of positive ones, 0 to the total.

    Rank by rank, a sum is come by with the rank or without it: n × total steps in place of 2ⁿ sums.
    """
    counts = np.zeros(int(ranks.sum()) + 1)
    counts[0] = 1
    for rank in ranks:
        counts[rank:] = counts[rank:] + counts[: len(counts) - rank]
    return counts


_MOST_EXACT = 50
"""Differences of which 2ⁿ signs are counted: more have counts that floats do not hold."""


def _t_test(mean: float, variance: float, freedom: float) -> float:
    if variance <= 0:
        return 0.0 if mean else 1.0
    return float(2 * stats.t.sf(abs(mean) / np.sqrt(variance), freedom))


def holm(p: ArrayLike) -> Array:
    """Return p values corrected for their number, step down (Holm 1979).

    "A simple sequentially rejective multiple test procedure": the i-th smallest of m is multiplied by
    m − i + 1, made monotone and cut at 1. The family-wise error rate holds under any dependence.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=float)
    if not values.size:
        return values
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def average_ranks(cells: Grid, *, metric: Metric = "rmse") -> pd.Series:
    """Return the mean rank of each method over scenarios, seeds averaged first; 1 is best, ties share."""
    means = _by_scenario(cells, metric)
    ranks = stats.rankdata(means if metric == "rmse" else -means, axis=0)
    return pd.Series(ranks.mean(1), index=pd.Index(cells.methods), name="rank").sort_values(kind="stable")


def friedman(cells: Grid, *, metric: Metric = "rmse") -> Friedman:
    """Return Friedman's test that all methods have equal ranks, scenarios as blocks, corrected for ties.

    Friedman (1937), "The use of ranks to avoid the assumption of normality"; with all ranks tied, p is 1.

    Raises:
        ValueError: if there are fewer than three methods or two scenarios.
    """
    means = _by_scenario(cells, metric)
    if len(means) < 3 or means.shape[1] < 2:
        raise ValueError(
            f"Friedman's test must have three methods and two scenarios or more. Got {len(means)} and "
            f"{means.shape[1]}; compare_methods compares two."
        )
    ranks = stats.rankdata(means, axis=0)
    if (ranks == ranks[:1]).all():
        return Friedman(0.0, 1.0, *means.shape)
    found = stats.friedmanchisquare(*means)
    return Friedman(float(found.statistic), float(found.pvalue), *means.shape)


def critical_difference(
    table: pd.DataFrame,
    *,
    metric: Metric = "rmse",
    test: Test = "wilcoxon",
    level: float = 0.05,
    model: str | None = None,
    estimand: str | None = None,
    gaps: Gaps | None = None,
) -> Groups:
    """Return average ranks, Friedman's test, and the groups of methods in which no difference is found.

    Pairs are tested one by one and corrected after Holm, as Benavoli, Corani & Mangili (2016), "Should we
    really use post-hoc tests based on mean-ranks?", ask for, in place of Nemenyi's one critical difference.
    Arguments as in `compare_methods`.

    Raises:
        ValueError: if there are fewer than three methods or two scenarios, or the table has gaps.
    """
    cells = grid(table, model=model, estimand=estimand, gaps=gaps)
    pairs = _compare(cells, metric=metric, test=test, level=level, margin=MARGIN)
    ranks = average_ranks(cells, metric=metric)
    apart = pairs.loc[pairs["differs"], ["better", "worse"]].to_numpy().tolist()
    different = {frozenset(map(str, pair)) for pair in apart}
    return Groups(
        ranks, friedman(cells, metric=metric), _runs([str(name) for name in ranks.index], different), pairs
    )


def _runs(names: list[str], different: set[frozenset[str]]) -> tuple[tuple[str, ...], ...]:
    """Return the longest runs of neighbours in which no two differ."""
    runs: list[tuple[int, int]] = []
    for start in range(len(names)):
        end = start + 1
        while end < len(names) and not any(
            frozenset((names[end], other)) in different for other in names[start:end]
        ):
            end += 1
        if end - start > 1 and not any(a <= start and end <= b for a, b in runs):
            runs.append((start, end))
    return tuple(tuple(names[start:end]) for start, end in runs)


def _shared(cells: Grid, metric: Metric) -> Array:
    """Return the values ``[m, s, k]`` of the scenarios that say something of every method.

    Where the truth of a method is one tie, its order says nothing; others may target another truth.
    """
    values = cells.of(metric)
    values = np.where(np.isfinite(values).all(0), values, np.nan)
    values = values[:, np.isfinite(values).any((0, 2))]
    if not values.shape[1]:
        raise GridError(f"A scenario must have a {metric} of every method. None has: truths are one tie.")
    return values


def _by_scenario(cells: Grid, metric: Metric) -> Array:
    """Return means over seeds ``[m, s]``, without scenarios that have none."""
    values = _shared(cells, metric)
    # Rounded: sums in another order must not make or break a tie.
    return np.round(np.nanmean(values, axis=2), 12)
