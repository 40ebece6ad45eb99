"""A model that counts what is asked of it, and shows a method nothing but the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from methods.api import FusionModel, SeparableModel


def meter(model: FusionModel) -> MeteredModel | SeparableMeteredModel:
    """Return a model to hand to a method; it can encode one modality alone if the given one can."""
    return SeparableMeteredModel(model) if isinstance(model, SeparableModel) else MeteredModel(model)


class MeteredModel:
    """A fusion model that passes calls on and counts samples.

    ``n_encoded`` counts samples that were encoded (a single modality counts as its share of the modalities),
    ``n_classified`` fusion vectors that were classified.
    """

    __slots__ = ("__model", "groups", "modalities", "n_classified", "n_encoded")

    def __init__(self, model: FusionModel) -> None:
        self.__model = model
        self.modalities = tuple(model.modalities)
        self.groups = MappingProxyType(dict(model.groups))
        self.n_encoded = 0.0
        self.n_classified = 0

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]``."""
        features = self.__model.encode(inputs)
        self.n_encoded += len(features)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        self.n_classified += len(features)
        return self.__model.classify(features)

    @property
    def model_calls(self) -> int:
        """Samples evaluated: the larger of those encoded and those classified."""
        return max(round(self.n_encoded), self.n_classified)


class SeparableMeteredModel(MeteredModel):
    """A metered model that can encode one modality alone."""

    __slots__ = ("__encode_modality",)

    def __init__(self, model: SeparableModel) -> None:
        super().__init__(model)
        self.__encode_modality = model.encode_modality

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return one modality's columns of the fusion vector."""
        features = self.__encode_modality(name, value)
        self.n_encoded += len(features) / len(self.modalities)
        return features
