"""The picture of a run: truth against every method's estimate, case by case and modality by modality."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.report.palette import PALETTE, look
from synthetic.cache import replacing
from synthetic.names import printable, shortened

COLOURS = PALETTE.series
_COLUMNS = 4
_LONGEST_NAME = 60


MOST_METHODS = 12
"""Methods that a picture has room for."""


def draw_importances(
    shares: pd.DataFrame, *, title: str, methods: list[str], labels: Mapping[str, str]
) -> Figure:
    """Return a figure with one panel a case: bars for the truth, markers for the methods' mean estimates.

    Args:
        shares: from ``table.shares``, of one model.
        title: heading.
        methods: which methods, in the order of the legend; only the first `MOST_METHODS` have room.
        labels: scenario → decision function written out, where that is known.
    """
    if len(methods) > MOST_METHODS:
        title = f"{title}: {MOST_METHODS} of {len(methods)} methods"
        methods = methods[:MOST_METHODS]
    cases = list(dict.fromkeys(shares["scenario"]))
    n_rows = -(-len(cases) // _COLUMNS)
    n_columns = min(len(cases), _COLUMNS)
    figure = Figure(figsize=(3.5 * n_columns, 2.6 * n_rows + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    for place, panel in enumerate(panels.flat):
        if place >= len(cases):
            panel.set_axis_off()
            continue
        _panel(panel, shares[shares["scenario"] == cases[place]], methods)
        label = labels.get(cases[place])
        heading = printable(f"{cases[place]}: {label}" if label else str(cases[place]))
        heading = textwrap.fill(heading, 52, max_lines=2)
        panel.set_title(heading, fontsize=8, loc="left", parse_math=False)
        if place % _COLUMNS == 0:
            panel.set_ylabel("share of importance")
    handles = [Line2D([], [], color=PALETTE.line, linewidth=8, label="truth")] + [
        Line2D(
            [],
            [],
            color=look(place)[0],
            marker=look(place)[1],
            linestyle="none",
            label=name_shown(method),
        )
        for place, method in enumerate(methods)
    ]
    longest = max(len(str(handle.get_label())) for handle in handles)
    # About nine letters an inch at this size, and room for marker and gap.
    n_fitting = max(1, int(3.5 * n_columns * 9 / (longest + 8)))
    legend = figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(n_fitting, len(handles)),
        frameon=False,
        fontsize=9,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a user's name may hold a dollar sign
    figure.suptitle(printable(title), fontsize=11, x=0.01, ha="left", parse_math=False)
    return figure


def _panel(panel: Axes, shares: pd.DataFrame, methods: list[str]) -> None:
    names = list(dict.fromkeys(shares["modality"]))
    places = np.arange(len(names))
    truth = shares.drop_duplicates("modality").set_index("modality")["truth"].reindex(names)
    panel.bar(places, truth.to_numpy(), width=0.9, color=PALETTE.line, zorder=1)
    for at, share in zip(places, truth, strict=True):
        panel.plot([at - 0.45, at + 0.45], [share, share], color=PALETTE.muted, linewidth=1.4, zorder=2)
    for place, method in enumerate(methods):
        mine = shares[shares["method"] == method].set_index("modality").reindex(names)
        colour, marker = look(place)
        panel.errorbar(
            places + (place - (len(methods) - 1) / 2) * 0.8 / max(len(methods), 1),
            mine["mean"].to_numpy(float),
            yerr=mine["sd"].fillna(0.0).to_numpy(float),
            color=colour,
            marker=marker,
            markersize=4.5,
            linestyle="none",
            elinewidth=1,
            zorder=3,
        )
    crowded = len(names) > 5
    panel.set_xticks(
        places,
        [name_shown(name) for name in names],
        fontsize=7 if crowded else 8,
        rotation=90 if crowded else 0,
        parse_math=False,
    )
    panel.set_ylim(0, 1.05)
    panel.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write a figure whole or not at all, in the format of the path's suffix, without a date in it.

    Args:
        figure: any.
        path: of the file; its folder is there.
        dpi: pixels an inch, where there are pixels.
    """
    check_format(path)
    # A fixed salt: the same picture is the same file. Journals refuse the fonts that PDF has by default.
    with (
        mpl.rc_context({"svg.hashsalt": "plumbline", "pdf.fonttype": 42}),
        warnings.catch_warnings(),
        replacing(path) as file,
    ):
        # A name may be in any script: what the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        metadata = _METADATA[path.suffix.lower()]
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=dpi, metadata=metadata)


_METADATA = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    **dict.fromkeys((".eps", ".ps", ".jpg", ".jpeg", ".webp")),
}
"""What a picture is to leave out, by its suffix: the time, and versions of programs."""


def check_format(path: Path) -> None:
    """Raise a ValueError unless the suffix of a picture's path is one that can be drawn."""
    if path.suffix.lower() not in _METADATA:
        raise ValueError(
            f"The name of a picture must end in {', '.join(_METADATA)}. Got {printable(path.name)!r}."
        )


def name_shown(name: str) -> str:
    """Return a name as pictures show it: one line, no longer than there is room for."""
    return shortened(printable(name).replace("\n", " "), _LONGEST_NAME)
