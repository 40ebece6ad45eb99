"""What of a method's error is its own, and what the network added."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from benchmark.report.figures.drawing import (
    PAGE,
    blank,
    check_columns,
    dress,
    legend,
    list_rows,
    one_model,
    scale_errors,
    shown,
    title,
)
from benchmark.report.palette import PALETTE
from benchmark.report.pictures import own_style

_OWN, _ADDED = PALETTE.series[4], PALETTE.series[3]


@own_style()
def draw_error_parts(shares: pd.DataFrame, *, heading: str = "", width: float = PAGE) -> Figure:
    """Return a figure with a row a method: its RMSE on the oracle and on the network, and both shares.

    On the left, the line from the open marker (the true decision function: the method's own error) to the
    filled one (the network) is what training added; where it runs to the left, errors cancel. On the right,
    the same as shares of the mean squared error.

    Args:
        shares: from ``statistics.error_shares``, of one model.
        heading: of the figure; none in a paper.
        width: inches.

    Raises:
        ValueError: if there are no rows, a column is missing, or there are several models.
    """
    columns = ("model", "method", "mse", "mse_oracle", "share_method", "share_model")
    check_columns(shares, "The frame of error shares", columns)
    model = one_model(shares, "The frame of error shares")
    rows = shares.sort_values("mse", kind="stable")
    figure = blank(width, 0.135 * len(rows) + 0.85)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.6, 1])
    _draw_errors(left, rows)
    _draw_shares(right, rows)
    list_rows(left, rows["method"])
    keys = [
        Line2D([], [], linestyle="none", label="oracle: the method's own error", **_look(on_network=False)),
        Line2D([], [], linestyle="none", label=shown(f"on {model}"), **_look(on_network=True)),
        Line2D([], [], color=_OWN, linewidth=5, solid_capstyle="butt", label="the method's share"),
        Line2D([], [], color=_ADDED, linewidth=5, solid_capstyle="butt", label="added by the network"),
    ]
    legend(figure, keys)
    title(figure, heading)
    return figure


def _look(*, on_network: bool) -> dict[str, object]:
    return {
        "color": PALETTE.ink,
        "marker": "o",
        "markersize": 3.6,
        "markerfacecolor": PALETTE.ink if on_network else PALETTE.paper,
        "markeredgewidth": 0.9,
    }


def _draw_errors(panel: Axes, rows: pd.DataFrame) -> None:
    dress(panel, grid="x")
    places = np.arange(len(rows))
    own, seen = (np.sqrt(rows[name].to_numpy(float)) for name in ("mse_oracle", "mse"))
    if not scale_errors(panel, np.concatenate([own, seen]), which="x"):
        panel.set_xlim(left=-0.02 * panel.get_xlim()[1])
    panel.hlines(places, own, seen, color=PALETTE.muted, linewidth=1.1, zorder=2)
    panel.plot(own, places, linestyle="none", zorder=3, **_look(on_network=False))
    panel.plot(seen, places, linestyle="none", zorder=3, **_look(on_network=True))
    panel.set_xlabel("RMSE (pooled)")


def _draw_shares(panel: Axes, rows: pd.DataFrame) -> None:
    dress(panel)
    places = np.arange(len(rows))
    own, added = (rows[name].fillna(0.0).to_numpy(float) for name in ("share_method", "share_model"))
    panel.barh(places, own, height=0.7, color=_OWN)
    # The seam and the hatch tell both parts apart without colour.
    panel.barh(
        places,
        added,
        left=own,
        height=0.7,
        facecolor=_ADDED,
        edgecolor=PALETTE.paper,
        hatch="////",
        linewidth=0,
    )
    for place in np.flatnonzero(rows["share_method"].isna()):
        panel.annotate("no error", (0.02, place), va="center", fontsize=6, color=PALETTE.muted)
    panel.set_xlim(0, 1)
    panel.xaxis.set_major_formatter(PercentFormatter(1.0))
    panel.set_xlabel("share of the squared error")
    panel.tick_params(axis="y", length=0)
