"""A model that cannot change what it is given: a head in place would change a method's own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from methods.api import FusionModel


def guarded(model: FusionModel) -> Any:
    """Return a model that says the same, gets copies, and returns what is the caller's own.

    Networks may work in place (``ReLU(inplace=True)`` at the start of a head, an input that is normalised
    with ``-=``, an input that is popped) or hand out a tensor that they use again. A method that asks for the
    features of the same samples twice would find others. A copy costs next to nothing beside a layer.

    Args:
        model: whatever follows the protocol; what else it has is reached as before.
    """
    if isinstance(model, Guarded):
        return model
    return SeparableGuarded(model) if hasattr(model, "encode_modality") else Guarded(model)


class Guarded:
    """A fusion model between a method and another one.

    Args:
        model: the other one.
    """

    def __init__(self, model: FusionModel) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        if name == "_model":  # not there yet, while it is being copied
            raise AttributeError(name)
        return getattr(self._model, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *dir(self._model)})

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]``."""
        return _own(self._model.encode({name: _own(value) for name, value in inputs.items()}))

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        return _own(self._model.classify(_own(features)))


class SeparableGuarded(Guarded):
    """One that can encode a modality alone."""

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return one modality's columns of the fusion vector."""
        return _own(self._model.encode_modality(name, _own(value)))  # pyright: ignore[reportAttributeAccessIssue]


def _own(value: Any) -> Any:
    # What is no tensor is the method's or the model's mistake, and fails where it is used.
    return value.clone() if isinstance(value, Tensor) else value
