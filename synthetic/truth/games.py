"""Cooperative games given by the value of every subset: Shapley values and pairwise interactions.

Games are arrays whose last axis has one value a subset of n players; bit i of the index stands for player i.
"""

from __future__ import annotations

from math import comb

import numpy as np

LARGEST_GAME = 20
"""Most players of a game that is written out: 2²⁰ values are 8 MB."""
LARGEST_INTEGRATED_GAME = 10
"""Most players of a game whose values are integrals: 2¹⁰ of them take minutes."""


def shapley(values: np.ndarray, n_players: int) -> np.ndarray:
    """Return the Shapley values of games.

    φ_i = Σ_{S ∌ i} |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S)); Shapley 1953.

    Args:
        values: ``[…, 2 ** n_players]``.
        n_players: n.

    Returns:
        ``[…, n_players]``.
    """
    sizes = subset_sizes(n_players)
    result = np.empty((*values.shape[:-1], n_players))
    for player in range(n_players):
        without = np.flatnonzero(~_contains(n_players, player))
        weights = np.array([1 / (n_players * comb(n_players - 1, size)) for size in range(n_players)])
        gains = values[..., without | 1 << player] - values[..., without]
        result[..., player] = gains @ weights[sizes[without]]
    return result


def interactions(values: np.ndarray, n_players: int) -> np.ndarray:
    """Return the pairwise Shapley interaction index of games.

    I_ij = Σ_{S ∌ i, j} |S|! (n − |S| − 2)! / (n − 1)! · (v(S ∪ ij) − v(S ∪ i) − v(S ∪ j) + v(S));
    Grabisch & Roubens 1999.

    Args:
        values: ``[…, 2 ** n_players]``.
        n_players: n.

    Returns:
        ``[…, pairs]``, in the order of `pairs`.
    """
    sizes = subset_sizes(n_players)
    found = []
    for i, j in pairs(n_players):
        without = np.flatnonzero(~(_contains(n_players, i) | _contains(n_players, j)))
        weights = np.array([1 / ((n_players - 1) * comb(n_players - 2, k)) for k in range(n_players - 1)])
        both, first, second = without | 1 << i | 1 << j, without | 1 << i, without | 1 << j
        gains = values[..., both] - values[..., first] - values[..., second] + values[..., without]
        found.append(gains @ weights[sizes[without]])
    return np.stack(found, axis=-1) if found else np.empty((*values.shape[:-1], 0))


def pairs(n_players: int) -> list[tuple[int, int]]:
    """Return all pairs i < j."""
    return [(i, j) for i in range(n_players) for j in range(i + 1, n_players)]


def subset_sizes(n_players: int) -> np.ndarray:
    """Return the number of players in each subset ``[2 ** n_players]``."""
    if n_players > LARGEST_GAME:
        raise ValueError(
            f"A truth over all subsets needs at most {LARGEST_GAME} modalities that matter. Got {n_players}."
        )
    return np.bitwise_count(np.arange(2**n_players)).astype(int)


def _contains(n_players: int, player: int) -> np.ndarray:
    return (np.arange(2**n_players) >> player & 1).astype(bool)


def check_size(n_players: int) -> None:
    """Raise a ValueError where a game without a closed form has too many players."""
    if n_players > LARGEST_INTEGRATED_GAME:
        raise ValueError(
            "A truth over all subsets that has no closed form (F is nonlinear, or its latents are not "
            f"Gaussian) needs at most {LARGEST_INTEGRATED_GAME} modalities that matter. Got {n_players}; "
            "make F linear, or let it read fewer."
        )
