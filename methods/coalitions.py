"""Coalitions of players, and the regression from their worths to Shapley values (Lundberg & Lee 2017)."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import torch
from torch import Tensor


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
