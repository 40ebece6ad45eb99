"""Whether the order of methods is the same on one network as on another."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from benchmark import models
from benchmark.findings.answer import shown
from benchmark.findings.cells import choose
from benchmark.statistics import kendall_w
from benchmark.statistics.grid import CASE, SEEDS
from benchmark.store import CONTROL
from benchmark.table import counting, own_truth
from methods.api import PIXELS

_CELL = (*CASE, *SEEDS)
_TOLD = 4


@dataclass(frozen=True)
class Agreement:
    """The errors of methods on networks that have results on the same scenarios.

    Attributes:
        errors: methods (rows, least mean rank first) × networks (columns): pooled RMSE against the truth
            that each method targets, over the cells that all of them share; the oracle's last, where it has
            these cells. No rows where `reason` says why.
        ranks: likewise, without the oracle; 1 is best.
        kendall_w: agreement of the networks on the order, 1 if it is the same on all.
        n_scenarios: that are shared.
        n_seeds: of each.
        left_out: network or method → how many cells it has of those that it would need.
        reason: why nothing is compared; empty where something is.
    """

    errors: pd.DataFrame = field(default_factory=pd.DataFrame)
    ranks: pd.DataFrame = field(default_factory=pd.DataFrame)
    kendall_w: float = float("nan")
    n_scenarios: int = 0
    n_seeds: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def firsts(self) -> dict[str, int]:
        """Return method → on how many networks no other has less error; the most often first."""
        best = (self.ranks.eq(self.ranks.min())).sum(axis=1)
        best = best[best > 0].sort_values(ascending=False, kind="stable")
        return {str(name): int(count) for name, count in best.items()}

    @property
    def sentence(self) -> str:
        """Return in a few sentences what the networks agree on; empty where nothing is compared."""
        if not len(self.ranks):
            return ""
        n = self.ranks.shape[1]
        first = ", ".join(
            f"{name} on {'all' if count == n else count}" for name, count in self.firsts.items()
        )
        scenarios = f"{self.n_scenarios} scenario{'' if self.n_scenarios == 1 else 's'}"
        told = (
            f"Least error on {n} networks: {first}. On the same {scenarios} they agree on the order of "
            f"{len(self.ranks)} methods with a Kendall's W of {self.kendall_w:.2f} (1: one order on all)."
        )
        errors = self.errors[list(self.ranks)]
        row = errors.loc[(errors.max(axis=1) - errors.min(axis=1)).idxmax()]
        low, high = shown(row.min()), shown(row.max())
        if low != high:
            told += (
                f" The network matters most for {row.name}: RMSE {low} on {row.idxmin()}, {high} on "
                f"{row.idxmax()}."
            )
        out = [*self.left_out]
        more = f" and {len(out) - _TOLD} more" if len(out) > _TOLD else ""
        return told + (f" Not compared: {', '.join(out[:_TOLD])}{more}." if out else "")


def agree(scores: pd.DataFrame, networks: Sequence[str]) -> Agreement:
    """Return whether networks agree on the order of methods.

    Compared are first networks on the scenarios and seeds that all of them have results on, then methods on
    those of these that they have on every such network, both chosen by ``cells.choose``. Controls and methods
    that speak of pixels alone take no part, nor those without a truth in these scenarios.

    Args:
        scores: from ``benchmark.table.scores``.
        networks: names of models, the oracle not among them.
    """
    if len(networks) < 2:
        return Agreement(reason="there are no two networks")
    rows = scores[(scores["targets"] != CONTROL) & (scores["targets"] != PIXELS)]
    rows = rows[rows["model"].isin([*networks, models.ORACLE])]
    asked = tuple(dict.fromkeys(rows["method"]))
    rows = counting(own_truth(rows))
    rows = rows[rows["rmse"].notna()]
    trained = rows[rows["model"] != models.ORACLE]
    each = trained[["model", *_CELL]].drop_duplicates()
    chosen = choose(each.rename(columns={"model": "method"}), tuple(networks))
    left_out = _few(chosen.left_out)
    if len(chosen.methods) < 2:
        return Agreement(
            left_out=left_out, reason="no two of them have results on enough of the same scenarios"
        )
    names = list(chosen.methods)
    trained = _within(trained[trained["model"].isin(names)], chosen.cells)
    everywhere = trained.groupby(["method", *_CELL], sort=False).size()
    everywhere = everywhere[everywhere == len(names)].reset_index()
    common = choose(everywhere, asked)
    left_out |= _few(common.left_out)
    if len(common.methods) < 2:
        return Agreement(left_out=left_out, reason="no two methods have results on all of them")
    rows = _within(rows[rows["method"].isin(common.methods)], common.cells)
    squares = rows.assign(square=rows["rmse"] ** 2).pivot_table(
        index="method", columns="model", values="square", aggfunc=["mean", "count"], sort=False
    )
    errors = np.sqrt(squares["mean"])[squares["count"] == len(common.cells)]
    errors = errors.reindex(columns=[*names, models.ORACLE]).dropna(axis=1, how="all")
    ranks = pd.DataFrame(
        stats.rankdata(np.round(errors[names].to_numpy(float), 12), axis=0), index=errors.index, columns=names
    )
    order = ranks.mean(axis=1).sort_values(kind="stable").index
    return Agreement(
        errors.loc[order],
        ranks.loc[order],
        kendall_w(ranks.to_numpy()),
        common.cells[list(CASE)].drop_duplicates().shape[0],
        common.n_seeds,
        left_out,
    )


def _within(rows: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of some cells."""
    return rows[pd.MultiIndex.from_frame(rows[list(_CELL)]).isin(pd.MultiIndex.from_frame(cells))]


def _few(left_out: Mapping[str, str]) -> dict[str, str]:
    """Return names with the numbers of their cells alone: "3 of 8"."""
    return {name: has.removesuffix(" scores") for name, has in left_out.items()}
