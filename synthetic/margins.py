"""Margins of a Gaussian copula: strictly or weakly increasing maps from a standard normal score to a latent.

Every margin is standardised, mean 0 and variance 1, so that decision functions need no units. What a margin's
mean and standard deviation are in a unit (years, g/L) is the business of `synthetic.clinical`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from scipy import special

Family = Literal["normal", "truncated_normal", "lognormal", "student_t", "uniform", "binary"]

_PARAMETERS: dict[str, tuple[str, ...]] = {
    "normal": (),
    "truncated_normal": ("low", "high"),
    "lognormal": ("sigma",),
    "student_t": ("df",),
    "uniform": (),
    "binary": ("probability",),
}


@dataclass(frozen=True)
class Margin:
    """The law of one latent feature, as an increasing function of a standard normal score u.

    Attributes:
        family: ``normal`` (z = u), ``truncated_normal`` (of a standard normal, between ``low`` and ``high``),
            ``lognormal`` (of log-standard deviation ``sigma``), ``student_t`` (``df`` degrees of freedom),
            ``uniform``, or ``binary`` (the larger value with ``probability``); all scaled to mean 0 and
            variance 1.
        parameters: the family's parameters, in the order named above.

    Example:
        >>> Margin("binary", (0.2,)).latent(np.array([-1.0, 0.0, 1.0]))
        array([-0.5, -0.5,  2. ])
    """

    family: Family = "normal"
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.family not in get_args(Family):
            raise ValueError(
                f"The 'family' of a Margin must be one of {', '.join(get_args(Family))}. Got {self.family!r}."
            )
        names = _PARAMETERS[self.family]
        if len(self.parameters) != len(names) or not all(np.isfinite(self.parameters)):
            wanted = f"one finite number for each of ({', '.join(names)})" if names else "empty"
            raise ValueError(
                f"The 'parameters' of a {self.family} Margin must be {wanted}. Got {self.parameters!r}."
            )
        first = self.parameters[0] if names else 1.0
        rules = {
            "truncated_normal": (len(names) == 2 and self.parameters[0] < self.parameters[-1], "low < high"),
            "lognormal": (0 < first <= 2, "0 < sigma ≤ 2"),
            "student_t": (first > 2, "df > 2, for a finite variance"),
            "binary": (0 < first < 1, "0 < probability < 1"),
        }
        holds, rule = rules.get(self.family, (True, ""))
        if not holds:
            raise ValueError(
                f"The 'parameters' of a {self.family} Margin must satisfy {rule}. Got {self.parameters!r}."
            )

    @property
    def is_normal(self) -> bool:
        """True where the latent is the score itself."""
        return self.family == "normal"

    @property
    def is_continuous(self) -> bool:
        """True where the latent determines the score: the map is strictly increasing."""
        return self.family != "binary"

    def latent(self, score: np.ndarray) -> np.ndarray:
        """Return the standardised latent for normal scores, elementwise."""
        if self.family == "normal":
            return score
        if self.family == "uniform":
            return np.sqrt(3) * special.erf(score / np.sqrt(2))
        if self.family == "lognormal":
            (sigma,) = self.parameters
            return np.expm1(sigma * score - sigma**2 / 2) / np.sqrt(np.expm1(sigma**2))
        # Quantiles are taken from the nearer tail: probabilities close to 1 have lost their digits.
        tail = special.ndtr(-np.abs(score))
        if self.family == "student_t":
            (df,) = self.parameters
            return -np.sign(score) * special.stdtrit(df, tail) / np.sqrt(df / (df - 2))
        if self.family == "binary":
            (probability,) = self.parameters
            above = score > -special.ndtri(probability)
            return (above - probability) / np.sqrt(probability * (1 - probability))
        law, mean, deviation = _truncated_normal(*self.parameters)
        return (np.where(score < 0, law.ppf(tail), law.isf(tail)) - mean) / deviation


@lru_cache(maxsize=64)
def _truncated_normal(low: float, high: float) -> tuple[Any, float, float]:
    """Return the law between two bounds, its mean and its standard deviation."""
    from scipy.stats import truncnorm  # noqa: PLC0415 - slow to load, and few scenarios need it

    law = truncnorm(low, high)
    return law, float(law.mean()), float(law.std())


NORMAL = Margin()
