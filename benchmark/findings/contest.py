"""Which methods can be told from each other on a model, on cases that all of them have."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from benchmark import models
from benchmark.statistics import (
    Groups,
    compare_methods,
    critical_difference,
    error_shares,
    intervals,
)
from benchmark.statistics.grid import CASE, SEEDS
from benchmark.statistics.intervals import Over
from benchmark.store import CONTROL
from benchmark.table import counting, own_truth
from methods.api import PIXELS

CONFIDENCE = 0.95
_MOST_PAIRS_OF_MANY = 20_000
_EXACT_SCENARIOS = range(13, 17)
_MOST_EXACT_PAIRS = 200


@dataclass(frozen=True)
class Contest:
    """The methods that were scored on the same cases of a model, each against the truth that it targets.

    Attributes:
        model: what was explained.
        methods: those that are compared, least error first.
        left_out: method → why it is not compared.
        n_scenarios: on which they are.
        n_seeds: likewise.
        over: what varies in `pairs` and `intervals`: seeds, where there are several.
        intervals: from ``statistics.intervals``, RMSE alone, in the order of `methods`.
        pairs: from ``statistics.compare_methods``; None where nothing can be compared.
        scenario_pairs: the same by Wilcoxon's test over scenarios; None where there are too few.
        groups: from ``statistics.critical_difference``; None where `no_groups` says why.
        no_groups: why there are none.
        parts: from ``statistics.error_shares``; no rows where `no_parts` says why.
        no_parts: why there are none.
    """

    model: str
    methods: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    n_scenarios: int = 0
    n_seeds: int = 0
    over: Over = "seeds"
    intervals: pd.DataFrame = field(default_factory=pd.DataFrame)
    pairs: pd.DataFrame | None = None
    scenario_pairs: pd.DataFrame | None = None
    groups: Groups | None = None
    no_groups: str = ""
    parts: pd.DataFrame = field(default_factory=pd.DataFrame)
    no_parts: str = ""

    def undecided(self, pairs: pd.DataFrame | None) -> tuple[str, ...]:
        """Return the methods that cannot be told from the first by tests of pairs, in order."""
        if pairs is None or not self.methods:
            return ()
        first = self.methods[0]
        same = pairs[~pairs["differs"]]
        names = {*same.loc[same["better"] == first, "worse"], *same.loc[same["worse"] == first, "better"]}
        return tuple(name for name in self.methods if name in names)


def hold(scores: pd.DataFrame, model: str) -> Contest:
    """Return what the table tells of the methods on a model.

    Compared are the methods that have as many scores as any; each case that one of them lacks is left out for
    all. Controls and methods that speak of pixels alone take no part.

    Args:
        scores: from ``benchmark.table.scores``.
        model: one that it has.
    """
    rows = scores[(scores["targets"] != CONTROL) & (scores["targets"] != PIXELS)]
    here = rows[rows["model"] == model]
    complete, left_out = _complete(here)
    if not complete:
        return Contest(model, left_out=left_out, no_groups=_NOTHING, no_parts=_NOTHING)
    # A hundred thousand results have ten times as many rows, of which only these are compared.
    mine = own_truth(here[here["method"].isin(complete)])
    counted = counting(mine)
    n_seeds = counted[list(SEEDS)].drop_duplicates().shape[0]
    n_scenarios = counted[list(CASE)].drop_duplicates().shape[0]
    over: Over = "seeds" if counted.groupby([*CASE, "method"])["data_seed"].count().max() > 1 else "scenarios"
    found = intervals(mine, over=over, model=model, gaps="drop-case", confidence=CONFIDENCE)
    found = found[found["metric"] == "rmse"].sort_values("value", kind="stable").reset_index(drop=True)
    names = tuple(found["method"])
    several = len(names) > 1
    groups, no_groups = _groups(mine, model, len(names), n_scenarios)
    scenario_pairs = groups.pairs if groups else None
    if not groups and several and n_scenarios > 1 and _affordable(len(names), n_scenarios):
        scenario_pairs = compare_methods(mine, test="wilcoxon", model=model, gaps="drop-case")
    parts, no_parts = _parts(rows, model, complete)
    return Contest(
        model,
        names,
        left_out,
        n_scenarios,
        n_seeds,
        over,
        found,
        compare_methods(mine, test="seeds", model=model, gaps="drop-case")
        if several and over == "seeds"
        else None,
        scenario_pairs,
        groups,
        no_groups,
        parts,
        no_parts,
    )


_NOTHING = "no result counts: methods failed, or the networks learnt too little"


def _complete(rows: pd.DataFrame) -> tuple[list[str], dict[str, str]]:
    """Return the methods with as many counting scores as any, and why the others are left out."""
    counts = counting(own_truth(rows)).groupby("method", sort=False).size()
    most = int(counts.max()) if len(counts) else 0
    complete, left_out = [], {}
    for name in dict.fromkeys(rows["method"]):
        count = int(counts.get(name, 0))
        if count == most and most:
            complete.append(name)
        else:
            left_out[name] = f"{count} of {most} scores"
    return complete, left_out


def _affordable(n_methods: int, n_scenarios: int) -> bool:
    """Return whether Wilcoxon's test of every pair takes seconds; its exact form takes 2ⁿ sums a pair."""
    pairs = n_methods * (n_methods - 1) // 2
    return pairs <= (_MOST_EXACT_PAIRS if n_scenarios in _EXACT_SCENARIOS else _MOST_PAIRS_OF_MANY)


def _groups(rows: pd.DataFrame, model: str, n_methods: int, n_scenarios: int) -> tuple[Groups | None, str]:
    if n_methods < 3 or n_scenarios < 2:
        told = f"{n_methods} {'method' if n_methods == 1 else 'methods'} on {n_scenarios} "
        told += "scenario" if n_scenarios == 1 else "scenarios"
        return None, f"ranks need three methods and two scenarios or more; there are {told}"
    if not _affordable(n_methods, n_scenarios):
        return None, f"exact tests of {n_methods} methods on {n_scenarios} scenarios take too long for a page"
    try:
        return critical_difference(rows, model=model, gaps="drop-case"), ""
    except ValueError as error:
        return None, str(error)


def _parts(rows: pd.DataFrame, model: str, complete: list[str]) -> tuple[pd.DataFrame, str]:
    if model == models.ORACLE:
        return pd.DataFrame(), "on the true decision function all error is the method's own"
    exact, _ = _complete(rows[rows["model"] == models.ORACLE])
    both = [name for name in complete if name in exact]
    if not both:
        return pd.DataFrame(), "no method was scored on the true decision function, too"
    try:
        chosen = rows[rows["method"].isin(both) & rows["model"].isin((model, models.ORACLE))]
        return error_shares(own_truth(chosen), model=model, gaps="drop-case"), ""
    except ValueError as error:
        return pd.DataFrame(), str(error)
