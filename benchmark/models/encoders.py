"""Encoders of one modality, and the small classifier after fusion: what the compact networks share."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

N_FEATURES = 10
"""Fusion features of an image, as in Azmat & Alessio (2022)."""

GRID = 4
"""Strided convolutions go on until an image is at most so many pixels wide."""


def encoder(shape: tuple[int, ...], width: int, *, channels: int = 16) -> nn.Sequential:
    """Return an encoder of an image or a table into normalised features ``[n, width]``.

    Args:
        shape: ``(channels, height, width)`` or ``(columns,)``.
        width: number of features.
        channels: of an image's first convolution.
    """
    if len(shape) == 3:
        return image_encoder(shape, width, channels=channels)
    return nn.Sequential(
        *(nn.Linear(shape[0], 2 * channels), nn.ReLU()),
        *(nn.Linear(2 * channels, width), nn.BatchNorm1d(width, affine=False)),
    )


def encoders(
    shapes: Iterable[tuple[int, ...]], width: int, *, channels: int = 16
) -> nn.ModuleList:
    """Return an encoder each, see `encoder`."""
    return nn.ModuleList(encoder(shape, width, channels=channels) for shape in shapes)


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
