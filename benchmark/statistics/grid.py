"""A table of scores as a grid without gaps: methods × scenarios × seeds."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import models
from benchmark.store import CONTROL
from benchmark.table import FIDELITY_GATE, own_truth
from methods.api import PIXELS
from synthetic.names import check_known

Array = NDArray[np.float64]

Gaps = Literal["drop-case", "drop-method"]
"""What to do with a missing cell: leave its scenario and seed out for all methods, or its method."""

Metric = Literal["rmse", "rbo", "rbo_corrected"]

CASE = ("scenario", "images", "features")
SEEDS = ("data_seed", "train_seed", "method_seed")
_TOLD = 5


class GridError(ValueError):
    """A table that has gaps, or is no grid."""


class Gap(NamedTuple):
    """A cell without a score that counts."""

    method: str
    case: tuple[str, ...]
    seeds: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        """Return the cell and why it is empty."""
        return f"{self.method} on {' '.join(self.case)}, seed {'/'.join(map(str, self.seeds))}: {self.reason}"


@dataclass(frozen=True)
class Grid:
    """Scores of methods that were tested on the same scenarios and seeds, with the same model.

    Attributes:
        model: what was explained.
        methods: m names, as the table has them.
        cases: s scenarios, each with its images and features.
        seeds: k seeds of data, training and method.
        rmse: ``[m, s, k]``; NaN in a whole column ``[:, i, j]`` that was dropped, nowhere else.
        rbo: likewise.
        rbo_corrected: (RBO − chance) / (1 − chance); NaN, too, where the truth is one single tie.
        rbo_room: ``[s]``, 1 − chance of each scenario, mean over seeds; NaN where the truth is one tie.
        dropped: cells that had no score.
    """

    model: str
    methods: tuple[str, ...]
    cases: tuple[tuple[str, ...], ...]
    seeds: tuple[tuple[int, ...], ...]
    rmse: Array
    rbo: Array
    rbo_corrected: Array
    rbo_room: Array
    dropped: tuple[Gap, ...]

    def of(self, metric: Metric) -> Array:
        """Return the values ``[m, s, k]`` that are averaged: squared errors for ``"rmse"``, else the metric.

        Raises:
            ValueError: if there is no such metric.
        """
        check_known("metric", metric, get_args(Metric))
        return self.rmse**2 if metric == "rmse" else getattr(self, metric)


def grid(
    table: pd.DataFrame,
    *,
    model: str | None = None,
    estimand: str | None = None,
    gaps: Gaps | None = None,
) -> Grid:
    """Return the scores of all methods (no controls) on one model, every cell filled.

    A cell is empty if it is missing from the table, was skipped, failed, ran on a network below the fidelity
    gate, or has no truth of the estimand that its method targets.

    Args:
        table: from ``benchmark.table.scores``.
        model: whose; None if the table has one network, or the oracle alone.
        estimand: the truth that all are scored against; None for the one that each method targets.
        gaps: what to do with empty cells; None refuses them.

    Raises:
        GridError: if cells are empty and `gaps` does not say what to do, or nothing is left, or a cell occurs
            twice.
        ValueError: if an argument is not one of those that there are.
    """
    if gaps is not None:
        check_known("treatment of gaps", gaps, get_args(Gaps))
    chosen = _model(table, model)
    rows = table[(table["model"] == chosen) & (table["targets"] != CONTROL)]
    if not len(rows):
        raise GridError(
            f"The table must have results of methods on the model {chosen!r}. Got controls alone."
        )
    scored = own_truth(rows) if estimand is None else rows[rows["estimand"] == estimand]
    counting = scored[(scored["status"] == "done") & scored["rmse"].notna()]
    counting = counting[~(counting["learnt"] < FIDELITY_GATE)]
    _refuse_twins(counting)
    names, cases, seeds = _axes(rows, scored)
    if not names:
        raise GridError("The table must have rows that score a method against its own truth. Got none.")
    places = (
        pd.Index(names).get_indexer(counting["method"]),
        *(
            pd.MultiIndex.from_tuples(items).get_indexer(pd.MultiIndex.from_frame(counting[list(columns)]))
            for columns, items in ((CASE, cases), (SEEDS, seeds))
        ),
    )
    values = {}
    for name in ("rmse", "rbo", "rbo_chance", "informative"):
        values[name] = np.full((len(names), len(cases), len(seeds)), np.nan)
        values[name][places] = counting[name].to_numpy(float)
    empty = np.isnan(values["rmse"])
    missing = tuple(_gaps(rows, scored, empty, names, cases, seeds))
    if missing and gaps is None:
        raise GridError(_about(missing, empty.size))
    if gaps == "drop-method":
        kept = ~empty.any((1, 2))
        if not kept.any():
            raise GridError(
                "With gaps='drop-method', a method must be complete to stay. None is: " + _few(missing)
            )
        names = tuple(name for name, keep in zip(names, kept, strict=True) if keep)
        values = {name: array[kept] for name, array in values.items()}
    else:
        lost = empty.any(0)
        if lost.all():
            raise GridError(
                "With gaps='drop-case', a scenario and seed must be complete to stay. None is: "
                + _few(missing)
            )
        values = {name: np.where(lost, np.nan, array) for name, array in values.items()}
        left = ~lost.all(1)
        cases = tuple(case for case, keep in zip(cases, left, strict=True) if keep)
        values = {name: array[:, left] for name, array in values.items()}
    telling = values["informative"] > 0
    chance = np.where(telling, values["rbo_chance"], np.nan)
    room = 1 - chance
    return Grid(
        chosen,
        names,
        cases,
        seeds,
        values["rmse"],
        values["rbo"],
        (values["rbo"] - chance) / room,
        np.array([_mean(column) for column in np.moveaxis(room, 1, 0)]),
        missing,
    )


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else np.nan


def _model(table: pd.DataFrame, model: str | None) -> str:
    there = list(dict.fromkeys(table["model"]))
    if not there:
        raise GridError("The table must have results. Got none.")
    if model is not None:
        check_known("model", model, there)
        return model
    networks = [name for name in there if name != models.ORACLE]
    if len(networks) > 1:
        raise GridError(f"The table holds several models, {', '.join(networks)}: say which with 'model'.")
    return networks[0] if networks else models.ORACLE


def _axes(
    rows: pd.DataFrame, scored: pd.DataFrame
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], tuple[tuple[int, ...], ...]]:
    """Return methods, cases and seeds; a method that speaks of pixels alone has no modality to score."""
    lost = rows[(rows["status"] != "done") & (rows["targets"] != PIXELS)]
    expected = set(scored["method"]) | set(lost["method"])
    names = tuple(name for name in dict.fromkeys(rows["method"]) if name in expected)
    cases, seeds = (
        tuple(rows[list(columns)].drop_duplicates().itertuples(index=False, name=None))
        for columns in (CASE, SEEDS)
    )
    return names, cases, tuple(sorted(seeds))


def _refuse_twins(rows: pd.DataFrame) -> None:
    twins = rows[rows.duplicated(["method", *CASE, *SEEDS, "estimand"])]
    if len(twins):
        first = twins.iloc[0]
        raise GridError(
            f"The table must have one row a method, scenario, seed and truth. Got two of {first['method']!r} "
            f"on {first['scenario']!r}, seed {first['data_seed']}: leave the rows of one run out."
        )


def _gaps(
    rows: pd.DataFrame,
    scored: pd.DataFrame,
    empty: NDArray[np.bool_],
    names: Sequence[str],
    cases: Sequence[tuple[str, ...]],
    seeds: Sequence[tuple[int, ...]],
) -> list[Gap]:
    if not empty.any():
        return []
    facts = {
        (row.method, tuple(getattr(row, key) for key in CASE), tuple(getattr(row, key) for key in SEEDS)): row
        for frame in (rows, scored)  # the rows that count come last, and stay
        for row in frame.itertuples(index=False)
    }
    has_truth = set(
        zip(
            scored["method"],
            scored[list(CASE)].itertuples(index=False, name=None),
            scored[list(SEEDS)].itertuples(index=False, name=None),
            strict=True,
        )
    )
    found = []
    for m, s, k in np.argwhere(empty):
        key = (names[m], cases[s], seeds[k])
        row = facts.get(key)
        if row is None:
            reason = "missing"
        elif row.status != "done":
            reason = str(row.status)
        elif key not in has_truth:
            reason = "no truth of what it targets"
        else:
            reason = f"the network learnt {row.learnt:.0%}, less than {FIDELITY_GATE:.0%}"
        found.append(Gap(*key, reason))
    return found


def _about(missing: Sequence[Gap], n_cells: int) -> str:
    return (
        f"The table must have a score for every method, scenario and seed. {len(missing)} of {n_cells} cells "
        f"are empty: {_few(missing)}. Complete the run, or say how to treat them: gaps='drop-case' leaves "
        "the scenario and seed out for all methods, gaps='drop-method' leaves the method out."
    )


def _few(missing: Sequence[Gap]) -> str:
    told = "; ".join(map(str, missing[:_TOLD]))
    return told + (f"; and {len(missing) - _TOLD} more" if len(missing) > _TOLD else "")
