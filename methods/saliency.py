"""Saliency maps: the slope of the log-odds by every pixel (Simonyan, Vedaldi & Zisserman 2014)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.api import PIXELS, Attribution, FusionModel, Method
from methods.evaluation import torch_generator
from methods.pixel_maps import N_MAPS, Explained, attribution, explained, input_slopes
from synthetic.types import Samples


def saliency(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    times_input: bool = False,
    noise: float = 0.0,
    n_copies: int = 20,
    n_maps: int = N_MAPS,
) -> Attribution:
    """Return |∂s/∂x| of the log-odds s of the target class by every pixel and table column.

    The paper has the class's logit for s, and the largest of an image's colours; here colours are summed.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: source of the noise, if there is any.
        times_input: return x · ∂s/∂x instead (Shrikumar et al. 2016), which is signed.
        noise: above 0 the slopes are averaged over noisy copies of each sample before anything else
            (SmoothGrad, Smilkov et al. 2017). The standard deviation of the noise, as a share of an image's
            own range, and of the standard deviation of a table column over the samples.
        n_copies: noisy copies a sample; no matter without noise.
        n_maps: samples that are explained, the first ones.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: if the model has no derivatives by its inputs, or a single class.
    """
    if not noise >= 0 or n_copies < 1:
        raise ValueError(
            f"The options of saliency must be noise ≥ 0 and n_copies ≥ 1. "
            f"Got noise={noise}, n_copies={n_copies}."
        )
    given = explained(model, samples, n_maps)
    if noise == 0:
        slopes = input_slopes(model, given.inputs, given.target)
    else:
        spread = {name: noise * _spread(value, samples.inputs[name]) for name, value in given.inputs.items()}
        slopes = _smoothed(model, given, spread, n_copies, torch_generator(rng))
    if times_input:
        return attribution({name: given.inputs[name] * value for name, value in slopes.items()})
    return attribution({name: value.abs() for name, value in slopes.items()})


def _spread(value: Tensor, everyone: Tensor) -> Tensor:
    """Return each image's range ``[m, 1, 1, 1]``, or each table column's deviation ``[columns]``."""
    if value.ndim == 2:
        return everyone.std(0, correction=0)
    return value.amax((1, 2, 3), keepdim=True) - value.amin((1, 2, 3), keepdim=True)


def _smoothed(
    model: FusionModel,
    given: Explained,
    spread: dict[str, Tensor],
    n_copies: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    total = {name: torch.zeros_like(value) for name, value in given.inputs.items()}
    for _ in range(n_copies):
        noisy = {
            name: value + spread[name] * torch.randn(value.shape, generator=generator)
            for name, value in given.inputs.items()
        }
        for name, slopes in input_slopes(model, noisy, given.target).items():
            total[name] += slopes / n_copies
    return total


METHOD = Method(
    name="saliency",
    function=saliency,
    estimand=PIXELS,
    citation="Simonyan, Vedaldi & Zisserman 2014, Deep inside convolutional networks: visualising image "
    "classification models and saliency maps, arXiv:1312.6034",
    level="input",
)
