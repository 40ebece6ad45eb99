"""Gradient times input at the fusion layer (Shrikumar et al. 2016)."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from torch import Tensor

from methods.api import FusionModel, Method
from methods.evaluation import fusion_features
from methods.slopes import probability_slopes
from synthetic.types import Samples

Centre = Literal["zero", "mean"]


def gradient_times_input(
    model: FusionModel, samples: Samples, rng: np.random.Generator, *, centre: Centre = "zero"
) -> Tensor:
    """Return (x − centre) · ∂p(target)/∂x ``[n, d]``: the first-order effect of taking a feature away.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: not used.
        centre: what a feature is counted from: ``zero``, as published, or its ``mean`` over the samples.

    Raises:
        ValueError: if there is no such centre.
    """
    del rng  # nothing here is random
    if centre not in get_args(Centre):
        raise ValueError(
            f"The 'centre' of input times gradient must be one of {', '.join(get_args(Centre))}. "
            f"Got {centre!r}."
        )
    features, target = fusion_features(model, samples)
    slopes = probability_slopes(model, features[:, None], target)[:, 0]
    return slopes * (features if centre == "zero" else features - features.mean(0))


METHOD = Method(
    name="input_x_gradient",
    function=gradient_times_input,
    estimand="gradient",
    citation="Shrikumar, Greenside, Shcherbina & Kundaje 2016, Not just a black box: learning important "
    "features through propagating activation differences, arXiv:1605.01713",
)
