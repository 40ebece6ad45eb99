"""Slopes of the explained probability at many points: what gradient methods of all kinds share."""

from __future__ import annotations

import torch
from torch import Tensor

from methods import evaluation
from methods.api import FusionModel


def probability_slopes(model: FusionModel, features: Tensor, target: Tensor) -> Tensor:
    """Return ∂p(target)/∂feature ``[n, copies, d]`` at perturbed copies of each sample.

    Args:
        model: the model.
        features: ``[n, copies, d]``.
        target: class indices ``[n]``; a sample's copies have its class.
    """
    n, copies, width = features.shape
    flat, classes = features.reshape(n * copies, width), target.repeat_interleave(copies)
    parts = []
    for rows in evaluation.chunks(len(flat), evaluation.CLASSIFY_ROWS):
        leaf = flat[rows].detach().requires_grad_()
        with torch.enable_grad():
            # Along the first axis torch's softmax is vectorised, see methods.evaluation.
            probability = model.classify(leaf).T.softmax(0).gather(0, classes[None, rows]).sum()
        parts.append(torch.autograd.grad(probability, leaf)[0])
    return torch.cat(parts).view(n, copies, width)
