"""Does a modality's contribution go with what it can do alone? Over the catalogue, in truths and networks.

Gapp et al. (2025) link the two. Usage, after two runs, of which the second trains networks of one modality:

    plumbline run catalogue --model hybrid --method modality_contribution --method ablation --seeds 1 --out A
    plumbline run missing --out B
    python results/reference/link.py A B
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import synthetic
from benchmark.report.markdown import table

FEW = 0.05
"""Bayes accuracy of a modality alone, as a share of what can be gained above chance, that is next to none."""

CASE = ["scenario", "modality"]


def truths() -> pd.DataFrame:
    """Return every truth's share of each modality, and what it can do alone, of all scenarios on phantoms."""
    rows = []
    for name in synthetic.scenarios():
        found = synthetic.truths(synthetic.scenario(name))
        best = found["bayes_accuracy"]
        chance, most = best.summary["chance"], best.summary["all"]
        rows += [
            {
                "scenario": name,
                "family": synthetic.family(name),
                "modality": it,
                "alone": (best.subsets["accuracy"][[it]] - chance) / (most - chance),
                **{
                    estimand: truth.modalities[it] if truth.informative else 0.0
                    for estimand, truth in found.items()
                    if estimand not in ("bayes_accuracy", "information", "interaction")
                },
            }
            for it in best.modalities
        ]
    return pd.DataFrame(rows)


def said(folder: Path) -> pd.DataFrame:
    """Return what methods say of the hybrid networks of a run, mean over seeds, and what these lose."""
    rows = pd.read_csv(folder / "importances.csv")
    rows = rows[
        (rows["estimand"] == "permutation") & (rows["status"] == "done") & (rows["model"] == "hybrid")
    ]
    wide = rows.pivot_table(index=CASE, columns="method", values="estimate").reset_index()
    lost = balance(folder)
    return wide.merge(lost[lost["model"] == "hybrid"].groupby(CASE, as_index=False)["share_network"].mean())


def trained_alone(folder: Path) -> pd.DataFrame:
    """Return the accuracy of networks that see one modality alone, above chance, mean over seeds."""
    rows = balance(folder)
    rows = rows[rows["only"] == rows["modality"]]
    return rows.assign(trained=rows["alone"] - 0.5).groupby(CASE, as_index=False)["trained"].mean()


def balance(folder: Path) -> pd.DataFrame:
    """Return a run's balance of networks."""
    return pd.read_csv(folder / "balance.csv", keep_default_na=False, na_values={"share_network": [""]})


def link(frame: pd.DataFrame, alone: str, contribution: str) -> list[str]:
    """Return how contributions go with performance alone: over all modalities, and inside scenarios."""
    known = frame.dropna(subset=[alone, contribution])
    inside = [
        group[alone].corr(group[contribution], method="spearman")
        for _, group in known.groupby("scenario")
        if len(set(group[alone])) > 1 and len(set(group[contribution])) > 1
    ]
    told = pd.Series(inside)
    return [
        contribution,
        str(len(known)),
        f"{known[alone].corr(known[contribution]):.2f}",
        f"{known[alone].corr(known[contribution], method='spearman'):.2f}",
        f"{told.mean():.2f}",
        f"{(told < 0.5).sum()} of {len(told)}",
    ]


def odd(frame: pd.DataFrame, alone: str, contribution: str, *, most: int = 8) -> str:
    """Return the modalities that contribute without doing anything alone, and the other way round."""
    share = frame[alone] / frame.groupby("scenario")[alone].transform("sum")
    silent = frame[(frame[alone] < FEW) & (frame[contribution] > 0.1)].nlargest(most, contribution)
    idle = frame[(share > 0.1) & (frame[contribution] < 0.02)].nlargest(most, alone)
    rows = [
        [
            kind,
            row["scenario"],
            row["modality"],
            *(f"{round(row[it], 2) + 0.0:.2f}" for it in (alone, contribution)),
        ]
        for kind, chosen in (
            ("contributes, alone nothing", silent),
            ("alone something, contributes nothing", idle),
        )
        for row in chosen.to_dict(orient="records")
    ]
    return table(["", "scenario", "modality", "alone", contribution], rows)


HEAD = ["contribution", "modalities", "Pearson", "Spearman", "inside a scenario", "below 0.5"]

if __name__ == "__main__":
    known = truths()
    estimands = [name for name in known if name not in ("scenario", "family", "modality", "alone")]
    print("Truths against the Bayes accuracy of the modality alone\n")
    print(table(HEAD, [link(known, "alone", name) for name in estimands]))
    print()
    print(odd(known, "alone", "total_effect"))
    if len(sys.argv) > 2:
        methods = ("modality_contribution", "ablation", "share_network")
        both = known.merge(said(Path(sys.argv[1])), on=CASE)
        print("\nWhat is said of hybrid networks against the Bayes accuracy of the modality alone\n")
        print(table(HEAD, [link(both, "alone", name) for name in methods]))
        print()
        print(odd(both, "alone", "modality_contribution"))
        both = known.merge(said(Path(sys.argv[2])).merge(trained_alone(Path(sys.argv[2]))), on=CASE)
        print("\nThe same on the suite missing, against networks that are trained on the modality alone\n")
        print(table(HEAD, [link(both, "trained", name) for name in methods]))
