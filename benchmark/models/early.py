"""Early fusion: raw inputs are joined first, then one network does all."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from benchmark.models.architecture import Architecture
from benchmark.models.base import FusionNetwork
from benchmark.models.encoders import n_outputs
from benchmark.models.plan import TrainingPlan

GRID = 7
"""Patch values a side, at most."""


class EarlyNetwork(FusionNetwork):
    """A fusion model of raw inputs: an image is a grid of patch values, a table its columns.

    A patch becomes one value by a learnt linear map, the same for all patches of an image (the stem of
    Dosovitskiy et al. 2021); nothing before fusion is nonlinear.

    Args:
        shapes: modality → input shape without the sample axis.
        n_classes: number of classes.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], *, n_classes: int = 2) -> None:
        stems = [_stem(shape) for shape in shapes.values()]
        widths = {
            name: n_outputs(stem, shape) for (name, shape), stem in zip(shapes.items(), stems, strict=True)
        }
        super().__init__(shapes, widths, n_classes=n_classes)
        self.stems = nn.ModuleList(stems)
        self.head = nn.Sequential(
            *(nn.Linear(self.width, 128), nn.BatchNorm1d(128), nn.ReLU()),
            *(nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU()),
            nn.Linear(64, n_classes),
        )

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return patch values of an image, or a table as it is."""
        return self.stems[self.modalities.index(name)](value)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.head(features)


def _stem(shape: tuple[int, ...]) -> nn.Module:
    if len(shape) != 3:
        return nn.Identity()
    patch = tuple(-(-side // GRID) for side in shape[1:])
    padding = tuple((-side % size + 1) // 2 for side, size in zip(shape[1:], patch, strict=True))
    return nn.Sequential(
        nn.Conv2d(shape[0], 1, patch, stride=patch, padding=padding),  # pyright: ignore[reportArgumentType]
        nn.BatchNorm2d(1, affine=False),
        nn.Flatten(),
    )


MODEL = Architecture(
    name="early",
    network=EarlyNetwork,
    description="early fusion: patches of images and tables are joined raw, one network does all",
    plan=TrainingPlan(learning_rate=4e-3, schedule="one_cycle", weight_decay=0.1, max_epochs=8),
)
