"""What failed, was skipped or does not hold what its method claims, and why."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.findings.tables import Run
from benchmark.store import RESULTS, file_words, read_result

_CELL = ("scenario", "images", "features", "model", "method", "data_seed", "train_seed", "method_seed")
FLAGGED = "flagged"
"""Status of a result that is scored, though the method does not hold what it claims."""

_MOST_LOOKED_UP = 500
"""Results whose files are opened for the reason: a page names no more."""


def lost(runs: Sequence[Run], scores: pd.DataFrame) -> pd.DataFrame:
    """Return one row a result that failed, carries a flag, or was skipped, in this order.

    A table of scores has no reasons: they are looked up in the results themselves, where a run's folder still
    holds them.

    Args:
        runs: the folders.
        scores: their rows.

    Returns:
        Columns ``scenario``, ``images``, ``features``, ``model``, ``method``, seeds, ``status`` and
        ``reason``. The status of a result that carries a flag is ``flagged``, its reason the flag.
    """
    is_flagged = (scores["status"] == "done") & (scores["flags"] != "")
    rows = scores[(scores["status"] != "done") | is_flagged].drop_duplicates(list(_CELL))
    rows = rows.assign(status=rows["status"].mask(is_flagged, FLAGGED))
    order = rows["status"].map({FLAGGED: 1, "skipped": 2}).fillna(0)
    rows = rows.loc[order.sort_values(kind="stable").index].reset_index(drop=True)
    files = _files(runs) if (rows["status"] != FLAGGED).any() else {}
    reasons = [
        row["flags"] if row["status"] == FLAGGED else _reason(files, row)
        for row in rows.head(_MOST_LOOKED_UP).to_dict(orient="records")
    ]
    told = pd.Series(reasons, dtype=str).reindex(rows.index, fill_value="")
    return rows[[*_CELL, "status"]].assign(reason=told)


def _files(runs: Sequence[Run]) -> dict[str, list[Path]]:
    """Return the files of results by what their names tell."""
    found: dict[str, list[Path]] = {}
    for run in runs:
        for file in sorted((run.folder / RESULTS).glob("*.json")):
            found.setdefault(file.name.rsplit(".", 2)[0], []).append(file)
    return found


def _reason(files: Mapping[str, Sequence[Path]], cell: Mapping[str, Any]) -> str:
    """Return the last line of a result's error; empty where no folder has the result."""
    for file in files.get(file_words(cell), ()):
        try:
            result = read_result(file)
        except (OSError, ValueError):
            continue
        if result and all(result.job.get(key) == cell[key] for key in _CELL) and result.error.strip():
            return result.error.strip().splitlines()[-1]
    return ""
