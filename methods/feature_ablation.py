"""Feature ablation at the fusion layer: one feature, or one modality, at a time (Zeiler & Fergus 2014)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from methods.api import FusionModel, Method
from methods.evaluation import chunks, fusion_features, probabilities, target_probabilities
from methods.references import Reference, reference_vector
from synthetic.types import Samples

# Samples whose ablated copies are in memory at a time.
_BLOCK = 128


def ablation(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    unit: Literal["feature", "modality"] = "feature",
    reference: Reference = "mean",
) -> Tensor | Mapping[str, float]:
    """Return p(target) of a sample less that of the sample with a feature put to its reference.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: not used.
        unit: ablate one feature at a time, or a modality's features together.
        reference: what an ablated feature becomes: its ``mean`` over the samples, or ``zero``.

    Returns:
        Local differences ``[n, d]``, or modality → mean absolute difference.

    Raises:
        ValueError: if an option is none of these.
    """
    del rng  # nothing here is random
    if unit not in ("feature", "modality"):
        raise ValueError(f"The 'unit' of feature ablation must be 'feature' or 'modality'. Got {unit!r}.")
    features, target = fusion_features(model, samples)
    away = reference_vector(features, reference)
    width = features.shape[1]
    if unit == "feature":
        kept = 1 - torch.eye(width)
    else:
        kept = torch.ones(len(model.groups), width)
        for row, columns in zip(kept, model.groups.values(), strict=True):
            row[columns] = 0
    before = probabilities(model, features).gather(1, target[:, None])
    after = [
        # With weights 0 and 1 it selects, to the last digit.
        target_probabilities(model, torch.lerp(away, features[rows, None], kept), target[rows])
        for rows in chunks(len(features), _BLOCK)
    ]
    change = before - torch.cat(after)
    if unit == "feature":
        return change
    return dict(zip(model.groups, change.abs().double().mean(0).tolist(), strict=True))


METHOD = Method(
    name="feature_ablation",
    function=ablation,
    estimand="total_effect",
    citation="Zeiler & Fergus 2014, Visualizing and understanding convolutional networks",
)
