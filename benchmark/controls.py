"""Controls that bound every score. They alone may see the truth; none of them is a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Control = Callable[[Mapping[str, float], np.random.Generator], Mapping[str, float]]


def tell_truth(truth: Mapping[str, float], rng: np.random.Generator) -> Mapping[str, float]:
    """Return the truth: the ceiling of every score."""
    del rng
    return dict(truth)


def guess(truth: Mapping[str, float], rng: np.random.Generator) -> Mapping[str, float]:
    """Return shares drawn uniformly from the simplex: what a method without any information does."""
    return dict(zip(truth, rng.dirichlet(np.ones(len(truth))).tolist(), strict=True))


def abstain(truth: Mapping[str, float], rng: np.random.Generator) -> Mapping[str, float]:
    """Return equal shares; their RBO is exactly the chance level."""
    del rng
    return dict.fromkeys(truth, 1 / len(truth))


CONTROLS: Mapping[str, Control] = {"truth": tell_truth, "random": guess, "uniform": abstain}
