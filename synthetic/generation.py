"""What a scenario gives: its truths, and datasets drawn from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from synthetic import images
from synthetic import missing as gaps
from synthetic.images import SPLITS, Split
from synthetic.law import Population
from synthetic.scenario import Scenario
from synthetic.seeding import numpy_rng
from synthetic.settings import own_settings
from synthetic.truth import Truths
from synthetic.types import Dataset, Samples


def truths(scenario: Scenario, *, data_root: Path | str | None = None) -> Truths:
    """Return the truths of a scenario; each is worked out when it is first asked for.

    Args:
        scenario: the data-generating process.
        data_root: folder with the OrganMNIST files, where the scenario needs them.

    Example:
        >>> import synthetic
        >>> found = truths(synthetic.scenario("graded"))
        >>> {name: round(share, 3) for name, share in found["shapley"].modalities.items()}
        {'axial': 0.533, 'coronal': 0.3, 'clinical_a': 0.133, 'clinical_b': 0.033}
    """
    scans: tuple[Population, ...] = ()
    if scenario.source != "phantom":
        scans = images.draw(
            scenario.source,
            size=scenario.image_size,
            kind=scenario.features,
            n=None,
            seed=0,
            data_root=data_root,
        ).scans
    return _truths(scenario, scans)


def _truths(scenario: Scenario, scans: tuple[Population, ...]) -> Truths:
    return Truths(scenario.decision, scenario.law(scans), scenario.labels, missing=scenario.missing_rules)


@own_settings()
def generate(
    scenario: Scenario, *, seed: int = 0, n: int | None = None, data_root: Path | str | None = None
) -> Dataset:
    """Draw a dataset from a scenario.

    A label is the class in which F falls; the classes are cut at quantiles of F's law, and a share of the
    labels is wrong where the scenario says so. The same seed gives the same patients in every scenario with
    the same images and tables.

    Args:
        scenario: what to draw from.
        seed: data seed.
        n: patients in all three splits together; None for the scenario's own number.
        data_root: folder with the OrganMNIST files, where the scenario needs them.

    Raises:
        ValueError: if n is too small to fill three splits, or more than the source has.
        synthetic.medmnist.DataError: if a file of real scans is missing or broken.

    Example:
        >>> import synthetic
        >>> dataset = generate(synthetic.scenario("paper-F4"), seed=0, n=200)
        >>> dataset.truth["gradient"].modalities
        {'axial': 0.5, 'coronal': 0.5, 'clinical_a': 0.0, 'clinical_b': 0.0}
    """
    drawn = images.draw(
        scenario.source,
        size=scenario.image_size,
        kind=scenario.features,
        n=scenario.n if n is None else n,
        seed=seed,
        law=scenario.copula.first(_n_rendered(scenario)),
        data_root=data_root,
    )
    decision = scenario.decision
    found = _truths(scenario, drawn.scans)
    tables = _draw_tables(scenario, drawn, seed)
    latents = {
        split: torch.from_numpy(np.concatenate([drawn.latents[split], tables[split]], axis=1)).float()
        for split in SPLITS
    }
    values = {split: decision(z.double()).numpy() for split, z in latents.items()}
    missing = {
        split: torch.from_numpy(
            gaps.hide(
                scenario.missing,
                z.numpy(),
                decision.columns,
                scenario.modalities,
                numpy_rng("missing", split, seed),
                margins=scenario.margins,
            )
        )
        for split, z in latents.items()
        if scenario.missing
    }
    samples = {}
    for split in SPLITS:
        seen = latents[split]
        if split in missing:
            seen = torch.from_numpy(gaps.impute(seen.numpy(), missing[split].numpy()))
        # Copies: the draw is shared with the next scenario, the columns with the latent features.
        inputs = {view: torch.from_numpy(pixels.copy()) for view, pixels in drawn.images[split].items()}
        inputs |= {name: seen[:, decision.slices[name]].clone() for name in scenario.tables}
        labels = scenario.labels.draw(values[split], found.thresholds, numpy_rng("labels", split, seed))
        samples[split] = Samples(inputs, torch.from_numpy(labels))
    return Dataset(
        scenario=scenario.name,
        seed=seed,
        modalities=scenario.modalities,
        train=samples["train"],
        explain=samples["explain"],
        test=samples["test"],
        truth=found,
        latents=latents,
        thresholds=tuple(found.thresholds.tolist()),
        decision_scale=float(values["train"].std(ddof=1)),
        missing=missing,
    )


def _n_rendered(scenario: Scenario) -> int:
    """Return how many latents of the scenario's copula are shown by images: those of phantoms."""
    return scenario.copula.n_columns - sum(
        len(it.latents) for it in scenario.modalities if it.kind == "table"
    )


def _draw_tables(scenario: Scenario, drawn: images.ImageDraw, seed: int) -> dict[Split, np.ndarray]:
    """Return standardised table columns ``[n, k]`` by split, given the image latents they are linked to."""
    joint, n_rendered = scenario.copula, _n_rendered(scenario)
    slopes, rest = joint.given_first(n_rendered)
    tables = {}
    for split in SPLITS:
        scores = rest.sample(len(drawn.latents[split]), numpy_rng("clinical", split, seed))
        if slopes.any():
            scores = scores + drawn.latents[split].astype(np.float64) @ slopes.T
        tables[split] = joint.latents(scores)
    return tables
