"""How near an estimate of importances comes to the truth: pure functions of arrays.

Every function takes vectors ``[..., n]``, one importance a modality, and works along the last axis; leading
axes broadcast. One vector gives a ``float``, a batch gives an array. An RBO means little without p, n and
its chance level: print :func:`rbo_chance` beside it.

What has labels is matched by them: a ``Series`` or a mapping from modality to number is one vector, a
``DataFrame`` one a row, with modalities as columns. Labels that do not match are refused, and so are
labels further in, as in a list of frames. All arguments with labels are matched with each other; those
without are taken to have the places of the first that has some, which nothing can check. Results are in the
order of the first argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.labels import aligned, labelled, matching
from benchmark.ties import TIE_TOLERANCE, Spans, tied_groups

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Normalised:
    """Importances as shares of 1.

    Attributes:
        values: ``[..., n]``, non-negative, sums to 1 along the last axis.
        n_clipped: how many values of each vector were negative and set to 0.
        uniform: whether nothing was left to normalise, so that the uniform vector stands in.
    """

    values: Array
    n_clipped: int | NDArray[np.int64]
    uniform: bool | NDArray[np.bool_]


def normalise(estimate: ArrayLike) -> Normalised:
    """Clip negative importances at 0 and divide by the sum; all zeros become uniform, flagged.

    Args:
        estimate: importances ``[..., n]``, finite.

    Raises:
        ValueError: if a value is NaN or infinite, or there is none.

    Example:
        >>> normalise([3, 1, -0.5, 0])
        Normalised(values=array([0.75, 0.25, 0.  , 0.  ]), n_clipped=1, uniform=False)
    """
    values = _vectors("estimate", estimate)
    clipped = np.maximum(values, 0.0)
    largest = clipped.max(axis=-1, keepdims=True)
    uniform = largest == 0
    # Dividing by the largest first keeps the sum of huge or tiny values finite.
    scaled = np.where(uniform, 1.0, clipped / np.where(uniform, 1.0, largest))
    return Normalised(
        values=scaled / scaled.sum(axis=-1, keepdims=True),
        n_clipped=_unwrap((values < 0).sum(-1)),
        uniform=_unwrap(uniform[..., 0]),
    )


def rmse(truth: ArrayLike, estimate: ArrayLike) -> float | Array:
    """Return the root mean squared error over modalities of the normalised vectors.

    Args:
        truth: ``[..., n]``, non-negative.
        estimate: ``[..., n]``; see :func:`normalise`.

    Example:
        >>> round(rmse([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]), 7)
        0.4330127
    """
    true, estimated = _pair(truth, estimate)
    return _unwrap(np.sqrt(np.mean((normalise(true).values - estimated) ** 2, axis=-1)))


def rmse_uniform(truth: ArrayLike) -> float | Array:
    """Return the RMSE of the uniform guess, the chance level of :func:`rmse`.

    Example:
        >>> rmse_uniform([0.25, 0.25, 0.25, 0.25])
        0.0
    """
    return rmse(truth, np.ones(_truth(truth).shape[-1]))


def skill(truth: ArrayLike, estimate: ArrayLike) -> float | Array:
    """Return 1 − RMSE / RMSE(uniform): 1 is perfect, 0 the uniform guess, NaN where that guess is right.

    Example:
        >>> round(skill([1, 0, 0, 0], [0.7, 0.1, 0.1, 0.1]), 12)
        0.6
    """
    return chance_corrected(rmse(truth, estimate), rmse_uniform(truth), ceiling=0.0)


def pooled_rmse(rmses: ArrayLike, n_values: ArrayLike | None = None) -> float | Array:
    """Pool the RMSE of several cases by averaging their squared errors.

    Args:
        rmses: RMSE of each case ``[..., cases]``, finite and non-negative.
        n_values: number of modalities behind each RMSE; None if it is the same in every case.

    Example:
        >>> round(pooled_rmse([0.0, 0.2]), 7), round(pooled_rmse([0.0, 0.2], [6, 2]), 7)
        (0.1414214, 0.1)
    """
    errors = _non_negative("rmses", _vectors("rmses", rmses))
    counts = _like("n_values", np.ones(errors.shape[-1]) if n_values is None else n_values, "rmses", rmses)
    if (counts <= 0).any():
        raise ValueError(f"The 'n_values' must be positive. Got {counts.min():g}; leave empty cases out.")
    return _unwrap(np.sqrt((counts * errors**2).sum(-1) / counts.sum(-1)))


def rbo(
    truth: ArrayLike,
    estimate: ArrayLike,
    *,
    p: float | None = None,
    truth_standard_error: ArrayLike | None = None,
) -> float | Array:
    """Return the extrapolated rank-biased overlap; ties of the truth cannot be ordered wrongly.

    With X_d items common to the two top d (Webber, Moffat & Zobel 2010, eq. 32, both lists complete)::

        RBO = X_n / n · p^n + (1 − p) / p · Σ_{d=1…n} X_d / d · p^d

    Tied truths are broken in agreement with the estimate, so for an order of the estimate with top E_d,
    X_d = |A ∩ E_d| + min(d − |A|, |G ∩ E_d|), where A are the truth's groups that end within depth d and G is
    the group that crosses it. Ties of the estimate are averaged over their orders: the tied group that
    crosses depth d gives a random subset, its share of G is hypergeometric, the mean is exact at any n.

    Args:
        truth: ``[..., n]``, non-negative. Tied are those that are equal within 1e-9 of the largest, and
            groups of which no two differ by more than 1.96 standard errors of their difference: see
            ``benchmark.ties.tied_groups``.
        estimate: ``[..., n]``; clipped and normalised first, tied within 1e-9 of the largest.
        p: persistence in (0, 1]. None is 1 − 1/n, an expected depth of n; 1 is average overlap, the mean
            of X_d / d (a convention: the formula itself tends to X_n / n = 1).
        truth_standard_error: ``[..., n]``, on the scale of ``truth``.

    Raises:
        ValueError: for NaN, infinite, negative (truth, standard error) or missing values, vectors that do
            not match, or a p outside (0, 1].

    Example:
        >>> rbo([1, 0, 0, 0], [0.7, 0.1, 0.15, 0.05], p=0.9)
        1.0
        >>> round(rbo([0.4, 0.3, 0.2, 0.1], [0.3, 0.4, 0.2, 0.1], p=0.9), 12)
        0.9
    """
    return _rank_biased(_expected_agreement, truth, estimate, p, truth_standard_error)


def rbo_chance(
    truth: ArrayLike, *, p: float | None = None, truth_standard_error: ArrayLike | None = None
) -> float | Array:
    """Return the mean of :func:`rbo` over all n! orders of an untied estimate, exactly.

    It is the RBO of a constant estimate, whose one tie is averaged over the same orders.

    Example:
        >>> [round(rbo_chance([0.4, 0.3, 0.2, 0.1], p=p), 2) for p in (0.5, 0.9, 0.98)]
        [0.47, 0.86, 0.97]
    """
    constant = np.ones(_truth(truth).shape[-1])
    return rbo(truth, constant, p=p, truth_standard_error=truth_standard_error)


def informative(truth: ArrayLike, truth_standard_error: ArrayLike | None = None) -> bool | NDArray[np.bool_]:
    """Return whether the truth orders anything: False where it is one single tie and every RBO is 1.

    Example:
        >>> informative([1, 0, 0, 0]), informative([0.25, 0.25, 0.25, 0.25])
        (True, False)
    """
    spans = _truth_spans(truth, truth_standard_error)
    return _unwrap((spans.first > 0).any(-1))


def chance_corrected(score: ArrayLike, chance: ArrayLike, ceiling: ArrayLike = 1.0) -> float | Array:
    """Return (score − chance) / (ceiling − chance), NaN where the two bounds are equal within 1e-9.

    Example:
        >>> chance_corrected([0.75, 1.0], [0.5, 1.0])
        array([0.5, nan])
    """
    table = labelled("score", score)
    value = np.asarray(score if table is None else table, dtype=float)
    bounds = aligned("score", score, chance=chance, ceiling=ceiling)
    low, high = (np.asarray(bound, dtype=float) for bound in bounds)
    room = high - low
    defined = np.abs(room) > TIE_TOLERANCE
    part = (value - low) / np.where(defined, room, 1.0)
    return _unwrap(np.where(defined, part, np.nan))


def rbo_w(
    truth: ArrayLike,
    estimate: ArrayLike,
    *,
    p: float | None = None,
    truth_standard_error: ArrayLike | None = None,
) -> float | Array:
    """Return RBO^w, where tied items share the rank of the first of them: a tie means equality.

    The agreement at depth d is 2 |S ∩ T| / (|S| + |T|) over the items whose rank is at most d (Corsi & Urbano
    2024, "The treatment of ties in rank-biased overlap", after Webber et al. 2010). Arguments as in
    :func:`rbo`.

    Example:
        >>> rbo_w([0.5, 0.5], [0.6, 0.4], p=0.5)  # d = 1: 2 · 1 / (2 + 1); d = 2: 1
        0.8333333333333333
    """
    return _rank_biased(_shared_rank_agreement, truth, estimate, p, truth_standard_error)


def rbo_a(
    truth: ArrayLike,
    estimate: ArrayLike,
    *,
    p: float | None = None,
    truth_standard_error: ArrayLike | None = None,
) -> float | Array:
    """Return RBO^a, the mean over all orders of the ties of both rankings: a tie means uncertainty.

    A group on ranks t…b counts each of its items as (d − t + 1) / (b − t + 1) within depth t ≤ d < b, and
    the agreement is Σ_items c_truth · c_estimate / d (Corsi & Urbano 2024). A tied truth scores below 1
    against itself. Arguments as in :func:`rbo`.

    Example:
        >>> rbo_a([0.5, 0.5], [0.6, 0.4], p=0.5)  # right at d = 1 in one of two orders
        0.75
    """
    return _rank_biased(_averaged_agreement, truth, estimate, p, truth_standard_error)


def kendall_tau_b(
    truth: ArrayLike, estimate: ArrayLike, *, truth_standard_error: ArrayLike | None = None
) -> float | Array:
    """Return Kendall's τ-b: (concordant − discordant) / √(pairs untied in truth · in estimate).

    Ties are those of :func:`rbo`; NaN where either side is one single tie (Kendall 1945).

    Example:
        >>> round(kendall_tau_b([3, 2, 1, 0], [3, 1, 2, 0]), 7)  # 5 pairs of 6 agree
        0.6666667
    """
    spans = _both_spans(truth, estimate, truth_standard_error)
    pairs = zip(*(np.moveaxis(span.first, -1, 0) for span in spans), strict=True)
    signs = (
        (np.sign(t[..., None] - spans[0].first), np.sign(e[..., None] - spans[1].first)) for t, e in pairs
    )
    sums = (np.stack([(t * e).sum(-1), (t * t).sum(-1), (e * e).sum(-1)]) for t, e in signs)
    agreeing, n_truth, n_estimate = sum(sums, start=np.zeros(()))
    scale = np.sqrt(n_truth * n_estimate)
    return _unwrap(np.where(scale > 0, agreeing / np.where(scale > 0, scale, 1.0), np.nan))


def _rank_biased(
    agreement: Callable[[Spans, Spans, int], Array],
    truth: ArrayLike,
    estimate: ArrayLike,
    p: float | None,
    standard_error: ArrayLike | None,
) -> float | Array:
    """Weigh the agreement at depths 1…n by p; beyond n it is that at n, which is 1: all items are common."""
    if p is not None and not 0 < p <= 1:
        raise ValueError(f"The 'p' of rank-biased overlap must be in (0, 1]. Got {p!r}; None means 1 − 1/n.")
    true, estimated = _both_spans(truth, estimate, standard_error)
    n = true.first.shape[-1]
    persistence = 1 - 1 / n if p is None else float(p)
    weights = np.full(n, 1 / n) if p == 1 else (1 - persistence) * persistence ** np.arange(n)
    # Summing what disagrees, not what agrees, makes a perfect score exactly 1.
    lost = sum(weight * (1 - agreement(true, estimated, d)) for d, weight in enumerate(weights, start=1))
    return _unwrap(np.clip(1 - lost, 0.0, 1.0))


def _expected_agreement(true: Spans, estimated: Spans, depth: int) -> Array:
    """Return E[X_d] / d over the orders of the estimate's ties; see :func:`rbo` for the terms."""
    above, group = true.last <= depth, (true.first < depth) & (depth < true.last)  # A and G
    sure, drawn = estimated.last <= depth, (estimated.first < depth) & (depth < estimated.last)
    # Of the estimate's tied group that crosses the depth, a random n_drawn of n_pool items lie within it.
    n_drawn, n_pool = depth - sure.sum(-1), drawn.sum(-1)
    n_above = (above & sure).sum(-1) + (above & drawn).sum(-1) * n_drawn / np.maximum(n_pool, 1)
    places, n_sure, n_maybe = depth - above.sum(-1), (group & sure).sum(-1), (group & drawn).sum(-1)
    # How many of the n_maybe items of G are drawn is hypergeometric.
    successes = np.arange(n_maybe.max(initial=0) + 1)
    n_drawn, n_pool, n_maybe = n_drawn[..., None], n_pool[..., None], n_maybe[..., None]
    log_ways = _log_choose(n_maybe, successes) + _log_choose(n_pool - n_maybe, n_drawn - successes)
    probability = np.exp(log_ways - _log_choose(n_pool, n_drawn))
    in_group = np.minimum(places[..., None], n_sure[..., None] + successes)
    return (n_above + (probability * in_group).sum(-1)) / depth


def _log_choose(n: NDArray[np.int64], k: NDArray[np.int64]) -> Array:
    """Return the logarithm of n over k, −∞ where k is impossible."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n.max(initial=0) + 1)))])
    possible = (k >= 0) & (k <= n)
    chosen = np.where(possible, k, 0)
    ways = log_factorial[n] - log_factorial[chosen] - log_factorial[n - chosen]
    return np.where(possible, ways, -np.inf)


def _shared_rank_agreement(true: Spans, estimated: Spans, depth: int) -> Array:
    """Return 2 |S ∩ T| / (|S| + |T|) over items whose group begins within the depth."""
    inside, estimated_inside = true.first < depth, estimated.first < depth
    common = (inside & estimated_inside).sum(-1)
    return 2 * common / (inside.sum(-1) + estimated_inside.sum(-1))


def _averaged_agreement(true: Spans, estimated: Spans, depth: int) -> Array:
    """Return Σ P(item in the truth's top d) · P(item in the estimate's top d) / d."""
    chances = [np.clip((depth - s.first) / (s.last - s.first), 0.0, 1.0) for s in (true, estimated)]
    return (chances[0] * chances[1]).sum(-1) / depth


def _both_spans(truth: ArrayLike, estimate: ArrayLike, error: ArrayLike | None) -> tuple[Spans, Spans]:
    # An error may bear labels where the truth has none: then it is matched with the estimate.
    estimate, error = aligned("truth", truth, estimate=estimate, truth_standard_error=error)
    _, estimated = _pair(truth, estimate)
    spans = (*_truth_spans(truth, error), *tied_groups(estimated))
    first, last, estimated_first, estimated_last = np.broadcast_arrays(*spans)
    return Spans(first, last), Spans(estimated_first, estimated_last)


def _truth_spans(truth: ArrayLike, standard_error: ArrayLike | None) -> Spans:
    true = _truth(truth)
    if standard_error is None:
        return tied_groups(true)
    name = "truth_standard_error"
    error = _non_negative(name, _like(name, standard_error, "truth", truth))
    return tied_groups(*np.broadcast_arrays(true, error))


def _pair(truth: ArrayLike, estimate: ArrayLike) -> tuple[Array, Array]:
    """Check the truth and normalise the estimate."""
    return _truth(truth), normalise(_like("estimate", estimate, "truth", truth)).values


def _truth(truth: ArrayLike) -> Array:
    return _non_negative("truth", _vectors("truth", truth))


def _vectors(name: str, values: ArrayLike) -> Array:
    table = labelled(name, values)
    try:
        array = np.asarray(values if table is None else table, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The {name!r} must be numbers [..., n]. Got {values if table is None else table.to_dict()!r}; "
            "pass a list of the values."
        ) from error
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(
            f"The {name!r} must hold one or more values [..., n]. Got shape {array.shape}; "
            "pass a list of the values."
        )
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(
            f"The {name!r} must be finite. Got {array[~finite][0]} ({int((~finite).sum())} of {array.size} "
            "values are NaN or infinite); find out where it comes from, or record the case as failed."
        )
    return array


def _non_negative(name: str, array: Array) -> Array:
    if (array < 0).any():
        raise ValueError(
            f"The {name!r} must not be negative. Got {array.min():g}; only an estimate is clipped at 0."
        )
    return array


def _like(name: str, values: ArrayLike, other_name: str, other: ArrayLike) -> Array:
    """Match labels; check that vectors have the other's length and that their leading axes broadcast."""
    array = _vectors(name, matching(name, values, other_name, other))
    shape = _vectors(other_name, other).shape
    leading = zip(array.shape[-2::-1], shape[-2::-1], strict=False)
    if array.shape[-1] != shape[-1] or any(a != b and 1 not in (a, b) for a, b in leading):
        raise ValueError(
            f"The {name!r} must match the {other_name!r}, shape {shape}. Got shape {array.shape}; "
            "give one value for each, in the same order."
        )
    return array


def _unwrap(array: Any) -> Any:
    """Return a Python scalar for a single vector, an array for a batch."""
    return array.item() if np.ndim(array) == 0 else array
