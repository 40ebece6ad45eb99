"""What stands for an absent feature: one fusion vector that methods compare the samples with."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Reference = Literal["mean", "zero"]


def reference_vector(features: Tensor, kind: Reference) -> Tensor:
    """Return the reference ``[d]`` for fusion features ``[n, d]``: their mean, or zeros.

    The mean is the methods' default: fusion features that a network has learnt have no natural zero.

    Raises:
        ValueError: if there is no reference of that kind.
    """
    if kind not in get_args(Reference):
        raise ValueError(f"The 'reference' must be one of {', '.join(get_args(Reference))}. Got {kind!r}.")
    return features.mean(0) if kind == "mean" else torch.zeros_like(features[0])
