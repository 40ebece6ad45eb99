"""A dry run: what a run would find, what it would have to make, and about how long that takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

import synthetic
from benchmark import models
from benchmark.estimate import Timings, WorkLeft, estimate
from benchmark.progress import duration_text
from benchmark.recall import look_up, network_folder, network_key
from benchmark.store import Store
from benchmark.suite import Job, Stage
from methods.api import Method
from synthetic import ESTIMANDS, Scenario
from synthetic.cache_limit import cache_limit
from synthetic.truth import Truths

Network = Literal["none", "kept", "missing"]


@dataclass(frozen=True)
class StageOutlook:
    """What there is of a stage, and what is not.

    Attributes:
        stage: data and model.
        n_jobs: results that the run is to have.
        n_present: results that are there.
        network: ``kept`` in the cache, ``missing``, or ``none`` where nothing is trained.
        n_truths: truths that are kept, of as many as there are estimands; None for real scans, whose truths
            nobody can look up without reading the scans.
    """

    stage: Stage
    n_jobs: int
    n_present: int
    network: Network
    n_truths: int | None

    @property
    def n_left(self) -> int:
        """Results that are to be made."""
        return self.n_jobs - self.n_present


@dataclass(frozen=True)
class DryRun:
    """What a run would do.

    Attributes:
        stages: in the order of the plan.
        work: seconds of work on one thread that are left, by step; see `benchmark.estimate.WorkLeft`.
        workers: processes that share it.
    """

    stages: tuple[StageOutlook, ...]
    work: WorkLeft
    workers: int = 1

    @property
    def n_jobs(self) -> int:
        """Results that the run is to have."""
        return sum(outlook.n_jobs for outlook in self.stages)

    @property
    def n_present(self) -> int:
        """Results that are there."""
        return sum(outlook.n_present for outlook in self.stages)

    @property
    def seconds(self) -> float:
        """Seconds that the run takes: its work, evenly shared, but no less than its longest stage."""
        return max(self.work.total / self.workers, self.work.longest)

    @property
    def n_kept(self) -> int:
        """Networks that are in the cache."""
        return sum(outlook.network == "kept" for outlook in self.stages)

    @property
    def n_to_train(self) -> int:
        """Networks that are not, and that a missing result needs."""
        return sum(outlook.network == "missing" and outlook.n_left > 0 for outlook in self.stages)


def dry_run(
    jobs: Iterable[Job], folder: Path, *, own_methods: Iterable[Method] = (), workers: int = 1
) -> DryRun:
    """Look at what a run would find and have to make; nothing is drawn, trained, downloaded or written.

    A trained network counts as kept where the cache has an entry of its name; whether the entry is sound is
    found when it is read.

    Args:
        jobs: in the order of ``benchmark.suite.plan``.
        folder: the run's folder; it need not exist.
        own_methods: methods that no name leads to.
        workers: processes that would share the work.

    Raises:
        ValueError: if a method is unknown, the number of workers is not positive, or the folder is there but
            cannot be written.
    """
    if workers < 1:
        raise ValueError(f"The number of workers must be at least 1. Got {workers}.")
    store = Store(folder) if (folder / "results").is_dir() else None
    networks, truths, timings = _kept_networks(), _KeptTruths(), Timings()
    outlooks, left = [], []
    looked_up = look_up(jobs, store, own_methods)
    for stage, group in groupby(looked_up, key=lambda found: found[0].stage):
        n_jobs, missing = 0, []
        for job, _, method, result in group:
            n_jobs += 1
            if result is None:
                missing.append((job, method))
        network: Network = (
            "none"
            if stage.model == models.ORACLE or models.weights(stage.model) is not None
            else "kept"
            if network_key(stage) in networks
            else "missing"
        )
        outlook = StageOutlook(stage, n_jobs, n_jobs - len(missing), network, truths.count(stage))
        outlooks.append(outlook)
        if missing:
            left.append((stage, missing, network == "missing", len(ESTIMANDS) - (outlook.n_truths or 0)))
    if store is not None and left:
        timings.add_folder(store.results)
    return DryRun(tuple(outlooks), estimate(left, timings, workers=workers), workers)


def dry_run_text(found: DryRun) -> Group:
    """Return a dry run for a terminal of 80 columns or more: a row a scenario and model, then the sums."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for head in ("scenario", "images", "model"):
        table.add_column(head, overflow="fold")
    for head in ("seeds", "results", "networks", "truths"):
        table.add_column(head, justify="right", no_wrap=True)
    rows: dict[tuple[str, str, int, str], list[StageOutlook]] = {}
    for outlook in found.stages:
        stage = outlook.stage
        rows.setdefault((stage.scenario, stage.images, stage.image_size, stage.model), []).append(outlook)
    for (scenario, images, _, model), group in rows.items():
        table.add_row(
            scenario,
            images,
            model,
            str(len(group)),
            _share(sum(it.n_present for it in group), sum(it.n_jobs for it in group)),
            "–"
            if all(it.network == "none" for it in group)
            else _share(sum(it.network == "kept" for it in group), len(group)),
            "?" if group[0].n_truths is None else _share(group[0].n_truths, len(ESTIMANDS)),
        )
    return Group(table, *(Text(line) for line in _summary(found)))


def _summary(found: DryRun) -> list[str]:
    """Return what a dry run adds up to, in lines of 80 characters at most."""
    n_left, work = found.n_jobs - found.n_present, found.work
    done = f"{found.n_present:,} are there, {n_left:,} to make"
    lines = [
        "A number a/b says that a of b are there already.",
        f"Results: {found.n_jobs:,} in {len(found.stages):,} stages; {done}.",
    ]
    if found.n_kept or found.n_to_train:
        lines.append(f"Networks: {found.n_kept:,} are there, {found.n_to_train:,} to train.")
    if not n_left:
        return [*lines, "Nothing is left to do."]
    shared = f": {duration_text(work.total)} of work for {found.workers} workers" if found.workers > 1 else ""
    steps = ", ".join(f"{step} {duration_text(seconds)}" for step, seconds in work.seconds.items() if seconds)
    measured = f"{work.n_measured:,} of {work.n_measured + work.n_assumed:,} method times"
    lines += [
        f"Time: about {duration_text(found.seconds)}{shared}.",
        f"  Work: {steps}.",
        f"  Basis: {measured} from earlier results in the folder; for the",
        "  rest, times on one thread of a common x86-64 server processor.",
    ]
    if any(outlook.stage.images != "phantom" and outlook.n_left for outlook in found.stages):
        lines.append("  Real scans: without their download and the first fit of their features.")
    return lines


def _share(n: int, total: int) -> str:
    return f"{n}/{total}"


def _kept_networks() -> frozenset[str]:
    """Return the names of the networks in the cache: one look at the folder instead of one a stage."""
    folder = network_folder()
    if cache_limit() == 0 or not folder.is_dir():
        return frozenset()
    return frozenset(entry.stem for entry in folder.iterdir())


class _KeptTruths:
    """How many truths of a stage's scenario are kept, looked up once a scenario."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], int | None] = {}

    def count(self, stage: Stage) -> int | None:
        """Return the number of truths that are kept; None for real scans."""
        what = (stage.scenario, stage.images, stage.features, stage.image_size, stage.definition)
        if what not in self._found:
            phantom = stage.images == "phantom"
            self._found[what] = _Recalled.of(stage.load_scenario()).count() if phantom else None
        return self._found[what]


class _Recalled(Truths):
    """The truths of a scenario as far as they are kept: none is worked out."""

    @classmethod
    def of(cls, scenario: Scenario) -> _Recalled:
        """Return those of a scenario."""
        found = synthetic.truths(scenario)
        return cls(found.decision, found.law, found.labels, found.missing, precision=found.precision)

    def count(self) -> int:
        """Return how many there are."""
        return sum(self._recall(estimand) is not None for estimand in self)
