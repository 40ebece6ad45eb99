"""Scenarios: named, seedable data-generating processes with known importances."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from synthetic import images, truth
from synthetic.clinical import PAPER_TABLES, GaussianTables
from synthetic.decision import DecisionFunction, Term
from synthetic.images import SPLITS, FeatureKind, Source
from synthetic.law import LatentLaw
from synthetic.seeding import numpy_rng
from synthetic.types import Dataset, Modality, Samples


@dataclass(frozen=True)
class Scenario:
    """One data-generating process: images, clinical tables and a decision function.

    Attributes:
        name: e.g. ``"paper-F6"``.
        description: one line on what it tests.
        terms: terms of the decision function, over ``"modality/latent"`` names.
        source: where the images come from: ``phantom``, ``organamnist`` or ``organ-ac``.
        image_size: height and width in pixels.
        features: latent features: ``anatomy`` for phantoms; ``autoencoder`` or ``pca`` for real scans.
        tables: the law of the clinical tables.
        n: patients in all splits together by default; None for every patient that the source has.
    """

    name: str
    description: str
    terms: tuple[Term, ...]
    source: Source = "phantom"
    image_size: int = 28
    features: FeatureKind = "anatomy"
    tables: GaussianTables = PAPER_TABLES
    n: int | None = None

    def __post_init__(self) -> None:
        _ = self.decision  # checks source and features, and names the first unknown latent feature

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The images, then the tables, in the order of the latent features."""
        return (*images.modalities(self.source, self.features), *self.tables.modalities)

    @property
    def decision(self) -> DecisionFunction:
        """The decision function F: ``z [n, d]`` → ``[n]``."""
        return DecisionFunction(self.modalities, self.terms)


def generate(
    scenario: Scenario, *, seed: int = 0, n: int | None = None, data_root: Path | str | None = None
) -> Dataset:
    """Draw a dataset from a scenario.

    Labels are 1 where F ≥ the training split's median of F, so that the classes balance. The same seed
    gives the same patients in every scenario with the same images and tables.

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
        data_root=data_root,
    )
    decision = scenario.decision
    tables = {
        split: scenario.tables.law.sample(len(drawn.latents[split]), numpy_rng("clinical", split, seed))
        for split in SPLITS
    }
    latents = {
        split: torch.from_numpy(np.concatenate([drawn.latents[split], tables[split]], axis=1)).float()
        for split in SPLITS
    }
    values = {split: decision(z.double()) for split, z in latents.items()}
    threshold = float(np.median(values["train"].numpy()))
    samples = {
        split: Samples(
            {
                # Copies: the draw is shared with the next scenario, the columns with the latent features.
                **{view: torch.from_numpy(pixels.copy()) for view, pixels in drawn.images[split].items()},
                **{
                    table.name: latents[split][:, decision.slices[table.name]].clone()
                    for table in scenario.tables.modalities
                },
            },
            (values[split] >= threshold).long(),
        )
        for split in SPLITS
    }
    law = LatentLaw((*drawn.law, scenario.tables.law))
    return Dataset(
        scenario=scenario.name,
        seed=seed,
        modalities=scenario.modalities,
        train=samples["train"],
        explain=samples["explain"],
        test=samples["test"],
        truth={"gradient": truth.gradient(decision, law)},
        latents=latents,
        threshold=threshold,
        decision_scale=float(values["train"].std()),
    )
