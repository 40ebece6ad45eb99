"""What stands between a method and a model: copies, float32, a column of logits a class, closed slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from methods.errors import NotApplicableError

MISSING = (
    "The model that a method explains has no {name!r}. It is in evaluation mode and holds no gradients: take "
    "them by torch.autograd.grad(model.classify(features), features). It has 'modalities', 'groups', "
    "'encode(inputs)', 'classify(features)', and 'encode_modality(name, value)' where one can be encoded "
    "alone; calling it gives its logits."
)
"""What a method is told that asks a model for more."""


class Guarded:
    """A model that was admitted: what a method may rely on holds.

    It hands the model copies and returns what is the caller's own. Networks may work in place
    (``ReLU(inplace=True)`` at the start of a head, an input that is normalised with ``-=``, an input that is
    popped) or hand out a tensor that they use again: a method that asks for the features of the same samples
    twice would find others. A copy costs next to nothing beside a layer.

    Args:
        model: whatever follows the protocol; what else it has is reached as before.
        modalities: its modalities.
        groups: modality → its columns of the fusion vector, a slice from start to stop.
        reads: dtype of the inputs that it takes.
        joins: dtype of its fusion features.
    """

    _is_admitted = True

    def __init__(
        self,
        model: Any,
        *,
        modalities: tuple[str, ...],
        groups: Mapping[str, slice],
        reads: torch.dtype = torch.float32,
        joins: torch.dtype = torch.float32,
    ) -> None:
        self._model = model
        self._reads = reads
        self._joins = joins
        self.modalities = modalities
        self.groups = dict(groups)

    @property
    def dtypes(self) -> tuple[torch.dtype, torch.dtype]:
        """Of the inputs that the model takes, and of its fusion features."""
        return self._reads, self._joins

    def __getattr__(self, name: str) -> Any:
        # While it is being copied there is no model yet; and this one has no encodings of single modalities.
        if name in ("_model", "encode_modality"):
            raise AttributeError(name)
        return getattr(self._model, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *dir(self._model)})

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return logits ``[n, classes]`` of inputs."""
        return self.classify(self.encode(inputs))

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]``, float32."""
        return _own(self._model.encode({name: self._read(value) for name, value in inputs.items()}))

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``, float32.

        Raises:
            NotApplicableError: if gradients are asked for, and the model does not pass them on.
        """
        logits = class_logits(self._model.classify(_own(features, self._joins)))
        if torch.is_grad_enabled() and features.requires_grad and not logits.requires_grad:
            raise NotApplicableError("needs gradients, and the model's 'classify' passes none on")
        return _own(logits)

    def _read(self, value: Any) -> Any:
        return _own(value, self._reads)


class SeparableGuarded(Guarded):
    """One that can encode a modality alone."""

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return one modality's columns of the fusion vector."""
        return _own(self._model.encode_modality(name, self._read(value)))


def class_logits(logits: Tensor) -> Tensor:
    """Return logits ``[n, classes]``: a single one a sample, ``[n, 1]`` or ``[n]``, becomes (0, z).

    It is the log-odds of class 1 of two, and softmax over (0, z) is its sigmoid.
    """
    if logits.ndim == 1:
        logits = logits[:, None]
    return nn.functional.pad(logits, (1, 0)) if logits.ndim == 2 and logits.shape[1] == 1 else logits


def _own(value: Any, dtype: torch.dtype = torch.float32) -> Any:
    # What is no tensor is the method's mistake, and fails where it is used.
    if not isinstance(value, Tensor):
        return value
    return value.clone() if value.dtype == dtype else value.to(dtype)
