"""The joint law of the latent features: independent blocks, each a Gaussian copula or a finite population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthetic.margins import NORMAL, Margin


@dataclass(frozen=True, eq=False)
class GaussianCopula:
    """A block of features z_j = T_j(u_j) of scores u with law N(0, covariance).

    With normal margins, z = u, the block is Gaussian; only then may the variances differ from 1.

    Attributes:
        covariance: of the scores, ``[k, k]``; positive semidefinite.
        margins: T, one a feature; empty where all are normal.
    """

    covariance: np.ndarray
    margins: tuple[Margin, ...] = ()

    def __post_init__(self) -> None:
        if not self.margins:
            object.__setattr__(self, "margins", (NORMAL,) * len(self.covariance))
        for column, margin in enumerate(self.margins):
            others = np.delete(self.covariance[column], column)
            if not margin.is_continuous and others.any():
                raise ValueError(
                    f"Column {column} has a {margin.family} margin, so its correlations must be 0: a coarse "
                    "variable does not determine its score, and what it says of others has no closed form. "
                    f"Got correlations up to {np.abs(others).max():.3g}."
                )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GaussianCopula) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @cached_property
    def _identity(self) -> tuple[object, ...]:
        return np.ascontiguousarray(self.covariance, dtype=float).tobytes(), tuple(self.margins)

    @property
    def n_columns(self) -> int:
        """Number of features."""
        return len(self.covariance)

    def first(self, n: int) -> GaussianCopula:
        """Return the law of the first n features."""
        return GaussianCopula(self.covariance[:n, :n], self.margins[:n])

    def given_first(self, n: int) -> tuple[np.ndarray, GaussianCopula]:
        """Return the law of the other features' scores v given those of the first n, u: N(B u, C).

        Returns:
            B ``[k − n, n]``, and the law N(0, C) of what u leaves open (Schur complement).
        """
        cross = self.covariance[n:, :n]
        slopes = np.linalg.solve(self.covariance[:n, :n], cross.T).T
        return slopes, GaussianCopula(self.covariance[n:, n:] - slopes @ cross.T)

    @cached_property
    def root(self) -> np.ndarray:
        """A square root of the covariance: ``root @ root.T``."""
        return covariance_root(self.covariance)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``[n, k]`` float64 rows."""
        return self.latents(rng.standard_normal((n, self.n_columns)) @ self.root.T)

    def latents(self, scores: np.ndarray) -> np.ndarray:
        """Return the last j features ``[n, j]`` of their scores ``[n, j]``: all of them where j = k."""
        margins = self.margins[self.n_columns - scores.shape[1] :]
        if all(margin.is_normal for margin in margins):
            return scores
        return np.stack(
            [margin.latent(column) for margin, column in zip(margins, scores.T, strict=True)], axis=1
        )

    def mean_absolute(self, columns: Sequence[int], slopes: Sequence[float]) -> float | None:
        """Return E|aᵀz|, the mean of a half-normal variable: √(2/π · aᵀΣa); None without normal margins."""
        return (
            float(np.sqrt(2 / np.pi * self._variance(columns, slopes))) if self._gaussian(columns) else None
        )

    def mean_exp(self, columns: Sequence[int], slopes: Sequence[float]) -> float | None:
        """Return E exp(aᵀz), the mean of a log-normal: exp(aᵀΣa / 2); None without normal margins."""
        return float(np.exp(self._variance(columns, slopes) / 2)) if self._gaussian(columns) else None

    def _gaussian(self, columns: Sequence[int]) -> bool:
        return all(self.margins[column].is_normal for column in columns)

    def _variance(self, columns: Sequence[int], slopes: Sequence[float]) -> float:
        a = np.asarray(slopes)
        return float(a @ self.covariance[np.ix_(columns, columns)] @ a)


@dataclass(frozen=True, eq=False)
class Population:
    """A block of features known as a finite list of equally likely rows ``[n, k]``."""

    rows: np.ndarray

    @property
    def n_columns(self) -> int:
        """Number of features."""
        return self.rows.shape[1]

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``[n, k]`` float64 rows with replacement."""
        return self.rows[rng.integers(len(self.rows), size=n)].astype(np.float64)

    def mean_absolute(self, columns: Sequence[int], slopes: Sequence[float]) -> float:
        """Return the population mean of |aᵀz|."""
        return float(np.abs(self.project(columns, slopes)).mean())

    def mean_exp(self, columns: Sequence[int], slopes: Sequence[float]) -> float:
        """Return the population mean of exp(aᵀz)."""
        return float(np.exp(self.project(columns, slopes)).mean())

    def project(self, columns: Sequence[int], slopes: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return aᵀz of every row, ``[n]``."""
        return self.rows[:, list(columns)].astype(np.float64) @ np.asarray(slopes, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class LatentLaw:
    """Independent blocks that make up z, in column order."""

    blocks: tuple[GaussianCopula | Population, ...]

    @property
    def n_columns(self) -> int:
        """Number of latent features."""
        return sum(block.n_columns for block in self.blocks)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``[n, d]`` float64 latent features."""
        return np.concatenate([block.sample(n, rng) for block in self.blocks], axis=1)

    def block_of(self, columns: Sequence[int]) -> tuple[GaussianCopula | Population, list[int]] | None:
        """Return the block that holds all the columns and their places in it; None if they span several."""
        start = 0
        for block in self.blocks:
            places = [column - start for column in columns]
            if all(0 <= place < block.n_columns for place in places):
                return block, places
            start += block.n_columns
        return None


def covariance_root(covariance: np.ndarray) -> np.ndarray:
    """Return R with R Rᵀ = covariance: Cholesky's where there is one, else from the eigenvectors.

    Raises:
        ValueError: if the matrix is not symmetric positive semidefinite.
    """
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
    if values[0] < -1e-8 * max(values[-1], 1.0):
        raise ValueError(
            f"The 'covariance' must be positive semidefinite. Got one with eigenvalue {values[0]:.3g}; "
            "make some correlations smaller."
        )
    return vectors * np.sqrt(np.clip(values, 0, None))
