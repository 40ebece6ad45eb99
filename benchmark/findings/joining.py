"""Several runs as one: what they all hold, as controls are, counts once; what they contradict is refused."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportAssignmentType=false
# pyright: reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def joined(
    table: pd.DataFrame, sources: np.ndarray, *, cell: Sequence[str], name: str, folders: Sequence[Path]
) -> pd.DataFrame:
    """Return the rows without those that an earlier run has with the same numbers, as all runs have controls.

    Args:
        table: rows of all runs.
        sources: of each, which run it is from.
        cell: columns that no two rows of a run have alike.
        name: of the table, for the message.
        folders: of the runs, likewise.

    Raises:
        ValueError: if runs say different things of a cell, or one says something twice.
    """
    cell = list(cell)
    twins = np.flatnonzero(table.duplicated(cell))
    if len(twins):
        number = table.groupby(cell, sort=False, dropna=False).ngroup().to_numpy()
        firsts = np.unique(number, return_index=True)[1][number[twins]]
        for column in (key for key in table if key not in _OF_THE_MACHINE):
            differ = _differ(table[column].iloc[firsts], table[column].iloc[twins])
            if differ.any():
                at = int(np.argmax(differ))
                raise _conflict(table, name, folders, sources, (firsts[at], twins[at]), str(column))
        within = sources[firsts] == sources[twins]
        if within.any():
            at = int(np.argmax(within))
            raise _conflict(table, name, folders, sources, (firsts[at], twins[at]), "")
        kept = np.ones(len(table), dtype=bool)
        kept[twins] = False
        table, sources = table[kept].reset_index(drop=True), sources[kept]
    if len(folders) > 1 and "estimand" in cell:
        # What failed before its truth was known has no estimand: it is the same cell as one that was done.
        cell.remove("estimand")
        each = table[[*cell, "status"]].drop_duplicates()
        each = each[each.duplicated(cell)]
        for place in each.index:
            first = int(np.argmax((table[cell] == table.loc[place, cell]).all(axis=1).to_numpy()))
            if sources[first] != sources[place]:
                raise _conflict(table, name, folders, sources, (first, place), "status")
    return table


_OF_THE_MACHINE = ("seconds",)
"""Columns that differ whenever something is done again."""

_SAME = 1e-6
"""Numbers nearer than this are the same: below what processors differ by, and tables show."""


def _differ(first: pd.Series, second: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(first):
        return ~np.isclose(first.to_numpy(float), second.to_numpy(float), _SAME, _SAME, equal_nan=True)
    return first.to_numpy(object) != second.to_numpy(object)


def _conflict(
    table: pd.DataFrame,
    name: str,
    folders: Sequence[Path],
    sources: np.ndarray,
    places: tuple[int, int],
    column: str,
) -> ValueError:
    first, second = (table.iloc[place] for place in places)
    what = " on ".join(str(first[key]) for key in ("method", "scenario") if key in table)
    where = " and in ".join(str(folders[sources[place]]) for place in places)
    values = f", with {column} {_shown(first[column])} and {_shown(second[column])}" if column else ""
    return ValueError(
        f"Runs that are reported together must say the same where they share a cell. {name}.csv has {what}, "
        f"{first['model']}, seed {first['data_seed']} in {where}{values}: leave one of the runs out, or "
        "report them apart."
    )


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def unlike(manifests: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return how runs of the same scenarios and models differ in what they were made of, a sentence each.

    Args:
        manifests: of the runs; empty ones say nothing.
    """
    found: dict[str, dict[tuple[str, ...], dict[str, None]]] = {name: {} for name in _SIZES}
    for manifest in manifests:
        settings = manifest.get("settings")
        for setting in settings if isinstance(settings, list) else ():
            if isinstance(setting, dict):
                place = tuple(str(setting.get(key)) for key in ("scenario", "images", "features", "model"))
                for name in _SIZES:
                    found[name].setdefault(place, {})[str(setting.get(name))] = None
    lines = []
    for name, words in _SIZES.items():
        several = [(place, values) for place, values in found[name].items() if len(values) > 1]
        if several:
            place, values = several[0]
            more = f" and {len(several) - 1} more" if len(several) > 1 else ""
            lines.append(
                f"These runs differ in the number of {words}: {' and '.join(values)} for {place[0]} on "
                f"{place[3]}{more}. Methods of one run were not scored on what those of another were."
            )
    return tuple(lines)


_SIZES = {"n_patients": "patients", "n_explained": "samples explained", "image_size": "pixels a side"}
