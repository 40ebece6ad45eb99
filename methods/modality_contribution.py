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
Replacement = Literal["zero", "mean", "own_mean", "random"]
Pooling = Literal["sum", "patient"]


def contribution(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    granularity: Granularity = "parts",
    replacement: Replacement = "mean",
    patches: int = 4,
    pooling: Pooling = "sum",
) -> Attribution:
    """Return each modality's contribution 1ᵀd_i and, as features, the contributions d_i of its parts.

    d_i = mean over samples of Σ_class |p(x) − p(x with mask l)| for the masks l of modality i. The paper's
    m_i is the share 1ᵀd_i / Σ_k 1ᵀd_k (its Algorithm 1). It needs neither labels nor gradients.

    The paper leaves the fill open, and its authors' scripts pool otherwise: they take the share of each
    patient, then the mean over patients (``pooling=patient``). They fill squares of an image with the image's
    own mean (``replacement=own_mean``), or the whole of a standardised image with 0, while tables go column
    by column: ``patches=1, pooling=patient, replacement=zero``. What is said depends on both.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: source of random replacements.
        granularity: mask a modality as a whole, or part by part: an image in ``patches`` × ``patches``
            squares, a table column by column.
        replacement: what a masked value becomes: 0 (``zero``); its mean over the samples (``mean``); the mean
            grey value of its own image (``own_mean``), where a table's column gets its mean over the samples,
            since columns have units of their own; or its value in a randomly chosen other sample
            (``random``).
        patches: squares along each side of an image.
        pooling: ``sum`` pools the changes of all patients; ``patient`` pools the patients' shares, so that
            one whom every mask changes a little counts as much as one whom it changes a lot. A patient whom
            no mask changes has no shares and does not count.

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
    if pooling not in get_args(Pooling):
        raise ValueError(
            f"The 'pooling' of modality contribution must be one of {', '.join(get_args(Pooling))}. "
            f"Got {pooling!r}."
        )
    features = encode(model, samples.inputs)
    original = probabilities(model, features)
    changes: dict[str, list[Tensor]] = {}
    for name, value in samples.inputs.items():
        substitute = _substitute(value, replacement, rng)
        masks = [None] if granularity == "whole" else list(_masks(name, value, patches))
        changes[name] = [
            (original - _masked_probabilities(model, samples.inputs, features, name, mask, substitute))
            .abs()
            .sum(1)
            .double()
            for mask in masks
        ]
    if pooling == "patient":
        changes = _shares(changes)
    parts = {name: np.array([change.mean().item() for change in of]) for name, of in changes.items()}
    return Attribution({name: float(change.sum()) for name, change in parts.items()}, parts)


def _shares(changes: Mapping[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    """Return the changes of each patient as shares of all of them, for patients who have any.

    Where nobody has, nothing changes at all, and the changes come back as they are: zeros.
    """
    total = torch.stack([change for of in changes.values() for change in of]).sum(0)
    counts = total > 0
    if not counts.any():
        return dict(changes)
    return {name: [change[counts] / total[counts] for change in of] for name, of in changes.items()}


def _substitute(value: Tensor, replacement: Replacement, rng: np.random.Generator) -> Tensor:
    """Return what replaces masked values, broadcastable to the input."""
    if replacement == "zero":
        return torch.zeros_like(value[:1])
    if replacement == "own_mean" and value.ndim == 4:
        return value.mean((1, 2, 3), keepdim=True)
    if replacement in ("mean", "own_mean"):
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
    stated=("replacement", "pooling"),
)
