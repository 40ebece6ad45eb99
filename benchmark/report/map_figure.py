"""The picture of maps: where in the scans each method sees what matters, beside where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmark.maps import MASK, RELEVANCE, SCAN, grown
from benchmark.report.figure import name_shown
from benchmark.report.pictures import Axes, Figure, FigureCanvasAgg, own_style
from synthetic.names import printable

MOST_ROWS = 12
"""Images that a picture has room for."""

_OUTLINE = "#56B4E9"  # Okabe & Ito's sky blue: seen on any grey
_MAP = "magma"
_PATIENT = 0

Drawn = Mapping[str, Sequence[str]]


@own_style()
def draw_maps(shown: Mapping[tuple[str, str], Drawn], *, title: str, methods: Sequence[str]) -> Figure | None:
    """Return a figure with a row an image: the scan, the true relevance, then every method's map.

    The blue line is the border of the true mask. Each map has a scale of its own, from 0 to its largest
    value; the sign of a relevance is left out.

    Args:
        shown: scenario and image → method or control → maps of the first patients, from ``fine_table.maps``
            for one model.
        title: heading.
        methods: which, in the order of the columns.

    Returns:
        None where there is nothing to show.
    """
    rows = [place for place, drawn in shown.items() if SCAN in drawn and set(methods) & set(drawn)]
    if not rows:
        return None
    if len(rows) > MOST_ROWS:
        title = f"{title}: {MOST_ROWS} of {len(rows)} images"
        rows = rows[:MOST_ROWS]
    columns = [SCAN]
    columns += [RELEVANCE] if any(RELEVANCE in shown[row] for row in rows) else []
    columns += [method for method in methods if any(method in shown[row] for row in rows)]
    figure = Figure(figsize=(1.25 * len(columns) + 1.3, 1.22 * len(rows) + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    for row, line in zip(rows, panels, strict=True):
        drawn = shown[row]
        mask = grown(drawn[MASK][_PATIENT]) > 0 if MASK in drawn else None
        for column, panel in zip(columns, line, strict=True):
            _panel(panel, drawn.get(column), column, mask)
        line[0].set_ylabel(
            "\n".join(map(name_shown, row)), fontsize=8, rotation=0, ha="right", va="center", parse_math=False
        )
    for column, panel in zip(columns, panels[0], strict=True):
        heading = name_shown({SCAN: "scan", RELEVANCE: "true relevance"}.get(column, column))
        panel.set_title(heading.replace("_", "\n", 1), fontsize=8, parse_math=False)
    figure.suptitle(printable(title), fontsize=11, x=0.01, ha="left", parse_math=False)
    return figure


def _panel(panel: Axes, maps: Sequence[str] | None, column: str, mask: np.ndarray | None) -> None:
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_visible(False)
    if not maps:
        panel.text(0.5, 0.5, "none", transform=panel.transAxes, ha="center", va="center", color="0.4")
        return
    values = grown(maps[_PATIENT])
    panel.imshow(values, cmap="gray" if column == SCAN else _MAP, vmin=0, vmax=1, interpolation="nearest")
    if mask is not None and mask.any() and not mask.all():
        panel.contour(mask, levels=[0.5], colors=_OUTLINE, linewidths=0.8)
