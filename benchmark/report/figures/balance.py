"""Whether networks lean on the modalities that the data set offers, or collapse onto some."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

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
    head,
    legend,
    shown,
    title,
    told_apart,
)
from benchmark.report.palette import PALETTE, look
from benchmark.report.pictures import own_style

MOST_SCENARIOS = 12
"""Panels that a figure has room for."""

FLAGS = {"ignored": "o", "leaned on": "s"}
"""Flag of a network's modality → the shape of the ring around it."""

_COLUMNS = 4
_CASE = ("scenario", "images", "features")


@own_style()
def draw_balance(balance: pd.DataFrame, *, heading: str = "") -> Figure:
    """Return a figure with a panel a scenario: bars for the data's shares, a marker for each network's.

    Where a modality is flagged as ignored or leaned on, a ring is around the marker.

    Args:
        balance: one row a network and modality, as in ``balance.csv``; the first `MOST_SCENARIOS` are drawn.
        heading: of the figure; none in a paper.

    Raises:
        ValueError: if there are no rows or a column is missing.
    """
    columns = (*_CASE, "model", "modality", "share_data", "share_network", "flag")
    check_columns(balance, "The table of balance", columns)
    balance = told_apart(balance)
    cases = list(dict.fromkeys(balance["scenario"]))
    names = list(dict.fromkeys(balance["model"]))
    drawn = cases[:MOST_SCENARIOS]
    n_columns = min(len(drawn), _COLUMNS)
    n_rows = -(-len(drawn) // _COLUMNS)
    longest = max(len(shown(name)) for name in balance["modality"])
    figure = blank(max(PAGE * n_columns / _COLUMNS, 3.5), (1.25 + 0.03 * longest) * n_rows + 0.6)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for place, panel in enumerate(panels.flat):
        if place >= len(drawn):
            panel.set_axis_off()
            continue
        dress(panel)
        _draw_case(panel, balance[balance["scenario"] == drawn[place]], names)
        head(panel, str(drawn[place]), room=figure.get_figwidth() / n_columns)
        if place % n_columns == 0:
            panel.set_ylabel("share of importance")
    bar = Line2D([], [], color=PALETTE.line, linewidth=6, solid_capstyle="butt", label="in the data")
    legend(figure, [bar, *handles(names), *_rings(balance)])
    if len(cases) > len(drawn):
        heading = f"{heading or 'Balance of modalities'}: {len(drawn)} of {len(cases)} scenarios"
    title(figure, heading)
    return figure


def _draw_case(panel: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    modalities = list(dict.fromkeys(rows["modality"]))
    places = {name: place for place, name in enumerate(modalities)}
    data = rows.groupby("modality", sort=False)["share_data"].mean().reindex(modalities)
    panel.bar(range(len(modalities)), data.to_numpy(), width=0.86, color=PALETTE.line, zorder=1)
    panel.hlines(
        data.to_numpy(),
        np.arange(len(modalities)) - 0.43,
        np.arange(len(modalities)) + 0.43,
        color=PALETTE.muted,
        linewidth=1.1,
        zorder=2,
    )
    for at, name in enumerate(names):
        mine = rows[rows["model"] == name]
        # Networks of one model stand side by side, in the room of their model.
        order = mine.groupby("modality").cumcount().to_numpy(float)
        n = max(order.max(initial=0.0) + 1, 1.0)
        room = 0.8 / len(names)
        shift = (at - (len(names) - 1) / 2) * room + ((order + 0.5) / n - 0.5) * 0.6 * room
        x = mine["modality"].map(places).to_numpy(float) + shift
        _draw_points(panel, x, mine["share_network"].to_numpy(float), mine["flag"], at, size=3.2)
    panel.set_xticks(
        range(len(modalities)),
        [shown(name) for name in modalities],
        rotation=35 if len(modalities) <= 6 else 90,
        ha="right",
        va="center" if len(modalities) > 6 else "top",
        rotation_mode="anchor",
        fontsize=SMALL,
        color=PALETTE.ink,
        parse_math=False,
    )
    panel.set_ylim(0, 1.05)
    panel.set_xlim(-0.6, len(modalities) - 0.4)


@own_style()
def draw_alone(balance: pd.DataFrame, *, heading: str = "") -> Figure:
    """Return a figure with a panel a model: what a modality achieves alone, against its share.

    A point is a network and modality. Gapp et al. (2025), arXiv 2503.01904, look there for modalities that
    perform alone and are not used, or are used and do not.

    Args:
        balance: one row a network and modality, as in ``balance.csv``; without a value of ``alone``, or of
            ``share_network``, a row is left out.
        heading: of the figure; none in a paper.

    Raises:
        ValueError: if there are no such rows or a column is missing.
    """
    columns = ("model", "modality", "alone", "share_network", "flag")
    check_columns(balance, "The table of balance", columns)
    rows = balance[balance["alone"].notna() & balance["share_network"].notna()]
    check_columns(rows, "The table of balance, of networks with a value of 'alone',", columns)
    names = list(dict.fromkeys(rows["model"]))
    modalities = list(dict.fromkeys(rows["modality"]))
    n_columns = min(len(names), 3)
    n_rows = -(-len(names) // n_columns)
    figure = blank(max(PAGE * n_columns / 3, 3.5), 2.1 * n_rows + 0.6)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
    for place, panel in enumerate(panels.flat):
        if place >= len(names):
            panel.set_axis_off()
            continue
        dress(panel, grid="both")
        head(panel, str(names[place]), room=figure.get_figwidth() / n_columns)
        mine = rows[rows["model"] == names[place]]
        for at, modality in enumerate(modalities):
            part = mine[mine["modality"] == modality]
            x, y = part["alone"].to_numpy(float), part["share_network"].to_numpy(float)
            _draw_points(panel, x, y, part["flag"], at, size=3.6)
        panel.set_ylim(-0.03, 1.05)
        if place % n_columns == 0:
            panel.set_ylabel("share of importance")
        if place + n_columns >= len(names):
            panel.set_xlabel("accuracy with this modality alone")
            panel.xaxis.set_tick_params(labelbottom=True)
    legend(figure, [*handles(modalities), *_rings(rows)])
    title(figure, heading)
    return figure


def _draw_points(
    panel: Axes, x: np.ndarray, y: np.ndarray, flags: pd.Series, place: int, *, size: float
) -> None:
    if not len(x):
        return
    colour, marker = look(place)
    panel.plot(
        x,
        y,
        color=colour,
        marker=marker,
        markersize=size,
        markeredgewidth=0,
        linestyle="none",
        zorder=3,
        clip_on=False,
    )
    for flag, ring in FLAGS.items():
        flagged = flags.to_numpy() == flag
        if flagged.any():  # nothing, unclipped, would still take room
            panel.plot(x[flagged], y[flagged], linestyle="none", zorder=4, clip_on=False, **_ring(ring, size))


def _ring(shape: str, size: float) -> dict[str, object]:
    return {
        "marker": shape,
        "markersize": size + 4,
        "markerfacecolor": "none",
        "markeredgecolor": PALETTE.bad,
        "markeredgewidth": 0.9,
    }


def _rings(rows: pd.DataFrame) -> list[Line2D]:
    return [
        Line2D([], [], linestyle="none", label=flag, **_ring(shape, 3.0))
        for flag, shape in FLAGS.items()
        if flag in set(rows["flag"])
    ]
