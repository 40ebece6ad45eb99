"""A baseline on disk: the scores that a check needs, what they were made of, and why they were accepted."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportReturnType=false

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from benchmark.events import LOG, last_line
from benchmark.regression.values import COLUMNS
from benchmark.statistics.grid import CASE, SEEDS
from benchmark.store import CONTROL, RESULTS, write_json
from benchmark.table import failures, own_truth
from synthetic.cache import replacing

_NAMES = ("scenario", "images", "features", "model", "method", "method_version", "targets", "estimand")
_NUMBERS = ("rmse", "rmse_uniform", "rbo", "rbo_chance", "learnt", "informative", "n_modalities")
_COLUMNS = (*_NAMES, *SEEDS, "status", *_NUMBERS)
_FACTS = ("suite", "images", "features", "seeds", "settings", "data_md5", "commit", "versions")
TOLD = ("n_patients", "n_explained", "image_size", "definition")
"""What a scenario was made of, and must be the same for a check."""
_CALLS = "model_calls"
_VALUES = "importances.csv"


@dataclass(frozen=True)
class Scored:
    """A table of scores as it lies on disk.

    Attributes:
        path: of the table.
        table: as ``benchmark.table.scores`` made it, or as much of it as a baseline holds.
        manifest: what it was made with; empty where there is none beside the table.
        raw_values: what methods returned, as `regression.value_changes` reads it; None where no table of it
            lies beside, or one that an earlier version wrote.
    """

    path: Path
    table: pd.DataFrame
    manifest: Mapping[str, Any]
    raw_values: pd.DataFrame | None = None


def read(path: Path, *, side: Literal["run", "baseline"] = "run") -> Scored:
    """Return the scores of a run or baseline.

    Args:
        path: its folder, or its ``scores.csv``.
        side: what it is, for messages.

    Raises:
        ValueError: if there is no such file, or it is no table of scores, or a later run in the folder did
            not come to its end.
    """
    file = path / "scores.csv" if path.is_dir() else path
    if file.is_file():
        check_ended(file.parent)
    try:
        # Names are text, whatever they look like: a method may be called 'NA'.
        table = pd.read_csv(
            file,
            low_memory=False,  # a column has one type, however long it is
            dtype=dict.fromkeys((*_NAMES, "status", "error"), str),
            keep_default_na=False,
            na_values={name: [""] for name in (*_NUMBERS, "accuracy", "auroc", "r2", "kendall_tau_b")},
        )
    except FileNotFoundError as error:
        raise ValueError(_why_none(path, side)) from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"The scores in {file} cannot be read: the file is empty. {_MAKE[side]}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"The scores in {file} cannot be read: {error}.") from error
    lacking = [name for name in _COLUMNS if name not in table]
    if lacking:
        raise ValueError(
            f"The table {file} must have the columns of a scores.csv. It lacks {', '.join(lacking)}."
        )
    if not len(table):
        raise ValueError(f"The table {file} must hold results. Got none. {_MAKE[side]}")
    for name in (*SEEDS, *_NUMBERS):
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise ValueError(f"The column {name!r} of {file} must hold numbers. Got text: is it damaged?")
    manifest = read_manifest(file.with_name("manifest.json"))
    return Scored(file, table, manifest, _read_values(file.with_name(_VALUES), table))


_MAKE = {
    "run": "Make the run again: the command is in its log.jsonl.",
    "baseline": "Make it of a run whose numbers are right: plumbline baseline update RUN --baseline FOLDER "
    "--reason 'why they are'.",
}


def _why_none(path: Path, side: Literal["run", "baseline"]) -> str:
    """Return why there are no scores at a path, and what to do."""
    if side == "baseline":
        return (
            f"There is no baseline at {path}. Make one of a run whose numbers are right: plumbline baseline "
            f"update RUN --baseline {path} --reason 'why they are'."
        )
    begun = f"There are no scores at {path}"
    last = last_line(path / LOG) if path.is_dir() else None
    if last is None:
        return f"{begun}. Name a run's folder, or a scores.csv that 'plumbline run' wrote."
    return f"{begun}: {_incomplete(path, last)}"


def check_ended(folder: Path) -> None:
    """Raise a ValueError if the last run into a folder did not end: tables there are of one before it."""
    last = last_line(folder / LOG)
    if last is not None and last.get("event") != "end":
        raise ValueError(f"The tables in {folder} are of an earlier run: {_incomplete(folder, last)}")


def _incomplete(folder: Path, last: Mapping[str, Any]) -> str:
    """Return how far the run of a folder came, by the last line of its log, and what to do."""
    n = sum(1 for _ in (folder / RESULTS).glob("*.json"))
    why = f"it stopped: {last['reason']}" if last.get("reason") else "it did not come to its end"
    return (
        f"the run is not complete ({why}); {n} results are there. The same command again goes on from them."
    )


def _read_values(file: Path, table: pd.DataFrame) -> pd.DataFrame | None:
    """Return what methods returned, against no truth: a row a result and modality; None if unknown.

    Raises:
        ValueError: if the file cannot be read, or holds text for numbers.
    """
    wanted = {*COLUMNS, "estimand", "targets", "status"}
    try:
        found = pd.read_csv(
            file,
            usecols=wanted.__contains__,
            dtype=dict.fromkeys((*_NAMES, "status", "modality"), str)
            | dict.fromkeys(("value", "signed"), float),
            keep_default_na=False,
            na_values={"value": [""], "signed": [""]},
        )
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"The values in {file} cannot be read: {error}.") from error
    return raw_values(found, table) if {*COLUMNS} <= {*found} else None


def raw_values(importances: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return what methods returned, as `regression.value_changes` reads it: a row a result and modality.

    Of a result that is done and has no values, there is one row without a modality.

    Args:
        importances: from ``benchmark.table.importances``, or as much of it as a baseline holds.
        scores: from ``benchmark.table.scores``, of the same results.
    """
    found = importances
    if "estimand" in found:  # of a run: the same values stand beside each truth
        found = own_truth(found[(found["targets"] != CONTROL) & (found["status"] == "done")])
    keys = ["model", "method", *CASE, *SEEDS]
    own = own_truth(scores[(scores["targets"] != CONTROL) & (scores["status"] == "done")])
    facts = [*keys, "method_version", *([_CALLS] if _CALLS in own else [])]
    return found[list(COLUMNS)].merge(own.drop_duplicates(keys)[facts], on=keys, how="right")


def read_manifest(file: Path) -> Mapping[str, Any]:
    """Return what a run or baseline was made with; nothing where there is no such file.

    Raises:
        ValueError: if the file cannot be read, or holds no object.
    """
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"The manifest {file} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise ValueError(  # noqa: TRY004 - what a file holds, not what a caller passes
            f"The manifest {file} must hold an object. Got {type(found).__name__}."
        )
    return found


def check_settings(run: Scored, baseline: Scored) -> None:
    """Raise a ValueError if both sides say what their scenarios were made of, and it is not the same."""
    here, there = (settings_of(side) for side in (run, baseline))
    for case, facts in there.items():
        if case not in here:
            continue
        for name in TOLD:
            if facts.get(name) != here[case].get(name):
                values = f"{facts.get(name)} in the baseline, {here[case].get(name)} in the run"
                told = f"its {name} differs" + ("" if name == "definition" else f", {values}")
                raise ValueError(
                    f"Run and baseline must be of the same data. {case[0]} on {case[1]}, {case[3]}: {told}. "
                    "Run the suite as the baseline was made, or update the baseline."
                )


def settings_of(side: Scored) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """Return scenario, images, features and model → what the manifest says that they were made of.

    Raises:
        ValueError: if it does not list that as objects.
    """
    found = side.manifest.get("settings", [])
    if not isinstance(found, list) or not all(isinstance(facts, dict) for facts in found):
        raise ValueError(f"The manifest beside {side.path} must list 'settings' as objects. Is it damaged?")
    return {tuple(str(facts.get(name)) for name in (*CASE, "model")): facts for facts in found}


def update(run: Scored, folder: Path, *, reason: str) -> pd.DataFrame:
    """Write a run's scores as the baseline and return them; the same run gives the same bytes.

    Only what a check reads is kept: methods (no controls) against the truth that each targets, and the raw
    values that they returned, in a fixed order, with nine digits. There are no dates.

    Args:
        run: from `read`; with a manifest beside it if there is to be one with facts.
        folder: of the baseline; made where it is missing.
        reason: why these numbers are right, for those who review the change.

    Raises:
        ValueError: if results failed, or there are none, or the reason is empty.
        OSError: if the folder cannot be written.
    """
    if not reason.strip():
        raise ValueError("The reason for a new baseline must say something. Got nothing: see --reason.")
    failed = failures(run.table)
    if len(failed):
        first = failed.iloc[0]
        raise ValueError(
            f"A baseline must be made of a complete run. {len(failed)} results failed, the first "
            f"{first['method']} on {first['scenario']}{_because(first)}: mend it, and run again."
        )
    rows = own_truth(run.table[run.table["targets"] != CONTROL])
    rows = rows[rows["status"] == "done"]
    if not len(rows):
        raise ValueError(f"A baseline must hold scores of methods. Got none in {run.path}.")
    order = ["model", *CASE, "method", *SEEDS]
    columns = [name for name in (*_COLUMNS, _CALLS) if name in rows]
    rows = rows[columns].sort_values(order, kind="stable", ignore_index=True)
    folder.mkdir(parents=True, exist_ok=True)
    versions = rows.drop_duplicates("method").set_index("method")["method_version"].to_dict()
    manifest = {
        "reason": reason.strip(),
        **{name: run.manifest[name] for name in _FACTS if name in run.manifest},
        "methods": {str(name): str(versions[name]) for name in sorted(versions)},
        "n_scores": len(rows),
    }
    _write(folder / "scores.csv", rows)
    kept = None if run.raw_values is None else run.raw_values.dropna(subset="modality")
    if kept is None or not len(kept):
        (folder / _VALUES).unlink(missing_ok=True)  # of other scores
    else:
        kept = kept[list(COLUMNS)].merge(rows[order], on=order)
        _write(folder / _VALUES, kept.sort_values([*order, "modality"], kind="stable"))
    write_json(folder / "manifest.json", manifest)
    return rows


def _because(row: pd.Series) -> str:
    return f" ({row['error']})" if row.get("error") else ""


def _write(path: Path, table: pd.DataFrame) -> None:
    text = table.to_csv(index=False, float_format="%.9g", lineterminator="\n")
    with replacing(path) as file:
        file.write(text.encode(errors="backslashreplace"))
