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


TRUTH = "truth"

CONTROLS: Mapping[str, Control] = {TRUTH: tell_truth, "random": guess, "uniform": abstain}


def told(name: str, importances: Mapping[str, float], truth: Mapping[str, float]) -> Mapping[str, float]:
    """Return what is scored against a truth: that truth itself for the control that tells it.

    Args:
        name: of the method or control.
        importances: what it returned.
        truth: the truth that it is scored against.
    """
    return truth if name == TRUTH else importances
