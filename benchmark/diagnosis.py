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
from benchmark.performance import performance
from benchmark.training import classified, fusion_features
from methods.api import FusionModel
from synthetic.threads import single_thread
from synthetic.types import Samples, Truth

DIAGNOSIS = "diagnosis"
"""What the job is called that diagnoses a network, where others have a method."""

MOST_ENUMERATED = 8
"""Modalities of which every set is looked at; of more: none, each alone, all but one, and all."""

N_PERMUTATIONS = 5

Diagnosis = Mapping[str, Any]
"""``available``, a row a set of modalities, ``reliance``, a row a modality; None for unknown values."""


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
    with single_thread():
        features = fusion_features(model, test)
        rows = list(_available(model, features, test.labels, truth)) if is_missing_aware(model) else []
        reliance = list(_reliance(model, features, test.labels, truth, rng))
    return {"n_test": len(test), "available": rows, "reliance": reliance}


def is_missing_aware(model: FusionModel) -> bool:
    """Return whether a model can be told that a modality is missing."""
    return isinstance(model, FusionNetwork)


def _available(
    model: FusionModel, features: Tensor, labels: Tensor, truth: Mapping[str, Truth]
) -> Iterator[dict[str, Any]]:
    """Yield the performance with each set of modalities, and the best that there could be."""
    for names in sets_of(tuple(model.modalities)):
        found = performance(classified(model, _without_others(model, features, names)), labels)
        best = {
            "accuracy": _best(truth, "bayes_accuracy", "accuracy", names),
            "auroc": _best(truth, "bayes_accuracy", "auroc", names),
            "log_loss": _best(truth, "information", "conditional entropy", names),
        }
        yield {
            "modalities": list(names),
            **found._asdict(),
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


def _without_others(model: FusionModel, features: Tensor, names: tuple[str, ...]) -> Tensor:
    """Return fusion features in which only some modalities are there; each has columns of its own."""
    assert isinstance(model, FusionNetwork)  # noqa: S101 - for the type checker
    absent = {
        name: torch.zeros(len(features), dtype=torch.bool) for name in model.modalities if name not in names
    }
    with torch.no_grad():
        return model.joined({name: features[:, columns] for name, columns in model.groups.items()}, absent)


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
