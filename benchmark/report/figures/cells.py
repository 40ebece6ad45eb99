"""Tables of numbers as pictures: cells tinted by their value, with the value in them."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmark.report.figures.drawing import LANDSCAPE, LETTER, PAGE, SMALL, blank, dress, list_rows, shown
from benchmark.report.palette import PALETTE
from benchmark.report.pictures import own_style

DARKEST = 0.55
"""Opacity of the largest value: ink on it, light or dark, keeps a contrast of 4.5 and more."""

_ROW = 0.15
_WIDE = 0.28  # inches of a column, from which three places fit


def table_size(values: pd.DataFrame, *, width: float | None = None) -> tuple[float, float]:
    """Return the width and height in inches that a table needs, with the names of its rows and columns.

    Args:
        values: the table.
        width: wanted; None for what its columns need, between a column of a paper and a page on its side.
    """
    if width is None:
        needed = _names_width(values.index) + 0.36 * values.shape[1] + 0.2
        width = min(max(needed, 3.5), PAGE if needed <= PAGE * 1.15 else LANDSCAPE)
    return width, _ROW * len(values) + _names_width(values.columns) * 0.75 + 0.3


def _names_width(names: Sequence[object] | pd.Index) -> float:
    return LETTER * SMALL * max((len(shown(name)) for name in names), default=0) + 0.1


@own_style()
def draw_cells(
    panel: Axes,
    values: pd.DataFrame,
    *,
    width: float,
    top: float | None = None,
    outlined: pd.DataFrame | None = None,
) -> None:
    """Draw a table: a cell a value, the darker the larger; rows from the top, column names above.

    Args:
        panel: empty.
        values: numbers, with names as index and columns; an empty cell has a dash.
        width: of the figure in inches, which decides how many places fit.
        top: the value of the darkest cells; None for the largest that there is.
        outlined: which cells get a frame, same shape.
    """
    numbers = values.to_numpy(float)
    largest = np.nanmax(numbers) if np.isfinite(numbers).any() else 1.0
    top = max(float(largest) if top is None else top, 1e-12)
    column = (width - _names_width(values.index) - 0.15) / max(values.shape[1], 1)
    places, size = (3, min(SMALL, 20 * column)) if column >= _WIDE else (2, min(SMALL, 24 * column))
    framed = np.zeros(numbers.shape, dtype=bool) if outlined is None else outlined.to_numpy(bool)
    for (row, col), value in np.ndenumerate(numbers):
        if np.isfinite(value):
            share = min(max(value / top, 0.0), 1.0)
            panel.add_patch(
                Rectangle(
                    (col - 0.5, row - 0.5),
                    1,
                    1,
                    facecolor=PALETTE.series[0],
                    alpha=DARKEST * share,
                    linewidth=0,
                    clip_on=False,
                )
            )
        panel.text(
            col,
            row,
            cell_text(float(value), places),
            ha="center",
            va="center_baseline",
            fontsize=size,
            color=PALETTE.ink if np.isfinite(value) else PALETTE.muted,
            fontweight="bold" if framed[row, col] else "normal",
        )
    for row, col in np.argwhere(framed):
        panel.add_patch(
            Rectangle(
                (col - 0.46, row - 0.44), 0.92, 0.88, facecolor="none", edgecolor=PALETTE.ink, linewidth=0.8
            )
        )
    dress(panel)
    panel.spines[:].set_visible(False)
    list_rows(panel, values.index)
    panel.set(xlim=(-0.5, values.shape[1] - 0.5), ylim=(len(values) - 0.5, -0.5))
    panel.xaxis.tick_top()
    panel.set_xticks(
        np.arange(values.shape[1]),
        [shown(name) for name in values.columns],
        rotation=60,
        ha="left",
        va="center",
        rotation_mode="anchor",
        fontsize=SMALL,
        color=PALETTE.ink,
        parse_math=False,
    )
    panel.tick_params(length=0)


def cell_text(value: float, places: int) -> str:
    """Return a number without its leading zero; a dash where there is none.

    Example:
        >>> cell_text(0.0325, 3), cell_text(-0.25, 2), cell_text(1.5, 2), cell_text(float("nan"), 2)
        ('.033', '−.25', '1.50', '–')
    """
    if not np.isfinite(value):
        return "–"
    text = f"{abs(value):.{places}f}"
    sign = "−" if value < 0 and float(text) else ""
    return sign + (text.removeprefix("0") if text.startswith("0.") else text)


@own_style()
def draw_table(
    values: pd.DataFrame, *, width: float | None = None, outlined: pd.DataFrame | None = None
) -> Figure:
    """Return a figure of one table; see `draw_cells`."""
    width, height = table_size(values, width=width)
    figure = blank(width, height)
    draw_cells(figure.subplots(), values, width=width, outlined=outlined)
    return figure
