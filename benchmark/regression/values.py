"""Whether methods still return the numbers that they returned: signs and scale included, which no score sees.

Scores are made of shares: of values clipped at 0 and divided by their sum. A method whose signs are flipped
before absolute values are taken, that explains another class, logits instead of probabilities, or fewer
samples, may score as before. So raw values, signed means and model calls are held against the baseline's too,
where both have the same seeds and so should have the same numbers.
"""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.statistics.grid import CASE, SEEDS

TOLERANCE = 1e-4
"""Most by which a value may differ, in units of the largest of its result, and be the same but for rounding.

Measured with other instruction sets of the processor, see results/reference/gate.md.
"""

_RESULT = ["model", "method", *CASE, *SEEDS]
COLUMNS = (*_RESULT, "modality", "value", "signed")
"""What is read of a table of importances."""


@dataclass(frozen=True)
class ValueChange:
    """What became of the raw values of one method on one model.

    Attributes:
        model: what was explained.
        method: whose values.
        n: results that both sides have.
        n_changed: those of them with other values.
        median: over those, the largest change of a modality, in units of the result's largest value.
        largest: the largest of these.
        n_flipped: results with all signs flipped.
        scale: sum of absolute values, now over before; median of the results that changed.
        calls: model calls a result, before and now, where they differ.
        same_version: whether the method says that it is the same.
        one_sided: what is known on one side only, so that it cannot be compared; one line each.
    """

    model: str
    method: str
    n: int
    n_changed: int
    median: float
    largest: float
    n_flipped: int
    scale: float
    calls: tuple[float, float] | None
    same_version: bool
    one_sided: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line: how many, by how much, and in which way."""
        parts = []
        if self.n_changed:
            parts.append(
                f"{self.n_changed} of {self.n} results, by {self.median:.2g} of the largest value (median; "
                f"{self.largest:.2g} at most)"
            )
        if self.n_flipped:
            parts.append(f"all signs flipped in {self.n_flipped}")
        if self.n_changed and abs(self.scale - 1) > _NOTED:
            parts.append(f"sizes × {self.scale:.3g}")
        if self.calls is not None:
            parts.append(f"model calls {self.calls[0]:,.0f} → {self.calls[1]:,.0f}")
        parts += self.one_sided
        told = f"{self.method} on {self.model}: {'; '.join(parts)}"
        return told if self.same_version else f"{told}; its version changed, too"


_NOTED = 0.01


def value_changes(run: pd.DataFrame, baseline: pd.DataFrame) -> tuple[ValueChange, ...]:
    """Return the methods whose raw values, signs or model calls differ, on results that both sides have.

    What is known of such a result on one side only counts as changed, too.

    Args:
        run: a row a result and modality: ``COLUMNS``, ``method_version``, and ``model_calls``, NaN where they
            are not known; without this column, or the baseline's, calls are not compared. Of a result without
            values, one row without a modality.
        baseline: likewise.
    """
    sides = [side.assign(modality=side["modality"].fillna("")) for side in (baseline, run)]
    firsts = [side.drop_duplicates(_RESULT).drop(columns=["modality", "value", "signed"]) for side in sides]
    results = (
        firsts[0]
        .merge(firsts[1], on=_RESULT, suffixes=_SIDES)
        .sort_values(["model", "method"], kind="stable", ignore_index=True)
    )
    values = [side[list(COLUMNS)][side["modality"] != ""] for side in sides]
    rows = values[0].merge(values[1], on=[*_RESULT, "modality"], how="outer", suffixes=_SIDES)
    rows = rows.merge(results[_RESULT].assign(place=results.index), on=_RESULT).sort_values("place")
    found = []
    for key, its in results.groupby(["model", "method"], sort=True):
        model, method = key  # pyright: ignore[reportGeneralTypeIssues]
        begin, end = np.searchsorted(rows["place"], [its.index[0], its.index[-1] + 1])
        part = rows.iloc[begin:end]
        place = part["place"].to_numpy() - its.index[0]
        change, flipped, scale = _changes(part, place, len(its))
        calls = its.reindex(columns=[f"model_calls{side}" for side in _SIDES])
        one_sided = _one_sided(
            part, place, len(its), calls if all("model_calls" in it for it in firsts) else None
        )
        calls = calls.dropna()
        means = tuple(float(value) for value in calls.mean())
        other_calls = bool((calls["model_calls_there"] != calls["model_calls_here"]).any())
        changed = change > TOLERANCE
        if changed.any() or other_calls or one_sided:
            found.append(
                ValueChange(
                    str(model),
                    str(method),
                    n=len(change),
                    n_changed=int(changed.sum()),
                    median=float(np.median(change[changed])) if changed.any() else 0.0,
                    largest=float(change.max()),
                    n_flipped=int((flipped & changed).sum()),
                    scale=float(np.median(scale[changed])) if changed.any() else 1.0,
                    calls=(means[0], means[1]) if other_calls else None,
                    same_version=bool((its["method_version_there"] == its["method_version_here"]).all()),
                    one_sided=one_sided,
                )
            )
    return tuple(found)


_SIDES = ("_there", "_here")


def _one_sided(
    rows: pd.DataFrame, place: NDArray[np.intp], n: int, calls: pd.DataFrame | None
) -> tuple[str, ...]:
    """Say, a line each, what of the ``n`` results is known on one side only."""

    def some(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.bincount(place, flags, n) > 0

    values = [np.isfinite(rows[f"value{side}"].to_numpy(float)) for side in _SIDES]
    signs = [np.isfinite(rows[f"signed{side}"].to_numpy(float)) for side in _SIDES]
    there, here = map(some, values)
    both = there & here
    others = both & some(values[0] != values[1])
    unsigned, signed = (both & some(one & ~two & values[0] & values[1]) for one, two in (signs, signs[::-1]))
    told = [
        (there & ~here, "no raw values now in {}"),
        (here & ~there, "no raw values before in {}"),
        (others, "other modalities in {}"),
        (unsigned, "no longer returns local attributions in {}: signs are not compared"),
        (signed, "returned no local attributions before in {}: signs are not compared"),
    ]
    if calls is not None:
        before, now = (np.isfinite(calls[name].to_numpy(float)) for name in calls)
        told += [
            (before & ~now, "model calls unknown now in {}"),
            (now & ~before, "model calls unknown before in {}"),
        ]
    return tuple(line.format(f"{flags.sum()} of {n}") for flags, line in told if flags.any())


def _changes(
    rows: pd.DataFrame, place: NDArray[np.intp], n: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return, a result, the largest change, whether all signs are flipped, and the ratio of sizes.

    Of what both sides know; see `_one_sided` for the rest.
    """

    def known(name: str) -> list[NDArray[np.float64]]:
        both = [rows[f"{name}_{side}"].to_numpy(float) for side in ("here", "there")]
        finite = np.isfinite(both[0]) & np.isfinite(both[1])
        return [np.where(finite, values, 0.0) for values in both]

    (here, there), (signed_here, signed_there) = known("value"), known("signed")

    def most(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.zeros(n)
        np.maximum.at(found, place, values)
        return found

    size = np.maximum(most(np.maximum(np.abs(here), np.abs(there))), np.finfo(float).tiny)
    change = np.maximum(most(np.abs(here - there)), most(np.abs(signed_here - signed_there))) / size
    # Flipped before the mean of absolute values, or in the value itself; of signs that are beyond rounding.
    loud = np.maximum(most(np.abs(signed_there)), most(-there)) > TOLERANCE * size
    inside = (most(np.abs(signed_here + signed_there)) <= TOLERANCE * size) & loud
    outside = most(np.abs(here + there)) <= TOLERANCE * size
    sums = [np.bincount(place, np.abs(values), n) for values in (here, there)]
    scale = np.divide(sums[0], sums[1], out=np.full(n, np.inf), where=sums[1] > 0)
    return change, inside | outside, scale
