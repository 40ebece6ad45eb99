"""The joint law of the latent features: independent blocks, each Gaussian or a finite population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gaussian:
    """A block of features with law N(0, covariance); ``covariance [k, k]``."""

    covariance: np.ndarray

    @property
    def n_columns(self) -> int:
        """Number of features."""
        return len(self.covariance)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``[n, k]`` float64 rows."""
        return rng.standard_normal((n, self.n_columns)) @ np.linalg.cholesky(self.covariance).T

    def mean_absolute(self, columns: Sequence[int], slopes: Sequence[float]) -> float:
        """Return E|aᵀz|, the mean of a half-normal variable: √(2/π · aᵀΣa)."""
        return float(np.sqrt(2 / np.pi * self._variance(columns, slopes)))

    def mean_exp(self, columns: Sequence[int], slopes: Sequence[float]) -> float:
        """Return E exp(aᵀz), the mean of a log-normal variable: exp(aᵀΣa / 2)."""
        return float(np.exp(self._variance(columns, slopes) / 2))

    def _variance(self, columns: Sequence[int], slopes: Sequence[float]) -> float:
        a = np.asarray(slopes)
        return float(a @ self.covariance[np.ix_(columns, columns)] @ a)


@dataclass(frozen=True)
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
        return float(np.abs(self._argument(columns, slopes)).mean())

    def mean_exp(self, columns: Sequence[int], slopes: Sequence[float]) -> float:
        """Return the population mean of exp(aᵀz)."""
        return float(np.exp(self._argument(columns, slopes)).mean())

    def _argument(self, columns: Sequence[int], slopes: Sequence[float]) -> np.ndarray:
        return self.rows[:, list(columns)].astype(np.float64) @ np.asarray(slopes)


@dataclass(frozen=True)
class LatentLaw:
    """Independent blocks that make up z, in column order."""

    blocks: tuple[Gaussian | Population, ...]

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``[n, d]`` float64 latent features."""
        return np.concatenate([block.sample(n, rng) for block in self.blocks], axis=1)

    def block_of(self, columns: Sequence[int]) -> tuple[Gaussian | Population, list[int]] | None:
        """Return the block that holds all the columns and their places in it; None if they span several."""
        start = 0
        for block in self.blocks:
            places = [column - start for column in columns]
            if all(0 <= place < block.n_columns for place in places):
                return block, places
            start += block.n_columns
        return None
