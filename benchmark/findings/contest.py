"""Which methods err more than the best on a model, and which by too little to matter, on shared cases."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from benchmark import models
from benchmark.findings.cells import Choice, choose
from benchmark.statistics import (
    MARGIN,
    Groups,
    beside_the_best,
    compare_methods,
    critical_difference,
    error_shares,
    intervals,
)
from benchmark.statistics.grid import CASE
from benchmark.statistics.intervals import Over
from benchmark.store import CONTROL
from benchmark.table import counting, own_truth, pooled
from methods.api import PIXELS

CONFIDENCE = 0.95
_MOST_PAIRS = 20_000


class Standing(NamedTuple):
    """How a method stands to the one of least error.

    Attributes:
        difference: of its RMSE from that of the first.
        low: where the 95 % interval of the difference begins.
        high: where it ends.
        is_worse: whether a test finds that it errs more.
        is_within: whether a test shows that the difference is below ``statistics.MARGIN``.
    """

    difference: float
    low: float
    high: float
    is_worse: bool
    is_within: bool

    @property
    def words(self) -> str:
        """Return what is shown, in words."""
        if self.is_worse:
            return f"worse, within {MARGIN:g} of the best" if self.is_within else "worse"
        return f"within {MARGIN:g} of the best" if self.is_within else "not decided"


@dataclass(frozen=True)
class Contest:
    """The methods that were scored on the same cases of a model, each against the truth that it targets.

    Attributes:
        model: what was explained.
        methods: those that are compared, least error first.
        left_out: method → why it is not compared.
        n_scenarios: on which they are.
        n_seeds: of each of these scenarios.
        over: what varies in `pairs` and `intervals`: seeds, where there are several.
        intervals: from ``statistics.intervals``, RMSE alone, in the order of `methods`.
        pairs: from ``statistics.compare_methods``; None where nothing can be compared.
        scenario_pairs: the same by Wilcoxon's test over scenarios; None where there are too few.
        groups: from ``statistics.critical_difference``; None where `no_groups` says why.
        no_groups: why there are none.
        parts: from ``statistics.error_shares``; no rows where `no_parts` says why.
        no_parts: why there are none.
        choice: the cells that are compared, and how many others there are.
        contrary: methods that Wilcoxon's test finds to differ from the first, but as the better ones: the
            first has the lesser mean, they the lesser error by signed ranks.
        equal_shares: RMSE of equal shares for all modalities on the same cells, against the truth that the
            first method targets; NaN where the table does not say.
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
    choice: Choice = field(default_factory=Choice)
    contrary: tuple[str, ...] = ()
    equal_shares: float = float("nan")

    @property
    def main_pairs(self) -> pd.DataFrame | None:
        """Return the tests that the answer rests on: over what varies in `intervals`."""
        return self.scenario_pairs if self.over == "scenarios" else self.pairs

    def standings(self, pairs: pd.DataFrame | None) -> dict[str, Standing]:
        """Return how each other method stands to the first by tests of pairs, in order.

        See ``statistics.beside_the_best``.

        Args:
            pairs: `pairs` or `scenario_pairs`; nothing stands where there are none.
        """
        if pairs is None or not self.methods:
            return {}
        first = self.methods[0]
        shown = beside_the_best(pairs, first)
        found = {}
        for row in pairs.to_dict(orient="records"):
            if first in (row["better"], row["worse"]):
                ends = (-row["high"], -row["low"]) if row["better"] == first else (row["low"], row["high"])
                other = row["worse"] if row["better"] == first else row["better"]
                sign = -1 if row["better"] == first else 1
                found[other] = Standing(sign * row["difference"] + 0.0, *ends, *shown[other])
        return {name: found[name] for name in self.methods if name in found}

    def undecided(self, pairs: pd.DataFrame | None) -> tuple[str, ...]:
        """Return the methods of which neither is shown: that they err more, or within the margin."""
        found = self.standings(pairs)
        return tuple(name for name, it in found.items() if not it.is_worse and not it.is_within)

    def equal(self, pairs: pd.DataFrame | None) -> tuple[str, ...]:
        """Return the methods that are shown to be within the margin of the first, and not to err more."""
        return tuple(name for name, it in self.standings(pairs).items() if it.is_within and not it.is_worse)


def hold(scores: pd.DataFrame, model: str) -> Contest:
    """Return what the table tells of the methods on a model.

    Compared are methods on the cells that all of them have, chosen by ``cells.choose``. Controls and methods
    that speak of pixels alone take no part.

    Args:
        scores: from ``benchmark.table.scores``.
        model: one that it has.
    """
    rows = scores[(scores["targets"] != CONTROL) & (scores["targets"] != PIXELS)]
    here = rows[rows["model"] == model]
    if not len(here):
        return Contest(model, no_groups=_NO_METHOD, no_parts=_NO_METHOD)
    choice = _choose(here)
    if not choice.methods:
        return Contest(model, no_groups=choice.reason, no_parts=choice.reason, choice=choice)
    # A hundred thousand results have ten times as many rows, of which only these are compared.
    mine = choice.rows(_counted(here))
    over = choice.over
    # Scenarios may have other seeds than each other: in a grid of all seeds these are gaps, and none else.
    found = intervals(mine, over=over, model=model, gaps="drop-case", confidence=CONFIDENCE)
    found = found[found["metric"] == "rmse"].sort_values("value", kind="stable").reset_index(drop=True)
    names = tuple(found["method"])
    several = len(names) > 1
    n_scenarios = choice.cells[list(CASE)].drop_duplicates().shape[0]
    groups, no_groups = _groups(mine, model, len(names), n_scenarios)
    pairs = scenario_pairs = None
    if several and over == "seeds":
        pairs = compare_methods(mine, test="seeds", model=model, gaps="drop-case")
    if groups:
        scenario_pairs = groups.pairs
    elif several and n_scenarios > 1 and _affordable(len(names)):
        scenario_pairs = compare_methods(mine, test="wilcoxon", model=model, gaps="drop-case")
    parts, no_parts = _parts(rows, model, choice)
    return Contest(
        model,
        names,
        choice.left_out,
        n_scenarios,
        choice.n_seeds,
        over,
        found,
        pairs,
        scenario_pairs,
        groups,
        no_groups,
        parts,
        no_parts,
        choice,
        _contrary(mine, names, scenario_pairs),
        pooled(mine.loc[mine["method"] == names[0], "rmse_uniform"]),
    )


_NO_METHOD = "no method was run that speaks of modalities"


def _counted(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that score a method against the truth that it targets."""
    counted = counting(own_truth(rows))
    return counted[counted["rmse"].notna()]


def _choose(rows: pd.DataFrame) -> Choice:
    return choose(_counted(rows), tuple(dict.fromkeys(rows["method"])))


def _contrary(rows: pd.DataFrame, names: Sequence[str], pairs: pd.DataFrame | None) -> tuple[str, ...]:
    """Return the methods that Wilcoxon's test finds to err less than the first, whose mean error is less."""
    if pairs is None:
        return ()
    squares = rows.assign(square=rows["rmse"] ** 2).pivot_table("square", list(CASE), "method")
    first = names[0]
    apart = pairs[pairs["differs"]]
    apart = apart[(apart["better"] == first) | (apart["worse"] == first)]
    others = {*apart["better"], *apart["worse"]} - {first}
    return tuple(name for name in names if name in others and _rank_sum(squares[first] - squares[name]) > 0)


def _rank_sum(differences: pd.Series) -> float:
    """Return the sum of signed ranks of differences; those of 0 have none (Wilcoxon 1945)."""
    values = np.round(differences.to_numpy(float), 12)
    values = values[values != 0]
    return float(np.sign(values) @ stats.rankdata(np.abs(values)))


def _affordable(n_methods: int) -> bool:
    """Return whether Wilcoxon's test of every pair takes seconds."""
    return n_methods * (n_methods - 1) // 2 <= _MOST_PAIRS


def _groups(rows: pd.DataFrame, model: str, n_methods: int, n_scenarios: int) -> tuple[Groups | None, str]:
    if n_methods < 3 or n_scenarios < 2:
        told = f"{n_methods} {'method' if n_methods == 1 else 'methods'} on {n_scenarios} "
        told += "scenario" if n_scenarios == 1 else "scenarios"
        return None, f"ranks need three methods and two scenarios or more; there are {told}"
    if not _affordable(n_methods):
        return None, f"tests of all pairs of {n_methods} methods take too long for a page"
    return critical_difference(rows, model=model, gaps="drop-case"), ""


def _parts(rows: pd.DataFrame, model: str, choice: Choice) -> tuple[pd.DataFrame, str]:
    if model == models.ORACLE:
        return pd.DataFrame(), "on the true decision function all error is the method's own"
    exact = choice.rows(rows[rows["model"] == models.ORACLE])
    both = _choose(exact)
    if not both.methods:
        return pd.DataFrame(), "no method was scored on the true decision function, too"
    try:
        chosen = both.rows(_counted(rows[rows["model"].isin((model, models.ORACLE))]))
        return error_shares(chosen, model=model, gaps="drop-case"), ""
    except ValueError as error:
        return pd.DataFrame(), str(error)
