"""What to use instead of the published gradient: methods on every reference network, each truth apart.

Run it from the project's root, after the runs of README.md: networks come from the cache, the scores of
methods that take minutes from ``*/scores.csv``::

    .venv/bin/python results/reference/better.py --data-root DIR [--table better.csv]

The rules of ``calibrated_*`` were chosen on *development* networks; the rest is *held out*. ``small-sample``
was, too, until its failure led to the last rule (``straighten.weights``: near 1 for want of samples).
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import methods
import synthetic
from benchmark import suite
from benchmark.bench import set_up
from benchmark.score import pooled_rmse, rbo, rmse
from synthetic.settings import own_settings

ESTIMANDS = ("gradient", "permutation", "total_effect", "shapley", "sage")
CHEAP = ("gradient", "permutation", "permutation(unit=modality)")
DEAR = ("lime", "kernel_shap", "modality_contribution(granularity=whole)", "modality_contribution")
KNOWN = CHEAP + DEAR
OWN = tuple(f"calibrated_{estimand}" for estimand in ESTIMANDS)
LABEL_FREE = tuple(f"{name}(calibrate=False)" for name in OWN)
SOURCES = (("phantom", None), ("organamnist", "autoencoder"), ("organamnist", "pca"))
TIED = 0.005
LEAST_LEARNT = 0.8


def stages() -> Iterator[tuple[str, suite.Stage]]:
    """Yield every reference network with the set that it belongs to."""
    for images, features in SOURCES:
        for job in suite.plan(
            suite.get("paper"),
            images=images,
            features=features,
            model_names=("hybrid",),
            method_names=("gradient",),
            n_seeds=3,
        ):
            developed = job.stage.data_seed == 0 and features != "pca"
            yield f"{'development' if developed else 'held out'}: {features or images}", job.stage
    others = [name for name in synthetic.scenarios() if not name.startswith("paper")]
    jobs = suite.plan(suite.get("catalogue"), model_names=("hybrid",), method_names=("gradient",), n_seeds=1)
    for job in jobs:
        if job.stage.scenario in others:
            developed = others.index(job.stage.scenario) % 2 == 0 or job.stage.scenario == "small-sample"
            yield f"{'development' if developed else 'held out'}: catalogue", job.stage


def measure(data_root: str | None, names: tuple[str, ...]) -> Iterator[dict[str, object]]:
    """Yield a row for each network, method and truth."""
    for part, stage in stages():
        try:
            bench = set_up(stage, data_root)
        except RuntimeError as error:
            print(f"left out: {stage.scenario}: {str(error).splitlines()[0]}")
            continue
        fidelity = bench.learnt
        learnt = (fidelity.accuracy - fidelity.chance) / (fidelity.ceiling - fidelity.chance)
        if learnt < LEAST_LEARNT:
            print(f"left out: {stage.scenario} learnt {learnt:.2f} of what can be learnt")
            continue
        samples = bench.explain.take(slice(0, suite.N_EXPLAINED)).as_float()
        for name in names:
            rng = np.random.default_rng(zlib.crc32(f"{stage.scenario} {name}".encode()))
            found = list(methods.get(name).attribute(bench.model, samples, rng).modalities.values())
            for estimand in ESTIMANDS:
                if estimand not in bench.truth:
                    continue
                truth = bench.truth[estimand]
                shares, error = list(truth.modalities.values()), list(truth.standard_error.values())
                yield {
                    "part": part,
                    "network": f"{stage.scenario} {stage.images} {stage.features} {stage.data_seed}",
                    "method": name,
                    "estimand": estimand,
                    "rmse": rmse(shares, found),
                    "rbo": rbo(shares, found, truth_standard_error=error),
                    "n": len(shares),
                }


def recorded() -> pd.DataFrame:
    """Return what the reference runs say of the costly methods, against the gradient truth and their own."""
    here = Path(__file__).parent
    scores = pd.concat([pd.read_csv(path) for path in sorted(here.glob("*/scores.csv"))])
    scores = scores[(scores["model"] == "hybrid") & scores["method"].isin(DEAR)]
    scores["network"] = [
        f"{row.scenario} {row.images} {row.features} {row.data_seed}" for row in scores.itertuples()
    ]
    scores = scores.rename(columns={"n_modalities": "n"})
    return scores.drop_duplicates(["network", "method", "estimand"])[
        ["network", "method", "estimand", "rmse", "rbo", "n"]
    ]


def report(table: pd.DataFrame) -> None:
    """Print pooled RMSE and mean RBO, how often the method is first, and the test against the best other."""
    for estimand in ESTIMANDS:
        rows = table[table["estimand"] == estimand]
        own = [f"calibrated_{estimand}", f"calibrated_{estimand}(calibrate=False)"]
        summary = {}
        for (part, name), group in rows.groupby(["part", "method"], sort=False):
            if name in own or name in KNOWN:
                pooled = pooled_rmse(group["rmse"], group["n"])
                summary.setdefault(part, {})[name] = f"{pooled:.3f} {group['rbo'].mean():.3f}"
        print(f"\n## {estimand}: pooled RMSE, mean RBO\n\n{pd.DataFrame(summary).fillna('').to_string()}\n")
        wide = rows.pivot_table(index=["part", "network"], columns="method", values="rmse", sort=False)
        for part, group in wide.groupby(level="part", sort=False):
            known = group[[name for name in KNOWN if name in wide]].dropna(axis=1)
            rival = str((known**2).mean().idxmin())
            for name in own:
                tied = (group[name] <= known.min(axis=1) + TIED).mean()
                difference = group[name] - known[rival]
                print(
                    f"{name}, {part}: first or within {TIED} of the best on {tied:.0%} of {len(group)}; "
                    f"less {rival}: median {difference.median():+.4f}, "
                    f"Wilcoxon p = {stats.wilcoxon(difference).pvalue:.1g}"
                )


def main() -> None:
    """Measure, or read what was measured, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--table", type=Path, default=None)
    options = parser.parse_args()
    if options.table is not None and options.table.exists():
        table = pd.read_csv(options.table)
    else:
        root = None if options.data_root is None else str(options.data_root)
        with own_settings(threads=1):
            table = pd.DataFrame(measure(root, (*CHEAP, *OWN, *LABEL_FREE)))
        if options.table is not None:
            table.to_csv(options.table, index=False)
    parts = table.drop_duplicates("network").set_index("network")["part"]
    others = recorded()
    others["part"] = others["network"].map(parts.to_dict())
    report(pd.concat([table, others.dropna(subset="part")]))


if __name__ == "__main__":
    main()
