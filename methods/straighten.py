"""A network as straight lines, one a sample, with slopes weighed by what the labels confirm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods import evaluation
from methods.api import FusionModel
from methods.evaluation import chunks, encode
from synthetic.types import Samples

# Deviance that a modality's weight must save to be above 0: two standard errors.
_GARROTE = 4.0
# Deviance that the best modality must save for the weights to be trusted by half: four standard errors.
_ENOUGH = 16.0


@dataclass(frozen=True)
class Local:
    """The first-order expansion of a network at every sample.

    Attributes:
        features: fusion features less their mean ``[n, d]``.
        logits: of the classes, less their mean ``[n, classes]``.
        slopes: their derivatives by the features, weighed ``[n, classes, d]``.
        labels: ``[n]``.
        groups: modality → its columns.
        given: modality → whether its features are the columns of its input, as they are.
    """

    features: Tensor
    logits: Tensor
    slopes: Tensor
    labels: Tensor
    groups: Mapping[str, slice]
    given: Mapping[str, bool]


def straighten(model: FusionModel, samples: Samples, *, calibrate: bool) -> Local:
    """Return the expansion of a model: one forward pass, and one backward pass for each class but one.

    Args:
        model: the model.
        samples: with labels.
        calibrate: multiply each modality's slopes by its weight (:func:`weights`).

    Raises:
        ValueError: if the samples carry no labels, or there are fewer than two.
    """
    if samples.labels is None:
        raise ValueError("Calibrated slopes need the 'labels' of the samples. Got none.")
    if len(samples) < 2:
        raise ValueError(f"Calibrated slopes need at least 2 samples. Got {len(samples)}.")
    encoded = encode(model, samples.inputs)
    logits, slopes = [], []
    for rows in chunks(len(encoded), evaluation.CLASSIFY_ROWS):
        leaf = encoded[rows].clone().requires_grad_()
        with torch.enable_grad():
            out = model.classify(leaf)
            out = out - out.mean(1, keepdim=True)
        found = [torch.autograd.grad(part.sum(), leaf, retain_graph=True)[0].double() for part in out.T[1:]]
        slopes.append(torch.stack([-sum(found, torch.zeros(())), *found], dim=1))
        logits.append(out.detach().double())
    given = {
        name: samples.inputs[name].ndim == 2 and torch.equal(samples.inputs[name], encoded[:, columns])
        for name, columns in model.groups.items()
    }
    features = encoded.double()
    features -= features.mean(0)
    local = Local(
        features, torch.cat(logits), torch.cat(slopes), samples.labels.long(), dict(model.groups), given
    )
    if calibrate:
        for weight, columns in zip(weights(local), local.groups.values(), strict=True):
            local.slopes[:, :, columns] *= weight
    return local


def weights(local: Local) -> list[float]:
    """Return how much of each modality's part in the logits the labels confirm.

    Where they hardly confirm the best of them, for want of samples, all weights are near 1.
    """
    parts = [
        torch.einsum("ncj,nj->nc", local.slopes[:, :, columns], local.features[:, columns])
        for columns in local.groups.values()
    ]
    coefficients, loss = regress(local.logits, parts, local.labels)
    deviances = np.array([
        2 * (regress(local.logits - part, parts[:place] + parts[place + 1 :], local.labels)[1] - loss)
        for place, part in enumerate(parts)
    ]).clip(1e-9)  # fmt: skip
    confirmed = 1 + coefficients[0] + np.array(coefficients[1:])
    found = confirmed.clip(0) * (1 - _GARROTE / deviances).clip(0)
    if not found.any():
        return [1.0] * len(parts)
    trust = 1 / (1 + (_ENOUGH / deviances.max()) ** 2)
    return (1 - trust * (1 - found / found.max())).tolist()


def regress(logits: Tensor, parts: Sequence[Tensor], labels: Tensor) -> tuple[list[float], float]:
    """Fit intercepts, s and b of ``logits + s · logits + Σ b_m part_m`` to labels, multinomially.

    The ridge is half Σ b_m², a normal law of standard deviation 1; s and the intercepts are all but free.

    Args:
        logits: ``[n, classes]``.
        parts: each ``[n, classes]``.
        labels: ``[n]``.

    Returns:
        (s, b …), and the penalised loss.
    """
    n, classes = logits.shape
    intercepts = torch.eye(classes, dtype=logits.dtype)[:, 1:].expand(n, classes, classes - 1)
    columns = torch.cat([intercepts, torch.stack([logits, *parts], dim=2)], dim=2)
    penalty = torch.tensor([1e-6] * (classes - 1) + [1e-3] + [1.0] * len(parts), dtype=logits.dtype)
    hot = torch.nn.functional.one_hot(labels, classes).to(logits)

    def loss_of(found: Tensor) -> float:
        fitted = (logits + columns @ found).log_softmax(1)
        return float((penalty * found**2).sum() / 2 - (fitted * hot).sum())

    fit = torch.zeros(len(penalty), dtype=logits.dtype)
    loss = loss_of(fit)
    for _ in range(50):  # Newton's method, with steps halved until the loss falls; it is convex
        p = (logits + columns @ fit).softmax(1)
        mean = torch.einsum("nc,ncq->nq", p, columns)
        curvature = torch.einsum("ncq,nc,ncr->qr", columns, p, columns) - mean.T @ mean + penalty.diag()
        step = torch.linalg.solve(curvature, torch.einsum("nc,ncq->q", p - hot, columns) + penalty * fit)
        tried = (fit - size * step for size in 0.5 ** np.arange(12))
        better = next((found for found in tried if loss_of(found) < loss - 1e-8), None)
        if better is None:
            break
        fit, loss = better, loss_of(better)
    return fit[classes - 1 :].tolist(), loss
