"""Truths of single latent features, where they have one: total effects and permutation losses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from synthetic.decision import DecisionFunction
from synthetic.law import GaussianCopula, LatentLaw
from synthetic.margins import Margin
from synthetic.seeding import numpy_rng
from synthetic.truth.reduction import Reduction
from synthetic.truth.replicates import share

N_DRAWS = 2**16
_CHUNK = 2**13


def total_effects(decision: DecisionFunction, law: LatentLaw, reduction: Reduction) -> dict[str, float]:
    """Return the total effect of each latent feature, E[Var(F | all others)], as shares.

    In closed form where F is linear in Gaussian latents, else by Monte Carlo. Empty where F reads features of
    a finite population: each of its rows is known from any one feature, so nothing is left to vary.
    """
    if reduction.scans:
        return {}
    read = _columns_read(decision)
    raw = np.zeros(law.n_columns)
    if reduction.is_linear and len(law.blocks) >= 1:
        slopes = _linear_slopes(decision)
        for column in read:
            raw[column] = slopes[column] ** 2 * _conditional(law, column)[1] ** 2
    else:
        for z, scores, rng in _chunks(law, "total_effect"):
            before = decision(torch.from_numpy(z)).numpy()
            for column in read:
                weights, spread = _conditional(law, column)
                fresh = scores @ weights + spread * rng.standard_normal(len(z))
                after = _replaced(z, column, _margin(law, column).latent(fresh))
                raw[column] += ((decision(after).numpy() - before) ** 2).sum()
    return _shares(decision, raw)


def permutation_losses(decision: DecisionFunction, law: LatentLaw, cuts: np.ndarray) -> dict[str, float]:
    """Return how often the class changes when each latent feature is permuted, as shares; by Monte Carlo."""
    read = _columns_read(decision)
    raw = np.zeros(law.n_columns)
    for z, _, rng in _chunks(law, "permutation"):
        before = np.searchsorted(cuts, decision(torch.from_numpy(z)).numpy(), side="right")
        for column in read:
            after = decision(_replaced(z, column, rng.permutation(z[:, column]))).numpy()
            raw[column] += (np.searchsorted(cuts, after, side="right") != before).sum()
    return _shares(decision, raw)


def _chunks(law: LatentLaw, purpose: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.random.Generator]]:
    """Yield latents, the scores behind them (0 for finite populations), and a generator."""
    for number in range(N_DRAWS // _CHUNK):
        rng = numpy_rng("truth", purpose, "features", number)
        latents, scores = [], []
        for block in law.blocks:
            if isinstance(block, GaussianCopula):
                scores.append(rng.standard_normal((_CHUNK, block.n_columns)) @ block.root.T)
                latents.append(block.latents(scores[-1]))
            else:
                latents.append(block.sample(_CHUNK, rng))
                scores.append(np.zeros_like(latents[-1]))
        yield np.concatenate(latents, axis=1), np.concatenate(scores, axis=1), rng


def _conditional(law: LatentLaw, column: int) -> tuple[np.ndarray, float]:
    """Return weights ``[d]`` and standard deviation of a score given all others."""
    weights = np.zeros(law.n_columns)
    block, place = _copula_of(law, column)
    others = np.delete(np.arange(block.n_columns), place)
    cross = block.covariance[place, others]
    coefficients = np.zeros(len(others))
    if cross.any():
        coefficients = np.linalg.pinv(block.covariance[np.ix_(others, others)], hermitian=True) @ cross
    variance = block.covariance[place, place] - coefficients @ cross
    weights[column - place + others] = coefficients
    return weights, float(np.sqrt(max(variance, 0.0) if variance > 1e-10 else 0.0))


def _margin(law: LatentLaw, column: int) -> Margin:
    block, place = _copula_of(law, column)
    return block.margins[place]


def _copula_of(law: LatentLaw, column: int) -> tuple[GaussianCopula, int]:
    """Return the copula that holds a column, and the column's place in it."""
    found = law.block_of([column])
    if found is None or not isinstance(found[0], GaussianCopula):
        raise ValueError(f"Column {column} of the law is of a finite population and has no conditional law.")
    return found[0], found[1][0]


def _columns_read(decision: DecisionFunction) -> list[int]:
    read = set()
    for term in decision.terms:
        if all(factor.weight for factor in term.factors):
            for factor in term.factors:
                columns = decision.columns_of(factor)
                read |= {column for column, slope in zip(columns, factor.slopes, strict=True) if slope}
    return sorted(read)


def _linear_slopes(decision: DecisionFunction) -> np.ndarray:
    slopes = np.zeros(len(decision.columns))
    for term in decision.terms:
        slopes[decision.columns_of(term)] += term.weight * np.asarray(term.slopes)
    return slopes


def _replaced(z: np.ndarray, column: int, values: np.ndarray) -> torch.Tensor:
    changed = z.copy()
    changed[:, column] = values
    return torch.from_numpy(changed)


def _shares(decision: DecisionFunction, raw: np.ndarray) -> dict[str, float]:
    shares = share(raw)
    return {name: float(shares[column]) for name, column in decision.columns.items()}
