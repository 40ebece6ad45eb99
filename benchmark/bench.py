"""Data, model and method meet here, and nowhere else: what comes of one method on one model."""

from __future__ import annotations

import logging
import time
import traceback
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

import synthetic
from benchmark import models, sandbox
from benchmark.controls import CONTROLS
from benchmark.diagnosis import DIAGNOSIS, Diagnosis, diagnose
from benchmark.door import find_answers, forget
from benchmark.maps import MAP_CONTROLS, N_SCORED, TrueMaps, shrunk
from benchmark.metering import MeteredModel, meter
from benchmark.models import FusionNetwork
from benchmark.recall import network_folder, network_key
from benchmark.retraining import Retraining
from benchmark.said import Said, feature_shares
from benchmark.store import CONTROL, Result, Status
from benchmark.suite import Job, Stage
from benchmark.training import Fidelity, fidelity, fit, input_shapes
from methods import is_built_in
from methods.admission import N_PROBED, admit
from methods.api import Attribution, BudgetError, FusionModel, Method, NotApplicableError
from synthetic.cache import load as load_cached
from synthetic.cache import save as save_cached
from synthetic.seeding import numpy_rng
from synthetic.types import Dataset, Modality, Samples, Truth

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What a method may take, and where it runs. None of it changes a number.

    Attributes:
        apart: it runs in a process of its own; needs fork, elsewhere it is ignored.
        timeout: seconds that it may take there; None for ``LONGEST``.
        budget: model calls that it may make; None for no limit.
    """

    apart: bool = False
    timeout: float | None = None
    budget: int | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None and not (self.timeout > 0 and self.apart and sandbox.is_available()):
            raise ValueError(
                "The 'timeout' must be positive, and needs methods to run in processes of their own "
                f"(a system with fork). Got {self.timeout!r}."
            )
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"The 'budget' must be at least one model call. Got {self.budget!r}.")


NO_LIMITS = Limits()

LONGEST = 6 * 3600.0
"""Seconds after which a method in a process of its own is ended where no limit is set: it may hang for ever,
as one does that asks for threads which its parent had."""


@dataclass
class Bench:
    """A model and its samples, set up for one method after another.

    Attributes:
        stage: data and model.
        model: the trained network, or the oracle, as it was admitted.
        explain: the samples that methods get, as the model sees them.
        truth: estimand → truth; for controls and results, never for methods.
        learnt: fidelity of the model.
        modalities: of the data.
        summaries: estimand → further numbers of its truth, also where it has no shares.
        true_maps: what maps of pixels are held against; None where the model sees no image.
        train: the training split, for methods that train networks; None where there is nothing to train, or
            nobody to do it.
        diagnosis: of the network, or why there is none; for results, never for methods.
        attributed: what was already attributed, for combinations to share.
        fates: what became of methods that said nothing, and why.
        answers: what in this process holds an answer; gone where a method runs in a process of its own.
    """

    stage: Stage
    model: FusionModel
    explain: Samples
    truth: Mapping[str, Truth]
    learnt: Fidelity
    modalities: tuple[Modality, ...]
    summaries: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    true_maps: TrueMaps | None = None
    train: Samples | None = None
    diagnosis: Diagnosis | str = field(default_factory=dict)
    attributed: dict[tuple[str, int, int], Said] = field(default_factory=dict)
    fates: dict[tuple[str, int, int], tuple[Status, str]] = field(default_factory=dict)
    answers: list[weakref.ref[object]] = field(default_factory=find_answers)

    def run(self, job: Job, key: str, method: Method | None, limits: Limits = NO_LIMITS) -> Result:
        """Return the result of a job, whatever became of it.

        Args:
            job: the job.
            key: its key.
            method: its method; None for a control.
            limits: what the method may take.
        """
        said, finer, status, error = Said(), {}, "done", ""
        try:
            if job.method == DIAGNOSIS:
                return self._diagnosed(job, key)
            if method is None:
                said = self._control(job)
            elif limits.apart and sandbox.is_available():
                said, status, error = self._attribute_apart(job, method, limits)
            else:
                said = self._attribute(job, method, limits.budget)
            finer = self._finer(job, said, "" if method is None else method.estimand)
        except sandbox.SandboxTimeoutError as exception:
            status, error = "timeout", str(exception)
        except sandbox.SandboxError as exception:
            status, error = "failed", str(exception)
        except (Exception, SystemExit) as exception:  # noqa: BLE001 - a method may raise anything
            said, (status, error) = Said(), _fate(exception)
        result = replace(
            no_result(job, key, method, status, error),
            truth={name: dict(truth.modalities) for name, truth in self.truth.items()},
            truth_se={name: dict(truth.standard_error) for name, truth in self.truth.items()},
            importances=dict(said.importances),
            importances_se=dict(said.standard_error),
            signed=dict(said.signed),
            **finer,
            fidelity=asdict(self.learnt),
            flags=list(said.flags),
            model_calls=said.model_calls,
            seconds=round(said.seconds, 4),
        )
        self.answers.append(weakref.ref(result))
        return result

    def _diagnosed(self, job: Job, key: str) -> Result:
        """Return the result of the job that diagnoses the network."""
        if isinstance(self.diagnosis, str):
            return no_result(job, key, None, "failed", self.diagnosis)
        result = replace(
            no_result(job, key, None, "done", ""), diagnosis=self.diagnosis, fidelity=asdict(self.learnt)
        )
        self.answers.append(weakref.ref(result))
        return result

    def _finer(self, job: Job, said: Said, targets: str) -> dict[str, Any]:
        """Return what a result holds beside modalities, with the truths of the same."""
        found: dict[str, Any] = {}
        if said.features:
            tables = [(it.name, it.features) for it in self.modalities if it.name in said.features]
            shares = {name: feature_shares(it.features, tables) for name, it in self.truth.items()}
            found["features"] = dict(said.features)
            found["feature_truth"] = {name: share for name, share in shares.items() if share}
        joint = self.truth.get("interaction")
        if said.interactions and joint is not None:
            found["interactions"] = [list(part) for part in said.interactions]
            found["pair_truth"] = [
                [*pair, value, joint.pairs_standard_error.get(pair, 0.0)]
                for pair, value in joint.pairs.items()
            ]
        known = self.summaries.get(targets, {})
        if told := {name: value for name, value in said.summary.items() if name in known}:
            found["summary"], found["summary_truth"] = told, dict(known)
        if said.pixels and self.true_maps is not None:
            found["pixels"] = self.true_maps.scores(said.pixels)
            if job.stage.data_seed == 0:
                found["maps"] = shrunk(said.pixels)
        return found

    def attribute_together(self, jobs: Iterable[tuple[Job, Method | None]], limits: Limits) -> None:
        """Run the project's own methods in one process apart, and keep what they say for `run` to find.

        A process a method costs a tenth of the work on small networks. Methods of others get one each, since
        they may change whatever they like there; so do those that train, whose samples the rest must not
        see; and so do, in `run`, all of them if that process is lost.

        Args:
            jobs: with their methods.
            limits: what each method may take; with a timeout, each needs a process that can be ended.
        """
        own = [
            (job, method)
            for job, method in jobs
            if method is not None and is_built_in(method) and not method.trains
        ]
        if len(own) < 2 or not limits.apart or limits.timeout is not None or not sandbox.is_available():
            return

        try:
            self._run_apart(own, limits, self.explain, set(self.attributed))
        except sandbox.SandboxError as error:
            logger.warning("The methods on %s are run one by one: %s", self.stage.scenario, error)

    def _run_apart(
        self,
        jobs: Sequence[tuple[Job, Method]],
        limits: Limits,
        explain: Samples,
        known: set[tuple[str, int, int]],
        *,
        train: Samples | None = None,
    ) -> None:
        """Run methods in one process apart; keep what they say, and what became of those that say nothing.

        Args:
            jobs: with their methods.
            limits: what each may take.
            explain: the samples that they get.
            known: what was said before that they may share.
            train: the training split, for those that train networks.
        """

        def work() -> list[list[list[Any]]]:
            # This process is a copy: what methods must not see goes here, and stays in the parent.
            self.attributed = {place: said for place, said in self.attributed.items() if place in known}
            self.truth, self.true_maps, self.explain, self.train = {}, None, explain, train
            self.summaries, self.diagnosis = {}, {}
            forget(self.answers)
            fates = []
            for job, method in jobs:
                try:
                    self._attribute(job, method, limits.budget)
                except (Exception, SystemExit) as exception:  # noqa: BLE001 - a method may raise anything
                    fates.append([*_place(job, method), *_fate(exception)])
            said = [[*place, said.packed()] for place, said in self.attributed.items() if place not in known]
            return [said, fates]

        found, fates = sandbox.apart(work, timeout=limits.timeout or LONGEST * len(jobs))
        self.attributed |= {(name, seed, n): Said.unpacked(said) for name, seed, n, said in found}
        self.fates |= {(name, seed, n): (status, error) for name, seed, n, status, error in fates}

    def _control(self, job: Job) -> Said:
        if job.method in MAP_CONTROLS:
            if self.true_maps is None:
                raise NotApplicableError("needs an image")
            drawn = MAP_CONTROLS[job.method](self.true_maps, self._rng(job))
            return Said(pixels={name: maps[: job.n_explained] for name, maps in drawn.items()})
        # The first truth; scored against another, the telling control tells that one (`controls.told`).
        truth = next(iter(self.truth.values())).modalities
        return Said(CONTROLS[job.method](truth, self._rng(job)))

    def _attribute_apart(self, job: Job, method: Method, limits: Limits) -> tuple[Said, Status, str]:
        """Run a method in a process of its own; return what it said, its status, and the reason for that."""
        place = _place(job, method)
        if place not in self.attributed and place not in self.fates:
            names = {method.name, *(part.name for part in method.components)}
            known = {place for place in self.attributed if place[0] in names}
            with_labels = method.needs_labels or any(part.needs_labels for part in method.components)
            explain = self.explain if with_labels else self.explain.without_labels()
            train = self.train if method.trains else None
            self._run_apart([(job, method)], limits, explain, known, train=train)
        return self.attributed.get(place, Said()), *self.fates.get(place, ("done", ""))

    def _attribute(self, job: Job, method: Method, budget: int | None) -> Said:
        """Run a method, or recall what it said: a combination shares the results of its components."""
        place = _place(job, method)
        if place not in self.attributed:
            start = time.perf_counter()
            metered = meter(self.model, budget=budget)
            if method.components:
                parts = [
                    self._attribute(replace(job, method=component.name), component, budget)
                    for component in method.components
                ]
                attribution = method.combine(
                    metered,
                    {
                        component.name: Attribution(part.importances, flags=tuple(part.flags))
                        for component, part in zip(method.components, parts, strict=True)
                    },
                )
                calls, seconds = sum(part.model_calls for part in parts), sum(part.seconds for part in parts)
                if budget is not None and calls > budget:
                    raise BudgetError(
                        f"Its components asked for {calls:,} model calls together; its budget is {budget:,}."
                    )
            else:
                samples = self.explain.take(slice(0, job.n_explained))
                retrain = self._retraining(metered) if method.needs_training else None
                attribution = method.attribute(metered, samples, self._rng(job), retrain=retrain)
                calls, seconds = metered.model_calls, time.perf_counter() - start
                seconds += 0.0 if retrain is None else retrain.recalled_seconds
            metered.check_budget()  # a method may have caught the error and gone on with what it had
            self.attributed[place] = Said.of(
                attribution, tables=self._tables(method), n_maps=N_SCORED, model_calls=calls, seconds=seconds
            )
        return self.attributed[place]

    def _tables(self, method: Method) -> dict[str, int]:
        """Return table → columns; none where what a method sees of a table is not its columns."""
        tables = {it.name: len(it.latents) for it in self.modalities if it.kind == "table"}
        if method.level == "input":
            return tables
        few = self.explain.take(slice(0, 2)).as_float().inputs
        with torch.no_grad():
            joint = self.model.encode(few)
        for name in tables:
            seen = joint[:, self.model.groups[name]]
            if seen.shape != few[name].shape or not torch.equal(seen, few[name]):
                return {}
        return tables

    def _retraining(self, metered: MeteredModel) -> Retraining | None:
        """Return what trains networks for one method; None on the oracle, where there is nothing to train."""
        if self.train is None:
            return None
        return Retraining(self.stage, self.model, self.train, metered, fit=_trained)

    def _rng(self, job: Job) -> np.random.Generator:
        return numpy_rng("method", job.method, job.method_seed, self.stage.scenario)


def _place(job: Job, method: Method) -> tuple[str, int, int]:
    """Return under what name a bench keeps what a method said."""
    return method.name, job.method_seed, job.n_explained


def set_up(
    stage: Stage, data_root: str | None = None, *, keep_train: bool = True, with_diagnosis: bool = True
) -> Bench:
    """Draw a stage's data and train or recall its model.

    Args:
        stage: data and model.
        data_root: folder with the OrganMNIST files.
        keep_train: keep the training split, for methods that train networks.
        with_diagnosis: diagnose the network, for the job that says so.
    """
    scenario = stage.load_scenario()
    dataset = synthetic.generate(scenario, seed=stage.data_seed, n=stage.n_patients, data_root=data_root)
    if stage.model == models.ORACLE:
        model: FusionModel = models.oracle(dataset, scenario.decision)
        explain, test = models.oracle_samples(dataset, "explain"), models.oracle_samples(dataset, "test")
    else:
        (model, _, _), explain, test = _trained(stage, dataset.train), dataset.explain, dataset.test
    is_trained = stage.model != models.ORACLE and models.weights(stage.model) is None
    admitted, _ = admit(model, explain.take(slice(0, N_PROBED)))
    truth = _truths(dataset)
    best = truth["bayes_accuracy"].summary if "bayes_accuracy" in truth else {}
    learnt = fidelity(
        admitted,
        test,
        scenario.decision(dataset.latents["test"].double()),
        chance=best.get("chance", max(scenario.labels.shares)),
        ceiling=best.get("all", 1 - scenario.labels.noise),
    )
    # Where an estimand is 0 for every modality (no interactions), there are no shares to compare with.
    telling = {name: found for name, found in truth.items() if found.informative}
    true_maps = None if stage.model == models.ORACLE else TrueMaps.of(dataset, scenario)
    is_network = stage.model != models.ORACLE
    train = dataset.train if keep_train and is_trained else None
    # A network of the project's own kind can be told what is missing, and says what it sees.
    diagnosed = model if isinstance(model, FusionNetwork) else admitted
    diagnosis = _diagnosis(stage, diagnosed, test, truth) if with_diagnosis and is_network else {}
    return Bench(
        stage,
        admitted,
        explain,
        telling,
        learnt,
        dataset.modalities,
        {name: found.summary for name, found in truth.items()},
        true_maps,
        train,
        diagnosis,
    )


def _diagnosis(
    stage: Stage, model: FusionModel, test: Samples, truth: Mapping[str, Truth]
) -> Diagnosis | str:
    """Return the diagnosis of a network, or why there is none: that must not cost the results of methods."""
    try:
        return diagnose(model, test, truth, numpy_rng(DIAGNOSIS, stage.scenario, stage.train_seed))
    except Exception as exception:  # noqa: BLE001 - the network may be a user's own
        return describe(exception)


def _truths(dataset: Dataset) -> dict[str, Truth]:
    """Return the truths that can be had: with many modalities, some would need too many integrals."""
    found = {}
    for estimand in dataset.truth:
        try:
            found[estimand] = dataset.truth[estimand]
        except ValueError:
            logger.warning("There is no %s truth of %s: too many subsets.", estimand, dataset.scenario)
    return found


def _trained(
    stage: Stage, train: Samples, modalities: Sequence[str] = ()
) -> tuple[FusionNetwork, float, bool]:
    """Return the stage's network: from the cache where it was trained before, else trained and kept.

    One that comes with weights is built with these. One of a user's own is trained each time: what its class
    does now cannot be told from its name.

    Args:
        stage: data and model.
        train: the training split.
        modalities: what to train on, in order; none for all that there are.

    Returns:
        The network, the seconds that its training took, and whether it was recalled.
    """
    if modalities:
        train = Samples({name: train.inputs[name] for name in modalities}, train.labels)
    if models.weights(stage.model) is not None:
        network = models.build(stage.model, input_shapes(train))
        return network.eval().requires_grad_(requires_grad=False), 0.0, False
    is_known = models.is_built_in(stage.model)
    n_classes = stage.load_scenario().labels.n_classes  # of the scenario: a small split may lack one
    folder, key = network_folder(), network_key(stage, modalities)
    found = load_cached(key, folder=folder) if is_known else None
    if found is not None:
        weights, about = found
        network = models.build(stage.model, input_shapes(train), n_classes=n_classes)
        network.load_state_dict(weights)
        return network.eval().requires_grad_(requires_grad=False), float(about.get("seconds", 0)), True
    start = time.perf_counter()
    network = fit(stage.model, train, seed=stage.train_seed, n_classes=n_classes)
    seconds = time.perf_counter() - start
    if is_known:
        about = {"stage": repr(stage), "modalities": ", ".join(train.inputs), "seconds": f"{seconds:.4f}"}
        save_cached(key, network.state_dict(), about, folder=folder)
    return network, seconds, False


def no_result(job: Job, key: str, method: Method | None, status: Status, error: str) -> Result:
    """Return a result without numbers.

    Args:
        job: the job.
        key: its key.
        method: its method; None for a control.
        status: what became of it.
        error: why.
    """
    return Result(
        job=job.as_dict(),
        key=key,
        status=status,
        method_version="1" if method is None else method.version,
        targets=DIAGNOSIS if job.method == DIAGNOSIS else CONTROL if method is None else method.estimand,
        error=error,
    )


def describe(exception: BaseException) -> str:
    """Return an exception with its traceback."""
    return "".join(traceback.format_exception(exception))


def _fate(exception: BaseException) -> tuple[Status, str]:
    """Return what an exception of a method means for its result."""
    if isinstance(exception, NotApplicableError):
        return "skipped", str(exception)
    if isinstance(exception, BudgetError):
        return "over-budget", str(exception)
    return "failed", describe(exception)
