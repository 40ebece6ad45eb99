"""Hybrid fusion networks: images are encoded, clinical features join as they are, a small network decides.

``hybrid-s1`` is the network of Azmat & Alessio (2022) layer by layer. ``hybrid`` is a compact one for
everyday use: strided convolutions instead of full-resolution ones with pooling, normalised fusion features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

N_IMAGE_FEATURES = 10


class HybridNetwork(nn.Module):
    """A fusion model whose image modalities pass through an encoder and whose tables pass unchanged.

    Args:
        shapes: modality → input shape without the sample axis: ``(1, height, width)`` or ``(columns,)``.
        architecture: ``compact`` or ``s1``.
        n_classes: number of classes.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        architecture: Literal["compact", "s1"] = "compact",
        n_classes: int = 2,
    ) -> None:
        super().__init__()
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        sizes = {shape[1:] for shape in self.shapes.values() if len(shape) == 3}
        if len(sizes) > 1:
            raise ValueError(
                "The images of a hybrid network must have one size, as they share an encoder. "
                f"Got {sorted(sizes)}."
            )
        if sizes:
            size = sizes.pop()
            self.encoder = _compact_encoder(size) if architecture == "compact" else _s1_encoder(size)
        self.groups = _groups(self.shapes)
        width = max(columns.stop for columns in self.groups.values())
        self.head = (
            _compact_head(width, n_classes) if architecture == "compact" else _s1_head(width, n_classes)
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the fusion vector."""
        return tuple(self.shapes)

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return a modality's columns of the fusion vector: ten for an image, its own for a table."""
        return self.encoder(value) if len(self.shapes[name]) == 3 else value

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]``."""
        pictures = [name for name, shape in self.shapes.items() if len(shape) == 3]
        encoded = {}
        if pictures:  # one pass for all images: they share the encoder and, in training, batch statistics
            stacked = self.encoder(torch.cat([inputs[name] for name in pictures]))
            encoded = dict(zip(pictures, stacked.chunk(len(pictures)), strict=True))
        return torch.cat([encoded.get(name, inputs[name]) for name in self.shapes], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.head(features)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.classify(self.encode(inputs))


def _groups(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, slice]:
    groups, start = {}, 0
    for name, shape in shapes.items():
        width = N_IMAGE_FEATURES if len(shape) == 3 else shape[0]
        groups[name] = slice(start, start + width)
        start += width
    return groups


def _s1_encoder(size: tuple[int, ...]) -> nn.Sequential:
    """Return conv 1→16→16→pool→64→64→pool, then 1600→128→128→10; 28 → 26 → 24 → 12 → 10 → 10 → 5."""

    def block(n_in: int, n_out: int, padding: int = 0) -> list[nn.Module]:
        return [nn.Conv2d(n_in, n_out, 3, padding=padding), nn.BatchNorm2d(n_out), nn.ReLU()]

    convolutions = nn.Sequential(
        *block(1, 16), *block(16, 16), nn.MaxPool2d(2), *block(16, 64), *block(64, 64, 1), nn.MaxPool2d(2)
    )
    n_flat = _n_outputs(convolutions, size)
    return nn.Sequential(
        convolutions,
        nn.Flatten(),
        *(nn.Linear(n_flat, 128), nn.BatchNorm1d(128), nn.ReLU()),
        *(nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU()),
        *(nn.Linear(128, N_IMAGE_FEATURES), nn.BatchNorm1d(N_IMAGE_FEATURES)),
    )


def _s1_head(width: int, n_classes: int) -> nn.Sequential:
    """Return 40→100→50→10→2 with ReLU between."""
    return nn.Sequential(
        *(nn.Linear(width, 100), nn.ReLU()),
        *(nn.Linear(100, 50), nn.ReLU()),
        *(nn.Linear(50, 10), nn.ReLU()),
        nn.Linear(10, n_classes),
    )


def _compact_encoder(size: tuple[int, ...]) -> nn.Sequential:
    """Return strided convolutions until the image is at most 4 pixels wide, then 10 normalised features."""
    layers: list[nn.Module] = []
    channels, n_out, kernel, width = 1, 16, 5, max(size)
    while width > 4:
        convolution = nn.Conv2d(channels, n_out, kernel, stride=2, padding=kernel // 2)
        layers += [convolution, nn.BatchNorm2d(n_out), nn.ReLU()]
        channels, n_out, kernel, width = n_out, min(2 * n_out, 64), 3, (width + 1) // 2
    convolutions = nn.Sequential(*layers)
    return nn.Sequential(
        convolutions,
        nn.Flatten(),
        *(nn.Linear(_n_outputs(convolutions, size), 64), nn.BatchNorm1d(64), nn.ReLU()),
        *(nn.Linear(64, N_IMAGE_FEATURES), nn.BatchNorm1d(N_IMAGE_FEATURES, affine=False)),
    )


def _compact_head(width: int, n_classes: int) -> nn.Sequential:
    """Return width→64→32→classes with ReLU between."""
    return nn.Sequential(
        *(nn.Linear(width, 64), nn.ReLU()),
        *(nn.Linear(64, 32), nn.ReLU()),
        nn.Linear(32, n_classes),
    )


@torch.no_grad()
def _n_outputs(convolutions: nn.Module, size: tuple[int, ...]) -> int:
    if min(size) < 16:
        raise ValueError(f"The images of a hybrid network must be at least 16 pixels wide. Got {size}.")
    n_outputs = convolutions.eval()(torch.zeros(1, 1, *size)).numel()
    convolutions.train()
    return n_outputs
