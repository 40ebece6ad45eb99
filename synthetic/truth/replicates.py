"""Randomised quasi-Monte Carlo: independent replicates of an integral, their mean and its standard error.

Each replicate is a Sobol' sequence with a scrambling of its own (Owen 1998), so replicates are independent
and unbiased, and their spread gives an honest standard error; the points of one replicate are not
independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special

from synthetic.seeding import derive_seed

N_REPLICATES = 32
"""Enough that an interval of ±1.96 standard errors covers close to 95 % (Student's t with 31: 94.1 %)."""
_RESOLUTION = 2.0**-31
_ZERO = 1e-9
_RESOLVED = 0.01
_NEGLIGIBLE = 1e-5
"""Share of the sum below which a value that may be 0 is 0: thresholds and integrals say no more."""
_LARGEST_DIMENSION = torch.quasirandom.SobolEngine.MAXDIM


@dataclass(frozen=True)
class Precision:
    """How precise a truth is to be, and what it may cost.

    Attributes:
        target: standard error of the normalised values at which to stop.
        first: points a replicate to begin with; a power of 2.
        last: points a replicate at most; a power of 2.
        seed: decides the scramblings.
    """

    target: float = 0.002
    first: int = 256
    last: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("first", self.first), ("last", self.last)):
            if value < 2 or value & value - 1:
                raise ValueError(
                    f"The {name!r} of a Precision must be a power of 2 from 2 on. Got {value!r}."
                )
        if not self.first <= self.last:
            raise ValueError(
                f"The 'last' of a Precision must not be below 'first' ({self.first}). Got {self.last!r}."
            )
        if not self.target > 0:
            raise ValueError(f"The 'target' of a Precision must be positive. Got {self.target!r}.")


def uniforms(n: int, dimension: int, *names: str | int) -> np.ndarray:
    """Return scrambled Sobol' points ``[n, dimension]`` in the open unit cube; the names decide which.

    Raises:
        ValueError: if there are more dimensions than direction numbers.
    """
    if dimension > _LARGEST_DIMENSION:
        raise ValueError(
            f"A truth by quasi-Monte Carlo has at most {_LARGEST_DIMENSION} dimensions. Got {dimension}."
        )
    if not dimension:
        return np.empty((n, 0))
    engine = torch.quasirandom.SobolEngine(dimension, scramble=True, seed=derive_seed(*names))
    points = engine.draw(n, dtype=torch.float64).numpy()
    # The generator has 30 bits: half a step keeps points off 0, where normal scores are infinite.
    return np.minimum(points + _RESOLUTION, 1 - _RESOLUTION)


def normals(points: np.ndarray) -> np.ndarray:
    """Return standard normal scores of uniform points."""
    return special.ndtri(points)


def until_precise(
    replicate: Callable[[int, int], np.ndarray],
    error: Callable[[np.ndarray], float],
    precision: Precision,
) -> tuple[np.ndarray, int]:
    """Return replicates of an integral, with so many points that the error is small enough or all are spent.

    Args:
        replicate: (number of the replicate, points) → values, an array of any one shape.
        error: replicates ``[replicates, …]`` → largest standard error that counts.
        precision: when to stop.

    Returns:
        Replicates ``[replicates, …]``, and the points of each.
    """
    n = precision.first
    while True:
        values = np.stack([replicate(number, n) for number in range(N_REPLICATES)])
        if error(values) <= precision.target or n >= precision.last:
            return values, n
        n *= 4 if 4 * n <= precision.last else 2


def standard_error(replicates: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the first axis; 0 for a single, exact value."""
    if len(replicates) == 1:
        return np.zeros(replicates.shape[1:])
    return replicates.std(0, ddof=1) / np.sqrt(len(replicates))


def share(values: np.ndarray) -> np.ndarray:
    """Return non-negative values over their sum along the last axis; equal shares where all are 0."""
    clipped = np.clip(values, 0, None)
    total = clipped.sum(-1, keepdims=True)
    n = values.shape[-1]
    return np.divide(clipped, total, out=np.full_like(clipped, 1 / n), where=total > 0)


def is_zero(replicates: np.ndarray) -> bool:
    """Return True where no value ``[replicates, n]`` differs from 0, with errors small enough to say so.

    Values are shares of a variance, accuracies or bits, so that an error of 0.01 is small for all of them.
    """
    mean = np.abs(replicates.mean(0))
    if len(replicates) == 1:
        return bool((mean < _ZERO).all())
    error = standard_error(replicates)
    return bool((mean <= np.maximum(5 * error, _ZERO)).all() and (error <= _RESOLVED).all())


def settled(replicates: np.ndarray) -> np.ndarray:
    """Return the mean of values ``[replicates, n]``, with 0 where it is 0 but for numerical error.

    That is a value within five standard errors of 0 that is, besides, less than a hundred-thousandth of the
    sum: two such values are tied, whatever their order. Larger ones keep their value and standard error.
    """
    mean = replicates.mean(0)
    error = np.maximum(5 * standard_error(replicates), _ZERO)
    is_zero = (np.abs(mean) <= error) & (np.abs(mean) <= _NEGLIGIBLE * np.abs(mean).sum())
    return np.where(is_zero, 0.0, mean)


def share_standard_error(replicates: np.ndarray) -> np.ndarray:
    """Return the standard error of the shares of the mean ``[n]`` for replicates ``[replicates, n]``.

    Delta method: the share m_i / Σ m, linearised, is averaged over the replicates. 0 where all values are
    exact, or are zero: then the shares are equal by convention.
    """
    mean = np.clip(replicates.mean(0), 0, None)
    if len(replicates) == 1 or is_zero(replicates) or not mean.sum() > 0:
        return np.zeros(replicates.shape[1])
    linearised = replicates - share(mean) * replicates.sum(1, keepdims=True)
    return standard_error(linearised) / mean.sum()
