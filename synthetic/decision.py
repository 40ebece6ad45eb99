"""Decision functions: sums of declared terms over the latent features, differentiable in torch.

Every term is a ridge function, weight · g(aᵀz): one number is formed from some features and passed through
g. That is enough for the eight functions of Azmat & Alessio (2022), keeps each one readable, and gives its
gradient truth in closed form where the features are Gaussian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from synthetic.types import Modality

Function = Literal["identity", "square", "exp"]


@dataclass(frozen=True)
class Term:
    """One term, weight · g(Σ coefficient · feature).

    Attributes:
        features: full names, ``"modality/latent"``.
        function: g: ``"identity"``, ``"square"`` or ``"exp"``.
        weight: factor in front.
        coefficients: one a feature; None stands for all ones.
    """

    features: tuple[str, ...]
    function: Function = "identity"
    weight: float = 1.0
    coefficients: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.features or len(set(self.features)) != len(self.features):
            raise ValueError(
                f"The 'features' of a Term must be one or more distinct names. Got {self.features!r}."
            )
        if self.function not in get_args(Function):
            raise ValueError(
                f"The 'function' of a Term must be one of {', '.join(get_args(Function))}. "
                f"Got {self.function!r}."
            )
        if self.coefficients is not None and len(self.coefficients) != len(self.features):
            raise ValueError(
                f"The 'coefficients' of a Term must be one a feature ({len(self.features)}). "
                f"Got {len(self.coefficients)}."
            )
        numbers = torch.tensor([self.weight, *self.slopes], dtype=torch.float64)
        if not bool(torch.isfinite(numbers).all()):
            raise ValueError(
                f"The 'weight' and 'coefficients' of a Term must be finite. "
                f"Got {self.weight!r} and {self.coefficients!r}."
            )

    @property
    def slopes(self) -> tuple[float, ...]:
        """The coefficients, ones where none were given."""
        return self.coefficients or (1.0,) * len(self.features)

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else f"{self.weight:g}·"
        inner = " + ".join(
            name if slope == 1 else f"{slope:g}·{name}"
            for name, slope in zip(self.features, self.slopes, strict=True)
        )
        shape = {"identity": "({})", "square": "({})²", "exp": "exp({})"}[self.function]
        return weight + shape.format(inner)


def total(modality: Modality, *, weight: float = 1.0) -> Term:
    """Return the sum of all features of a modality as a term."""
    return Term(modality.features, weight=weight)


@dataclass(frozen=True)
class DecisionFunction:
    """F(z), a sum of terms over the concatenated latent features of all modalities.

    Calling it maps ``z [n, d]`` to ``F [n]`` in z's own floating type, differentiably.
    """

    modalities: tuple[Modality, ...]
    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        names = [modality.name for modality in self.modalities]
        if len(set(names)) != len(names):
            raise ValueError(f"The 'modalities' must have distinct names. Got {names}.")
        if not self.terms:
            raise ValueError("The 'terms' of a decision function must hold at least one term. Got none.")
        for term in self.terms:
            for name in term.features:
                if name not in self.columns:
                    raise ValueError(
                        f"Feature {name!r} of term {term} is not a latent feature of this scenario. "
                        f"It has {', '.join(list(self.columns)[:4])}, … ({len(self.columns)} in all)."
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
        """Return the columns of z that a term reads."""
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
        if term.function == "square":
            argument = argument**2
        elif term.function == "exp":
            argument = argument.exp()
        return term.weight * argument

    def __str__(self) -> str:
        return " + ".join(self._short(term) for term in self.terms)

    def _short(self, term: Term) -> str:
        for modality in self.modalities:
            if term == total(modality, weight=term.weight):
                return ("" if term.weight == 1 else f"{term.weight:g}·") + f"Σ {modality.name}"
        return str(term)


def paper_terms(case: int, modalities: Sequence[Modality]) -> tuple[Term, ...]:
    """Return the terms of decision function F0 … F7 of Azmat & Alessio (2022), for m1, m2, m3, m4.

    Raises:
        ValueError: if there is no such case, or the modalities are not four of ten features each.
    """
    if len(modalities) != 4 or any(len(modality.latents) != 10 for modality in modalities):
        raise ValueError(
            "The 'modalities' of the paper's cases must be four with ten latent features each. "
            f"Got {[(modality.name, len(modality.latents)) for modality in modalities]}."
        )
    m1, m2, m3, m4 = modalities
    sums = {0: (m1,), 1: (m2,), 2: (m3,), 3: (m4,), 4: (m1, m2), 5: (m3, m4), 6: (m1, m2, m3, m4)}
    if case in sums:
        return tuple(total(modality) for modality in sums[case])
    if case == 7:
        return (
            Term((m1.features[0], m1.features[1]), "square"),
            Term((m2.features[8],), "exp", weight=0.05),
        )
    raise ValueError(f"The 'case' of the paper must be 0 to 7. Got {case!r}.")
