"""Draws of F from a reduction: all at once, or what is known of a subset apart from the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from synthetic.truth.reduction import NEGLIGIBLE, Reduction, semidefinite_cholesky
from synthetic.truth.replicates import normals, uniforms

CONSTANT = (
    "The decision function does not vary, so nothing is important. "
    "Give at least one of its terms a weight other than 0, and let them not cancel."
)
"""What to say of a decision function without variance."""
_ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class Points:
    """Random numbers behind one side of a draw: for what is known, or for what is not.

    Attributes:
        scores: standard normals, one a row of the reduction ``[n, rows]``.
        places: uniforms, one a modality of scans ``[n, scans]``; they choose rows of the population.
        values: uniforms, one a hidden feature ``[n, hidden]``: its value.
        chances: uniforms, one a hidden feature ``[n, hidden]``: whether it is missing, or its tail if so.
    """

    scores: np.ndarray
    places: np.ndarray
    values: np.ndarray
    chances: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: slice) -> Points:
        """Return some of the points."""
        return Points(self.scores[rows], self.places[rows], self.values[rows], self.chances[rows])


def points(reduction: Reduction, n: int, *names: str | int) -> Points:
    """Return n scrambled Sobol' points, named."""
    return joint_points(reduction, n, 1, *names)[0]


def joint_points(reduction: Reduction, n: int, n_parts: int, *names: str | int) -> list[Points]:
    """Return several sets of points that may be paired with each other, row by row.

    They are parts of one sequence of so many more dimensions: two scramblings of one sequence would share its
    digits, and their pairs would not fill the space.
    """
    widths = [reduction.n_rows, len(reduction.scans), reduction.n_hidden, reduction.n_hidden]
    raw = uniforms(n, n_parts * sum(widths), *names)
    parts = []
    for part in np.split(raw, n_parts, axis=1):
        scores, places, values, chances = np.split(part, np.cumsum(widths)[:-1], axis=1)
        parts.append(Points(normals(scores), places, values, chances))
    return parts


class Split:
    """F given a subset of the modalities: roots of the covariances of m = E[A u | u_S] and e = A u − m.

    Args:
        reduction: F.
        subset: bit i stands for player i.
        hide: True if values of the known tables are missing by their rules, and what is missing is not known.
    """

    def __init__(self, reduction: Reduction, subset: int, *, hide: bool = False) -> None:
        self.reduction = reduction
        self.subset = subset
        self.hide = hide and any(subset >> part.player & 1 for part in reduction.hidden)
        known = reduction.known(subset, with_hidden=not self.hide)
        unknown = reduction.total - known
        if self.hide:  # hidden features of known tables are drawn one by one, below
            seen = [player for player in range(reduction.n_players) if subset >> player & 1]
            unknown = unknown - reduction.hidden_covariance(seen)
        self.known = semidefinite_cholesky(known, reduction.scale)
        self.unknown = semidefinite_cholesky(unknown, reduction.scale)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of L given S and all rows of N."""
        return float(self.unknown[-1, -1])

    @property
    def is_settled(self) -> bool:
        """True where S determines F."""
        scans_known = all(self.subset >> part.player & 1 for part in self.reduction.scans)
        return scans_known and not self.hide and not self.unknown.any()

    @property
    def is_void(self) -> bool:
        """True where S tells nothing of F."""
        return not self.subset

    def values(self, known: Points, unknown: Points, *, with_noise: bool = True) -> Tensor:
        """Return F for each known point with each unknown one, ``[known, unknown]`` or broadcastable to it.

        Args:
            known: points of what is known.
            unknown: points of what is not.
            with_noise: False leaves out the part of L that no row of N shares: its standard deviation is
                `noise`.
        """
        return self._evaluate(known, unknown, lambda x: x[:, None], lambda x: x[None, :], with_noise)

    def pairwise(self, known: Points, unknown: Points) -> Tensor:
        """Return F for the first known with the first unknown point, and so on, ``[n]``."""
        return self._evaluate(known, unknown, lambda x: x, lambda x: x, with_noise=True)

    def _evaluate(
        self,
        known: Points,
        unknown: Points,
        outer: Callable[[Tensor], Tensor],
        inner: Callable[[Tensor], Tensor],
        with_noise: bool,  # noqa: FBT001 - private
    ) -> Tensor:
        reduction = self.reduction
        n_used = reduction.n_rows if with_noise else reduction.n_rows - 1
        m = torch.from_numpy(known.scores @ self.known.T)
        e = torch.from_numpy(unknown.scores[:, :n_used] @ self.unknown[:, :n_used].T)
        gaps = self._gaps(known, unknown, m, outer, inner) if self.hide else None
        rows = []
        for row in range(reduction.n_rows):
            is_known, is_open = self.known[row].any(), self.unknown[row, :n_used].any()
            parts = [outer(m[:, row])] if is_known else []
            if is_open or not is_known:  # a row that neither side moves is 0, which e says
                parts.append(inner(e[:, row]))
            parts += gaps[row] if gaps is not None else []
            score = parts[0]
            for part in parts[1:]:
                score = score + part
            rows.append(reduction.through_margin(row, score))
        for place, part in enumerate(reduction.scans):
            is_known = self.subset >> part.player & 1
            chosen = (known if is_known else unknown).places[:, place]
            values = torch.from_numpy(part.values[(chosen * len(part.values)).astype(int)])
            rows += [(outer if is_known else inner)(values[:, k]) for k in range(part.values.shape[1])]
        linear = rows.pop(reduction.n_rows - 1)
        return linear + reduction.nonlinear(rows)

    def _gaps(
        self,
        known: Points,
        unknown: Points,
        m: Tensor,
        outer: Callable[[Tensor], Tensor],
        inner: Callable[[Tensor], Tensor],
    ) -> list[list[Tensor]]:
        """Return what the hidden features add to each row: what is seen of them, and draws of the rest."""
        reduction, start = self.reduction, 0
        added: list[list[Tensor]] = [[] for _ in range(reduction.n_rows)]
        for part in reduction.hidden:
            columns = slice(start, start + len(part.rules))
            start = columns.stop
            if not self.subset >> part.player & 1:
                continue
            for place, (rule, driver) in enumerate(zip(part.rules, part.drivers, strict=True)):
                column = columns.start + place
                score = normals(known.values[:, column])
                decides = score if driver < 0 else m[:, driver].numpy()
                is_missing = known.chances[:, column] < rule.probability(decides)
                fresh = rule.given_missing(unknown.chances[:, column], unknown.values[:, column])
                seen = torch.from_numpy(np.where(is_missing, 0.0, score))
                mask, guess = torch.from_numpy(is_missing.astype(float)), torch.from_numpy(fresh)
                change = outer(seen) + outer(mask) * inner(guess)
                for row in np.flatnonzero(part.slopes[:, place]):
                    added[row].append(float(part.slopes[row, place]) * change)
        return added


def value(reduction: Reduction, scores: np.ndarray, places: np.ndarray) -> Tensor:
    """Return F ``[n]`` of complete patients.

    Args:
        reduction: F.
        scores: values of A u ``[n, rows]``.
        places: uniforms that choose rows of the scans' populations ``[n, scans]``.
    """
    rows = [reduction.through_margin(row, torch.from_numpy(scores[:, row])) for row in range(scores.shape[1])]
    linear = rows.pop()
    for place, part in enumerate(reduction.scans):
        values = part.values[(places[:, place] * len(part.values)).astype(int)]
        rows += [torch.from_numpy(column) for column in values.T]
    return linear + reduction.nonlinear(rows)


def check_varies(reduction: Reduction) -> None:
    """Raise a ValueError where F is one number but for rounding: x − x, or sin² + cos²."""
    if reduction.is_linear:
        is_constant = reduction.total[-1, -1] <= NEGLIGIBLE * reduction.scale[-1]
    else:  # equal values are no proof: a step may be rare
        values = everything(reduction, points(reduction, 256, "varies")).numpy()
        is_constant = 0 < np.ptp(values) <= _ROUNDING * np.abs(values).max()
    if is_constant:
        raise ValueError(CONSTANT)


def everything(reduction: Reduction, drawn: Points) -> Tensor:
    """Return F ``[n]`` of patients drawn from the law."""
    root = semidefinite_cholesky(reduction.total, reduction.scale)
    return value(reduction, drawn.scores @ root.T, drawn.places)


def complete(reduction: Reduction, drawn: Points) -> tuple[np.ndarray, float]:
    """Return F ``[n]`` of patients drawn from the law, less the part of L that no row of N shares.

    Returns:
        The values, and the standard deviation of the Gaussian part that is left out; 0 where there is none.
    """
    root = semidefinite_cholesky(reduction.total, reduction.scale)
    noise = float(root[-1, -1])
    root[-1, -1] = 0.0
    return value(reduction, drawn.scores @ root.T, drawn.places).numpy(), noise
