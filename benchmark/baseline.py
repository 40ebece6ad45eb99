"""A baseline on disk: the scores that a check needs, what they were made of, and why they were accepted."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportReturnType=false

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.statistics.grid import CASE, SEEDS
from benchmark.store import CONTROL, FAILURES, write_json
from benchmark.table import own_truth
from synthetic.cache import replacing

_NAMES = ("scenario", "images", "features", "model", "method", "method_version", "targets", "estimand")
_NUMBERS = ("rmse", "rmse_uniform", "rbo", "rbo_chance", "learnt", "informative", "n_modalities")
_COLUMNS = (*_NAMES, *SEEDS, "status", *_NUMBERS)
_FACTS = ("suite", "images", "features", "seeds", "settings", "data_md5", "commit", "versions")
_TOLD = ("n_patients", "n_explained", "image_size", "definition")


@dataclass(frozen=True)
class Scored:
    """A table of scores as it lies on disk.

    Attributes:
        path: of the table.
        table: as ``benchmark.table.scores`` made it, or as much of it as a baseline holds.
        manifest: what it was made with; empty where there is none beside the table.
    """

    path: Path
    table: pd.DataFrame
    manifest: Mapping[str, Any]


def read(path: Path) -> Scored:
    """Return the scores of a run or baseline.

    Args:
        path: its folder, or its ``scores.csv``.

    Raises:
        ValueError: if there is no such file, or it is no table of scores.
    """
    file = path / "scores.csv" if path.is_dir() else path
    try:
        # Names are text, whatever they look like: a method may be called 'NA'.
        table = pd.read_csv(
            file,
            dtype=dict.fromkeys((*_NAMES, "status"), str),
            keep_default_na=False,
            na_values={name: [""] for name in (*_NUMBERS, "accuracy", "auroc", "r2", "kendall_tau_b")},
        )
    except FileNotFoundError as error:
        raise ValueError(
            f"There are no scores at {file}. Name a run's folder, or a scores.csv that 'plumbline run' wrote."
        ) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"The scores in {file} cannot be read: {error}.") from error
    lacking = [name for name in _COLUMNS if name not in table]
    if lacking:
        raise ValueError(
            f"The table {file} must have the columns of a scores.csv. It lacks {', '.join(lacking)}."
        )
    for name in (*SEEDS, *_NUMBERS):
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise ValueError(f"The column {name!r} of {file} must hold numbers. Got text: is it damaged?")
    return Scored(file, table, read_manifest(file.with_name("manifest.json")))


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
    here, there = (_settings(side) for side in (run, baseline))
    for case, facts in there.items():
        if case not in here:
            continue
        for name in _TOLD:
            if facts.get(name) != here[case].get(name):
                values = f"{facts.get(name)} in the baseline, {here[case].get(name)} in the run"
                told = f"its {name} differs" + ("" if name == "definition" else f", {values}")
                raise ValueError(
                    f"Run and baseline must be of the same data. {case[0]} on {case[1]}, {case[3]}: {told}. "
                    "Run the suite as the baseline was made, or update the baseline."
                )


def _settings(side: Scored) -> dict[tuple[str, ...], Mapping[str, Any]]:
    found = side.manifest.get("settings", [])
    if not isinstance(found, list) or not all(isinstance(facts, dict) for facts in found):
        raise ValueError(f"The manifest beside {side.path} must list 'settings' as objects. Is it damaged?")
    return {tuple(str(facts.get(name)) for name in (*CASE, "model")): facts for facts in found}


def update(run: Scored, folder: Path, *, reason: str) -> pd.DataFrame:
    """Write a run's scores as the baseline and return them; the same run gives the same bytes.

    Only what a check reads is kept: methods (no controls) against the truth that each targets, in a fixed
    order, with nine digits. There are no dates.

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
    failed = run.table[run.table["status"].isin(FAILURES)]
    if len(failed):
        first = failed.iloc[0]
        raise ValueError(
            f"A baseline must be made of a complete run. {len(failed)} results failed, the first "
            f"{first['method']} on {first['scenario']}: mend it, and run again."
        )
    rows = own_truth(run.table[run.table["targets"] != CONTROL])
    rows = rows[rows["status"] == "done"]
    if not len(rows):
        raise ValueError(f"A baseline must hold scores of methods. Got none in {run.path}.")
    rows = rows[list(_COLUMNS)].sort_values(
        ["model", *CASE, "method", *SEEDS], kind="stable", ignore_index=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    versions = rows.drop_duplicates("method").set_index("method")["method_version"].to_dict()
    manifest = {
        "reason": reason.strip(),
        **{name: run.manifest[name] for name in _FACTS if name in run.manifest},
        "methods": {str(name): str(versions[name]) for name in sorted(versions)},
        "n_scores": len(rows),
    }
    with replacing(folder / "scores.csv") as file:
        text = rows.to_csv(index=False, float_format="%.9g", lineterminator="\n")
        file.write(text.encode(errors="backslashreplace"))
    write_json(folder / "manifest.json", manifest)
    return rows
