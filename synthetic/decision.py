"""Decision functions: sums of declared terms over the latent features, differentiable in torch.

A term is a weight times a product of ridge functions, w · g₁(c₁ + a₁ᵀz) · g₂(c₂ + a₂ᵀz) ···: each factor
forms one number from some features and passes it through a function of one variable. That holds the eight
functions of Azmat & Alessio (2022), interactions, gates and exclusive-or, stays readable, and lets the truths
be computed in as many dimensions as there are such numbers instead of features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from synthetic.types import Modality

Function = Literal["identity", "square", "exp", "abs", "tanh", "sigmoid", "sin", "cos", "step"]


def _step(x: Tensor) -> Tensor:
    return (x >= 0).to(x) + 0 * x  # the product keeps it in the graph: its gradient is 0, not missing


FUNCTIONS: Mapping[str, tuple[Callable[[Tensor], Tensor], str]] = MappingProxyType(
    {
        "identity": (lambda x: x, "({})"),
        "square": (torch.square, "({})²"),
        "exp": (torch.exp, "exp({})"),
        "abs": (torch.abs, "|{}|"),
        "tanh": (torch.tanh, "tanh({})"),
        "sigmoid": (torch.sigmoid, "sigmoid({})"),
        "sin": (torch.sin, "sin({})"),
        "cos": (torch.cos, "cos({})"),
        "step": (_step, "[{} ≥ 0]"),
    }
)
"""Name → function of one variable, and how it is written."""


@dataclass(frozen=True)
class Term:
    """One term, weight · g(offset + Σ coefficient · feature), times another term where one is given.

    Attributes:
        features: ``"modality/latent"`` names; ``"modality/*"`` stands for all latents of a modality,
            ``"modality/3"`` for the one in place 3 (from 0), and the modalities ``image_1`` and ``image_2``
            for the images, whatever their source calls them.
        function: g: one of ``identity``, ``square``, ``exp``, ``abs``, ``tanh``, ``sigmoid``, ``sin``,
            ``cos`` and ``step`` (1 from 0 on).
        weight: factor in front.
        coefficients: one a feature, or one number for all; None stands for 1.
        offset: added inside g.
        times: a term to multiply with; ``first * second`` makes one.
    """

    features: tuple[str, ...]
    function: Function = "identity"
    weight: float = 1.0
    coefficients: tuple[float, ...] | float | None = None
    offset: float = 0.0
    times: Term | None = None

    def __post_init__(self) -> None:
        if (
            isinstance(self.features, str)
            or not self.features
            or len(set(self.features)) != len(self.features)
        ):
            raise ValueError(
                "The 'features' of a Term must be a tuple of one or more distinct names. "
                f"Got {self.features!r}."
            )
        if self.function not in get_args(Function):
            raise ValueError(
                f"The 'function' of a Term must be one of {', '.join(get_args(Function))}. "
                f"Got {self.function!r}."
            )
        if isinstance(self.coefficients, tuple) and len(self.coefficients) != len(self.features):
            raise ValueError(
                f"The 'coefficients' of a Term must be one a feature ({len(self.features)}), or one number. "
                f"Got {len(self.coefficients)}."
            )
        if not np.isfinite(np.array([self.weight, self.offset, *self.slopes], dtype=np.float64)).all():
            raise ValueError(
                f"The 'weight', 'offset' and 'coefficients' of a Term must be finite. "
                f"Got {self.weight!r}, {self.offset!r} and {self.coefficients!r}."
            )

    @property
    def slopes(self) -> tuple[float, ...]:
        """The coefficients, one a feature, ones where none were given."""
        if isinstance(self.coefficients, tuple):
            return self.coefficients
        return (1.0 if self.coefficients is None else self.coefficients,) * len(self.features)

    @property
    def factors(self) -> tuple[Term, ...]:
        """The terms that are multiplied, each without a factor of its own."""
        alone = replace(self, times=None)
        return (alone,) if self.times is None else (alone, *self.times.factors)

    def __mul__(self, other: Term) -> Term:
        """Return the product with another term."""
        if not isinstance(other, Term):
            return NotImplemented
        return replace(self, times=other if self.times is None else self.times * other)

    def __str__(self) -> str:
        weight = 1.0
        for factor in self.factors:
            weight *= factor.weight
        shown = "·".join(factor.written() for factor in self.factors)
        return ("" if weight == 1 else f"{weight:g}·") + shown

    def written(self) -> str:
        """Return the factor without its weight, for people."""
        inner = _sum_of(zip(self.features, self.slopes, strict=True))
        if self.offset:
            inner += f" {'+' if self.offset > 0 else '-'} {abs(self.offset):g}"
        return FUNCTIONS[self.function][1].format(inner)


def _sum_of(parts: object) -> str:
    text = ""
    for name, slope in parts:  # pyright: ignore[reportGeneralTypeIssues]
        sign = "-" if slope < 0 else "+"
        lead = (f" {sign} " if text else "-" if slope < 0 else "") + (
            "" if abs(slope) == 1 else f"{abs(slope):g}·"
        )
        text += lead + name
    return text


def total(modality: Modality, *, weight: float = 1.0) -> Term:
    """Return the sum of all features of a modality as a term."""
    return Term(modality.features, weight=weight)


@dataclass(frozen=True)
class DecisionFunction:
    """F(z), a sum of terms over the concatenated latent features of all modalities.

    Calling it maps ``z [n, d]`` to ``F [n]`` in z's own floating type, differentiably. Short forms of names
    in the terms are written out when it is made.
    """

    modalities: tuple[Modality, ...]
    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        names = [modality.name for modality in self.modalities]
        if len(set(names)) != len(names):
            raise ValueError(f"The 'modalities' must have distinct names. Got {names}.")
        if not self.terms:
            raise ValueError("The 'terms' of a decision function must hold at least one term. Got none.")
        object.__setattr__(self, "terms", tuple(self._resolve(term) for term in self.terms))

    def _resolve(self, term: Term) -> Term:
        names, slopes = [], []
        for pattern, slope in zip(term.features, term.slopes, strict=True):
            try:
                found = matching(pattern, self.modalities)
            except ValueError as error:
                raise ValueError(f"In term {term}: {error}") from None
            names += found
            slopes += [slope] * len(found)
        return replace(
            term,
            features=tuple(names),
            coefficients=None if all(slope == 1 for slope in slopes) else tuple(slopes),
            times=None if term.times is None else self._resolve(term.times),
        )

    @cached_property
    def columns(self) -> dict[str, int]:
        """Full feature name → column of z."""
        names = [name for modality in self.modalities for name in modality.features]
        return {name: column for column, name in enumerate(names)}

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Modality name → its columns of z."""
        slices, start = {}, 0
        for modality in self.modalities:
            slices[modality.name] = slice(start, start + len(modality.latents))
            start += len(modality.latents)
        return slices

    def columns_of(self, term: Term) -> list[int]:
        """Return the columns of z that a term's first factor reads."""
        return [self.columns[name] for name in term.features]

    def __call__(self, z: Tensor) -> Tensor:
        """Return F ``[n]`` for latent features ``[n, d]``."""
        if z.ndim != 2 or z.shape[1] != len(self.columns):
            raise ValueError(
                f"The latent features 'z' must have shape [n, {len(self.columns)}]. Got {tuple(z.shape)}."
            )
        if not z.is_floating_point():
            raise ValueError(f"The latent features 'z' must be floating point. Got {z.dtype}.")
        return torch.stack([self._value(term, z) for term in self.terms]).sum(0)

    def _value(self, term: Term, z: Tensor) -> Tensor:
        argument = z[:, self.columns_of(term)] @ z.new_tensor(term.slopes)
        if term.offset:
            argument = argument + term.offset
        value = term.weight * FUNCTIONS[term.function][0](argument)
        return value if term.times is None else value * self._value(term.times, z)

    def __str__(self) -> str:
        text = ""
        for term in self.terms:
            shown = self._short(term)
            sign = " - " if shown.startswith("-") else " + "
            text += (sign if text else "") + (shown.removeprefix("-") if text else shown)
        return text

    def _short(self, term: Term) -> str:
        weight = 1.0
        for factor in term.factors:
            weight *= factor.weight
        shown = [self._short_factor(factor) for factor in term.factors]
        lead = {1.0: "", -1.0: "-"}.get(weight, f"{weight:g}·")
        return lead + "·".join(shown)

    def _short_factor(self, factor: Term) -> str:
        """Write whole modalities, and runs of three features or more with one coefficient, as sums."""
        slopes = dict(zip(factor.features, factor.slopes, strict=True))
        parts = []
        for modality in self.modalities:
            places = range(len(modality.features))
            found = [slopes.get(name) for name in modality.features]
            for slope, run in groupby(places, key=lambda place, found=found: found[place]):
                first, *rest = run
                last = rest[-1] if rest else first
                whole = (first, last) == (0, places[-1]) and len(places) > 1
                if slope is None or not (whole or last - first >= 2):
                    continue
                run_name = modality.name if whole else f"{modality.name}/{first}…{last}"
                parts.append((f"Σ {run_name}", slope))
                for place in range(first, last + 1):
                    slopes.pop(modality.features[place])
        if not parts:
            return factor.written()
        parts += slopes.items()
        inner = _sum_of(parts)
        if factor.function == "identity" and not factor.offset and len(parts) == 1 and parts[0][1] == 1:
            return inner
        if factor.offset:
            inner += f" {'+' if factor.offset > 0 else '-'} {abs(factor.offset):g}"
        return FUNCTIONS[factor.function][1].format(inner)


def matching(pattern: str, modalities: Sequence[Modality]) -> tuple[str, ...]:
    """Return the full feature names that a pattern stands for, see `Term.features`.

    Raises:
        ValueError: if there is no such modality or latent feature.
    """
    known = {name for modality in modalities for name in modality.features}
    if pattern in known:
        return (pattern,)
    owner, _, latent = pattern.rpartition("/")
    roles = {modality.name: modality for modality in modalities}
    images = [modality for modality in modalities if modality.kind == "image"]
    for place, modality in enumerate(images, start=1):
        roles.setdefault(f"image_{place}", modality)
    modality = roles.get(owner)
    if modality is not None:
        if latent == "*":
            return modality.features
        if latent in modality.latents:
            return (f"{modality.name}/{latent}",)
        if latent.isdecimal() and int(latent) < len(modality.latents):
            return (modality.features[int(latent)],)
    raise ValueError(
        f"Feature {pattern!r} is not a latent feature of this scenario. "
        + (
            f"Modality {owner!r} has {', '.join(modality.latents[:12])}"
            f"{', …' * (len(modality.latents) > 12)}."
            if modality is not None
            else f"Its modalities are {', '.join(roles)}; write 'modality/latent' or 'modality/*'."
        )
    )
