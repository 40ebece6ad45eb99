"""A run that is made up, but has something of everything that a run's folder holds, and its page."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmark import report_command
from benchmark.table import score_vectors

HOSTILE_METHOD = "<script>alert(1)</script>"
HOSTILE_SCENARIO = '"><img src=x onerror=alert(1)>'
METHODS = {
    "gradient": "gradient",
    "calibrated_gradient": "gradient",
    "kernel_shap(aggregation=absolute_mean)": "shapley",
    "permutation": "permutation",
    "modality_contribution(granularity=whole)": "total_effect",
    "modality_sage": "sage",
    "unimodal_information": "information",
    HOSTILE_METHOD: "shapley",
    "random": "control",
    "uniform": "control",
}
TRUTHS = ("gradient", "total_effect", "shapley", "permutation", "sage", "information")
MODELS = ("oracle", "hybrid", "late")
MODALITIES = ("axial", "coronal", "clinical_a", "clinical_b")
PLACES = tuple(
    (scenario, images)
    for scenario in ("paper-F0", "paper-F4", "paper-F6", "xor", "product", HOSTILE_SCENARIO)
    for images in ("phantom", "organamnist")
    if scenario != HOSTILE_SCENARIO or images == "phantom"  # so that one family is of one source
)
N_SEEDS = 3
FAILED, SKIPPED, NOT_LEARNT = ("permutation", "late"), ("modality_sage", "xor"), ("hybrid", "product", 0)


def _truths(rng):
    """Return the shares of each scenario and truth; the first two are exact, as those of the papers are."""
    exact = {"paper-F0": [1, 0, 0, 0], "paper-F4": [0.5, 0.5, 0, 0], "paper-F6": [0.25] * 4}
    return {
        (scenario, truth): np.array(exact[scenario]) if scenario in exact else rng.dirichlet([2.0] * 4)
        for scenario, _ in PLACES
        for truth in TRUTHS
    }


def _keys():
    keys = pd.DataFrame(PLACES, columns=["scenario", "images"]).assign(features="anatomy")
    keys = keys.merge(pd.DataFrame({"model": MODELS}), how="cross")
    keys = keys.merge(pd.DataFrame(METHODS.items(), columns=["method", "targets"]), how="cross")
    keys = keys.merge(pd.DataFrame({"estimand": TRUTHS}), how="cross")
    keys = keys.merge(pd.DataFrame({"data_seed": range(N_SEEDS)}), how="cross")
    return keys.assign(
        train_seed=keys["data_seed"], method_seed=keys["data_seed"], method_version="1", status="done"
    )


def make_tables(*, seed=0):
    """Return scores and importances as a run writes them: estimates are truths with noise."""
    rng = np.random.default_rng(seed)
    keys, truths = _keys(), _truths(rng)
    keys.loc[(keys["method"] == FAILED[0]) & (keys["model"] == FAILED[1]), "status"] = "timeout"
    keys.loc[(keys["method"] == SKIPPED[0]) & (keys["scenario"] == SKIPPED[1]), "status"] = "skipped"
    truth = np.array([truths[pair] for pair in zip(keys["scenario"], keys["estimand"], strict=True)])
    own = keys["targets"].where(keys["targets"] != "control", "gradient")
    target = np.array([truths[pair] for pair in zip(keys["scenario"], own, strict=True)])
    place = keys["method"].map({name: at for at, name in enumerate(METHODS)}).to_numpy()
    noise = (0.01 + 0.02 * place + 0.03 * (keys["model"] != "oracle").to_numpy())[:, None]
    estimate = np.abs(target + noise * rng.standard_normal(target.shape))
    estimate[keys["method"] == "uniform"] = 0.25
    estimate /= estimate.sum(1, keepdims=True)
    done = (keys["status"] == "done").to_numpy()
    found = pd.DataFrame(score_vectors(truth, estimate, np.zeros_like(truth))).astype(float)
    found[~done] = np.nan
    scores = pd.concat([keys, found], axis=1)
    learnt = np.where(keys["model"] == "oracle", 1.0, 0.95)
    where = zip(keys["model"], keys["scenario"], keys["data_seed"], strict=True)
    learnt[[key == NOT_LEARNT for key in where]] = 0.3
    scores = scores.assign(
        learnt=learnt,
        accuracy=0.5 + learnt / 2,
        auroc=0.5 + learnt / 2,
        r2=learnt,
        model_calls=np.where(done, 8.0**place, np.nan),
        seconds=np.where(done, 0.01 * 3.0**place, np.nan),
    )
    shares = keys.loc[keys.index.repeat(len(MODALITIES))].assign(
        modality=np.tile(MODALITIES, len(keys)),
        truth=truth.ravel(),
        truth_se=0.0,
        estimate=np.where(np.repeat(done, len(MODALITIES)), estimate.ravel(), np.nan),
        estimate_se=0.01,
    )
    return scores, shares


def make_missing(rng):
    """Return how well two networks do on each subset of two modalities."""
    rows = pd.DataFrame({"scenario": ["paper-F4", HOSTILE_SCENARIO]})
    rows = rows.assign(images="phantom", features="anatomy").merge(
        pd.DataFrame({"model": MODELS[1:]}), how="cross"
    )
    subsets = [("", 0, 0.5), ("axial", 1, 0.7), ("coronal", 1, 0.75), ("axial + coronal", 2, 0.95)]
    rows = rows.merge(
        pd.DataFrame(subsets, columns=["available", "n_available", "best_accuracy"]), how="cross"
    )
    rows = rows.merge(pd.DataFrame({"data_seed": range(N_SEEDS)}), how="cross")
    regret = np.where(rows["n_available"] > 0, 0.05 * rng.random(len(rows)), 0.0)
    return rows.assign(
        train_seed=rows["data_seed"],
        n_modalities=2,
        accuracy=rows["best_accuracy"] - regret,
        auroc=rows["best_accuracy"] - regret,
        best_auroc=rows["best_accuracy"],
        log_loss=1.5 - rows["best_accuracy"] + regret,
        best_log_loss=1.5 - rows["best_accuracy"],
        regret_accuracy=regret,
        regret_auroc=regret,
        regret_log_loss=regret,
    )


def make_balance(rng):
    """Return what two networks make of each modality; one leans on an image and ignores a table."""
    rows = pd.DataFrame({"scenario": ["paper-F6", HOSTILE_SCENARIO]})
    rows = rows.assign(images="phantom", features="anatomy").merge(
        pd.DataFrame({"model": MODELS[1:]}), how="cross"
    )
    parts = pd.DataFrame({"modality": MODALITIES, "share_network": [0.6, 0.2, 0.15, 0.05]})
    rows = rows.merge(parts, how="cross").merge(pd.DataFrame({"data_seed": range(N_SEEDS)}), how="cross")
    return rows.assign(
        train_seed=rows["data_seed"],
        share_data=0.25,
        drop=rows["share_network"] / 2,
        drop_se=0.01,
        true_drop=0.12,
        alone=0.6 + 0.1 * rng.random(len(rows)),
        best_alone=0.7,
        flag=rows["modality"].map({"axial": "leaned on", "clinical_b": "ignored"}).fillna(""),
    )


def write_run(folder):
    """Write the folder of a run and return its scores."""
    scores, shares = make_tables()
    rng = np.random.default_rng(1)
    tables = {"scores": scores, "importances": shares, "missing": make_missing(rng)}
    for name, frame in (tables | {"balance": make_balance(rng)}).items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    manifest = {
        "command": f"plumbline run mine.toml --seeds 3 --method '{HOSTILE_METHOD}'",
        "suite": "mine",
        "images": ["phantom", "organamnist"],
        "seeds": {name: list(range(N_SEEDS)) for name in ("data_seed", "train_seed", "method_seed")},
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "python": "3.11.9",
        "versions": {"torch": "2.13.0", "numpy": "2.4.0", "captum": "0.9.0", "rbo": None},
        "n_results": len(scores) // len(TRUTHS),
        "machine": {"processor": "x86_64", "n_cpus": 2},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return scores


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """Return a made-up run: its ``scores``, its report's ``file``, hostile ``method`` and ``scenario``."""
    folder = tmp_path_factory.mktemp("made-up")
    scores = write_run(folder)
    report_command.report([folder])
    return SimpleNamespace(
        scores=scores,
        file=folder / "report.html",
        method=HOSTILE_METHOD,
        scenario=HOSTILE_SCENARIO,
        failed=FAILED,
    )
