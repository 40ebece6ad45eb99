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
        told = f"{self.method} on {self.model}: {'; '.join(parts)}"
        return told if self.same_version else f"{told}; its version changed, too"


_NOTED = 0.01


def value_changes(run: pd.DataFrame, baseline: pd.DataFrame) -> tuple[ValueChange, ...]:
    """Return the methods whose raw values, signs or model calls differ, on results that both sides have.

    Args:
        run: a row a result and modality: ``COLUMNS``, ``method_version``, and ``model_calls``, NaN where they
            are not known.
        baseline: likewise.
    """
    keys = [*_RESULT, "modality"]
    both = baseline.merge(run, on=keys, suffixes=("_there", "_here"))
    found = []
    for key, rows in both.groupby(["model", "method"], sort=True):
        model, method = key  # pyright: ignore[reportGeneralTypeIssues]
        place = rows.groupby([*CASE, *SEEDS], sort=False).ngroup().to_numpy()
        change, flipped, scale = _changes(rows, place)
        first = rows.drop_duplicates([*CASE, *SEEDS])
        calls = first[["model_calls_there", "model_calls_here"]].dropna()
        means = tuple(float(value) for value in calls.mean())
        other_calls = bool((calls["model_calls_there"] != calls["model_calls_here"]).any())
        changed = change > TOLERANCE
        if changed.any() or other_calls:
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
                    same_version=bool((first["method_version_there"] == first["method_version_here"]).all()),
                )
            )
    return tuple(found)


def _changes(
    rows: pd.DataFrame, place: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return, a result, the largest change, whether all signs are flipped, and the ratio of sizes."""
    n = int(place.max()) + 1
    here, there = (rows[f"value_{side}"].to_numpy(float) for side in ("here", "there"))
    signs = [rows[f"signed_{side}"].to_numpy(float) for side in ("here", "there")]
    known = np.isfinite(signs[0]) & np.isfinite(signs[1])
    signed_here, signed_there = (np.where(known, values, 0.0) for values in signs)

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
