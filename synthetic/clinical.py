"""Clinical tables drawn from a known joint law."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from synthetic.law import Gaussian
from synthetic.types import Modality


@dataclass(frozen=True)
class GaussianTables:
    """Standard normal clinical features with given pairwise correlations, cut into tables.

    Attributes:
        tables: table name → number of columns; columns are numbered through all tables in this order.
        correlations: ``(i, j)`` → correlation of columns i and j, 0-based over all tables.
    """

    tables: Mapping[str, int]
    correlations: Mapping[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.tables:
            raise ValueError("The 'tables' must hold at least one table. Got none.")
        for name, n_columns in self.tables.items():
            if n_columns < 1:
                raise ValueError(f"Table {name!r} must have at least one column. Got {n_columns}.")
        for (i, j), value in self.correlations.items():
            if i == j or not (0 <= i < self.n_columns and 0 <= j < self.n_columns):
                raise ValueError(
                    "The 'correlations' must name two different columns between 0 and "
                    f"{self.n_columns - 1}. Got ({i}, {j})."
                )
            if (j, i) in self.correlations:
                raise ValueError(
                    f"The correlation of columns {i} and {j} must be given once. "
                    f"Got both ({i}, {j}) and ({j}, {i})."
                )
            if not -1 < value < 1:
                raise ValueError(f"The correlation of columns {i} and {j} must lie in (-1, 1). Got {value}.")
        smallest = np.linalg.eigvalsh(self.covariance).min()
        if smallest <= 1e-10:
            raise ValueError(
                "The 'correlations' must form a positive definite matrix. Got one with smallest eigenvalue "
                f"{smallest:.3g}; make some correlations smaller."
            )

    @property
    def n_columns(self) -> int:
        """Number of columns over all tables."""
        return sum(self.tables.values())

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of all columns, ``[columns, columns]``, unit diagonal."""
        matrix = np.eye(self.n_columns)
        for (i, j), value in self.correlations.items():
            matrix[i, j] = matrix[j, i] = value
        return matrix

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The tables as modalities; their latent features are their own columns."""
        return tuple(
            Modality(name, "table", tuple(f"feature_{column}" for column in range(n_columns)))
            for name, n_columns in self.tables.items()
        )

    @property
    def law(self) -> Gaussian:
        """Joint law of all columns."""
        return Gaussian(self.covariance)


PAPER_TABLES = GaussianTables(
    tables={"clinical_a": 10, "clinical_b": 10},
    correlations={(2, 8): 0.5, (3, 8): 0.5, (4, 8): 0.5},
)
"""The simulated clinical features of Azmat & Alessio (2022): m3 and m4, ten columns each."""
