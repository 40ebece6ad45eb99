"""What a user asks for, checked: which scenarios, models and methods, how much of each, and where it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import synthetic
from benchmark import suite as suites
from benchmark.bench import NO_LIMITS, Limits
from benchmark.suite import Job, Suite
from benchmark.suite_file import find_suite
from methods.api import PIXELS, Method
from synthetic import Scenario
from synthetic.images import FeatureKind, Source
from synthetic.names import check_known


@dataclass(frozen=True)
class Request:
    """What a run is to do, checked.

    Attributes:
        suite: scenarios, models, seeds.
        images: image source.
        features: latent features; None for each scenario's own.
        image_size: pixels a side; None for each scenario's own.
        data_root: folder with the OrganMNIST files.
        model_names: instead of the suite's.
        method_names: methods to run; controls come on top.
        n_seeds: instead of the suite's.
        n_patients: instead of the suite's.
        n_explained: samples that a method gets.
        folder: where results go.
        own_methods: methods that no name leads to.
        own_scenarios: scenarios instead of the suite's.
        limits: what each method may take.
    """

    suite: Suite
    images: tuple[Source, ...]
    features: FeatureKind | None
    image_size: int | None
    data_root: Path | None
    model_names: tuple[str, ...]
    method_names: tuple[str, ...]
    n_seeds: int | None
    n_patients: int | None
    n_explained: int | None
    folder: Path
    own_methods: tuple[Method, ...] = ()
    own_scenarios: tuple[Scenario, ...] = ()
    limits: Limits = NO_LIMITS

    @classmethod
    def from_options(
        cls,
        *,
        suite: str,
        images: str | None = None,
        features: str | None = None,
        image_size: int | None = None,
        data_root: Path | None = None,
        scenarios: Iterable[str | Path | Scenario] = (),
        models: Sequence[str] | None = None,
        methods: Sequence[str] | None = None,
        n_seeds: int | None = None,
        n_patients: int | None = None,
        n_explained: int | None = None,
        out: Path | None = None,
        own_methods: Iterable[Method] = (),
        limits: Limits = NO_LIMITS,
    ) -> Request:
        """Return a request from what a user typed.

        Raises:
            ValueError: naming the first thing that is wrong.
        """
        chosen = find_suite(suite)
        asked = chosen.images if images is None else (check_source(images),)
        kind = features or (chosen.features if images is None else None)
        kind = kind or (None if "phantom" in asked else "autoencoder")
        own = tuple(find_scenario(given, asked[0], kind, image_size) for given in scenarios)
        if out is None:
            words = [
                chosen.name,
                *asked,
                *([kind] if kind else []),
                *([str(image_size)] if image_size else []),
            ]
            if own:
                words = [*(scenario.name for scenario in own[:3]), *(["and-more"] if len(own) > 3 else [])]
            out = Path("results") / "runs" / "-".join(words)
        return cls(
            suite=chosen,
            images=asked,
            features=kind,  # pyright: ignore[reportArgumentType]  # checked by the scenario
            image_size=image_size,
            data_root=data_root,
            model_names=tuple(dict.fromkeys(models or chosen.models)),
            method_names=suites.choose_methods(methods or (), otherwise=chosen.methods),
            n_seeds=n_seeds,
            n_patients=n_patients,
            n_explained=n_explained,
            folder=out,
            own_methods=tuple(own_methods),
            own_scenarios=own,
            limits=limits,
        )

    def scenarios(self) -> dict[str, Scenario]:
        """Return the scenarios of the run by name."""
        return suites.load_scenarios(
            self.suite, self.images[0], self.features, self.image_size, own=self.own_scenarios
        )

    @property
    def title(self) -> str:
        """What tables and pictures of the run are headed with."""
        if self.own_scenarios:
            return "Scenario " + ", ".join(scenario.name for scenario in self.own_scenarios)
        kind = f", {self.features} features" if self.features else ""
        size = f", {self.image_size} pixels" if self.image_size else ""
        return f"Suite {self.suite.name} on {' and '.join(self.images)} images{kind}{size}"

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names of the methods that are the user's own."""
        named = (name for name in self.method_names if suites.is_own_function(name))
        return (*named, *(method.name for method in self.own_methods))

    def jobs(self) -> list[Job]:
        """Return the jobs of the run."""
        return suites.plan(
            self.suite,
            images=self.images,
            features=self.features,
            image_size=self.image_size,
            own_scenarios=self.own_scenarios,
            model_names=self.model_names,
            method_names=self.method_names,
            own_names=tuple(method.name for method in self.own_methods),
            own_drawers=tuple(it.name for it in self.own_methods if it.estimand == PIXELS),
            n_seeds=self.n_seeds,
            n_patients=self.n_patients,
            n_explained=self.n_explained,
        )


def check_source(images: str) -> Source:
    """Return the image source of a name, or raise a ValueError that offers one."""
    check_known("image source", images, get_args(Source))
    return images  # pyright: ignore[reportReturnType]


def find_scenario(
    given: str | Path | Scenario, images: str, features: str | None, image_size: int | None
) -> Scenario:
    """Return a scenario from the catalogue, from a TOML file, or as it was given.

    Args:
        given: name, path that ends in ``.toml``, or scenario.
        images: image source of a scenario by name; the others have their own.
        features: latent features of a scenario by name; None for its own.
        image_size: pixels a side of a scenario by name; None for its own.

    Raises:
        ValueError: if there is no such scenario or source, or the file holds none.
    """
    if isinstance(given, Scenario):
        return given
    if str(given).endswith(".toml"):
        return synthetic.load_scenario(Path(given))
    return synthetic.scenario(
        str(given),
        source=check_source(images),
        features=features,  # pyright: ignore[reportArgumentType]  # checked by the scenario
        image_size=image_size,
    )
