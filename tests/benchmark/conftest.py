"""Run folders that are made up: scores, missing modalities and balance, with known contents."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

TRUTHS = ("gradient", "shapley")
TARGETS = {"alpha": "gradient", "beta": "shapley", "gamma": "gradient", "uniform": "control"}
CASES = ("paper-F0", "xor", "mine")


def make_scores(*, models=("oracle", "net"), methods=TARGETS, cases=CASES, n_seeds=3, noise=0.1, seed=0):
    """Return scores in which alpha errs least, then beta, then gamma."""
    rng = np.random.default_rng(seed)
    targets = dict(methods)
    rows = [
        {
            "scenario": case,
            "images": "phantom",
            "features": "anatomy",
            "model": model,
            "method": method,
            "method_version": "1",
            "targets": targets[method],
            "estimand": truth,
            "data_seed": k,
            "train_seed": k,
            "method_seed": k,
            "status": "done",
            "rmse": 0.05 * (1 + place) * np.exp(noise * rng.standard_normal()),
            "rmse_uniform": 0.4,
            "rbo": 1 - 0.1 * rng.random(),
            "rbo_p90": 0.9,
            "rbo_chance": 0.75,
            "kendall_tau_b": 1.0,
            "accuracy": 0.96,
            "auroc": 0.99,
            "r2": 0.9,
            "model_calls": 10 * place,
            "seconds": 0.5,
            "learnt": 0.95,
            "informative": float(case != "xor"),
            "n_clipped": 0,
            "all_zero": 0,
            "n_modalities": 4,
        }
        for model in models
        for place, method in enumerate(targets)
        for case in cases
        for k in range(n_seeds)
        for truth in TRUTHS
    ]
    return pd.DataFrame(rows)


def write_run(folder, scores, *, manifest=None, **others):
    folder.mkdir(parents=True, exist_ok=True)
    scores.to_csv(folder / "scores.csv", index=False)
    if manifest is not None:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    for name, frame in others.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def make_missing(models=("net",)):
    return pd.DataFrame(
        [
            {
                "scenario": "paper-F0",
                "images": "phantom",
                "features": "anatomy",
                "model": model,
                "data_seed": k,
                "train_seed": k,
                "available": available,
                "n_available": n,
                "n_modalities": 2,
                "accuracy": accuracy,
                "auroc": accuracy,
                "log_loss": 0.5,
                "best_accuracy": 0.9,
                "best_auroc": 0.9,
                "best_log_loss": 0.4,
                "regret_accuracy": 0.9 - accuracy,
                "regret_auroc": 0.9 - accuracy,
                "regret_log_loss": 0.1,
                "only": "",
            }
            for model in models
            for k in range(2)
            for available, n, accuracy in (
                ("", 0, 0.5),
                ("a", 1, 0.6),
                ("NA", 1, 0.8),
                ("a + NA", 2, 0.85 + 0.02 * k),
            )
        ]
    )


def make_balance():
    return pd.DataFrame(
        [
            {
                "scenario": "paper-F0",
                "images": "phantom",
                "features": "anatomy",
                "model": "net",
                "data_seed": k,
                "train_seed": k,
                "modality": modality,
                "share_data": 0.5,
                "share_network": share,
                "drop": 0.1,
                "drop_se": 0.01,
                "true_drop": 0.2,
                "alone": 0.7,
                "best_alone": 0.8,
                "flag": flag if k else "",
            }
            for k in range(2)
            for modality, share, flag in (("a", 0.9, "leaned on"), ("b", 0.1, "ignored"))
        ]
    )


@pytest.fixture(scope="session")
def runs():
    """Return what makes run folders: scores, missing, balance, write, and the targets of the methods."""
    return SimpleNamespace(
        scores=make_scores, missing=make_missing, balance=make_balance, write=write_run, targets=TARGETS
    )
