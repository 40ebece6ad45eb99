"""Gradient importance after fusion (Azmat & Alessio 2022)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.api import FusionModel, Method
from methods.evaluation import CLASSIFY_ROWS, chunks, fusion_features
from synthetic.types import Samples


def local_gradients(model: FusionModel, samples: Samples, rng: np.random.Generator) -> Tensor:
    """Return ∂p/∂feature ``[n, d]`` of the target class's probability at the fusion features.

    One backward pass a batch: a sample's probability does not depend on the other samples, so the gradient
    of the sum holds every sample's own gradient.
    """
    del rng  # nothing here is random
    features, target = fusion_features(model, samples)
    parts = []
    for rows in chunks(len(features), CLASSIFY_ROWS):
        leaf = features[rows].clone().requires_grad_()
        with torch.enable_grad():
            probability = model.classify(leaf).softmax(1).gather(1, target[rows, None]).sum()
        parts.append(torch.autograd.grad(probability, leaf)[0])
    return torch.cat(parts)


METHOD = Method(
    name="gradient",
    function=local_gradients,
    estimand="gradient",
    citation="Azmat & Alessio 2022, Feature importance estimation using gradient based method for "
    "multimodal fused neural networks",
)
