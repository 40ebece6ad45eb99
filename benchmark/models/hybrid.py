"""Hybrid fusion networks: images are encoded, clinical features join as they are, a small network decides.

``hybrid-s1`` is the network of Azmat & Alessio (2022) layer by layer, as their published code has it: each
image is standardised by its own mean and standard deviation, and the encoder has 271,758 parameters. They
standardise images before training; here the network does, so that whoever changes a picture (occlusion,
masking, gradients) explains what was published. As published are batches of 128 and Adam at 0.001, with
a weight decay of 1e-4 on the encoder and none on the classifier. Four things differ:

- the epoch is chosen on a part of the training split; they stop at the first of up to 20 epochs with more
  than 95 % of the *test* data right;
- there are 8 epochs, or as many as make 300 steps;
- the rate is annealed (``one_cycle``, which moves Adam's first momentum, too): at a constant one the batch
  statistics are still off when training stops;
- float32, not float64.

``hybrid`` is a compact one for everyday use: strided convolutions instead of full-resolution ones with
pooling, normalised fusion features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.models.architecture import Architecture
from benchmark.models.base import FusionNetwork, Present
from benchmark.models.encoders import N_FEATURES, classifier, image_encoder, n_outputs
from benchmark.models.plan import COMPACT, TrainingPlan


class HybridNetwork(FusionNetwork):
    """A fusion model whose image modalities pass through an encoder and whose tables pass unchanged.

    Args:
        shapes: modality → input shape without the sample axis: ``(1, height, width)`` or ``(columns,)``.
        architecture: ``compact`` or ``s1``.
        n_classes: number of classes.

    Raises:
        ValueError: if images differ in size, or there is no such architecture.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        architecture: Literal["compact", "s1"] = "compact",
        n_classes: int = 2,
    ) -> None:
        widths = {name: N_FEATURES if len(shape) == 3 else shape[0] for name, shape in shapes.items()}
        super().__init__(shapes, widths, n_classes=n_classes)
        if architecture not in ("compact", "s1"):
            raise ValueError(
                f"The 'architecture' of a hybrid network must be compact or s1. Got {architecture!r}."
            )
        images = {shape for shape in self.shapes.values() if len(shape) == 3}
        if len(images) > 1:
            raise ValueError(
                "The images of a hybrid network must have one size, as they share an encoder. "
                f"Got {sorted(shape[1:] if shape[0] == 1 else shape for shape in images)}."
            )
        if images:
            shape = images.pop()
            self.encoder = (
                image_encoder(shape, N_FEATURES) if architecture == "compact" else _s1_encoder(shape)
            )
        self.head = (
            classifier(self.width, n_classes)
            if architecture == "compact"
            else _s1_head(self.width, n_classes)
        )

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return a modality's columns of the fusion vector: ten for an image, its own for a table."""
        return self.encoder(value) if len(self.shapes[name]) == 3 else value

    def encode(self, inputs: Mapping[str, Tensor], present: Present | None = None) -> Tensor:
        """Return fusion features ``[n, d]``; the columns of a missing modality are zeros."""
        values = self.blanked(inputs, present)
        pictures = [name for name, shape in self.shapes.items() if len(shape) == 3]
        if pictures:  # one pass for all images: they share the encoder and, in training, batch statistics
            stacked = self.encoder(torch.cat([values[name] for name in pictures]))
            values |= dict(zip(pictures, stacked.chunk(len(pictures)), strict=True))
        return self.joined(values, present)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.head(features)


def _s1_encoder(shape: tuple[int, ...]) -> nn.Sequential:
    """Return conv 1→16→16→pool→64→64→pool, then 1600→128→128→10; 28 → 26 → 24 → 12 → 10 → 10 → 5.

    Each convolution has a batch normalisation, of the linear layers only the last.
    """

    def block(n_in: int, n_out: int, padding: int = 0) -> list[nn.Module]:
        return [nn.Conv2d(n_in, n_out, 3, padding=padding), nn.BatchNorm2d(n_out), nn.ReLU()]

    convolutions = nn.Sequential(
        *block(shape[0], 16),
        *block(16, 16),
        nn.MaxPool2d(2),
        *block(16, 64),
        *block(64, 64, 1),
        nn.MaxPool2d(2),
    )
    n_flat = n_outputs(convolutions, shape)
    return nn.Sequential(
        _Standardised(),
        convolutions,
        nn.Flatten(),
        *(nn.Linear(n_flat, 128), nn.ReLU()),
        *(nn.Linear(128, 128), nn.ReLU()),
        *(nn.Linear(128, N_FEATURES), nn.BatchNorm1d(N_FEATURES)),
    )


# Roundings between the darkest and the brightest pixel of what counts as a constant image.
_CONSTANT = 32


class _Standardised(nn.Module):
    """Takes the mean from each image and divides it by its standard deviation; a constant image is zeros.

    They leave constant images out of the data. Here one may be made, by masking, or stand for a missing one.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return images ``[n, channels, height, width]`` of mean 0 and standard deviation 1."""
        axes = (1, 2, 3)
        centred = images - images.mean(axes, keepdim=True)
        # A mean is a rounding or so off: of a range of a few roundings it would leave an offset like ±1. A
        # step of 1/255 in a white picture has 30,000.
        lowest, highest = images.amin(axes, keepdim=True), images.amax(axes, keepdim=True)
        rounding = torch.finfo(images.dtype).eps * torch.maximum(lowest.abs(), highest.abs())
        constant = highest - lowest <= _CONSTANT * rounding
        deviation = images.std(axes, keepdim=True).masked_fill(constant, 1)
        return (centred / deviation).masked_fill(constant, 0)


def _s1_head(width: int, n_classes: int) -> nn.Sequential:
    """Return 40→100→50→10→2 with ReLU between."""
    return nn.Sequential(
        *(nn.Linear(width, 100), nn.ReLU()),
        *(nn.Linear(100, 50), nn.ReLU()),
        *(nn.Linear(50, 10), nn.ReLU()),
        nn.Linear(10, n_classes),
    )


COMPACT_MODEL = Architecture(
    name="hybrid",
    network=HybridNetwork,
    description="images through strided convolutions, tables as they are, a small network decides",
    plan=COMPACT,
    options={"architecture": "compact"},
)

S1_MODEL = Architecture(
    name="hybrid-s1",
    network=HybridNetwork,
    description="that of Azmat & Alessio (2022), layer by layer; annealed, no epoch chosen on test data",
    plan=TrainingPlan(
        learning_rate=1e-3,
        schedule="one_cycle",
        weight_decay=1e-4,
        weight_decay_of={"head": 0.0},
        decay="l2",
        max_epochs=8,
    ),
    options={"architecture": "s1"},
)
