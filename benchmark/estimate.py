"""How long the work of a run takes: from earlier results where there are any, else from stated defaults."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmark import models
from benchmark.suite import Job, Stage
from methods.api import Method
from synthetic import ESTIMANDS

# Seconds of one thread of a common x86-64 server processor. They give the order of magnitude: what a step
# takes depends on the machine, and on the scenario.
_PATIENT_SECONDS = 0.00007
"""To render both phantoms of a patient of 28 pixels a side; in proportion to the pixels."""
_SCANS_SECONDS = 2.0
"""To read and pair real scans."""
_STAGE_SECONDS = 0.1
"""To put a dataset together and measure a model."""
_TRUTHS_SECONDS = 0.8
"""To work out all truths of a scenario."""
_STEP_SECONDS: Mapping[str, float] = {
    "hybrid": 0.02,
    "hybrid-s1": 0.1,
    "early": 0.0035,
    "late": 0.021,
    "attention": 0.025,
    "healnet": 0.03,
    "contrastive": 0.027,
    "distilled": 0.054,
    "unimodal": 0.01,
}
"""Model → a training step of 28 pixels a side, that of its teachers included."""
_METHOD_SECONDS: Mapping[str, tuple[float, float]] = {
    "gradient": (0.004, 0.08),
    "permutation": (0.08, 0.21),
    "lime": (0.28, 0.59),
    "kernel_shap": (0.68, 1.1),
    "modality_contribution": (0.016, 1.1),
    "saliency": (0.05, 0.05),
    "pixel_integrated_gradients": (2.0, 2.0),
    "grad_cam": (0.1, 0.1),
    "occlusion": (1.8, 1.8),
    "patch_shap": (9.0, 9.0),
    "pattern": (0.1, 0.1),
}
"""Method → 2,000 samples explained on the true decision function, and on a network."""
_UNKNOWN_SECONDS = (0.5, 1.0)
"""The same of any other method."""

_N_SCANS = 29_415  # pairs of OrganAMNIST
_TRAIN_SHARE = 5 / 8

STEPS = ("patients", "truths", "networks", "methods")
"""What the work consists of."""

Left = tuple[Stage, Sequence[tuple[Job, Method | None]], bool, int]
"""A stage, its jobs to do with their methods, whether a network is to be trained, truths to work out."""


@dataclass(frozen=True)
class WorkLeft:
    """Seconds of work on one thread that are left of a run.

    Attributes:
        seconds: each of ``STEPS`` → seconds.
        longest: seconds of the longest stage, which one process does.
        n_measured: method runs whose time is from earlier results.
        n_assumed: method runs whose time is a default.
    """

    seconds: Mapping[str, float]
    longest: float
    n_measured: int
    n_assumed: int

    @property
    def total(self) -> float:
        """All steps together."""
        return sum(self.seconds.values())


@dataclass
class Timings:
    """What methods took in earlier results, a sample explained."""

    _sums: dict[tuple[object, ...], tuple[float, int]] = field(default_factory=dict)

    def add(self, job: Mapping[str, Any], seconds: float) -> None:
        """Count the time of a result.

        Args:
            job: flat description of its job.
            seconds: time that its method took.
        """
        for place in _places(job):
            total, n = self._sums.get(place, (0.0, 0))
            self._sums[place] = (total + seconds / job["n_explained"], n + 1)

    def add_folder(self, folder: Path) -> None:
        """Count the results of a folder, those of older code too; what is no sound result is passed over."""
        for path in sorted(folder.glob("*.json")):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                seconds, job = float(content["seconds"]), content["job"]
                share = seconds / job["n_explained"]
                if content["status"] == "done" and 0 <= share < math.inf:  # as it does not say of NaN
                    self.add(job, seconds)
            except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
                continue  # a damaged result is made again, and takes no longer for it

    def seconds(self, job: Mapping[str, Any]) -> float | None:
        """Return what a job took on its scenario and model, or else on the same model of other scenarios.

        Args:
            job: flat description of the job.
        """
        for place in _places(job):
            if place in self._sums:
                total, n = self._sums[place]
                return total / n * job["n_explained"]
        return None


def _places(job: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield what two jobs have in common that take equally long, the closest first."""
    loose = (job["method"], job["model"], job["images"], job["image_size"])
    yield (*loose, job["scenario"])
    yield loose


def estimate(left: Sequence[Left], timings: Timings, *, workers: int = 1) -> WorkLeft:
    """Return the work that is left.

    Args:
        left: stages with jobs to do, in the order of the plan.
        timings: of earlier results.
        workers: processes; each draws the patients that it needs.
    """
    methods = _MethodCosts(timings)
    seconds: dict[str, float] = dict.fromkeys(STEPS, 0.0)
    longest, known = 0.0, set()
    # Stages in a row that have the same patients share them, in each process.
    for _, row in groupby(left, key=lambda item: _patients(item[0])):
        stages = list(row)
        drawing = _drawing_seconds(stages[0][0])
        seconds["patients"] += drawing * min(workers, len(stages))
        for stage, jobs, trains, n_truths in stages:
            scenario = (stage.scenario, stage.images, stage.features, stage.image_size, stage.definition)
            steps: dict[str, float] = {
                "patients": _STAGE_SECONDS,
                "truths": 0.0 if scenario in known else _TRUTHS_SECONDS * n_truths / len(ESTIMANDS),
                "networks": _training_seconds(stage) if trains else 0.0,
                "methods": methods.seconds(jobs),
            }
            known.add(scenario)
            seconds = {step: seconds[step] + steps[step] for step in seconds}
            longest = max(longest, drawing + sum(steps.values()))
    return WorkLeft(seconds, longest, methods.n_measured, methods.n_assumed)


def _patients(stage: Stage) -> tuple[object, ...]:
    return stage.images, stage.image_size, stage.n_patients, stage.features, stage.data_seed


def _drawing_seconds(stage: Stage) -> float:
    if stage.images != "phantom":
        return _SCANS_SECONDS
    return _PATIENT_SECONDS * (stage.n_patients or 0) * (stage.image_size / 28) ** 2


def _training_seconds(stage: Stage) -> float:
    plan = models.plan(stage.model)
    n_train = _TRAIN_SHARE * (stage.n_patients or _N_SCANS) * (1 - plan.validation_share)
    n_steps = max(1, round(n_train / plan.batch_size))
    step = _STEP_SECONDS.get(stage.model.partition("(")[0], max(_STEP_SECONDS.values()))
    return step * n_steps * plan.n_epochs(n_steps) * (stage.image_size / 28) ** 2


@dataclass
class _MethodCosts:
    """What the methods of stages take, and how much of it was measured."""

    timings: Timings
    n_measured: int = 0
    n_assumed: int = 0
    _n_modalities: dict[tuple[object, ...], int] = field(default_factory=dict)

    def seconds(self, jobs: Sequence[tuple[Job, Method | None]]) -> float:
        """Return what the jobs of a stage take: what a combination shares with others is done once."""
        done: set[str] = set()
        return sum(self._of(job, method, done) for job, method in jobs if method is not None)

    def _of(self, job: Job, method: Method, done: set[str]) -> float:
        if method.name in done:
            return 0.0
        done.add(method.name)
        if method.components:
            return sum(self._of(job, component, done) for component in method.components)
        # A shallow description: `Job.as_dict` copies deeply, and there may be a hundred thousand.
        earlier = self.timings.seconds(
            {**vars(job.stage), "method": method.name, "n_explained": job.n_explained}
        )
        if earlier is not None:
            self.n_measured += 1
            return earlier
        self.n_assumed += 1
        if method.needs_training:
            return self._retraining_seconds(job.stage)
        on_truth, on_network = _METHOD_SECONDS.get(method.name.partition("(")[0], _UNKNOWN_SECONDS)
        return (on_truth if job.stage.model == models.ORACLE else on_network) * job.n_explained / 2000

    def _retraining_seconds(self, stage: Stage) -> float:
        """Return what a network a modality takes; on the true decision function there is none to train."""
        if stage.model == models.ORACLE or models.weights(stage.model) is not None:
            return 0.0
        what = (stage.scenario, stage.images, stage.features, stage.image_size, stage.definition)
        if what not in self._n_modalities:
            self._n_modalities[what] = len(stage.load_scenario().modalities)
        return self._n_modalities[what] * _training_seconds(stage)
