"""Run folders → tables: what runs wrote, together, read in as little memory as the questions need."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.baseline import check_ended, read_manifest
from benchmark.findings.joining import joined
from benchmark.table import FIDELITY_GATE, by_images

_NAMES = ("scenario", "images", "features", "model", "method", "method_version", "targets", "estimand")
_SEEDS = ("data_seed", "train_seed", "method_seed")
_NUMBERS = ("rmse", "rmse_uniform", "rbo", "rbo_p90", "rbo_chance", "accuracy", "auroc", "r2")
_NUMBERS += ("model_calls", "seconds", "learnt", "informative", "n_clipped", "all_zero", "n_modalities")
_COLUMNS = {
    "scores": (*_NAMES, *_SEEDS, "status", "flags", *_NUMBERS),
    "parts": (*_NAMES, *_SEEDS, "status", "part", *_NUMBERS[:5], "learnt", "informative", "value", "truth"),
    "pixels": (
        *(*_NAMES, *_SEEDS, "status", "image", "average_precision", "relevance_mass", "relevance_rank"),
        *("rank_correlation", "mask_share", "n_maps", "learnt", "model_calls", "seconds"),
    ),
    "missing": (
        *("scenario", "images", "features", "model", "data_seed", "train_seed", "available", "n_available"),
        *("n_modalities", "accuracy", "auroc", "log_loss", "best_accuracy", "best_auroc", "best_log_loss"),
        *("regret_accuracy", "regret_auroc", "regret_log_loss", "only"),
    ),
    "balance": (
        *("scenario", "images", "features", "model", "data_seed", "train_seed", "modality", "share_data"),
        *("share_network", "drop", "drop_se", "true_drop", "alone", "best_alone", "flag"),
    ),
}
"""Columns that are read, table by table; others are left on the disc."""

_OPTIONAL = frozenset(
    (
        *("rbo_p90", "accuracy", "auroc", "r2", "model_calls", "seconds", "n_clipped", "all_zero"),
        *("n_modalities", "only", "value", "truth", "flags"),
    )
)
"""Columns that a table cut down to what a baseline needs may lack; they are empty then."""

_TEXT = frozenset((*_NAMES, "status", "flags", "part", "image", "available", "only", "modality", "flag"))
_CELL = {
    "scores": ("scenario", "images", "features", "model", "method", *_SEEDS, "estimand"),
    "parts": ("scenario", "images", "features", "model", "method", *_SEEDS, "estimand", "part"),
    "pixels": ("scenario", "images", "features", "model", "method", *_SEEDS, "image"),
    "missing": ("scenario", "images", "features", "model", "data_seed", "train_seed", "available"),
    "balance": ("scenario", "images", "features", "model", "data_seed", "train_seed", "modality"),
}
"""Columns that no two rows have alike."""

_NETWORK = ("scenario", "images", "features", "model", "data_seed", "train_seed")
_ROWS_AT_A_TIME = 200_000


@dataclass(frozen=True)
class Run:
    """One run's folder, and what it says of itself.

    Attributes:
        folder: where it is.
        title: suite and images, in words; the folder's name where there is no manifest.
        command: what made it; empty where that is not known.
        manifest: what it was made with; empty where there is none.
        pictures: PNG files of maps of pixels in it.
    """

    folder: Path
    title: str
    command: str
    manifest: Mapping[str, Any]
    pictures: tuple[Path, ...] = ()


def read_run(path: Path) -> Run:
    """Return the facts of a run.

    Args:
        path: its folder, or its ``scores.csv``.

    Raises:
        ValueError: if it is no run's folder, its manifest cannot be read, or its last run did not end.
    """
    folder = path.parent if path.name == "scores.csv" else path
    if not any((folder / f"{name}.csv").is_file() for name in ("scores", "pixels")):
        raise ValueError(
            f"There are no scores at {path}. Name a run's folder: one that 'plumbline run' wrote, with a "
            "scores.csv or a pixels.csv in it."
        )
    check_ended(folder)
    manifest = read_manifest(folder / "manifest.json")
    suite, images = manifest.get("suite"), manifest.get("images")
    title = folder.resolve().name
    if isinstance(suite, str) and isinstance(images, list):
        title = f"Suite {suite} on {' and '.join(map(str, images))} images"
    command = manifest.get("command", "")
    return Run(folder, title, str(command or ""), manifest, tuple(sorted(folder.glob("pixels-*.png"))))


def read_table(runs: Sequence[Run], name: str) -> pd.DataFrame:
    """Return one table of several runs, their rows together; no rows where no run has it.

    What several runs have with the same numbers, as they have controls, is there once, as the first has it.

    Args:
        runs: from `read_run`.
        name: ``scores``, ``parts``, ``pixels``, ``missing`` or ``balance``.

    Raises:
        ValueError: if a file cannot be read or lacks columns, or runs say different things of a cell.
    """
    parts, sources = [], []
    for place, run in enumerate(runs):
        file = run.folder / f"{name}.csv"
        if file.is_file() and file.stat().st_size > 1:  # a run in which nothing was scored writes a line end
            parts.append(_read(file, _COLUMNS[name]))
            sources.append(np.full(len(parts[-1]), place, dtype=np.int32))
    if not parts:
        return pd.DataFrame({column: _empty(column) for column in _COLUMNS[name]})
    table = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return joined(
        table, np.concatenate(sources), cell=_CELL[name], name=name, folders=[run.folder for run in runs]
    )


def _empty(column: str) -> pd.Series:
    return pd.Series([], dtype=str if column in _TEXT else float)


def _read(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return columns of a CSV; names are text, whatever they look like: a method may be called 'NA'."""
    numbers = [name for name in columns if name not in _TEXT]
    try:
        there = pd.read_csv(file, nrows=0).columns
        lacking = [name for name in columns if name not in there and name not in _OPTIONAL]
        if lacking:
            raise ValueError(f"it lacks {', '.join(lacking)}")  # noqa: TRY301 - told with the file's name
        # As categories, names of a hundred thousand results are read in a tenth of the memory.
        table = pd.read_csv(
            file,
            usecols=[name for name in columns if name in there],
            dtype=dict.fromkeys((name for name in columns if name in _TEXT), "category"),
            keep_default_na=False,
            na_values={name: [""] for name in numbers},
        ).reindex(columns=list(columns))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The table {file} cannot be read as one that 'plumbline run' writes: {error}."
        ) from error
    if not len(table):
        return pd.DataFrame({name: _empty(name) for name in columns})
    for name in numbers:
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise ValueError(f"The column {name!r} of {file} must hold numbers. Got text: is it damaged?")
    return table.assign(
        **{name: _text(table[name]) if name in there else "" for name in columns if name in _TEXT}
    )


def _text(names: pd.Series) -> pd.Series:
    """Return categories as text; rows of the same name share one object."""
    known = np.asarray([str(name) for name in names.cat.categories] or [""], dtype=object)
    return pd.Series(known[names.cat.codes.to_numpy()], index=names.index, dtype=str)


def read_shares(runs: Sequence[Run], scores: pd.DataFrame, *, estimand: str = "gradient") -> pd.DataFrame:
    """Return one row a model, scenario, method and modality: truth, mean estimate and its spread over seeds.

    As ``benchmark.table.shares`` makes it of results, from the ``importances.csv`` of runs, a part at a time.
    Networks below the fidelity gate do not count.

    Args:
        runs: from `read_run`.
        scores: of the same runs: which networks count, and whether images tell scenarios apart.
        estimand: the truth that is shown.

    Returns:
        Columns ``model``, ``scenario``, ``method``, ``modality``, ``truth``, ``mean`` and ``sd``; no rows
        where no run has kept its importances.

    Raises:
        ValueError: if a file cannot be read.
    """
    keys = ["model", "scenario", "method", "modality"]
    several = scores[["images", "features"]].drop_duplicates().shape[0] > 1
    sums = None
    for part in _importances(runs, estimand):
        rows = _of_networks_that_count(part[(part["status"] == "done") & part["estimate"].notna()], scores)
        rows = by_images(rows, among=scores)
        if not len(rows):
            continue
        rows = rows.assign(square=rows["estimate"] ** 2, n=1)
        found = rows.groupby(keys, sort=False)[["truth", "estimate", "square", "n"]].sum()
        sums = found if sums is None else sums.add(found, fill_value=0)
    if sums is None or not len(sums):
        return pd.DataFrame({name: _empty(name) for name in (*keys, "truth", "mean", "sd")})
    order = pd.MultiIndex.from_frame(scores[["model", "scenario", "method"]].drop_duplicates())
    frame = sums.reset_index()
    count, mean = frame["n"], frame["estimate"] / frame["n"]
    spread = ((frame["square"] - count * mean**2) / (count - 1).where(count > 1)).clip(lower=0)
    frame = frame.assign(truth=frame["truth"] / count, mean=mean, sd=np.sqrt(spread))
    if not several:  # as the runs have them, not as sums were put together
        place = {key: at for at, key in enumerate(order)}
        rank = [place.get(key, len(place)) for key in zip(*(frame[name] for name in keys[:3]), strict=True)]
        frame = frame.iloc[np.argsort(rank, kind="stable")]
    return frame[[*keys, "truth", "mean", "sd"]].reset_index(drop=True)


def _importances(runs: Sequence[Run], estimand: str) -> Iterator[pd.DataFrame]:
    text = ("scenario", "images", "features", "model", "method", "estimand", "status", "modality")
    numbers = ("data_seed", "train_seed", "truth", "estimate")
    cell = (*_NETWORK, "method", "method_seed")
    seen: set[tuple[object, ...]] = set()
    for run in runs:
        here: set[tuple[object, ...]] = set()
        file = run.folder / "importances.csv"
        if not file.is_file() or file.stat().st_size <= 1:
            continue
        try:
            with pd.read_csv(
                file,
                usecols=lambda name: name in (*text, *numbers, "method_seed"),
                dtype=dict.fromkeys(text, "category"),
                keep_default_na=False,
                na_values={name: [""] for name in numbers},
                chunksize=_ROWS_AT_A_TIME,
            ) as parts:
                for part in parts:
                    rows = part[part["estimand"] == estimand]
                    rows = rows.assign(**{name: _text(rows[name]) for name in text})
                    if len(runs) > 1:  # what an earlier run has, too, counts once
                        cells = list(rows[[name for name in cell if name in rows]].itertuples(index=False))
                        here.update(map(tuple, cells))
                        rows = rows[np.array([tuple(it) not in seen for it in cells], dtype=bool)]
                    yield rows
        except (OSError, ValueError) as error:
            raise ValueError(f"The importances in {file} cannot be read: {error}.") from error
        seen |= here


def _of_networks_that_count(rows: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    low = scores.loc[scores["learnt"] < FIDELITY_GATE, list(_NETWORK)].drop_duplicates()
    if not len(low):
        return rows
    known = set(low.itertuples(index=False, name=None))
    here = rows[list(_NETWORK)].itertuples(index=False, name=None)
    return rows[np.array([key not in known for key in here], dtype=bool)]
