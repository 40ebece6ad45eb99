"""Truths that rest on the variance of F: total effects, Shapley effects and Shapley interactions.

The game is v(S) = Var(E[F | z_S]) / Var F, under the latents' own dependence. Total effects: Homma & Saltelli
1996, grouped. Shapley effects: Owen 2014; Song, Nelson & Staum 2016; Owen & Prieur 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthetic.truth.draws import CONSTANT, Split, check_varies, joint_points
from synthetic.truth.games import check_size, interactions, pairs, shapley, subset_sizes
from synthetic.truth.reduction import Reduction
from synthetic.truth.replicates import N_REPLICATES, Precision, share_standard_error, until_precise


@dataclass(frozen=True, eq=False)
class VarianceGame:
    """v(S) for all subsets of the players.

    Attributes:
        replicates: ``[replicates, 2 ** players]``; one replicate where v is exact.
        n_points: of all replicates together; 0 where v is exact.
    """

    replicates: np.ndarray
    n_points: int

    @property
    def method(self) -> str:
        """How v was found."""
        return f"quasi-Monte Carlo, n = {self.n_points}" if self.n_points else "closed form"


def total_effects(game: np.ndarray, n_players: int) -> np.ndarray:
    """Return T_i = 1 − v(all but i) ``[…, players]`` of games ``[…, 2 ** players]``."""
    everyone = 2**n_players - 1
    return np.stack([1 - game[..., everyone & ~(1 << i)] for i in range(n_players)], axis=-1)


def variance_game(reduction: Reduction, precision: Precision) -> VarianceGame:
    """Return the variance game of F.

    In closed form where F is linear in Gaussian latents: the variance of E[F | z_S] is a Schur complement.
    Elsewhere by quasi-Monte Carlo: E[Var(F | z_S)] = ½ E(F − F′)², where F and F′ share z_S and draw the rest
    anew (Jansen 1999).

    Raises:
        ValueError: if F does not vary.
    """
    n = reduction.n_players
    sizes = subset_sizes(n)
    check_varies(reduction)
    if reduction.is_linear:
        variance = reduction.total[-1, -1]
        values = np.array([reduction.known(subset)[-1, -1] for subset in range(len(sizes))]) / variance
        return VarianceGame(np.clip(values, 0, 1)[None], 0)
    check_size(n)
    splits = [Split(reduction, subset) for subset in range(len(sizes))]

    def replicate(number: int, n_points: int) -> np.ndarray:
        drawn = joint_points(reduction, n_points, 3, "variance", number, precision.seed)
        left = np.empty(len(splits))
        for subset, split in enumerate(splits):
            if split.is_settled:
                left[subset] = 0.0
                continue
            difference = split.pairwise(drawn[0], drawn[1]) - split.pairwise(drawn[0], drawn[2])
            left[subset] = 0.5 * float((difference**2).mean())
        return left

    def error(left: np.ndarray) -> float:
        game = _game(left)
        joint = interactions(game, n)
        wanted = (
            shapley(game, n),
            total_effects(game, n),
            interaction_parts(joint * np.sign(joint.mean(0)), n),
        )
        return max(float(share_standard_error(values).max(initial=0)) for values in wanted)

    left, n_points = until_precise(replicate, error, precision)
    return VarianceGame(_game(left), n_points * N_REPLICATES)


def _game(left: np.ndarray) -> np.ndarray:
    """Return replicates of v(S) = 1 − E[Var(F | z_S)] / Var F.

    All replicates are divided by one variance, since a ratio of means has less bias than a mean of ratios;
    what the variance's own spread adds to the error is put back by the delta method.
    """
    mean = left.mean(0)
    if not mean[0] > 0:
        raise ValueError(CONSTANT)
    ratio = mean / mean[0]
    return 1 - ratio - (left - mean) / mean[0] + ratio / mean[0] * (left[:, :1] - mean[0])


def interaction_parts(pair_values: np.ndarray, n_players: int) -> np.ndarray:
    """Return each player's half of the interactions that it takes part in.

    Args:
        pair_values: ``[…, pairs]``, in the order of `pairs`.
        n_players: n.

    Returns:
        ``[…, players]``.
    """
    result = np.zeros((*pair_values.shape[:-1], n_players))
    for place, (i, j) in enumerate(pairs(n_players)):
        result[..., [i, j]] += pair_values[..., [place]] / 2
    return result
