"""The figures of a page: what is drawn of findings, and the words for those who cannot see it."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import pandas as pd

from benchmark.findings import Contest, Findings
from benchmark.findings.answer import shown
from benchmark.report.figure import draw_importances
from benchmark.report.figures import balance, missing
from benchmark.report.figures.cost import draw_cost
from benchmark.report.figures.critical_difference import draw_critical_difference
from benchmark.report.figures.error_parts import draw_error_parts
from benchmark.report.figures.svg import themed_svg
from benchmark.report.pictures import Figure, own_style
from benchmark.store import CONTROL
from benchmark.table import by_images

logger = logging.getLogger(__name__)

MOST_MODELS = 2
"""Models of which figures are drawn; tables hold all."""

MOST_SCENARIOS = 12
"""Scenarios in a figure of truths and estimates."""

MOST_BYTES = 1_500_000
"""Room for all figures of a page."""


class Slot(NamedTuple):
    """A figure in its place on a page.

    Attributes:
        kind: which place: ``critical-difference``, ``error-parts``, ``cost``, ``importances``,
            ``missing-accuracy``, ``missing-regret``, ``balance`` or ``balance-alone``.
        model: whose; empty for a figure of all.
        caption: what stands below it.
        svg: the picture.
    """

    kind: str
    model: str
    caption: str
    svg: str


class _Plan(NamedTuple):
    kind: str
    model: str
    caption: str
    description: str
    draw: Callable[[], Figure]


@own_style()
def draw(findings: Findings) -> tuple[list[Slot], list[str]]:
    """Return the figures of a page, and a line on each that there is no room for or that cannot be drawn."""
    slots, left_out, room = [], [], MOST_BYTES
    models = list(findings.contests)
    for plan in _plans(findings, models[:MOST_MODELS]):
        try:
            svg = themed_svg(plan.draw(), title=plan.caption, description=plan.description)
        except ValueError as error:
            left_out.append(f"Figure {plan.kind} {plan.model}: {error}")
            continue
        except Exception as error:
            logger.warning("The figure %s of %r cannot be drawn.", plan.kind, plan.model, exc_info=True)
            left_out.append(f"Figure {plan.kind} {plan.model}: {type(error).__name__}: {error}")
            continue
        size = len(svg.encode(errors="backslashreplace"))
        if size > room:
            left_out.append(f"Figure {plan.kind} {plan.model}: no room; 'plumbline export' draws it.")
            continue
        room -= size
        slots.append(Slot(plan.kind, plan.model, plan.caption, svg))
    if len(models) > MOST_MODELS:
        left_out.append(
            f"Figures are drawn of the first {MOST_MODELS} models; 'plumbline export --all-models' draws "
            f"those of all {len(models)}."
        )
    return slots, left_out


def _plans(findings: Findings, models: list[str]) -> Iterator[_Plan]:
    for model in models:
        contest = findings.contests[model]
        yield from _of_contest(model, contest)
        board = findings.boards.board(model=model)
        scored = board[(board["targets"] != CONTROL) & board["rmse"].notna()]
        if len(scored["model_calls"].dropna()):
            yield _Plan(
                "cost",
                model,
                f"Error against cost on {model}; the line joins the methods that no other beats in both.",
                f"{len(scored)} methods by calls of the model and RMSE; the leaderboard has the numbers.",
                partial(draw_cost, scored),
            )
        if model == models[0]:  # the largest figure; its like of every model is in the run's folder
            yield from _importances(findings, model, list(scored["method"]))
    yield from _fusion(findings)


def _of_contest(model: str, contest: Contest) -> Iterator[_Plan]:
    if contest.groups is not None:
        ranks = contest.groups.ranks
        yield _Plan(
            "critical-difference",
            model,
            f"Average ranks over scenarios on {model}; a bar joins methods among which no difference "
            "is found (Wilcoxon's test, Holm's correction), which does not mean that they are equal.",
            f"From {ranks.index[0]} with an average rank of {ranks.iloc[0]:.1f} to {ranks.index[-1]} with "
            f"{ranks.iloc[-1]:.1f}, in {len(contest.groups.groups)} groups; the table above has the ranks.",
            partial(draw_critical_difference, contest.groups),
        )
    if len(contest.parts):
        yield _Plan(
            "error-parts",
            model,
            f"The method's own error, on the true decision function, and its error on {model}.",
            f"{len(contest.parts)} methods; the table above has the numbers.",
            partial(draw_error_parts, contest.parts),
        )


def _importances(findings: Findings, model: str, methods: list[str]) -> Iterator[_Plan]:
    shares = findings.shares[findings.shares["model"] == model]
    if not len(shares):
        return
    cases = list(dict.fromkeys(shares["scenario"]))
    shares = shares[shares["scenario"].isin(cases[:MOST_SCENARIOS])]
    names = [name for name in methods if name in set(shares["method"])]
    some = f"the first {MOST_SCENARIOS} of {len(cases)}" if len(cases) > MOST_SCENARIOS else f"{len(cases)}"
    yield _Plan(
        "importances",
        model,
        f"Truth of gradients (bars) and mean estimates on {model} with their spread over seeds, in {some} "
        "scenarios.",
        _told(shares, names),
        partial(draw_importances, shares, title="", methods=names, labels={}),
    )


def _told(shares: pd.DataFrame, names: list[str]) -> str:
    """Return what the best method says of the first scenario, as an example of what is drawn."""
    first = shares[shares["scenario"] == shares["scenario"].iloc[0]]
    mine = first[first["method"] == names[0]] if names else first[:0]
    told = ", ".join(
        f"{row['modality']} {shown(row['mean'])} (truth {shown(row['truth'])})"
        for row in mine.to_dict(orient="records")
    )
    example = f" {names[0]} on {mine['scenario'].iloc[0]}: {told}." if len(mine) else ""
    return f"A panel a scenario, a marker a method and modality.{example}"


def _fusion(findings: Findings) -> Iterator[_Plan]:
    if len(findings.missing):
        rows = _first_scenarios(by_images(findings.missing), missing.MOST_SCENARIOS)
        yield _Plan(
            "missing-accuracy",
            "",
            "Accuracy against the number of modalities at hand; the line is the best that is possible.",
            "A panel a scenario, a line a model; the table above has the means.",
            partial(missing.draw_missing, rows),
        )
        if len(missing.regrets(findings.missing)):
            yield _Plan(
                "missing-regret",
                "",
                "Regret in log loss [bits] of each model for each subset of modalities.",
                "A row a model, a column a subset.",
                partial(missing.draw_regret, findings.missing),
            )
    if len(findings.balance):
        rows = _first_scenarios(by_images(findings.balance), balance.MOST_SCENARIOS)
        yield _Plan(
            "balance",
            "",
            "Share of each modality in the data (bars) and in each network (markers).",
            "A panel a scenario; the table above has the numbers.",
            partial(balance.draw_balance, rows),
        )
        if len(findings.balance["alone"].dropna()):
            yield _Plan(
                "balance-alone",
                "",
                "What a modality achieves alone against its share in the network.",
                "A panel a model, a point a network and modality; the table above has the means.",
                partial(balance.draw_alone, findings.balance),
            )


def _first_scenarios(table: pd.DataFrame, most: int) -> pd.DataFrame:
    return table[table.groupby("scenario", sort=False).ngroup() < most]
