"""What networks do without a modality, and what nobody could do better."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportReturnType=false

from __future__ import annotations

from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.report.figures.cells import draw_cells, table_size
from benchmark.report.figures.drawing import (
    PAGE,
    TEXT,
    blank,
    check_columns,
    dress,
    handles,
    head,
    legend,
    note,
    title,
    told_apart,
)
from benchmark.report.palette import PALETTE, look
from benchmark.report.pictures import own_style
from synthetic.names import check_known

MOST_SCENARIOS = 12
"""Panels that a figure has room for."""

MOST_SUBSETS = 36
"""Columns that a table of subsets has room for."""

NONE = "none"

_COLUMNS = 4
_LABELS = {"accuracy": "accuracy", "auroc": "AUROC", "log_loss": "log loss [bits]"}

Metric = Literal["accuracy", "auroc", "log_loss"]


@own_style()
def draw_missing(missing: pd.DataFrame, *, metric: Metric = "accuracy", heading: str = "") -> Figure:
    """Return a figure with a panel a scenario: score against the number of modalities that are available.

    A point is the mean over subsets of that size and over networks, its whisker their range over networks.
    The dashed line is the best that anyone can do: the Bayes classifier of the same subsets, each of which
    counts once. A model that was not looked at with all subsets has a dashed line of its own.

    Args:
        missing: one row a network and subset, as in ``missing.csv``; the first `MOST_SCENARIOS` are drawn.
        metric: ``"accuracy"``, ``"auroc"`` or ``"log_loss"``.
        heading: of the figure; none in a paper.

    Raises:
        ValueError: if there are no rows, a column is missing, or there is no such metric.
    """
    check_known("metric", metric, _LABELS)
    columns = (
        "scenario",
        "images",
        "features",
        "model",
        "data_seed",
        "train_seed",
        "available",
        "n_available",
        metric,
        f"best_{metric}",
    )
    check_columns(missing, "The table of missing modalities", columns)
    missing = told_apart(missing)
    cases = list(dict.fromkeys(missing["scenario"]))
    names = list(dict.fromkeys(missing["model"]))
    drawn = cases[:MOST_SCENARIOS]
    n_columns = min(len(drawn), _COLUMNS)
    n_rows = -(-len(drawn) // _COLUMNS)
    figure = blank(max(PAGE * n_columns / _COLUMNS, 3.5), 1.45 * n_rows + 0.75)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for place, panel in enumerate(panels.flat):
        if place >= len(drawn):
            panel.set_axis_off()
            continue
        rows = missing[missing["scenario"] == drawn[place]]
        dress(panel, grid="y")
        _draw_curves(panel, rows, names, metric)
        head(panel, str(drawn[place]), room=figure.get_figwidth() / n_columns)
        if place % n_columns == 0:
            panel.set_ylabel(_LABELS[metric])
    some = any(_has_own_best(case, name) for _, case in missing.groupby("scenario") for name in names)
    axis = "modalities available" + (f" ({_OWN_BEST})" if some else "")
    figure.supxlabel(axis, fontsize=TEXT, color=PALETTE.ink)
    best = Line2D([], [], color=PALETTE.ink, linewidth=1.2, linestyle="--", label="best possible")
    legend(figure, [best, *handles(names)])
    if len(cases) > len(drawn):
        heading = f"{heading or 'Missing modalities'}: {len(drawn)} of {len(cases)} scenarios"
    title(figure, heading)
    return figure


def _draw_curves(panel: Axes, rows: pd.DataFrame, names: list[str], metric: str) -> None:
    best = _best(rows, metric)
    panel.plot(best.index, best.to_numpy(), color=PALETTE.ink, linewidth=1.2, linestyle="--", zorder=4)
    for place, name in enumerate(names):
        mine = rows[rows["model"] == name]
        if not len(mine):
            continue
        by_network = mine.groupby(["n_available", "data_seed", "train_seed"])[metric].mean()
        found = by_network.groupby("n_available").agg(["mean", "min", "max"])
        colour, marker = look(place)
        if _has_own_best(rows, name):
            own = _best(mine, metric)
            panel.plot(own.index, own.to_numpy(), color=colour, linewidth=0.9, linestyle="--", zorder=4)
        x = found.index.to_numpy(float)
        panel.vlines(x, found["min"], found["max"], color=colour, linewidth=0.8, zorder=2)
        panel.plot(
            x,
            found["mean"].to_numpy(),
            color=colour,
            marker=marker,
            markersize=3.2,
            markeredgewidth=0,
            linewidth=0.7,
            zorder=3,
        )
    sizes = sorted(set(rows["n_available"]))
    step = -(-len(sizes) // 9)
    panel.set_xticks(sizes[::step])


_OWN_BEST = "dashed in a model's colour: the best possible with the subsets that it was given"


def _best(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Return the best possible by number of modalities: mean over subsets, however many models have each."""
    by_subset = rows.groupby(["n_available", "available"])[f"best_{metric}"].mean()
    return by_subset.groupby("n_available").mean()


def _has_own_best(rows: pd.DataFrame, name: str) -> bool:
    """Return whether a model lacks subsets that another of the same scenario has."""
    mine = rows.loc[rows["model"] == name, "available"]
    return 0 < mine.nunique() < rows["available"].nunique()


@own_style()
def draw_regret(missing: pd.DataFrame, *, metric: Metric = "log_loss", heading: str = "") -> Figure:
    """Return a figure of the regret of models (rows) for subsets of the modalities (columns).

    The regret is the score that a network falls short of the best possible one, mean over networks and over
    all scenarios with the same modalities; there is a table for each set of modalities.

    Args:
        missing: one row a network and subset, as in ``missing.csv``. Of more than `MOST_SUBSETS` subsets, the
            empty one, single modalities, all but one and all are shown.
        metric: ``"accuracy"``, ``"auroc"`` or ``"log_loss"``.
        heading: of the figure; none in a paper.

    Raises:
        ValueError: if there are no rows, a column is missing, or there is no such metric.
    """
    check_known("metric", metric, _LABELS)
    columns = ("scenario", "model", "available", "n_available", "n_modalities", f"regret_{metric}")
    what = "The table of missing modalities"
    check_columns(missing, what, columns)
    tables = regrets(missing, metric=metric)
    if not tables:
        raise ValueError(f"{what} must have a number in regret_{metric}. Got none: leave the figure out.")
    sizes = [table_size(table) for table in tables.values()]
    width = max(width for width, _ in sizes)
    figure = blank(width, sum(height + 0.2 for _, height in sizes) + 0.15)
    panels = figure.subplots(len(tables), 1, squeeze=False, height_ratios=[height for _, height in sizes])[
        :, 0
    ]
    # A bit is what knowing nothing costs where two classes are balanced: what is worse is as dark as that.
    top = min(max(float(table.max(axis=None)) for table in tables.values()), 1.0)
    for panel, (names, table) in zip(panels, tables.items(), strict=True):
        draw_cells(panel, table, width=width, top=top)
        if len(tables) > 1:
            head(panel, " + ".join(names), room=width)
    some = any(table.attrs["n_left_out"] for table in tables.values())
    kind = _LABELS[metric]
    note(
        figure,
        f"Regret in {kind}: how far the networks fall short of the best possible with what is available."
        + (" Subsets of other sizes are left out." if some else ""),
    )
    title(figure, heading)
    return figure


def regrets(missing: pd.DataFrame, *, metric: Metric = "log_loss") -> dict[tuple[str, ...], pd.DataFrame]:
    """Return mean regrets of models (rows) for subsets (columns, small ones first), by set of modalities.

    Sets of modalities for which there is no regret are left out.
    """
    names = missing["available"].fillna("").astype(str)
    keyed = missing.assign(available=names, modalities=_modalities(missing.assign(available=names)))
    found = {}
    keyed = keyed[keyed[f"regret_{metric}"].notna()]
    for modalities, rows in keyed.groupby("modalities", sort=False):
        subsets = rows.drop_duplicates("available").sort_values("n_available", kind="stable")
        n = len(subsets)
        if n > MOST_SUBSETS:
            size, most = subsets["n_available"], rows["n_modalities"].max()
            subsets = subsets[(size <= 1) | (size >= most - 1)].head(MOST_SUBSETS)
        table = rows.pivot_table(
            index="model", columns="available", values=f"regret_{metric}", aggfunc="mean", sort=False
        )
        table = table.reindex(columns=subsets["available"]).rename(columns={"": NONE})
        table.attrs["n_left_out"] = n - len(subsets)
        found[modalities] = table
    return found


def _modalities(missing: pd.DataFrame) -> pd.Series:
    """Return the modalities of each row's scenario: those of its largest subset."""
    largest = missing.sort_values("n_available", kind="stable").drop_duplicates("scenario", keep="last")
    full = {
        row.scenario: tuple(name for name in row.available.split(" + ") if name)
        for row in largest.itertuples(index=False)
    }
    return missing["scenario"].map(full)
