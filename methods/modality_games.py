"""Cooperative games whose players are the modalities: Shapley values and interactions of any value function.

Every value is linear in those of coalitions, so a *plan* holds coalitions and two matrices. Up to ten players
all coalitions are listed and the matrices are exact; for more, blocks of samples get random plans of their
own, and the spread between blocks is the standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from math import comb

import numpy as np
from torch import Tensor

from methods.absent_modalities import AbsentModalities, Output, scores_of

LARGEST_EXACT = 10
"""Most players whose coalitions are all listed: 1,024 of them."""
N_COALITIONS = 512
"""Coalitions that are asked a sample where not all are listed, unless a plan needs more."""
FEW_EXACT, FEW_COALITIONS = 5, 32
"""The same two where a coalition's value is no mean of answers, so that it needs many draws."""
MOST_CALLS = 2**20
"""Model calls that the number of draws adapts to."""
_MOST_DRAWS = 64
_N_BLOCKS = 32

Value = Callable[[np.ndarray, Tensor, slice], Tensor]
"""(coalition ``[players]``, answers ``[rows, draws, classes]``, rows) → each sample's part of the coalition's
value ``[rows]``; the value is their mean."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Coalitions, and what their values add up to.

    Attributes:
        coalitions: one truth value a player ``[coalitions, players]``.
        shapley: Shapley values of a game v are ``shapley @ v`` ``[players, coalitions]``.
        interactions: Shapley interaction indices are ``interactions @ v`` ``[pairs, coalitions]``, in the
            order of `pairs`; no rows where they are not asked for.
    """

    coalitions: np.ndarray
    shapley: np.ndarray
    interactions: np.ndarray


def pairs(n_players: int) -> list[tuple[int, int]]:
    """Return all pairs i < j."""
    return list(combinations(range(n_players), 2))


@lru_cache(maxsize=4)
def exact_plan(n_players: int) -> Plan:
    """Return all coalitions with the weights of the definitions.

    φ_i = Σ_{S ∌ i} |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S)), Shapley 1953;
    I_ij = Σ_{S ∌ i, j} |S|! (n − |S| − 2)! / (n − 1)! · (v(S ∪ ij) − v(S ∪ i) − v(S ∪ j) + v(S)), Grabisch &
    Roubens 1999.
    """
    n = n_players
    coalitions = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
    sizes = coalitions.sum(1)
    alone = np.array([1 / (n * comb(n - 1, size)) for size in range(n)])
    shapley = np.where(coalitions, alone[np.maximum(sizes - 1, 0)][:, None], 0)
    shapley -= np.where(coalitions, 0, alone[np.minimum(sizes, n - 1)][:, None])
    rows = []
    for i, j in pairs(n):
        joint = np.array([1 / ((n - 1) * comb(n - 2, size)) for size in range(n - 1)])
        n_there = coalitions[:, i].astype(int) + coalitions[:, j]
        others = np.clip(sizes - n_there, 0, n - 2)
        rows.append(joint[others] * np.where(n_there == 1, -1, 1))
    return Plan(coalitions, shapley.T, np.array(rows).reshape(len(rows), 2**n))


def random_plan(n_players: int, n_coalitions: int, rng: np.random.Generator, *, interactions: bool) -> Plan:
    """Return a plan whose values are unbiased, from random orders of the players and their reversals.

    A player's gain over those before it in a random order has its Shapley value as mean (Castro, Gómez &
    Tejada 2009); with each order comes its reversal (Mitchell et al. 2022). Two neighbours in it, over
    those before both, have their interaction index as mean: the orders of a *round* are chosen so that each
    pair are neighbours exactly once.

    Args:
        n_players: three or more.
        n_coalitions: the budget, without the empty and the full one, which cost nothing.
        rng: source of the orders.
        interactions: whether they are asked for.

    Raises:
        ValueError: if the budget is too small for an order, or a round, and its reversal.
    """
    cost = fewest_coalitions(n_players, interactions=interactions)
    if n_coalitions < cost:
        raise ValueError(
            f"The 'n_coalitions' of {n_players} modalities must be at least {cost}"
            f"{' for their interactions' if interactions else ''}. Got {n_coalitions}."
        )
    orders = []
    for _ in range(n_coalitions // cost):
        forth = _round(n_players, rng) if interactions else [rng.permutation(n_players)]
        orders += [*forth, *(order[::-1] for order in forth)]
    listed: dict[bytes, int] = {}
    gains: list[tuple[int, int, float]] = []
    joint: list[tuple[int, int, float]] = []
    number = {pair: row for row, pair in enumerate(pairs(n_players))}

    def place(members: np.ndarray) -> int:
        there = np.zeros(n_players + 1, dtype=bool)
        there[members] = True
        return listed.setdefault(there[:n_players].tobytes(), len(listed))

    for order in orders:
        for k, player in enumerate(order):
            if player < n_players:
                gains += [(player, place(order[: k + 1]), 1.0), (player, place(order[:k]), -1.0)]
        for k, pair in enumerate(pairwise(order) if interactions else ()):
            if max(pair) < n_players:
                row, second = number[min(pair), max(pair)], np.append(order[:k], pair[1])
                joint += [(row, place(order[: k + 2]), 1.0), (row, place(order[: k + 1]), -1.0)]
                joint += [(row, place(second), -1.0), (row, place(order[:k]), 1.0)]
    coalitions = np.array([np.frombuffer(there, dtype=bool) for there in listed])
    shapley = _sums(gains, n_players, len(coalitions)) / len(orders)
    times_neighbours = 2 * (n_coalitions // cost)
    return Plan(
        coalitions,
        shapley,
        _sums(joint, len(number) if interactions else 0, len(coalitions)) / times_neighbours,
    )


def fewest_coalitions(n_players: int, *, interactions: bool) -> int:
    """Return what a random plan costs at least: an order, or a round of them, with its reversal."""
    if not interactions:
        return 2 * (n_players - 1)
    # Of each order all beginnings, and those whose last player gives way to the next.
    n_orders = 2 * ((n_players + 1) // 2)
    return n_orders * (n_players - 1) + n_players * (n_players - 1)


def _sums(entries: list[tuple[int, int, float]], n_rows: int, n_columns: int) -> np.ndarray:
    result = np.zeros((n_rows, n_columns))
    for row, column, value in entries:
        result[row, column] += value
    return result


def _round(n_players: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return random orders in which each pair are neighbours exactly once.

    A complete graph with an even number of nodes falls into zigzag paths (Walecki, in Lucas 1883). An odd
    number of players is joined by one who does nothing, number ``n_players``.
    """
    n = n_players + n_players % 2
    steps = np.arange(1, n // 2 + 1)
    zigzag = np.concatenate([[0], np.stack([steps, -steps], axis=1).ravel()[: n - 1]])
    names = rng.permutation(n)
    return [names[(zigzag + shift) % n] for shift in range(n // 2)]


@dataclass(frozen=True, eq=False)
class Played:
    """What each sample says of a game; the game's values are the means over the samples.

    Attributes:
        shapley: ``[n, players]``.
        interactions: ``[n, pairs]``; no columns where they were not asked for.
        whole: value of all players together less that of none ``[n]``.
        alone: sum over the players of the value of each by itself less that of none ``[n]``; None where not
            all coalitions are listed.
        blocks: of samples that share a random plan; None where the plan is exact.
        n_shared: samples whose values one sample is in; each then counts that much more in the error.
    """

    shapley: np.ndarray
    interactions: np.ndarray
    whole: np.ndarray
    alone: np.ndarray | None
    blocks: tuple[slice, ...] | None
    n_shared: int = 1

    def standard_error(self, values: np.ndarray) -> np.ndarray | None:
        """Return the standard error of the mean of ``[n, k]`` over the samples, ``[k]``.

        From the spread between samples, or between blocks, which holds that of their plans; None where there
        are not two of them.
        """
        if self.blocks is not None:
            values = np.stack([values[rows].mean(0) for rows in self.blocks])
        if len(values) < 2:
            return None
        return self.n_shared * values.std(0, ddof=1) / np.sqrt(len(values))

    def shares_standard_error(self, values: np.ndarray) -> np.ndarray | None:
        """Return the standard error of mean(values) / mean(whole), by the delta method, ``[k]``."""
        total = self.whole.mean()
        if total == 0:
            return None
        return self.standard_error((values - values.mean(0) / total * self.whole[:, None]) / total)


def play(
    game: AbsentModalities,
    value: Value,
    rng: np.random.Generator,
    *,
    n_players: int,
    n_coalitions: int | None = None,
    interactions: bool = False,
    largest_exact: int = LARGEST_EXACT,
) -> Played:
    """Return what each sample says of a game: exact for few players, else by random orders.

    Args:
        game: answers of coalitions.
        value: a coalition's value, from its answers.
        rng: source of random orders.
        n_players: modalities.
        n_coalitions: coalitions a sample where not all are listed; None for 512, or as many as are needed.
        interactions: whether they are asked for.
        largest_exact: most players whose coalitions are all listed.
    """
    n = len(game)
    if n_coalitions is None:
        n_coalitions = max(N_COALITIONS, fewest_coalitions(n_players, interactions=interactions))
    if n_players <= largest_exact:
        blocks, tasks = None, [slice(0, n)]
    else:
        # A block's variance needs two samples.
        edges = np.linspace(0, n, min(_N_BLOCKS, n // 2) + 1).round().astype(int)
        blocks = tuple(slice(int(start), int(stop)) for start, stop in pairwise(edges))
        tasks = list(blocks)
    shapley, joint, whole, alone = [], [], [], None
    for rows in tasks:
        plan = (
            exact_plan(n_players)
            if blocks is None
            else random_plan(n_players, n_coalitions, rng, interactions=interactions)
        )
        values = np.stack(
            [value(present, game.answers(present, rows), rows).numpy() for present in plan.coalitions]
        )
        shapley.append((plan.shapley @ values).T)
        joint.append((plan.interactions[: None if interactions else 0] @ values).T)
        whole.append(shapley[-1].sum(1))
        if blocks is None:
            alone = _alone(values)
    return Played(np.concatenate(shapley), np.concatenate(joint), np.concatenate(whole), alone, blocks)


def draws(
    n_samples: int,
    n_players: int,
    n_coalitions: int | None = None,
    *,
    largest_exact: int = LARGEST_EXACT,
) -> int:
    """Return how many partners a sample gets by default: as many as a million model calls pay for."""
    asked = 2**n_players - 2 if n_players <= largest_exact else n_coalitions or N_COALITIONS
    return int(np.clip(MOST_CALLS // max(n_samples * asked, 1), 2, _MOST_DRAWS))


def halves(pair_values: np.ndarray, n_players: int) -> np.ndarray:
    """Return each player's half of the pairs that it takes part in ``[…, players]``, of ``[…, pairs]``."""
    result = np.zeros((*pair_values.shape[:-1], n_players))
    for place, pair in enumerate(pairs(n_players)):
        result[..., list(pair)] += pair_values[..., [place]] / 2
    return result


def play_variance(
    game: AbsentModalities,
    output: Output,
    rng: np.random.Generator,
    *,
    n_players: int,
    n_coalitions: int | None = None,
    interactions: bool = False,
) -> Played:
    """Return what each sample says of the game v(S) = Var(E[f | x_S]), f in the units of the output.

    Where no modalities are linked and all coalitions are listed, by `cube_variances`, whose errors in one
    modality do not depend on the others; else by `explained_variance`.

    Args:
        game: answers of coalitions.
        output: f.
        rng: source of random orders.
        n_players: modalities.
        n_coalitions: coalitions a sample where not all are listed; None for 512, or as many as are needed.
        interactions: whether they are asked for.
    """
    if game.are_linked or n_players > LARGEST_EXACT:

        def value(present: np.ndarray, answers: Tensor, rows: slice) -> Tensor:
            del present, rows
            return explained_variance(scores_of(answers, output), len(game))

        return play(
            game, value, rng, n_players=n_players, n_coalitions=n_coalitions, interactions=interactions
        )
    plan = exact_plan(n_players)
    pair_values = cube_variances(
        np.stack(
            [
                scores_of(game.answers(present), output).expand(*game.partners.shape, -1).numpy()
                for present in plan.coalitions
            ]
        )
    )
    values = of_both(pair_values, game.partners.numpy())
    shapley = (plan.shapley @ values).T
    joint = (plan.interactions[: None if interactions else 0] @ values).T
    return Played(shapley, joint, shapley.sum(1), _alone(values), None, n_shared=2)


def _alone(values: np.ndarray) -> np.ndarray:
    """Return the sum of what each player has alone ``[n]``, of the values of all coalitions."""
    singles = 2 ** np.arange(len(values).bit_length() - 1)
    return (values[singles] - values[0]).sum(0)


def cube_variances(corners: np.ndarray) -> np.ndarray:
    """Return Var(E[f | x_S]) of all coalitions S from pairs of samples, for independent modalities.

    Of two samples, f is known at all 2^M mixtures of their modalities, the corners of a cube. Two corners
    that agree in S, and there alone, share what they know: the mean of their product is v(S) + (E f)². Its
    mean over all such corners is an autocorrelation, so the Walsh transform of the squared Walsh transform
    of f. It is exact in each pair: a sum of functions of one modality has no interactions at all.

    Args:
        corners: f where the modalities in S are the first sample's and the others the second's, bit i of the
            place standing for modality i: ``[2 ** modalities, …, values]``.

    Returns:
        ``[2 ** modalities, …]``, summed over the values; means over pairs are v(S).
    """
    n = len(corners)
    agree = _walsh((_walsh(corners) / n) ** 2).sum(-1)
    return agree[::-1] - agree[-1:]  # in place D are corners that differ in D, so agree in the rest


def _walsh(values: np.ndarray) -> np.ndarray:
    """Return Σ_T (−1)^|S ∩ T| values[T] of all S, along the first axis."""
    n, result = len(values), values
    width = 1
    while width < n:
        parts = result.reshape(n // (2 * width), 2, width, *values.shape[1:])
        result = np.stack([parts[:, 0] + parts[:, 1], parts[:, 0] - parts[:, 1]], axis=1)
        width *= 2
    return result.reshape(values.shape)


def of_both(pair_values: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """Return each sample's mean over the pairs that it is in, first or second.

    Args:
        pair_values: ``[k, n, draws]``.
        partners: the second of each pair ``[n, draws]``; each sample comes equally often.

    Returns:
        ``[k, n]``, with the same mean.
    """
    n_draws = partners.shape[1]
    total = pair_values.sum(2)
    for draw in range(n_draws):
        total[:, partners[:, draw]] += pair_values[:, :, draw]
    return total / (2 * n_draws)


def shares_of_variance(
    pair_values: Mapping[str, Tensor], outputs: Tensor, partners: Tensor | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Return means over pairs as shares of the variance of the outputs, and their standard errors.

    A sample counts in the pairs where it is first, in those where it is the partner, and in the variance.

    Args:
        pair_values: name → ``[n, draws]``, or ``[n, 1]`` without partners.
        outputs: of the samples ``[n, values]``, float64.
        partners: ``[n, draws]``; None where the values do not depend on partners.
    """
    n = len(outputs)
    squares = ((outputs - outputs.mean(0)) ** 2).sum(1).numpy() * n / (n - 1)
    spread = squares.mean()
    if not spread > 0:  # the model always answers alike
        return dict.fromkeys(pair_values, 0.0), dict.fromkeys(pair_values, 0.0)
    found, error = {}, {}
    for name, pairs_of in pair_values.items():
        values = pairs_of.numpy()
        share = values.mean() / spread
        own = values.mean(1) if partners is None else 2 * of_both(values[None], partners.numpy())[0]
        found[name] = float(share)
        error[name] = float((own - share * squares).std(ddof=1) / spread / np.sqrt(n))
    return found, error


def explained_variance(answers: Tensor, n_partners: int) -> Tensor:
    """Return each sample's part of the variance of E[answer | present] ``[rows]``, summed over the values.

    The variance of the samples' means over draws, less what the draws' own spread adds: 1 / draws of it,
    less 1 / partners, since samples share some of their partners. That of the empty coalition is not put to
    0: it errs as those of other coalitions do that say nothing.

    Args:
        answers: ``[rows, draws, values]``, float64.
        n_partners: samples that partners were drawn from.
    """
    n, n_draws, _ = answers.shape
    mean = answers.mean(1)
    found = ((mean - mean.mean(0)) ** 2).sum(1) * (n / (n - 1))
    return found - answers.var(1).sum(1) * (1 / n_draws - 1 / n_partners) if n_draws > 1 else found
