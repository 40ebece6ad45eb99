"""Execution of jobs: what is missing is handed out, a stage at a time, and every result is stored at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from benchmark.bench import NO_LIMITS, Limits, describe, no_result, set_up
from benchmark.crew import Crew
from benchmark.diagnosis import DIAGNOSIS
from benchmark.executors import WorkerDiedError
from benchmark.recall import look_up
from benchmark.store import Result, Store
from benchmark.streams import heard
from benchmark.suite import Job, Stage
from methods.api import Method
from synthetic.settings import own_settings


@dataclass(frozen=True)
class Task:
    """The jobs of one stage that are to be done, with their methods and keys.

    Attributes:
        stage: data and model.
        jobs: each with its key and its method (None for a control).
        data_root: folder with the OrganMNIST files.
        limits: what each method may take.
    """

    stage: Stage
    jobs: tuple[tuple[Job, str, Method | None], ...]
    data_root: str | None = None
    limits: Limits = NO_LIMITS


class Done(NamedTuple):
    """What came of a task: a result for each of its jobs, and what was printed meanwhile."""

    results: list[Result]
    printed: str = ""


def run(
    jobs: Iterable[Job],
    store: Store,
    executor: Executor,
    *,
    renew: Callable[[], Executor] | None = None,
    window: Callable[[], int] = lambda: 1,
    own_methods: Iterable[Method] = (),
    data_root: Path | None = None,
    limits: Limits = NO_LIMITS,
    on_cached: Callable[[int], None] = lambda _n: None,
    on_result: Callable[[Result, Path], None] = lambda _result, _path: None,
    on_printed: Callable[[Stage, str], None] = lambda _stage, _text: None,
) -> list[Result]:
    """Do the jobs whose results are not there yet, store each result, and return all of them.

    Args:
        jobs: in the order of ``benchmark.suite.plan``.
        store: the run's results; only this process writes there.
        executor: where the work is done; it is shut down in the end. The numbers do not depend on it.
        renew: returns another executor when a worker of the first died; None lets what was in flight fail.
        window: returns how many tasks the executor should have at a time.
        own_methods: methods that no name leads to; jobs refer to them by their name.
        data_root: folder with the OrganMNIST files.
        limits: what each method may take.
        on_cached: called once, with the number of results that are there.
        on_result: called with each new result and the file that holds it.
        on_printed: called with what a task printed, after its results.

    Returns:
        One result a job, in the order of the jobs.

    Raises:
        ValueError: if a result cannot be written; what was written before stays.
    """
    jobs = list(jobs)
    pending, results = _divide(jobs, store, own_methods, data_root, limits)
    on_cached(len(results))
    crew = Crew(execute, executor, renew=renew, window=window)
    try:
        for task, answer in crew.results(pending):
            done = Done(_failed(task, answer)) if isinstance(answer, WorkerDiedError) else answer
            for (job, _, _), result in zip(task.jobs, done.results, strict=True):
                path = store.save(result)
                results[job] = result
                on_result(result, path)
            if done.printed:
                on_printed(task.stage, done.printed)
    finally:
        crew.shutdown()
    return [results[job] for job in jobs]


def execute(task: Task) -> Done:
    """Draw the data, train or recall the model, and run every method of the task.

    A method that raises, or returns what it must not, costs its own result only. Where the data or the
    model cannot be made, every job of the task fails with the reason. Where methods run apart, what they,
    models and libraries print is returned; where they run in the caller's process, it is for him to see.
    """
    if not task.limits.apart:
        return Done(_results(task))
    with heard() as printed:
        results = _results(task)
    return Done(results, printed.text)


def _results(task: Task) -> list[Result]:
    with own_settings(threads=1):
        try:
            trains = any(method is not None and method.trains for _, _, method in task.jobs)
            diagnosed = any(job.method == DIAGNOSIS for job, _, _ in task.jobs)
            bench = set_up(task.stage, task.data_root, keep_train=trains, with_diagnosis=diagnosed)
        except Exception as exception:  # noqa: BLE001 - the other tasks of the run go on
            return _failed(task, exception)
        bench.attribute_together([(job, method) for job, _, method in task.jobs], task.limits)
        return [bench.run(job, key, method, task.limits) for job, key, method in task.jobs]


def _divide(
    jobs: Iterable[Job],
    store: Store,
    own_methods: Iterable[Method],
    data_root: Path | None,
    limits: Limits,
) -> tuple[list[Task], dict[Job, Result]]:
    """Return the tasks to do, a stage each, and the results that are there."""
    pending, results = [], {}
    root = None if data_root is None else str(data_root)
    looked_up = look_up(jobs, store, own_methods)
    for stage, group in groupby(looked_up, key=lambda found: found[0].stage):
        missing = []
        for job, key, method, found in group:
            if found is None:
                missing.append((job, key, method))
            else:
                results[job] = found
        if missing:
            pending.append(Task(stage, tuple(missing), root, limits))
    return pending, results


def _failed(task: Task, exception: BaseException) -> list[Result]:
    """Return a failure with the same reason for every job of a task."""
    reason = describe(exception)
    return [no_result(job, key, method, "failed", reason) for job, key, method in task.jobs]
