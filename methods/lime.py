"""LIME for tabular data, at the fusion layer (Ribeiro, Singh & Guestrin 2016)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.api import FusionModel, Method
from methods.evaluation import chunks, fusion_features, target_probabilities, torch_generator
from synthetic.types import Samples

# Samples that share one set of perturbations. Sharing turns their regressions into one matrix product;
# a fresh set for every few samples keeps their errors from adding up.
_SHARED = 16


def local_coefficients(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    n_points: int = 5000,
    n_samples: int = 500,
    kernel_width: float = 0.75,
    ridge: float = 1.0,
) -> Tensor:
    """Return the coefficients ``[m, d]`` of a weighted ridge regression around each sample.

    Fusion features are standardised over the samples; points are drawn from N(sample, I) in those units,
    weighted by √exp(−distance² / (kernel_width² · d)), and p(target) is regressed on them with an
    unpenalised intercept. The number of points, kernel, ridge and scale are defaults of the authors' package;
    three of its defaults are not: it makes features discrete, draws points around the mean of the data, and
    keeps the ten features of largest |coefficient · value| alone. Its ``discretize_continuous=False,
    sample_around_instance=True, num_features=d`` is what is done here.

    The script of Azmat & Alessio (2022) regresses the log-probability, on 200 points in unscaled features
    with a kernel of 0.75 · d in place of 0.75 · √d: ``n_points=200, kernel_width=4.74`` for 40 features.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: source of the points.
        n_points: points a sample.
        n_samples: how many of the samples are explained: the first ones.
        kernel_width: in units of √d standard deviations.
        ridge: penalty on the squared coefficients.

    Raises:
        ValueError: if an option is out of range.
    """
    if n_points < 2 or n_samples < 1 or kernel_width <= 0 or ridge < 0:
        raise ValueError(
            "The options of LIME must be n_points ≥ 2, n_samples ≥ 1, kernel_width > 0 and ridge ≥ 0. "
            f"Got n_points={n_points}, n_samples={n_samples}, kernel_width={kernel_width}, ridge={ridge}."
        )
    features, target = fusion_features(model, samples)
    # As in the authors' package, which divides by n: one sample, or a constant feature, is never moved.
    scale = features.std(0, correction=0)
    width = features.shape[1]
    generator = torch_generator(rng)
    coefficients = []
    for rows in chunks(min(n_samples, len(features)), _SHARED):
        steps = torch.randn(n_points, width, generator=generator)
        solve = regression_matrix(steps, kernel_width * width**0.5, ridge)
        copies = features[rows, None] + steps * scale
        coefficients.append(target_probabilities(model, copies, target[rows]) @ solve.T)
    return torch.cat(coefficients)


def regression_matrix(steps: Tensor, kernel_width: float, ridge: float) -> Tensor:
    """Return the matrix ``[d, points]`` that maps responses at the points to ridge coefficients.

    Weighted ridge with a free intercept is ordinary ridge after subtracting weighted means:
    (X̃ᵀWX̃ + λI)⁻¹X̃ᵀW, in float64.
    """
    steps = steps.double()
    weight = torch.exp(-(steps**2).sum(1) / (2 * kernel_width**2))
    centred = steps - (weight @ steps) / weight.sum()
    weighted = centred * weight[:, None]
    penalty = ridge * torch.eye(steps.shape[1], dtype=steps.dtype)
    return torch.linalg.solve(centred.T @ weighted + penalty, weighted.T).float()


METHOD = Method(
    name="lime",
    function=local_coefficients,
    estimand="gradient",
    citation="Ribeiro, Singh & Guestrin 2016, 'Why should I trust you?'",
)
