"""Occlusion-based modality contribution at the input (Gapp et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from methods.api import Attribution, FusionModel, Method, SeparableModel
from methods.evaluation import ENCODE_ROWS, chunks, encode, probabilities
from synthetic.types import Samples

Granularity = Literal["whole", "parts"]
Replacement = Literal["zero", "mean", "random"]


def contribution(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    granularity: Granularity = "parts",
    replacement: Replacement = "mean",
    patches: int = 4,
) -> Attribution:
    """Return each modality's contribution 1ᵀd_i and, as features, the contributions d_i of its parts.

    d_i = mean over samples of Σ_class |p(x) − p(x with mask l)| for the masks l of modality i. The paper's
    m_i is the share 1ᵀd_i / Σ_k 1ᵀd_k. It needs neither labels nor gradients.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: source of random replacements.
        granularity: mask a modality as a whole, or part by part: an image in ``patches`` × ``patches``
            squares, a table column by column.
        replacement: what a masked value becomes: 0, its mean over the samples, or that of a randomly
            chosen other sample.
        patches: squares along each side of an image.

    Raises:
        ValueError: if an option is out of range, or an image has fewer pixels than patches along a side.
    """
    if granularity not in get_args(Granularity):
        raise ValueError(
            f"The 'granularity' of modality contribution must be one of {', '.join(get_args(Granularity))}. "
            f"Got {granularity!r}."
        )
    if replacement not in get_args(Replacement):
        raise ValueError(
            f"The 'replacement' of modality contribution must be one of {', '.join(get_args(Replacement))}. "
            f"Got {replacement!r}."
        )
    features = encode(model, samples.inputs)
    original = probabilities(model, features)
    parts: dict[str, np.ndarray] = {}
    for name, value in samples.inputs.items():
        substitute = _substitute(value, replacement, rng)
        masks = [None] if granularity == "whole" else list(_masks(name, value, patches))
        changes = [
            (original - _masked_probabilities(model, samples.inputs, features, name, mask, substitute))
            .abs()
            .sum(1)
            .double()
            .mean()
            .item()
            for mask in masks
        ]
        parts[name] = np.array(changes)
    return Attribution({name: float(change.sum()) for name, change in parts.items()}, parts)


def _substitute(value: Tensor, replacement: Replacement, rng: np.random.Generator) -> Tensor:
    """Return what replaces masked values, broadcastable to the input."""
    if replacement == "zero":
        return torch.zeros_like(value[:1])
    if replacement == "mean":
        return value.mean(0, keepdim=True)
    # A cyclic shift along a random order: every sample gets another one's values.
    order = torch.from_numpy(rng.permutation(len(value)))
    substitute = torch.empty_like(value)
    substitute[order] = value[order.roll(1)]
    return substitute


def _masks(name: str, value: Tensor, patches: int) -> Iterator[tuple[slice, ...]]:
    """Yield the index of each part of an input, after the sample axis."""
    if value.ndim == 2:
        for column in range(value.shape[1]):
            yield (slice(column, column + 1),)
        return
    height, width = value.shape[2:]
    if not 1 <= patches <= min(height, width):
        raise ValueError(
            f"The 'patches' of modality contribution must be between 1 and {min(height, width)}, the size of "
            f"image {name!r}. Got {patches}."
        )
    rows = np.linspace(0, height, patches + 1).round().astype(int)
    columns = np.linspace(0, width, patches + 1).round().astype(int)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield (slice(None), slice(int(top), int(bottom)), slice(int(left), int(right)))


@torch.no_grad()
def _masked_probabilities(
    model: FusionModel,
    inputs: Mapping[str, Tensor],
    features: Tensor,
    name: str,
    mask: tuple[slice, ...] | None,
    substitute: Tensor,
) -> Tensor:
    """Return the class probabilities with one part of one modality replaced."""
    index = (slice(None), *(mask or ()))
    masked = inputs[name].clone()
    masked[index] = substitute.expand_as(masked)[index]
    if not isinstance(model, SeparableModel):
        return probabilities(model, encode(model, {**inputs, name: masked}))
    changed = features.clone()
    for rows in chunks(len(masked), ENCODE_ROWS):
        changed[rows, model.groups[name]] = model.encode_modality(name, masked[rows])
    return probabilities(model, changed)


METHOD = Method(
    name="modality_contribution",
    function=contribution,
    estimand="total_effect",
    citation="Gapp et al. 2025, What are you looking at? Modality contribution in multimodal medical deep "
    "learning, arXiv:2503.01904",
    level="input",
)
