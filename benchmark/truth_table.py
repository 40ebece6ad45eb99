"""All truths of many scenarios as one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path

import pandas as pd

import synthetic
from synthetic import Scenario
from synthetic.truth import Precision, Truths
from synthetic.types import Truth

COLUMNS = (
    "scenario",
    "images",
    "estimand",
    "what",
    "name",
    "share",
    "standard_error",
    "raw",
    "raw_standard_error",
    "unit",
    "method",
)


def truth_table(
    scenarios: Iterable[Scenario],
    executor: Executor,
    *,
    data_root: Path | None = None,
    fresh: bool = False,
    precision: Precision | None = None,
    report: Callable[[str], None] = lambda _name: None,
) -> pd.DataFrame:
    """Return the truths of scenarios, one row a scenario, estimand and modality, pair or summary.

    Args:
        scenarios: in the order of the rows.
        executor: where the truths are worked out.
        data_root: folder with the OrganMNIST files, where a scenario needs them.
        fresh: work everything out anew instead of recalling it from the cache.
        precision: standard error to reach where there is no closed form.
        report: called with the name of each finished scenario.

    Returns:
        Columns as in ``COLUMNS``. ``what`` is ``modality`` (``share`` is its part, ``raw`` its value in
        ``unit``), ``pair`` (``raw`` is the interaction, with its sign) or ``summary``. Where every value of
        an estimand is 0, its shares are empty.
    """
    futures = [executor.submit(_rows, scenario, data_root, fresh, precision) for scenario in scenarios]
    rows = []
    for future in futures:
        found = future.result()
        rows += found
        report(str(found[0]["scenario"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(
    scenario: Scenario,
    data_root: Path | None,
    fresh: bool,  # noqa: FBT001 - sent to another process by position
    precision: Precision | None,
) -> list[dict[str, object]]:
    found = synthetic.truths(scenario, data_root=data_root)
    if fresh or precision is not None:
        found = Truths(
            found.decision,
            found.law,
            found.labels,
            found.missing,
            precision=precision,
            use_cache=not fresh,
        )
    rows = []
    for estimand, truth in found.items():
        base = {
            "scenario": scenario.name,
            "images": scenario.source,
            "estimand": estimand,
            "unit": truth.unit,
            "method": truth.method,
        }
        rows += [{**base, **values} for values in _values(truth)]
    return rows


def _values(truth: Truth) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {
            "what": "modality",
            "name": name,
            "share": _rounded(share) if truth.informative else None,
            "standard_error": _rounded(truth.standard_error[name]),
            "raw": _rounded(truth.raw[name]),
            "raw_standard_error": _rounded(truth.raw_standard_error[name]),
        }
        for name, share in truth.modalities.items()
    ]
    rows += [
        {
            "what": "pair",
            "name": " × ".join(pair),
            "raw": _rounded(value),
            "raw_standard_error": _rounded(truth.pairs_standard_error[pair]),
        }
        for pair, value in truth.pairs.items()
    ]
    rows += [
        {"what": "summary", "name": name, "raw": _rounded(value)} for name, value in truth.summary.items()
    ]
    return rows


def _rounded(value: float) -> float:
    """Return a value to six places: far below every standard error, and the same on every machine."""
    return round(float(value), 6) + 0.0
