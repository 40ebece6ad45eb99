"""Fusion by attention: a token a modality, a small transformer between them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from benchmark.models.architecture import Architecture
from benchmark.models.attention_layers import Attention, feed_forward
from benchmark.models.base import FusionNetwork
from benchmark.models.encoders import Encoders
from benchmark.models.plan import TrainingPlan

N_FEATURES = 16
"""Fusion features a modality."""

WIDTH = 32
"""Of the tokens."""


class AttentionNetwork(FusionNetwork):
    """A small transformer encoder over one token a modality and one that is read out.

    Of Vaswani et al. (2017) in the form of Xiong et al. (2020): each layer normalises what it reads, not what
    it adds. There is no dropout, and feed-forward steps are twice as wide as the tokens, not four times.
    Tokens of modalities that are missing are masked: no token attends to them.

    Args:
        shapes: modality → input shape without the sample axis.
        n_classes: number of classes.
        n_layers: layers of the transformer.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], *, n_classes: int = 2, n_layers: int = 2
    ) -> None:
        super().__init__(shapes, dict.fromkeys(shapes, N_FEATURES), n_classes=n_classes)
        if n_layers < 1:
            raise ValueError(f"The 'n_layers' of model 'attention' must be at least 1. Got {n_layers}.")
        self.encoders = Encoders(self.shapes, N_FEATURES)
        self.embedding = nn.Linear(N_FEATURES, WIDTH)
        self.kinds = nn.Parameter(torch.randn(len(self.shapes), WIDTH))
        self.summary = nn.Parameter(torch.randn(WIDTH))
        self.layers = nn.ModuleList(
            nn.ModuleList((Attention(WIDTH), feed_forward(WIDTH))) for _ in range(n_layers)
        )
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, n_classes))

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return the normalised features of an image or a table that its token is made of."""
        return self.encoders.one(name, value)

    def encode_all(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return modality → its normalised features; images of one shape are encoded together."""
        return self.encoders(values)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``, read off the summary token."""
        tokens = self.embedding(features.unflatten(1, (len(self.shapes), N_FEATURES))) + self.kinds
        tokens = torch.cat([self.summary.expand(len(features), 1, WIDTH), tokens], dim=1)
        there = nn.functional.pad(self.seen(features), (1, 0), value=True)
        for attention, network in self.layers:  # pyright: ignore[reportGeneralTypeIssues]
            tokens = tokens + attention(tokens, there=there)
            tokens = tokens + network(tokens)
        return self.head(tokens[:, 0])


MODEL = Architecture(
    name="attention",
    network=AttentionNetwork,
    description="a token a modality, a small transformer between them",
    plan=TrainingPlan(learning_rate=4e-3, schedule="one_cycle", weight_decay=0.1, max_epochs=8),
)
