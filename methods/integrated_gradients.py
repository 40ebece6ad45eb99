"""Gradients along paths at the fusion layer: from one reference, or from many other samples.

Both divide p(target) of a sample, less that of its reference, over the features: Aumann–Shapley values.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from methods.api import Flagged, FusionModel, Method
from methods.completeness import flags, rounding_of
from methods.evaluation import chunks, fusion_features, probabilities, torch_generator
from methods.references import Reference, reference_vector
from methods.slopes import probability_slopes
from synthetic.types import Samples

# Samples whose paths are in memory at a time. It decides which sample gets which draw, so it does not follow
# the rows of a call.
_BLOCK = 128
# How often chance alone takes a sum of draws further from its mean than what is allowed for: that of three
# standard errors, were these known.
_CHANCE = 0.0027
# From fewer draws a standard error is too uncertain to tell a miss from chance.
_TELLING = 5


def integrated_gradients(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    reference: Reference = "mean",
    n_steps: int = 50,
) -> Flagged:
    """Return (x − r) · ∫₀¹ ∂p(target)/∂x at r + t(x − r) dt ``[n, d]`` (Sundararajan et al. 2017).

    The integral is a Gauss–Legendre sum. Up to its error a sample's values add up to p(x) − p(r). Where the
    model jumps they do not, as a jump has no slope: the result carries a flag that says how much is missed.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: not used.
        reference: r: the ``mean`` of the samples' fusion features, or ``zero``.
        n_steps: points of the sum.

    Raises:
        ValueError: if an option is out of range.
    """
    del rng  # nothing here is random
    if n_steps < 1:
        raise ValueError(f"The 'n_steps' of integrated gradients must be at least 1. Got {n_steps}.")
    features, target = fusion_features(model, samples)
    start = reference_vector(features, reference)
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    times = torch.from_numpy((nodes + 1) / 2).to(features)[:, None]
    weight = torch.from_numpy(weights / 2).to(features)
    values = []
    for rows in chunks(len(features), _BLOCK):
        way = features[rows] - start
        slopes = probability_slopes(model, start + times * way[:, None], target[rows])
        values.append(way * torch.einsum("k,nkd->nd", weight, slopes))
    found = torch.cat(values)
    there = probabilities(model, features).gather(1, target[:, None])[:, 0]
    before = probabilities(model, start[None])[0][target]
    return Flagged(found, flags(found.sum(1), there - before, rounding_of(found, there, before)))


def expected_gradients(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    n_draws: int = 200,
) -> Flagged:
    """Return integrated gradients with the other samples as references ``[n, d]``, by Monte Carlo.

    That is the mean of (x − r) · ∂p(target)/∂x at r + t(x − r) over random r and t (Erion et al. 2021),
    known as gradient SHAP. t is drawn once from each of as many equal parts of 0…1 as there are draws: the
    mean stays the same and the error shrinks. A flag says what is missed of p(x) − mean p(r) beyond chance,
    by Student's t; fewer than five draws get none, as they cannot tell.

    Args:
        model: the model.
        samples: the samples to explain; all others are the references of each.
        rng: source of references and times.
        n_draws: pairs of reference and time a sample; the default is that of the package ``shap``.

    Raises:
        ValueError: if no pair is to be drawn.
    """
    if n_draws < 1:
        raise ValueError(f"The 'n_draws' of expected gradients must be at least 1. Got {n_draws}.")
    features, target = fusion_features(model, samples)
    n = len(features)
    generator = torch_generator(rng)
    values, errors = [], []
    for rows in chunks(n, _BLOCK):
        place = torch.arange(n)[rows, None]
        # A step of 1 … n − 1 ahead leads to any sample but the own one; one that is alone has but itself.
        steps = torch.randint(1, max(n, 2), (len(place), n_draws), generator=generator)
        starts = features[(place + steps) % n]
        times = torch.arange(n_draws) + torch.rand(len(place), n_draws, generator=generator)
        way = features[rows, None] - starts
        points = starts.addcmul_(way, (times / n_draws)[..., None])
        drawn = way * probability_slopes(model, points, target[rows])
        values.append(drawn.mean(1))
        if n_draws >= _TELLING:
            errors.append(drawn.sum(2).std(1) / n_draws**0.5)
    found = torch.cat(values)
    if n_draws < _TELLING:
        return Flagged(found)
    chance = float(stdtrit(n_draws - 1, 1 - _CHANCE / 2)) * torch.cat(errors)
    return Flagged(found, flags(found.sum(1), _change(model, features, target), chance))


def _change(model: FusionModel, features: Tensor, target: Tensor) -> Tensor:
    """Return p(target) of each sample, less its mean over the others ``[n]``."""
    probability = probabilities(model, features).double()
    others = (probability.sum(0) - probability) / max(len(features) - 1, 1)
    change = (probability - others).gather(1, target[:, None])[:, 0]
    return change if len(features) > 1 else torch.zeros_like(change)


INTEGRATED_GRADIENTS = Method(
    name="integrated_gradients",
    function=integrated_gradients,
    estimand="shapley",
    citation="Sundararajan, Taly & Yan 2017, Axiomatic attribution for deep networks",
)

GRADIENT_SHAP = Method(
    name="gradient_shap",
    function=expected_gradients,
    estimand="shapley",
    citation="Erion et al. 2021, Improving performance of deep learning models with axiomatic attribution "
    "priors and expected gradients; Lundberg & Lee 2017, A unified approach to interpreting model "
    "predictions",
)
