"""Whether contributions add up to what they divide: one check for all methods that claim it.

The claim is called completeness (Sundararajan et al. 2017) or summation to delta (Shrikumar et al. 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 0.005
"""The share of a change that contributions may miss."""

# Rounding of a sum of contributions, and of the difference of two numbers, in units of a type's resolution.
_SUM, _DIFFERENCE = 16.0, 0.5


def missed(total: Tensor, change: Tensor, rounding: Tensor | float = 0.0) -> Tensor:
    """Return how much contributions miss of the changes that they divide, as shares ``[n]``.

    It is relative to a sample's own change, or to the typical one (root mean square) where its own is
    smaller: what is left of a change that all but cancels is no miss. Multiplying a model's outputs by a
    constant changes nothing. Where nothing changes, any contribution misses all of it: infinity.

    Args:
        total: a sample's contributions, summed ``[n]``.
        change: what they divide ``[n]``.
        rounding: the part of a difference that rounding explains, see `rounding_of`.
    """
    total, change = total.double(), change.double()
    error = ((total - change).abs() - rounding).clamp_min(0)
    scale = torch.maximum(change.abs(), change.square().mean().sqrt())
    return torch.where(error == 0, 0.0, error / scale)


def flags(total: Tensor, change: Tensor, error: Tensor | float = 0.0) -> tuple[str, ...]:
    """Return what a result carries whose contributions do not add up: how much is missed; else nothing.

    Of all samples together, Σ |missed| / Σ |change|: 1 where nothing is divided that should be. Relative to
    the sum, and so to no scale of the outputs.

    Args:
        total: a sample's contributions, summed ``[n]``.
        change: what they divide ``[n]``.
        error: what of a difference rounding or chance explain ``[n]``.
    """
    total, change = total.double(), change.double()
    miss = ((total - change).abs() - error).clamp_min(0).sum()
    if float(miss) <= TOLERANCE * float(change.abs().sum()):
        return ()
    return (f"completeness missed by {float(miss / change.abs().sum()):.1%}",)


def rounding_of(contributions: Tensor, *compared: Tensor) -> Tensor:
    """Return how far rounding alone may take a sum of contributions from a difference of numbers ``[n]``.

    Args:
        contributions: ``[n, d]``.
        compared: numbers between which the change was taken ``[n]``, or magnitudes of their terms.
    """
    resolution = torch.finfo(contributions.dtype).eps
    return resolution * (
        _SUM * contributions.double().abs().sum(1)
        + _DIFFERENCE * sum(value.double().abs() for value in compared)
    )
