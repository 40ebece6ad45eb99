"""A model that counts what is asked of it, and shows a method nothing but the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from methods.api import BudgetError, FusionModel, SeparableModel


def meter(model: FusionModel, *, budget: int | None = None) -> MeteredModel | SeparableMeteredModel:
    """Return a model to hand to a method; it can encode one modality alone if the given one can.

    Args:
        model: what is to be explained.
        budget: model calls that the method may make; None for no limit.
    """
    if isinstance(model, SeparableModel):
        return SeparableMeteredModel(model, budget=budget)
    return MeteredModel(model, budget=budget)


class MeteredModel:
    """A fusion model that passes calls on and counts samples.

    ``n_encoded`` counts samples that were encoded (a single modality counts as its share of the modalities),
    ``n_classified`` fusion vectors that were classified. Beyond its budget every call is a BudgetError.
    """

    __slots__ = ("__budget", "__model", "groups", "modalities", "n_classified", "n_encoded")

    def __init__(self, model: FusionModel, *, budget: int | None = None) -> None:
        self.__model = model
        self.__budget = budget
        self.modalities = tuple(model.modalities)
        self.groups = MappingProxyType(dict(model.groups))
        self.n_encoded = 0.0
        self.n_classified = 0

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]``."""
        self._count(encoded=len(next(iter(inputs.values()))))
        return self.__model.encode(inputs)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        self._count(classified=len(features))
        return self.__model.classify(features)

    @property
    def model_calls(self) -> int:
        """Samples evaluated: the larger of those encoded and those classified."""
        return max(round(self.n_encoded), self.n_classified)

    def check_budget(self) -> None:
        """Raise a BudgetError if more calls were asked for than there were to be."""
        if self.__budget is not None and self.model_calls > self.__budget:
            raise BudgetError(
                f"It asked for {self.model_calls:,} model calls or more; its budget is {self.__budget:,}."
            )

    def _count(self, *, encoded: float = 0, classified: int = 0) -> None:
        self.n_encoded += encoded
        self.n_classified += classified
        self.check_budget()


class SeparableMeteredModel(MeteredModel):
    """A metered model that can encode one modality alone."""

    __slots__ = ("__encode_modality",)

    def __init__(self, model: SeparableModel, *, budget: int | None = None) -> None:
        super().__init__(model, budget=budget)
        self.__encode_modality = model.encode_modality

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return one modality's columns of the fusion vector."""
        self._count(encoded=len(value) / len(self.modalities))
        return self.__encode_modality(name, value)
