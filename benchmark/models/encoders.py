"""Encoders of one modality, and the small classifier after fusion: what the compact networks share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

N_FEATURES = 10
"""Fusion features of an image, as in Azmat & Alessio (2022)."""

GRID = 4
"""Strided convolutions go on until an image is at most so many pixels wide."""


class Encoders(nn.Module):
    """An encoder a table, and one for all images of a shape, which so has more images to learn from.

    Args:
        shapes: modality → input shape without the sample axis.
        width: features of each modality.
        channels: of an image's first convolution.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], width: int, *, channels: int = 16) -> None:
        super().__init__()
        kinds = {name: tuple(shape) if len(shape) == 3 else name for name, shape in shapes.items()}
        distinct = list(dict.fromkeys(kinds.values()))
        first = {kind: next(name for name in shapes if kinds[name] == kind) for kind in distinct}
        self.parts = nn.ModuleList(encoder(shapes[name], width, channels=channels) for name in first.values())
        self._place = {name: distinct.index(kind) for name, kind in kinds.items()}

    def one(self, name: str, value: Tensor) -> Tensor:
        """Return the normalised features ``[n, width]`` of one modality."""
        return self.parts[self._place[name]](value)

    def forward(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return modality → normalised features ``[n, width]``; what shares an encoder passes it together.

        So it shares batch statistics in training, too.
        """
        encoded: dict[str, Tensor] = {}
        for place, part in enumerate(self.parts):
            names = [name for name, own in self._place.items() if own == place]
            together = part(torch.cat([values[name] for name in names]))
            encoded |= dict(zip(names, together.chunk(len(names)), strict=True))
        return encoded


def encoder(shape: tuple[int, ...], width: int, *, channels: int = 16) -> nn.Sequential:
    """Return an encoder of an image or a table into normalised features ``[n, width]``.

    Args:
        shape: ``(channels, height, width)`` or ``(columns,)``.
        width: number of features.
        channels: of an image's first convolution.
    """
    if len(shape) == 3:
        return image_encoder(shape, width, channels=channels)
    return nn.Sequential(TableEncoder(shape[0], width), nn.BatchNorm1d(width, affine=False))


class TableEncoder(nn.Module):
    """Linear features of a table plus those of a small network: what is linear need not be learnt by ReLUs.

    Args:
        columns: of the table.
        width: number of features.
    """

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(columns, width)
        self.network = nn.Sequential(nn.Linear(columns, 32), nn.ReLU(), nn.Linear(32, width, bias=False))

    def forward(self, table: Tensor) -> Tensor:
        """Return features ``[n, width]``."""
        return self.linear(table) + self.network(table)


def image_encoder(shape: tuple[int, ...], width: int, *, channels: int = 16) -> nn.Sequential:
    """Return strided convolutions, then normalised features ``[n, width]``."""
    layers = convolutions(shape, channels=channels)
    return nn.Sequential(
        layers,
        nn.Flatten(),
        *(nn.Linear(n_outputs(layers, shape), 4 * channels), nn.BatchNorm1d(4 * channels), nn.ReLU()),
        *(nn.Linear(4 * channels, width), nn.BatchNorm1d(width, affine=False)),
    )


def convolutions(shape: tuple[int, ...], *, channels: int = 16) -> nn.Sequential:
    """Return strided convolutions of an image until it is at most 4 pixels wide."""
    layers: list[nn.Module] = []
    n_in, n_out, kernel, width = shape[0], channels, 5, max(shape[1:])
    while width > GRID:
        convolution = nn.Conv2d(n_in, n_out, kernel, stride=2, padding=kernel // 2)
        layers += [convolution, nn.BatchNorm2d(n_out), nn.ReLU()]
        n_in, n_out, kernel, width = n_out, min(2 * n_out, 4 * channels), 3, (width + 1) // 2
    return nn.Sequential(*layers)


def classifier(width: int, n_classes: int) -> nn.Sequential:
    """Return width→64→32→classes with ReLU between."""
    return nn.Sequential(
        *(nn.Linear(width, 64), nn.ReLU()),
        *(nn.Linear(64, 32), nn.ReLU()),
        nn.Linear(32, n_classes),
    )


@torch.no_grad()
def n_outputs(layers: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the number of values that layers make of one image."""
    n = layers.eval()(torch.zeros(1, *shape)).numel()
    layers.train()
    return n
