"""What methods share that say which entries of an input matter: what is explained, its slopes, the totals.

All of them explain one number, the log-odds s of a sample's target class: its logit less the logarithm of the
summed exponentials of the others. Unlike a probability it does not saturate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from methods import evaluation
from methods.api import Attribution, FusionModel, NotApplicableError
from methods.evaluation import chunks, fusion_features
from synthetic.types import Samples

N_MAPS = 100
"""Samples that get a map, unless a method is told otherwise: maps are large, and a hundred tell enough."""


@dataclass(frozen=True, eq=False)
class Explained:
    """The samples that get a map: the first m.

    Attributes:
        inputs: modality → image ``[m, channels, height, width]`` or table ``[m, columns]``, in the order of
            the model.
        features: their fusion features ``[m, d]``.
        target: the class whose log-odds are explained ``[m]``.
    """

    inputs: Mapping[str, Tensor]
    features: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.target)


def explained(model: FusionModel, samples: Samples, n_maps: int) -> Explained:
    """Return the first n_maps samples, or all where there are fewer, with their target classes.

    Raises:
        ValueError: if ``n_maps`` is not at least 1.
        NotApplicableError: if the model knows a single class, which has no odds.
    """
    if n_maps < 1:
        raise ValueError(f"The 'n_maps' of a pixel method must be at least 1. Got {n_maps}.")
    first = samples.take(slice(0, n_maps))
    features, target = fusion_features(model, first)
    return Explained({name: first.inputs[name] for name in model.modalities}, features, target)


def log_odds(logits: Tensor, target: Tensor) -> Tensor:
    """Return s = z_target − log Σ exp(z_other) ``[n]`` of logits ``[n, classes]``; differentiable.

    Raises:
        NotApplicableError: if there is a single class.
    """
    if logits.shape[1] < 2:
        raise NotApplicableError("explains the odds of a class, and the model knows no other class")
    is_target = torch.nn.functional.one_hot(target, logits.shape[1]).bool()
    return logits[is_target] - logits.masked_fill(is_target, -torch.inf).logsumexp(1)


@torch.no_grad()
def log_odds_of(model: FusionModel, features: Tensor, target: Tensor) -> Tensor:
    """Return s ``[n]`` of fusion features ``[n, d]``."""
    return torch.cat([
        log_odds(model.classify(features[rows]), target[rows])
        for rows in chunks(len(features), evaluation.CLASSIFY_ROWS)
    ])  # fmt: skip


def feature_slopes(model: FusionModel, features: Tensor, target: Tensor) -> Tensor:
    """Return ∂s/∂feature ``[n, d]`` at fusion features ``[n, d]``."""
    parts = []
    for rows in chunks(len(features), evaluation.CLASSIFY_ROWS):
        leaf = features[rows].detach().clone().requires_grad_()
        with torch.enable_grad():
            total = log_odds(model.classify(leaf), target[rows]).sum()
        if not total.requires_grad:
            raise NotApplicableError("needs derivatives by the fusion features, and the outputs have none")
        parts.append(torch.autograd.grad(total, leaf)[0])
    return torch.cat(parts)


def input_slopes(model: FusionModel, inputs: Mapping[str, Tensor], target: Tensor) -> dict[str, Tensor]:
    """Return modality → ∂s/∂input, of the input's shape; zero where the model does not read it.

    Raises:
        NotApplicableError: if no derivative leads from the logits back to the inputs.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in inputs}
    for rows in chunks(len(target), evaluation.ENCODE_ROWS):
        leaves = {name: value[rows].detach().clone().requires_grad_() for name, value in inputs.items()}
        with torch.enable_grad():
            total = log_odds(model.classify(model.encode(leaves)), target[rows]).sum()
        if not total.requires_grad:
            raise NotApplicableError("needs derivatives by the inputs, and the model's outputs have none")
        found = torch.autograd.grad(total, tuple(leaves.values()), materialize_grads=True, allow_unused=True)
        for name, slopes in zip(leaves, found, strict=True):
            parts[name].append(slopes)
    return {name: torch.cat(slopes) for name, slopes in parts.items()}


def attribution(local: Mapping[str, Tensor]) -> Attribution:
    """Return what follows from one value an entry of every input.

    Args:
        local: modality → ``[m, channels, height, width]`` or ``[m, columns]``; of an image of several
            channels a pixel's value is their sum.

    Returns:
        ``pixels`` of the images; as ``features`` each table column's mean absolute value; as ``modalities``
        the mean over samples of the sum of absolute values over the entries. An image has many more entries
        than a table: what is summed over them grows with their number.
    """
    return Attribution(
        modalities={
            name: float(value.abs().flatten(1).sum(1).double().mean()) for name, value in local.items()
        },
        features={
            name: value.abs().double().mean(0).cpu().numpy()
            for name, value in local.items()
            if value.ndim == 2
        },
        pixels={name: value.sum(1).cpu().numpy() for name, value in local.items() if value.ndim == 4},
    )


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Return one number a sample ``[n]``, shaped to be multiplied with its input ``[n, …]``."""
    return values.view(-1, *[1] * (like.ndim - 1))
