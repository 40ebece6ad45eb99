"""Where work is done: in this process, or in local processes, behind ``concurrent.futures.Executor``."""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import cloudpickle
import torch
from loky import ProcessPoolExecutor

from benchmark.parcels import has_no_name, packed


class WorkerDiedError(Exception):
    """The worker that did a task died; the task may be at fault.

    Args:
        how: how its process ended, if that is known.
    """

    def __init__(self, how: str = "") -> None:
        told = f" ({how})" if how else ""
        super().__init__(
            f"The worker process died{told} while it made the data, trained the network or ran a method. "
            "The same command tries again."
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


class LocalExecutor(Executor):
    """Worker processes of this machine, each on one thread.

    They are fresh processes, since forking one that has used torch's thread pools may hang, and they do not
    run the caller's script again: no ``if __name__ == "__main__"`` is needed. What was defined there, or in a
    notebook, goes to them by value.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self._pool = ProcessPoolExecutor(workers, initializer=_start_worker)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand a call to a worker and return its outcome as a future."""
        return self._pool.submit(_call, packed((fn, args, kwargs), by_value=has_no_name))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in the base class
        """Let go of the workers; what they are at is lost where futures are cancelled."""
        self._pool.shutdown(wait=wait, kill_workers=cancel_futures)


def local(workers: int) -> Executor:
    """Return an executor with the given number of workers, each on one thread.

    Small networks train faster in parallel one-thread processes than in one process with many threads, and
    one thread gives the same sums everywhere.

    Raises:
        ValueError: if the number is not positive.
    """
    if workers < 1:
        raise ValueError(f"The number of workers must be at least 1. Got {workers}.")
    if workers > 1 and multiprocessing.current_process().daemon:
        raise ValueError(
            "Several workers need a process that may start others. Got a daemonic one (of a pool); use one "
            "worker."
        )
    return InProcessExecutor() if workers == 1 else LocalExecutor(workers)


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def how_it_died(error: BaseException) -> str:
    """Return how the workers of a broken pool ended, in words: ``"SIGKILL: out of memory, perhaps"``."""
    codes = re.search(r"exit codes of the workers are \{(.*?)\}", str(error))
    told = "" if codes is None else re.sub(r"\(-?\d+\)", "", codes[1])
    ended = dict.fromkeys(it.strip() for it in told.split(",") if it.strip())
    return ", ".join(f"{it}: out of memory, perhaps" if it == "SIGKILL" else it for it in ended)


def _call(call: bytes) -> Any:
    fn, args, kwargs = cloudpickle.loads(call)
    return fn(*args, **kwargs)


def _start_worker() -> None:
    os.dup2(2, 1)  # what a user's module prints is no part of what the command prints
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_driver, args=(os.getppid(),), daemon=True).start()


def _end_with_driver(driver: int) -> None:
    """Wait for the driver to end, however it ends, and go with it: a killed run leaves nothing behind."""
    while os.getppid() == driver:
        time.sleep(0.5)
    os._exit(1)
