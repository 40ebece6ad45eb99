"""How much of a method's error is its own, and how much the network's."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark import models
from benchmark.statistics.grid import CASE, SEEDS, Gaps, GridError, grid


def error_shares(
    table: pd.DataFrame,
    *,
    model: str | None = None,
    estimand: str | None = None,
    gaps: Gaps | None = None,
) -> pd.DataFrame:
    """Return each method's mean squared error on a network, divided into the method's part and the model's.

    On the oracle a method explains the true decision function: its error there, MSE_o, is its own. On the
    network of the same scenario and seeds it is MSE_n, and what training added is MSE_n − MSE_o::

        share of the method = min(MSE_o / MSE_n, 1),  share of the model = 1 − that

    both pooled over scenarios and seeds, which are the same for both. The exact identity is MSE_n = MSE_o +
    |e_n − e_o|² + 2 e_o · (e_n − e_o) with e the vectors of errors: what is called the model's share contains
    the product of both. Where errors cancel, so that the network does better than the oracle, ``added`` is
    negative and the method's share is 1.

    Args:
        table: from ``benchmark.table.scores``, with oracle and network.
        model: the network; None if the table has one.
        estimand: the truth that all are scored against; None for the one that each method targets.
        gaps: what to do with empty cells of either; None refuses them.

    Returns:
        One row a method: ``model``, ``method``, ``mse``, ``mse_oracle``, ``added``, ``share_method`` and
        ``share_model`` (both NaN where there is no error).

    Raises:
        ValueError: if the table lacks the oracle or a network, or has gaps.
    """
    if models.ORACLE not in set(table["model"]):
        raise GridError("The table must have rows of the oracle to tell the method's error. Got none.")
    trained = grid(table, model=model, estimand=estimand, gaps=gaps)
    if trained.model == models.ORACLE:
        raise GridError("The table must have rows of a network beside the oracle's. Got the oracle's alone.")
    places = set(zip(trained.cases, range(len(trained.cases)), strict=True))
    # The oracle needs no training: its rows of scenarios and seeds that the network lacks are left out.
    kept = {
        (*case, *seed)
        for case, i in places
        for j, seed in enumerate(trained.seeds)
        if np.isfinite(trained.rmse[:, i, j]).all()
    }
    rows = table[table["model"] == models.ORACLE]
    keys = list(rows[[*CASE, *SEEDS]].itertuples(index=False, name=None))
    rows = rows[np.array([key in kept for key in keys]) & rows["method"].isin(trained.methods)]
    if not len(rows):
        raise GridError("The oracle must have rows of the network's scenarios and seeds. Got none of them.")
    exact = grid(rows, model=models.ORACLE, estimand=estimand, gaps=gaps)
    there = {
        (*case, *seed)
        for i, case in enumerate(exact.cases)
        for j, seed in enumerate(exact.seeds)
        if np.isfinite(exact.rmse[:, i, j]).all()
    }
    if kept - there and gaps != "drop-case":
        raise GridError(
            "The oracle must have every scenario and seed of the network. "
            f"Got {len(kept - there)} that it lacks; say gaps='drop-case'."
        )
    kept &= there
    shared = [name for name in trained.methods if name in exact.methods]
    found = []
    for name in shared:
        squares = [
            _mean_square(cells.rmse[cells.methods.index(name)], cells.cases, cells.seeds, kept)
            for cells in (trained, exact)
        ]
        mse, own = squares
        share = min(own / mse, 1.0) if mse > 0 else np.nan
        found.append(
            {
                "model": trained.model,
                "method": name,
                "mse": mse,
                "mse_oracle": own,
                "added": mse - own,
                "share_method": share,
                "share_model": 1 - share,
            }
        )
    return pd.DataFrame(found)


def _mean_square(
    rmse: np.ndarray,
    cases: tuple[tuple[str, ...], ...],
    seeds: tuple[tuple[int, ...], ...],
    kept: set[tuple[object, ...]],
) -> float:
    squares = [
        rmse[i, j] ** 2
        for i, case in enumerate(cases)
        for j, seed in enumerate(seeds)
        if (*case, *seed) in kept
    ]
    return float(np.nanmean(squares)) if squares else np.nan
