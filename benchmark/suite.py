"""Suites: which scenarios, models, methods and seeds make up a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

import methods
import synthetic
from benchmark import models
from benchmark.controls import CONTROLS
from benchmark.diagnosis import DIAGNOSIS
from benchmark.maps import CONTROLS_ON_SCANS, MAP_CONTROLS
from synthetic import Scenario
from synthetic.images import FeatureKind, Source
from synthetic.names import check_known

N_EXPLAINED = 2000
"""Samples that a method gets, unless a suite or a run says otherwise."""

_MOST_JOBS = 1_000_000

Shows = Literal["importances", "pixels", "missing"]
"""What a run is about: the table that a terminal shows."""


@dataclass(frozen=True)
class Suite:
    """A named selection of scenarios, models and methods; `benchmark.suite_file` reads one from TOML.

    Attributes:
        name: e.g. ``"paper"``.
        description: one line.
        scenarios: names of scenarios, or keys of ``files``.
        models: names of models, the oracle among them.
        n_seeds: repetitions: number i draws data, trains and attributes with seed i, each from streams of
            its own.
        n_patients: patients a scenario, on the suite's own images; None for the scenario's own number.
        images: image sources of the scenarios by name.
        methods: names of methods, with options where wanted; empty for every registered one that trains no
            networks. A function of one's own (``module:function``) that stands alone runs beside those.
        n_explained: samples that a method gets.
        image_size: pixels a side of the scenarios by name; None for each one's own.
        features: latent features of the scenarios by name, on the suite's own images; None for each one's
            own.
        shows: what it is about: scores of importances, of maps of pixels, or networks without modalities.
        files: path of a TOML file, as it was given → its scenario, with images of its own.
    """

    name: str
    description: str
    scenarios: tuple[str, ...]
    models: tuple[str, ...]
    n_seeds: int = 3
    n_patients: int | None = None
    images: tuple[Source, ...] = ("phantom",)
    methods: tuple[str, ...] = ()
    n_explained: int = N_EXPLAINED
    image_size: int | None = None
    features: FeatureKind | None = None
    shows: Shows = "importances"
    files: Mapping[str, Scenario] = field(default_factory=dict, hash=False)


_PAPER = tuple(f"paper-F{case}" for case in range(8))
# The published six, and the best of each other kind: what a minute or two can compare.
_KNOWN = (
    "gradient",
    "permutation",
    "lime",
    "kernel_shap",
    "mean_of_methods",
    "modality_contribution",
    "integrated_gradients",
    "deeplift",
    "ablation",
    "modality_shapley",
    "calibrated_gradient",
)

# As the package `shap` runs kernel SHAP on forty features unless told otherwise.
_SHAP = "kernel_shap(n_coalitions=2128, selection=10)"

_OF_PIXELS = ("saliency", "pixel_integrated_gradients", "grad_cam", "occlusion", "patch_shap", "pattern")

# Every kind of network, and Gu, Saito & Ma (2025) without each of its parts, and without all of them.
_FUSED = (
    *(name for name in models.names() if name not in (models.ORACLE, "unimodal")),
    "contrastive(contrastive=False)",
    "contrastive(tokens=False)",
    "contrastive(dropout=random)",
    "contrastive(dropout=none)",
    "contrastive(contrastive=False, dropout=none, tokens=False)",
    *(f"unimodal(modality={name})" for name in ("axial", "coronal", "clinical_a", "clinical_b")),
)

SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            "smoke",
            "the eight cases on the true decision function: no training, seconds",
            _PAPER,
            (models.ORACLE,),
            n_seeds=1,
            n_patients=2000,
            methods=_KNOWN,
        ),
        Suite(
            "paper",
            "the eight cases of Azmat & Alessio (2022), on the true decision function and trained networks",
            _PAPER,
            (models.ORACLE, "hybrid"),
            methods=(*_KNOWN, _SHAP, "saliency", "grad_cam", "pattern"),
        ),
        Suite(
            "catalogue",
            "every scenario on the true decision function; missing values and size show with --model hybrid",
            synthetic.scenarios(),
            (models.ORACLE,),
            n_seeds=1,
        ),
        Suite(
            "pixels",
            "where in the images: seven scenarios that read different pixels, methods that draw maps",
            ("paper-F0", "paper-F7", "suppressor", "fatty-liver", "shortcut", "lesion", "size-64"),
            ("hybrid",),
            n_seeds=1,
            methods=_OF_PIXELS,
            shows="pixels",
        ),
        Suite(
            "missing",
            "networks with every set of modalities against the Bayes classifier, three seeds: an hour",
            ("paper-F6", "nonlinear-additive", "non-monotone", "gate", "redundancy-used", "missing-mnar"),
            _FUSED,
            n_patients=8000,
            methods=("ablation", "modality_contribution"),
            shows="missing",
        ),
        Suite(
            "collapse",
            "where joint training settles for one modality: every kind of network, every method",
            ("collapse-trap",),
            (models.ORACLE, *(name for name in _FUSED if "(" not in name and name != "hybrid-s1")),
        ),
        Suite(
            "full",
            "every scenario on every model",
            synthetic.scenarios(),
            models.names(),
        ),
        Suite(
            "gate",
            "what a check holds to its baseline: true decision functions, a network of committed weights",
            (*_PAPER, "graded"),
            (models.ORACLE, "hybrid(weights=graded)"),
            n_patients=2000,
            methods=_KNOWN,
        ),
    )
}


def get(name: str) -> Suite:
    """Return a suite by name.

    Raises:
        ValueError: if there is none of that name (with the closest one that there is).
    """
    check_known("suite", name, SUITES)
    return SUITES[name]


def choose_methods(asked: Sequence[str], *, otherwise: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the methods to run: those named, or else a suite's, or else all; own functions come on top.

    Methods that train networks take many times as long as all others: they run where they are named.

    Args:
        asked: names, with options where wanted, and functions of one's own (``module:function``).
        otherwise: what runs where no name is asked for; empty for every registered method that trains none.

    Example:
        >>> choose_methods(["mine:norm", "lime", "gradient"])
        ('lime', 'gradient', 'mine:norm')
        >>> choose_methods(["mine:norm"], otherwise=["lime"])
        ('lime', 'mine:norm')
        >>> choose_methods(["permutation( unit = modality )", "permutation(unit='modality')"])
        ('permutation(unit=modality)',)
    """
    named = [name for name in asked if not is_own_function(name)]
    named = named or [name for name in otherwise if not is_own_function(name)]
    named = named or [name for name in methods.names() if not methods.get(name).trains]
    own = [name for name in (asked or otherwise) if is_own_function(name)]
    return tuple(dict.fromkeys(map(methods.full_name, (*named, *own))))


def targeting(estimand: str, asked: Sequence[str]) -> list[str]:
    """Return names of methods; those of functions of one's own say what they target.

    Args:
        estimand: the truth.
        asked: names as `choose_methods` takes them.

    Raises:
        ValueError: if there is no such estimand, or no function of one's own.

    Example:
        >>> targeting("sage", ["lime", "mine:norm"])
        ['lime', 'mine:norm(estimand=sage)']
    """
    check_known("estimand", estimand, methods.TARGETS)
    if not any(map(is_own_function, asked)):
        raise ValueError(
            "The 'estimand' of a run is that of functions of your own (--method module:function). Got "
            f"{estimand!r} and no such function; the methods of the project have theirs."
        )
    return [methods.with_estimand(name, estimand) if is_own_function(name) else name for name in asked]


def is_own_function(method: str) -> bool:
    """Return whether a method's name says where a function of one's own lies."""
    return ":" in method.partition("(")[0]


def load_scenarios(
    suite: Suite,
    images: Source,
    features: FeatureKind | None = None,
    image_size: int | None = None,
    *,
    own: Sequence[Scenario] = (),
) -> dict[str, Scenario]:
    """Return the scenarios of a run by name: those of a suite that work on the images, or a user's own.

    Args:
        suite: names the scenarios.
        images: image source of the scenarios by name; those from files have their own.
        features: latent features; None for the suite's, or else each scenario's own.
        image_size: pixels a side; None for the suite's, or else each scenario's own.
        own: scenarios instead of the suite's; their images are their own.

    Raises:
        ValueError: if two scenarios have one name, or one has no such images, features or size.
    """
    if not own:
        # A suite's features go with its images: on others there may be none of that kind.
        features = (suite.features if images in suite.images else None) if features is None else features
        image_size = suite.image_size if image_size is None else image_size
        possible = synthetic.scenarios(images)
        own = [
            suite.files[name]
            if name in suite.files
            else synthetic.scenario(name, source=images, image_size=image_size, features=features)
            for name in suite.scenarios
            if name in suite.files or name in possible
        ]
    names = [scenario.name for scenario in own]
    if len(set(names)) != len(names):
        raise ValueError(f"The scenarios of a run must have distinct names. Got {names}.")
    return dict(zip(names, own, strict=True))


@dataclass(frozen=True)
class Stage:
    """One model on one draw of data: the work that all methods on it share.

    Attributes:
        scenario: name of the scenario.
        images: image source.
        features: latent features.
        image_size: pixels a side.
        n_patients: patients in all splits together; None for all that the source has.
        model: name of the model.
        data_seed: decides patients.
        train_seed: decides weights and batches.
        definition: a scenario that is not in the catalogue, as TOML; else empty.
    """

    scenario: str
    images: Source
    features: FeatureKind
    image_size: int
    n_patients: int | None
    model: str
    data_seed: int
    train_seed: int
    definition: str = ""

    def load_scenario(self) -> Scenario:
        """Return the scenario."""
        if self.definition:
            return synthetic.from_toml(self.definition, origin=self.scenario)
        return synthetic.scenario(
            self.scenario, source=self.images, image_size=self.image_size, features=self.features
        )


@dataclass(frozen=True)
class Job:
    """One method (or control) on one stage: one result.

    Attributes:
        stage: data and model.
        method: name of the method or control, with its options.
        method_seed: decides the method's own randomness.
        n_explained: samples that the method gets.
    """

    stage: Stage
    method: str
    method_seed: int
    n_explained: int

    def as_dict(self) -> dict[str, object]:
        """Return a flat, JSON-ready description."""
        rest = {"method": self.method, "method_seed": self.method_seed, "n_explained": self.n_explained}
        return {**asdict(self.stage), **rest}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Job:
        """Return the job of a flat description, as `as_dict` makes it.

        Raises:
            ValueError: if it is none.
        """
        names = [it.name for it in fields(Stage)]
        try:
            stage = Stage(**{name: description[name] for name in names})
            rest = {name: value for name, value in description.items() if name not in names}
            job = cls(stage, **rest)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"The description of a job must have the entries of one. Got {error}."
            ) from error
        models.check_name(stage.model)
        return job


def plan(
    suite: Suite,
    *,
    images: Source | Sequence[Source] | None = None,
    features: FeatureKind | None = None,
    image_size: int | None = None,
    own_scenarios: Sequence[Scenario] = (),
    model_names: tuple[str, ...] | None = None,
    method_names: tuple[str, ...] | None = None,
    own_names: tuple[str, ...] = (),
    own_drawers: Collection[str] = (),
    n_seeds: int | None = None,
    n_patients: int | None = None,
    n_explained: int | None = None,
) -> list[Job]:
    """Enumerate the jobs of a run; the only place where the grid is spelled out.

    Jobs of one stage are neighbours, and stages of one data seed and image source too, so that workers can
    share what they draw and train. A network that comes with weights runs on the scenario of these alone.

    Args:
        suite: which scenarios, models, methods and seeds; everything below counts instead of what it says.
        images: image source, or several, instead of the suite's.
        features: latent features; None for the suite's, or else each scenario's own.
        image_size: pixels a side; None for the suite's, or else each scenario's own.
        own_scenarios: scenarios instead of the suite's; their images and numbers of patients are their own.
        model_names: instead of the suite's.
        method_names: instead of the suite's; controls are always added.
        own_names: names of methods that are in no registry.
        own_drawers: those of them that target pixels. Such methods do not run on the oracle, which sees no
            images; beside them run the controls of maps.
        n_seeds: instead of the suite's.
        n_patients: instead of the suite's, which counts on its own images only; on others, each scenario's
            own number.
        n_explained: samples that a method gets, instead of the suite's number.

    Raises:
        ValueError: if a name is unknown, a number out of range, no scenario works on the images, or a network
            comes with weights for none of the scenarios.
    """
    n_seeds = suite.n_seeds if n_seeds is None else n_seeds
    n_explained = suite.n_explained if n_explained is None else n_explained
    if n_seeds < 1:
        raise ValueError(f"The number of seeds must be at least 1. Got {n_seeds}.")
    if n_explained < 2:
        raise ValueError(f"The number of explained samples must be at least 2. Got {n_explained}.")
    asked_models = suite.models if model_names is None else model_names
    for name in asked_models:
        models.check_name(name)
    # One's own are loaded here: what their options are without being told is known now.
    chosen_models = tuple(
        dict.fromkeys(name if name == models.ORACLE else models.get(name).name for name in asked_models)
    )
    asked = choose_methods(suite.methods) if method_names is None else method_names
    chosen = tuple(dict.fromkeys(methods.get(name).name for name in asked))
    everyone = _method_names(chosen, own_names)
    sources = suite.images if images is None else (images,) if isinstance(images, str) else tuple(images)
    scenarios = _scenarios(suite, sources, features, image_size, own_scenarios)
    drawers = {name for name in chosen if methods.get(name).estimand == methods.PIXELS} | {*own_drawers}
    on_oracle = tuple(name for name in everyone if name not in drawers)
    on_network = {
        source: (*everyone, *(_map_controls(source) if drawers else ()), DIAGNOSIS)
        for source in get_args(Source)
    }
    n_jobs = n_seeds * len(scenarios) * len(chosen_models) * len(everyone)
    if n_jobs > _MOST_JOBS:
        raise ValueError(
            f"A run must have at most {_MOST_JOBS:,} jobs. Got {n_jobs:,}: {len(scenarios)} scenarios × "
            f"{len(chosen_models)} models × {len(everyone)} methods and controls × {n_seeds:,} seeds; "
            "split it into several."
        )
    # What a stage says of its scenario is worked out once: there may be thousands of seeds.
    told = [
        {
            "scenario": scenario.name,
            "images": scenario.source,
            "features": scenario.features,
            "image_size": scenario.image_size,
            "n_patients": _n_patients(suite, scenario, own=bool(own_scenarios), asked=n_patients),
            "definition": _definition(scenario),
        }
        for scenario in scenarios
    ]
    stages = (
        Stage(**facts, model=model, data_seed=seed, train_seed=seed)
        for seed in range(n_seeds)
        for facts, suited in zip(told, _suited(chosen_models, told), strict=True)
        for model in suited
    )
    return [
        Job(stage, method=method, method_seed=stage.data_seed, n_explained=n_explained)
        for stage in stages
        for method in (on_oracle if stage.model == models.ORACLE else on_network[stage.images])
    ]


def _suited(names: Sequence[str], told: Sequence[Mapping[str, object]]) -> list[list[str]]:
    """Return the models of each scenario: those that come with weights run on that of these alone.

    Raises:
        ValueError: for a network that comes with weights for none of the scenarios.
    """
    weights = {name: models.weights(name) for name in names}
    for name, it in weights.items():
        if it is not None and not any(map(it.is_for, told)):
            raise ValueError(
                f"The model {name!r} explains the scenario that its weights were trained on, {it.place}. "
                f"Got {', '.join(str(facts['scenario']) for facts in told)}; choose "
                f"{it.about['scenario']!r}, or another model."
            )
    return [[name for name, it in weights.items() if it is None or it.is_for(facts)] for facts in told]


def _map_controls(source: Source) -> tuple[str, ...]:
    """Return the controls of maps of pixels that say something on an image source."""
    return tuple(MAP_CONTROLS) if source == "phantom" else CONTROLS_ON_SCANS


def _method_names(chosen: Sequence[str], own_names: Sequence[str]) -> tuple[str, ...]:
    """Return methods and controls, once each, or raise a ValueError for a name that is unknown or taken."""
    for name in (*chosen, *own_names):
        if name in (*CONTROLS, *MAP_CONTROLS, DIAGNOSIS) or (name in own_names and name in methods.names()):
            raise ValueError(
                f"The method name {name!r} is taken by a built-in method or control. "
                "Give your function another name."
            )
    return (*dict.fromkeys((*chosen, *own_names)), *CONTROLS)


def _scenarios(
    suite: Suite,
    sources: Sequence[Source],
    features: FeatureKind | None,
    image_size: int | None,
    own: Sequence[Scenario],
) -> list[Scenario]:
    """Return the scenarios of a run on all its image sources; those with images of their own come once."""
    found: list[Scenario] = []
    for source in sources:
        loaded = load_scenarios(suite, source, features, image_size, own=own).values()
        # Compared by identity: those from files are the same object for every source.
        found += [scenario for scenario in loaded if not any(scenario is other for other in found)]
    if not found:
        raise ValueError(
            f"The suite {suite.name!r} must have a scenario that works on {' or '.join(sources)} images. "
            f"Got {', '.join(suite.scenarios) or 'none'}; choose other images or scenarios."
        )
    return found


def _n_patients(suite: Suite, scenario: Scenario, *, own: bool, asked: int | None) -> int | None:
    """Return the patients of a scenario: as asked, as the suite says of what is its own, or as it says."""
    if asked is not None:
        return asked
    from_file = any(scenario is other for other in suite.files.values())
    of_suite = not own and (from_file or scenario.source in suite.images)
    return suite.n_patients if of_suite and suite.n_patients is not None else scenario.n


def _definition(scenario: Scenario) -> str:
    """Return the TOML of a scenario that its name alone does not lead to."""
    if scenario.name in synthetic.scenarios():
        known = synthetic.scenario(scenario.name)
        if not known.needs_rendering or scenario.source == "phantom":
            known = synthetic.scenario(
                scenario.name,
                source=scenario.source,
                image_size=scenario.image_size,
                features=scenario.features,
            )
        if known == scenario:
            return ""
    return synthetic.to_toml(scenario)
