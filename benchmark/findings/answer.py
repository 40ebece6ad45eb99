"""The answer in sentences: which method to believe on a model, and how surely that is known."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark import models
from benchmark.findings.contest import CONFIDENCE, Contest
from benchmark.findings.lost import FLAGGED
from benchmark.statistics import MARGIN

_MOST_NAMED = 4
_LEVEL = 0.05


@dataclass(frozen=True)
class Answer:
    """What a reader takes away of one model.

    Attributes:
        model: what was explained.
        first: the method of least error among those compared; empty where nothing was.
        is_alone: whether every other method errs more by the test that is reported.
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
        told = f"Nothing can be said of which method errs less on {_place(contest)}: {contest.no_groups}."
        return Answer(contest.model, "", is_alone=False, headline=told, details=_left_out(contest))
    first = contest.methods[0]
    lead = f"On {_place(contest)}, "
    pairs = contest.main_pairs
    doubts = _doubts(contest, pairs)
    alone = False
    if len(contest.methods) == 1:
        told = f"{lead}{first} alone was scored: {_error(contest, first)}."
    elif pairs is None:
        told = (
            f"{lead}{first} stands first with {_error(contest, first)}, but nothing says how surely: that "
            "takes two seeds or more, or two scenarios."
        )
    elif doubts:
        told = (
            f"{lead}no single method stands apart: {first} has {_error(contest, first)}, and {doubts} "
            f"{_over(contest)}."
        )
    else:
        alone = True
        second = contest.methods[1]
        gap = f"{_error(contest, first)}, less than {second} by {_gap(pairs, first, second)}"
        told = (
            f"{lead}{first} has the least error of {len(contest.methods)} methods: {gap}; every other method "
            f"is worse{_nearby(contest, pairs)} {_over(contest)}."
        )
        if len(contest.methods) == 2:
            nearby = ", though by less than the margin," if _nearby(contest, pairs) else ""
            told = f"{lead}{first} has {gap}; {second} is worse{nearby} {_over(contest)}."
    return Answer(contest.model, first, is_alone=alone, headline=told, details=_details(contest, board))


def _doubts(contest: Contest, pairs: pd.DataFrame | None, *, it: str = "it") -> str:
    """Return which methods cannot be said to err more than the first, and why; empty if all do."""
    equal, undecided = contest.equal(pairs), contest.undecided(pairs)
    found = []
    if equal:
        found.append(f"{_names(equal)} {'is' if len(equal) == 1 else 'are'} within {MARGIN:g} of {it}")
    if undecided:
        found.append(f"of {_names(undecided)} it is not decided whether {_they(undecided)} more")
    if contest.contrary and pairs is contest.scenario_pairs:
        which = "which errs" if len(contest.contrary) == 1 else "which err"
        names = f"{_names(contest.contrary)}, {which} less by ranks and more in the mean"
        found.append(f"mean and ranks disagree on {names}")
    return ", and ".join(found)


def _details(contest: Contest, board: pd.DataFrame) -> tuple[str, ...]:
    found = [
        (
            "Each method is scored against the truth that it targets; RMSE is of shares of importance over "
            "modalities, pooled over scenarios and seeds."
        )
    ]
    if math.isfinite(contest.equal_shares):
        uniform = shown(contest.equal_shares)
        found.append(f"Equal shares for all modalities would have an RMSE of {uniform} there.")
    if _n_dropped(contest):
        found.append(_dropped(contest, board))
    found += _worse(contest)
    found += _differences(contest)
    if len(contest.methods) > 1:
        found.append(_on_other_scenarios(contest) if contest.over == "seeds" else _of_one_seed(contest))
    return (*found, *_left_out(contest))


def _they(names: Sequence[str]) -> str:
    return "it errs" if len(names) == 1 else "they err"


def _nearby(contest: Contest, pairs: pd.DataFrame | None) -> str:
    """Return which worse methods are so by too little to matter; empty if none are."""
    near = [name for name, it in contest.standings(pairs).items() if it.is_worse and it.is_within]
    return f" ({_names(near)} by less than {MARGIN:g})" if near else ""


def _worse(contest: Contest) -> Iterator[str]:
    """Say which methods err more than the first, where not all others do."""
    pairs = contest.main_pairs
    contrary = contest.contrary if pairs is contest.scenario_pairs else ()
    found = contest.standings(pairs)
    worse = [name for name, it in found.items() if it.is_worse and name not in contrary]
    if worse and len(worse) < len(found):
        are = "is" if len(worse) == 1 else "are"
        yield f"{_names(worse)} {are} worse than it{_nearby(contest, pairs)}."


def _differences(contest: Contest) -> Iterator[str]:
    """Say how much more than the first the methods may err of which that is not decided."""
    pairs = contest.main_pairs
    found = contest.standings(pairs)
    names = contest.undecided(pairs)
    told = [
        f"{name} {signed(found[name].difference)} ({signed(found[name].low)} to {signed(found[name].high)})"
        for name in names[:_MOST_NAMED]
    ]
    if told:
        more = f"; {len(names) - len(told)} more are in the table" if len(names) > len(told) else ""
        yield (
            f"Not decided is not equal. RMSE minus that of {contest.methods[0]}, with the "
            f"{100 * CONFIDENCE:.0f} % interval of this pair alone over {contest.over}: "
            f"{'; '.join(told)}{more}."
        )


def _n_dropped(contest: Contest) -> int:
    return contest.choice.n_scored - len(contest.choice.cells)


def _dropped(contest: Contest, board: pd.DataFrame) -> str:
    """Return what the comparison leaves out, and whether the leaderboard, which does not, says otherwise."""
    n_dropped = _n_dropped(contest)
    told = (
        f"{n_dropped} of {contest.choice.n_scored} cases (a scenario with a seed) "
        f"{'is' if n_dropped == 1 else 'are'} left out: compared is where each of these methods was scored, "
        f"on equally many seeds of each scenario. The leaderboard pools all cases that a method has"
    )
    ranked = board.loc[board["rank"] == 1, "method"].tolist()
    other = ranked and contest.methods[0] not in ranked
    return f"{told}{f', and has {_listed(ranked)} first' if other else ''}."


def _of_one_seed(contest: Contest) -> str:
    if contest.n_scenarios == 1:
        return "There is one scenario with one seed: another training, or scenario, could turn the order."
    return (
        "There is one seed of each scenario, and so no interval over seeds: another training could turn the "
        f"order. The interval says what other scenarios like these {contest.n_scenarios} would do."
    )


def _left_out(contest: Contest) -> tuple[str, ...]:
    if not contest.left_out:
        return ()
    names = _listed([f"{name} ({why})" for name, why in contest.left_out.items()])
    return (f"Not compared, for want of scores on every case: {names}.",)


def _on_other_scenarios(contest: Contest) -> str:
    if contest.n_scenarios == 1:
        return "Whether the order holds on other scenarios is not known: that takes two or more."
    if contest.scenario_pairs is None:
        return f"Whether the order holds on other scenarios is not known: {contest.no_groups}."
    first = contest.methods[0]
    if _n_compared(contest) * 2.0 ** (1 - contest.n_scenarios) > _LEVEL:
        them = f"{len(contest.methods)} methods" if len(contest.methods) > 2 else "two methods"
        return (
            f"Whether the order holds on other scenarios like these cannot be decided: with "
            f"{contest.n_scenarios} scenarios, Wilcoxon's test cannot tell {them} apart, however far apart "
            "they are."
        )
    doubts = _doubts(contest, contest.scenario_pairs, it=first)
    test = f"Wilcoxon's test over {contest.n_scenarios} scenarios{_correction(contest)}"
    if doubts:
        return f"On other scenarios like these it is less sure: {doubts} ({test})."
    if contest.undecided(contest.pairs) or contest.equal(contest.pairs):
        return f"On other scenarios like these, every other method is worse than {first} ({test})."
    return f"It holds on other scenarios like these, too ({test})."


def _place(contest: Contest) -> str:
    n = contest.n_scenarios
    these = {0: "", 1: " of this scenario"}.get(n, f" of these {n} scenarios")
    if _n_dropped(contest) and n:
        scenarios = f"{n} scenario{'' if n == 1 else 's'}"
        these = f" of {scenarios} ({len(contest.choice.cells)} of {contest.choice.n_scored} cases)"
    if contest.model == models.ORACLE:
        what = "function" if n == 1 else "functions"
        return f"the true decision {what}{these} (no network was trained)"
    return f"the trained {contest.model} networks{these}"


def _over(contest: Contest) -> str:
    n = contest.n_seeds if contest.over == "seeds" else contest.n_scenarios
    test = "paired t test" if contest.over == "seeds" else "Wilcoxon's test"
    if _n_compared(contest) > 1:
        test += "s"
    elif contest.over == "seeds":
        test = f"a {test}"
    return f"over {n} {contest.over} ({test}{_correction(contest)}, level {_LEVEL:g})"


def _correction(contest: Contest) -> str:
    n = _n_compared(contest)
    return f", corrected for {n} comparisons with the best" if n > 1 else ""


def _n_compared(contest: Contest) -> int:
    """Return how many comparisons with the best there are; see ``statistics.beside_the_best``."""
    return len(contest.methods) - 1


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
    if not len(row):
        return shown(0.0)
    found = row.iloc[0]
    if not math.isfinite(found["low"]):
        return shown(-found["difference"])
    ends = f"{shown(-found['high'])} to {shown(-found['low'])}"
    return f"{shown(-found['difference'])} ({100 * CONFIDENCE:.0f} % interval of the difference {ends})"


def _names(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    if len(names) <= _MOST_NAMED:
        return _listed(names)
    return f"{len(names)} other methods ({', '.join(names[: _MOST_NAMED - 1])}, …)"


def _some(names: Sequence[str]) -> str:
    """Return names, all of them or the first few and how many more there are."""
    n = _MOST_NAMED - 1
    return _listed([*names[:n], f"{len(names) - n} more"] if len(names) > _MOST_NAMED else names)


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


def signed(value: float) -> str:
    """Return a difference of errors with its sign.

    Example:
        >>> signed(0.0123), signed(-0.00421), signed(0.0)
        ('+0.012', '−0.0042', '0')
    """
    if not math.isfinite(value) or value == 0:
        return shown(value)
    return f"{'−' if value < 0 else '+'}{shown(abs(value))}"


def warnings(fidelity: pd.DataFrame, facts: Mapping[str, int]) -> tuple[str, ...]:
    """Return what a reader must know before the answer: networks that learnt too little, what failed.

    Args:
        fidelity: from ``table.fidelity``.
        facts: status → how many results, of those that failed, were skipped or carry a flag.
    """
    found = []
    low = fidelity[~fidelity["counts"].astype(bool)] if len(fidelity) else fidelity
    if len(low):
        # What all have alike needs no words.
        told = [key for key in ("images", "features") if len(set(fidelity[key])) > 1]
        places = low[["model", "scenario", *told]].drop_duplicates().itertuples(index=False, name=None)
        names = [
            f"{model} on {scenario}" + (f" ({', '.join(place)})" if place else "")
            for model, scenario, *place in places
        ]
        found.append(
            f"{len(low)} of {len(fidelity)} networks learnt too little and do not count: {_some(names)}."
        )
    if n := facts.get(FLAGGED, 0):
        what = "result is" if n == 1 else "results are"
        found.append(f"{n} {what} scored though the method does not hold what it claims: see failures.")
    lost = {status: n for status, n in facts.items() if status not in (FLAGGED, "skipped") and n}
    if lost:
        told = ", ".join(f"{n} {status}" for status, n in lost.items())
        n = sum(lost.values())
        what = "result is" if n == 1 else "results are"
        found.append(f"{n} {what} missing ({told}): see failures.")
    return tuple(found)
