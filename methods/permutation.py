"""Permutation importance at the fusion layer (Breiman 2001; Fisher, Rudin & Dominici 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from methods.api import FusionModel, Method
from methods.evaluation import chunks, fusion_features, probabilities, torch_generator
from synthetic.types import Samples

# Permuted copies of the samples that are held in memory at a time.
_COPIES = 16


def accuracy_loss(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    unit: Literal["feature", "modality"] = "feature",
    n_repeats: int = 10,
) -> Tensor | Mapping[str, float]:
    """Return the accuracy that the model loses when columns of the fusion vector are permuted.

    Args:
        model: the model.
        samples: with labels.
        rng: source of the permutations.
        unit: permute one feature at a time (as Azmat & Alessio's follow-up; a modality's importance is
            the sum), or a modality's features together.
        n_repeats: independent permutations a unit.

    Returns:
        Mean loss a feature ``[d]``, or a modality. Noise may make a loss negative.

    Raises:
        ValueError: if the unit is unknown or n_repeats is not positive.
    """
    if unit not in ("feature", "modality"):
        raise ValueError(f"The 'unit' of permutation must be 'feature' or 'modality'. Got {unit!r}.")
    if n_repeats < 1:
        raise ValueError(f"The 'n_repeats' of permutation must be at least 1. Got {n_repeats}.")
    labels = samples.labels
    if labels is None:
        raise ValueError("Permutation importance needs the 'labels' of the samples. Got none.")
    features, _ = fusion_features(model, samples)
    n, width = features.shape
    if unit == "feature":
        units = [slice(column, column + 1) for column in range(width)]
    else:
        units = list(model.groups.values())
    generator = torch_generator(rng)
    correct = (probabilities(model, features).argmax(1) == labels).double().mean()
    jobs = [columns for columns in units for _ in range(n_repeats)]
    losses = []
    for rows in chunks(len(jobs), _COPIES):
        copies = features.repeat(len(jobs[rows]), 1, 1)
        for copy, columns in zip(copies, jobs[rows], strict=True):
            copy[:, columns] = features[torch.randperm(n, generator=generator), columns]
        predicted = probabilities(model, copies.view(-1, width)).argmax(1).view(-1, n)
        losses.append(correct - (predicted == labels).double().mean(1))
    loss = torch.cat(losses).view(len(units), n_repeats).mean(1)
    return loss if unit == "feature" else dict(zip(model.groups, loss.tolist(), strict=True))


METHOD = Method(
    name="permutation",
    function=accuracy_loss,
    estimand="permutation",
    citation="Breiman 2001, Random forests; Fisher, Rudin & Dominici 2019, All models are wrong, but many "
    "are useful",
    needs_labels=True,
)
