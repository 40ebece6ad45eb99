"""Patterns of missingness: which modalities are there."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_ENUMERATED = 4
"""Modalities up to which every subset is a pattern."""


def patterns(n_modalities: int) -> Tensor:
    """Return the non-empty subsets of up to four modalities; of more, each alone and all together.

    Returns:
        bool ``[patterns, modalities]``; the last pattern is that of all.
    """
    if n_modalities <= MOST_ENUMERATED:
        codes = torch.arange(1, 2**n_modalities)
        return (codes[:, None] >> torch.arange(n_modalities) & 1).bool()
    return torch.cat([torch.eye(n_modalities), torch.ones(1, n_modalities)]).bool()


def drawn_patterns(n: int, n_modalities: int, generator: torch.Generator) -> Tensor:
    """Return random subsets ``[n, modalities]``, none of them empty.

    Each modality is there with probability ½; where none is, one is drawn.
    """
    draws = torch.rand(n, n_modalities, generator=generator)
    there = draws < 0.5
    one = torch.nn.functional.one_hot(draws.argmin(1), n_modalities).bool()
    return torch.where(there.any(1, keepdim=True), there, one)


def size_weights(chosen: Tensor) -> Tensor:
    """Return a weight a pattern ``[patterns]`` so that each number of modalities counts alike; they sum to 1.

    Args:
        chosen: patterns ``[patterns, modalities]``.
    """
    _, places, counts = chosen.sum(1).unique(return_inverse=True, return_counts=True)
    return 1 / (counts[places] * len(counts))
