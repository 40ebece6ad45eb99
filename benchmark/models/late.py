"""Late fusion: each modality is classified alone, and what the classifiers say adds up."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from benchmark.models.architecture import Architecture
from benchmark.models.base import FusionNetwork, Present
from benchmark.models.encoders import N_FEATURES, Encoders
from benchmark.models.plan import TrainingPlan

ALONE = 0.1
"""Weight of what the classifiers lose alone."""


class LateNetwork(FusionNetwork):
    """One classifier a modality; the logits are a weighted sum over the modalities that are there.

    The weights are learnt, one a modality. A sum and not a mean: given the class, evidence of independent
    modalities adds up (a product of experts, Hinton 2002). Classifiers are trained alone as well, so that
    each is one where the others are missing.

    Args:
        shapes: modality → input shape without the sample axis.
        n_classes: number of classes.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], *, n_classes: int = 2) -> None:
        super().__init__(shapes, dict.fromkeys(shapes, N_FEATURES), n_classes=n_classes)
        self.encoders = Encoders(self.shapes, N_FEATURES)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(N_FEATURES, 32), nn.ReLU(), nn.Linear(32, n_classes)) for _ in shapes
        )
        self.log_weights = nn.Parameter(torch.zeros(len(self.shapes)))

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return ten normalised features of an image or a table."""
        return self.encoders.one(name, value)

    def encode_all(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return modality → its normalised features; images of one shape are encoded together."""
        return self.encoders(values)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``; those of a patient without any modality are zeros."""
        weights = self.log_weights.exp() * self.seen(features).to(features)
        return (self.classify_alone(features) * weights[:, :, None]).sum(1)

    def classify_alone(self, features: Tensor) -> Tensor:
        """Return the logits of each modality's classifier ``[n, modalities, classes]``."""
        parts = zip(self.heads, self.groups.values(), strict=True)
        return torch.stack([head(features[:, columns]) for head, columns in parts], dim=1)

    def training_loss(
        self,
        inputs: Mapping[str, Tensor],
        labels: Tensor,
        generator: torch.Generator,
        present: Present | None = None,
    ) -> Tensor:
        """Return the cross entropy of the sum, plus a little of the classifiers' alone."""
        del generator  # nothing here is random
        features = self.encode(inputs, present)
        alone, seen = self.classify_alone(features), self.seen(features)
        fused = (alone * (self.log_weights.exp() * seen.to(features))[:, :, None]).sum(1)
        every = labels[:, None].expand_as(seen)
        # The cross entropy of no sample at all would be NaN.
        single = nn.functional.cross_entropy(alone[seen], every[seen]) if bool(seen.any()) else 0.0
        return nn.functional.cross_entropy(fused, labels) + ALONE * single


MODEL = Architecture(
    name="late",
    network=LateNetwork,
    description="late fusion: a classifier a modality, a weighted sum of what they say",
    plan=TrainingPlan(learning_rate=4e-3, schedule="one_cycle", weight_decay=0.1, max_epochs=8),
)
