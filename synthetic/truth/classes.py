"""Truths that rest on the label: what each subset of the modalities says of it at best.

The Bayes classifier given z_S is the posterior P(Y = c | z_S) = P(t_c ≤ F < t_{c+1} | z_S), blurred by label
noise. Its accuracy, AUROC and mutual information with the label are the best that any model can reach that
has these modalities alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import special

from synthetic.labels import Labels
from synthetic.truth.cuts import Cuts
from synthetic.truth.draws import Points, Split, points
from synthetic.truth.games import check_size, shapley, subset_sizes
from synthetic.truth.quadrature import normal_edges
from synthetic.truth.reduction import Reduction
from synthetic.truth.replicates import (
    N_REPLICATES,
    Precision,
    share_standard_error,
    standard_error,
    until_precise,
)

_N_INNER = (128, 1024)
"""Fewest and most unknown points for each known one, in each half; between them, twice the known points.

What a finite sample leaves of bias must stay below the standard error, so it grows with the precision.
"""
_MAX_WORK = 2**20  # known points times unknown points of one evaluation: bounds the memory


@dataclass(frozen=True, eq=False)
class ClassGame:
    """What each subset of the players says of the label.

    Attributes:
        information: I(Y; z_S) in bits ``[replicates, 2 ** players]``; one replicate where exact.
        accuracy: of the Bayes classifier.
        auroc: of the posterior; the mean over classes against the rest where there are three or more.
        n_points: of all replicates together; 0 where exact.
    """

    information: np.ndarray
    accuracy: np.ndarray
    auroc: np.ndarray
    n_points: int

    @property
    def method(self) -> str:
        """How it was found."""
        return f"quasi-Monte Carlo, n = {self.n_points}" if self.n_points else "closed form"


def class_game(reduction: Reduction, labels: Labels, cuts: Cuts, precision: Precision) -> ClassGame:
    """Return what each subset says of the label.

    In closed form where F is linear in Gaussian latents: the posterior depends on E[F | z_S] alone, and the
    integral over it is one-dimensional. Elsewhere nested quasi-Monte Carlo: known latents outside, unknown
    ones inside, with L's own noise integrated in closed form; what a finite inner sample adds by chance is
    taken out with its two halves, see `_judge`.
    """
    n_subsets = len(subset_sizes(reduction.n_players))
    if reduction.is_linear and not reduction.hidden:
        return _linear_game(reduction, labels, *cuts.of(0))
    check_size(reduction.n_players)
    splits = [Split(reduction, subset, hide=True) for subset in range(n_subsets)]

    def replicate(number: int, n_points: int) -> np.ndarray:
        known = points(reduction, n_points, "classes", "known", number, precision.seed)
        n_inner = int(np.clip(2 * n_points, *_N_INNER))
        halves = [
            points(reduction, n_inner, "classes", "unknown", half, number, precision.seed) for half in (0, 1)
        ]
        limits, prior = cuts.of(number)
        return np.stack([_judge(split, known, halves, labels, limits, prior) for split in splits], axis=1)

    def error(values: np.ndarray) -> float:
        information, accuracy = values[:, 0], values[:, 1]
        shapley_values = shapley(information, reduction.n_players)
        singles = information[:, [1 << player for player in range(reduction.n_players)]]
        return max(
            float(share_standard_error(shapley_values).max(initial=0)),
            float(share_standard_error(singles).max(initial=0)),
            float(standard_error(accuracy).max()),
        )

    values, n_points = until_precise(replicate, error, precision)
    return ClassGame(values[:, 0], values[:, 1], values[:, 2], n_points * N_REPLICATES)


def _linear_game(reduction: Reduction, labels: Labels, cuts: np.ndarray, prior: np.ndarray) -> ClassGame:
    variance = reduction.total[-1, -1]
    known = np.array([reduction.known(s)[-1, -1] for s in range(2**reduction.n_players)])
    parts = np.round(np.clip(known / variance, 0, 1), 13)
    distinct, where = np.unique(parts, return_inverse=True)
    found = np.array([_linear_posterior(part, variance, labels, cuts, prior) for part in distinct])
    information, accuracy, auroc = found[where].T
    return ClassGame(information[None], accuracy[None], auroc[None], 0)


def _linear_posterior(
    part: float, variance: float, labels: Labels, cuts: np.ndarray, prior: np.ndarray
) -> tuple[float, float, float]:
    """Return information, accuracy and AUROC where S explains a part of the variance of a Gaussian F."""
    if part >= 1 - 1e-12:
        return _measure(prior, np.eye(len(prior)), labels)
    if part <= 0:
        return _measure(np.ones(1), prior[None], labels)
    # Midpoints of cells, each with its exact probability.
    edges = normal_edges(cuts / np.sqrt(variance * part), np.sqrt((1 - part) / part))
    centres = edges[:-1] / 2 + edges[1:] / 2
    spread = np.sqrt(variance * (1 - part))
    below = special.ndtr((cuts[None] - np.sqrt(variance * part) * centres[:, None]) / spread)
    return _measure(np.diff(special.ndtr(edges)), np.diff(below, prepend=0.0, append=1.0, axis=1), labels)


def _judge(
    split: Split,
    known: Points,
    halves: list[Points],
    labels: Labels,
    cuts: np.ndarray,
    prior: np.ndarray,
) -> np.ndarray:
    """Return information, accuracy and AUROC of one subset in one replicate."""
    if split.is_void:
        return np.array(_measure(np.ones(1), prior[None], labels))
    if split.is_settled:
        return np.array(_measure(prior, np.eye(len(prior)), labels))
    first, second = (_posterior(split, known, half, cuts) for half in halves)
    weights = np.full(len(first), 1 / len(first))
    # A posterior's own error looks like information. In the entropy its bias is that of a mean's square, so
    # the jackknife takes it out. Accuracy and AUROC have a kink where classes are level: there one half
    # judges what the other half chose.
    information = 2 * _information(weights, (first + second) / 2, labels, prior) - np.mean(
        [_information(weights, posterior, labels, prior) for posterior in (first, second)]
    )
    crossed = [
        (_accuracy(weights, one, other, labels, prior), _auroc(weights, one, other, labels))
        for one, other in ((first, second), (second, first))
    ]
    return np.array([information, *np.mean(crossed, axis=0)])


def _posterior(split: Split, known: Points, unknown: Points, cuts: np.ndarray) -> np.ndarray:
    """Return P(class | known) ``[known, classes]`` before label noise."""
    n, size = len(known), max(_MAX_WORK // len(unknown), 1)
    below = np.empty((n, len(cuts)))
    for start in range(0, n, size):
        rows = slice(start, start + size)
        values = split.values(known.take(rows), unknown, with_noise=False)
        for place, cut in enumerate(cuts):
            gap = cut - values
            chance = torch.special.ndtr(gap / split.noise) if split.noise else (gap > 0).double()
            below[rows, place] = chance.mean(1).numpy()
    return np.diff(below, prepend=0.0, append=1.0, axis=1)


def _measure(weights: np.ndarray, posterior: np.ndarray, labels: Labels) -> tuple[float, float, float]:
    """Return information in bits, accuracy and AUROC of exact posteriors ``[n, classes]``."""
    return (
        _information(weights, posterior, labels, weights @ posterior),
        _accuracy(weights, posterior, posterior, labels, weights @ posterior),
        _auroc(weights, posterior, posterior, labels),
    )


def _information(weights: np.ndarray, posterior: np.ndarray, labels: Labels, prior: np.ndarray) -> float:
    """Return the mean divergence of the posterior from the prior, in bits.

    A sample's mean posterior misses the prior by chance. Where little is known, the divergence does not feel
    that, and the prior's entropy less the posterior's does; where much is known, it is the other way round.
    So the miss counts in proportion to what is known.
    """
    before, after = labels.blurred(prior), labels.blurred(posterior)
    surprise = -np.log2(np.maximum(before, np.finfo(float).tiny))
    divergence = weights @ (after @ surprise - special.entr(after).sum(1) / np.log(2))
    entropy = before @ surprise
    missed = (weights @ after - before) @ surprise
    return float(divergence - min(divergence / entropy, 1) * missed) if entropy > 0 else 0.0


def _accuracy(
    weights: np.ndarray, choosing: np.ndarray, judging: np.ndarray, labels: Labels, prior: np.ndarray
) -> float:
    """Return the accuracy of the likeliest class.

    A sample's mean posterior misses the prior by chance, or because thresholds have errors. If all posteriors
    of a class moved by as much, accuracy would move by the share of points that choose it times the move
    (envelope theorem): that is taken out. Where much is known, posteriors do not move alike, so the miss
    counts in proportion to what is not known, see `_information`.
    """
    before, after = labels.blurred(prior), labels.blurred(judging)
    chosen = choosing.argmax(1)
    reached = float(weights @ np.take_along_axis(after, chosen[:, None], axis=1)[:, 0])
    missed = np.bincount(chosen, weights, len(before)) @ (weights @ after - before)
    chance = before.max()
    known = np.clip((reached - missed - chance) / (1 - chance), 0, 1) if chance < 1 else 1.0
    return float(reached - (1 - known) * missed)


def _auroc(weights: np.ndarray, scoring: np.ndarray, judging: np.ndarray, labels: Labels) -> float:
    blurred = labels.blurred(judging)
    classes = range(1, 2) if labels.n_classes == 2 else range(labels.n_classes)
    return float(np.mean([weighted_auroc(scoring[:, c], blurred[:, c], weights) for c in classes]))


def weighted_auroc(score: np.ndarray, posterior: np.ndarray, weights: np.ndarray) -> float:
    """Return the area under the ROC curve: P(a positive scores higher than a negative), ties half.

    Args:
        score: what the points are ranked by ``[n]``.
        posterior: P(positive) of each point ``[n]``.
        weights: of the points ``[n]``.
    """
    order = np.argsort(score, kind="stable")
    ranked, posterior, weights = score[order], posterior[order], weights[order]
    first = np.flatnonzero(np.diff(ranked, prepend=-np.inf) > 0)
    positive = np.add.reduceat(weights * posterior, first)
    negative = np.add.reduceat(weights * (1 - posterior), first)
    if not positive.sum() * negative.sum() > 0:
        return 0.5  # one class only: there is nothing to rank
    below = np.cumsum(negative) - negative / 2
    return float(positive @ below / (positive.sum() * negative.sum()))
