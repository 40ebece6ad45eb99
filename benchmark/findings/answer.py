"""The answer in sentences: which method to believe on a model, and how surely that is known."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark import models
from benchmark.findings.contest import CONFIDENCE, Contest

_MOST_NAMED = 4
_LEVEL = 0.05


@dataclass(frozen=True)
class Answer:
    """What a reader takes away of one model.

    Attributes:
        model: what was explained.
        first: the method of least error among those compared; empty where nothing was.
        is_alone: whether every other method can be told from it by the test that is reported.
        headline: the answer in one sentence, with its uncertainty.
        details: what it rests on and how far it reaches, a sentence each.
    """

    model: str
    first: str
    is_alone: bool
    headline: str
    details: tuple[str, ...]


def answer(contest: Contest, board: pd.DataFrame) -> Answer:
    """Return the answer for one model.

    Args:
        contest: from ``contest.hold``.
        board: of the same model, each method against the truth that it targets.
    """
    if not contest.methods:
        headline = f"Nothing can be said of methods on {_place(contest)}: {contest.no_groups}."
        return Answer(contest.model, "", is_alone=False, headline=headline, details=())
    first = contest.methods[0]
    pairs = contest.scenario_pairs if contest.over == "scenarios" else contest.pairs
    if len(contest.methods) > 1 and pairs is None:
        told = (
            f"On {_place(contest)}, {first} stands first with {_error(contest, first)}, but nothing says how "
            "surely: that takes two seeds or more, or two scenarios."
        )
        return Answer(contest.model, first, is_alone=False, headline=told, details=_details(contest, board))
    undecided = contest.undecided(pairs)
    if len(contest.methods) == 1:
        told = f"On {_place(contest)}, {first} alone was scored: {_error(contest, first)}."
    elif undecided:
        told = (
            f"On {_place(contest)}, no single method stands apart: {first} has {_error(contest, first)}, and "
            f"{_names(undecided)} cannot be told from it {_over(contest)}."
        )
    else:
        second = contest.methods[1]
        told = (
            f"On {_place(contest)}, {first} has the least error of {len(contest.methods)} methods: "
            f"{_error(contest, first)}, less than {second} by {_gap(pairs, first, second)}; every other "
            f"method can be told from it {_over(contest)}."
        )
    alone = not undecided and len(contest.methods) > 1
    return Answer(contest.model, first, is_alone=alone, headline=told, details=_details(contest, board))


def _details(contest: Contest, board: pd.DataFrame) -> tuple[str, ...]:
    found = [
        (
            "Each method is scored against the truth that it targets; RMSE is of shares of importance over "
            "modalities, pooled over scenarios and seeds."
        )
    ]
    row = board[board["method"] == contest.methods[0]]
    if len(row) and math.isfinite(row["rmse_uniform"].iloc[0]):
        uniform = shown(row["rmse_uniform"].iloc[0])
        found.append(f"Equal shares for all modalities would have an RMSE of {uniform} there.")
    pairs = contest.scenario_pairs if contest.over == "scenarios" else contest.pairs
    undecided = contest.undecided(pairs)
    apart = [name for name in contest.methods[1:] if name not in undecided] if pairs is not None else []
    if undecided and apart:
        found.append(f"{_names(apart)} {'is' if len(apart) == 1 else 'are'} less accurate than it.")
    if contest.over == "seeds":
        found.append(_on_other_scenarios(contest))
    elif len(contest.methods) > 1:
        found.append(
            "There is one seed, and so no interval over seeds: another training could turn the order. The "
            f"interval says what other scenarios like these {contest.n_scenarios} would do."
        )
    if contest.left_out:
        found.append(
            f"Not compared, for want of scores on every case: "
            f"{_listed([f'{name} ({why})' for name, why in contest.left_out.items()])}."
        )
    return tuple(found)


def _on_other_scenarios(contest: Contest) -> str:
    n_pairs = len(contest.methods) * (len(contest.methods) - 1) // 2
    if contest.scenario_pairs is None:
        return "Whether the order holds on other scenarios is not known: that takes two or more, and a test."
    if n_pairs * 2.0 ** (1 - contest.n_scenarios) > _LEVEL:
        return (
            f"Whether the order holds on other scenarios like these cannot be decided: with "
            f"{contest.n_scenarios} scenarios, Wilcoxon's test cannot tell {len(contest.methods)} methods "
            "apart, however far apart they are."
        )
    undecided = contest.undecided(contest.scenario_pairs)
    if not undecided:
        return (
            "It holds on other scenarios like these, too (Wilcoxon's test over scenarios, Holm's correction)."
        )
    return (
        f"On other scenarios like these it is less sure: {_names(undecided)} cannot be told from "
        f"{contest.methods[0]} (Wilcoxon's test over {contest.n_scenarios} scenarios, Holm's correction)."
    )


def _place(contest: Contest) -> str:
    cases = f"{contest.n_scenarios} scenario{'' if contest.n_scenarios == 1 else 's'}"
    if contest.model == models.ORACLE:
        return f"the true decision functions of these {cases} (no network was trained)"
    return f"the trained {contest.model} networks of these {cases}"


def _over(contest: Contest) -> str:
    n = contest.n_seeds if contest.over == "seeds" else contest.n_scenarios
    test = "paired t tests" if contest.over == "seeds" else "Wilcoxon's tests"
    return (
        f"over {n} {contest.over} ({test}, Holm's correction for {_pairs(contest)} pairs, level {_LEVEL:g})"
    )


def _pairs(contest: Contest) -> int:
    return len(contest.methods) * (len(contest.methods) - 1) // 2


def _error(contest: Contest, method: str) -> str:
    row = contest.intervals[contest.intervals["method"] == method].iloc[0]
    if not math.isfinite(row["low"]):
        return f"an RMSE of {shown(row['value'])}"
    return (
        f"an RMSE of {shown(row['value'])} ({100 * CONFIDENCE:.0f} % interval over {contest.over} "
        f"{shown(row['low'])} to {shown(row['high'])})"
    )


def _gap(pairs: pd.DataFrame | None, first: str, second: str) -> str:
    if pairs is None:
        return "an unknown distance"
    row = pairs[(pairs["better"] == first) & (pairs["worse"] == second)]
    return shown(abs(row["difference"].iloc[0])) if len(row) else shown(0.0)


def _names(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    if len(names) <= _MOST_NAMED:
        return _listed(names)
    return f"{len(names)} other methods ({', '.join(names[: _MOST_NAMED - 1])}, …)"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def shown(value: float) -> str:
    """Return an error with three decimals, or four where it is small.

    Example:
        >>> shown(0.1234), shown(0.00421), shown(0.0)
        ('0.123', '0.0042', '0')
    """
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    return f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.4f}"


def warnings(fidelity: pd.DataFrame, facts: Mapping[str, int]) -> tuple[str, ...]:
    """Return what a reader must know before the answer: networks that learnt too little, what failed.

    Args:
        fidelity: from ``table.fidelity``.
        facts: status → how many results.
    """
    found = []
    low = fidelity[~fidelity["counts"].astype(bool)] if len(fidelity) else fidelity
    if len(low):
        names = list(dict.fromkeys(f"{row.model} on {row.scenario}" for row in low.itertuples()))
        found.append(
            f"{len(low)} of {len(fidelity)} networks learnt too little and do not count: {_names(names)}."
        )
    lost = {status: n for status, n in facts.items() if status not in ("done", "skipped") and n}
    if lost:
        told = ", ".join(f"{n} {status}" for status, n in lost.items())
        n = sum(lost.values())
        what = "result is" if n == 1 else "results are"
        found.append(f"{n} {what} missing ({told}): see failures.")
    return tuple(found)
