"""A small multimodal student of unimodal teachers, after MIND (Guerra-Manzanares & Shamout 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from benchmark.models.architecture import Architecture
from benchmark.models.base import FusionNetwork, Present
from benchmark.models.encoders import Encoders
from benchmark.models.plan import TrainingPlan
from benchmark.models.unimodal import UnimodalNetwork

N_FEATURES = 10
"""Fusion features a modality."""

N_CHANNELS = 8
"""Of the first convolution: half of a teacher's."""

TEMPERATURE = 2.0
SOFT_SHARE = 0.5
"""Of the teachers' answers in what a head learns; the labels have the rest."""


class DistilledNetwork(FusionNetwork):
    """A student with a head a modality, each taught by a network of that modality alone, and one for all.

    The teachers are trained first, on the same samples, and are gone when the student is trained. Where
    modalities are missing, the mean of the heads of those that are there decides.

    Args:
        shapes: modality → input shape without the sample axis.
        n_classes: number of classes.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], *, n_classes: int = 2) -> None:
        super().__init__(shapes, dict.fromkeys(shapes, N_FEATURES), n_classes=n_classes)
        self.encoders = Encoders(self.shapes, N_FEATURES, channels=N_CHANNELS)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(N_FEATURES, 16), nn.ReLU(), nn.Linear(16, n_classes)) for _ in shapes
        )
        self.joint = nn.Sequential(
            *(nn.Linear(self.width, 32), nn.ReLU()), *(nn.Linear(32, 16), nn.ReLU()), nn.Linear(16, n_classes)
        )
        self._teachers: tuple[UnimodalNetwork, ...] = ()  # a tuple: they are no part of the network

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return ten normalised features of an image or a table."""
        return self.encoders.one(name, value)

    def encode_all(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return modality → its normalised features; images of one shape are encoded together."""
        return self.encoders(values)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``; those of a patient without any modality are zeros."""
        seen = self.seen(features)
        share = seen.to(features) / seen.sum(1, keepdim=True).clamp(min=1)
        alone = (self.classify_alone(features) * share[:, :, None]).sum(1)
        return torch.where(seen.all(1, keepdim=True), self.joint(features), alone)

    def classify_alone(self, features: Tensor) -> Tensor:
        """Return the logits of each modality's head ``[n, modalities, classes]``."""
        parts = zip(self.heads, self.groups.values(), strict=True)
        return torch.stack([head(features[:, columns]) for head, columns in parts], dim=1)

    def training_stages(self) -> Iterator[FusionNetwork]:
        """Yield a teacher a modality, then the student, who has them at hand until it is trained."""
        teachers = [
            UnimodalNetwork({name: shape}, n_classes=self.n_classes) for name, shape in self.shapes.items()
        ]
        for teacher in teachers:
            yield teacher.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._teachers = tuple(teacher.eval().requires_grad_(requires_grad=False) for teacher in teachers)
        yield self
        self._teachers = ()

    def training_loss(
        self,
        inputs: Mapping[str, Tensor],
        labels: Tensor,
        generator: torch.Generator,
        present: Present | None = None,
    ) -> Tensor:
        """Return the cross entropy of the joint head, plus the mean distillation loss of the heads.

        Without teachers, outside of `training_stages`, the heads learn from labels alone.
        """
        del generator  # nothing here is random
        features = self.encode(inputs, present)
        seen, alone = self.seen(features), self.classify_alone(features)
        loss = nn.functional.cross_entropy(self.joint(features), labels)
        if not bool(seen.any()):
            return loss
        every = labels[:, None].expand_as(seen)
        if not self._teachers:
            return loss + nn.functional.cross_entropy(alone[seen], every[seen])
        taught = self._taught(self.blanked(inputs, present))
        return loss + distillation_loss(
            alone[seen], taught[seen], every[seen], temperature=TEMPERATURE, soft_share=SOFT_SHARE
        )

    @torch.no_grad()
    def _taught(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the teachers' logits ``[n, modalities, classes]``."""
        return torch.stack([teacher(inputs) for teacher in self._teachers], dim=1)


def distillation_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float, soft_share: float
) -> Tensor:
    """Return (1 − α) · cross entropy + α · T² · KL(teacher at T ‖ student at T) (Hinton et al. 2015).

    Args:
        student: logits ``[n, classes]``.
        teacher: logits ``[n, classes]``.
        labels: class indices ``[n]``.
        temperature: T; both logits are divided by it.
        soft_share: α.
    """
    soft = nn.functional.kl_div(
        (student / temperature).log_softmax(1),
        (teacher / temperature).log_softmax(1),
        reduction="batchmean",
        log_target=True,
    )
    hard = nn.functional.cross_entropy(student, labels)
    return (1 - soft_share) * hard + soft_share * temperature**2 * soft


MODEL = Architecture(
    name="distilled",
    network=DistilledNetwork,
    description="a small student of unimodal teachers, after MIND (Guerra-Manzanares & Shamout 2025)",
    plan=TrainingPlan(learning_rate=4e-3, schedule="one_cycle", weight_decay=0.1, max_epochs=4),
    parts=("unimodal",),
)
