"""What fusion networks share: inputs that may be missing, features by modality, a loss to train with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from methods.guard import class_logits

Present = Mapping[str, Tensor]
"""Modality → which samples have it, a bool tensor ``[n]``; a modality that is not named is always there."""

_SMALLEST = 16


class FusionNetwork(nn.Module):
    """A fusion model that is trained, and that works where modalities are missing.

    A subclass says how a modality becomes its columns of the fusion vector (``encode_modality``) and what the
    vector says (``classify``). The columns of a missing modality are ``stand_in``, zeros unless a subclass
    learns something better, whatever values its input holds: ``classify(encode(inputs, present))`` are the
    logits in every case. Where ``classify`` must know what is missing, ``seen`` reads it off the vector.

    Args:
        shapes: modality → input shape without the sample axis: ``(channels, height, width)`` or
            ``(columns,)``.
        widths: modality → columns of the fusion vector.
        n_classes: number of classes.

    Raises:
        ValueError: if there is no modality or only one class, or an image is smaller than 16 pixels.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], widths: Mapping[str, int], *, n_classes: int
    ) -> None:
        super().__init__()
        check_shapes(shapes)
        if n_classes < 2:
            raise ValueError(f"The 'n_classes' of a network must be at least 2. Got {n_classes}.")
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.n_classes = n_classes
        self.groups: dict[str, slice] = {}
        start = 0
        for name in self.shapes:
            self.groups[name] = slice(start, start + widths[name])
            start += widths[name]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the fusion vector."""
        return tuple(self.shapes)

    @property
    def width(self) -> int:
        """Columns of the fusion vector."""
        return max(columns.stop for columns in self.groups.values())

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return the columns ``groups[name]`` of the fusion vector for one modality's input."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]`` of fusion features ``[n, d]``."""
        raise NotImplementedError

    def encode(self, inputs: Mapping[str, Tensor], present: Present | None = None) -> Tensor:
        """Return fusion features ``[n, d]``.

        Args:
            inputs: modality → float32 input; where a modality is missing its values do not matter.
            present: which samples have a modality; None where all have all.

        Raises:
            ValueError: if a modality is not among the inputs, or a value that is there is not finite.
        """
        return self.joined(self.encode_all(self.blanked(inputs, present)), present)

    def forward(self, inputs: Mapping[str, Tensor], present: Present | None = None) -> Tensor:
        """Return logits ``[n, classes]``; see `encode`."""
        return self.classify(self.encode(inputs, present))

    def training_loss(
        self,
        inputs: Mapping[str, Tensor],
        labels: Tensor,
        generator: torch.Generator,
        present: Present | None = None,
    ) -> Tensor:
        """Return what a training step makes smaller: the cross entropy, unless a subclass has more to it.

        Args:
            inputs: modality → float32 input.
            labels: class indices ``[n]``.
            generator: source of all randomness.
            present: which samples have a modality.
        """
        del generator  # nothing here is random
        return nn.functional.cross_entropy(class_logits(self(inputs, present)), labels)

    def validation_loss(self, inputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Return what chooses the epoch, on samples that are not trained on; nothing in it is random."""
        return nn.functional.cross_entropy(class_logits(self(inputs)), labels)

    def training_stages(self) -> Iterator[FusionNetwork]:
        """Yield the networks to be trained one after another; the last is this one."""
        yield self

    def encode_all(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return modality → its columns of the fusion vector; nothing is missing among the values."""
        return {name: self.encode_modality(name, values[name]) for name in self.shapes}

    def stand_in(self, name: str) -> Tensor:
        """Return the columns ``[width]`` of a modality that is missing."""
        columns = self.groups[name]
        return torch.zeros(columns.stop - columns.start)

    def blanked(self, inputs: Mapping[str, Tensor], present: Present | None) -> dict[str, Tensor]:
        """Return the inputs of all modalities, with zeros where one is missing.

        Raises:
            ValueError: as `encode` does.
        """
        for name in present or {}:
            if name not in self.shapes:
                raise ValueError(
                    f"The 'present' of a network must name its modalities {list(self.shapes)}. Got {name!r}."
                )
        return {name: self._blanked(name, inputs, present) for name in self.shapes}

    def joined(self, parts: Mapping[str, Tensor], present: Present | None) -> Tensor:
        """Return the fusion vector of encoded modalities: stand-ins where one is missing."""
        columns = []
        for name in self.shapes:
            part = parts[name]
            if present is not None and name in present:
                part = torch.where(present[name][:, None], part, self.stand_in(name).to(part))
            columns.append(part)
        return torch.cat(columns, dim=1)

    def seen(self, features: Tensor) -> Tensor:
        """Return which modalities are in fusion vectors ``[n, modalities]``: those not all zeros.

        For networks whose stand-ins are zeros and whose encodings end in a normalisation, which is never all
        zeros.
        """
        values = features.detach()
        return torch.stack([values[:, columns].ne(0).any(1) for columns in self.groups.values()], dim=1)

    def _blanked(self, name: str, inputs: Mapping[str, Tensor], present: Present | None) -> Tensor:
        if name not in inputs:
            raise ValueError(
                f"The 'inputs' of a network must hold its modalities {list(self.shapes)}. {name!r} is not "
                "among them; where it is missing, give any values and say so in 'present'."
            )
        value = inputs[name]
        if tuple(value.shape[1:]) != self.shapes[name]:
            raise ValueError(
                f"Input {name!r} must have the shape {('n', *self.shapes[name])}. Got {tuple(value.shape)}."
            )
        if present is not None and name in present:
            there = present[name]
            if there.dtype != torch.bool or there.shape != value.shape[:1]:
                raise ValueError(
                    f"The 'present' of {name!r} must be a bool tensor of shape ({len(value)},), one a "
                    f"sample. Got {there.dtype} of shape {tuple(there.shape)}."
                )
            value = torch.where(there.view(-1, *[1] * (value.ndim - 1)), value, 0.0)
        if not bool(torch.isfinite(value.detach()).all()):
            raise ValueError(
                f"Input {name!r} of a network must be finite. Got NaN or infinite values; impute them, or "
                "say in 'present' that the modality is missing there."
            )
        return value


def check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a ValueError unless the shapes are those of tables and of images of 16 pixels or more."""
    if not shapes:
        raise ValueError("The 'shapes' of a network must hold at least one modality. Got none.")
    for name, shape in shapes.items():
        if len(shape) not in (1, 3) or min(shape) < 1:
            raise ValueError(
                f"The shape of {name!r} must be (columns,) or (channels, height, width). Got {tuple(shape)}."
            )
        if len(shape) == 3 and min(shape[1:]) < _SMALLEST:
            raise ValueError(
                f"The images of a network must be at least {_SMALLEST} pixels wide. Got {tuple(shape[1:])}."
            )
