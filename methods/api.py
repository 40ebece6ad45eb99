"""The contract between importance methods, the models they explain and the harness that scores them.

A method receives a model and samples, nothing else. It returns raw values; how they become one number a
modality is declared (``aggregation``) and done here, in one place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from torch import Tensor

import synthetic
from methods.admission import admit
from methods.errors import BudgetError as BudgetError  # noqa: PLC0414 - it is found here
from methods.errors import NotApplicableError
from methods.values import NoNumbersError, as_number, as_numbers, by_name
from synthetic.options import with_options
from synthetic.settings import own_settings
from synthetic.types import Samples

Aggregation = Literal["mean_absolute", "absolute_mean"]

PIXELS = "pixels"
"""What a method targets that says where in an image the information is."""

TARGETS = (*synthetic.ESTIMANDS, PIXELS)
"""What a method may target."""


@runtime_checkable
class FusionModel(Protocol):
    """A network that encodes each modality, joins the encodings, and classifies the joint vector.

    ``classify(encode(inputs))`` are its logits. It is in evaluation mode: a sample's output does not depend
    on the samples beside it.
    """

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the fusion vector."""
        ...

    @property
    def groups(self) -> Mapping[str, slice]:
        """Modality → its columns of the fusion vector; together they cover it."""
        ...

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]`` for float32 inputs (images in 0…1)."""
        ...

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]`` for fusion features ``[n, d]``; differentiable."""
        ...


@runtime_checkable
class SeparableModel(FusionModel, Protocol):
    """A fusion model whose encodings do not depend on each other; methods may then encode less often."""

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return the columns ``groups[name]`` of the fusion vector for one modality's input."""
        ...


class Retrain(Protocol):
    """Trains a model's architecture anew, on the data that the model was trained on."""

    def __call__(self, modalities: Sequence[str]) -> FusionModel:
        """Return a network trained on some of the modalities; its ``encode`` wants these and no others."""
        ...


@dataclass(frozen=True)
class Attribution:
    """What a method says about a model on some samples.

    Attributes:
        modalities: modality → raw importance, finite, not normalised; may be negative. All of the model's;
            none where a method targets ``pixels`` and says nothing about modalities.
        features: modality → one raw value a fusion feature, where the method yields them; a method of level
            ``input`` gives one a table column, or a part of the input that it masks: their number is its own.
        pixels: image modality → raw relevance ``[m, height, width]`` of the first m samples, finite, where
            the method yields it; the sign is of no account.
        interactions: two modality names, in the model's order → raw interaction, where the method yields it.
        standard_error: modality → standard error of its importance, where the method knows it.
        summary: further numbers, by the names that the truth which the method targets has for them:
            ``"synergy"``, the share of the variance that no modality explains alone.
        flags: what a reader must know of the result, a short sentence each: what the method claims and does
            not hold here. It counts all the same.
        signed: modality → mean over samples of what is attributed to it, with signs; of local attributions,
            which `Method.attribute` fills in. No score reads it: it shows that signs, class or scale changed
            where the importances, means of absolute values, do not.
    """

    modalities: Mapping[str, float] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    pixels: Mapping[str, np.ndarray] = field(default_factory=dict)
    interactions: Mapping[tuple[str, str], float] = field(default_factory=dict)
    standard_error: Mapping[str, float] = field(default_factory=dict)
    summary: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    signed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Flagged:
    """What a method returns, with what a reader must know of it.

    Attributes:
        values: local attributions, or whatever else a method may return.
        flags: see `Attribution`.
    """

    values: Any
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """An importance method: a function, and what must be known to run and judge it.

    Attributes:
        name: with its options in parentheses where they differ from the defaults.
        function: ``(model, samples, rng, **options)`` (and ``retrain`` as a keyword, where it needs training)
            → local attributions ``[m, d]`` of all or some of the
            samples, or global values ``[d]``, over the fusion features; or modality → value; or an
            Attribution; or one of these, `Flagged`.
        estimand: the truth that it targets, one of ``TARGETS``.
        version: changes when its results change.
        citation: where it comes from.
        needs_labels: True if it uses the labels of the samples; others get none.
        needs_training: True if it trains networks of its own: the function gets ``retrain``, a `Retrain`.
        level: ``fusion`` if it perturbs or differentiates the fusion features, ``input`` if the inputs.
        aggregation: how local attributions become global: mean of absolute values, or absolute value of
            the mean (signed values cancel).
        options: keyword arguments for the function.
        components: the methods whose results it combines; then the function is
            ``(component name → Attribution, **options)`` → modality → value.
        stated: options that a board names with their values, defaults too: what the publication leaves open,
            or its authors ran otherwise, and much depends on.
    """

    name: str
    function: Callable[..., Any]
    estimand: str
    version: str = "1"
    citation: str = ""
    needs_labels: bool = False
    needs_training: bool = False
    level: Literal["fusion", "input"] = "fusion"
    aggregation: Aggregation = "mean_absolute"
    options: Mapping[str, object] = field(default_factory=dict)
    components: tuple[Method, ...] = ()
    stated: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.aggregation not in get_args(Aggregation):
            raise ValueError(
                f"The 'aggregation' of method {self.name!r} must be one of "
                f"{', '.join(get_args(Aggregation))}. Got {self.aggregation!r}."
            )

    @property
    def choices(self) -> dict[str, object]:
        """Return the options that are ``stated``, with the values that they have."""
        defaults = inspect.signature(self.function).parameters
        return {name: self.options.get(name, defaults[name].default) for name in self.stated}

    @property
    def trains(self) -> bool:
        """Whether it trains networks, or combines a method that does."""
        return self.needs_training or any(component.trains for component in self.components)

    def with_options(self, options: Mapping[str, object]) -> Method:
        """Return the method with options set, and named after them: ``"lime(n_points=1000)"``."""
        if not options:
            return self
        changed = dict(options)
        aggregation = changed.pop("aggregation", self.aggregation)
        return replace(
            self,
            name=with_options(self.name, options),
            options={**self.options, **changed},
            aggregation=aggregation,  # pyright: ignore[reportArgumentType]  # checked in __post_init__
        )

    def attribute(
        self,
        model: FusionModel,
        samples: Samples,
        rng: np.random.Generator,
        *,
        retrain: Retrain | None = None,
    ) -> Attribution:
        """Run the method on a model and samples.

        The model and the samples come in by one door (`methods.admission`), and the caller's settings of
        torch and NumPy neither matter nor change.

        Args:
            model: what is to be explained, called on copies of inputs and features; one in training mode is
                copied.
            samples: what it is explained on; labels only matter to methods that declare them.
            rng: source of all randomness.
            retrain: trains the model anew on some modalities; only for methods that declare it.

        Raises:
            ValueError: if the model or the samples are refused at the door, the method needs labels and the
                samples carry none, or what it returns has the wrong shape, names other modalities, or is not
                finite.
            NotApplicableError: if the method needs to train networks, and this model cannot be trained.
        """
        if self.needs_labels and samples.labels is None:
            raise ValueError(
                f"Method {self.name!r} needs the 'labels' of the samples. Got samples without labels; "
                "pass samples that carry them."
            )
        if self.needs_training and retrain is None:
            raise NotApplicableError("trains networks anew, and this model cannot be trained")
        with own_settings():
            return self._attribute(*admit(model, samples), rng, retrain)

    def _attribute(
        self, model: FusionModel, samples: Samples, rng: np.random.Generator, retrain: Retrain | None
    ) -> Attribution:
        if self.components:
            children = rng.spawn(len(self.components))
            return self.combine(
                model,
                {
                    component.name: component.attribute(model, samples, child, retrain=retrain)
                    for component, child in zip(self.components, children, strict=True)
                },
            )
        given = samples if self.needs_labels else samples.without_labels()
        extra = {}
        if self.needs_training and retrain is not None:
            extra["retrain"] = lambda names: admit(retrain(names), given)[0]
        return self._aggregate(model, samples, self.function(model, given, rng, **extra, **self.options))

    def combine(self, model: FusionModel, parts: Mapping[str, Attribution]) -> Attribution:
        """Return the combination of component results that are already there."""
        with own_settings():
            found = self._aggregate(model, None, self.function(parts, **self.options))
        inherited = [f"{name}: {flag}" for name, part in parts.items() for flag in part.flags]
        return replace(found, flags=(*found.flags, *inherited))

    def _aggregate(self, model: FusionModel, samples: Samples | None, raw: object) -> Attribution:
        if isinstance(raw, Flagged):
            found = self._aggregate(model, samples, raw.values)
            return replace(found, flags=(*found.flags, *self._flags(raw.flags)))
        if isinstance(raw, Attribution):
            return self._checked(model, raw, samples)
        if raw is None:
            raise ValueError(f"Method {self.name!r} must return values. Got None: the 'return' is missing.")
        named = self._read("values", by_name, raw)
        if named is not None and any(np.ndim(it) >= 2 and np.size(it) > 1 for it in named.values()):
            raise ValueError(self._maps_are_told("arrays by name"))
        if named is not None:
            return self._checked(model, Attribution(named))
        values = self._read("values", as_numbers, raw)
        if values.ndim > 2 and min(values.shape[-2:]) > 1:
            raise ValueError(self._maps_are_told(f"an array of shape {values.shape}"))
        n_features = max(columns.stop for columns in model.groups.values())
        n = 0 if samples is None else len(samples)
        n_rows = len(values) if values.ndim == 2 else 1
        # Where each modality has one feature, the two are the same.
        by_modality = values.shape == (len(model.modalities),) and len(model.modalities) != n_features
        fits = values.ndim in (1, 2) and values.shape[-1] == n_features and 1 <= n_rows <= n
        if not fits and not by_modality:
            raise ValueError(
                f"Method {self.name!r} must return local attributions of shape ({n}, {n_features}) or of "
                f"fewer samples, global ones of shape ({n_features},), or one value a modality: by name, or "
                f"{len(model.modalities)} values in the model's order. Got shape {values.shape}."
            )
        values = values.astype(np.float64)
        if by_modality:
            return self._checked(
                model, Attribution(dict(zip(model.modalities, values.tolist(), strict=True)))
            )
        signed: dict[str, float] = {}
        if values.ndim == 2:
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
                means = values.mean(0)
                signed = {name: float(means[columns].sum()) for name, columns in model.groups.items()}
                values = np.abs(values).mean(0) if self.aggregation == "mean_absolute" else np.abs(means)
        features = {name: values[columns] for name, columns in model.groups.items()}
        totals = {name: float(part.sum()) for name, part in features.items()}
        return self._checked(model, Attribution(totals, features, signed=signed))

    def _maps_are_told(self, found: str) -> str:
        return (
            f"Method {self.name!r} must return one value a modality, or one a fusion feature. Got {found}. "
            "Maps of pixels go into methods.Attribution(pixels={image: maps}), with estimand='pixels' "
            "(--estimand pixels) where they are all that it says."
        )

    def _checked(
        self, model: FusionModel, attribution: Attribution, samples: Samples | None = None
    ) -> Attribution:
        attribution = self._as_declared(attribution)
        says_pixels_only = self.estimand == PIXELS and attribution.pixels and not attribution.modalities
        if set(attribution.modalities) != set(model.modalities) and not says_pixels_only:
            if attribution.pixels and not attribution.modalities:
                raise ValueError(
                    f"Method {self.name!r} returned pixels and no value a modality, which is what the truth "
                    f"{self.estimand!r} is of. Declare estimand='pixels' (--estimand pixels), or give both."
                )
            raise ValueError(
                f"Method {self.name!r} must give one value for each of the modalities "
                f"{list(model.modalities)}. Got {list(attribution.modalities)}; what does not matter gets 0."
            )
        bad = [name for name, value in attribution.modalities.items() if not np.isfinite(value)]
        if bad:
            raise ValueError(
                f"Method {self.name!r} must return finite importances. "
                f"Got {attribution.modalities[bad[0]]} for {bad[0]!r}: see what is divided by 0."
            )
        self._check_features(model, attribution)
        self._check_pixels(attribution, samples)
        self._check_interactions(model, attribution)
        for name, error in attribution.standard_error.items():
            if name not in model.modalities or not (np.isfinite(error) and error >= 0):
                raise ValueError(
                    f"Method {self.name!r} must give standard errors of the model's modalities, finite and "
                    f"not negative. Got {error} for {name!r}."
                )
        for name, value in attribution.signed.items():
            if name not in model.modalities or not np.isfinite(value):
                raise ValueError(
                    f"Method {self.name!r} must give finite signed means of the model's modalities. "
                    f"Got {value} for {name!r}."
                )
        for name, value in attribution.summary.items():
            if not np.isfinite(value):
                raise ValueError(
                    f"Method {self.name!r} must give finite numbers as its summary. Got {value} for {name!r}."
                )
        ordered = {
            name: float(attribution.modalities[name])
            for name in model.modalities
            if name in attribution.modalities
        }
        return replace(attribution, modalities=ordered)

    def _as_declared(self, attribution: Attribution) -> Attribution:
        """Return an attribution whose fields hold plain numbers and arrays by name."""
        fields = {
            **dict.fromkeys(("modalities", "interactions", "standard_error", "summary", "signed"), as_number),
            **dict.fromkeys(("features", "pixels"), as_numbers),
        }
        return replace(
            attribution,
            flags=self._flags(attribution.flags),
            **{  # pyright: ignore[reportArgumentType]
                kind: {
                    name: self._read(f"{kind} of {name!r}", read, value)
                    for name, value in self._read(kind, _named, getattr(attribution, kind)).items()
                }
                for kind, read in fields.items()
            },
        )

    def _read(self, what: str, read: Callable[[Any], Any], value: object) -> Any:
        try:
            return read(value)
        except (NoNumbersError, OverflowError, RecursionError, TypeError) as error:
            raise ValueError(
                f"Method {self.name!r} must return real numbers, none masked or missing: arrays in the order "
                f"of the model's features, or one value by name. Got {error} (its {what})."
            ) from None

    def _flags(self, flags: Sequence[str]) -> tuple[str, ...]:
        if not isinstance(flags, (tuple, list)) or not all(isinstance(flag, str) for flag in flags):
            raise ValueError(
                f"Method {self.name!r} must give its flags as a tuple of sentences. Got {flags!r}; "
                'a single one is written ("…",).'
            )
        return tuple(flags)

    def _check_features(self, model: FusionModel, attribution: Attribution) -> None:
        for name, values in attribution.features.items():
            if name not in model.modalities or values.ndim != 1 or not np.isfinite(values).all():
                raise ValueError(
                    f"Method {self.name!r} must give features of the model's modalities, finite, as an array "
                    f"of one axis each. Got shape {values.shape} for {name!r}: {values}."
                )
            width = model.groups[name].stop - model.groups[name].start
            if self.level == "fusion" and len(values) != width:
                raise ValueError(
                    f"Method {self.name!r} must give one feature for each column of a modality in the fusion "
                    f"vector, {width} for {name!r}. Got {len(values)}; a method that attributes to parts of "
                    "the inputs declares level='input'."
                )

    def _check_pixels(self, attribution: Attribution, samples: Samples | None) -> None:
        inputs = {} if samples is None else samples.inputs
        for name, relevance in attribution.pixels.items():
            shape, given = np.shape(relevance), inputs.get(name)
            size = () if given is None or given.ndim != 4 else tuple(given.shape[2:])
            n = 0 if samples is None else len(samples)
            if len(shape) != 3 or shape[1:] != size or not 1 <= shape[0] <= n:
                raise ValueError(
                    f"Method {self.name!r} must give pixels of images, of shape (m, height, width) for the "
                    f"first m of {n} samples; {name!r} is {f'of size {size}' if size else 'no image'}. "
                    f"Got shape {shape}."
                )
            # They are kept as float32. NaN is not below anything.
            if not (np.abs(relevance.astype(float)) <= np.finfo(np.float32).max).all():
                raise ValueError(
                    f"Method {self.name!r} must return finite pixels. Got NaN or infinity in {name!r}."
                )

    def _check_interactions(self, model: FusionModel, attribution: Attribution) -> None:
        places = {name: place for place, name in enumerate(model.modalities)}
        for pair, value in attribution.interactions.items():
            known = len(pair) == 2 and all(name in places for name in pair)
            if not known or places[pair[0]] >= places[pair[1]] or not np.isfinite(value):
                raise ValueError(
                    f"Method {self.name!r} must give finite interactions of two modalities each, in the "
                    f"order of the model. Got {value} for {pair!r}."
                )


def _named(value: object) -> dict[Any, Any]:
    named = by_name(value)
    if named is None:
        raise NoNumbersError(f"a {type(value).__name__} without names")
    return named
