"""What the generator hands on: samples, truths and the dataset that carries both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Kind = Literal["image", "table"]


@dataclass(frozen=True)
class Modality:
    """One source of information about a patient.

    Attributes:
        name: how results refer to it, e.g. ``"axial"``.
        kind: ``"image"`` or ``"table"``.
        latents: names of the standardised latent features that it carries, in the order in which the
            decision function reads them.
    """

    name: str
    kind: Kind
    latents: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(
                "The 'name' of a Modality must not be empty or contain '/', which stands before a latent. "
                f"Got {self.name!r}; give it a name such as 'axial'."
            )
        if self.kind not in ("image", "table"):
            raise ValueError(
                f"The 'kind' of Modality {self.name!r} must be 'image' or 'table'. Got {self.kind!r}."
            )
        if not self.latents or len(set(self.latents)) != len(self.latents):
            raise ValueError(
                f"The 'latents' of Modality {self.name!r} must be one or more distinct names. "
                f"Got {self.latents!r}."
            )

    @property
    def features(self) -> tuple[str, ...]:
        """Full names of the latent features, ``"modality/latent"``."""
        return tuple(f"{self.name}/{latent}" for latent in self.latents)


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs of n patients, one tensor a modality, and their labels where they may be seen.

    Attributes:
        inputs: modality name → image ``[n, channels, height, width]`` (uint8 in 0…255, or floating in 0…1)
            or table ``[n, columns]`` (numbers of any kind). All finite. Images of floating point are
            passed on as they are: in the range that the network was trained on.
        labels: class indices ``[n]`` (int64), or None where labels are withheld.
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, Mapping):
            raise ValueError(  # noqa: TRY004 - all that callers get wrong is a ValueError
                "The 'inputs' of Samples must be a mapping from modality to tensor. "
                f"Got a {type(self.inputs).__name__}."
            )
        if not self.inputs:
            raise ValueError("The 'inputs' of Samples must hold at least one modality. Got none.")
        for name, value in self.inputs.items():
            _check_input(name, value)
        lengths = {name: len(value) for name, value in self.inputs.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(
                f"The 'inputs' of Samples must have one row a patient in every modality. Got {lengths} rows: "
                "take the same patients of each."
            )
        if self.labels is not None and not isinstance(self.labels, Tensor):
            raise ValueError(
                f"The 'labels' of Samples must be a torch tensor. Got {type(self.labels).__name__}; "
                "convert them with torch.as_tensor."
            )
        if self.labels is not None and (
            self.labels.shape != (len(self),) or self.labels.dtype != torch.int64
        ):
            raise ValueError(
                f"The 'labels' of Samples must be int64 of shape ({len(self)},), one a patient. "
                f"Got {self.labels.dtype} of shape {tuple(self.labels.shape)}."
            )
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in order."""
        return tuple(self.inputs)

    def take(self, rows: slice | Tensor | np.ndarray) -> Samples:
        """Return the given rows (a slice, or an index array) as new samples."""
        if isinstance(rows, np.ndarray):
            rows = torch.from_numpy(rows)
        labels = None if self.labels is None else self.labels[rows]
        return Samples({name: value[rows] for name, value in self.inputs.items()}, labels)

    def as_float(self) -> Samples:
        """Return a copy with float32 inputs, see `as_float`. It shares no memory and no graph with these."""
        labels = None if self.labels is None else self.labels.clone()
        return Samples({name: as_float(value) for name, value in self.inputs.items()}, labels)

    def without_labels(self) -> Samples:
        """Return the same inputs with the labels withheld."""
        return Samples(self.inputs, None)

    def __getstate__(self) -> dict[str, object]:
        return {"inputs": dict(self.inputs), "labels": self.labels}

    def __setstate__(self, state: dict[str, object]) -> None:
        object.__setattr__(self, "inputs", MappingProxyType(state["inputs"]))  # pyright: ignore[reportArgumentType]
        object.__setattr__(self, "labels", state["labels"])


def _check_input(name: str, value: Tensor) -> None:
    """Raise a ValueError unless one modality's input is what `Samples` say."""
    if not isinstance(value, Tensor):
        raise ValueError(  # noqa: TRY004 - all that callers get wrong is a ValueError
            f"Input {name!r} must be a torch tensor. Got {type(value).__name__}; "
            "convert it with torch.as_tensor."
        )
    if value.ndim not in (2, 4):
        raise ValueError(
            f"Input {name!r} must be a table [n, columns] or an image [n, channels, height, width]. "
            f"Got shape {tuple(value.shape)}."
        )
    if value.layout != torch.strided or value.is_meta:
        kind = "on no device" if value.is_meta else f"laid out as {value.layout}"
        raise ValueError(f"Input {name!r} must be a dense tensor that holds values. Got one {kind}.")
    if value.is_complex():
        raise ValueError(f"Input {name!r} must hold real numbers. Got {value.dtype}; take its parts.")
    if value.ndim == 4 and value.dtype != torch.uint8 and not value.is_floating_point():
        raise ValueError(
            f"Input {name!r} is an image and must be uint8 in 0…255 or floating point in 0…1. "
            f"Got {value.dtype}; scale it to 0…1."
        )
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        n_bad = int((~torch.isfinite(value)).sum())
        raise ValueError(
            f"Input {name!r} must be finite. Got {n_bad} NaN or infinite values; impute or drop them first."
        )


def as_float(value: Tensor) -> Tensor:
    """Return a float32 copy of an input, outside any graph; images in uint8 are divided by 255."""
    copy = value.detach().to(torch.float32, copy=True)
    return copy.div_(255.0) if value.dtype == torch.uint8 and value.ndim == 4 else copy


@dataclass(frozen=True, eq=False)
class SubsetValues:
    """One number for every subset of the modalities.

    Modalities that change nothing are left out of the table: a subset has the value of what is left of it.

    Attributes:
        modalities: all names that may be asked for.
        players: those that matter, in the order of the bits.
        values: ``[2 ** players]``; bit i of the index stands for player i.
    """

    modalities: tuple[str, ...]
    players: tuple[str, ...]
    values: np.ndarray

    def __post_init__(self) -> None:
        if self.values.shape != (2 ** len(self.players),):
            raise ValueError(
                f"The 'values' must be one for each of the {2 ** len(self.players)} subsets of the players. "
                f"Got shape {self.values.shape}."
            )

    def __getitem__(self, names: Iterable[str]) -> float:
        """Return the value of a subset, given by its names."""
        index = 0
        for name in set(names):
            if name not in self.modalities:
                raise ValueError(f"There is no modality {name!r}. There are {', '.join(self.modalities)}.")
            if name in self.players:
                index |= 1 << self.players.index(name)
        return float(self.values[index])

    def items(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """Yield each subset of the players, smallest first, and its value."""
        n = len(self.players)
        for index in sorted(range(2**n), key=lambda index: (index.bit_count(), index)):
            names = tuple(name for place, name in enumerate(self.players) if index >> place & 1)
            yield names, float(self.values[index])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SubsetValues)
            and (self.modalities, self.players) == (other.modalities, other.players)
            and np.array_equal(self.values, other.values)
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType]


@dataclass(frozen=True)
class Truth:
    """The true value of one estimand for one scenario.

    Attributes:
        estimand: e.g. ``"gradient"``.
        modalities: modality name → share; non-negative, sums to 1.
        features: ``"modality/latent"`` → share of that latent feature; non-negative, sums to 1. Empty where
            the estimand has no value for single features.
        standard_error: modality name → Monte-Carlo standard error of the share; 0 in closed form.
        method: how it was found: ``"closed form"``, ``"exact over the scans"`` (a mean over a finite
            population) or ``"quasi-Monte Carlo, n = …"``.
        raw: modality name → value before normalising, in ``unit``; may be negative.
        raw_standard_error: modality name → standard error of ``raw``.
        unit: of ``raw``, e.g. ``"share of Var F"``, ``"accuracy"`` or ``"bits"``.
        subsets: name of a quantity → its value for every set of modalities, where the estimand rests on it.
        pairs: two modality names → raw interaction, where the estimand has one.
        pairs_standard_error: standard errors of ``pairs``.
        summary: further numbers by name, e.g. ``"synergy"``.
        informative: False where every raw value is 0: the shares are then equal and say nothing.
    """

    estimand: str
    modalities: Mapping[str, float]
    features: Mapping[str, float]
    standard_error: Mapping[str, float]
    method: str = "closed form"
    raw: Mapping[str, float] = field(default_factory=dict)
    raw_standard_error: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""
    subsets: Mapping[str, SubsetValues] = field(default_factory=dict)
    pairs: Mapping[tuple[str, str], float] = field(default_factory=dict)
    pairs_standard_error: Mapping[tuple[str, str], float] = field(default_factory=dict)
    summary: Mapping[str, float] = field(default_factory=dict)
    informative: bool = True

    def __post_init__(self) -> None:
        values = np.array(list(self.modalities.values()), dtype=float)
        if not np.isfinite(values).all() or (values < 0).any() or abs(values.sum() - 1) > 1e-6:
            raise ValueError(
                f"The 'modalities' of a {self.estimand!r} truth must be non-negative and sum to 1. "
                f"Got {dict(self.modalities)}."
            )
        if set(self.standard_error) != set(self.modalities):
            raise ValueError(
                f"The 'standard_error' of a {self.estimand!r} truth must have the modalities "
                f"{list(self.modalities)}. Got {list(self.standard_error)}."
            )


@dataclass(frozen=True)
class Dataset:
    """A scenario's draw: three disjoint splits, and the truths that no method may see.

    Attributes:
        scenario: name of the scenario.
        seed: the data seed.
        modalities: in the order of the latent features.
        train: for fitting models; early stopping holds out a part of it.
        explain: held out from training *and* from test; the only samples that methods receive.
        test: for the fidelity of the trained models, and nothing else.
        truth: estimand → Truth, each worked out when it is first asked for.
        latents: split name → latent features ``[n, d]`` (float32), what the decision function reads.
        thresholds: class c where F lies between thresholds c and c + 1, ascending; quantiles of F's law.
        decision_scale: standard deviation of F on the training split.
        missing: split name → True where a latent is missing from the inputs ``[n, d]``; empty where none is.
    """

    scenario: str
    seed: int
    modalities: tuple[Modality, ...]
    train: Samples
    explain: Samples
    test: Samples
    truth: Mapping[str, Truth]
    latents: Mapping[str, Tensor] = field(repr=False)
    thresholds: tuple[float, ...]
    decision_scale: float
    missing: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
