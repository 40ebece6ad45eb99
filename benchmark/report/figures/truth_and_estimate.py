"""The picture of a run: truth against every method's estimate, case by case and modality by modality."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.report.figures.drawing import (
    PAGE,
    SMALL,
    blank,
    dress,
    handles,
    legend,
    shown,
)
from benchmark.report.figures.drawing import (
    title as write_title,
)
from benchmark.report.palette import PALETTE, look
from benchmark.report.pictures import own_style
from synthetic.names import printable

MOST_METHODS = 12
"""Methods that a picture has room for."""

_COLUMNS = 4
_CROWDED = 5
"""Modalities beyond which their names stand upright."""


@own_style()
def draw_importances(
    shares: pd.DataFrame, *, title: str, methods: list[str], labels: Mapping[str, str]
) -> Figure:
    """Return a figure with one panel a case: bars for the truth, markers for the methods' mean estimates.

    Whiskers are standard deviations over seeds.

    Args:
        shares: from ``table.shares``, of one model.
        title: heading; none where it is empty, as in a paper.
        methods: which methods, in the order of the legend; only the first `MOST_METHODS` have room.
        labels: scenario → decision function written out, where that is known.
    """
    if len(methods) > MOST_METHODS:
        title = f"{title}: {MOST_METHODS} of {len(methods)} methods".removeprefix(": ")
        methods = methods[:MOST_METHODS]
    cases = list(dict.fromkeys(shares["scenario"]))
    n_columns = min(len(cases), _COLUMNS)
    n_rows = -(-len(cases) // _COLUMNS)
    longest = max((len(shown(name)) for name in shares["modality"]), default=0)
    height = (1.45 + 0.03 * longest) * n_rows + 0.7
    figure = blank(max(PAGE * n_columns / _COLUMNS, PAGE / 2), height)
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    for place, panel in enumerate(panels.flat):
        if place >= len(cases):
            panel.set_axis_off()
            continue
        dress(panel)
        _draw_case(panel, shares[shares["scenario"] == cases[place]], methods)
        label = labels.get(cases[place])
        heading = printable(f"{cases[place]}: {label}" if label else str(cases[place]))
        heading = textwrap.fill(heading, int(136 / max(n_columns, 2)), max_lines=2)
        panel.set_title(heading, fontsize=SMALL, loc="left", color=PALETTE.ink, parse_math=False)
        if place % _COLUMNS == 0:
            panel.set_ylabel("share of importance")
    truth = Line2D([], [], color=PALETTE.line, linewidth=6, solid_capstyle="butt", label="truth")
    legend(figure, [truth, *handles(methods)])
    write_title(figure, title)
    return figure


def _draw_case(panel: Axes, shares: pd.DataFrame, methods: list[str]) -> None:
    names = list(dict.fromkeys(shares["modality"]))
    places = np.arange(len(names))
    truth = shares.drop_duplicates("modality").set_index("modality")["truth"].reindex(names)
    panel.bar(places, truth.to_numpy(), width=0.9, color=PALETTE.line, zorder=1)
    panel.hlines(truth.to_numpy(), places - 0.45, places + 0.45, color=PALETTE.muted, linewidth=1.1, zorder=2)
    for place, method in enumerate(methods):
        mine = shares[shares["method"] == method].set_index("modality").reindex(names)
        colour, marker = look(place)
        panel.errorbar(
            places + (place - (len(methods) - 1) / 2) * 0.8 / max(len(methods), 1),
            mine["mean"].to_numpy(float),
            yerr=mine["sd"].fillna(0.0).to_numpy(float),
            color=colour,
            marker=marker,
            markersize=3,
            markeredgewidth=0,
            linestyle="none",
            elinewidth=0.8,
            zorder=3,
        )
    crowded = len(names) > _CROWDED
    panel.set_xticks(
        places,
        [shown(name) for name in names],
        fontsize=SMALL,
        color=PALETTE.ink,
        rotation=90 if crowded else 35,
        ha="right",
        va="center" if crowded else "top",
        rotation_mode="anchor",
        parse_math=False,
    )
    panel.set_ylim(0, 1.05)
