"""How well a map of relevance finds the pixels that carry information: pure functions of arrays.

Every function takes maps ``[..., height, width]`` and works along the last two axes; leading axes broadcast.
One map gives a ``float``, a batch gives an array. The sign of a relevance is of no account: what speaks
against a class is information as well. A score is NaN where the mask is empty or holds all pixels: there is
nothing to find.

The chance level of the three shares is the share of the pixels that the mask holds (`mask_share`): that is
what a constant map scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


def mask_share(mask: ArrayLike) -> float | Array:
    """Return the share of the pixels that a mask holds: the chance level of the scores below.

    Example:
        >>> mask_share([[True, False], [False, False]])
        0.25
    """
    return _unwrap(_flat_mask(mask).mean(-1))


def relevance_mass(mask: ArrayLike, relevance: ArrayLike) -> float | Array:
    """Return the share of a map's relevance that lies in the mask (Arras, Osman & Samek 2022).

    A map of zeros counts as a constant one.

    Args:
        mask: ``[..., height, width]``, bool.
        relevance: ``[..., height, width]``, finite.

    Raises:
        ValueError: if the shapes do not match, a value is not finite, or the mask is not boolean.

    Example:
        >>> relevance_mass([[True, False], [False, False]], [[3, -1], [0, 0]])
        0.75
    """
    inside, found, n = _pair(mask, relevance)
    total = found.sum(-1)
    with np.errstate(invalid="ignore"):
        mass = (found * inside).sum(-1) / total
    return _defined(np.where(total > 0, mass, n / inside.shape[-1]), inside)


def relevance_rank(mask: ArrayLike, relevance: ArrayLike) -> float | Array:
    """Return which share of the K most relevant pixels lies in the mask, K its size (Arras et al. 2022).

    Of pixels that tie at the border of the K, a share counts: the mean over their orders.

    Example:
        >>> relevance_rank([[True, True], [False, False]], [[3, 1], [2, 0]])
        0.5
    """
    inside, found, n = _pair(mask, relevance)
    order = np.sort(found, axis=-1)
    place = np.clip(found.shape[-1] - n, 0, found.shape[-1] - 1)
    border = np.take_along_axis(order, place[..., None], axis=-1)
    above, tied = found > border, found == border
    room = n - above.sum(-1)
    share_of_tied = (tied & inside).sum(-1) / np.maximum(tied.sum(-1), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rank = ((above & inside).sum(-1) + room * share_of_tied) / n
    return _defined(rank, inside)


def average_precision(mask: ArrayLike, relevance: ArrayLike) -> float | Array:
    """Return the average precision of finding the mask's pixels by relevance.

    The mean, over the mask's pixels, of the precision among all pixels that are at least as relevant: ties
    count together, as in scikit-learn's ``average_precision_score``.

    Example:
        >>> round(average_precision([[True, True], [False, False]], [[3, 1], [2, 0]]), 7)
        0.8333333
    """
    inside, found, n = _pair(mask, relevance)
    order = np.argsort(-found, axis=-1, kind="stable")
    hits = np.take_along_axis(inside, order, axis=-1)
    values = np.take_along_axis(found, order, axis=-1)
    last = _last_of_ties(values)
    precision = np.cumsum(hits, axis=-1) / np.arange(1, values.shape[-1] + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (hits * np.take_along_axis(precision, last, axis=-1)).sum(-1) / n
    return _defined(mean, inside)


def rank_correlation(relevance: ArrayLike, estimate: ArrayLike) -> float | Array:
    """Return Spearman's rank correlation of a map with the true relevance, over the pixels of an image.

    Both are taken without their signs, ties share their mean rank. Chance is 0; NaN where one is constant.

    Example:
        >>> rank_correlation([[0, 1], [2, 3]], [[0, -10], [20, 30]])
        1.0
    """
    true, found = np.broadcast_arrays(
        np.abs(_flat("relevance", relevance)), np.abs(_flat("estimate", estimate))
    )
    first, second = (_centred(_mean_ranks(values)) for values in (true, found))
    spread = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = (first * second).sum(-1) / spread
    return _unwrap(np.where(spread > 0, np.clip(correlation, -1, 1), np.nan))


def _mean_ranks(values: Array) -> Array:
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    last = _last_of_ties(ordered)
    n = values.shape[-1]
    # The same from the other end gives the first of the ties.
    first = n - 1 - _last_of_ties(ordered[..., ::-1])[..., ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, axis=-1)
    return ranks


def _centred(values: Array) -> Array:
    return values - values.mean(-1, keepdims=True)


def _last_of_ties(ordered: Array) -> NDArray[np.intp]:
    """Return, for ordered values, the place of the last one that equals each."""
    n = ordered.shape[-1]
    is_last = np.ones(ordered.shape, dtype=bool)
    is_last[..., :-1] = ordered[..., :-1] != ordered[..., 1:]
    places = np.where(is_last, np.arange(n), n)
    return np.minimum.accumulate(places[..., ::-1], axis=-1)[..., ::-1]


def _pair(mask: ArrayLike, relevance: ArrayLike) -> tuple[NDArray[np.bool_], Array, NDArray[np.int64]]:
    """Return mask and size of relevance ``[..., pixels]``, and the number of pixels in the mask."""
    inside, found = _flat_mask(mask), np.abs(_flat("relevance", relevance))
    if np.shape(mask)[-2:] != np.shape(relevance)[-2:]:
        raise ValueError(
            "The 'mask' and the 'relevance' must be of one height and width. "
            f"Got {np.shape(mask)} and {np.shape(relevance)}."
        )
    inside, found = np.broadcast_arrays(inside, found)
    # Scaled, so that sums of huge or tiny values stay finite.
    largest = found.max(axis=-1, keepdims=True)
    found = np.divide(found, largest, out=np.zeros(found.shape), where=largest > 0)
    return inside, found, inside.sum(-1)


def _flat_mask(mask: ArrayLike) -> NDArray[np.bool_]:
    values = np.asarray(mask)
    if values.dtype != bool:
        raise ValueError(f"The 'mask' must be boolean. Got {values.dtype}; compare with a threshold first.")
    return values.reshape(*_leading("mask", values), -1)


def _flat(name: str, maps: ArrayLike) -> Array:
    values = np.asarray(maps, dtype=float)
    flat = values.reshape(*_leading(name, values), -1)
    if not np.isfinite(flat).all():
        n_bad = int((~np.isfinite(flat)).sum())
        raise ValueError(f"The {name!r} must be finite. Got {n_bad} NaN or infinite values.")
    return flat


def _leading(name: str, values: NDArray[Any]) -> tuple[int, ...]:
    if values.ndim < 2 or 0 in values.shape[-2:]:
        raise ValueError(
            f"The {name!r} must be maps [..., height, width] of at least one pixel. Got {values.shape}."
        )
    return values.shape[:-2]


def _defined(values: Array, inside: NDArray[np.bool_]) -> float | Array:
    return _unwrap(np.where(inside.any(-1) & ~inside.all(-1), values, np.nan))


def _unwrap(values: Any) -> Any:
    return values.item() if values.ndim == 0 else values
