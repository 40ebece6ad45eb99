"""The permutation truth: accuracy that the true classifier loses when one modality's latents are permuted.

Breiman 2001, for the classifier that knows F, and groups of features. A permuted modality keeps its own law
and loses its tie to the others; the true classifier is then wrong where the class changes.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import special

from synthetic.labels import Labels
from synthetic.truth.cuts import Cuts
from synthetic.truth.draws import Points, joint_points, value
from synthetic.truth.quadrature import normal_edges
from synthetic.truth.reduction import Reduction, semidefinite_cholesky
from synthetic.truth.replicates import N_REPLICATES, Precision, share_standard_error, until_precise


def permutation_losses(
    reduction: Reduction, labels: Labels, cuts: Cuts, precision: Precision
) -> tuple[np.ndarray, int]:
    """Return accuracy lost by permuting each player ``[replicates, players]``, and the points behind it.

    In closed form (0 points, one replicate) where F is linear in Gaussian latents: F before and after are
    bivariate normal. Elsewhere by quasi-Monte Carlo.
    """
    kept = 1 - labels.noise - labels.noise / (labels.n_classes - 1)  # P(right) − P(one given other class)
    if reduction.is_linear:
        losses = [linear_loss(reduction, player, cuts.thresholds) for player in range(reduction.n_players)]
        return kept * np.array([losses]), 0

    def replicate(number: int, n_points: int) -> np.ndarray:
        limits = torch.from_numpy(cuts.of(number)[0])
        drawn, fresh = joint_points(reduction, n_points, 2, "permutation", number, precision.seed)
        before, losses = None, []
        for player in range(reduction.n_players):
            first, second = _pair(reduction, player, drawn, fresh)
            before = torch.bucketize(first, limits, right=True) if before is None else before
            after = torch.bucketize(second, limits, right=True)
            losses.append(float((before != after).double().mean()))
        return kept * np.array(losses)

    values, n_points = until_precise(replicate, lambda it: float(share_standard_error(it).max()), precision)
    return values, n_points * N_REPLICATES


def linear_loss(reduction: Reduction, player: int, cuts: np.ndarray) -> float:
    """Return P(class changes) where F is Gaussian: its values before and after are bivariate normal."""
    before, after = reduction.total[-1, -1], _after(reduction, player)[-1, -1]
    if not after > 0:  # F is settled by what was permuted away
        return float(1 - special.ndtr(np.abs(cuts) / np.sqrt(before)).max())
    correlation = _covariance(reduction, player)[-1, -1] / np.sqrt(before * after)
    return disagreement(correlation, cuts / np.sqrt(before), cuts / np.sqrt(after))


def disagreement(correlation: float, first_cuts: np.ndarray, second_cuts: np.ndarray) -> float:
    """Return P(class of x ≠ class of y) for standard bivariate normal x and y with cuts of their own.

    Args:
        correlation: of x and y.
        first_cuts: of x, ascending ``[classes − 1]``.
        second_cuts: of y.
    """
    correlation = float(np.clip(correlation, -1, 1))
    first, second = (np.concatenate([[-np.inf], cuts, [np.inf]]) for cuts in (first_cuts, second_cuts))
    if abs(correlation) > 1 - 1e-12:
        low, high = (second[:-1], second[1:]) if correlation > 0 else (-second[1:], -second[:-1])
        overlap = special.ndtr(np.minimum(first[1:], high)) - special.ndtr(np.maximum(first[:-1], low))
        return float(np.clip(1 - np.clip(overlap, 0, None).sum(), 0, 1))
    spread = np.sqrt(1 - correlation**2)
    if abs(correlation) > 1e-9:
        edges = normal_edges(second_cuts / correlation, spread / abs(correlation))
    else:
        edges = normal_edges(second_cuts, np.inf)
    agree = 0.0
    for x_low, x_high, y_low, y_high in zip(first[:-1], first[1:], second[:-1], second[1:], strict=True):
        left, right = np.clip(edges[:-1], x_low, x_high), np.clip(edges[1:], x_low, x_high)
        centres, mass = (left + right) / 2, special.ndtr(right) - special.ndtr(left)
        upper = special.ndtr((y_high - correlation * centres) / spread)
        lower = special.ndtr((y_low - correlation * centres) / spread)
        agree += float(mass @ (upper - lower))
    return float(np.clip(1 - agree, 0, 1))


def _covariance(reduction: Reduction, player: int) -> np.ndarray:
    """Return Cov(A u, A u′), where u′ has the player's scores drawn anew, ``[rows, rows]``."""
    kept = np.flatnonzero(reduction.owners != player)
    shared = reduction.rows @ reduction.covariance[:, kept] @ reduction.rows[:, kept].T
    others = (place for place in range(reduction.n_players) if place != player)
    return shared + reduction.hidden_covariance(others)


def _after(reduction: Reduction, player: int) -> np.ndarray:
    """Return Cov(A u′): the player's scores keep their law and are independent of the rest."""
    own = reduction.owners == player
    covariance = reduction.covariance * (own[:, None] == own[None, :])
    everyone = range(reduction.n_players)
    return reduction.rows @ covariance @ reduction.rows.T + reduction.hidden_covariance(everyone)


def _pair(
    reduction: Reduction, player: int, drawn: Points, fresh: Points
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return F of patients, and of the same with one player's latents drawn anew."""
    cross = _covariance(reduction, player)
    joint = np.block([[reduction.total, cross], [cross.T, _after(reduction, player)]])
    root = semidefinite_cholesky(joint, np.tile(reduction.scale, 2))
    n = reduction.n_rows
    scores = np.concatenate([drawn.scores, fresh.scores], axis=1) @ root.T
    places = drawn.places.copy()
    for place, part in enumerate(reduction.scans):
        if part.player == player:
            places[:, place] = fresh.places[:, place]
    return value(reduction, scores[:, :n], drawn.places), value(reduction, scores[:, n:], places)
