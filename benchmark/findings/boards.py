"""The leaderboard under every filter that a reader can choose, worked out beforehand.

Each is pooled as ``benchmark.table.leaderboard`` pools, so that a filter changes which results are looked at
and nothing else. That function takes one filter at a time and a pass over the table for each; a report of a
hundred thousand results has thousands of filters, and cuts them out of one array instead.
"""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import synthetic
from benchmark import models, score
from benchmark.findings.cells import variation
from benchmark.maps import MAP_CONTROLS
from benchmark.statistics.grid import CASE, SEEDS
from benchmark.statistics.intervals import Over, scenario_interval, seed_interval
from benchmark.store import CONTROL, FAILURES
from benchmark.table import counting, own_truth
from methods.api import PIXELS
from synthetic.seeding import numpy_rng

Array = NDArray[np.float64]

OWN, ALL = "own", "all"
"""The truth that each method targets; every family, or every image source."""

MOST_ROWS = 36_000
"""Rows of all boards together: what a page can hold and a reader's machine can sort."""

_MOST_INTERVALS = {"seeds": 12_000, "scenarios": 1500}
"""Intervals that are worked out for boards of one family or image source; a bootstrap takes longer."""

_MEANS = ("rbo", "rbo_p90", "rbo_corrected", "rbo_chance", "model_calls", "seconds")
_ARRAYS = ("rmse", "rmse_uniform", *_MEANS)

COLUMNS = (
    *("truth", "family", "images", "model", "method", "targets", "is_control", "rank", "rmse", "low", "high"),
    *("rmse_sd", "rmse_uniform", "skill", *_MEANS[:4], "rmse_oracle", "n_scenarios", "n_results"),
    *("model_calls", "seconds", "n_failed", "n_skipped"),
)


class _Slice(NamedTuple):
    """The cases of one family and image source."""

    family: str
    images: str
    cases: NDArray[np.bool_]


class _Counts(NamedTuple):
    """How many results of a method on a model failed, and were skipped, case by case ``[cases]``."""

    failed: NDArray[np.int64]
    skipped: NDArray[np.int64]


@dataclass(frozen=True)
class Boards:
    """Leaderboards, one for each truth, family of scenarios and image source.

    Attributes:
        rows: one row a board, model and method; columns ``COLUMNS``. ``rank`` is that among the methods of
            the same board and model that were scored on as many results as any, and neither failed nor were
            skipped; NaN of others, whose scores are of the cases that they have, and of controls. ``low``
            and ``high`` bound the RMSE with 95 % confidence; ``rmse_oracle`` is the method's RMSE on the
            true decision function; ``n_results``, of ``n_scenarios``, are pooled; ``model_calls`` and
            ``seconds`` are means of a result. There are no bounds over seeds where most scenarios have one
            seed: how much they vary cannot be told from the others.
        truths: ``OWN``, then the estimands.
        families: ``ALL``, then those that there are, if there are several.
        images: likewise.
        models: networks, then the oracle.
        over: what the intervals are over.
        omitted: which filters were too many to work out; empty if none were.
    """

    rows: pd.DataFrame
    truths: tuple[str, ...]
    families: tuple[str, ...]
    images: tuple[str, ...]
    models: tuple[str, ...]
    over: Over
    omitted: str

    @property
    def main_models(self) -> tuple[str, ...]:
        """Return the networks, or the oracle where there are none."""
        return tuple(name for name in self.models if name != models.ORACLE) or self.models

    def board(
        self, *, truth: str = OWN, family: str = ALL, images: str = ALL, model: str | None = None
    ) -> pd.DataFrame:
        """Return one leaderboard, best first: methods without a rank behind, then controls.

        Args:
            truth: one of `truths`.
            family: one of `families`.
            images: one of `images`.
            model: one of `models`; None for all networks.
        """
        rows = self.rows
        shown = self.main_models if model is None else (model,)
        rows = rows[(rows["truth"] == truth) & (rows["family"] == family) & (rows["images"] == images)]
        return _sorted(rows[rows["model"].isin(shown)])

    def sorted_rows(self) -> pd.DataFrame:
        """Return the rows of all boards, each in the order of `board`."""
        return _sorted(self.rows)


def work_out(scores: pd.DataFrame, *, most_rows: int = MOST_ROWS) -> Boards:
    """Return the leaderboards of a table of scores.

    Args:
        scores: from ``benchmark.table.scores``, no cell twice.
        most_rows: how many rows they may have; combinations of filters are left out beyond.
    """
    names = tuple(dict.fromkeys(scores["model"]))
    names = tuple(sorted(names, key=lambda name: name == models.ORACLE))
    cases = scores[list(CASE)].drop_duplicates()
    family_of = np.array([synthetic.family(name) for name in cases["scenario"]], dtype=object)
    source_of = cases["images"].to_numpy(object)
    truths = (OWN, *(name for name in dict.fromkeys(scores["estimand"]) if name))
    levels = [
        (ALL, *dict.fromkeys(found)) if len(set(found)) > 1 else (ALL,) for found in (family_of, source_of)
    ]
    over = variation(scores)
    n_methods = scores[["model", "method"]].drop_duplicates().shape[0]
    chosen, omitted = _affordable(levels, len(truths) * n_methods, most_rows)
    slices = [
        _Slice(
            family,
            images,
            ((family_of == family) | (family == ALL)) & ((source_of == images) | (images == ALL)),
        )
        for family, images in chosen
    ]
    cutter = _Cutter(scores, over)
    rows = [row for truth in truths for row in cutter.rows(truth, names, slices)]
    if cutter.lacks_intervals:
        omitted += f"{'; ' if omitted else ''}some filtered boards have no intervals"
    frame = _ranked(_with_oracle(pd.DataFrame(rows, columns=[c for c in COLUMNS if c not in _LATER])))
    return Boards(frame, truths, *(tuple(level) for level in levels), names, over, omitted)


_LATER = ("rank", "rmse_oracle")


def _affordable(
    levels: Sequence[tuple[str, ...]], n_rows: int, most: int
) -> tuple[list[tuple[str, str]], str]:
    """Return the pairs of family and images that there is room for, the plain ones first."""
    families, images = levels
    single = [(family, ALL) for family in families] + [(ALL, source) for source in images[1:]]
    crossed = [(family, source) for family in families[1:] for source in images[1:]]
    if (len(single) + len(crossed)) * n_rows <= most:
        return single + crossed, ""
    if len(single) * n_rows <= most:
        return single, "families of scenarios are not told apart by image source" if crossed else ""
    plain = [(ALL, ALL), *((ALL, source) for source in images[1:])]
    if len(plain) * n_rows <= most:
        return plain, "families of scenarios are not told apart"
    return plain[:1], "neither families of scenarios nor image sources are told apart"


class _Cutter:
    """Cuts boards out of arrays ``[methods, cases, seeds]``, one for each truth, model and column."""

    def __init__(self, scores: pd.DataFrame, over: Over) -> None:
        self._table = scores
        self._methods = list(dict.fromkeys(scores["method"]))
        self._targets = scores.drop_duplicates("method").set_index("method")["targets"].to_dict()
        self._over = over
        self._n_intervals = 0
        self._data_seed = scores[list(SEEDS)].drop_duplicates()["data_seed"].to_numpy()
        self._places = pd.DataFrame(
            {
                name: scores.groupby(list(columns), sort=False).ngroup()
                for name, columns in (("method", ("method",)), ("case", CASE), ("seed", SEEDS))
            }
        )
        self._shape = (
            len(self._methods),
            scores[list(CASE)].drop_duplicates().shape[0],
            len(self._data_seed),
        )
        self._counts = dict(self._lost())

    def _lost(self) -> Iterator[tuple[tuple[str, int], _Counts]]:
        lost = self._table[self._table["status"] != "done"]
        lost = lost.drop_duplicates([*CASE, "model", "method", *SEEDS])
        places = self._places.loc[lost.index]
        for (model, method), rows in lost.groupby(["model", places["method"]], sort=False):
            case = places.loc[rows.index, "case"]
            failed, skipped = (
                np.bincount(case[rows["status"].isin(kinds)], minlength=self._shape[1])
                for kinds in (FAILURES, ("skipped",))
            )
            yield (str(model), int(method)), _Counts(failed, skipped)

    def rows(
        self, truth: str, names: Sequence[str], slices: Sequence[_Slice]
    ) -> Iterator[Mapping[str, object]]:
        """Return the rows of all boards of one truth."""
        table = self._table
        if truth == OWN:
            table = own_truth(table.loc[(table["targets"] != PIXELS) & ~table["method"].isin(MAP_CONTROLS)])
        else:
            table = table[table["estimand"] == truth]
        counted = counting(table)
        counted = counted[counted["rmse"].notna()]
        for name in names:
            cells = self._cells(counted[counted["model"] == name])
            for cut in slices:
                yield from self._board(truth, name, cut, cells)

    def _cells(self, rows: pd.DataFrame) -> dict[str, Array]:
        where = tuple(self._places.loc[rows.index].to_numpy().T)
        telling = rows["informative"].to_numpy(float) > 0
        corrected = np.full(len(rows), np.nan)
        corrected[telling] = score.chance_corrected(
            rows["rbo"].to_numpy(float)[telling], rows["rbo_chance"].to_numpy(float)[telling]
        )
        rows = rows.assign(rbo_corrected=corrected)
        cells = {}
        for name in _ARRAYS:
            cells[name] = np.full(self._shape, np.nan)
            cells[name][where] = rows[name].to_numpy(float)
        return cells

    def _board(
        self, truth: str, model: str, cut: _Slice, cells: Mapping[str, Array]
    ) -> Iterator[Mapping[str, object]]:
        values = {name: array[:, cut.cases] for name, array in cells.items()}
        squares = values["rmse"] ** 2
        may_lack = (cut.family, cut.images) != (ALL, ALL)
        n_results = np.isfinite(squares).sum((1, 2))
        means = {name: _mean(values[name]) for name in _MEANS}
        rmse, uniform = (np.sqrt(_mean(array)) for array in (squares, values["rmse_uniform"] ** 2))
        spread = self._spread(squares)
        for place, method in enumerate(self._methods):
            counts = self._counts.get((model, place))
            failed, skipped = (int(kind[cut.cases].sum()) for kind in counts) if counts else (0, 0)
            if not n_results[place] and not failed + skipped:
                continue
            low, high = np.nan, np.nan
            if n_results[place]:
                low, high = self._interval(squares[place], method, may_lack=may_lack)
            yield {
                "truth": truth,
                "family": cut.family,
                "images": cut.images,
                "model": model,
                "method": method,
                "targets": self._targets[method],
                "is_control": self._targets[method] == CONTROL,
                "rmse": rmse[place],
                "low": low,
                "high": high,
                "rmse_sd": spread[place],
                "rmse_uniform": uniform[place],
                "skill": 1 - rmse[place] / uniform[place] if uniform[place] > 0 else np.nan,
                **{name: found[place] for name, found in means.items()},
                "n_scenarios": int(np.isfinite(squares[place]).any(1).sum()),
                "n_results": int(n_results[place]),
                "n_failed": failed,
                "n_skipped": skipped,
            }

    def _spread(self, squares: Array) -> Array:
        """Return the standard deviation over data seeds of the pooled RMSE of each method."""
        seeds = dict.fromkeys(self._data_seed.tolist())
        by_seed = np.array([np.sqrt(_mean(squares[:, :, self._data_seed == seed])) for seed in seeds])
        count = np.isfinite(by_seed).sum(0)
        mean = np.where(count > 0, np.nansum(by_seed, axis=0) / np.maximum(count, 1), np.nan)
        total = np.nansum((by_seed - mean) ** 2, axis=0)
        return np.where(count > 1, np.sqrt(total / np.maximum(count - 1, 1)), np.nan)

    def _interval(self, squares: Array, method: str, *, may_lack: bool) -> tuple[float, float]:
        counts = np.isfinite(squares).sum(1)
        if self._over == "seeds" and 2 * (counts > 1).sum() < (counts > 0).sum():
            return np.nan, np.nan
        if may_lack:
            if self.lacks_intervals:
                return np.nan, np.nan
            self._n_intervals += 1
        if self._over == "seeds":
            return seed_interval(squares, squared=True, mean_of="results")[1:]
        rng = numpy_rng("interval", method, "rmse", 0)
        return scenario_interval(squares, rng=rng, squared=True, mean_of="results")[1:]

    @property
    def lacks_intervals(self) -> bool:
        """Return whether there were too many filtered boards for all to have intervals."""
        return self._n_intervals >= _MOST_INTERVALS[self._over]


def _mean(values: Array) -> Array:
    """Return the mean of what there is over cases and seeds ``[methods]``; NaN of none."""
    count = np.isfinite(values).sum((1, 2))
    return np.where(count > 0, np.nansum(values, axis=(1, 2)) / np.maximum(count, 1), np.nan)


def _with_oracle(rows: pd.DataFrame) -> pd.DataFrame:
    keys = ["truth", "family", "images", "method"]
    exact = rows.loc[rows["model"] == models.ORACLE, [*keys, "rmse"]].rename(columns={"rmse": "rmse_oracle"})
    return rows.merge(exact, on=keys, how="left")


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    board = [rows[key] for key in ("truth", "family", "images", "model")]
    is_method = ~rows["is_control"].astype(bool)
    most = rows["n_results"].where(is_method).groupby(board, sort=False).transform("max")
    complete = is_method & (rows["n_failed"] + rows["n_skipped"] == 0) & (rows["n_results"] == most)
    rank = rows["rmse"].where(complete).groupby(board, sort=False).rank("min")
    return rows.assign(rank=rank)[list(COLUMNS)]


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    order = ["is_control", "has_no_rank", "rmse"]
    found = rows.assign(has_no_rank=rows["rank"].isna()).sort_values(order, kind="stable")
    return found.drop(columns="has_no_rank").reset_index(drop=True)
