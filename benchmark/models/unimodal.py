"""One modality alone: what a network learns that sees nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from benchmark.models.architecture import Architecture
from benchmark.models.base import FusionNetwork, check_shapes
from benchmark.models.encoders import N_FEATURES, classifier, encoder
from benchmark.models.plan import TrainingPlan
from synthetic.names import check_known


class UnimodalNetwork(FusionNetwork):
    """A network of one modality, as a fusion model: every other one is a column of zeros that nothing reads.

    So the true importance of the others to this network is 0, whatever the decision function says.

    Args:
        shapes: modality → input shape without the sample axis.
        n_classes: number of classes.
        modality: the one that is seen; None for the first.

    Raises:
        ValueError: if there is no such modality.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], *, n_classes: int = 2, modality: str | None = None
    ) -> None:
        check_shapes(shapes)
        if modality is not None:
            check_known("modality", modality, shapes)
        own = next(iter(shapes)) if modality is None else modality
        shape = shapes[own]
        width = N_FEATURES if len(shape) == 3 else shape[0]
        super().__init__(shapes, {**dict.fromkeys(shapes, 1), own: width}, n_classes=n_classes)
        self.modality = own
        if len(shape) == 3:
            self.encoder = encoder(shape, N_FEATURES)
        self.head = classifier(width, n_classes)

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return ten normalised features of an image, or a table as it is; a zero of any other modality."""
        if name != self.modality:
            return value.new_zeros(len(value), 1)
        return self.encoder(value) if value.ndim == 4 else value

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.head(features[:, self.groups[self.modality]])


MODEL = Architecture(
    name="unimodal",
    network=UnimodalNetwork,
    description="one modality alone, the first one or unimodal(modality=NAME); blind to all others",
    plan=TrainingPlan(learning_rate=4e-3, schedule="one_cycle", weight_decay=0.1, max_epochs=8),
)
