"""The true decision function posing as a model: what a method says here is its own error alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from synthetic.decision import DecisionFunction
from synthetic.types import Dataset, Samples


class Oracle:
    """A fusion model whose inputs are the latent features and whose logit is (F − threshold) / scale.

    With three classes or more, log P(class c) − log P(class c − 1) = (F − threshold c) / scale, an
    adjacent-categories logit (Agresti 2010): the most probable class is always the true one.

    Args:
        decision: F.
        thresholds: between the classes, ascending.
        scale: of F; decides how steep the probabilities are.
    """

    def __init__(self, decision: DecisionFunction, *, thresholds: tuple[float, ...], scale: float) -> None:
        self._decision = decision
        self._thresholds = thresholds
        self._scale = scale
        self.groups = dict(decision.slices)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the fusion vector."""
        return tuple(self.groups)

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return the latent features as they are."""
        del name
        return value

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the concatenated latent features ``[n, d]``."""
        return torch.cat([inputs[name] for name in self.groups], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``; of two, the difference is (F − threshold) / scale."""
        steps = (self._decision(features)[:, None] - features.new_tensor(self._thresholds)) / self._scale
        logits = nn.functional.pad(steps.cumsum(1), (1, 0))
        return logits - logits.mean(1, keepdim=True)


def oracle(dataset: Dataset, decision: DecisionFunction) -> Oracle:
    """Return the oracle of a dataset."""
    return Oracle(decision, thresholds=dataset.thresholds, scale=dataset.decision_scale)


def oracle_samples(dataset: Dataset, split: Literal["explain", "test"]) -> Samples:
    """Return a split as the oracle sees it: each modality's latent features, and the labels."""
    inputs, start = {}, 0
    for modality in dataset.modalities:
        width = len(modality.latents)
        inputs[modality.name] = dataset.latents[split][:, start : start + width]
        start += width
    return Samples(inputs, (dataset.explain if split == "explain" else dataset.test).labels)
