"""Importances from one backward pass: slopes in units of what moves, weighed by what the labels confirm.

Let g = ∂l/∂h be the slopes of the centred logits l at a sample's fusion vector h, Σ = Cov h, and h_m, g_m,
Σ_m the columns of modality m. Sums of mean |g_j| over learnt features depend on how an encoder scales and
repeats them: the sum of ten latents, carried by ten standardised copies, gets √10; the latents themselves
get 10. What is returned here depends on the linear span of a learnt modality's features, no more.

**Weights** (``calibrate``). A network leans a little on what F does not read. φ_m = g_mᵀ(h_m − mean) is
modality m's part in the logits, to first order. Labels of samples that it was not trained on, regressed on
l and all φ_m (``straighten.regress``), say how much of it they confirm: a_m is the same for all m where
the network is F, and 0 where φ_m is noise. The weight is max(a_m, 0) · max(1 − 4 / D_m, 0), where D_m is
the deviance that a_m = 0 costs (as in Breiman's garrote): what lies within two standard errors of nothing
is nothing. Where samples are too few to confirm even the best modality, all weights tend to 1. From here
on g_m is weighed; Γ = E Σ_classes g gᵀ. Then, exactly where F is linear, h normal, and the network F:

- ``calibrated_gradient``: E √(pᵀΣ_m p), p the slope of the probability. For independent standardised
  latents this is ‖∂F/∂z_m‖₂ and the truth ‖∂F/∂z_m‖₁: √(number of latents read) apart, and fusion
  features, known up to a linear map, do not tell that number. Columns that reach the fusion vector as they
  are in the input *are* latents: E Σ_j |p_j| sd_j. Learnt modalities get their norm, times the ratio of
  sum to norm of all such columns together: right where images read as many latents as tables do.
- ``calibrated_permutation``: how often the class changes when g_mᵀ(h_m′ − h_m) of another sample is added.
- ``calibrated_total_effect``: tr Γ_mm Σ_m|rest, since E Var(F | rest) = g_mᵀ Σ_m|rest g_m.
- ``calibrated_shapley``: while U is unknown, c(U) = tr Γ_UU Σ_U|rest of the variance is left. Let L be the
  Cholesky factor of Σ, modalities in the order in which they become known. The last columns of L are the
  factor of Σ_U|rest, so c(U) = Σ_{j in U} (LᵀΓL)_jj, and what a modality adds is the sum over its own j:
  one factor an order.
- ``calibrated_sage``: the same, in bits about the label that are in a normal score known to that share.

Modalities whose correlations may be chance (Pillai's trace within 3 standard errors) count as independent.

It fails where slopes do. A jump has none, and saturation between samples is not seen. Interactions are
seen through mean square slopes only: c(U) is additive over independent modalities, so that their joint
part counts in full for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations

import numpy as np
import torch
from scipy import special
from torch import Tensor

from methods.api import FusionModel, Method
from methods.evaluation import targets, torch_generator
from methods.straighten import Local, straighten
from synthetic.types import Samples

_INDEPENDENT = 3.0  # standard errors of Pillai's trace up to which two modalities count as independent
_PARTNERS = 20
_ORDERS = 256
_ALL_ORDERS = 4  # modalities of which every order is tried
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


def gradient(
    model: FusionModel, samples: Samples, rng: np.random.Generator, *, calibrate: bool = True
) -> Mapping[str, float]:
    """Return each modality's mean absolute slope of the probability, per standard deviation of its signal.

    Args:
        model: the model.
        samples: with labels.
        rng: unused.
        calibrate: weigh modalities by what the labels confirm; False: what the network leans on.

    Raises:
        ValueError: if the samples carry no labels, or there are fewer than two.
    """
    del rng  # nothing here is random
    local = straighten(model, samples, calibrate=calibrate)
    p = local.logits.softmax(1)
    own = torch.arange(len(p)), targets(p)
    slopes = p[own][:, None] * (local.slopes[own] - torch.einsum("nc,ncj->nj", p, local.slopes))
    sums, norms = {}, {}
    for name, columns in local.groups.items():
        features, part = local.features[:, columns], slopes[:, columns]
        # With h = hᶜ, RᵀR = Σ for R = hᶜ/√(n − 1); its triangular factor is as good, and small.
        root = torch.linalg.qr(features / (len(p) - 1) ** 0.5, mode="r")[1]
        moved = part * features.std(0) if local.given[name] else part @ root.T
        sums[name], norms[name] = float(moved.abs().sum(1).mean()), float(moved.norm(dim=1).mean())
    given = [name for name in local.groups if local.given[name]]
    norm = sum(norms[name] for name in given)
    ratio = sum(sums[name] for name in given) / norm if norm > 0 else 1.0
    return {name: sums[name] if local.given[name] else ratio * norms[name] for name in local.groups}


def permutation(
    model: FusionModel, samples: Samples, rng: np.random.Generator, *, calibrate: bool = True
) -> Mapping[str, float]:
    """Return how often the class changes when a modality's part is exchanged; see :func:`gradient`."""
    local = straighten(model, samples, calibrate=calibrate)
    generator, n = torch_generator(rng), len(local.logits)
    before = local.logits.argmax(1)
    partners = [torch.randperm(n, generator=generator) for _ in range(_PARTNERS)]
    changed = {}
    for name, columns in local.groups.items():
        features, slopes, count = local.features[:, columns], local.slopes[:, :, columns], 0
        for partner in partners:
            change = torch.einsum("ncj,nj->nc", slopes, features[partner] - features)
            count += int(((local.logits + change).argmax(1) != before).sum())
        changed[name] = count / (n * _PARTNERS)
    return changed


def total_effect(
    model: FusionModel, samples: Samples, rng: np.random.Generator, *, calibrate: bool = True
) -> Mapping[str, float]:
    """Return the variance of the logits that is left when all else is known; see :func:`gradient`."""
    del rng  # nothing here is random
    local = straighten(model, samples, calibrate=calibrate)
    names = list(local.groups)
    orders = [[other for other in names if other != name] + [name] for name in names]
    return {order[-1]: gains[-1] for order, gains in _increments(local, orders)}


def shapley(
    model: FusionModel, samples: Samples, rng: np.random.Generator, *, calibrate: bool = True
) -> Mapping[str, float]:
    """Return Shapley effects, the mean increment of explained variance; see :func:`gradient`."""
    local = straighten(model, samples, calibrate=calibrate)
    values = dict.fromkeys(local.groups, 0.0)
    for order, gains in _increments(local, _orders(list(local.groups), rng)):
        for name, gain in zip(order, gains, strict=True):
            values[name] += gain
    return values


def sage(
    model: FusionModel, samples: Samples, rng: np.random.Generator, *, calibrate: bool = True
) -> Mapping[str, float]:
    """Return the mean increment of the information about the label; see :func:`gradient`."""
    local = straighten(model, samples, calibrate=calibrate)
    shares = np.bincount(local.labels.numpy(), minlength=local.logits.shape[1]) / len(local.labels)
    values = dict.fromkeys(local.groups, 0.0)
    for order, gains in _increments(local, _orders(list(local.groups), rng)):
        known = np.cumsum(gains)
        bits = [_information(value / known[-1], shares) if known[-1] > 0 else 0.0 for value in known]
        for name, gain in zip(order, np.diff(bits, prepend=0), strict=True):
            values[name] += float(gain)
    return values


def _orders(names: list[str], rng: np.random.Generator) -> list[list[str]]:
    """Return all orders of few names; of many, random ones and their rotations: each is last as often."""
    n = len(names)
    if n <= _ALL_ORDERS:
        return [list(order) for order in permutations(names)]
    drawn = [[names[place] for place in rng.permutation(n)] for _ in range(-(-_ORDERS // n))]
    return [order[start:] + order[:start] for order in drawn for start in range(n)]


def _increments(local: Local, orders: list[list[str]]) -> Iterator[tuple[list[str], list[float]]]:
    """Yield each order with the variance that its modalities explain, one after the other."""
    importance = torch.einsum("ncj,nck->jk", local.slopes, local.slopes) / len(local.features)
    covariance = _covariance(local)
    places = {name: torch.arange(len(covariance))[columns] for name, columns in local.groups.items()}
    for order in orders:
        known = torch.cat([places[name] for name in order])
        factor = torch.linalg.cholesky(covariance[known][:, known])
        gains = ((importance[known][:, known] @ factor) * factor).sum(0)
        yield order, [float(part.sum()) for part in gains.split([len(places[name]) for name in order])]


def _covariance(local: Local) -> Tensor:
    """Return Cov h ``[d, d]``, positive definite, without correlations of modalities that may be chance."""
    n = len(local.features)
    covariance = torch.cov(local.features.T).reshape(local.features.shape[1], -1)
    spans = {}
    for name, columns in local.groups.items():
        left, size, _ = torch.linalg.svd(local.features[:, columns], full_matrices=False)
        spans[name] = left[:, size > 1e-6 * size.max()]
    for first, rows in local.groups.items():
        for second, columns in local.groups.items():
            trace = (n - 1) * float((spans[first].T @ spans[second]).square().sum())
            chance = spans[first].shape[1] * spans[second].shape[1]
            if first != second and trace < chance + _INDEPENDENT * (2 * chance) ** 0.5:
                covariance[rows, columns] = 0
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=1e-6 * float(values.mean()) + 1e-30)) @ vectors.T


def _information(known: float, shares: np.ndarray) -> float:
    """Return the bits about the class in a share of a normal score's variance; its quantiles cut classes."""
    cuts = np.concatenate([[-np.inf], special.ndtri(shares.cumsum()[:-1]), [np.inf]])
    known = min(max(known, 0.0), 1 - 1e-6)
    p = np.diff(special.ndtr((cuts[:, None] - known**0.5 * _NODES) / (1 - known) ** 0.5), axis=0)
    remaining = special.entr(p).sum(0) @ _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
    return float((special.entr(shares).sum() - remaining) / np.log(2))


METHODS = tuple(
    Method(name=f"calibrated_{function.__name__}", function=function, estimand=function.__name__,
           citation="this project", needs_labels=True)
    for function in (gradient, permutation, total_effect, shapley, sage)
)  # fmt: skip
