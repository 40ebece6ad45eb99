"""What all figures share: sizes of paper and letters, dressed axes, legends and notes."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from benchmark.report.palette import PALETTE, look
from benchmark.table import by_images
from synthetic.names import printable, shortened

COLUMN, PAGE = 3.5, 7.0
"""Widths in inches: a column of a paper with two, and both."""

LANDSCAPE = 9.5
"""Width in inches of a page that is turned: for tables of more columns than a page has room for."""

SMALL, TEXT = 6.0, 7.0
"""Sizes of letters, in points."""

LETTER = 0.0085
"""Mean width of a letter in inches, for each point of its size: narrow ones and wide ones together."""

_TITLE = 9.0
_ABOVE = 0.24  # inches that a heading takes

_PANEL = 0.85
"""How much of its room a panel takes; the rest is for the numbers beside it."""

_WIDEST_LEGEND = 0.9  # of the figure: at few pixels an inch, or in a page's font, letters are wider
_USUAL_LEGEND = 0.4  # inches of height that figures have room for
_BESIDE_A_NAME = 5  # letters that a legend's marker takes

_SPREAD = 20
_LONGEST_NAME = 60
_LONGEST_IN_ROWS = 44


def blank(width: float, height: float) -> Figure:
    """Return a figure of a size in inches, that lays its panels out by itself."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=PALETTE.paper)
    FigureCanvasAgg(figure)
    cast("ConstrainedLayoutEngine", figure.get_layout_engine()).set(w_pad=0.03, h_pad=0.03)
    return figure


def dress(panel: Axes, *, grid: Literal["x", "y", "both"] | None = None) -> None:
    """Give a panel the palette's colours and small letters; spines left and below only."""
    panel.set_facecolor("none")
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[:].set_color(PALETTE.line)
    panel.spines[:].set_linewidth(0.6)
    panel.tick_params(which="both", color=PALETTE.line, labelcolor=PALETTE.ink, labelsize=SMALL, width=0.6)
    panel.tick_params(which="major", length=2.5, pad=2)
    panel.tick_params(which="minor", length=1.5)
    for axis in (panel.xaxis, panel.yaxis):
        axis.label.set(color=PALETTE.ink, fontsize=TEXT, parse_math=False)
        axis.labelpad = 2
    panel.set_axisbelow(True)
    if grid:
        panel.grid(axis=grid, color=PALETTE.line, linewidth=0.4, alpha=0.7)


def head(panel: Axes, text: str, *, room: float) -> None:
    """Write the heading of a panel, as it stands, on as many lines as it needs, two at most.

    Args:
        panel: whose.
        text: what it says; cut where it is longer.
        room: width in inches, with what stands beside the panel.
    """
    letters = int(_PANEL * room / (LETTER * TEXT))
    panel.set_title(
        textwrap.fill(printable(text).replace("\n", " "), letters, max_lines=2, placeholder="…"),
        fontsize=TEXT,
        loc="left",
        color=PALETTE.ink,
        parse_math=False,
    )


def title(figure: Figure, text: str) -> None:
    """Write the heading of a finished figure above it; none where the text is empty, as in a paper."""
    if not text:
        return
    shown = shortened(printable(text).replace("\n", " "), int(figure.get_figwidth() / LETTER / _TITLE))
    height = figure.get_figheight() + _ABOVE
    figure.set_figheight(height)
    # A heading of matplotlib's own would stand in the place of the legend.
    top, free = 1 - _ABOVE / height, 1 - _ABOVE / height
    for key in figure.legends:
        with any_script():
            free -= (key.get_window_extent().height / figure.dpi + 0.06) / height
        key.set_bbox_to_anchor((0, 0, 1, top), transform=figure.transFigure)
    cast("ConstrainedLayoutEngine", figure.get_layout_engine()).set(rect=(0, 0, 1, free))
    figure.text(
        0.01,
        1 - 0.05 / height,
        shown,
        fontsize=_TITLE,
        ha="left",
        va="top",
        color=PALETTE.ink,
        parse_math=False,
        in_layout=False,
    )


def note(figure: Figure, text: str) -> None:
    """Write what explains a figure below it."""
    if text:
        width = int(figure.get_figwidth() / LETTER / SMALL)
        shown = textwrap.fill(printable(text), width)
        figure.supxlabel(shown, fontsize=SMALL, x=0.01, ha="left", color=PALETTE.muted, parse_math=False)


@contextmanager
def any_script() -> Iterator[None]:
    """Draw names in whatever script: what the font lacks is a box, and no warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def name_shown(name: str) -> str:
    """Return a name as pictures show it: one line, no longer than there is room for."""
    return shortened(printable(name).replace("\n", " "), _LONGEST_NAME)


def shown(name: object) -> str:
    """Return a name as rows and columns have room for it."""
    return shortened(name_shown(str(name)), _LONGEST_IN_ROWS)


def list_rows(panel: Axes, names: Iterable[object]) -> None:
    """Name the rows of a panel, the first on top."""
    names = [shown(name) for name in names]
    panel.set_yticks(np.arange(len(names)), names, fontsize=SMALL, color=PALETTE.ink, parse_math=False)
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)


def scale_errors(panel: Axes, values: ArrayLike, *, which: Literal["x", "y"]) -> bool:
    """Scale an axis of errors: logarithmic where positive values span a factor of 20, else from 0.

    Returns:
        Whether it is logarithmic.
    """
    found = np.asarray(values, dtype=float)
    found = found[np.isfinite(found)]
    axis, place = (panel.xaxis, panel.set_xlim) if which == "x" else (panel.yaxis, panel.set_ylim)
    if not found.size or found.min() <= 0 or found.max() / found.min() < _SPREAD:
        place(0, 1.08 * max(found.max(initial=0.0), 1e-3))
        return False
    scale_logarithmic(axis, found.min() / 1.35, found.max() * 1.35)
    return True


def scale_logarithmic(axis: Axis, low: float, high: float) -> None:
    """Scale an axis by powers of ten between two numbers, written in full."""
    panel = axis.axes
    (panel.set_xscale if axis is panel.xaxis else panel.set_yscale)("log")
    (panel.set_xlim if axis is panel.xaxis else panel.set_ylim)(low, high)
    subs = (1.0,) if high / low > 300 else (1.0, 2.0, 5.0)
    places = [tick for tick in LogLocator(subs=subs).tick_values(low, high) if low <= tick <= high]
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantity(value)))
    axis.set_minor_locator(NullLocator() if len(subs) > 1 else LogLocator(subs=range(2, 10)))
    axis.set_minor_formatter(NullFormatter())


def quantity(value: float) -> str:
    """Return a number as an axis shows it.

    Example:
        >>> quantity(0.002), quantity(2000), quantity(1e7)
        ('0.002', '2k', '10M')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def handles(names: Sequence[object]) -> list[Line2D]:
    """Return what a legend shows of methods, models or modalities: the look of each place and its name."""
    return [
        Line2D(
            [],
            [],
            color=look(place)[0],
            marker=look(place)[1],
            linestyle="none",
            markersize=4,
            markeredgewidth=0,
            label=shown(name),
        )
        for place, name in enumerate(names)
    ]


def draw_points(
    panel: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    kinds: NDArray[np.intp],
    *,
    size: float,
    is_open: NDArray[np.bool_] | None = None,
) -> None:
    """Draw points with the look of their kind; those that are open have an edge alone.

    Args:
        panel: where.
        x: places ``[points]``.
        y: likewise.
        kinds: the place of each point's kind in the legend.
        size: of a marker, in points.
        is_open: which are; None for none.
    """
    is_open = np.zeros(len(x), dtype=bool) if is_open is None else is_open
    for kind in sorted(set(kinds.tolist())):
        colour, marker = look(kind)
        for chosen, fill, edge in ((~is_open, colour, 0.0), (is_open, PALETTE.paper, 0.9)):
            mine = chosen & (kinds == kind)
            if mine.any():
                panel.plot(
                    x[mine],
                    y[mine],
                    color=colour,
                    marker=marker,
                    markersize=size - edge,
                    markerfacecolor=fill,
                    markeredgewidth=edge,
                    linestyle="none",
                    zorder=3,
                )


def legend(figure: Figure, keys: Sequence[Line2D], *, heading: str = "") -> None:
    """Put a legend above the panels, in as many columns as fit; a tall one makes the figure taller."""
    shortest = min((len(str(key.get_label())) for key in keys), default=1)
    most = int(figure.get_figwidth() / (LETTER * SMALL * (shortest + _BESIDE_A_NAME)))
    most = max(1, min(len(keys), most))
    for n_columns in range(most, 0, -1):
        placed = _placed_legend(figure, keys, heading, n_columns=n_columns)
        with any_script():
            box = placed.get_window_extent()
        if n_columns == 1 or box.width <= _WIDEST_LEGEND * figure.bbox.width:
            figure.set_figheight(figure.get_figheight() + max(box.height / figure.dpi - _USUAL_LEGEND, 0.0))
            return
        placed.remove()


def _placed_legend(figure: Figure, keys: Sequence[Line2D], heading: str, *, n_columns: int) -> Legend:
    placed = figure.legend(
        handles=list(keys),
        loc="outside upper left",
        ncols=n_columns,
        frameon=False,
        fontsize=SMALL,
        handletextpad=0.5,
        columnspacing=1.2,
        labelcolor=PALETTE.ink,
        title=heading or None,
        title_fontsize=SMALL,
        alignment="left",
    )
    placed.get_title().set_color(PALETTE.ink)
    for text in placed.get_texts():
        text.set_parse_math(False)
    return placed


def told_apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with scenarios such that each is of one image source and one kind of features."""
    kinds = rows[["scenario", "images", "features"]].drop_duplicates()
    return by_images(rows) if len(set(kinds["scenario"])) < len(kinds) else rows


def check_columns(frame: pd.DataFrame, what: str, columns: Iterable[str]) -> None:
    """Raise a ValueError unless a frame has rows and the columns that a figure is drawn from."""
    lacking = [name for name in columns if name not in frame]
    if lacking:
        raise ValueError(
            f"{what} must have the columns {', '.join(columns)}. Got none named {', '.join(lacking)}."
        )
    if not len(frame):
        raise ValueError(f"{what} must have a row or more. Got none: leave the figure out.")


def one_model(frame: pd.DataFrame, what: str) -> str:
    """Return the model that all rows are of.

    Raises:
        ValueError: if there are several.
    """
    there = list(dict.fromkeys(map(str, frame["model"])))
    if len(there) != 1:
        raise ValueError(f"{what} must be of one model. Got {', '.join(there)}: draw a figure for each.")
    return there[0]
