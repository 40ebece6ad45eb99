"""A model that counts what is asked of it, and shows a method nothing but the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor

from methods.api import BudgetError, FusionModel, SeparableModel
from methods.guard import MISSING


def meter(
    model: FusionModel, *, budget: int | None = None, beside: MeteredModel | None = None
) -> MeteredModel | SeparableMeteredModel:
    """Return a model to hand to a method; it can encode one modality alone if the given one can.

    Args:
        model: what is to be explained; it was admitted.
        budget: model calls that the method may make; None for no limit.
        beside: another model of the same method, whose count and budget this one shares; None for its own.
    """
    if isinstance(model, SeparableModel):
        return SeparableMeteredModel(model, budget=budget, beside=beside)
    return MeteredModel(model, budget=budget, beside=beside)


class _Tally:
    """What was asked of the models of one method, and what may be."""

    __slots__ = ("budget", "classified", "encoded")

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self.encoded = 0.0
        self.classified = 0


class MeteredModel:
    """A fusion model that passes calls on and counts samples.

    ``n_encoded`` counts samples that were encoded (a single modality counts as its share of the modalities),
    ``n_classified`` fusion vectors that were classified, of all models of a method together. Beyond its
    budget every call is a BudgetError.
    """

    __slots__ = ("__model", "__tally", "groups", "modalities")

    _is_admitted = True  # what it stands for was; trying it again would count

    def __init__(
        self, model: FusionModel, *, budget: int | None = None, beside: MeteredModel | None = None
    ) -> None:
        self.__model = model
        self.__tally = _Tally(budget) if beside is None else beside.__tally  # noqa: SLF001 - its own kind
        self.modalities = tuple(model.modalities)
        self.groups = MappingProxyType(dict(model.groups))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(MISSING.format(name=name))

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return logits ``[n, classes]`` of inputs."""
        return self.classify(self.encode(inputs))

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]``."""
        self._count(encoded=len(next(iter(inputs.values()))))
        return self.__model.encode(inputs)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        self._count(classified=len(features))
        return self.__model.classify(features)

    @property
    def n_encoded(self) -> float:
        """Samples encoded."""
        return self.__tally.encoded

    @property
    def n_classified(self) -> int:
        """Fusion vectors classified."""
        return self.__tally.classified

    @property
    def model_calls(self) -> int:
        """Samples evaluated: the larger of those encoded and those classified."""
        return max(round(self.n_encoded), self.n_classified)

    def check_budget(self) -> None:
        """Raise a BudgetError if more calls were asked for than there were to be."""
        budget = self.__tally.budget
        if budget is not None and self.model_calls > budget:
            raise BudgetError(
                f"It asked for {self.model_calls:,} model calls or more; its budget is {budget:,}."
            )

    def _count(self, *, encoded: float = 0, classified: int = 0) -> None:
        self.__tally.encoded += encoded
        self.__tally.classified += classified
        self.check_budget()


class SeparableMeteredModel(MeteredModel):
    """A metered model that can encode one modality alone."""

    __slots__ = ("__encode_modality",)

    def __init__(
        self, model: SeparableModel, *, budget: int | None = None, beside: MeteredModel | None = None
    ) -> None:
        super().__init__(model, budget=budget, beside=beside)
        self.__encode_modality = model.encode_modality

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return one modality's columns of the fusion vector."""
        self._count(encoded=len(value) / len(self.modalities))
        return self.__encode_modality(name, value)
