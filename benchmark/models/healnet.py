"""Early fusion by an iteratively updated latent array, after HEALNet (Hemker et al. 2024); much smaller."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from benchmark.models.architecture import Architecture
from benchmark.models.attention_layers import Attention, feed_forward
from benchmark.models.base import FusionNetwork
from benchmark.models.encoders import convolutions, n_outputs
from benchmark.models.plan import TrainingPlan

N_CHANNELS = 8
"""Of a context token of an image."""

N_LATENTS, WIDTH = 4, 16
"""Of the latent array."""


class HealNetwork(FusionNetwork):
    """A latent array that reads one modality after another, in several rounds, and is then classified.

    A round lets the latent array attend to the context tokens of each modality in turn, with a feed-forward
    step after each, then to itself. All rounds share their weights. A modality that is missing is skipped.
    The fusion features are the context tokens: at most 2 × 2 of an image, one of a table: its columns.

    The order of reading, the array that is read out by its mean, and that a missing modality is skipped are
    those of the paper. What differs from the authors' code: an image's tokens are those of a few strided
    convolutions, not its raw pixels with Fourier features, as images here are small; tokens are not
    normalised before they are read, as that would take the sum of its columns out of a table; the array is
    4 × 16, not 512 × 512; attention has two heads and the usual softmax (theirs has a temperature of 0.5, and
    a leaky ReLU after it); feed-forward steps are a ReLU network, not a gated SELU. Their layers share
    weights by an option only (``weight_tie_layers``).

    Args:
        shapes: modality → input shape without the sample axis.
        n_classes: number of classes.
        n_rounds: times that each modality is read.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], *, n_classes: int = 2, n_rounds: int = 2
    ) -> None:
        stems = [_stem(shape) for shape in shapes.values()]
        widths = {
            name: n_outputs(stem, shape) for (name, shape), stem in zip(shapes.items(), stems, strict=True)
        }
        super().__init__(shapes, widths, n_classes=n_classes)
        if n_rounds < 1:
            raise ValueError(f"The 'n_rounds' of model 'healnet' must be at least 1. Got {n_rounds}.")
        self.n_rounds = n_rounds
        self.stems = nn.ModuleList(stems)
        self.latents = nn.Parameter(torch.randn(N_LATENTS, WIDTH))
        self.readers = nn.ModuleList(
            Attention(WIDTH, context_width=_token_width(shape)) for shape in self.shapes.values()
        )
        self.steps = nn.ModuleList(feed_forward(WIDTH) for _ in self.shapes)
        self.among_latents = Attention(WIDTH)
        self.last_step = feed_forward(WIDTH)
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, n_classes))

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return the context tokens of an image, one after another, or a table as it is."""
        return self.stems[self.modalities.index(name)](value)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``, read off the mean of the latent array."""
        seen = self.seen(features)
        contexts = [
            features[:, columns].unflatten(1, (-1, _token_width(shape)))
            for columns, shape in zip(self.groups.values(), self.shapes.values(), strict=True)
        ]
        latents = self.latents.expand(len(features), -1, -1)
        for _ in range(self.n_rounds):
            for place, context in enumerate(contexts):
                updated = latents + self.readers[place](latents, context)
                updated = updated + self.steps[place](updated)
                latents = torch.where(seen[:, place, None, None], updated, latents)
            latents = latents + self.among_latents(latents)
            latents = latents + self.last_step(latents)
        return self.head(latents.mean(1))


class _Tokens(nn.Module):
    """Turns maps ``[n, channels, height, width]`` into tokens that say where they stand."""

    def __init__(self, n_in: int, n_tokens: int) -> None:
        super().__init__()
        self.mix = _mixing(n_in)
        self.norm = nn.BatchNorm2d(N_CHANNELS, affine=False)
        self.places = nn.Parameter(torch.randn(n_tokens, N_CHANNELS))

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``[n, tokens · channels]``."""
        tokens = self.norm(self.mix(maps)).flatten(2).transpose(1, 2)
        return (tokens + self.places).flatten(1)


def _mixing(n_in: int) -> nn.Conv2d:
    """Return a convolution into the channels of the tokens that halves both sides."""
    return nn.Conv2d(n_in, N_CHANNELS, 3, stride=2, padding=1)


def _stem(shape: tuple[int, ...]) -> nn.Module:
    if len(shape) != 3:
        return nn.Identity()
    layers = convolutions(shape)
    channels = next(layer.out_channels for layer in reversed(layers) if isinstance(layer, nn.Conv2d))
    n_tokens = n_outputs(nn.Sequential(layers, _mixing(channels)), shape) // N_CHANNELS
    return nn.Sequential(layers, _Tokens(channels, n_tokens))


def _token_width(shape: tuple[int, ...]) -> int:
    return N_CHANNELS if len(shape) == 3 else shape[0]


MODEL = Architecture(
    name="healnet",
    network=HealNetwork,
    description="a latent array that reads each modality in turn, after HEALNet (Hemker et al. 2024)",
    plan=TrainingPlan(learning_rate=4e-3, schedule="one_cycle", weight_decay=0.1, max_epochs=8),
)
