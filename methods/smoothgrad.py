"""SmoothGrad at the fusion layer (Smilkov et al. 2017)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.api import FusionModel, Method
from methods.evaluation import chunks, fusion_features, torch_generator
from methods.slopes import probability_slopes
from synthetic.types import Samples

# Samples whose noisy copies are in memory at a time. It decides which sample gets which draw, so it does not
# follow the rows of a call.
_BLOCK = 128


def smoothed_gradients(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    noise: float = 0.5,
    n_copies: int = 50,
) -> Tensor:
    """Return the mean ``[n, d]`` of ∂p(target)/∂feature over copies of a sample with Gaussian noise.

    The paper advises noise of 10 to 20 % of the range of the values, over 50 copies. A range grows with the
    number of samples and with one outlier; of a uniform variable those are 0.35 to 0.7 standard deviations.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: source of the noise.
        noise: standard deviation of the noise, as a share of each feature's own over the samples.
        n_copies: noisy copies a sample.

    Raises:
        ValueError: if an option is out of range.
    """
    if not noise >= 0 or n_copies < 1:
        raise ValueError(
            f"The options of SmoothGrad must be noise ≥ 0 and n_copies ≥ 1. "
            f"Got noise={noise}, n_copies={n_copies}."
        )
    features, target = fusion_features(model, samples)
    scale = noise * features.std(0, correction=0)
    generator = torch_generator(rng)
    means = []
    for rows in chunks(len(features), _BLOCK):
        n, width = features[rows].shape
        steps = torch.randn(n, n_copies, width, generator=generator)
        copies = features[rows, None] + steps * scale
        means.append(probability_slopes(model, copies, target[rows]).mean(1))
    return torch.cat(means)


METHOD = Method(
    name="smoothgrad",
    function=smoothed_gradients,
    estimand="gradient",
    citation="Smilkov, Thorat, Kim, Viégas & Wattenberg 2017, SmoothGrad: removing noise by adding noise, "
    "arXiv:1706.03825",
)
