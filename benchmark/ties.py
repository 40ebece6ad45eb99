"""Which values are tied: equal ones, and truths that a test cannot tell apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TIE_TOLERANCE = 1e-9
"""Values nearer than this share of the vector's largest are equal."""

TIE_STANDARD_ERRORS = 1.96
"""Truths nearer than this many standard errors of their difference cannot be told apart."""


class Spans(NamedTuple):
    """Ranks that each item's tied group takes, ``[..., n]``: places first + 1 to last, best first."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]


def tied_groups(values: Array, standard_error: Array | None = None) -> Spans:
    """Return the ranks of each item's tied group.

    Equal values are tied. With standard errors, two values can be told apart if they differ by more than 1.96
    standard errors of their difference. That is no transitive relation: 0.30 ~ 0.26 ~ 0.23 with errors of
    0.02, but 0.30 and 0.23 are 2.5 errors apart. Ranks need groups all the same, and a group may not claim
    more than its pairs do: none holds two values that can be told apart (complete linkage, where joining
    neighbours is single linkage and chains). Of the partitions that keep this, the one that contradicts the
    tests least is taken: it has most tied pairs, so that as few as possible are ordered without evidence; of
    equals the one with the least sum of z² over tied pairs; of equals the one that ties less at the top,
    where rank-biased scores look. It depends on neither the order of items nor the unit.

    Some pairs that cannot be told apart are ordered nevertheless, by their estimates: a chain has no other
    partition. Overlapping groups, as letters behind means in tables of multiple comparisons show them (Piepho
    2004), have no ranks.

    Args:
        values: ``[..., n]``, non-negative.
        standard_error: of the same shape; None if the values are exact.

    Example:
        >>> tied_groups(np.array([0.30, 0.26, 0.23, 0.21]), np.full(4, 0.02)).first.tolist()
        [0, 1, 1, 1]
    """
    order = np.argsort(-values, axis=-1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=-1)
    # What follows one by one within rounding is one value: such chains are n roundings long at most.
    separate = ranked[..., :-1] - ranked[..., 1:] > TIE_TOLERANCE * ranked[..., :1]
    ranks = _fill(separate)
    if standard_error is not None and standard_error.any():
        error = np.take_along_axis(standard_error, order, axis=-1)
        n = values.shape[-1]
        parted = _parted(ranked.reshape(-1, n), error.reshape(-1, n), ranks.last.reshape(-1, n))
        ranks = _fill(parted.reshape(separate.shape))
    place = np.argsort(order, axis=-1)
    return Spans(*(np.take_along_axis(rank, place, axis=-1) for rank in ranks))


def _parted(ranked: Array, error: Array, last: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return after which of the ranks a group ends ``[rows, n − 1]``.

    Args:
        ranked: values ``[rows, n]``, best first.
        error: of them.
        last: where each one's equals end.
    """
    n_rows, n = ranked.shape
    # The first rank that something at this rank or below, up to that one, can be told from.
    limit = np.full((n_rows, n), n)
    for lag in range(n - 1, 0, -1):
        apart = ranked[:, :-lag] - ranked[:, lag:] > TIE_STANDARD_ERRORS * np.hypot(
            error[:, :-lag], error[:, lag:]
        )
        apart &= last[:, :-lag] <= np.arange(lag, n)
        limit[:, :-lag] = np.where(apart, np.arange(lag, n), limit[:, :-lag])
    limit = np.minimum.accumulate(limit[:, ::-1], axis=1)[:, ::-1]
    # Neighbours that cannot be told apart are joined; only where that chains is there a choice to make.
    separate = limit[:, :-1] <= np.arange(1, n)
    chains = np.flatnonzero((limit < _fill(separate).last).any(1))
    for some in np.array_split(chains, len(chains) * n**2 // _MOST_PAIRS + 1):
        separate[some] = _most_tied(ranked[some], error[some], last[some], limit[some])
    return separate


_MOST_PAIRS = 2**21
"""Pairs of items that are looked at together, of all rows: the memory that they take."""


def _most_tied(
    ranked: Array, error: Array, last: NDArray[np.int64], limit: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return the ends of the groups that tie most pairs, by dynamic programming from the last rank up."""
    n_rows, n = ranked.shape
    rank = np.arange(n)
    # What a tied pair is worth: one, less its z² such that all of these together are less than one pair.
    room = TIE_STANDARD_ERRORS**2 * (error[:, :, None] ** 2 + error[:, None, :] ** 2)
    squares = (ranked[:, :, None] - ranked[:, None, :]) ** 2
    same = last[:, :, None] == last[:, None, :]
    tension = np.where(same, 0.0, np.minimum(squares / np.where(room > 0, room, 1.0), 1.0))
    worth = np.where(rank[:, None] < rank, 1 - tension / n**2, 0.0)
    # Of the group from rank i to rank j: the sum over its pairs.
    worth = np.cumsum(np.cumsum(worth[:, ::-1], axis=1)[:, ::-1], axis=2)
    may_end = np.concatenate([last[:, :-1] != last[:, 1:], np.ones((n_rows, 1), dtype=bool)], axis=1)
    best, end = np.zeros((n_rows, n + 1)), np.zeros((n_rows, n), dtype=int)
    for start in reversed(range(n)):
        possible = may_end[:, start:] & (rank[start:] < limit[:, start, None])
        total = np.where(possible, worth[:, start, start:] + best[:, start + 1 :], -np.inf)
        # Rounded: sums in another order must not make or break a tie. The first is the shortest group.
        end[:, start] = start + np.round(total, 9).argmax(1)
        best[:, start] = total.max(1)
    ends, row, start = np.zeros((n_rows, n), dtype=bool), np.arange(n_rows), np.zeros(n_rows, dtype=int)
    while len(row):
        stop = end[row, start]
        ends[row, stop] = True
        row, start = row[stop < n - 1], stop[stop < n - 1] + 1
    return ends[:, :-1]


def _fill(separate: NDArray[np.bool_]) -> Spans:
    """Turn the boundaries between ranks ``[..., n − 1]`` into the first and last rank of each group."""
    n = separate.shape[-1] + 1
    edge = np.ones((*separate.shape[:-1], 1), dtype=bool)
    starts = np.where(np.concatenate([edge, separate], axis=-1), np.arange(n), 0)
    ends = np.where(np.concatenate([separate, edge], axis=-1), np.arange(1, n + 1), n)
    return Spans(
        np.maximum.accumulate(starts, axis=-1),
        np.minimum.accumulate(ends[..., ::-1], axis=-1)[..., ::-1],
    )
