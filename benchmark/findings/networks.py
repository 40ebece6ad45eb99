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


@dataclass(frozen=True)
class Agreement:
    """The errors of methods on networks that learnt the same scenarios.

    Attributes:
        errors: methods (rows, least mean rank first) × networks (columns): pooled RMSE against the truth
            that each method targets, over the cells that all of them share; the oracle's last, where it has
            these cells. No rows where `reason` says why.
        ranks: likewise, without the oracle; 1 is best.
        kendall_w: agreement of the networks on the order, 1 if it is the same on all.
        n_scenarios: that are shared.
        n_seeds: of each.
        left_out: network → how many cells it has of those that it would need.
        n_incomplete: methods that lack a result on some shared cell.
        reason: why nothing is compared; empty where something is.
    """

    errors: pd.DataFrame = field(default_factory=pd.DataFrame)
    ranks: pd.DataFrame = field(default_factory=pd.DataFrame)
    kendall_w: float = float("nan")
    n_scenarios: int = 0
    n_seeds: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    n_incomplete: int = 0
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
        (best, often), *others = self.firsts.items()
        more = "".join(f", {name} on {count}" for name, count in others)
        where = f"On all {n} networks" if often == n else f"On {often} of {n} networks"
        spread = self.errors[list(self.ranks)].max(axis=1) - self.errors[list(self.ranks)].min(axis=1)
        moved = str(spread.idxmax())
        row = self.errors.loc[moved, list(self.ranks)]
        scenarios = f"{self.n_scenarios} scenario{'' if self.n_scenarios == 1 else 's'}"
        return (
            f"{where}, {best} has the least error{more}. On the {scenarios} that all of them learnt, they "
            f"agree on the order of {len(self.ranks)} methods with a Kendall's W of {self.kendall_w:.2f} (1: "
            f"one order on all). The network matters most for {moved}: RMSE {shown(row.min())} on "
            f"{row.idxmin()}, {shown(row.max())} on {row.idxmax()}."
        )


def agree(scores: pd.DataFrame, networks: Sequence[str]) -> Agreement:
    """Return whether networks agree on the order of methods.

    Compared are networks on the scenarios and seeds that all of them learnt, chosen as ``cells.choose`` does
    it for methods, and methods with a result on each of these. Controls and methods that speak of pixels
    alone take no part.

    Args:
        scores: from ``benchmark.table.scores``.
        networks: names of models, the oracle not among them.
    """
    if len(networks) < 2:
        return Agreement(reason="there are no two networks")
    rows = scores[(scores["targets"] != CONTROL) & (scores["targets"] != PIXELS)]
    rows = counting(own_truth(rows[rows["model"].isin([*networks, models.ORACLE])]))
    rows = rows[rows["rmse"].notna()]
    trained = rows[rows["model"] != models.ORACLE]
    each = trained[["model", *CASE, *SEEDS]].drop_duplicates()
    choice = choose(each.rename(columns={"model": "method"}), tuple(networks))
    left_out = {name: has.removesuffix(" scores") for name, has in choice.left_out.items()}
    if len(choice.methods) < 2:
        return Agreement(left_out=left_out, reason="no two of them learnt enough of the same scenarios")
    cells = pd.MultiIndex.from_frame(choice.cells)
    rows = rows[pd.MultiIndex.from_frame(rows[[*CASE, *SEEDS]]).isin(cells)]
    squares = rows.assign(square=rows["rmse"] ** 2).pivot_table(
        index="method", columns="model", values="square", aggfunc=["mean", "count"], sort=False
    )
    errors = np.sqrt(squares["mean"])[squares["count"] == len(cells)]
    names = list(choice.methods)
    errors = errors.reindex(columns=[*names, models.ORACLE]).dropna(axis=1, how="all")
    kept = errors[errors[names].notna().all(axis=1)] if set(names) <= set(errors) else errors[:0]
    if len(kept) < 2:
        return Agreement(left_out=left_out, reason="no two methods have results on all of them")
    ranks = pd.DataFrame(
        stats.rankdata(np.round(kept[names].to_numpy(float), 12), axis=0), index=kept.index, columns=names
    )
    order = ranks.mean(axis=1).sort_values(kind="stable").index
    return Agreement(
        kept.loc[order],
        ranks.loc[order],
        kendall_w(ranks.to_numpy()),
        choice.cells[list(CASE)].drop_duplicates().shape[0],
        choice.n_seeds,
        left_out,
        len(errors) - len(kept),
    )
