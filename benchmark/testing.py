"""Accuracy as one line of a test: ``assert_accuracy(my_method, rmse=0.05)``."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

import methods
from benchmark import session
from benchmark.pytest_plugin import chosen_seeds, chosen_suite
from benchmark.request import Request
from benchmark.store import FAILURES
from benchmark.table import leaderboard, own_truth
from methods.api import Method
from synthetic import Scenario
from synthetic.names import check_known, printable

_WORST = 3


def assert_accuracy(
    method: Callable[..., object] | Method | str,
    suite: str | None = None,
    *,
    rmse: float | None = None,
    rbo: float | None = None,
    estimand: str = "gradient",
    scenarios: Iterable[str | Path | Scenario] = (),
    n_seeds: int | None = None,
    n_patients: int | None = None,
    data_root: Path | None = None,
) -> None:
    """Run a suite on one method alone, and fail a test if the method is less accurate than it should be.

    Seeds are fixed, so that the verdict is the same each time; results go to a temporary folder. Under
    pytest, ``--plumbline-suite`` and ``--plumbline-seeds`` set what a test leaves open.

    Args:
        method: as in ``benchmark.evaluate``, or the name of a known one.
        suite: which scenarios and models; ``"smoke"`` (the true decision function, seconds) by default.
        rmse: highest pooled RMSE that passes.
        rbo: lowest mean RBO that passes.
        estimand: the truth that a function targets; a ``Method`` or a name has its own.
        scenarios: instead of the suite's: names, TOML files or ``synthetic.Scenario`` objects.
        n_seeds: instead of the suite's.
        n_patients: instead of the suite's; fewer are faster, and noisier.
        data_root: folder with the OrganMNIST files.

    Raises:
        AssertionError: if a figure is not reached, or the method fails or is skipped somewhere; the worst
            scenarios are named.
        ValueError: if neither figure is given, or one is out of range, or an argument names nothing.

    Example:
        >>> assert_accuracy("gradient", scenarios=["paper-F4"], rmse=0.02, rbo=0.99)
        >>> def silent(model, samples, rng):
        ...     return dict.fromkeys(model.modalities, 1.0)
        >>> assert_accuracy(silent, scenarios=["paper-F4"], rmse=0.1)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        AssertionError: silent is less accurate than it should be on suite smoke...
    """
    _check_limits(rmse, rbo)
    check_known("estimand", estimand, methods.TARGETS)
    name = suite or chosen_suite() or "smoke"
    own: tuple[Method, ...] = ()
    known: tuple[str, ...] = ()
    if isinstance(method, str):
        label = methods.full_name(method)
        known = (label,)
    else:
        own = (methods.as_method(method, estimand=estimand),)
        label = own[0].name
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        request = Request.from_options(
            suite=name,
            methods=known or None,
            scenarios=scenarios,
            data_root=data_root,
            n_seeds=chosen_seeds() if n_seeds is None else n_seeds,
            n_patients=n_patients,
            out=Path(folder),
            own_methods=own,
        )
        # No method but the one that is asked about.
        outcome = session.run(replace(request, method_names=known))
    rows = outcome.scores[outcome.scores["method"] == label]
    lost = [it for it in outcome.results if it.job["method"] == label and it.status != "done"]
    __tracebackhide__ = True
    if lost:
        what = "failed" if lost[0].status in FAILURES else "was skipped"
        last = lost[0].reason or lost[0].status
        raise AssertionError(
            f"{label} {what} in {len(lost)} of {len(lost) + _n_done(rows)} results of suite {name}, first on "
            f"{lost[0].job['scenario']}, {lost[0].job['model']}, seed {lost[0].job['data_seed']}: {last}"
        )
    if own_truth(rows).empty:
        raise ValueError(
            f"The 'estimand' of {label} must have a truth of modalities in a scenario of suite {name}. "
            "Got none: there is nothing to assert."
        )
    told = [line for row in _board(rows) for line in _shortfalls(row, rows, rmse, rbo)]
    if told:
        raise AssertionError(
            f"{label} is less accurate than it should be on suite {name}\n" + "\n".join(told)
        )


def _check_limits(rmse: float | None, rbo: float | None) -> None:
    if rmse is None and rbo is None:
        raise ValueError("An accuracy must be asked for: give 'rmse', 'rbo' or both. Got neither.")
    for name, value in (("rmse", rmse), ("rbo", rbo)):
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"The {name!r} must be in [0, 1]. Got {value}.")


def _n_done(rows: pd.DataFrame) -> int:
    done = rows[rows["status"] == "done"]
    return len(done.drop_duplicates(["scenario", "images", "features", "model", "data_seed"]))


def _board(rows: pd.DataFrame) -> list[dict[str, float]]:
    """Return one entry a model: what the leaderboard would show."""
    return leaderboard(rows).to_dict(orient="records")


def _shortfalls(
    row: dict[str, float], rows: pd.DataFrame, rmse: float | None, rbo: float | None
) -> list[str]:
    """Return lines that say by how much a figure is missed, and where it is worst; none if it is reached."""
    own = own_truth(rows[rows["model"] == row["model"]])
    lines = []
    for name, limit, sign in (("rmse", rmse, 1), ("rbo", rbo, -1)):
        value = row[name]
        # NaN, where no network learnt enough for its results to count, is no accuracy.
        if limit is None or (not math.isnan(value) and sign * value <= sign * limit):
            continue
        label, must = ("pooled RMSE", "at most") if name == "rmse" else ("mean RBO", "at least")
        lines.append(f"  {label} on {row['model']}: {value:.4f}, must be {must} {limit:g}; worst on")
        means = own.groupby(["scenario", "images"], sort=False)[name].mean()
        worst = means.sort_values(ascending=sign < 0, kind="stable").head(_WORST)
        names = [str(scenario) for scenario in worst.index.get_level_values("scenario")]
        width = max(map(len, names))
        lines += [
            f"    {printable(scenario):<{width}}  {number:.4f}"
            for scenario, number in zip(names, worst.to_numpy(), strict=True)
        ]
    return lines
