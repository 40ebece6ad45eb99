"""Results → tables: one row a result and estimand, and the leaderboard computed from them."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import pandas as pd

from benchmark import controls, models, score
from benchmark.diagnosis import DIAGNOSIS
from benchmark.maps import MAP_CONTROLS
from benchmark.store import CONTROL, FAILURES, Result
from methods.api import PIXELS

FIDELITY_GATE = 0.8
"""Least share that a network must have learnt, of what can be learnt, for its results to count.

The share is (accuracy − chance) / (ceiling − chance); with two classes of one size and no label noise, 0.8
is an accuracy of 0.9. Networks below are shown apart.
"""

_KEYS = ("scenario", "images", "features", "model", "method")
_SEEDS = ("data_seed", "train_seed", "method_seed")


def scores(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row a result and estimand that it is scored against; failed results have no scores.

    Results that say nothing of modalities have no row: see `benchmark.fine_table` and `diagnosis_table`.
    """
    # A result that failed before there was a truth still has a row.
    pairs = [
        (result, estimand)
        for result in results
        if not _says_no_modality(result)
        for estimand in result.truth or [""]
    ]
    frame = frame_of(identity(result, estimand) for result, estimand in pairs)
    for name in SCORES:
        frame[name] = np.nan
    by_length: dict[int, list[int]] = {}
    for place, (result, estimand) in enumerate(pairs):
        if result.status == "done":
            by_length.setdefault(len(result.truth[estimand]), []).append(place)
    for places in by_length.values():
        chosen = [pairs[place] for place in places]
        truth = np.array([list(result.truth[estimand].values()) for result, estimand in chosen])
        error = np.array([list(result.truth_se[estimand].values()) for result, estimand in chosen])
        estimate = np.array(
            [
                [_told(result, estimand)[name] for name in result.truth[estimand]]
                for result, estimand in chosen
            ]
        )
        for name, values in score_vectors(truth, estimate, error).items():
            frame.loc[places, name] = np.asarray(values, dtype=float)
    for name in ("accuracy", "auroc", "r2"):
        frame[name] = [result.fidelity.get(name, np.nan) for result, _ in pairs]
    frame["learnt"] = [learnt(result) for result, _ in pairs]
    frame["model_calls"] = [result.model_calls for result, _ in pairs]
    frame["seconds"] = [result.seconds for result, _ in pairs]
    frame["flags"] = ["; ".join(result.flags) for result, _ in pairs]
    frame["error"] = [result.reason for result, _ in pairs]
    return frame[[*(column for column in frame if column not in _LAST), *_LAST]]


def _says_no_modality(result: Result) -> bool:
    return result.targets == DIAGNOSIS or (result.status == "done" and not result.importances)


def _told(result: Result, estimand: str) -> Mapping[str, float]:
    return controls.told(result.job["method"], result.importances, result.truth[estimand])


def learnt(result: Result) -> float:
    """Return the share of what can be learnt that a model learnt."""
    found = result.fidelity
    if "accuracy" not in found:
        return np.nan
    chance, ceiling = found.get("chance", 0.5), found.get("ceiling", 1.0)
    return (found["accuracy"] - chance) / (ceiling - chance) if ceiling > chance else 1.0


SCORES = (
    "rmse",
    "rmse_uniform",
    "rbo",
    "rbo_p90",
    "rbo_average_overlap",
    "rbo_w",
    "rbo_a",
    "rbo_chance",
    "kendall_tau_b",
    "informative",
    "n_clipped",
    "all_zero",
    "n_modalities",
)
_LAST = ("learnt", "informative", "n_clipped", "all_zero", "n_modalities")


def score_vectors(truth: np.ndarray, estimate: np.ndarray, error: np.ndarray) -> dict[str, object]:
    """Return the scores of estimates ``[rows, n]`` against truths with standard errors of the same shape."""
    normalised = score.normalise(estimate)
    return {
        "rmse": score.rmse(truth, estimate),
        "rmse_uniform": score.rmse_uniform(truth),
        "rbo": score.rbo(truth, estimate, truth_standard_error=error),
        "rbo_p90": score.rbo(truth, estimate, p=0.9, truth_standard_error=error),
        "rbo_average_overlap": score.rbo(truth, estimate, p=1.0, truth_standard_error=error),
        "rbo_w": score.rbo_w(truth, estimate, truth_standard_error=error),
        "rbo_a": score.rbo_a(truth, estimate, truth_standard_error=error),
        "rbo_chance": score.rbo_chance(truth, truth_standard_error=error),
        "kendall_tau_b": score.kendall_tau_b(truth, estimate, truth_standard_error=error),
        "informative": score.informative(truth, error),
        "n_clipped": normalised.n_clipped,
        "all_zero": normalised.uniform,
        "n_modalities": np.full(len(truth), truth.shape[1]),
    }


def importances(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row a result, estimand and modality: the truth, the normalised estimate and the raw value.

    Columns ``value`` and ``signed`` are what the method returned, before anything was clipped or normalised.
    """
    return frame_of(row for result in results for row in _importances(result))


def _importances(result: Result) -> Iterator[dict[str, object]]:
    if _says_no_modality(result):
        return
    for estimand, truth in result.truth.items():
        estimate, scale = dict.fromkeys(truth, np.nan), np.nan
        if result.status == "done":
            told = _told(result, estimand)
            shares = score.normalise([told[name] for name in truth])
            estimate = dict(zip(truth, shares.values.tolist(), strict=True))  # noqa: PD011 - no frame
            scale = sum(max(value, 0.0) for value in told.values())
        for name, share in truth.items():
            yield {
                **identity(result, estimand),
                "modality": name,
                "truth": share,
                "truth_se": result.truth_se[estimand][name],
                "estimate": estimate[name],
                "value": result.importances.get(name, np.nan),
                "signed": result.signed.get(name, np.nan),
                # Of the raw value, in units of the sum that makes shares of them.
                "estimate_se": result.importances_se.get(name, np.nan) / scale if scale else np.nan,
            }


def frame_of(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """Return rows as a frame, a part at a time: as dictionaries they take ten times the memory."""
    parts, rows = [], iter(rows)
    while part := list(islice(rows, _ROWS_AT_A_TIME)):
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


_ROWS_AT_A_TIME = 4096


def identity(result: Result, estimand: str) -> dict[str, object]:
    """Return the columns that say which result a row is of, and which truth it is scored against."""
    return {
        **{key: result.job[key] for key in _KEYS},
        "method_version": result.method_version,
        "targets": result.targets,
        "estimand": estimand,
        **{key: result.job[key] for key in _SEEDS},
        "status": result.status,
    }


def counting(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that count: done, and on a model that learnt its decision function."""
    return frame[(frame["status"] == "done") & ~(frame["learnt"] < FIDELITY_GATE)]


def by_images(frame: pd.DataFrame, *, among: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the rows with scenarios told apart by their images, where there are several sources.

    Where one source has several kinds of features, they are named, too: "paper-F0 on organamnist (pca)".

    Args:
        frame: any, with columns ``scenario``, ``images`` and ``features``.
        among: rows that say which sources there are; None for the frame's own.
    """
    sources = (frame if among is None else among)[["images", "features"]].drop_duplicates()
    if len(sources) <= 1:
        return frame
    told = {
        (row.images, row.features): f" on {row.images} ({row.features})" if several else f" on {row.images}"
        for row, several in zip(
            sources.itertuples(index=False), sources.duplicated("images", keep=False), strict=True
        )
    }
    pairs = zip(frame["images"], frame["features"], strict=True)
    names = [
        name + told.get(pair, f" on {pair[0]} ({pair[1]})")
        for name, pair in zip(frame["scenario"], pairs, strict=True)
    ]
    return frame.assign(scenario=pd.Series(names, index=frame.index, dtype=frame["scenario"].dtype))


def shares(results: Sequence[Result], *, estimand: str = "gradient") -> pd.DataFrame:
    """Return one row a model, scenario, method and modality: truth, mean estimate and its spread over seeds.

    Networks below the fidelity gate do not count.

    Returns:
        Columns ``model``, ``scenario``, ``method``, ``modality``, ``truth``, ``mean`` and ``sd``.
    """
    frame = importances(results)
    if not len(frame):
        return pd.DataFrame(columns=["model", "scenario", "method", "modality", "truth", "mean", "sd"])
    frame["learnt"] = [
        learnt(result)
        for result in results
        if not _says_no_modality(result)
        for truth in result.truth.values()
        for _ in truth
    ]
    grouped = counting(by_images(frame[frame["estimand"] == estimand])).groupby(
        ["model", "scenario", "method", "modality"], sort=False
    )
    return grouped.agg(
        truth=("truth", "mean"), mean=("estimate", "mean"), sd=("estimate", "std")
    ).reset_index()


def case_errors(table: pd.DataFrame, *, estimand: str = "gradient") -> pd.DataFrame:
    """Return the RMSE of each model and method (rows) in each scenario (columns), pooled over seeds."""
    rows = counting(by_images(table[table["estimand"] == estimand]))
    return rows.pivot_table(
        index=["model", "method"], columns="scenario", values="rmse", aggfunc=pooled, sort=False
    )


def own_truth(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that score a method against the estimand that it targets, controls against gradient.

    What targets pixels has no such rows: `benchmark.fine_table` scores it.
    """
    own = table["targets"].where(table["targets"] != CONTROL, "gradient")
    return table[table["estimand"] == own]


def leaderboard(table: pd.DataFrame, *, estimand: str | None = None) -> pd.DataFrame:
    """Return one row a model and method, best first: pooled RMSE, mean RBO, and the oracle's values beside.

    Pooled RMSE is the root of the mean squared error over all modalities of all scenarios and seeds, as
    Azmat & Alessio (2022) pool it. Networks below the fidelity gate do not count. A method that failed or
    was skipped somewhere stands behind those that did not: its score is of the cases that it survived. Where
    there is no trained network (suite ``smoke``), the oracle makes the table.

    Args:
        table: from ``scores``.
        estimand: the truth that all are scored against; None for the one that each method targets.

    Returns:
        Columns ``model``, ``method``, ``targets``, ``rmse``, ``rmse_sd`` (over seeds), ``skill``, ``rbo``,
        ``rbo_chance`` (of a random order, on the same cases), ``rbo_corrected``, ``rbo_p90``,
        ``rmse_gradient``, ``rmse_oracle``, ``rbo_oracle``, ``model_calls``, ``seconds``, ``n_clipped``,
        ``n_all_zero``, ``n_failed``, ``n_skipped`` and ``n_flagged``.
    """
    if estimand is None:
        table = table.loc[(table["targets"] != PIXELS) & ~table["method"].isin(MAP_CONTROLS)]
    scored = own_truth(table) if estimand is None else table[table["estimand"] == estimand]
    chosen = table[table.index.isin(scored.index) | (table["status"] != "done")]
    slopes = table[table["estimand"] == "gradient"]
    networks = [name for name in chosen["model"].unique() if name != models.ORACLE]
    rows = []
    for model in networks or [models.ORACLE]:
        for method, group in chosen.groupby("method", sort=False):
            counted = counting(group)
            exact = counted[counted["model"] == models.ORACLE]
            main = counted[counted["model"] == model]
            rows.append(
                {
                    "model": model,
                    "method": method,
                    "targets": group["targets"].iloc[0],
                    **summary(main),
                    "rmse_gradient": pooled(
                        counting(slopes[(slopes["method"] == method) & (slopes["model"] == model)])["rmse"]
                    ),
                    "rmse_oracle": pooled(exact["rmse"]),
                    "rbo_oracle": exact["rbo"].mean(),
                    "model_calls": main["model_calls"].mean(),
                    "seconds": main["seconds"].mean(),
                    "n_clipped": int((main["n_clipped"] > 0).sum()),
                    "n_all_zero": int((main["all_zero"] > 0).sum()),
                    "n_failed": len(failures(group)),
                    "n_skipped": len(skipped(group)),
                    "n_flagged": len(flagged(group)),
                }
            )
    frame = pd.DataFrame(rows)
    # Controls bound the table from outside: they stand below the methods, whatever their scores.
    frame["is_control"] = frame["targets"] == CONTROL
    frame["is_incomplete"] = frame["n_failed"] + frame["n_skipped"] > 0
    order = ["is_control", "is_incomplete", "rmse"]
    return frame.sort_values(order, kind="stable").drop(columns=order[:2]).reset_index(drop=True)


def failures(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a result that failed, whatever the truths that it was to be scored against."""
    return table[table["status"].isin(FAILURES)].drop_duplicates([*_KEYS, *_SEEDS])


def skipped(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a result whose method does not apply to its model or samples."""
    return table[table["status"] == "skipped"].drop_duplicates([*_KEYS, *_SEEDS])


def flagged(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a result that carries a flag; it counts all the same."""
    if "flags" not in table:
        return table.head(0)
    rows = table[table["flags"].fillna("").astype(str) != ""]
    return rows.drop_duplicates([*_KEYS, *_SEEDS])


def by_estimand(table: pd.DataFrame) -> pd.DataFrame:
    """Return the pooled RMSE of each model and method (rows) against every truth (columns)."""
    rows = counting(table)
    return rows.pivot_table(
        index=["model", "method"], columns="estimand", values="rmse", aggfunc=pooled, sort=False
    )


def summary(rows: pd.DataFrame) -> dict[str, float]:
    """Return the scores of rows together: errors pooled, RBO as means."""
    informative = rows[rows["informative"] > 0]
    corrected = score.chance_corrected(
        informative["rbo"].to_numpy(float), informative["rbo_chance"].to_numpy(float)
    )
    by_seed = [pooled(group["rmse"]) for _, group in rows.groupby("data_seed")]
    uniform = pooled(rows["rmse_uniform"])
    return {
        "rmse": pooled(rows["rmse"]),
        "rmse_sd": float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else np.nan,
        "skill": 1 - pooled(rows["rmse"]) / uniform if uniform > 0 else np.nan,
        "rbo": rows["rbo"].mean(),
        "rbo_chance": rows["rbo_chance"].mean(),
        "rbo_corrected": float(np.mean(corrected)) if len(informative) else np.nan,
        "rbo_p90": rows["rbo_p90"].mean(),
    }


def pooled(values: pd.Series) -> float:
    """Return the pooled RMSE; NaN of none."""
    return float(score.pooled_rmse(values.to_numpy(float))) if len(values) else np.nan


def fidelity(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a trained network: accuracy, AUROC, R², what share it learnt, and whether it counts."""
    keys = ["scenario", "images", "features", "model", "data_seed", "train_seed"]
    networks = table[(table["model"] != models.ORACLE) & table["accuracy"].notna()]
    frame = networks.groupby(keys, sort=False)[["accuracy", "auroc", "r2", "learnt"]].first().reset_index()
    frame["counts"] = frame["learnt"] >= FIDELITY_GATE
    return frame
