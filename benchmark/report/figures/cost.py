"""What accuracy costs: error against calls of the model."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from benchmark.report.figures.drawing import (
    PAGE,
    SMALL,
    blank,
    check_columns,
    draw_points,
    dress,
    handles,
    legend,
    note,
    one_model,
    scale_errors,
    scale_logarithmic,
    title,
)
from benchmark.report.figures.label_places import label_points
from benchmark.report.palette import PALETTE
from benchmark.report.pictures import own_style
from benchmark.report.standing import NO_RANK, has_rank
from benchmark.store import CONTROL

_MANY = 20


@own_style()
def draw_cost(board: pd.DataFrame, *, heading: str = "", width: float = PAGE) -> Figure:
    """Return a figure of pooled RMSE against model calls, a named point a method, the Pareto front a line.

    A method is on the front if no other is at least as accurate for at most as many calls. Colour and marker
    say which truth a method targets. Methods without a rank have open markers and are not on the front: their
    error is of the cases that they survived.

    Args:
        board: from ``findings.boards`` or ``table.leaderboard``, of one model; controls and methods without a
            score are left out.
        heading: of the figure; none in a paper.
        width: inches.

    Raises:
        ValueError: if no method has a score, a column is missing, or there are several models.
    """
    columns = ("model", "method", "targets", "rmse", "model_calls")
    check_columns(board, "The leaderboard", columns)
    one_model(board, "The leaderboard")
    rows = board[(board["targets"] != CONTROL) & board["rmse"].notna() & board["model_calls"].notna()]
    check_columns(rows, "The leaderboard without controls", columns)
    # On a logarithmic axis a method that never calls the model stands where one call would be.
    calls = np.maximum(rows["model_calls"].to_numpy(float), 1.0)
    errors = rows["rmse"].to_numpy(float)
    figure = blank(width, 0.66 * width if len(rows) > _MANY else 0.52 * width)
    panel = figure.subplots()
    dress(panel, grid="both")
    scale_logarithmic(panel.xaxis, calls.min() / 3, calls.max() * 3)
    scale_errors(panel, errors, which="y")
    kinds = list(dict.fromkeys(rows["targets"]))
    places = np.array([kinds.index(target) for target in rows["targets"]])
    ranked = has_rank(rows)
    reached = np.flatnonzero(ranked)[pareto_front(calls[ranked], errors[ranked])]
    _draw_front(panel, calls[reached], errors[reached])
    draw_points(panel, calls, errors, places, size=4.5, is_open=~ranked)
    panel.set_xlabel("model calls per explanation of all samples (mean)")
    panel.set_ylabel("RMSE (pooled)")
    front = Line2D([], [], color=PALETTE.good, linewidth=1.2, label="Pareto front")
    legend(figure, [*handles(kinds), *([front] if len(reached) else [])], heading="scored against")
    free = rows.loc[rows["model_calls"] < 1, "method"]
    told = f"Without a call of the model: {', '.join(map(str, free))}." if len(free) else ""
    note(figure, " ".join(filter(None, (told, "" if ranked.all() else f"Open: {NO_RANK}."))))
    title(figure, heading)  # before names find their places
    size = SMALL - 1 if len(rows) > _MANY else SMALL
    points = np.column_stack([calls, errors])
    front = points[reached]
    corners = np.column_stack([front[1:, 0], front[:-1, 1]])  # of the steps, which names keep clear of
    steps = np.stack([front[:-1], corners, corners, front[1:]], axis=1).reshape(-1, 2, 2)
    label_points(figure, panel, points, list(rows["method"]), size=size, lines=steps)
    return figure


def pareto_front(calls: ArrayLike, errors: ArrayLike) -> NDArray[np.intp]:
    """Return the places of the points that no other beats in both, cheapest first.

    Example:
        >>> pareto_front([1, 2, 3, 3], [0.5, 0.6, 0.1, 0.2]).tolist()
        [0, 2]
    """
    cost, error = np.asarray(calls, dtype=float), np.asarray(errors, dtype=float)
    order = np.lexsort((error, cost))
    best = np.minimum.accumulate(error[order])
    before = np.concatenate([[np.inf], best[:-1]])
    return order[error[order] < before]


def _draw_front(panel: Axes, calls: np.ndarray, errors: np.ndarray) -> None:
    """Draw the front through its points, cheapest first."""
    if not len(calls):
        return
    panel.step(calls, errors, where="post", color=PALETTE.good, linewidth=1.2, zorder=1)
    panel.plot(
        calls,
        errors,
        linestyle="none",
        marker="o",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor=PALETTE.good,
        markeredgewidth=1.0,
        zorder=2,
    )
