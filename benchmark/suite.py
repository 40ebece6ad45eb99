"""Suites: which scenarios, models, methods and seeds make up a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import methods
import synthetic
from benchmark import models
from benchmark.controls import CONTROLS
from synthetic import Scenario
from synthetic.images import FeatureKind, Source
from synthetic.names import check_known


@dataclass(frozen=True)
class Suite:
    """A named selection of scenarios and models.

    Attributes:
        name: e.g. ``"paper"``.
        description: one line.
        scenarios: names of scenarios.
        models: names of models, the oracle among them.
        n_seeds: repetitions: number i draws data, trains and attributes with seed i, each from streams of
            its own.
        n_patients: patients a scenario; None for the scenario's own number.
    """

    name: str
    description: str
    scenarios: tuple[str, ...]
    models: tuple[str, ...]
    n_seeds: int = 3
    n_patients: int | None = None


_PAPER = tuple(f"paper-F{case}" for case in range(8))

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
        ),
        Suite(
            "paper",
            "the eight cases of Azmat & Alessio (2022), on the true decision function and trained networks",
            _PAPER,
            (models.ORACLE, "hybrid"),
        ),
        Suite(
            "catalogue",
            "every scenario on the true decision function: where methods part ways by themselves",
            synthetic.scenarios(),
            (models.ORACLE,),
            n_seeds=1,
        ),
        Suite(
            "full",
            "every scenario on every model",
            synthetic.scenarios(),
            models.names(),
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
        images: image source.
        features: latent features; None for each scenario's own.
        image_size: pixels a side; None for each scenario's own.
        own: scenarios instead of the suite's; their images are their own.

    Raises:
        ValueError: if two of the own scenarios have one name.
    """
    if own:
        names = [scenario.name for scenario in own]
        if len(set(names)) != len(names):
            raise ValueError(f"The scenarios of a run must have distinct names. Got {names}.")
        return dict(zip(names, own, strict=True))
    possible = synthetic.scenarios(images)
    return {
        name: synthetic.scenario(name, source=images, image_size=image_size, features=features)
        for name in suite.scenarios
        if name in possible
    }


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


N_EXPLAINED = 2000
"""Samples that a method gets, unless a run says otherwise."""


def plan(
    suite: Suite,
    *,
    images: Source = "phantom",
    features: FeatureKind | None = None,
    image_size: int | None = None,
    own_scenarios: Sequence[Scenario] = (),
    model_names: tuple[str, ...] | None = None,
    method_names: tuple[str, ...] | None = None,
    own_names: tuple[str, ...] = (),
    n_seeds: int | None = None,
    n_patients: int | None = None,
    n_explained: int = N_EXPLAINED,
) -> list[Job]:
    """Enumerate the jobs of a run; the only place where the grid is spelled out.

    Jobs of one stage are neighbours, and stages of one data seed too, so that workers can share what they
    draw and train.

    Args:
        suite: which scenarios, models and seeds.
        images: image source.
        features: latent features; None for each scenario's own.
        image_size: pixels a side; None for each scenario's own.
        own_scenarios: scenarios instead of the suite's.
        model_names: instead of the suite's.
        method_names: instead of every registered method; controls are always added.
        own_names: names of methods that are in no registry.
        n_seeds: instead of the suite's.
        n_patients: instead of the suite's.
        n_explained: samples that a method gets.

    Raises:
        ValueError: if a name is unknown or a number out of range.
    """
    n_seeds = suite.n_seeds if n_seeds is None else n_seeds
    if n_seeds < 1:
        raise ValueError(f"The number of seeds must be at least 1. Got {n_seeds}.")
    if n_explained < 2:
        raise ValueError(f"The number of explained samples must be at least 2. Got {n_explained}.")
    chosen_models = suite.models if model_names is None else model_names
    for name in chosen_models:
        models.check_name(name)
    chosen = methods.names() if method_names is None else method_names
    for name in chosen:
        methods.get(name)
    for name in (*chosen, *own_names):
        if name in CONTROLS or (name in own_names and name in methods.names()):
            raise ValueError(
                f"The method name {name!r} is taken by a built-in method or control. "
                "Give your function another name."
            )
    if n_patients is None and images == "phantom" and not own_scenarios:
        n_patients = suite.n_patients
    scenarios = load_scenarios(suite, images, features, image_size, own=own_scenarios)
    return [
        Job(
            Stage(
                scenario=name,
                images=scenario.source,
                features=scenario.features,
                image_size=scenario.image_size,
                n_patients=scenario.n if n_patients is None else n_patients,
                model=model,
                data_seed=seed,
                train_seed=seed,
                definition=_definition(scenario),
            ),
            method=method,
            method_seed=seed,
            n_explained=n_explained,
        )
        for seed in range(n_seeds)
        for name, scenario in scenarios.items()
        for model in chosen_models
        for method in (*dict.fromkeys((*chosen, *own_names)), *CONTROLS)
    ]


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
