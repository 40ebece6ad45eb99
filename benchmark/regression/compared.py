"""The two tables of a comparison: what of them counts, and whether they can be compared at all."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from benchmark.statistics.grid import CASE, SEEDS
from benchmark.store import CONTROL, FAILURES, kind_of
from benchmark.table import FIDELITY_GATE, own_truth

METRICS = ("rmse", "rbo")
NO_RESULT = "no result"

Case = tuple[str, ...]
Seeds = tuple[int, ...]

TRUTH_TOLERANCE = 0.01
"""Most by which RMSE of equal shares and chance RBO, which depend on the truth alone, may differ.

Truths that are integrated by Monte Carlo, or that depend on the patients drawn, differ a little by seed.
"""


@dataclass(frozen=True)
class Compared:
    """The rows of a table that can be compared.

    Attributes:
        all_rows: of methods, whatever came of them.
        rows: those that count, against the truth that each method targets.
    """

    all_rows: pd.DataFrame
    rows: pd.DataFrame

    def methods(self) -> list[tuple[str, str]]:
        """Return each model and method that has a score."""
        return list(self._cells)

    def cells(self, key: tuple[str, str], metric: str) -> dict[Case, dict[Seeds, float]]:
        """Return scenario → seeds → value of what counts.

        Args:
            key: model and method.
            metric: one of ``METRICS``.
        """
        place = METRICS.index(metric)
        found: dict[Case, dict[Seeds, float]] = {}
        for (case, seeds), values in self._cells.get(key, {}).items():
            found.setdefault(case, {})[seeds] = values[place]
        return found

    def has(self, key: tuple[str, str], case: Case, seeds: Seeds) -> bool:
        """Return whether a cell has a score that counts."""
        return (case, seeds) in self._cells.get(key, {})

    def targets(self, key: tuple[str, str]) -> frozenset[str]:
        """Return the estimands that a method targets; none if it has no row."""
        return frozenset(facts[0] for facts in self._facts.get(key, {}).values())

    def fate(self, key: tuple[str, str], case: Case, seeds: Seeds) -> str:
        """Return why a cell has no score that counts; of what failed or was skipped, with the reason."""
        if (case, seeds) not in self._facts.get(key, {}):
            return NO_RESULT
        _, status, learnt, error = self._facts[key][case, seeds]
        if status != "done":
            return f"{status}: {error}" if error else status
        if learnt < FIDELITY_GATE:
            return f"the network learnt {learnt:.0%}, less than {FIDELITY_GATE:.0%}"
        return "no score against the truth that it targets"

    def failed(self) -> Iterator[tuple[tuple[str, str], Case, Seeds]]:
        """Yield model and method, scenario and seeds of each result that failed."""
        for key, cells in self._facts.items():
            for (case, seeds), (_, status, *_) in cells.items():
                if status in FAILURES:
                    yield key, case, seeds

    @cached_property
    def cases(self) -> dict[str, set[Case]]:
        """The scenarios of each model."""
        rows = self.all_rows[["model", *CASE]].drop_duplicates().itertuples(index=False, name=None)
        found: dict[str, set[Case]] = {}
        for model, *case in rows:
            found.setdefault(model, set()).add(tuple(case))
        return found

    @cached_property
    def seeds(self) -> dict[str, list[Seeds]]:
        """The seeds of each model."""
        rows = self.all_rows[["model", *SEEDS]].drop_duplicates().itertuples(index=False, name=None)
        found: dict[str, list[Seeds]] = {}
        for model, *seeds in sorted(rows):
            found.setdefault(model, []).append(tuple(seeds))
        return found

    @cached_property
    def _cells(self) -> dict[tuple[str, str], dict[tuple[Case, Seeds], tuple[float, ...]]]:
        rows = self.rows[["model", "method", *CASE, *SEEDS, *METRICS]]
        found: dict[tuple[str, str], dict[tuple[Case, Seeds], tuple[float, ...]]] = {}
        for row in rows.itertuples(index=False, name=None):
            found.setdefault(row[:2], {})[row[2:5], row[5:8]] = row[8:]
        return found

    @cached_property
    def _facts(self) -> dict[tuple[str, str], dict[tuple[Case, Seeds], tuple[str, str, float, str]]]:
        rows = self.all_rows if "error" in self.all_rows else self.all_rows.assign(error="")
        rows = rows[["model", "method", *CASE, *SEEDS, "targets", "status", "learnt", "error"]]
        found: dict[tuple[str, str], dict[tuple[Case, Seeds], tuple[str, str, float, str]]] = {}
        for row in rows.itertuples(index=False, name=None):
            found.setdefault(row[:2], {})[row[2:5], row[5:8]] = row[8:]
        return found


def counting(table: pd.DataFrame, side: str) -> Compared:
    """Return what counts of a table: done, on a model that learnt its decision function, no controls.

    Args:
        table: from ``benchmark.table.scores``.
        side: ``"run"`` or ``"baseline"``, for messages.

    Raises:
        ValueError: if a cell occurs twice, or a baseline is empty.
    """
    rows = table[table["targets"] != CONTROL]
    own = own_truth(rows)
    # A score that is no number counts as missing: it must not pass for no change.
    scored = np.isfinite(own[[*METRICS]].to_numpy(float)).all(axis=1)
    own = own[(own["status"] == "done") & scored & ~(own["learnt"] < FIDELITY_GATE)]
    twins = own[own.duplicated(["model", "method", *CASE, *SEEDS])]
    if len(twins):
        first = twins.iloc[0]
        raise ValueError(
            f"The {side} must have one row a method, scenario and seed. Got two of {first['method']!r} on "
            f"{first['scenario']!r}: leave the rows of one out."
        )
    if side == "baseline" and not len(own):
        raise ValueError("The baseline must have scores of methods. Got none: make it again.")
    return Compared(rows, own)


def check_scenarios(run: Compared, baseline: Compared) -> None:
    """Raise a ValueError unless the run has each model of the baseline, on the same scenarios."""
    here, there = run.cases, baseline.cases
    for model, cases in there.items():
        if model not in here:
            raise ValueError(
                f"The run must explain the models of the baseline. Got none of {model!r}: run the same suite."
            )
        lacking, extra = sorted(cases - here[model]), sorted(here[model] - cases)
        if lacking or extra:
            parts = [
                f"{what} {', '.join(' on '.join(case[:2]) for case in found[:5])}"
                + (f" and {len(found) - 5} more" if len(found) > 5 else "")
                for what, found in (("lacks", lacking), ("has besides", extra))
                if found
            ]
            raise ValueError(
                f"Run and baseline must have the same scenarios. On {model}, the run {' and '.join(parts)}: "
                "run the suite that the baseline was made of, or update the baseline."
            )


def check_truths(run: Compared, baseline: Compared) -> None:
    """Raise a ValueError if what depends on the truth alone differs: the scenario is another one."""
    for told in other_truths(run, baseline):
        raise ValueError(
            f"Run and baseline must have the same truths. {told}. If its definition was changed on purpose, "
            "update the baseline."
        )


def other_truths(run: Compared, baseline: Compared) -> Iterator[str]:
    """Say where what depends on the truth alone differs, one line a quantity: where it differs most."""
    keys = [*CASE, "estimand"]
    columns = {
        "rmse_uniform": "RMSE of equal shares",
        "rbo_chance": "chance RBO",
        "n_modalities": "number of modalities",
    }
    here, there = (side.rows.groupby(keys)[list(columns)].mean() for side in (run, baseline))
    both = there.add_suffix("_there").join(here.add_suffix("_here"), how="inner")
    for column, told in columns.items():
        change = (both[f"{column}_there"] - both[f"{column}_here"]).abs()
        if len(change) and change.max() > TRUTH_TOLERANCE:
            where = change.idxmax()
            yield (
                f"The {where[3]} truth of {where[0]} on {where[1]} differs: its {told} is "
                f"{both.loc[where, f'{column}_there']:.3g} before and "
                f"{both.loc[where, f'{column}_here']:.3g} now"
            )


@dataclass(frozen=True)
class Lost:
    """Results that do not count, of one method on one model and for one reason.

    Attributes:
        key: model and method.
        reason: why; of the first, where others differ in digits.
        places: scenario and seeds of each; none where it is the whole method.
        alike: whether reasons are the same but for digits, such as indices and ids.
    """

    key: tuple[str, str]
    reason: str
    places: tuple[tuple[Case, Seeds], ...] = ()
    alike: bool = False

    def __str__(self) -> str:
        """Return one line: whose, how many, why, and where first."""
        model, method = self.key
        if not self.places:
            return f"{method} on {model}: {self.reason}"
        case, seeds = self.places[0]
        where = f"{case[0]} on {case[1]}, seed {told(seeds)}"
        if len(self.places) == 1:
            return f"{method} on {model}, {where}: {self.reason}"
        digits = "; others differ in digits" if self.alike else ""
        return f"{method} on {model}: {len(self.places)} × {self.reason} (first {where}{digits})"


def missing(run: Compared, baseline: Compared) -> list[Lost]:
    """Return what the baseline has and the run lacks, and whatever failed; alike reasons together."""
    lost: list[Lost] = []
    found: dict[tuple[tuple[str, str], str], dict[tuple[Case, Seeds], str]] = {}

    def lose(key: tuple[str, str], case: Case, seeds: Seeds) -> None:
        reason = run.fate(key, case, seeds)
        found.setdefault((key, kind_of(reason)), {})[case, seeds] = reason

    for key in baseline.methods():
        there, here = baseline.targets(key), run.targets(key)
        if not here:
            lost.append(Lost(key, NO_RESULT))
        elif there != here:
            told_here, told_there = (", ".join(sorted(names)) for names in (here, there))
            lost.append(Lost(key, f"targets {told_here}, but {told_there} before"))
        else:
            known = set(baseline.seeds[key[0]])
            for case in baseline.cells(key, METRICS[0]):
                for seeds in run.seeds[key[0]]:
                    lacked = seeds in known and not baseline.has(key, case, seeds)
                    if not lacked and not run.has(key, case, seeds):
                        lose(key, case, seeds)
    # What the baseline does not know may fail as well.
    for key, case, seeds in run.failed():
        lose(key, case, seeds)
    for (key, _), places in found.items():
        first = next(iter(places.values()))
        lost.append(Lost(key, first, tuple(places), alike=len({*places.values()}) > 1))
    return lost


def versions(run: Compared, baseline: Compared) -> Iterator[tuple[str, str, str]]:
    """Yield each method whose version changed: its name, there, here."""
    sides = [
        side.all_rows.drop_duplicates("method").set_index("method")["method_version"].astype(str)
        for side in (baseline, run)
    ]
    for method, there in sides[0].items():
        here = sides[1].get(method)
        if here is not None and here != there:
            yield str(method), there, str(here)


def told(seeds: Seeds) -> str:
    """Return the seeds of data, training and method: one number where they are the same."""
    return str(seeds[0]) if len(set(seeds)) == 1 else "/".join(map(str, seeds))
