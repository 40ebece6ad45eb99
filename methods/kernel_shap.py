"""Kernel SHAP at the fusion layer (Lundberg & Lee 2017)."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import torch
from torch import Tensor

from methods.api import FusionModel, Method
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
    n_samples: int = 500,
) -> Tensor:
    """Return Shapley values ``[m, d]`` of p(target) over the fusion features, by weighted regression.

    The players are the fusion features; an absent one takes its mean over the samples. Coalition sizes are
    enumerated from both ends while the budget lasts and the rest is drawn at random, in pairs with
    complements, as in the authors' package. Up to thirteen features every coalition fits and the values are
    exact.

    The default budget is four times the package's 2·d + 2048: the errors of single values do not cancel in
    a mean of absolute values, and on the steep probability of a trained network the smaller budget leaves
    more error than signal on features that do not matter (results/reference/README.md).

    Args:
        model: the model.
        samples: the samples to explain; their mean is the reference.
        rng: source of the drawn coalitions.
        n_coalitions: model evaluations a sample; None for 8·d + 8192.
        n_samples: how many of the samples are explained: the first ones.

    Raises:
        ValueError: if the budget is too small for a regression, or no sample is to be explained.
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
    reference = features.mean(0)
    features, target = features[:n_samples], target[:n_samples]
    everyone = probabilities(model, features).gather(1, target[:, None])
    nobody = probabilities(model, reference[None])[0][target][:, None]
    if width == 1:
        return everyone - nobody
    values = []
    for rows in chunks(len(features), _SHARED):
        coalitions, weight = draw_coalitions(width, n_coalitions, rng)
        solve, correction = regression_matrices(coalitions, weight)
        # With weights 0 and 1 it selects, to the last digit, and many times faster than torch.where.
        copies = torch.lerp(reference, features[rows, None], coalitions)
        worth = target_probabilities(model, copies, target[rows]) - nobody[rows]
        gain = everyone[rows] - nobody[rows]
        values.append(worth @ solve.T + gain * correction)
    return torch.cat(values)


def draw_coalitions(n_players: int, budget: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return coalitions ``[m, players]`` of 0 and 1, without the empty and the full one, and their weights.

    The kernel's total weight of size s is ∝ (players − 1) / (s · (players − s)). Sizes 1 and players − 1,
    then 2 and players − 2, … are enumerated while they fit into the budget; what is left of the budget is
    drawn from the remaining sizes, whose total weight the draws share.
    """
    sizes = np.arange(1, n_players)
    size_weight = (n_players - 1) / (sizes * (n_players - sizes))
    size_weight /= size_weight.sum()
    rows: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    left, smallest = budget, 1
    while smallest <= n_players // 2:
        pair = sorted({smallest, n_players - smallest})
        n_subsets = comb(n_players, smallest) * len(pair)
        if n_subsets > left:
            break
        for size in pair:
            members = np.array(list(combinations(range(n_players), size)))
            block = np.zeros((len(members), n_players), dtype=np.float32)
            np.put_along_axis(block, members, 1, axis=1)
            rows.append(block)
            weights.append(np.full(len(block), size_weight[size - 1] / len(block)))
        left -= n_subsets
        smallest += 1
    rest = np.arange(smallest, n_players - smallest + 1)
    if len(rest) and left >= 2:
        probability = size_weight[rest - 1] / size_weight[rest - 1].sum()
        drawn_sizes = rng.choice(rest, size=left // 2, p=probability)
        ranks = rng.random((left // 2, n_players)).argsort(axis=1)
        block = (ranks < drawn_sizes[:, None]).astype(np.float32)
        block = np.concatenate([block, 1 - block])
        rows.append(block)
        weights.append(np.full(len(block), size_weight[rest - 1].sum() / len(block)))
    return torch.from_numpy(np.concatenate(rows)), torch.from_numpy(np.concatenate(weights))


def regression_matrices(coalitions: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the linear map from coalition worths to Shapley values under the efficiency constraint.

    Least squares Σ w (worth − Zφ)² subject to 1ᵀφ = gain has the solution
    φ = A⁻¹Zᵀw·worth + A⁻¹1 · (gain − 1ᵀA⁻¹Zᵀw·worth) / 1ᵀA⁻¹1, with A = ZᵀWZ.

    Returns:
        ``solve [players, m]`` and ``correction [players]`` with φ = solve · worth + gain · correction.
    """
    z, w = coalitions.double(), weight.double()
    weighted = z * w[:, None]
    ones = torch.ones(z.shape[1], 1, dtype=z.dtype)
    solved = torch.linalg.solve(z.T @ weighted, torch.cat([weighted.T, ones], dim=1))
    free, direction = solved[:, :-1], solved[:, -1]
    correction = direction / direction.sum()
    solve = free - correction[:, None] * free.sum(0)
    return solve.float(), correction.float()


METHOD = Method(
    name="kernel_shap",
    function=shapley_values,
    estimand="shapley",
    citation="Lundberg & Lee 2017, A unified approach to interpreting model predictions",
)
