"""Activation patterns: which pixels move with what the model reads from an image (Haufe et al. 2014)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from methods.api import PIXELS, Attribution, FusionModel, Method, NotApplicableError
from methods.evaluation import chunks, encode
from methods.pixel_maps import N_MAPS, attribution, explained, feature_slopes, input_slopes
from synthetic.types import Samples

Reading = Literal["input", "fusion"]

# Rows of an input whose deviations from the mean are in memory at a time.
_ROWS = 256


def activation_patterns(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    reading: Reading = "input",
    n_maps: int = N_MAPS,
) -> Attribution:
    """Return |Cov(x_p, u_i)| of every pixel or column p over all samples, u_i being patient i's own reading.

    The weights of a linear model say how a signal is read, not where it is: a pixel can get one to cancel
    another's noise, and a pixel that shows the signal can get none. What shows it is the pattern
    Cov(x) w / Var(wᵀx) (Haufe et al. 2014, equation 6, for one reading w). A network is linear around a
    patient: its reading of a modality is u_i(x) = x · ∂s/∂x, at the patient, of that modality's input x.

    The pattern is what a pixel changes per unit of u_i; times Var(u_i) it is the change of s per standard
    deviation of u_i times that of the pixel, so that modalities of which little is read get little. For
    independent latents that shift pixels by d_j it is |Σ_j ∂s/∂z_j · d_j|: the relevance of a rendered
    image's truth but for signs. It estimates where what is read shows, by covariance: pixels that only move
    together with it, because latents are linked, are shown too.

    How an encoder scales, repeats and mixes its features does not matter: the ``fusion`` reading
    u_i(x) = h(x) · ∂s/∂h is the same after any invertible linear map of the features h, the ``input``
    reading, which never looks at them, after any map. ``fusion`` takes in that an encoder is not linear
    between patients; ``input`` follows what is read to where this patient has it, and is the default for
    things whose place differs from one patient to another.

    Args:
        model: the model.
        samples: covariances are over all of them.
        rng: not used.
        reading: what of a modality the model is taken to read: ``input`` or ``fusion``.
        n_maps: samples that are explained, the first ones.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: if there is one sample only, the model has no derivatives by its inputs, or a
            single class.
    """
    del rng  # nothing here is random
    if reading not in get_args(Reading):
        raise ValueError(
            f"The 'reading' of pattern must be one of {', '.join(get_args(Reading))}. Got {reading!r}."
        )
    if len(samples) < 2:
        raise NotApplicableError("needs two samples at least: it is a covariance over them")
    given = explained(model, samples, n_maps)
    local = {}
    if reading == "input":
        for name, slopes in input_slopes(model, given.inputs, given.target).items():
            weights = slopes.flatten(1).T
            local[name] = _covariance(samples.inputs[name], lambda x, _, w=weights: x @ w)
    else:
        features = encode(model, samples.inputs)
        features -= features.mean(0)
        slopes = feature_slopes(model, given.features, given.target)
        for name, columns in model.groups.items():
            covariance = _covariance(samples.inputs[name], lambda _, rows, c=columns: features[rows, c])
            local[name] = slopes[:, columns] @ covariance
    return attribution({
        name: value.abs().view_as(given.inputs[name]) for name, value in local.items()
    })  # fmt: skip


def _covariance(value: Tensor, reading: Callable[[Tensor, slice], Tensor]) -> Tensor:
    """Return the covariances ``[r, entries]`` of r readings with every entry of an input.

    Args:
        value: the input ``[n, …]``.
        reading: deviations of some samples' entries from their mean ``[rows, entries]``, and which samples
            they are → readings ``[rows, r]``, whose mean over all samples is 0.
    """
    flat = value.flatten(1)
    mean = flat.double().mean(0).to(flat)
    total = torch.zeros(())
    for rows in chunks(len(flat), _ROWS):
        away = flat[rows] - mean
        total = total + reading(away, rows).T @ away
    return total / len(flat)


METHOD = Method(
    name="pattern",
    function=activation_patterns,
    estimand=PIXELS,
    citation="Haufe et al. 2014, On the interpretation of weight vectors of linear models in multivariate "
    "neuroimaging",
    level="input",
)
