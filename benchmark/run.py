"""Execution of jobs: the only place where data, models, methods and controls meet."""

from __future__ import annotations

import logging
import random
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch

import synthetic
from benchmark import models, sandbox
from benchmark.controls import CONTROLS
from benchmark.metering import meter
from benchmark.models import HybridNetwork
from benchmark.recall import look_up, network_folder, network_key
from benchmark.store import CONTROL, Result, Status, Store
from benchmark.suite import Job, Stage
from benchmark.training import Fidelity, fidelity, fit, input_shapes
from methods.api import Attribution, FusionModel, Method
from synthetic.cache import load as load_cached
from synthetic.cache import save as save_cached
from synthetic.seeding import numpy_rng
from synthetic.threads import single_thread
from synthetic.types import Dataset, Samples, Truth

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """The jobs of one stage that are to be done, with their methods and keys.

    Attributes:
        stage: data and model.
        jobs: each with its key and its method (None for a control).
        data_root: folder with the OrganMNIST files.
        apart: each method runs in a process of its own.
        timeout: seconds that a method may take.
    """

    stage: Stage
    jobs: tuple[tuple[Job, str, Method | None], ...]
    data_root: str | None = None
    apart: bool = False
    timeout: float | None = None


def run(
    jobs: Iterable[Job],
    store: Store,
    executor: Executor,
    *,
    renew: Callable[[], Executor] | None = None,
    window: int = 1,
    own_methods: Iterable[Method] = (),
    data_root: Path | None = None,
    apart: bool = False,
    timeout: float | None = None,
    report: Callable[[str, int], None] = lambda _what, _n: None,
) -> list[Result]:
    """Do the jobs whose results are not there yet, store each result, and return all of them.

    Args:
        jobs: in the order of ``benchmark.suite.plan``.
        store: the run's results; only this process writes there.
        executor: where the work is done; it is shut down in the end. The numbers do not depend on it.
        renew: returns another executor when a worker of the first died; None lets what was in flight fail.
        window: tasks that are handed to the executor at a time.
        own_methods: methods that no name leads to; jobs refer to them by their name.
        data_root: folder with the OrganMNIST files.
        apart: run each method in a process of its own, so that one that ends its process, uses up the memory
            or changes the network costs its own result only. Needs fork; elsewhere it is ignored.
        timeout: seconds that a method may take; needs ``apart``.
        report: called with ``"cached"``, or the status of a result, and a number of results.

    Returns:
        One result a job, in the order of the jobs.

    Raises:
        ValueError: if there is a timeout that could not be enforced, or it is not positive.
    """
    if timeout is not None and not (timeout > 0 and apart and sandbox.is_available()):
        raise ValueError(
            "The 'timeout' must be positive, and needs methods to run in processes of their own "
            f"(a system with fork). Got {timeout!r}."
        )
    jobs = list(jobs)
    pending, results = _divide(jobs, store, own_methods, data_root)
    pending = [replace(task, apart=apart and sandbox.is_available(), timeout=timeout) for task in pending]
    report("cached", len(results))
    crew = _Crew(executor, renew)
    try:
        for task, found in crew.work(pending, window):
            for (job, _, _), result in zip(task.jobs, found, strict=True):
                store.save(result)
                results[job] = result
                report(result.status, 1)
    finally:
        crew.shutdown()
    return [results[job] for job in jobs]


class _Crew:
    """An executor, and another one in its place when one of its workers dies.

    Args:
        executor: where the work is done.
        renew: returns a fresh executor; None where there is none to be had.
    """

    def __init__(self, executor: Executor, renew: Callable[[], Executor] | None) -> None:
        self._executor = executor
        self._renew = renew

    def work(self, tasks: Iterable[Task], window: int) -> Iterator[tuple[Task, list[Result]]]:
        """Yield each task with its results, as they come.

        Few tasks are handed over at a time: what is done is stored at once, and little is lost on Ctrl-C.
        Where a worker dies, nobody knows which task killed it: those in flight are done again, one at a time,
        and one that is alone when a worker dies has failed.
        """
        waiting, suspects, running = iter(tasks), deque[Task](), {}
        while True:
            if suspects:
                if not running:
                    self._submit(suspects.popleft(), running)
            else:
                for task in islice(waiting, window - len(running)):
                    self._submit(task, running)
            if not running:
                return
            was_alone = len(running) == 1
            lost = []
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    yield task, future.result()
                except BrokenProcessPool:
                    lost.append(task)
            if lost:
                lost += running.values()  # they were in the same pool
                running.clear()
                if was_alone or self._renew is None:
                    yield from ((task, _failed(task, RuntimeError(_DIED))) for task in lost)
                else:
                    suspects.extend(lost)
                self._replace()

    def _replace(self) -> None:
        if self._renew is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = self._renew()

    def _submit(self, task: Task, running: dict[Future[list[Result]], Task]) -> None:
        try:
            running[self._executor.submit(execute, task)] = task
        except BrokenProcessPool as error:  # it broke after its last task was done
            future: Future[list[Result]] = Future()
            future.set_exception(error)
            running[future] = task

    def shutdown(self) -> None:
        """Let go of the workers; what was not begun is not begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)


_DIED = (
    "The worker process died (killed, or out of memory) while it made the data, trained the network or ran a "
    "method. The same command tries again."
)


def _divide(
    jobs: Iterable[Job], store: Store, own_methods: Iterable[Method], data_root: Path | None
) -> tuple[list[Task], dict[Job, Result]]:
    """Return the tasks to do, a stage each, and the results that are there."""
    pending, results = [], {}
    looked_up = look_up(jobs, store, own_methods)
    for stage, group in groupby(looked_up, key=lambda found: found[0].stage):
        missing = []
        for job, key, method, found in group:
            if found is None:
                missing.append((job, key, method))
            else:
                results[job] = found
        if missing:
            pending.append(Task(stage, tuple(missing), None if data_root is None else str(data_root)))
    return pending, results


def execute(task: Task) -> list[Result]:
    """Draw the data, train or recall the model, and run every method of the task.

    A method that raises, or returns what it must not, costs its own result only. Where the data or the
    model cannot be made, every job of the task fails with the reason.
    """
    with single_thread():
        try:
            bench = set_up(task.stage, task.data_root)
        except Exception as exception:  # noqa: BLE001 - the other tasks of the run go on
            return _failed(task, exception)
        return [
            bench.run(job, key, method, apart=task.apart, timeout=task.timeout)
            for job, key, method in task.jobs
        ]


@dataclass
class Bench:
    """A model and its samples, set up for one method after another.

    Attributes:
        stage: data and model.
        model: the trained network, or the oracle.
        explain: the samples that methods get, as the model sees them.
        truth: estimand → truth; for controls and results, never for methods.
        learnt: fidelity of the model.
        attributed: what was already attributed, for combinations to share.
    """

    stage: Stage
    model: FusionModel
    explain: Samples
    truth: Mapping[str, Truth]
    learnt: Fidelity
    attributed: dict[tuple[str, int, int], _Attributed] = field(default_factory=dict)

    def run(
        self,
        job: Job,
        key: str,
        method: Method | None,
        *,
        apart: bool = False,
        timeout: float | None = None,
    ) -> Result:
        """Return the result of a job: done, failed or timeout.

        Args:
            job: the job.
            key: its key.
            method: its method; None for a control.
            apart: run the method in a process of its own.
            timeout: seconds that it may take there.
        """
        status: Status = "done"
        outcome, error = _Attributed({}, 0, 0.0), ""
        try:
            if method is None:
                outcome = self._control(job)
            elif apart:
                outcome = self._attribute_apart(job, method, timeout)
            else:
                with _undisturbed():
                    outcome = self._attribute(job, method)
        except sandbox.SandboxError as exception:
            status = "timeout" if isinstance(exception, sandbox.SandboxTimeoutError) else "failed"
            error = str(exception)
        except (Exception, SystemExit) as exception:  # noqa: BLE001 - a method may raise anything
            status, error = "failed", _describe(exception)
        return Result(
            job=job.as_dict(),
            key=key,
            status=status,
            method_version="1" if method is None else method.version,
            targets=CONTROL if method is None else method.estimand,
            truth={name: dict(truth.modalities) for name, truth in self.truth.items()},
            truth_se={name: dict(truth.standard_error) for name, truth in self.truth.items()},
            importances=dict(outcome.importances),
            fidelity=asdict(self.learnt),
            model_calls=outcome.model_calls,
            seconds=round(outcome.seconds, 4),
            error=error,
        )

    def _control(self, job: Job) -> _Attributed:
        # The first truth; scored against another, the telling control tells that one (`controls.told`).
        truth = next(iter(self.truth.values())).modalities
        return _Attributed(CONTROLS[job.method](truth, self._rng(job)), 0, 0.0)

    def _attribute_apart(self, job: Job, method: Method, timeout: float | None) -> _Attributed:
        """Run a method in a process of its own, and keep what it said for combinations to share."""

        def work() -> list[list[object]]:
            known = set(self.attributed)
            self._attribute(job, method)
            return [[*place, asdict(said)] for place, said in self.attributed.items() if place not in known]

        place = (method.name, job.method_seed, job.n_explained)
        if place not in self.attributed:
            for name, seed, n, said in sandbox.apart(work, timeout=timeout):
                self.attributed[name, seed, n] = _Attributed(**said)
        return self.attributed[place]

    def _attribute(self, job: Job, method: Method) -> _Attributed:
        """Run a method, or recall what it said: a combination shares the results of its components."""
        place = (method.name, job.method_seed, job.n_explained)
        if place not in self.attributed:
            start = time.perf_counter()
            metered = meter(self.model)
            if method.components:
                parts = [
                    self._attribute(replace(job, method=component.name), component)
                    for component in method.components
                ]
                attribution = method.combine(
                    metered,
                    {
                        component.name: Attribution(part.importances)
                        for component, part in zip(method.components, parts, strict=True)
                    },
                )
                calls, seconds = sum(part.model_calls for part in parts), sum(part.seconds for part in parts)
            else:
                samples = self.explain.take(slice(0, job.n_explained)).as_float()
                attribution = method.attribute(metered, samples, self._rng(job))
                calls, seconds = metered.model_calls, time.perf_counter() - start
            self.attributed[place] = _Attributed(attribution.modalities, calls, seconds)
        return self.attributed[place]

    def _rng(self, job: Job) -> np.random.Generator:
        return numpy_rng("method", job.method, job.method_seed, self.stage.scenario)


@dataclass(frozen=True)
class _Attributed:
    importances: Mapping[str, float]
    model_calls: int
    seconds: float


def set_up(stage: Stage, data_root: str | None = None) -> Bench:
    """Draw a stage's data and train or recall its model.

    Args:
        stage: data and model.
        data_root: folder with the OrganMNIST files.
    """
    scenario = stage.load_scenario()
    dataset = synthetic.generate(scenario, seed=stage.data_seed, n=stage.n_patients, data_root=data_root)
    if stage.model == models.ORACLE:
        model: FusionModel = models.oracle(dataset, scenario.decision)
        explain, test = models.oracle_samples(dataset, "explain"), models.oracle_samples(dataset, "test")
    else:
        model, explain, test = _trained(stage, dataset), dataset.explain, dataset.test
    truth = _truths(dataset)
    best = truth["bayes_accuracy"].summary if "bayes_accuracy" in truth else {}
    learnt = fidelity(
        model,
        test,
        scenario.decision(dataset.latents["test"].double()),
        chance=best.get("chance", max(scenario.labels.shares)),
        ceiling=best.get("all", 1 - scenario.labels.noise),
    )
    # Where an estimand is 0 for every modality (no interactions), there are no shares to compare with.
    telling = {name: found for name, found in truth.items() if found.informative}
    return Bench(stage, model, explain, telling, learnt)


def _truths(dataset: Dataset) -> dict[str, Truth]:
    """Return the truths that can be had: with many modalities, some would need too many integrals."""
    found = {}
    for estimand in dataset.truth:
        try:
            found[estimand] = dataset.truth[estimand]
        except ValueError:
            logger.warning("There is no %s truth of %s: too many subsets.", estimand, dataset.scenario)
    return found


def _trained(stage: Stage, dataset: Dataset) -> HybridNetwork:
    """Return the stage's network: from the cache where it was trained before, else trained and kept."""
    folder, key = network_folder(), network_key(stage)
    found = load_cached(key, folder=folder)
    if found is not None:
        network = models.build(stage.model, input_shapes(dataset.train))
        network.load_state_dict(found[0])
        return network.eval().requires_grad_(requires_grad=False)
    network = fit(stage.model, dataset.train, seed=stage.train_seed)
    save_cached(key, network.state_dict(), {"stage": repr(stage)}, folder=folder)
    return network


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Undo what a method may do to global state, so that it cannot change the results of the next one."""
    dtype, grad, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    draws, numpy_draws = random.getstate(), np.random.get_state()  # noqa: NPY002 - others may use it
    try:
        with torch.random.fork_rng(devices=[]), np.errstate(), warnings.catch_warnings():
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.set_num_threads(threads)
        random.setstate(draws)
        np.random.set_state(numpy_draws)  # noqa: NPY002


def _failed(task: Task, exception: BaseException) -> list[Result]:
    """Return a failure with the same reason for every job of a task."""
    return [
        Result(
            job=job.as_dict(),
            key=key,
            status="failed",
            method_version="1" if method is None else method.version,
            targets=CONTROL if method is None else method.estimand,
            error=_describe(exception),
        )
        for job, key, method in task.jobs
    ]


def _describe(exception: BaseException) -> str:
    return "".join(traceback.format_exception(exception))
