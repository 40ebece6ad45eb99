"""The true value of an estimand for a decision function over latent features of known law."""

from __future__ import annotations

import numpy as np
import torch

from synthetic.decision import DecisionFunction, Term
from synthetic.law import LatentLaw, Population
from synthetic.seeding import numpy_rng
from synthetic.types import Truth

MONTE_CARLO_DRAWS = 2**18


def gradient(
    decision: DecisionFunction, law: LatentLaw, *, n_draws: int = MONTE_CARLO_DRAWS, seed: int = 0
) -> Truth:
    """Return the gradient truth I_j = E|∂F/∂z_j|, summed per modality and normalised to 1.

    Definition of Azmat & Alessio (2022). Exact where each feature is read by one term only, or by linear
    terms only, and the arguments of the nonlinear terms stay inside one block of the law; Monte Carlo with
    a standard error otherwise.

    Args:
        decision: F.
        law: joint law of the latent features.
        n_draws: Monte-Carlo draws, where there is no exact value; at least 2, for a standard error.
        seed: decides the Monte-Carlo draws.

    Raises:
        ValueError: if F has no gradient in any feature, or there are too few draws.
    """
    if n_draws < 2:
        raise ValueError(f"The 'n_draws' of a truth must be at least 2. Got {n_draws}.")
    exact = _exact_gradient(decision, law)
    if exact is not None:
        is_finite = any(isinstance(block, Population) for block in law.blocks)
        method = "exact over the scans" if is_finite else "closed form"
        return _truth(decision, exact, np.zeros(len(decision.modalities)), method)
    rng = numpy_rng("truth", "gradient", str(decision), seed)
    z = torch.from_numpy(law.sample(n_draws, rng)).requires_grad_()
    (slopes,) = torch.autograd.grad(decision(z).sum(), z)
    local = slopes.abs().numpy()
    per_modality = np.stack([local[:, columns].sum(1) for columns in decision.slices.values()], axis=1)
    mean = per_modality.mean(0)
    _check_sum(decision, mean)
    # Delta method for a share m_i / Σ m: the linearised share of each draw, averaged.
    share = mean / mean.sum()
    linearised = (per_modality - share * per_modality.sum(1, keepdims=True)) / mean.sum()
    standard_error = linearised.std(0, ddof=1) / np.sqrt(n_draws)
    return _truth(decision, local.mean(0), standard_error, f"Monte Carlo, n = {n_draws}")


def _exact_gradient(decision: DecisionFunction, law: LatentLaw) -> np.ndarray | None:
    """Return E|∂F/∂z_j| ``[d]`` in closed form, or None where there is none."""
    readers: dict[str, list[Term]] = {name: [] for name in decision.columns}
    for term in decision.terms:
        for name in term.features:
            readers[name].append(term)
    result = np.zeros(len(readers))
    for name, terms in readers.items():
        slopes = [term.weight * term.slopes[term.features.index(name)] for term in terms]
        if all(term.function == "identity" for term in terms):
            result[decision.columns[name]] = abs(sum(slopes))
            continue
        mean_slope = _mean_absolute_slope(decision, law, terms[0]) if len(terms) == 1 else None
        if mean_slope is None:
            return None
        result[decision.columns[name]] = abs(slopes[0]) * mean_slope
    return result


def _mean_absolute_slope(decision: DecisionFunction, law: LatentLaw, term: Term) -> float | None:
    """Return E|g'(aᵀz)| of a nonlinear term, or None where its argument spans several blocks of the law."""
    found = law.block_of(decision.columns_of(term))
    if found is None:
        return None
    block, places = found
    if term.function == "square":
        return 2 * block.mean_absolute(places, term.slopes)
    return block.mean_exp(places, term.slopes)


def _truth(decision: DecisionFunction, raw: np.ndarray, standard_error: np.ndarray, method: str) -> Truth:
    _check_sum(decision, raw)
    share = raw / raw.sum()
    return Truth(
        estimand="gradient",
        modalities={name: float(share[columns].sum()) for name, columns in decision.slices.items()},
        features={name: float(share[column]) for name, column in decision.columns.items()},
        standard_error=dict(zip(decision.slices, standard_error.tolist(), strict=True)),
        method=method,
    )


def _check_sum(decision: DecisionFunction, raw: np.ndarray) -> None:
    if not raw.sum() > 0:
        raise ValueError(
            f"The decision function {decision} has no gradient anywhere, so nothing is important. "
            "Give at least one of its terms a weight other than 0."
        )
