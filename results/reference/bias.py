"""Why the published methods err on trained networks: the measurement behind README.md.

Run it from the project's root, after the suite ``paper`` (whose networks it takes from the cache)::

    .venv/bin/python results/reference/bias.py [--images organamnist --features pca --data-root DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import methods
from benchmark import suite
from benchmark.bench import Bench, set_up
from benchmark.score import normalise
from methods.evaluation import encode
from methods.gradient import local_gradients
from synthetic.settings import own_settings


def shares(values) -> str:
    """Return normalised values as text."""
    return " ".join(f"{value:6.3f}" for value in normalise(np.asarray(values, dtype=float)).values)


def gradients(bench: Bench) -> None:
    """Print what the sum of absolute gradients sees, and what the size and redundancy of features hide."""
    samples = bench.explain.take(slice(0, 2000)).as_float()
    local = local_gradients(bench.model, samples, np.random.default_rng(0)).double()
    features = encode(bench.model, samples.inputs).double()
    sums, spread, effective, weighted = [], [], [], []
    for columns in bench.model.groups.values():
        g, covariance = local[:, columns], torch.cov(features[:, columns].T)
        eigenvalues = torch.linalg.eigvalsh(covariance).clamp(min=0)
        sums.append(float(g.abs().mean(0).sum()))
        spread.append(float(covariance.diagonal().sqrt().mean()))
        effective.append(float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum()))
        weighted.append(float(torch.einsum("ni,ij,nj->n", g, covariance, g).clamp(min=0).sqrt().mean()))
    print("  truth                              ", shares(list(bench.truth["gradient"].modalities.values())))
    print("  sum of mean |gradient|             ", shares(sums))
    print("  mean standard deviation of features", " ".join(f"{value:6.2f}" for value in spread))
    print("  effective number of features       ", " ".join(f"{value:6.2f}" for value in effective))
    print("  mean sqrt(g' Cov g)                ", shares(weighted))
    for name in ("permutation", "permutation(unit=modality)"):
        found = methods.get(name).attribute(
            bench.model, bench.explain.take(slice(0, 2000)).as_float(), np.random.default_rng(0)
        )
        print(f"  {name:<35}", shares(list(found.modalities.values())))


def sampling_noise(bench: Bench) -> None:
    """Print kernel SHAP's importances against its budget, and how far two runs of it differ."""
    samples = bench.explain.take(slice(0, 200)).as_float()
    for budget in (2128, 8512, 34048):
        method = methods.get(f"kernel_shap(n_coalitions={budget})")
        values = [
            method.function(bench.model, samples, np.random.default_rng(seed), **method.options).double()
            for seed in (0, 1)
        ]
        noise = float((values[0] - values[1]).abs().mean() / 2**0.5)
        size = float(values[0].abs().mean())
        importances = [values[0][:, columns].abs().mean(0).sum() for columns in bench.model.groups.values()]
        print(f"  {budget:6d} coalitions a sample          {shares(importances)}"
              f"   mean |error| / mean |value| = {noise / size:.2f}")  # fmt: skip


def main() -> None:
    """Print the measurements for one seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default="phantom")
    parser.add_argument("--features", default=None)
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--model", default="hybrid")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    jobs = suite.plan(
        suite.get("paper"),
        images=options.images,
        features=options.features,
        model_names=(options.model,),
        n_seeds=options.seed + 1,
    )
    root = None if options.data_root is None else str(options.data_root)
    with own_settings(threads=1):
        for case, measure in (
            ("paper-F0", gradients),
            ("paper-F6", gradients),
            ("paper-F2", sampling_noise),
        ):
            stage = next(
                job.stage
                for job in jobs
                if job.stage.scenario == case and job.stage.data_seed == options.seed
            )
            bench = set_up(stage, root)
            print(f"{case} on {options.images}, {options.model}, seed {options.seed}")
            print(f"  test accuracy {bench.learnt.accuracy:.3f}; {', '.join(bench.model.modalities)}")
            measure(bench)


if __name__ == "__main__":
    main()
