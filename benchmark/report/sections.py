"""What the sections of a page show: findings cut and ordered for tables, so that a template only loops."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from benchmark.findings import Findings, Run
from benchmark.findings.answer import shown as error
from benchmark.store import CONTROL

MOST_HEAT_CELLS = 20_000
MOST_NETWORKS = 300
MOST_FAILURES = 300
MOST_SUBSETS = 400
MOST_BALANCE = 400

_DEEPEST = 0.5
_SWATCHES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5)


def view(findings: Findings) -> dict[str, Any]:
    """Return what the template loops over, section by section."""
    return {
        "heat": _heat(findings),
        "swatches": [(f"{value:g}", depth(value)) for value in _SWATCHES],
        "agreement": _agreement(findings),
        "estimands": _estimands(findings),
        "fidelity": _cut(findings.fidelity.sort_values("learnt", kind="stable"), MOST_NETWORKS),
        "failures": _cut(findings.failures, MOST_FAILURES),
        "subsets": _cut(_subsets(findings), MOST_SUBSETS),
        "balance": _cut(findings.balance_means, MOST_BALANCE),
        "runs": [_run_facts(run) for run in findings.runs],
    }


def board_of(
    findings: Findings, show: Callable[[Mapping[str, object]], dict[str, str]]
) -> dict[str, list[dict[str, str]]]:
    """Return the rows of the unfiltered leaderboard, methods apart from controls."""
    rows = findings.boards.board().to_dict(orient="records")
    return {
        "methods": [show(row) for row in rows if not row["is_control"]],
        "controls": [show(row) for row in rows if row["is_control"]],
    }


def depth(value: float) -> str:
    """Return how deeply a cell is coloured, 0 to 1: as the root, which keeps small errors apart.

    Example:
        >>> depth(0.125), depth(3.0)
        ('0.50', '1.00')
    """
    return "0" if math.isnan(value) else f"{math.sqrt(min(value, _DEEPEST) / _DEEPEST):.2f}"


def _cut(frame: pd.DataFrame, most: int) -> dict[str, Any]:
    """Return the first rows, and how many there are."""
    return {"rows": frame.head(most).to_dict(orient="records"), "n": len(frame), "most": most}


def _heat(findings: Findings) -> dict[str, Any]:
    frame = findings.heat
    if not len(frame):
        return {"columns": [], "groups": [], "n_left_out": 0}
    order = [*findings.boards.main_models, *findings.boards.models]
    groups, room, n_left_out = [], MOST_HEAT_CELLS, 0
    for model in dict.fromkeys(order):
        rows = list(_heat_rows(findings, frame, model))
        if len(rows) * len(frame.columns) > room:
            n_left_out += 1
            continue
        room -= len(rows) * len(frame.columns)
        if rows:
            groups.append((model, rows))
    return {"columns": [str(name) for name in frame.columns], "groups": groups, "n_left_out": n_left_out}


def _agreement(findings: Findings) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return each method with its mean rank over networks, and its errors on them."""
    found = findings.agreement
    means = found.ranks.mean(axis=1)
    return [
        (
            str(method),
            f"{means[method]:.1f}",
            [(error(value) if not math.isnan(value) else "", depth(value)) for value in values.tolist()],
        )
        for method, values in found.errors.iterrows()
    ]


def _heat_rows(
    findings: Findings, frame: pd.DataFrame, model: str
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    if model not in frame.index.get_level_values(0):
        return
    here = frame.loc[model]
    for method in in_order(findings, model):
        if method in here.index:
            values = here.loc[method].to_numpy(float).tolist()
            yield method, [(error(value) if not math.isnan(value) else "", depth(value)) for value in values]


def in_order(findings: Findings, model: str) -> list[str]:
    """Return the methods of a model as its leaderboard has them, then what the leaderboard leaves out."""
    board = list(findings.boards.board(model=model)["method"])
    return [*board, *(name for name in findings.targets if name not in board)]


def _estimands(findings: Findings) -> dict[str, Any]:
    frame = findings.estimands
    if not len(frame):
        return {"columns": [], "groups": []}
    groups = []
    for model in findings.boards.models:
        if model not in frame.index.get_level_values(0):
            continue
        here, rows = frame.loc[model], []
        for method in in_order(findings, model):
            target = findings.targets[method]
            if method not in here.index or target == CONTROL:
                continue
            values = here.loc[method]
            rows.append((method, target, _tracked(values, target)))
        groups.append((model, rows))
    return {"columns": [str(name) for name in frame.columns], "groups": groups}


def _tracked(values: pd.Series, target: str) -> list[dict[str, Any]]:
    least = values.min()
    return [
        {
            "text": error(value) if not math.isnan(value) else "",
            "is_target": name == target,
            "is_least": bool(value == least),
        }
        for name, value in values.items()
    ]


def _subsets(findings: Findings) -> pd.DataFrame:
    frame = findings.subset_means
    return frame.reset_index() if len(frame) else frame


def title_of(run: Run) -> str:
    """Return a run's title, with the features that it was told to make: runs may differ in nothing else."""
    features = run.manifest.get("features")
    return f"{run.title}, features {features}" if isinstance(features, str) and features else run.title


def _run_facts(run: Run) -> dict[str, Any]:
    """Return what to know to make a run again, in words."""
    manifest = run.manifest
    versions, seeds, machine = (_object(manifest.get(name)) for name in ("versions", "seeds", "machine"))
    facts = {
        "folder": run.folder.as_posix(),
        "commit": manifest.get("commit"),
        "python": manifest.get("python"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        "seeds": "; ".join(f"{name.replace('_', ' ')} {_few(values)}" for name, values in seeds.items()),
        "results": manifest.get("n_results"),
        "data (md5)": ", ".join(f"{name} {md5}" for name, md5 in _object(manifest.get("data_md5")).items()),
        "machine": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items() if value),
    }
    return {
        "title": title_of(run),
        "command": run.command,
        "facts": {name: _plain(value) for name, value in facts.items() if value},
    }


def _object(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _few(values: object) -> str:
    if not isinstance(values, list):
        return _plain(values)
    told = [str(value) for value in values]
    return ", ".join(told) if len(told) <= 10 else f"{told[0]} to {told[-1]} ({len(told)})"
