"""Panels of truths: shares by estimand, and what every subset of the modalities allows at best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmark.report.figure import COLOURS, name_shown
from benchmark.report.pictures import Axes, SubFigure
from benchmark.report.scenario_words import LARGEST_ZERO, shown_subsets
from synthetic.types import Truth

SMALL, TEXT, HEADING = 7, 8, 9
"""Sizes of letters, in points."""


def draw_truths(part: SubFigure, truths: Mapping[str, Truth], names: list[str]) -> None:
    """Draw a panel an estimand, a bar a modality: order, colours and scale are the same everywhere."""
    panels = part.subplots(1, len(truths), sharey=True, squeeze=False)[0]
    shares = [share for truth in truths.values() if truth.informative for share in truth.modalities.values()]
    top = np.ceil(10 * max(shares, default=1.0) - LARGEST_ZERO) / 10
    for panel, (estimand, truth) in zip(panels, truths.items(), strict=True):
        panel.set_title(estimand, fontsize=HEADING, loc="left", parse_math=False)
        panel.set(xlim=(0, 1.4 * top), ylim=(len(names) - 0.4, -0.6))  # room for the numbers
        panel.set_xticks([0, top], ["0", f"{top:g}"], fontsize=SMALL)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
        if truth.informative:
            _draw_shares(panel, truth, names)
        else:
            panel.set_facecolor("0.95")
            panel.text(0.5, 0.5, "none", transform=panel.transAxes, ha="center", va="center", color="0.4")
    shown = [name_shown(name) for name in names]
    panels[0].set_yticks(np.arange(len(names)), shown, fontsize=TEXT, parse_math=False)
    head(
        part,
        "True shares of importance, with standard errors where they are not exact; none: all values are 0",
    )


def head(part: SubFigure, text: str) -> None:
    """Write the heading of a part, as it stands: names may hold dollar signs."""
    width = part.bbox.width / part.get_figure(root=True).dpi
    margin = 0.1 / width  # a tenth of an inch, whatever the part's width
    part.suptitle(text, fontsize=HEADING, x=margin, ha="left", parse_math=False)


def _draw_shares(panel: Axes, truth: Truth, names: list[str]) -> None:
    for place, name in enumerate(names):
        share, error = truth.modalities[name], truth.standard_error[name]
        panel.barh(place, share, height=0.75, **_style(place))
        if error > LARGEST_ZERO:
            panel.errorbar(share, place, xerr=error, fmt="none", ecolor="black", elinewidth=1, capsize=1.5)
        text, colour = ("0", "0.6") if share < LARGEST_ZERO else (f"{share:.3f}".removeprefix("0"), "black")
        panel.annotate(
            text,
            (share + error, place),
            xytext=(2.5, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=colour,
        )


def _style(place: int) -> dict[str, Any]:
    """Return how a modality's bar looks; hatched where there are more of them than colours."""
    colour = COLOURS[place % len(COLOURS)]
    if place < len(COLOURS):
        return {"color": colour}
    return {"facecolor": colour, "edgecolor": "white", "hatch": "////"}


def draw_subsets(part: SubFigure, truth: Truth, names: list[str]) -> None:
    """Draw a dot a subset, and below it who is in it."""
    accuracy = truth.subsets["accuracy"]
    players = accuracy.players
    subsets = shown_subsets(accuracy)
    values = [accuracy[subset] for subset in subsets]
    above, below = part.subplots(
        2, 1, sharex=True, squeeze=True, height_ratios=[1.2, 0.17 * max(len(players), 1)]
    )
    places = np.arange(len(subsets))
    chance, best = accuracy[()], accuracy[players]
    for value, label in ((best, "all"), (chance, "chance")):
        above.axhline(value, color="0.5", linewidth=0.8, linestyle="--", zorder=1)
        above.annotate(
            f"{label} {value:.3f}",
            (1, value),
            xycoords=("axes fraction", "data"),
            fontsize=SMALL,
            color="0.3",
            va="center",
            xytext=(3, 0),
            textcoords="offset points",
        )
    above.vlines(places, chance, values, color="0.8", linewidth=1, zorder=1)
    above.plot(places, values, "o", color="black", markersize=5, zorder=4)  # above the numbers' white ground
    if len(subsets) <= 20:
        for place, value in zip(places[1:-1], values[1:-1], strict=True):
            above.annotate(
                f"{value:.3f}".removeprefix("0"),
                (place, value),
                xytext=(0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=SMALL,
                bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5},
            )
    span = max(best - chance, 0.01)
    above.set(ylim=(chance - 0.08 * span, best + 0.2 * span), xlim=(-0.6, len(subsets) - 0.4))
    above.set_ylabel("accuracy", fontsize=TEXT)
    above.tick_params(axis="y", labelsize=SMALL)
    above.tick_params(axis="x", length=0)
    above.spines[["top", "right", "bottom"]].set_visible(False)
    for row, player in enumerate(players):
        colour = COLOURS[names.index(player) % len(COLOURS)]
        inside = np.array([player in subset for subset in subsets])
        below.plot(places[~inside], np.full((~inside).sum(), row), "o", color="0.9", markersize=5)
        below.plot(places[inside], np.full(inside.sum(), row), "o", color=colour, markersize=6)
    below.set_ylim(len(players) - 0.4, -0.6)
    shown = [name_shown(name) for name in players]
    below.set_yticks(range(len(players)), shown, fontsize=TEXT, parse_math=False)
    below.tick_params(length=0)
    below.set_xticks([])
    below.spines[:].set_visible(False)
    some = "" if len(subsets) == 2 ** len(players) else ": none, one, all but one, all"
    head(part, f"The best possible accuracy, knowing some modalities{some}")
