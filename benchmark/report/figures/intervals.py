"""How wrong each method is, and how sure that is: pooled RMSE and mean RBO with confidence intervals."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from benchmark.report.figures.drawing import (
    PAGE,
    SMALL,
    blank,
    check_columns,
    draw_points,
    dress,
    handles,
    legend,
    list_rows,
    note,
    one_model,
    scale_errors,
    title,
)
from benchmark.report.palette import PALETTE
from benchmark.report.pictures import own_style

_METRICS = {"rmse": "RMSE (pooled)", "rbo": "RBO (mean)", "rbo_corrected": "RBO, chance-corrected"}
_UNIFORM = {"rmse": "rmse_uniform", "rbo": "rbo_chance"}
"""Metric → the column of a leaderboard with the score of equal shares against the method's own truth."""

_SAME = 5e-4  # of levels, what no picture shows

Array = NDArray[np.float64]


@own_style()
def draw_intervals(
    found: pd.DataFrame,
    board: pd.DataFrame,
    *,
    metrics: Sequence[str] | None = None,
    explained: str = "",
    heading: str = "",
    width: float = PAGE,
) -> Figure:
    """Return a figure with a row a method, best first: its scores as dots, their intervals as whiskers.

    Colour and marker say which truth a method targets, and is scored against. What equal shares score against
    that truth (their RBO is that of a random order) is a tick in each row, or a dashed line where it is the
    same in all.

    Args:
        found: from ``statistics.intervals``, of one model.
        board: from ``findings.boards``; its rows of other models are left out. Without ``rmse_uniform`` and
            ``rbo_chance``, nothing is drawn of equal shares.
        metrics: which of ``rmse``, ``rbo`` and ``rbo_corrected``, a panel each; None for the first two,
            as far as they are there.
        explained: what stands below: no RBO without its p, n and chance level.
        heading: of the figure; none in a paper.
        width: inches.

    Raises:
        ValueError: if there are no rows, a column is missing, or several models are in `found`.
    """
    check_columns(found, "The frame of intervals", ("model", "method", "metric", "value", "low", "high"))
    metrics = metrics or [name for name in ("rmse", "rbo") if name in set(found["metric"])]
    check_columns(board, "The leaderboard", ("model", "method", "targets"))
    model = one_model(found, "The frame of intervals")
    board = board.loc[board["model"] == model]
    rows = board.set_index("method")
    targets = rows["targets"].to_dict()
    tables = {name: rows.set_index("method") for name, rows in found.groupby("metric", sort=False)}
    order = list(tables[metrics[0]]["value"].sort_values(kind="stable", ascending=metrics[0] == "rmse").index)
    kinds = list(dict.fromkeys(targets.get(name, "?") for name in order))
    figure = blank(width, 0.135 * len(order) + 0.95)
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    places = np.array([kinds.index(targets.get(name, "?")) for name in order])
    levels = {metric: _equal_shares(rows.reindex(order), metric) for metric in metrics}
    is_line = all(np.nanmax(each) - np.nanmin(each) < _SAME for each in levels.values() if _any(each))
    for panel, metric in zip(panels, metrics, strict=True):
        dress(panel, grid="x")
        _draw(panel, tables[metric].reindex(order), places, metric, levels[metric])
        _draw_levels(panel, levels[metric], is_line=is_line)
        panel.set_xlabel(_METRICS[metric])
        panel.tick_params(axis="y", length=0)
    list_rows(panels[0], order)
    look = {"linestyle": "--"} if is_line else {"linestyle": "none", "marker": "|", "markersize": 7}
    line = Line2D([], [], color=PALETTE.muted, linewidth=0.9, label="equal shares", **look)
    drawn = any(map(_any, levels.values()))
    legend(figure, [*handles(kinds), *([line] if drawn else [])], heading="scored against")
    whiskers = found[["low", "high"]].notna().any(axis=None)
    lacking = "" if whiskers else "No intervals: they need two seeds or more."
    note(figure, " ".join(filter(None, (explained, lacking))))
    title(figure, heading)
    return figure


def _any(values: Array) -> bool:
    return bool(np.isfinite(values).any())


def _equal_shares(board: pd.DataFrame, metric: str) -> Array:
    """Return what equal shares score against the truth of each row; NaN where that is not known."""
    if metric == "rbo_corrected":  # where chance is 0
        return np.zeros(len(board))
    name = _UNIFORM[metric]
    return board[name].to_numpy(float) if name in board else np.full(len(board), np.nan)


def _draw_levels(panel: Axes, levels: Array, *, is_line: bool) -> None:
    there = np.flatnonzero(np.isfinite(levels))
    if not there.size:
        return
    if is_line:
        panel.axvline(levels[there[0]], color=PALETTE.muted, linestyle="--", linewidth=0.9, zorder=1)
    else:
        panel.vlines(levels[there], there - 0.36, there + 0.36, color=PALETTE.muted, linewidth=0.9, zorder=1)


def _draw(panel: Axes, scores: pd.DataFrame, places: NDArray[np.intp], metric: str, levels: Array) -> None:
    value, low, high = (scores[name].to_numpy(float) for name in ("value", "low", "high"))
    rows = np.arange(len(value))
    if metric == "rmse":
        ends = np.concatenate([value, high, np.where(low > 0, low, np.nan), levels])
        scale_errors(panel, ends, which="x")
    else:
        ends = np.concatenate([value, low, levels])
        least = min(float(np.nanmin(ends)), 0.95)  # where all are 1, the axis still has a length
        panel.set_xlim(least - 0.05 * (1 - least), 1 + 0.03 * (1 - least))
    left = panel.get_xlim()[0]
    whiskers = np.isfinite(low) & np.isfinite(high)
    panel.hlines(
        rows[whiskers],
        np.maximum(low[whiskers], left),
        high[whiskers],
        color=PALETTE.muted,
        linewidth=1.1,
        zorder=2,
    )
    draw_points(panel, value, rows, places, size=4)
    panel.tick_params(axis="x", labelsize=SMALL)
