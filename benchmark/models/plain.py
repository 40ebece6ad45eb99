"""A network without a fusion layer, explained at its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from torch import Tensor, nn

from benchmark.models.base import FusionNetwork
from methods.guard import class_logits


class PlainNetwork(FusionNetwork):
    """A plain ``forward(image, …, table)`` network as a fusion model: its features are its inputs, flat.

    So methods that work on fusion features say what each pixel and each column is worth. An image of 28
    pixels a side has 784 of them: methods that perturb features one by one take accordingly longer.

    Args:
        network: takes the modalities by position, in the order of the shapes, and returns logits
            ``[n, classes]``; of a single column, the log-odds of class 1 of two.
        shapes: modality → input shape without the sample axis.
        n_classes: number of classes.

    Example:
        >>> import torch
        >>> class Sum(torch.nn.Module):
        ...     def forward(self, image, table):
        ...         return image.flatten(1).sum(1, keepdim=True) + table.sum(1, keepdim=True)
        >>> model = PlainNetwork(Sum(), {"scan": (1, 16, 16), "labs": (2,)})
        >>> model.groups
        {'scan': slice(0, 256, None), 'labs': slice(256, 258, None)}
        >>> model.classify(torch.ones(1, 258))
        tensor([[  0., 258.]])
    """

    def __init__(
        self, network: nn.Module, shapes: Mapping[str, tuple[int, ...]], *, n_classes: int = 2
    ) -> None:
        super().__init__(shapes, {name: prod(shape) for name, shape in shapes.items()}, n_classes=n_classes)
        self.network = network

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return one modality's input, flat."""
        del name
        return value.flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]`` of flat inputs ``[n, d]``.

        Raises:
            ValueError: if the network returns another shape.
        """
        inputs = [
            features[:, columns].unflatten(1, self.shapes[name]) for name, columns in self.groups.items()
        ]
        logits = class_logits(self.network(*inputs))
        if logits.shape != (len(features), self.n_classes):
            raise ValueError(
                f"The network must return logits of shape ({len(features)}, {self.n_classes}). "
                f"Got {tuple(logits.shape)}."
            )
        return logits


def plain(network: Callable[[], nn.Module]) -> Callable[..., Any]:
    """Return what ``--model module:name`` can build of a plain network's class, which takes no arguments.

    Example:
        >>> import torch
        >>> build = plain(lambda: torch.nn.Linear(3, 2))
        >>> build({"labs": (3,)}, n_classes=2).modalities
        ('labs',)
    """

    def build(shapes: Mapping[str, tuple[int, ...]], *, n_classes: int = 2) -> PlainNetwork:
        """Explain a plain network at its inputs."""
        return PlainNetwork(network(), shapes, n_classes=n_classes)

    return build
