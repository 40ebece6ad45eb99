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

from benchmark.report.figures.drawing import (
    PAGE,
    SMALL,
    blank,
    check_columns,
    dress,
    handles,
    legend,
    list_rows,
    note,
    one_model,
    scale_errors,
    title,
)
from benchmark.report.palette import PALETTE, look

_METRICS = {"rmse": "RMSE (pooled)", "rbo": "RBO (mean)", "rbo_corrected": "RBO, chance-corrected"}
_UNIFORM = "uniform"


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

    Colour and marker say which truth a method targets, and is scored against. The dashed line is what equal
    shares score (control ``uniform``).

    Args:
        found: from ``statistics.intervals``, of one model.
        board: from ``table.leaderboard``; its rows of other models are left out.
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
    check_columns(board, "The leaderboard", ("model", "method", "targets", *metrics))
    model = one_model(found, "The frame of intervals")
    board = board.loc[board["model"] == model]
    targets = dict(zip(board["method"], board["targets"], strict=True))
    tables = {name: rows.set_index("method") for name, rows in found.groupby("metric", sort=False)}
    order = list(tables[metrics[0]]["value"].sort_values(kind="stable", ascending=metrics[0] == "rmse").index)
    kinds = list(dict.fromkeys(targets.get(name, "?") for name in order))
    figure = blank(width, 0.135 * len(order) + 0.95)
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    chance = board[board["method"] == _UNIFORM]
    for panel, metric in zip(panels, metrics, strict=True):
        dress(panel, grid="x")
        level = float(chance[metric].iloc[0]) if len(chance) else np.nan
        places = [kinds.index(targets.get(name, "?")) for name in order]
        _draw(panel, tables[metric].reindex(order), places, metric, level)
        panel.set_xlabel(_METRICS[metric])
        panel.tick_params(axis="y", length=0)
    list_rows(panels[0], order)
    line = Line2D([], [], color=PALETTE.muted, linestyle="--", linewidth=0.9, label="equal shares")
    legend(figure, [*handles(kinds), *([line] if len(chance) else [])], heading="scored against")
    whiskers = found[["low", "high"]].notna().any(axis=None)
    lacking = "" if whiskers else "No intervals: they need two seeds or more."
    note(figure, " ".join(filter(None, (explained, lacking))))
    title(figure, heading)
    return figure


def _draw(panel: Axes, scores: pd.DataFrame, places: list[int], metric: str, level: float) -> None:
    value, low, high = (scores[name].to_numpy(float) for name in ("value", "low", "high"))
    rows = np.arange(len(value))
    if metric == "rmse":
        ends = np.concatenate([value, high, np.where(low > 0, low, np.nan), [level]])
        scale_errors(panel, ends, which="x")
    else:
        ends = np.concatenate([value, low, [level]])
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
    for kind in sorted(set(places)):
        colour, marker = look(kind)
        mine = np.array(places) == kind
        panel.plot(
            value[mine],
            rows[mine],
            color=colour,
            marker=marker,
            markersize=4,
            markeredgewidth=0,
            linestyle="none",
            zorder=3,
        )
    if np.isfinite(level):
        panel.axvline(level, color=PALETTE.muted, linestyle="--", linewidth=0.9, zorder=1)
    panel.tick_params(axis="x", labelsize=SMALL)
