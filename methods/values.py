"""What counts as numbers in what a method returns: one rule, for every kind of array and of mapping.

Real numbers, every one of them there, in an order that cannot be mistaken. Whatever a type would do silently
(drop a mask, drop an imaginary part, read text, sort columns by another name) is refused.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


class NoNumbersError(ValueError):
    """What a method returned holds something else than real numbers; the message says what was found."""


def as_numbers(value: object) -> np.ndarray:
    """Return the numbers in a value: integers, floats or truth values, of its shape.

    Arrays, tensors of any real type and layout (what a sparse one leaves out is 0), numbers, nested lists of
    these, and unlabelled frames and series are taken. NaN is a number here; whoever asks decides.

    Raises:
        NoNumbersError: if some are masked or missing, complex, text, dates or other objects, if there is no
            order, or if labels say that the order is another.
    """
    if isinstance(value, Tensor):
        found = _of_tensor(value)
    elif isinstance(value, (list, tuple)):
        found = _of_list(value)
    elif hasattr(value, "to_numpy"):
        found = _unlabelled(value)
    elif hasattr(value, "toarray"):
        found = np.asarray(value.toarray())  # pyright: ignore[reportAttributeAccessIssue]
    elif hasattr(value, "__array__") or isinstance(value, numbers.Number):
        found = np.asanyarray(value)
    else:
        raise NoNumbersError(_no_array(value))
    return _checked(found)


def _no_array(value: object) -> str:
    if value is None:
        return "None"
    return f"text, {value!r}" if isinstance(value, str) else f"a {type(value).__name__}, which is no array"


def as_number(value: object) -> float:
    """Return the number in a value that holds exactly one.

    Raises:
        NoNumbersError: if it holds none, several, or something else.
    """
    found = as_numbers(value)
    if found.size != 1:
        raise NoNumbersError(f"an array of shape {found.shape}")
    return float(found.reshape(()))


def by_name(value: object) -> dict[Any, Any] | None:
    """Return a mapping, or a series with labels, as a dictionary; None of anything else.

    Raises:
        NoNumbersError: if a label stands twice.
    """
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return value._asdict()  # pyright: ignore[reportAttributeAccessIssue]  # a named tuple
    labels = getattr(value, "index", None)
    is_series = hasattr(value, "to_numpy") and getattr(value, "ndim", 0) == 1 and labels is not None
    if not is_series or callable(labels) or _is_count(labels):
        return None
    names = list(labels)  # pyright: ignore[reportArgumentType]
    if len(set(names)) < len(names):
        raise NoNumbersError(f"a series with a label that stands twice, {names}")
    return dict(zip(names, value.array, strict=True))  # pyright: ignore[reportAttributeAccessIssue]


def _checked(found: np.ndarray) -> np.ndarray:
    if isinstance(found, np.ma.MaskedArray):
        if np.ma.is_masked(found):
            raise NoNumbersError(f"masked values, {int(np.ma.count_masked(found))} of {found.size}")
        found = found.data
    if found.dtype == object:
        wrong = [it for it in found.flat if not isinstance(it, numbers.Real) or it is np.ma.masked]
        if wrong:
            raise NoNumbersError(f"{wrong[0]!r} among the values")
        found = found.astype(np.float64)
    if found.dtype.kind not in "biuf":
        raise NoNumbersError(f"values of type {found.dtype}")
    return np.asarray(found)


def _of_tensor(value: Tensor) -> np.ndarray:
    try:
        return _plain(value)
    except (RuntimeError, TypeError) as error:  # torch.masked, nested, and whatever else has no plain numbers
        told = "nested tensor" if value.is_nested else type(value).__name__
        raise NoNumbersError(f"a {told}, which becomes no array") from error


def _plain(value: Tensor) -> np.ndarray:
    if value.is_complex() or value.is_meta:
        raise NoNumbersError(f"a tensor of type {value.dtype} on {value.device}")
    plain = value.detach()
    plain = plain.dequantize() if plain.is_quantized else plain
    plain = plain if plain.layout == torch.strided else plain.to_dense()
    plain = plain.float() if plain.is_floating_point() and plain.element_size() < 4 else plain
    return plain.cpu().resolve_conj().resolve_neg().numpy()


def _of_list(value: list[Any] | tuple[Any, ...]) -> np.ndarray:
    if all(type(it) in (int, float, bool) for it in value):
        return np.asarray(value)
    parts = [as_numbers(it) for it in value]
    if len({part.shape for part in parts}) > 1:
        raise NoNumbersError("a list of parts that differ in shape")
    return np.stack(parts)


def _unlabelled(value: Any) -> np.ndarray:
    """Return the values of a series or frame whose columns are not named, so that their order is plain."""
    axes = (
        [getattr(value, "columns", None)]
        if getattr(value, "ndim", 1) == 2
        else [getattr(value, "index", None)]
    )
    for labels in axes:
        if labels is not None and not callable(labels) and not _is_count(labels):
            raise NoNumbersError(
                f"labels {list(labels)[:4]} instead of an order (give an array in the model's order)"
            )
    return np.asanyarray(value.to_numpy())


def _is_count(labels: Any) -> bool:
    """Return whether labels are 0, 1, 2 …, in this order."""
    return list(labels) == list(range(len(labels)))
