"""What a scenario gives: its truths, and datasets drawn from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from synthetic import images
from synthetic import missing as gaps
from synthetic.images import SPLITS, Split
from synthetic.law import GaussianCopula, Population
from synthetic.margins import NORMAL
from synthetic.scenario import Scenario
from synthetic.seeding import numpy_rng
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
    image_law = scenario.image_law_without_data()
    if scenario.source != "phantom":
        image_law = images.draw(
            scenario.source,
            size=scenario.image_size,
            kind=scenario.features,
            n=None,
            seed=0,
            data_root=data_root,
        ).law
    return _truths(scenario, image_law)


def _truths(scenario: Scenario, image_law: tuple[GaussianCopula | Population, ...]) -> Truths:
    return Truths(scenario.decision, scenario.law(image_law), scenario.labels, missing=scenario.missing_rules)


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
        data_root=data_root,
    )
    decision = scenario.decision
    found = _truths(scenario, drawn.law)
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


def _draw_tables(scenario: Scenario, drawn: images.ImageDraw, seed: int) -> dict[Split, np.ndarray]:
    """Return standardised table columns ``[n, k]`` by split, given the image latents they are linked to."""
    joint = scenario.table_law(drawn.law)
    n_linked = sum(block.n_columns for block in drawn.law if isinstance(block, GaussianCopula))
    cross = joint.covariance[n_linked:, :n_linked]
    own = GaussianCopula(
        joint.covariance[n_linked:, n_linked:] - cross @ cross.T,  # image latents are independent
        (NORMAL,) * (len(joint.covariance) - n_linked),
    )
    margins = GaussianCopula(joint.covariance[n_linked:, n_linked:], joint.margins[n_linked:])
    tables = {}
    for split in SPLITS:
        scores = own.sample(len(drawn.latents[split]), numpy_rng("clinical", split, seed))
        if cross.any():
            scores = scores + drawn.latents[split].astype(np.float64) @ cross.T
        tables[split] = margins.latents(scores)
    return tables
