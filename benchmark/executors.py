"""Where work is done: in this process, or in local processes, behind ``concurrent.futures.Executor``."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any

import torch


class WorkerDiedError(Exception):
    """The worker that did a task died; the task may be at fault."""

    def __init__(self) -> None:
        super().__init__(
            "The worker process died (killed, or out of memory) while it made the data, trained the "
            "network or ran a method. The same command tries again."
        )


class InProcessExecutor(Executor):
    """An executor that does the work when it is handed in."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the function at once and return its outcome as a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the caller gets it from the future
            future.set_exception(error)
        return future


def local(workers: int) -> Executor:
    """Return an executor with the given number of workers, each on one thread.

    Small networks train faster in parallel one-thread processes than in one process with many threads, and
    one thread gives the same sums everywhere.

    Raises:
        ValueError: if the number is not positive.
    """
    if workers < 1:
        raise ValueError(f"The number of workers must be at least 1. Got {workers}.")
    if workers == 1:
        return InProcessExecutor()
    # Fresh processes: forking one that has used torch's thread pools may hang.
    return ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    os.dup2(2, 1)  # what a user's module prints is no part of what the command prints
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    """Wait for the driver to end, however it ends, and go with it: a killed run leaves nothing behind."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)
