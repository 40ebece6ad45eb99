"""The critical-difference diagram: average ranks, and among which methods no difference is found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.report.figures.drawing import PAGE, SMALL, blank, dress, list_rows, note, shown, title
from benchmark.report.palette import PALETTE
from benchmark.report.pictures import own_style
from benchmark.statistics import Groups

MOST_IN_ELBOWS = 14
"""Methods up to which names stand at the ends of elbows, as Demšar draws them; more get a row each."""

_BAR = {"color": PALETTE.series[0], "linewidth": 2.2, "solid_capstyle": "butt"}


@own_style()
def draw_critical_difference(groups: Groups, *, heading: str = "", width: float = PAGE) -> Figure:
    """Return the diagram of Demšar (2006), "Statistical comparisons of classifiers over multiple data sets".

    Methods stand at their average rank, 1 the best; a bar joins those among which no difference is found.
    Pairs are tested one by one with Holm's correction (see ``statistics.critical_difference``), so that there
    is no single critical difference to show. With many methods the diagram lies on its side: a row a method,
    the bars to the right of the ranks.

    Args:
        groups: from ``statistics.critical_difference``.
        heading: of the figure; none in a paper.
        width: inches.
    """
    names = [str(name) for name in groups.ranks.index]
    ranks = groups.ranks.to_numpy(float)
    spans = [(names.index(group[0]), names.index(group[-1])) for group in groups.groups]
    if len(names) <= MOST_IN_ELBOWS:
        figure = _with_elbows(names, ranks, spans, width)
    else:
        figure = _with_rows(names, ranks, spans, width)
    title(figure, heading)
    note(figure, _caption(groups))
    return figure


def _caption(groups: Groups) -> str:
    test = groups.friedman
    p = f"p = {test.p:.2g}" if test.p >= 1e-4 else "p < 0.0001"
    bars = "Bars join methods among which no difference is found (pairs, Holm's correction)."
    return (
        f"Average rank over {test.n_scenarios} scenarios, 1 is best. Friedman's test of equal ranks: χ² = "
        f"{test.statistic:.1f}, {p}. {bars if groups.groups else 'All methods differ (Holm).'}"
    )


def levels(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Return a lane for each span of places, so that no two in one lane touch; few lanes.

    Example:
        >>> levels([(0, 2), (1, 4), (3, 5)])
        [0, 1, 0]
    """
    ends: list[int] = []
    found = []
    for start, end in spans:
        lane = next((lane for lane, last in enumerate(ends) if last < start), len(ends))
        ends[lane : lane + 1] = [end]
        found.append(lane)
    return found


def _with_elbows(names: list[str], ranks: np.ndarray, spans: list[tuple[int, int]], width: float) -> Figure:
    n = len(names)
    lanes = levels(spans)
    n_left = (n + 1) // 2
    top = 0.5 + 0.28 * (max(lanes, default=-1) + 1)  # where names begin, below the bars
    depth = top + n_left * 0.5
    figure = blank(width, 0.32 * depth + 0.75)
    panel = figure.subplots()
    _draw_axis(panel, n)
    margin = 0.012 * (n - 1)
    for place, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        is_left = place < n_left
        depth_here = top + 0.5 * (place if is_left else n - 1 - place)
        end = 1 - margin if is_left else n + margin
        panel.plot(
            [rank, rank, end],
            [0, depth_here, depth_here],
            color=PALETTE.muted,
            linewidth=0.7,
            zorder=1,
            clip_on=False,
        )
        panel.annotate(
            f"{shown(name)}  {rank:.2f}" if is_left else f"{rank:.2f}  {shown(name)}",
            (end, depth_here),
            xytext=(-2 if is_left else 2, 0),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="center",
            fontsize=SMALL,
            color=PALETTE.ink,
            parse_math=False,
            annotation_clip=False,
        )
    panel.plot(ranks, np.zeros(n), "o", color=PALETTE.ink, markersize=2.6, markeredgewidth=0, zorder=3)
    reach = 0.006 * (n - 1)
    for (first, last), lane in zip(spans, lanes, strict=True):
        at = 0.3 + 0.28 * lane
        panel.plot([ranks[first] - reach, ranks[last] + reach], [at, at], zorder=2, **_BAR)
    panel.set_ylim(depth, -0.15)
    return figure


def _draw_axis(panel: Axes, n: int) -> None:
    dress(panel)
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.spines["top"].set_visible(True)
    panel.spines["top"].set_position(("data", 0))
    panel.spines["top"].set_color(PALETTE.ink)
    panel.xaxis.tick_top()
    panel.set_xlim(1, n)
    panel.set_xticks(_whole_ranks(n))
    panel.tick_params(axis="x", color=PALETTE.ink)
    panel.set_yticks([])


def _whole_ranks(n: int) -> list[int]:
    step = 1 if n <= 20 else 5
    return [1, *(rank for rank in range(2, n + 1) if rank % step == 0)]


def _with_rows(names: list[str], ranks: np.ndarray, spans: list[tuple[int, int]], width: float) -> Figure:
    lanes = levels(spans)
    n = len(names)
    figure = blank(width, 0.13 * n + 0.9)
    n_lanes = max(lanes, default=0) + 1
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, min(0.06 * n_lanes + 0.05, 0.5)])
    dress(left, grid="x")
    left.hlines(range(n), 1, ranks, color=PALETTE.line, linewidth=0.6, zorder=1)
    left.plot(ranks, range(n), "o", color=PALETTE.ink, markersize=3.4, markeredgewidth=0, zorder=3)
    left.set_xlim(1 - 0.02 * n, n)
    left.set_xticks(_whole_ranks(n))
    left.set_xlabel("average rank")
    list_rows(left, names)
    for place, rank in enumerate(ranks):
        left.annotate(
            f"{rank:.1f}",
            (rank, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL - 1,
            color=PALETTE.muted,
        )
    dress(right)
    right.spines[:].set_visible(False)
    right.set_xticks([])
    right.tick_params(axis="y", length=0, labelleft=False)
    right.set_xlim(-0.7, n_lanes - 0.3)
    for (first, last), lane in zip(spans, lanes, strict=True):
        right.plot([lane, lane], [first - 0.25, last + 0.25], **_BAR)
    return figure
