"""When the truths part ways: shares of one modality under four changes of a small decision function.

    .venv/bin/python results/reference/estimands.py      # writes synthetic/pictures/estimands.png

Every point is a truth worked out by `synthetic.truth`; nothing is trained.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmark.report.figure import save
from synthetic.decision import DecisionFunction, Term
from synthetic.law import GaussianCopula, LatentLaw
from synthetic.truth import Precision, Truths
from synthetic.types import Modality

PICTURE = Path(__file__).resolve().parents[2] / "synthetic" / "pictures" / "estimands.png"
# Okabe & Ito (2008); dashes differ as well.
STYLES = {
    "gradient": ("#000000", "-"),
    "total_effect": ("#D55E00", "-"),
    "shapley": ("#0072B2", "-"),
    "permutation": ("#E69F00", "--"),
    "sage": ("#56B4E9", "--"),
    "information": ("#009E73", ":"),
}
NAMES = ("image", "table", "other")


def truths(terms: tuple[Term, ...], correlation: float = 0.0) -> Truths:
    """Return the truths of F over three modalities of one latent each, the first two correlated."""
    modalities = tuple(Modality(name, "table", ("z",)) for name in NAMES)
    covariance = np.eye(3)
    covariance[0, 1] = covariance[1, 0] = correlation
    law = LatentLaw((GaussianCopula(covariance),))
    return Truths(DecisionFunction(modalities, terms), law, precision=Precision(last=2**14))


def sweep(values: np.ndarray, make, modality: str) -> dict[str, list[float]]:
    """Return each estimand's share of a modality for each value; not a number where nothing has a share."""
    lines: dict[str, list[float]] = {name: [] for name in STYLES}
    for value in values:
        found = make(float(value))
        for name, line in lines.items():
            truth = found[name]
            line.append(truth.modalities[modality] if truth.informative else np.nan)
    return lines


IMAGE, TABLE, OTHER = (Term((f"{name}/z",)) for name in NAMES)


def weighted(term: Term, weight: float) -> Term:
    """Return a term times a number."""
    return Term(term.features, weight=weight)


PANELS = (
    (
        "Redundancy: F = image + other; the table repeats the image",
        "correlation of table and image",
        "share of the table, which F does not read",
        np.linspace(0, 0.98, 25),
        lambda r: truths((IMAGE, OTHER), r),
        "table",
    ),
    (
        "Correlation: F = image + table + other; F reads both twins",
        "correlation of table and image",
        "share of the image",
        np.linspace(-0.6, 0.98, 33),
        lambda r: truths((IMAGE, TABLE, OTHER), r),
        "image",
    ),
    (
        "Interaction: F = (1 − w)·image + w·image·table + other/2",
        "w: how much of the image acts through the table",
        "share of the table",
        np.linspace(0, 1, 21),
        lambda w: truths((weighted(IMAGE, 1 - w), weighted(IMAGE, w) * TABLE, weighted(OTHER, 0.5))),
        "table",
    ),
    (
        "Scale: F = a·image + table",
        "a: weight of the image",
        "share of the image",
        np.linspace(0, 4, 41),
        lambda a: truths((weighted(IMAGE, a), TABLE)),
        "image",
    ),
)


def main() -> None:
    """Draw the four panels."""
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (title, below, beside, values, make, modality) in zip(
        figure.subplots(2, 2).flat, PANELS, strict=True
    ):
        for name, line in sweep(values, make, modality).items():
            colour, dash = STYLES[name]
            panel.plot(values, line, dash, color=colour, linewidth=2, label=name)
        panel.set_title(title, fontsize=10, loc="left")
        panel.set_xlabel(below)
        panel.set_ylabel(beside)
        panel.set_ylim(-0.02, max(0.55, panel.get_ylim()[1]))
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    save(figure, PICTURE)
    print(PICTURE)


if __name__ == "__main__":
    main()
