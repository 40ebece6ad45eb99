"""What a trained network makes of each modality: how it fares without some, and how much it leans on each.

Both are measured on the test split and held against what is possible at all, since the decision function is
known: the Bayes classifier of every set of modalities, and the accuracy that the true classifier loses when a
modality is permuted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.models import FusionNetwork
from benchmark.models.unimodal import UnimodalNetwork
from benchmark.performance import Performance, performance
from benchmark.training import classified, encoded, in_parts
from methods.api import FusionModel
from synthetic.settings import own_settings
from synthetic.types import Samples, Truth

DIAGNOSIS = "diagnosis"
"""What the job is called that diagnoses a network, where others have a method."""

MOST_ENUMERATED = 8
"""Modalities of which every set is looked at; of more: none, each alone, all but one, and all."""

N_PERMUTATIONS = 5

Diagnosis = Mapping[str, Any]
"""``n_test`` samples; ``only``, the modality that the network sees, empty for all; ``available``, a row a set
of modalities, and ``reliance``, a row a modality; None for unknown values."""


def diagnose(
    model: FusionModel, test: Samples, truth: Mapping[str, Truth], rng: np.random.Generator
) -> Diagnosis:
    """Return how a network fares with every set of modalities, and what it loses when one is permuted.

    Args:
        model: a trained network. One that cannot be told what is missing has no rows of the first kind.
        test: the test split, with labels.
        truth: estimand → truth, as far as there are any.
        rng: draws the permutations.

    Raises:
        ValueError: if the samples carry no labels, or lack a class.
    """
    if test.labels is None:
        raise ValueError("The 'test' samples of a diagnosis must carry labels. Got none.")
    with own_settings(threads=1):
        features = encoded(model, test)
        rows = list(_available(model, features, test, truth)) if is_missing_aware(model) else []
        reliance = list(_reliance(model, features, test.labels, truth, rng))
    only = model.modality if isinstance(model, UnimodalNetwork) else ""
    return {"n_test": len(test), "only": only, "available": rows, "reliance": reliance}


def is_missing_aware(model: FusionModel) -> bool:
    """Return whether a model can be told that a modality is missing."""
    return isinstance(model, FusionNetwork)


def _available(
    model: FusionModel, features: Tensor, test: Samples, truth: Mapping[str, Truth]
) -> Iterator[dict[str, Any]]:
    """Yield the performance with each set of modalities, and the best that there could be.

    A network may have no answer where something is missing: its performance is then unknown.
    """
    assert isinstance(model, FusionNetwork) and test.labels is not None  # noqa: S101, PT018 - for the type checker
    is_separable = _is_separable(model, features, test)
    for names in sets_of(tuple(model.modalities)):
        kept = _without_others(model, features, names) if is_separable else _told(model, test, names)
        logits = classified(model, kept)
        known = bool(torch.isfinite(logits).all())
        found = performance(logits, test.labels)._asdict() if known else dict.fromkeys(Performance._fields)
        best = {
            "accuracy": _best(truth, "bayes_accuracy", "accuracy", names),
            "auroc": _best(truth, "bayes_accuracy", "auroc", names),
            "log_loss": _best(truth, "information", "conditional entropy", names),
        }
        yield {
            "modalities": list(names),
            **found,
            **{f"best_{name}": value for name, value in best.items()},
        }


def sets_of(modalities: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the sets of modalities that are looked at, smallest first.

    Example:
        >>> sets_of(("scan", "labs"))
        [(), ('scan',), ('labs',), ('scan', 'labs')]
    """
    n = len(modalities)
    sizes = range(n + 1) if n <= MOST_ENUMERATED else sorted({0, 1, n - 1, n})
    return [names for size in sizes for names in combinations(modalities, size)]


def _is_separable(model: FusionNetwork, features: Tensor, test: Samples) -> bool:
    """Return whether a modality's columns do not depend on the others, so that encoding once is enough."""
    few = test.take(slice(0, 8))
    return all(
        torch.allclose(
            _told(model, few, rest), _without_others(model, features[:8], rest), atol=1e-5, equal_nan=True
        )
        for rest in sets_of(tuple(model.modalities))
        if len(rest) == len(model.modalities) - 1
    )


@torch.no_grad()
def _told(model: FusionNetwork, samples: Samples, names: tuple[str, ...]) -> Tensor:
    """Return fusion features of a network that is told that only some modalities are there."""
    return torch.cat(
        [model.encode(part.inputs, _present(model, len(part), names)) for part in in_parts(samples)]
    )


@torch.no_grad()
def _without_others(model: FusionNetwork, features: Tensor, names: tuple[str, ...]) -> Tensor:
    """Return fusion features in which only some modalities are there; each has columns of its own."""
    parts = {name: features[:, columns] for name, columns in model.groups.items()}
    return model.joined(parts, _present(model, len(features), names))


def _present(model: FusionNetwork, n: int, names: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: torch.full((n,), fill_value=False) for name in model.modalities if name not in names}


def _best(truth: Mapping[str, Truth], estimand: str, quantity: str, names: tuple[str, ...]) -> float | None:
    known = truth[estimand].subsets if estimand in truth else {}
    return known[quantity][names] if quantity in known else None


def _reliance(
    model: FusionModel,
    features: Tensor,
    labels: Tensor,
    truth: Mapping[str, Truth],
    rng: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    """Yield what a network loses when the patients' values of a modality are permuted, and what F loses.

    The permutation importance of Breiman (2001) of whole modalities: accuracy before less accuracy after,
    with the standard error over patients of their paired difference.
    """
    right = (classified(model, features).argmax(1) == labels).double()
    orders = [torch.from_numpy(rng.permutation(len(features))) for _ in range(N_PERMUTATIONS)]
    true = truth.get("permutation")
    for name in model.modalities:
        columns, still = model.groups[name], torch.zeros_like(right)
        for order in orders:
            changed = features.clone()
            changed[:, columns] = features[order, columns]
            still += (classified(model, changed).argmax(1) == labels).double() / N_PERMUTATIONS
        lost = right - still
        yield {
            "modality": name,
            "drop": float(lost.mean()),
            "drop_se": float(lost.std() / math.sqrt(len(lost))),
            "true_drop": None if true is None else float(true.raw[name]),
        }
