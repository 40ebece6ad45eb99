"""One run from request to files: what the command and ``benchmark.evaluate`` share."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import pickle
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pandas as pd
from rich.console import Console

import methods
import synthetic
from benchmark import executors, table
from benchmark import run as runner
from benchmark import suite as suites
from benchmark.report import figure
from benchmark.report.text import chance_note, leaderboard_markdown, leaderboard_table
from benchmark.store import CONTROL, Result, Store, write_json
from benchmark.suite import Job, Suite
from benchmark.suite_file import find_suite
from methods.api import Method
from synthetic import Scenario
from synthetic import images as sources
from synthetic.cache import replacing
from synthetic.images import FeatureKind, Source
from synthetic.names import check_known

Report = Callable[[str, int], None]


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
        apart: each method runs in a process of its own.
        timeout: seconds that a method may take; None for no limit.
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
    apart: bool = False
    timeout: float | None = None

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
        apart: bool = False,
        timeout: float | None = None,
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
            model_names=tuple(models or chosen.models),
            method_names=suites.choose_methods(methods or chosen.methods),
            n_seeds=n_seeds,
            n_patients=n_patients,
            n_explained=n_explained,
            folder=out,
            own_methods=tuple(own_methods),
            own_scenarios=own,
            apart=apart,
            timeout=timeout,
        )

    def scenarios(self) -> dict[str, Scenario]:
        """Return the scenarios of the run by name."""
        return suites.load_scenarios(
            self.suite, self.images[0], self.features, self.image_size, own=self.own_scenarios
        )

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
            n_seeds=self.n_seeds,
            n_patients=self.n_patients,
            n_explained=self.n_explained,
        )


def check_source(images: str) -> Source:
    """Return the image source of a name, or raise a ValueError that lists them."""
    if images not in get_args(Source):
        raise ValueError(f"The image source must be one of {', '.join(get_args(Source))}. Got {images!r}.")
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


@dataclass(frozen=True)
class Outcome:
    """What came of a run: its results, and the tables made of them."""

    results: list[Result]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row a result and estimand."""
        return table.scores(self.results)

    @cached_property
    def importances(self) -> pd.DataFrame:
        """One row a result, estimand and modality."""
        return table.importances(self.results)

    @cached_property
    def shares(self) -> pd.DataFrame:
        """One row a model, scenario, method and modality."""
        return table.shares(self.results)

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """One row a method, best first."""
        return table.leaderboard(self.scores)

    @cached_property
    def fidelity(self) -> pd.DataFrame:
        """One row a trained network."""
        return table.fidelity(self.scores)


def run(request: Request, *, workers: int = 1, report: Report = lambda _what, _n: None) -> Outcome:
    """Do a run.

    Args:
        request: what to do.
        workers: processes of one thread each.
        report: called with what was reached and a number of results.

    Raises:
        ValueError: if the data cannot be had or the folder cannot be written.
    """
    jobs = request.jobs()
    executor = executors.local(workers)
    if workers > 1:
        _check_portable(request)
    store = Store(request.folder)
    # Missing or broken data is found here, once, before any worker starts; features are fitted here, once.
    report("preparing data", 0)
    needed = {(it.images, it.image_size, it.features, it.n_patients) for it in (job.stage for job in jobs)}
    for source, size, kind, n in sorted(needed, key=repr):
        sources.prepare(source, size=size, kind=kind, n=n, data_root=request.data_root)
    results = runner.run(
        jobs,
        store,
        executor,
        renew=partial(executors.local, workers),
        window=workers if workers == 1 else workers + 1,
        own_methods=request.own_methods,
        data_root=request.data_root,
        apart=request.apart,
        timeout=request.timeout,
        report=report,
    )
    return Outcome(results)


def _check_portable(request: Request) -> None:
    """Raise a ValueError for a method that cannot be sent to a worker process."""
    for method in (*map(methods.get, request.method_names), *request.own_methods):
        try:
            pickle.dumps(method)
        except Exception as error:
            raise ValueError(
                f"Method {method.name!r} cannot be sent to worker processes ({error}). "
                "Use one worker (--workers 1), or a function at the top level of a module."
            ) from error


def write(outcome: Outcome, request: Request, *, command: str) -> Path:
    """Write tables, leaderboard, picture and manifest into the run's folder and return it."""
    folder = request.folder
    _write_text(folder / "scores.csv", outcome.scores.to_csv(index=False))
    _write_text(folder / "importances.csv", outcome.importances.to_csv(index=False))
    _write_text(
        folder / "leaderboard.md",
        leaderboard_markdown(
            outcome.leaderboard,
            outcome.scores,
            outcome.shares,
            table.case_errors(outcome.scores),
            outcome.fidelity,
            table.by_estimand(outcome.scores),
            title=_title(request),
            command=command,
        ),
    )
    labels = {name: str(scenario.decision) for name, scenario in request.scenarios().items()}
    board = outcome.leaderboard
    shown = list(dict.fromkeys(board.loc[board["targets"] != CONTROL, "method"]))
    for model, rows in outcome.shares.groupby("model"):
        picture = figure.draw_importances(
            rows, title=f"{_title(request)}, {model}", methods=shown, labels=labels
        )
        for suffix in ("png", "svg"):
            figure.save(picture, folder / f"importances-{model}.{suffix}")
    write_json(folder / "manifest.json", _manifest(request, command))
    return folder


def show(outcome: Outcome, request: Request, console: Console) -> None:
    """Print the leaderboard."""
    console.print(leaderboard_table(outcome.leaderboard, title=_title(request)))
    console.print(chance_note(outcome.scores), style="dim", soft_wrap=True)
    networks = outcome.fidelity
    if len(networks):
        n_low = int((~networks["counts"]).sum())
        least, mean = networks["accuracy"].min(), networks["accuracy"].mean()
        note = f"Networks: test accuracy {least:.3f} at least, {mean:.3f} on average"
        console.print(
            note
            + (
                f"; {n_low} learnt less than {table.FIDELITY_GATE:.0%} of what there is and do not count."
                if n_low
                else "."
            ),
            style="dim",
            soft_wrap=True,
        )


def evaluate(
    function: Callable[..., object] | Method,
    *,
    estimand: str = "gradient",
    suite: str = "smoke",
    scenarios: Iterable[str | Path | Scenario] = (),
    images: str = "phantom",
    data_root: Path | None = None,
    n_seeds: int | None = None,
    workers: int = 1,
    out: Path | None = None,
) -> pd.DataFrame:
    """Score your own method beside the known ones and print the leaderboard.

    Args:
        function: ``(model, samples, rng)`` → local attributions ``[n, d]`` or global values ``[d]`` over the
            model's fusion features, or modality → value; or a ``methods.Method``.
        estimand: the truth that it targets.
        suite: which scenarios and models.
        scenarios: instead of the suite's: names, TOML files or ``synthetic.Scenario`` objects.
        images: image source.
        data_root: folder with the OrganMNIST files.
        n_seeds: instead of the suite's.
        workers: processes; a function that cannot be pickled (a lambda) needs 1.
        out: folder for results; ``results/runs/evaluate-…`` by default.

    Returns:
        The leaderboard, best first; see ``benchmark.table.leaderboard``.

    Raises:
        ValueError: if the estimand, suite or function is not one.

    Example:
        >>> import benchmark, tempfile
        >>> def norm(model, samples, rng):
        ...     return {name: model.groups[name].stop for name in model.modalities}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     board = benchmark.evaluate(norm, out=Path(folder))  # doctest: +ELLIPSIS
        Suite smoke on phantom images...
        >>> "norm" in set(board["method"])
        True
    """
    check_known("estimand", estimand, synthetic.ESTIMANDS)
    method = methods.as_method(function, estimand=estimand)
    request = Request.from_options(
        suite=suite,
        scenarios=scenarios,
        images=images,
        data_root=data_root,
        n_seeds=n_seeds,
        out=out or Path("results") / "runs" / f"evaluate-{suite}-{images}",
        own_methods=[method],
    )
    outcome = run(request, workers=workers)
    write(outcome, request, command=f"benchmark.evaluate({method.name}, suite={suite!r})")
    show(outcome, request, Console(width=140))
    return outcome.leaderboard


def _title(request: Request) -> str:
    if request.own_scenarios:
        return "Scenario " + ", ".join(scenario.name for scenario in request.own_scenarios)
    kind = f", {request.features} features" if request.features else ""
    size = f", {request.image_size} pixels" if request.image_size else ""
    return f"Suite {request.suite.name} on {' and '.join(request.images)} images{kind}{size}"


def _manifest(request: Request, command: str) -> dict[str, object]:
    packages = ("plumbline", "torch", "numpy", "pandas", "scikit-learn", "scipy", "medmnist")
    return {
        "command": command,
        "suite": request.suite.name,
        "images": request.images,
        "features": request.features,
        "n_results": len(request.jobs()),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in packages},
    }


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
