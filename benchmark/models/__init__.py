"""Fusion networks by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from benchmark.models.hybrid import HybridNetwork
from benchmark.models.oracle import Oracle, oracle, oracle_samples
from synthetic.names import check_known

__all__ = ["ORACLE", "HybridNetwork", "Oracle", "build", "check_name", "names", "oracle", "oracle_samples"]

ORACLE = "oracle"

_NETWORKS = {
    "hybrid": partial(HybridNetwork, architecture="compact"),
    "hybrid-s1": partial(HybridNetwork, architecture="s1"),
}
_FILES = {ORACLE: "oracle.py", "hybrid": "hybrid.py", "hybrid-s1": "hybrid.py"}
"""Model → the file that holds it; what the files of several models share is in none of these."""
_DESCRIPTIONS = {
    ORACLE: "the true decision function: what a method says of it is its own error alone",
    "hybrid": "images through strided convolutions, tables as they are, a small network decides",
    "hybrid-s1": "the hybrid fusion network of Azmat & Alessio (2022), layer by layer",
}


def names() -> tuple[str, ...]:
    """Return the names of all models; the oracle is not trained."""
    return (ORACLE, *_NETWORKS)


def describe(name: str) -> str:
    """Return one line on a model."""
    check_name(name)
    return _DESCRIPTIONS[name]


def others(name: str) -> tuple[str, ...]:
    """Return the files of the models that have nothing to do with one of them, relative to the project."""
    own = _FILES[name]
    return tuple(sorted({f"benchmark/models/{file}" for file in _FILES.values() if file != own}))


def check_name(name: str) -> None:
    """Raise a ValueError, with the closest name that there is, unless there is a model of that name."""
    check_known("model", name, names())


def build(name: str, shapes: Mapping[str, tuple[int, ...]], *, n_classes: int = 2) -> HybridNetwork:
    """Return a fresh network by name, with weights from torch's current random state.

    Args:
        name: one of ``names()`` except the oracle.
        shapes: modality → input shape without the sample axis.
        n_classes: number of classes.

    Raises:
        ValueError: if there is no such network.
    """
    check_name(name)
    if name == ORACLE:
        raise ValueError(
            "The model 'oracle' is not built from shapes; use benchmark.models.oracle(dataset, …)."
        )
    # Channels-last halves the time of the small convolutions on a CPU.
    network = _NETWORKS[name](shapes, n_classes=n_classes)
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
