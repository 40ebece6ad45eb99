"""Where the names of points go, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from numpy.typing import ArrayLike, NDArray

from benchmark.report.figures.drawing import any_script, shown
from benchmark.report.palette import PALETTE

Array = NDArray[np.float64]

_RADII = (6.0, 8.5, 11.0, 16.0, 22.0, 29.0, 37.0, 46.0, 56.0, 68.0, 82.0, 98.0, 116.0)
_N_ANGLES = 24
_MARKER = 3.0
_NEAR = 9.0  # points; farther names get a line to their point


class Place(NamedTuple):
    """Where a name stands: from its point, in points, and how it is aligned there."""

    x: float
    y: float
    align: str


def label_points(
    figure: Figure,
    panel: Axes,
    points: ArrayLike,
    names: Sequence[object],
    *,
    size: float,
    lines: ArrayLike = (),
) -> list[Annotation]:
    """Name points inside a panel; a name that had to go far has a line to its point.

    Greedy: the most crowded points first, each name at the nearest free place of those on rings around its
    point. The layout is fixed from then on, since names fit only where they were placed.

    Args:
        figure: with everything else drawn.
        panel: of the points, with final limits.
        points: ``[n, 2]``, in data coordinates.
        names: n of them.
        size: of the letters, in points.
        lines: ``[k, 2, 2]``, ends of lines that names keep clear of, in data coordinates.

    Returns:
        The annotations, in the order of the points.
    """
    texts = [shown(name) for name in names]
    with any_script():
        figure.draw_without_rendering()
        extents = [_size(figure, text, size) for text in texts]
    figure.set_layout_engine("none")
    unit = figure.dpi / 72
    centres = np.asarray(panel.transData.transform(np.asarray(points, dtype=float))) / unit
    inside = np.asarray(panel.get_window_extent().extents) / unit
    sizes = [extent / unit for extent in extents]
    distances = np.linalg.norm(centres[:, None] - centres, axis=2)
    order = np.argsort(-(distances < 40).sum(1), kind="stable")
    boxes: list[Array] = []
    ends = np.asarray(lines, dtype=float).reshape(-1, 2)
    ends = np.asarray(panel.transData.transform(ends)).reshape(-1, 2, 2) / unit
    leaders = [start + np.linspace(0, 1, 60)[:, None] * (end - start) for start, end in ends]
    places: dict[int, Place] = {}
    for at in order:
        place, box = _best(int(at), centres, sizes[at], inside, boxes, leaders)
        places[int(at)] = place
        boxes.append(box)
        if np.hypot(place.x, place.y) > _NEAR:
            leaders.append(_along(centres[at], centres[at] + [place.x, place.y]))
    return [
        _annotate(panel, text, point, places[at], size)
        for at, (text, point) in enumerate(zip(texts, np.asarray(points, dtype=float), strict=True))
    ]


def _size(figure: Figure, text: str, size: float) -> Array:
    drawn = figure.text(0, 0, text, fontsize=size, parse_math=False)
    extent = drawn.get_window_extent()
    drawn.remove()
    return np.array([extent.width, extent.height])


def _best(
    at: int, centres: Array, size: Array, inside: Array, boxes: list[Array], leaders: list[Array]
) -> tuple[Place, Array]:
    """Return the cheapest place of a name and its box ``[4]``: left, bottom, right, top."""
    best: tuple[float, Place, Array] | None = None
    centre = centres[at]
    taken = np.vstack([np.hstack([centres - _MARKER, centres + _MARKER]), *boxes])
    lines = np.vstack(leaders) if leaders else np.empty((0, 2))
    for radius in _RADII:
        for turn in np.arange(_N_ANGLES) * 2 * np.pi / _N_ANGLES:
            x, y = radius * np.cos(turn), radius * np.sin(turn)
            align = "left" if np.cos(turn) > 0.3 else "right" if np.cos(turn) < -0.3 else "center"
            left = centre[0] + x - {"left": 0.0, "center": 0.5, "right": 1.0}[align] * size[0]
            bottom = centre[1] + y - size[1] / 2
            box = np.array([left, bottom, left + size[0], bottom + size[1]])
            cost = radius + 2 * abs(np.sin(turn)) + 60 * _overlaps(box, taken)
            cost += 25 * _n_holding(box[None], lines) + 1000 * _outside(box, inside)
            cost += 20 * _is_nearer_to_another(box, at, centres)
            if radius > _NEAR:
                leader = _along(centre, centre + np.array([x, y]))
                cost += 8 * _n_holding(taken, leader) - 8
            if best is None or cost < best[0]:
                best = (float(cost), Place(float(x), float(y), align), box)
        if best is not None and best[0] < radius:  # no farther place can be cheaper
            break
    if best is None:
        raise RuntimeError("A name must have a place. Got no ring to look on.")
    return best[1], best[2]


def _overlaps(box: Array, others: Array) -> int:
    apart = (
        (others[:, 0] >= box[2])
        | (others[:, 2] <= box[0])
        | (others[:, 1] >= box[3])
        | (others[:, 3] <= box[1])
    )
    return int((~apart).sum())


def _n_holding(boxes: Array, points: Array) -> int:
    """Return how many boxes ``[n, 4]`` any of the points ``[k, 2]`` lies in."""
    within = (points > boxes[:, None, :2]) & (points < boxes[:, None, 2:])
    return int(within.all(-1).any(-1).sum())


def _is_nearer_to_another(box: Array, at: int, centres: Array) -> bool:
    """Return whether a name seems to be that of another point; points in one place do not count."""
    gaps = np.hypot(
        np.maximum(np.maximum(box[0] - centres[:, 0], centres[:, 0] - box[2]), 0),
        np.maximum(np.maximum(box[1] - centres[:, 1], centres[:, 1] - box[3]), 0),
    )
    elsewhere = np.linalg.norm(centres - centres[at], axis=1) > _MARKER
    return bool((gaps[elsewhere] < gaps[at] + 1).any())


def _outside(box: Array, inside: Array) -> bool:
    return bool((box[:2] < inside[:2]).any() or (box[2:] > inside[2:]).any())


def _along(start: Array, end: Array) -> Array:
    """Return points of a line, without its beginning under the marker."""
    return start + np.linspace(0.15, 1, 12)[:, None] * (end - start)


def _annotate(panel: Axes, text: str, point: Array, place: Place, size: float) -> Annotation:
    far = np.hypot(place.x, place.y) > _NEAR
    line = {"arrowstyle": "-", "color": PALETTE.muted, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2}
    return panel.annotate(
        text,
        (float(point[0]), float(point[1])),
        xytext=(place.x, place.y),
        textcoords="offset points",
        ha=place.align,
        va="center",
        fontsize=size,
        color=PALETTE.ink,
        parse_math=False,
        arrowprops={**line, "relpos": ({"left": 0, "center": 0.5, "right": 1}[place.align], 0.5)}
        if far
        else None,
    )
