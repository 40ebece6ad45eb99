"""Shapley values by sampling orders, at the fusion layer (Castro et al. 2009; Štrumbelj & Kononenko 2010)."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from methods.api import FusionModel, Method
from methods.evaluation import chunks, fusion_features, target_probabilities
from synthetic.types import Samples

Absent = Literal["mean", "sample"]

# Samples that share the drawn permutations; see methods/lime.py.
_SHARED = 16


def sampled_shapley_values(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    n_evaluations: int = 4096,
    absent: Absent = "mean",
    n_samples: int = 500,
) -> Tensor:
    """Return Shapley values ``[m, d]`` of p(target) over the fusion features, by sampling permutations.

    Features are made present one after another, in a random order; a feature's value is the mean change of
    p(target) when its turn comes (Castro et al. 2009, algorithm 1). Orders are drawn in pairs, each with its
    reverse (Mitchell et al. 2022): the mean stays the same and errors cancel in part. A sample's values add
    up to the change of p(target) from nobody present to all.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: source of the orders, and of other samples.
        n_evaluations: budget of model evaluations a sample, half of kernel SHAP's. An order takes d + 1 of
            them: forty features get 98 orders.
        absent: what an absent feature takes: its ``mean`` over the samples (Castro et al. explain a game and
            leave it open), or its value in another ``sample``, one a pair of orders (Štrumbelj & Kononenko).
        n_samples: how many of the samples are explained: the first ones.

    Raises:
        ValueError: if an option is out of range.
    """
    if n_samples < 1:
        raise ValueError(f"The 'n_samples' of Shapley sampling must be at least 1. Got {n_samples}.")
    if absent not in get_args(Absent):
        raise ValueError(
            f"The 'absent' of Shapley sampling must be one of {', '.join(get_args(Absent))}. Got {absent!r}."
        )
    features, target = fusion_features(model, samples)
    n, width = features.shape
    n_pairs = n_evaluations // (2 * (width + 1))
    if n_pairs < 1:
        raise ValueError(
            f"The 'n_evaluations' of Shapley sampling must be at least {2 * (width + 1)}, an order of the "
            f"features and its reverse. Got {n_evaluations}."
        )
    values = []
    for rows in chunks(min(n_samples, n), _SHARED):
        ranks = _ranks(n_pairs, width, rng)
        # Row k of an order has its first k features: nobody first, everyone last.
        present = (ranks[:, None] < torch.arange(width + 1)[:, None]).to(features)
        if absent == "mean":
            others = features.mean(0)
        else:
            drawn = torch.from_numpy(rng.integers(n, size=n_pairs)).repeat(2)
            others = features[drawn, None].expand(-1, width + 1, -1)
        copies = torch.lerp(others, features[rows, None, None], present)
        worth = target_probabilities(model, copies.view(len(copies), -1, width), target[rows])
        change = worth.view(len(copies), 2 * n_pairs, width + 1).diff(dim=2)
        values.append(change.take_along_dim(ranks[None], dim=2).mean(1))
    return torch.cat(values)


def _ranks(n_pairs: int, width: int, rng: np.random.Generator) -> Tensor:
    """Return the place of each feature in each order ``[2 · pairs, d]``; the last are the first, reversed."""
    ranks = rng.permuted(np.tile(np.arange(width), (n_pairs, 1)), axis=1)
    return torch.from_numpy(np.concatenate([ranks, width - 1 - ranks]))


METHOD = Method(
    name="shapley_sampling",
    function=sampled_shapley_values,
    estimand="shapley",
    citation="Castro, Gómez & Tejada 2009, Polynomial calculation of the Shapley value based on sampling; "
    "Štrumbelj & Kononenko 2010, An efficient explanation of individual classifications using game theory",
)
