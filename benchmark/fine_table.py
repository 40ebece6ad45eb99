"""Results → tables of what is not a share of a modality: clinical features, pairs, synergy, pixels."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmark import models, score
from benchmark.maps import MAP_CONTROLS, MASK
from benchmark.store import CONTROL, Result
from benchmark.table import (
    SCORES,
    by_images,
    counting,
    frame_of,
    identity,
    learnt,
    pooled,
    score_vectors,
    summary,
)
from methods.api import PIXELS

FEATURES, PAIRS = "clinical features", "pairs"
"""Parts that are scored as modalities are: by RMSE and RBO of their shares."""

SYNERGY = "synergy"
"""One number a model: the share of the variance of F that no modality explains alone."""

_BOARD = (
    *("model", "method", "targets", "average_precision", "ap_corrected", "relevance_mass", "relevance_rank"),
    *("rank_correlation", "mask_share", "n_cases", "model_calls", "seconds"),
)

MAP_SCORES = ("average_precision", "relevance_mass", "relevance_rank", "rank_correlation")

_PART_SCORES = tuple("n_parts" if name == "n_modalities" else name for name in SCORES)


class _Scored(NamedTuple):
    """A vector of parts and its truth, and the row that they make."""

    row: dict[str, object]
    truth: list[float]
    estimate: list[float]
    error: list[float]


def parts(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row a result, part and estimand: scores over clinical features, over pairs, of the synergy.

    Clinical features are the columns of all tables together, their shares those among themselves; they are
    scored against every truth that has a value for single features. Pairs of modalities are scored by the
    size of their interaction against the ``interaction`` truth. The synergy is one number, said where no two
    modalities interact, too: its ``rmse`` is the distance from the truth.

    Returns:
        The columns of ``table.scores`` with ``part`` and ``n_parts``, and ``value`` and ``truth`` of the
        synergy; none where there are no parts.
    """
    done = [result for result in results if result.status == "done"]
    scored = [item for result in done for item in _parts(result)]
    told = [_synergy(result) for result in done if SYNERGY in result.summary]
    frame = frame_of([*(item.row for item in scored), *told])
    for name in _PART_SCORES:
        frame[name] = np.nan
    by_length: dict[int, list[int]] = {}
    for place, item in enumerate(scored):
        by_length.setdefault(len(item.truth), []).append(place)
    for places in by_length.values():
        vectors = (np.array([scored[place][kind] for place in places]) for kind in (1, 2, 3))
        for name, values in zip(_PART_SCORES, score_vectors(*vectors).values(), strict=True):
            frame.loc[places, name] = np.asarray(values, dtype=float)
    if told:
        rows = frame.index[len(scored) :]
        frame.loc[rows, "rmse"] = (frame.loc[rows, "value"] - frame.loc[rows, "truth"]).abs()
        frame.loc[rows, "n_parts"] = 1
    return frame


def _synergy(result: Result) -> dict[str, object]:
    row = _row(result, result.targets, SYNERGY)
    return {**row, "value": result.summary[SYNERGY], "truth": result.summary_truth[SYNERGY]}


def _parts(result: Result) -> Iterator[_Scored]:
    estimate = [value for values in result.features.values() for value in values]
    for estimand, shares in result.feature_truth.items():
        truth = [share for name in result.features for share in shares[name]]
        if len(truth) > 1:
            yield _Scored(_row(result, estimand, FEATURES), truth, estimate, [0.0] * len(truth))
    if result.interactions and any(value for *_, value, _ in result.pair_truth):
        true = {frozenset(pair): (abs(value), error) for *pair, value, error in result.pair_truth}
        said = {frozenset(pair): abs(value) for *pair, value in result.interactions}
        # What a truth does not name has no interaction: F does not read one of the two.
        every = list(dict.fromkeys((*said, *true)))
        values, errors = zip(*(true.get(pair, (0.0, 0.0)) for pair in every), strict=True)
        total = sum(values)
        if len(every) < 2:
            return
        yield _Scored(
            _row(result, "interaction", PAIRS),
            [value / total for value in values],
            [said.get(pair, 0.0) for pair in every],
            [error / total for error in errors],
        )


def _row(result: Result, estimand: str, part: str) -> dict[str, object]:
    return {**identity(result, estimand), "part": part, "learnt": learnt(result)}


def parts_board(frame: pd.DataFrame, *, part: str) -> pd.DataFrame:
    """Return one row a model and method that says something of parts, best first.

    Args:
        frame: from ``parts``.
        part: ``FEATURES`` or ``PAIRS``.

    Returns:
        Columns ``model``, ``method``, ``targets``; ``against``, the truth that the next ones are scored
        against, the one that the method targets or else that of gradients; ``rmse``, ``skill``, ``rbo``,
        ``rbo_chance``, ``rbo_corrected``; and for features ``vs …``, the pooled RMSE against every truth of
        features.
    """
    rows = []
    frame = counting(frame[frame["part"] == part]) if len(frame) else frame
    names = list(dict.fromkeys(frame["estimand"])) if len(frame) else []
    for (model, method), group in frame.groupby(["model", "method"], sort=False) if len(frame) else ():
        target = group["targets"].iloc[0]
        against = target if target in names else "gradient" if "gradient" in names else names[0]
        found = summary(group[group["estimand"] == against])
        row = {"model": model, "method": method, "targets": target, "against": against}
        row |= {name: found[name] for name in ("rmse", "skill", "rbo", "rbo_chance", "rbo_corrected")}
        if part == FEATURES:
            row |= {f"vs {name}": pooled(group.loc[group["estimand"] == name, "rmse"]) for name in names}
        rows.append(row)
    board = pd.DataFrame(rows)
    return board.sort_values(["model", "rmse"], kind="stable").reset_index(drop=True) if rows else board


def synergy_board(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model and scenario, and a last one a model with the RMSE of each method.

    Args:
        frame: from ``parts``.

    Returns:
        Columns ``model``, ``scenario`` (``RMSE`` in the last row), ``truth`` and one a method, means over
        seeds, the method of least RMSE first; no columns where no method says anything of synergy.
    """
    frame = counting(frame[frame["part"] == SYNERGY]) if len(frame) else frame
    if not len(frame):
        return pd.DataFrame()
    frame = by_images(frame)
    order = list(frame.groupby("method", sort=False)["rmse"].agg(pooled).sort_values(kind="stable").index)
    rows = []
    for model, group in frame.groupby("model", sort=False):
        for scenario, cell in group.groupby("scenario", sort=False):
            means = cell.groupby("method")["value"].mean()
            rows.append({"model": model, "scenario": scenario, "truth": cell["truth"].mean(), **means})
        errors = group.groupby("method")["rmse"].agg(pooled)
        rows.append({"model": model, "scenario": "RMSE", "truth": np.nan, **errors})
    return pd.DataFrame(rows)[["model", "scenario", "truth", *order]]


def pixels(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row a result and image: how well its maps find the pixels that carry what F reads.

    Returns:
        The columns of ``table.scores`` that say which result it is, ``image``, the scores of
        `benchmark.localisation` as means over patients, ``mask_share`` (their chance level; 0 for
        ``rank_correlation``), ``n_maps``, ``learnt``, ``model_calls`` and ``seconds``; no columns where no
        method drew maps.
    """
    return frame_of(
        {
            **identity(result, PIXELS),
            "image": image,
            **found,
            "learnt": learnt(result),
            "model_calls": result.model_calls,
            "seconds": result.seconds,
        }
        for result in results
        if result.status == "done"
        for image, found in result.pixels.items()
    )


def pixels_board(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model and method that draws maps: best first, incomplete ones behind.

    Means over images of a scenario, then over scenarios and seeds. Networks below the fidelity gate do not
    count.

    Args:
        frame: from ``pixels``.

    Returns:
        Columns ``model``, ``method``, ``targets``, ``average_precision``, ``ap_corrected`` ((AP − chance) /
        (1 − chance)), ``relevance_mass``, ``relevance_rank``, ``rank_correlation``, ``mask_share``,
        ``n_cases`` (scenarios and seeds), ``model_calls`` and ``seconds``.
    """
    if not len(frame):
        return pd.DataFrame(columns=_BOARD)
    rows = []
    frame = counting(frame[frame["model"] != models.ORACLE])
    frame = frame.assign(
        ap_corrected=score.chance_corrected(
            frame["average_precision"].to_numpy(float), frame["mask_share"].to_numpy(float)
        )
    )
    means = [*MAP_SCORES[:1], "ap_corrected", *MAP_SCORES[1:], "mask_share", "model_calls", "seconds"]
    for (model, method), group in frame.groupby(["model", "method"], sort=False):
        by_stage = group.groupby(["scenario", "images", "data_seed"], sort=False)[means].mean()
        rows.append(
            {
                "model": model,
                "method": method,
                "targets": group["targets"].iloc[0],
                **by_stage.mean().to_dict(),
                "n_cases": len(by_stage),
            }
        )
    board = pd.DataFrame(rows, columns=_BOARD)
    # Who survived fewer cases than others stands behind them: the score is of the cases that were survived.
    most = board.groupby("model")["n_cases"].transform("max")
    board = board.assign(control=board["targets"] == CONTROL, incomplete=board["n_cases"] < most)
    order = {"model": True, "control": True, "incomplete": True, "average_precision": False}
    board = board.sort_values([*order], ascending=[*order.values()], kind="stable")
    return board[[*_BOARD]].reset_index(drop=True)


def maps(results: Sequence[Result]) -> dict[str, dict[tuple[str, str], dict[str, list[str]]]]:
    """Return model → scenario and image → method or control → its first maps, of the first data seed.

    Only images in which F reads, where that is known, and on which a method drew something.
    """
    several = len({result.job["images"] for result in results}) > 1

    def case(result: Result) -> str:
        name = str(result.job["scenario"])
        return f"{name} on {result.job['images']}" if several else name

    known: dict[tuple[str, str], set[str]] = {
        (result.job["model"], case(result)): set(result.pixels)
        for result in results
        if result.job["method"] == MASK and result.maps
    }
    found: dict[str, dict[tuple[str, str], dict[str, list[str]]]] = {}
    for result in results:
        model, scenario = result.job["model"], case(result)
        for image, drawn in result.maps.items():
            if image in known.get((model, scenario), (image,)):
                found.setdefault(model, {}).setdefault((scenario, image), {})[result.job["method"]] = drawn
    return {
        model: {place: drawn for place, drawn in shown.items() if not set(drawn) <= set(MAP_CONTROLS)}
        for model, shown in found.items()
    }
