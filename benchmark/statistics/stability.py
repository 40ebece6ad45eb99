"""Whether the order of methods is the same with every seed."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmark.statistics.grid import Gaps, Metric, grid

Array = NDArray[np.float64]


class RankStability(NamedTuple):
    """Agreement of seeds on the order of methods.

    Attributes:
        kendall_w: coefficient of concordance, 1 if all seeds agree, about 1 / k if none do.
        mean_tau: mean Kendall's τ-b of pairs of seeds; NaN where a seed ties all methods.
        ranks: methods (rows) × seeds (columns), 1 is best.
    """

    kendall_w: float
    mean_tau: float
    ranks: pd.DataFrame


def rank_stability(
    table: pd.DataFrame,
    *,
    metric: Metric = "rmse",
    model: str | None = None,
    estimand: str | None = None,
    gaps: Gaps | None = None,
) -> RankStability:
    """Return how far seeds agree on the order of methods, each seed's scores pooled over scenarios.

    Args:
        table: from ``benchmark.table.scores``.
        metric: what methods are ordered by.
        model: whose; None if the table has one network, or the oracle alone.
        estimand: the truth that all are scored against; None for the one that each method targets.
        gaps: what to do with empty cells; None refuses them.

    Raises:
        ValueError: if there are fewer than two methods or seeds, or the table has gaps.
    """
    cells = grid(table, model=model, estimand=estimand, gaps=gaps)
    values = cells.of(metric)
    # A scenario counts for all seeds or for none: seeds must be ordered by the same scenarios.
    values = values[:, np.isfinite(values).all((0, 2))]
    if len(cells.methods) < 2 or len(cells.seeds) < 2 or not values.shape[1]:
        raise ValueError(
            "Rank stability must have two methods, two seeds and a scenario with all of them. Got "
            f"{len(cells.methods)} methods, {len(cells.seeds)} seeds, {values.shape[1]} such scenarios."
        )
    pooled = np.round(values.mean(1), 12)
    ranks = stats.rankdata(pooled if metric == "rmse" else -pooled, axis=0)
    taus = [
        stats.kendalltau(a, b).statistic  # pyright: ignore[reportAttributeAccessIssue]
        for a, b in combinations(ranks.T, 2)
        if len(set(a)) > 1 and len(set(b)) > 1
    ]
    columns = ["/".join(map(str, seed)) for seed in cells.seeds]
    return RankStability(
        kendall_w(ranks),
        float(np.mean(taus)) if taus else np.nan,
        pd.DataFrame(ranks, index=pd.Index(cells.methods, name="method"), columns=columns),
    )


def kendall_w(ranks: ArrayLike) -> float:
    """Return the coefficient of concordance of rankings, corrected for ties; 1 where all tie alike.

    W = 12 Σ_i (R_i − R̄)² / (k² (m³ − m) − k Σ_j Σ_ties (t³ − t)), with R_i the sum of ranks of item i
    (Kendall & Babington Smith 1939, "The problem of m rankings").

    Args:
        ranks: ``[m, k]``: m items, ranked k times; tied items share their mean rank.

    Example:
        >>> kendall_w([[1, 1], [2, 2], [3, 3]]), kendall_w([[1, 3], [2, 2], [3, 1]])
        (1.0, 0.0)
    """
    values = np.asarray(ranks, dtype=float)
    n_items, n_rankings = values.shape
    sums = values.sum(1)
    ties = 0.0
    for ranking in values.T:
        _, counts = np.unique(ranking, return_counts=True)
        ties += float((counts**3 - counts).sum())
    room = n_rankings**2 * (n_items**3 - n_items) - n_rankings * ties
    return float(12 * ((sums - sums.mean()) ** 2).sum() / room) if room > 0 else 1.0
