"""Integrated gradients of every pixel (Sundararajan, Taly & Yan 2017)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from methods import evaluation
from methods.api import PIXELS, Attribution, FusionModel, Method
from methods.completeness import flags
from methods.evaluation import chunks, encode
from methods.pixel_maps import N_MAPS, attribution, explained, input_slopes, log_odds_of, per_sample
from methods.references import Reference, reference_vector
from synthetic.types import Samples


def integrated_pixels(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    baseline: Reference = "mean",
    n_steps: int = 50,
    n_maps: int = N_MAPS,
) -> Attribution:
    """Return (x − b) · ∫₀¹ ∂s/∂x at b + t(x − b) dt of every pixel and table column.

    The integral is a Gauss–Legendre sum over the straight line that all inputs take together. Up to its error
    a sample's values add up to s(x) − s(b), over all pixels and columns; a flag says what is missed.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: not used.
        baseline: b: the ``mean`` image and table of all samples, or ``zero``: black images.
        n_steps: points of the sum.
        n_maps: samples that are explained, the first ones.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: if the model has no derivatives by its inputs, or a single class.
    """
    del rng  # nothing here is random
    if n_steps < 1:
        raise ValueError(f"The 'n_steps' of integrated gradients must be at least 1. Got {n_steps}.")
    given = explained(model, samples, n_maps)
    start = {name: reference_vector(samples.inputs[name], baseline) for name in given.inputs}
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    times, weight = (torch.from_numpy(found).float() for found in ((nodes + 1) / 2, weights / 2))
    total = {name: torch.zeros_like(value) for name, value in given.inputs.items()}
    for rows in chunks(len(given) * n_steps, evaluation.ENCODE_ROWS):
        place = torch.arange(rows.start, rows.stop)
        sample, step = place // n_steps, place % n_steps
        points = {
            name: torch.lerp(start[name], value[sample], per_sample(times[step], value))
            for name, value in given.inputs.items()
        }
        for name, slopes in input_slopes(model, points, given.target[sample]).items():
            total[name].index_add_(0, sample, slopes * per_sample(weight[step], slopes))
    local = {name: value * (given.inputs[name] - start[name]) for name, value in total.items()}
    before = encode(model, {name: value[None] for name, value in start.items()}).expand_as(given.features)
    change = log_odds_of(model, given.features, given.target) - log_odds_of(model, before, given.target)
    added = sum(value.double().flatten(1).sum(1) for value in local.values())
    return replace(attribution(local), flags=flags(torch.as_tensor(added), change))


METHOD = Method(
    name="pixel_integrated_gradients",
    function=integrated_pixels,
    estimand=PIXELS,
    citation="Sundararajan, Taly & Yan 2017, Axiomatic attribution for deep networks",
    level="input",
)
