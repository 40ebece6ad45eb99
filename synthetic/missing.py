"""Missing values: which entries of the clinical tables the models do not see, and what they see instead.

Whether a value is missing follows a probit model of a normal score u, P(missing | u) = Φ(a + strength·u),
with a = Φ⁻¹(rate)·√(1 + strength²), which makes the share of missing values exactly the rate. The score is
that of another, always observed feature (missing at random) or that of the value itself (missing not at
random); without either the probability is the rate (missing completely at random). Rubin (1976, Biometrika
63:581) told these apart.

A missing value is replaced by the population's mean, 0 in standardised units, whatever the split. No
indicator column is added: the table keeps its columns. A number that is exactly 0 gives the gap away all the
same, so the best possible classifier knows what is missing, and why a value is missing can inform it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from scipy import special

from synthetic.decision import matching
from synthetic.margins import NORMAL, Margin
from synthetic.names import check_known
from synthetic.types import Modality

Mechanism = Literal["mcar", "mar", "mnar"]

_NO_MARGINS: Mapping[str, Margin] = MappingProxyType({})


@dataclass(frozen=True)
class Missing:
    """Values of clinical tables that the models do not see.

    Each feature goes missing on its own: given the scores, no feature's mask depends on another's.

    Attributes:
        features: ``"table/column"`` names, or patterns as in `synthetic.decision.Term`.
        mechanism: ``"mcar"``, completely at random; ``"mar"``, depending on the driver; ``"mnar"``, depending
            on the value itself.
        rate: share of values missing, in (0, 1).
        driver: for ``mar`` alone: the feature that decides; in a table, never missing itself.
        strength: for ``mar`` and ``mnar``: slope of the probit model, above 0: larger scores are missing more
            often.

    Example:
        >>> rule = Missing(("labs/*",), "mnar", rate=0.2, strength=2.0)
        >>> rule.probability(np.array([-2.0, 0.0, 2.0])).round(3)
        array([0.   , 0.03 , 0.983])
    """

    features: tuple[str, ...]
    mechanism: Mechanism = "mcar"
    rate: float = 0.2
    driver: str = ""
    strength: float = 1.0

    def __post_init__(self) -> None:
        if (
            isinstance(self.features, str)
            or not self.features
            or len(set(self.features)) != len(self.features)
        ):
            raise ValueError(
                "The 'features' of Missing must be a tuple of one or more distinct names. "
                f"Got {self.features!r}."
            )
        check_known("mechanism", self.mechanism, get_args(Mechanism))
        if not 0 < self.rate < 1:
            raise ValueError(
                f"The 'rate' of Missing must lie in (0, 1), ends excluded. Got {self.rate!r}; "
                "leave the rule out for 0, and the feature for 1."
            )
        if not 0 < self.strength < np.inf:
            raise ValueError(
                f"The 'strength' of Missing must be finite and above 0. Got {self.strength!r}; "
                "use the mechanism 'mcar' for 0."
            )
        if bool(self.driver) != (self.mechanism == "mar"):
            raise ValueError(
                "The 'driver' of Missing must name a feature where the mechanism is 'mar', and nowhere else. "
                f"Got mechanism {self.mechanism!r} and driver {self.driver!r}."
            )

    @property
    def slope(self) -> float:
        """Slope of the probit model: 0 for ``mcar``, else the strength."""
        return 0.0 if self.mechanism == "mcar" else self.strength

    def probability(self, score: np.ndarray) -> np.ndarray:
        """Return P(missing | u) for normal scores, elementwise: the driver's, or the value's own."""
        score = np.asarray(score, dtype=np.float64)
        return special.ndtr(special.ndtri(self.rate) * np.hypot(1, self.slope) + self.slope * score)

    def draw(self, scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one feature's mask ``[n]`` of bool, True where missing, for the deciding scores ``[n]``."""
        return rng.random(len(scores)) < self.probability(scores)

    def given_missing(self, uniform_1: np.ndarray, uniform_2: np.ndarray) -> np.ndarray:
        """Return the value's own normal score, given that the value is missing.

        With v = a + strength·u + ξ, ξ ~ N(0, 1), a value is missing where v > 0. So v is drawn from the upper
        part of its normal law, by inversion, and u from its normal law given v. That makes u extended skew
        normal, of mean strength / √(1 + strength²) · φ(Φ⁻¹(rate)) / rate. Unless the mechanism is ``mnar``, a
        missing value is like any other: u is standard normal (for ``mar``, if the driver is independent of
        the value).

        Args:
            uniform_1: numbers in [0, 1], pseudo-random or quasi-random; v increases with them.
            uniform_2: the same shape, independent of the first; u given v increases with them.

        Returns:
            Scores of that shape, finite.
        """
        noise = special.ndtri(_inside(uniform_2))
        if self.mechanism != "mnar":
            return noise
        # (v - a) / √(1 + strength²), above -Φ⁻¹(rate). From the upper tail: a small rate keeps its digits.
        standard = -special.ndtri((1 - _inside(uniform_1)) * self.rate)
        return (self.slope * standard + noise) / np.hypot(1, self.slope)


def _inside(uniform: np.ndarray) -> np.ndarray:
    """Return the numbers without the ends 0 and 1, whose quantiles are infinite."""
    return np.clip(np.asarray(uniform, dtype=np.float64), 2.0**-53, 1 - 2.0**-53)


def resolve(
    missing: Sequence[Missing],
    modalities: Sequence[Modality],
    margins: Mapping[str, Margin] = _NO_MARGINS,
) -> dict[str, Missing]:
    """Return full feature name → the rule that it is under, in the order of the modalities.

    Args:
        missing: the rules.
        modalities: of the scenario.
        margins: full feature name → margin; features that are left out have a normal one.

    Raises:
        ValueError: if a feature or driver does not exist, is in an image, or is under two rules; if a driver
            is missing itself; or if a score that decides is not that of a normal margin.
    """
    tables = {name for modality in modalities if modality.kind == "table" for name in modality.features}
    rules: dict[str, Missing] = {}
    for rule in missing:
        for pattern in rule.features:
            for name in _matching("features", pattern, modalities):
                if name not in tables:
                    raise ValueError(
                        "The 'features' of Missing must be columns of tables: an image's latent feature is "
                        f"seen through its pixels. Got {name!r}; leave it out."
                    )
                if name in rules:
                    raise ValueError(
                        f"Feature {name!r} must be under one rule of Missing. Got two; leave it out of one."
                    )
                rules[name] = rule
    for name, rule in rules.items():
        if rule.mechanism == "mar":
            _check_driver(_driver(rule, modalities), tables, rules)
        decisive = _decisive(name, rule, modalities)
        margin = NORMAL if decisive is None else margins.get(decisive, NORMAL)
        if not margin.is_normal:
            raise ValueError(
                f"Feature {decisive!r} must have a normal margin, because it decides what is missing "
                f"({rule.mechanism!r}). Got {margin.family!r}; choose another feature, or 'mcar'."
            )
    order = [name for modality in modalities for name in modality.features]
    return {name: rules[name] for name in order if name in rules}


def hide(
    missing: Sequence[Missing],
    latents: np.ndarray,
    columns: Mapping[str, int],
    modalities: Sequence[Modality],
    rng: np.random.Generator,
    *,
    margins: Mapping[str, Margin] = _NO_MARGINS,
) -> np.ndarray:
    """Draw which values are missing.

    Every column of the latents has a random stream of its own: a rule changes no other column's mask.

    Args:
        missing: the rules.
        latents: all standardised latent features, ``[n, d]``, before anything is hidden.
        columns: full feature name → column of the latents.
        modalities: of the scenario.
        rng: source of randomness.
        margins: full feature name → margin, as in `resolve`.

    Returns:
        ``[n, d]`` of bool, True where missing; no image column ever is.

    Raises:
        ValueError: as `resolve`, or if the latents have another number of columns.
    """
    if latents.ndim != 2 or latents.shape[1] != len(columns):
        raise ValueError(f"The 'latents' must have shape [n, {len(columns)}]. Got {latents.shape}.")
    mask = np.zeros(latents.shape, dtype=bool)
    streams = rng.spawn(latents.shape[1])
    for name, rule in resolve(missing, modalities, margins).items():
        column, decisive = columns[name], _decisive(name, rule, modalities)
        scores = latents[:, columns[name if decisive is None else decisive]]
        mask[:, column] = rule.draw(scores, streams[column])
    return mask


def impute(table: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a copy of a table in which missing values are the population's mean, 0.

    Args:
        table: standardised columns, ``[n, k]``.
        mask: True where missing, ``[n, k]`` of bool.

    Raises:
        ValueError: if the mask has another shape.

    Example:
        >>> impute(np.array([[1.5, -2.0]]), np.array([[True, False]]))
        array([[ 0., -2.]])
    """
    if mask.shape != table.shape:
        raise ValueError(f"The 'mask' must have the table's shape {table.shape}. Got {mask.shape}.")
    filled = table.copy()
    filled[mask] = 0
    return filled


def _matching(parameter: str, pattern: str, modalities: Sequence[Modality]) -> tuple[str, ...]:
    try:
        return matching(pattern, modalities)
    except ValueError as error:
        raise ValueError(f"In the '{parameter}' of Missing: {error}") from None


def _driver(rule: Missing, modalities: Sequence[Modality]) -> str:
    """Return the full name of a rule's driver."""
    found = _matching("driver", rule.driver, modalities)
    if len(found) != 1:
        raise ValueError(
            f"The 'driver' of Missing must be one feature. Got {rule.driver!r}, {len(found)} features; "
            "name one of them."
        )
    return found[0]


def _decisive(name: str, rule: Missing, modalities: Sequence[Modality]) -> str | None:
    """Return the feature whose score decides whether a feature is missing; None for ``mcar``."""
    if rule.mechanism == "mar":
        return _driver(rule, modalities)
    return name if rule.mechanism == "mnar" else None


def _check_driver(driver: str, tables: set[str], rules: Mapping[str, Missing]) -> None:
    if driver not in tables:
        raise ValueError(
            f"The 'driver' of Missing must be a column of a table. Got {driver!r}, of an image; "
            "choose a clinical feature."
        )
    if driver in rules:
        raise ValueError(
            f"The 'driver' of Missing must always be observed. Got {driver!r}, which a rule hides; "
            "choose another, or use the mechanism 'mnar'."
        )
