"""From the decision function's value to a label: cut into classes at thresholds, then, sometimes, wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Labels:
    """How labels follow from F: class c where F lies between thresholds c and c + 1, in ascending order.

    Attributes:
        shares: of the classes, from low F to high; the thresholds are the matching quantiles of F.
        noise: probability that a label is replaced by one of the others, each as likely.
        thresholds: given outright instead of by shares; F at a threshold counts to the class above.
    """

    shares: tuple[float, ...] = (0.5, 0.5)
    noise: float = 0.0
    thresholds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        values = np.asarray(self.shares, dtype=float)
        if len(values) < 2 or not (values > 0).all() or abs(values.sum() - 1) > 1e-9:
            raise ValueError(
                "The 'shares' of Labels must be two or more positive numbers that sum to 1. "
                f"Got {self.shares!r}."
            )
        if not 0 <= self.noise < (len(values) - 1) / len(values):
            raise ValueError(
                f"The 'noise' of Labels with {len(values)} classes must lie in "
                f"[0, {(len(values) - 1) / len(values):.3g}): more noise than that leaves no signal. "
                f"Got {self.noise!r}."
            )
        if self.thresholds is not None and (
            len(self.thresholds) != len(values) - 1
            or not np.isfinite(self.thresholds).all()
            or not (np.diff(self.thresholds) > 0).all()
        ):
            raise ValueError(
                "The 'thresholds' of Labels must be finite and increasing, one fewer than 'shares' "
                f"({len(values) - 1}). Got {self.thresholds!r}."
            )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.shares)

    @property
    def levels(self) -> np.ndarray:
        """Probabilities below the thresholds, ``[classes − 1]``."""
        return np.cumsum(self.shares)[:-1]

    def draw(self, values: np.ndarray, thresholds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return labels ``[n]`` (int64) for values of F ``[n]``."""
        classes = np.searchsorted(thresholds, values, side="right")
        wrong = rng.random(len(classes)) < self.noise
        shift = rng.integers(1, self.n_classes, size=len(classes))
        return np.where(wrong, (classes + shift) % self.n_classes, classes)

    def blurred(self, probability: np.ndarray) -> np.ndarray:
        """Return class probabilities ``[…, classes]`` after label noise."""
        if not self.noise:
            return probability
        return (1 - self.noise) * probability + self.noise * (1 - probability) / (self.n_classes - 1)
