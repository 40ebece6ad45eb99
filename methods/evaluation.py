"""Batched evaluation of a model, shared by the methods: many rows a call, bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from methods.api import FusionModel
from synthetic.types import Samples

# Rows a call. The small matrices of a fusion head, and the maps of an image encoder, then stay in the
# processor's cache; larger calls are slower (tests/speed).
CLASSIFY_ROWS = 8192
ENCODE_ROWS = 64


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """Return a torch generator seeded by the next draw of a NumPy generator."""
    return torch.Generator().manual_seed(int(rng.integers(2**63)))


def chunks(n: int, size: int) -> Iterator[slice]:
    """Yield slices that cover range(n) in order."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


@torch.no_grad()
def encode(model: FusionModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return the fusion features ``[n, d]`` of all inputs."""
    n = len(next(iter(inputs.values())))
    parts = [
        model.encode({name: value[rows] for name, value in inputs.items()}) for rows in chunks(n, ENCODE_ROWS)
    ]
    return torch.cat(parts)


@torch.no_grad()
def probabilities(model: FusionModel, features: Tensor) -> Tensor:
    """Return class probabilities ``[n, classes]`` of fusion features ``[n, d]``."""
    # Along the first axis torch's softmax is vectorised: eight times faster for a few classes.
    return torch.cat(
        [model.classify(features[rows]).T.softmax(0).T for rows in chunks(len(features), CLASSIFY_ROWS)]
    )


def targets(probability: Tensor) -> Tensor:
    """Return the class whose probability is explained ``[n]``: 1 of two, else the predicted one."""
    if probability.shape[1] == 2:
        return torch.ones(len(probability), dtype=torch.long)
    return probability.argmax(1)


@torch.no_grad()
def target_probabilities(model: FusionModel, features: Tensor, target: Tensor) -> Tensor:
    """Return the probability of each sample's target class for perturbed copies of it.

    Args:
        model: the model.
        features: ``[n, copies, d]``.
        target: class indices ``[n]``.

    Returns:
        ``[n, copies]``.
    """
    n, copies, width = features.shape
    probability = probabilities(model, features.reshape(n * copies, width))
    return probability.gather(1, target.repeat_interleave(copies)[:, None]).view(n, copies)


def fusion_features(model: FusionModel, samples: Samples) -> tuple[Tensor, Tensor]:
    """Return the fusion features ``[n, d]`` of the samples and their target classes ``[n]``."""
    features = encode(model, samples.inputs)
    return features, targets(probabilities(model, features))
