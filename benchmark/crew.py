"""Tasks handed to an executor, a few at a time, and what happens when one of its workers dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Generic, TypeVar

from benchmark.executors import WorkerDiedError, how_it_died

T = TypeVar("T")
Answer = TypeVar("Answer")


class Crew(Generic[T, Answer]):
    """An executor, and another one in its place when one of its workers dies.

    Args:
        work: what is done with a task, in the executor.
        executor: where it is done; it is shut down by `shutdown`.
        renew: returns a fresh executor in place of a broken one; None where there is none to be had.
        window: returns how many tasks the executor should have at a time.
    """

    def __init__(
        self,
        work: Callable[[T], Answer],
        executor: Executor,
        *,
        renew: Callable[[], Executor] | None = None,
        window: Callable[[], int] = lambda: 1,
    ) -> None:
        self._work = work
        self._executor = executor
        self._renew = renew
        self._window = window

    def results(self, tasks: Iterable[T]) -> Iterator[tuple[T, Answer | WorkerDiedError]]:
        """Yield each task with its answer as they come, or with the death of the worker that did it.

        Few tasks are handed over at a time: what is done is stored at once, and little is lost on Ctrl-C.
        Where a worker of a local pool dies, nobody knows which task killed it: those in flight are done
        again, one at a time, and one that is alone when a worker dies has failed.
        """
        waiting, suspects, running = iter(tasks), deque[T](), {}
        while True:
            self._hand_out(waiting, suspects, running)
            if not running:
                return
            was_alone = len(running) == 1
            lost, how = [], ""
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    yield task, future.result()
                except WorkerDiedError as error:  # the executor knows which task it was
                    yield task, error
                except BrokenProcessPool as error:
                    lost.append(task)
                    how = how_it_died(error)
            if lost:
                lost += running.values()  # they were in the same pool
                running.clear()
                if was_alone or self._renew is None:
                    yield from ((task, WorkerDiedError(how)) for task in lost)
                else:
                    suspects.extend(lost)
                self._replace()

    def _hand_out(self, waiting: Iterator[T], suspects: deque[T], running: dict[Future[Answer], T]) -> None:
        """Give the executor what it may have: one suspect alone, or as many tasks as fit its window."""
        if suspects:
            if not running:
                self._submit(suspects.popleft(), running)
            return
        for task in islice(waiting, max(0, self._window() - len(running))):
            self._submit(task, running)

    def _replace(self) -> None:
        if self._renew is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = self._renew()

    def _submit(self, task: T, running: dict[Future[Answer], T]) -> None:
        try:
            running[self._executor.submit(self._work, task)] = task
        except BrokenProcessPool as error:  # it broke after its last task was done
            if not running and self._renew is not None:
                self._replace()
                running[self._executor.submit(self._work, task)] = task
                return
            future: Future[Answer] = Future()
            future.set_exception(error)
            running[future] = task

    def shutdown(self) -> None:
        """Let go of the workers; what was not begun is not begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)
