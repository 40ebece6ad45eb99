"""Kernel SHAP at the fusion layer (Lundberg & Lee 2017)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.api import FusionModel, Method
from methods.coalitions import draw_coalitions, regression_matrices, selected_values
from methods.evaluation import chunks, fusion_features, probabilities, target_probabilities
from synthetic.types import Samples

# Samples that share the randomly drawn coalitions; see methods/lime.py.
_SHARED = 16


def shapley_values(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    n_coalitions: int | None = None,
    selection: int | None = None,
    n_samples: int = 500,
) -> Tensor:
    """Return Shapley values ``[m, d]`` of p(target) over the fusion features, by weighted regression.

    The players are the fusion features; an absent one takes its mean over the samples. Coalitions are drawn
    in pairs with their complements, none twice (`draw_coalitions`). Up to thirteen features every coalition
    fits and the values are exact.

    The authors' package ``shap`` estimates the same from 2·d + 2048 coalitions, and unless told otherwise
    (``l1_reg=False``) keeps ten features a sample and gives all others 0: ``selection=10`` does that. The
    default here keeps all, and has four times the package's budget: the errors of single values do not cancel
    in a mean of absolute values, and on the steep probability of a trained network the smaller budget leaves
    more error than signal on features that do not matter (results/reference/README.md). Selection clears
    these as well, and with them small parts that are real.

    Args:
        model: the model.
        samples: the samples to explain; their mean is the reference.
        rng: source of the drawn coalitions.
        n_coalitions: model evaluations a sample; None for 8·d + 8192. Less than 5·d buy no more than 2·d do.
        selection: features that are kept for each sample, by least angle regression; None for all.
        n_samples: how many of the samples are explained: the first ones.

    Raises:
        ValueError: if the budget is too small for a regression, or no feature is kept, or no sample is to be
            explained.
    """
    features, target = fusion_features(model, samples)
    width = features.shape[1]
    if n_coalitions is None:
        n_coalitions = 8 * width + 8192
    if n_coalitions < min(2 * width, 2**width - 2):
        raise ValueError(
            f"The 'n_coalitions' of kernel SHAP must be at least {2 * width}, two a feature. "
            f"Got {n_coalitions}."
        )
    if n_samples < 1:
        raise ValueError(f"The 'n_samples' of kernel SHAP must be at least 1. Got {n_samples}.")
    if selection is not None and selection < 1:
        raise ValueError(
            f"The 'selection' of kernel SHAP must be at least 1 feature, or None for all. Got {selection}."
        )
    reference = features.mean(0)
    features, target = features[:n_samples], target[:n_samples]
    everyone = probabilities(model, features).gather(1, target[:, None])
    nobody = probabilities(model, reference[None])[0][target][:, None]
    if width == 1:
        return everyone - nobody
    values = []
    for rows in chunks(len(features), _SHARED):
        coalitions, weight = draw_coalitions(width, n_coalitions, rng)
        # With weights 0 and 1 it selects, to the last digit, and many times faster than torch.where.
        copies = torch.lerp(reference, features[rows, None], coalitions)
        worth = target_probabilities(model, copies, target[rows]) - nobody[rows]
        gain = everyone[rows] - nobody[rows]
        if selection is None or selection >= width:
            solve, correction = regression_matrices(coalitions, weight)
            values.append(worth @ solve.T + gain * correction)
        else:
            values.append(selected_values(coalitions, weight, worth, gain, selection))
    return torch.cat(values)


METHOD = Method(
    name="kernel_shap",
    function=shapley_values,
    estimand="shapley",
    version="2",
    citation="Lundberg & Lee 2017, A unified approach to interpreting model predictions",
)
