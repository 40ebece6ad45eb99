"""What of findings goes into a paper: every figure and table that there is data for, and why others lack."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import pandas as pd

from benchmark.findings import Contest, Findings
from benchmark.report import latex
from benchmark.report.figures import balance, missing
from benchmark.report.figures.cost import draw_cost
from benchmark.report.figures.critical_difference import draw_critical_difference
from benchmark.report.figures.error_parts import draw_error_parts
from benchmark.report.figures.estimands import draw_estimands
from benchmark.report.figures.heat_map import draw_heat_map
from benchmark.report.figures.intervals import draw_intervals
from benchmark.report.figures.truth_and_estimate import draw_importances
from benchmark.report.pictures import Figure
from benchmark.report.sections import in_order
from benchmark.report.standing import has_rank
from benchmark.report.text import level_words
from benchmark.statistics import intervals
from benchmark.store import CONTROL
from benchmark.table import by_images
from synthetic.names import printable

Made = TypeVar("Made")

_LONGEST_NAME = 60
_NOTHING = "nothing was scored"
_NO_MISSING = "no run has a missing.csv: networks without modalities were not looked at"
_NO_REGRET = "missing.csv has no value in 'regret_log_loss'"
_NO_BALANCE = "no run has a balance.csv: shares of the data and of networks were not compared"


class Item(NamedTuple, Generic[Made]):
    """A figure or a table, or why there is none.

    Attributes:
        name: of its file, without suffix.
        make: makes it; None where it cannot be.
        reason: why not.
    """

    name: str
    make: Callable[[], Made] | None
    reason: str = ""


def figures(found: Findings, *, most_models: int | None = None) -> Iterator[Item[Figure]]:
    """Return every figure, one after the other: those of each model, then those of all together.

    Args:
        found: the findings.
        most_models: of how many models figures are drawn, the first ones; None for all.
    """
    names = file_names(found.contests)
    drawn = list(names)[:most_models]
    for model in drawn:
        yield from _of_model(found, model, names[model], found.contests[model])
    if len(drawn) < len(names):
        left = ", ".join(list(names)[len(drawn) :])
        reason = f"figures are drawn of the first {len(drawn)} models; --all-models draws those of all"
        yield Item(f"figures of {left}", None, reason)
    if len(found.missing):
        for suffix, rows in _in_parts(by_images(found.missing), missing.MOST_SCENARIOS):
            yield Item(f"missing-accuracy{suffix}", partial(missing.draw_missing, rows))
        draw = partial(missing.draw_regret, found.missing) if missing.regrets(found.missing) else None
        yield Item("missing-regret", draw, "" if draw else _NO_REGRET)
    else:
        yield Item("missing-accuracy, missing-regret", None, _NO_MISSING)
    if not len(found.balance):
        yield Item("balance, balance-alone", None, _NO_BALANCE)
        return
    for suffix, rows in _in_parts(by_images(found.balance), balance.MOST_SCENARIOS):
        yield Item(f"balance{suffix}", partial(balance.draw_balance, rows))
    alone = len(found.balance["alone"].dropna()) > 0
    draw = partial(balance.draw_alone, found.balance) if alone else None
    yield Item("balance-alone", draw, "" if alone else "balance.csv has no value in 'alone'")


def _of_model(found: Findings, model: str, name: str, contest: Contest) -> Iterator[Item[Figure]]:
    board = found.boards.board(model=model)
    if contest.methods:
        yield Item(
            f"intervals-{name}",
            lambda: draw_intervals(
                _intervals(found, contest), board, explained=rbo_note(found.scores, board)
            ),
        )
    else:
        yield Item(f"intervals-{name}", None, contest.no_groups)
    groups = contest.groups
    draw = None if groups is None else partial(draw_critical_difference, groups)
    yield Item(f"critical-difference-{name}", draw, contest.no_groups)
    draw = partial(draw_error_parts, contest.parts) if len(contest.parts) else None
    yield Item(f"error-parts-{name}", draw, contest.no_parts)
    scored = board[(board["targets"] != CONTROL) & board["rmse"].notna()]
    draw = partial(draw_cost, scored) if len(scored["model_calls"].dropna()) else None
    yield Item(f"cost-{name}", draw, "" if draw else "no method has a score and a number of model calls")
    for what, errors in (("heat-map", found.heat), ("estimands", found.estimands)):
        rows = _rows_of(found, errors, model)
        if not len(rows):
            yield Item(f"{what}-{name}", None, _NOTHING)
        elif what == "heat-map":
            yield Item(f"{what}-{name}", partial(draw_heat_map, rows))
        else:
            yield Item(f"{what}-{name}", partial(draw_estimands, rows, found.targets))
    shares = found.shares[found.shares["model"] == model]
    if not len(shares):
        yield Item(f"importances-{name}", None, f"no run has an importances.csv with {model}")
    methods = [method for method in scored["method"] if method in set(shares["method"])]
    for suffix, rows in _in_parts(shares, balance.MOST_SCENARIOS):
        draw = partial(draw_importances, rows, title="", methods=methods, labels={})
        yield Item(f"importances-{name}{suffix}", draw)


def _intervals(found: Findings, contest: Contest) -> pd.DataFrame:
    """Return intervals of all metrics: findings hold those of the RMSE alone."""
    rows = contest.choice.rows(found.scores)  # the cells that the report compares
    return intervals(rows, over=contest.over, model=contest.model, gaps="drop-case")


def rbo_note(scores: pd.DataFrame, board: pd.DataFrame) -> str:
    """Return what must stand beside every RBO: which it is, p, n and the chance level.

    Args:
        scores: from ``table.scores``.
        board: of one model, with ``rbo_chance``.
    """
    sizes = sorted({int(n) for n in scores["n_modalities"].dropna()})
    chance = board.loc[board["targets"] != CONTROL, "rbo_chance"].dropna()
    if not sizes or not len(chance):
        return ""
    p = f" = {1 - 1 / sizes[0]:.2f}" if len(sizes) == 1 else ""
    return (
        f"RBO: extrapolated, p = 1 − 1/n{p}, n = {', '.join(map(str, sizes))} modalities; a random order "
        f"scores {level_words(chance)}."
    )


def _rows_of(found: Findings, errors: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return the rows of a model, in the order of a page, without columns that it has nothing in."""
    if not len(errors) or model not in errors.index.get_level_values("model"):
        return pd.DataFrame()
    rows = errors.xs(model, level="model")
    return rows.reindex([name for name in in_order(found, model) if name in rows.index]).dropna(
        axis=1, how="all"
    )


def _in_parts(table: pd.DataFrame, size: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Return the rows of so many scenarios at a time, each with the end of a name that tells them apart."""
    if not len(table):
        return
    number = table.groupby("scenario", sort=False).ngroup() // size
    several = len(set(number)) > 1
    for part in dict.fromkeys(number):
        yield f"-{part + 1}" if several else "", table.loc[number == part]


def tables(found: Findings, *, made_by: str) -> Iterator[Item[str]]:
    """Return every table as LaTeX, one after the other.

    Args:
        found: the findings.
        made_by: the command, for the comment in each.
    """
    for model, name in file_names(found.contests).items():
        board, on = found.boards.board(model=model), latex.escape(model)
        controls = [method for method, target in found.targets.items() if target == CONTROL]
        ranked = set(board.loc[has_rank(board), "method"])
        yield Item(
            f"leaderboard-{name}",
            partial(
                latex.leaderboard_latex,
                board,
                made_by=made_by,
                caption=f"Methods on {on}, each against the truth that it targets. "
                + latex.escape(rbo_note(found.scores, board)),
                label=f"tab:leaderboard-{name}",
            ),
        )
        captions = {
            "estimands": f"Pooled RMSE on {on} against every truth; underlined: the one that is targeted.",
            "heat-map": f"Pooled RMSE on {on} in every scenario, against the truth that is targeted.",
        }
        for what, errors in (("estimands", found.estimands), ("heat-map", found.heat)):
            rows = _rows_of(found, errors, model)
            make = partial(
                latex.matrix_latex,
                rows,
                made_by=made_by,
                caption=captions[what],
                label=f"tab:{what}-{name}",
                controls=controls,
                without_rank=[method for method in found.targets if method not in ranked],
                targets=found.targets if what == "estimands" else None,
            )
            yield Item(f"{what}-{name}", make) if len(rows) else Item(f"{what}-{name}", None, _NOTHING)
    yield from _missing_tables(found, made_by)


def _missing_tables(found: Findings, made_by: str) -> Iterator[Item[str]]:
    if not len(found.missing):
        yield Item("missing", None, _NO_MISSING)
        return
    by_modalities = missing.regrets(found.missing)
    if not by_modalities:
        yield Item("missing", None, _NO_REGRET)
    for place, (modalities, table) in enumerate(by_modalities.items(), 1):
        suffix = f"-{place}" if len(by_modalities) > 1 else ""
        names = latex.escape(", ".join(modalities))
        yield Item(
            f"missing{suffix}",
            partial(
                latex.matrix_latex,
                table.T,
                made_by=made_by,
                caption=f"Regret in log loss (bits) of each network, by the modalities available of {names}.",
                label=f"tab:missing{suffix}",
                best="row",
            ),
        )


def file_names(models: Iterable[str]) -> dict[str, str]:
    """Return model → its name as part of a file's name and of a label: no two the same, in whatever case.

    Example:
        >>> file_names(["late(x=1)", "late[x=1]"])
        {'late(x=1)': 'late-x-1', 'late[x=1]': 'late-x-1-2'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for model in models:
        name, number = file_name(model), 1
        while name.casefold() in taken:
            number += 1
            name = f"{file_name(model)}-{number}"
        taken.add(name.casefold())
        found[model] = name
    return found


def file_name(name: str) -> str:
    """Return a name as part of a file's name, on every system.

    Example:
        >>> file_name("contrastive(tokens=False)")
        'contrastive-tokens-False'
    """
    return re.sub(r"[^\w.]+", "-", printable(name)).strip("-.")[:_LONGEST_NAME] or "model"
