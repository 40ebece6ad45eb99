"""Which scenario and seed of which method moved most from one run to another."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.regression.compared import METRICS, counting, told
from benchmark.statistics.grid import CASE, SEEDS


def moves(run: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """Return scenarios and seeds of methods whose scores moved, before and now, what moved most first.

    Args:
        run: from ``benchmark.table.scores``.
        baseline: likewise.

    Returns:
        Columns ``method``, ``model``, ``case``, ``seed`` (``all`` where no seed is on both sides, with means
        over seeds), ``rmse_before``, ``rmse_now``, ``rbo_before``, ``rbo_now``; ordered by the larger change.
    """
    here, there = (counting(table, side).rows for table, side in ((run, "run"), (baseline, "baseline")))
    keys = ["model", "method", *CASE, *SEEDS]
    columns = [*keys, *METRICS]
    both = there[columns].merge(here[columns], on=keys, suffixes=("_before", "_now"))
    if not len(both):
        keys = keys[:-3]
        means = (side.groupby(keys, sort=False)[list(METRICS)].mean().reset_index() for side in (there, here))
        both = next(means).merge(next(means), on=keys, suffixes=("_before", "_now"))
        seeds = ["all"] * len(both)
    else:
        seeds = [told(tuple(row)) for row in both[list(SEEDS)].itertuples(index=False, name=None)]
    both["case"] = both["scenario"] + " on " + both["images"]
    both["seed"] = seeds
    size = np.maximum(
        (both["rmse_now"] - both["rmse_before"]).abs(), (both["rbo_now"] - both["rbo_before"]).abs()
    )
    order = size[size > 0].sort_values(ascending=False, kind="stable").index
    numbers = [f"{name}_{when}" for name in METRICS for when in ("before", "now")]
    return both.loc[order, ["method", "model", "case", "seed", *numbers]].reset_index(drop=True)


def seeds_shared(run: pd.DataFrame, baseline: pd.DataFrame) -> bool:
    """Return whether two tables have seeds in common, of data, training and method together."""
    here, there = ({*side[[*SEEDS]].itertuples(index=False, name=None)} for side in (run, baseline))
    return bool(here & there)


def shared(run: pd.DataFrame, baseline: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of models and scenarios that two tables have in common.

    Raises:
        ValueError: if they have none.
    """
    keys = ["model", *CASE]
    places = [set(side[keys].itertuples(index=False, name=None)) for side in (run, baseline)]
    common = places[0] & places[1]
    if not common:
        raise ValueError("The two runs must have a scenario and model in common. Got none.")
    return tuple(  # pyright: ignore[reportReturnType]
        side[[key in common for key in side[keys].itertuples(index=False, name=None)]]
        for side in (run, baseline)
    )
