"""The cells on which methods are compared: scored by each of them, with as many seeds of every scenario.

A mean over such cells is the same however it is taken, over all rows, as leaderboards do, or over scenarios
first, as the tests of ``benchmark.statistics`` do.
"""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import models
from benchmark.statistics.grid import CASE, SEEDS
from benchmark.statistics.intervals import Over
from benchmark.table import counting

_CELL = (*CASE, *SEEDS)


@dataclass(frozen=True)
class Choice:
    """The methods that can be compared, and the cells for it.

    Attributes:
        methods: in the order of the table; none where no two share enough cells, and `reason` says so.
        left_out: method → how many scores it has of those that it would need.
        cells: columns of case and seeds, one row a cell that is compared.
        n_seeds: how many of these each scenario has.
        n_scored: cells on which any method was scored.
        reason: why no methods are compared; empty where some are.
    """

    methods: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    cells: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(_CELL)))
    n_seeds: int = 0
    n_scored: int = 0
    reason: str = ""

    @property
    def over(self) -> Over:
        """Return what varies: seeds, where each scenario has several."""
        return "seeds" if self.n_seeds > 1 else "scenarios"

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table that are of these methods and cells."""
        here = table[table["method"].isin(self.methods)]
        return here[pd.MultiIndex.from_frame(here[list(_CELL)]).isin(pd.MultiIndex.from_frame(self.cells))]


def choose(counted: pd.DataFrame, names: Sequence[str]) -> Choice:
    """Return which methods can be compared on which cells.

    Where most methods were scored on every cell, these are compared. Else a single failure of each would
    leave nothing to compare: cells that some lack are left out for all, as long as half of those stay that
    the method with the most scores has.

    Args:
        counted: rows of one model that count, one a method and cell, with an RMSE.
        names: of all methods, those without such a row, too.
    """
    if not len(counted):
        return Choice(reason="no result counts: methods failed, or the networks learnt too little")
    has, cells = _scored(counted, names)
    chosen, common = _sharing(has)
    counts = has.sum(1)
    if len(chosen) == 1 and (counts > 0).sum() > 1:
        most = chosen[0]
        told = f"no two methods share enough cases: no other has scores on half of the {counts[most]} that "
        return Choice(n_scored=len(cells), reason=f"{told}{names[most]} has, or more")
    kept, n_seeds = balanced(cells[common])
    n_common = int(common.sum())
    left_out = {
        name: f"{(has[place] & common).sum()} of {n_common} scores"
        for place, name in enumerate(names)
        if place not in chosen
    }
    methods = tuple(names[place] for place in sorted(chosen))
    return Choice(methods, left_out, kept, n_seeds, len(cells))


def balanced(cells: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the most cells of which every scenario has as many seeds, and how many seeds that are.

    With k seeds, the scenarios that have k or more stay, each with its first k; of two numbers that leave as
    many cells, the greater.

    Args:
        cells: columns of case and seeds, no row twice.

    Example:
        >>> cells = pd.DataFrame([("a", "ct", "x", k, k, 0) for k in range(3)], columns=list(_CELL))
        >>> cells = pd.concat([cells, cells[:1].assign(scenario="b")], ignore_index=True)
        >>> kept, n_seeds = balanced(cells)  # three seeds of one scenario, not one of two
        >>> kept["scenario"].tolist(), n_seeds
        (['a', 'a', 'a'], 3)
    """
    if not len(cells):
        return cells, 0
    case = cells.groupby(list(CASE), sort=False).ngroup()
    sizes = np.bincount(case)
    n_seeds = max(range(1, int(sizes.max()) + 1), key=lambda k: (k * int((sizes >= k).sum()), k))
    place = cells.sort_values(list(SEEDS), kind="stable").groupby(list(CASE), sort=False).cumcount()
    return cells[(sizes[case] >= n_seeds) & (place.loc[cells.index] < n_seeds)], n_seeds


def variation(scores: pd.DataFrame) -> Over:
    """Return what intervals are over: seeds, if the scenarios of any network have several that count.

    Args:
        scores: from ``benchmark.table.scores``; without networks, the oracle's rows say it.
    """
    counted = counting(scores)
    cells = counted.loc[counted["rmse"].notna(), ["model", *_CELL]].drop_duplicates()
    networks = cells[cells["model"] != models.ORACLE]
    chosen = networks if len(networks) else cells
    several = any(balanced(part)[1] > 1 for _, part in chosen.groupby("model", sort=False))
    return "seeds" if several else "scenarios"


def _scored(counted: pd.DataFrame, names: Sequence[str]) -> tuple[NDArray[np.bool_], pd.DataFrame]:
    """Return which methods have which cells, ``[methods, cells]``, and the cells."""
    cells = counted[list(_CELL)].drop_duplicates(ignore_index=True)
    has = np.zeros((len(names), len(cells)), dtype=bool)
    method = pd.Index(names).get_indexer(counted["method"])
    has[method, counted.groupby(list(_CELL), sort=False).ngroup()] = True
    return has, cells


def _sharing(has: NDArray[np.bool_]) -> tuple[list[int], NDArray[np.bool_]]:
    """Return the methods that are compared, and the cells that they share."""
    counts = has.sum(1)
    full = np.flatnonzero(has.all(1))
    if 2 * len(full) > (counts > 0).sum():
        return full.tolist(), np.ones(has.shape[1], dtype=bool)
    chosen = [int(counts.argmax())]
    common = has[chosen[0]]
    while len(chosen) < len(has):
        shared = (has & common).sum(1)
        shared[chosen] = -1
        best = int(shared.argmax())
        if 2 * shared[best] < counts.max():
            break
        chosen.append(best)
        common = common & has[best]
    return chosen, common
