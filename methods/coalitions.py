"""Coalitions of players, and the regression from their worths to Shapley values (Lundberg & Lee 2017)."""

from __future__ import annotations

import warnings
from itertools import combinations, islice
from math import comb

import numpy as np
import torch
from torch import Tensor

# Coalitions a player from which drawing of all sizes errs less than the single players alone.
_WORTH_DRAWING = 5


def draw_coalitions(n_players: int, budget: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return coalitions ``[m, players]`` of 0 and 1, without the empty and the full one, and their weights.

    Each comes with its complement, and none comes twice. All sizes get equally many, which is what sampling
    by leverage means here (Musco & Witter 2025, Provably accurate Shapley value estimation via leverage score
    sampling): a size is enumerated only where its equal part holds all of it, and leaves the rest to others.
    The coalitions of a size share its weight under the kernel, ∝ 1 / (s · (players − s)).

    A regression on few draws errs more than one on the single players and their complements alone. The two
    break even at about four coalitions a player, however many players there are (7 to 40 measured, on random
    networks and on products of up to three players; from one such game to another at three to five). So
    budgets of less than five a player get the singles, two a player.

    Args:
        n_players: at least 2.
        budget: most coalitions; at least two a player, or all that there are.
        rng: source of the coalitions.
    """
    sizes = np.arange(1, n_players // 2 + 1)
    # Pairs of complements; in the middle both are of the same size.
    is_middle = 2 * sizes == n_players
    n_pairs = [comb(n_players, size) // (2 if 2 * size == n_players else 1) for size in sizes.tolist()]
    kernel = (2 - is_middle) / (sizes * (n_players - sizes))
    if budget < min(_WORTH_DRAWING * n_players, 2 * sum(n_pairs)):
        sizes, n_pairs, kernel = sizes[:1], n_pairs[:1], kernel[:1]
    left, rows, weights = budget // 2, [], []
    for turn, place in enumerate(sorted(range(len(n_pairs)), key=n_pairs.__getitem__)):
        n = min(n_pairs[place], left // (len(sizes) - turn))
        left -= n
        rows.append(_different(n_players, int(sizes[place]), n, rng))
        weights.append(np.full(n, kernel[place] / (2 * n * kernel.sum())))
    block, weight = np.concatenate(rows), np.concatenate(weights)
    return (
        torch.from_numpy(np.concatenate([block, ~block]).astype(np.float32)),
        torch.from_numpy(np.concatenate([weight, weight])),
    )


def _different(n_players: int, size: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n different coalitions of a size, no two of them complements ``[n, players]``."""
    is_middle = 2 * size == n_players
    n_all = comb(n_players, size) // (1 + is_middle)
    if 2 * n > n_all:
        # In lexicographic order the complements of the first half are the second.
        members = np.array(list(islice(combinations(range(n_players), size), n_all)))
        members = members if n == n_all else members[rng.choice(n_all, n, replace=False)]
        found = np.zeros((n, n_players), dtype=bool)
        np.put_along_axis(found, members, values=True, axis=1)
        return found
    found = np.zeros((0, n_players), dtype=bool)
    while len(found) < n:
        drawn = rng.random((n - len(found), n_players)).argsort(axis=1) < size
        if is_middle:
            drawn = drawn == drawn[:, :1]  # with the first player, or else the complement
        found = np.concatenate([found, drawn])
        first = np.unique(np.packbits(found, axis=1), axis=0, return_index=True)[1]
        found = found[np.sort(first)]
    return found


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
    # Few draws may not tell two players apart: then they share what they have together.
    solved = torch.linalg.pinv(z.T @ weighted, hermitian=True) @ torch.cat([weighted.T, ones], dim=1)
    free, direction = solved[:, :-1], solved[:, -1]
    correction = direction / direction.sum()
    solve = free - correction[:, None] * free.sum(0)
    return solve.float(), correction.float()


def selected_values(
    coalitions: Tensor, weight: Tensor, worth: Tensor, gain: Tensor, n_selected: int
) -> Tensor:
    """Return Shapley values where all but a few players, chosen for each sample anew, have 0.

    The regression under the efficiency constraint is written as one without it, by adding to each coalition
    its complement's view: Z − 1 and worth − gain, with the weight times size, and the weight times players −
    size for the coalition itself (so that what is left out of Σφ = gain costs). The first players on its path
    of least angle regression (Efron et al. 2004) are kept, and solved for as all are in
    `regression_matrices`. This is what ``shap.KernelExplainer`` does unless told otherwise
    (``l1_reg="num_features(10)"``).

    Args:
        coalitions: ``[m, players]``.
        weight: ``[m]``.
        worth: of each sample ``[n, m]``.
        gain: worth of all players ``[n, 1]``.
        n_selected: players that are kept, at least 1.

    Returns:
        ``[n, players]``; rows add up to ``gain``.
    """
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - slow to load, and rarely needed
    from sklearn.linear_model import lars_path_gram  # noqa: PLC0415

    z, w = coalitions.double().numpy(), weight.double().numpy()
    value, whole = worth.double().numpy(), gain.double().numpy()[:, 0]
    size, n_players = z.sum(1), z.shape[1]
    here, away = w * (n_players - size), w * size
    gram = (z.T * here) @ z + ((z - 1).T * away) @ (z - 1)
    products = (value * here) @ z + ((value - whole[:, None]) * away) @ (z - 1)
    normal, right = (z.T * w) @ z, (value * w) @ z
    found = np.zeros((len(value), n_players))
    for row, product in enumerate(products):
        with warnings.catch_warnings():
            # The path ends early where few players say all there is.
            warnings.simplefilter("ignore", ConvergenceWarning)
            kept = lars_path_gram(product, gram, n_samples=2 * len(z), max_iter=n_selected)[1]
        if len(kept):
            inverse = np.linalg.pinv(normal[np.ix_(kept, kept)], hermitian=True)
            free, direction = inverse @ right[row, kept], inverse.sum(1)
            found[row, kept] = free + direction * (whole[row] - free.sum()) / direction.sum()
    return torch.from_numpy(found).float()
