"""The gradient truth of Azmat & Alessio (2022): how strongly F reacts to a small change of each latent."""

from __future__ import annotations

import numpy as np
import torch

from synthetic.decision import DecisionFunction, Term
from synthetic.law import LatentLaw, Population
from synthetic.seeding import numpy_rng
from synthetic.types import Truth

MONTE_CARLO_DRAWS = 2**18
_CHUNK = 2**14


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
        ValueError: if there are too few draws.
    """
    if n_draws < 2:
        raise ValueError(f"The 'n_draws' of a truth must be at least 2. Got {n_draws}.")
    exact = _exact_gradient(decision, law)
    if exact is not None:
        is_finite = any(isinstance(block, Population) for block in law.blocks)
        method = "exact over the scans" if is_finite else "closed form"
        raw = np.array([exact[columns].sum() for columns in decision.slices.values()])
        return _truth(decision, raw, exact, np.zeros_like(raw), np.zeros_like(raw), method)
    rng = numpy_rng("truth", "gradient", str(decision), seed)
    local_sum = np.zeros(law.n_columns)
    parts = []
    for start in range(0, n_draws, _CHUNK):  # a table of hundreds of columns must not fill the memory
        z = torch.from_numpy(law.sample(min(_CHUNK, n_draws - start), rng)).requires_grad_()
        (slopes,) = torch.autograd.grad(decision(z).sum(), z)
        local = slopes.abs().numpy()
        local_sum += local.sum(0)
        parts.append(np.stack([local[:, columns].sum(1) for columns in decision.slices.values()], axis=1))
    per_modality = np.concatenate(parts)
    mean = per_modality.mean(0)
    if not mean.sum() > 0:
        return _truth(decision, mean, local_sum, np.zeros_like(mean), np.zeros_like(mean), "closed form")
    # Delta method for a share m_i / Σ m: the linearised share of each draw, averaged.
    share = mean / mean.sum()
    linearised = (per_modality - share * per_modality.sum(1, keepdims=True)) / mean.sum()
    error, raw_error = (values.std(0, ddof=1) / np.sqrt(n_draws) for values in (linearised, per_modality))
    return _truth(decision, mean, local_sum / n_draws, error, raw_error, f"Monte Carlo, n = {n_draws}")


def _exact_gradient(decision: DecisionFunction, law: LatentLaw) -> np.ndarray | None:
    """Return E|∂F/∂z_j| ``[d]`` in closed form, or None where there is none."""
    readers: dict[str, list[Term]] = {name: [] for name in decision.columns}
    for term in decision.terms:
        for factor in term.factors:
            for name in factor.features:
                readers[name].append(term)
    result = np.zeros(len(readers))
    for name, terms in readers.items():
        if any(term.times is not None for term in terms):
            return None
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
    if term.offset or term.function not in ("square", "exp"):
        return None
    if term.function == "square":
        mean = block.mean_absolute(places, term.slopes)
        return None if mean is None else 2 * mean
    return block.mean_exp(places, term.slopes)


def _truth(
    decision: DecisionFunction,
    raw: np.ndarray,
    local: np.ndarray,
    standard_error: np.ndarray,
    raw_standard_error: np.ndarray,
    method: str,
) -> Truth:
    informative = bool(raw.sum() > 0)
    share = raw / raw.sum() if informative else np.full(len(raw), 1 / len(raw))
    features = local / local.sum() if informative else np.full(len(local), 1 / len(local))
    names = list(decision.slices)
    return Truth(
        estimand="gradient",
        modalities=dict(zip(names, share.tolist(), strict=True)),
        features={name: float(features[column]) for name, column in decision.columns.items()},
        standard_error=dict(zip(names, standard_error.tolist(), strict=True)),
        method=method,
        raw=dict(zip(names, raw.tolist(), strict=True)),
        raw_standard_error=dict(zip(names, raw_standard_error.tolist(), strict=True)),
        unit="F per standard deviation",
        informative=informative,
    )
