"""Work on a Dask cluster: the same tasks, done by machines that share nothing but a network.

The driver sends code by name and data by value: workers need Plumbline installed, in the driver's version,
and nothing else. Scans and features that the driver has go along, so that no worker downloads or fits anew.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cloudpickle

from benchmark.executors import WorkerDiedError
from benchmark.parcels import lies_here, packed
from benchmark.recall import code_fingerprint
from synthetic import medmnist
from synthetic.cache import cache_folder, replacing
from synthetic.cache_limit import cache_limit
from synthetic.images import Origin

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SECONDS_TO_CONNECT = 15
_LARGEST_PARCEL = 2**28
"""Bytes that are sent to every worker; larger scans (64 pixels and more) workers look for themselves."""

_ONE_AT_A_TIME = threading.Lock()


class ClusterError(ValueError):
    """The cluster cannot be used, or went away; the message says what to do."""


class ClusterExecutor(Executor):
    """An executor on a Dask cluster.

    Workers may come and go. A task whose worker dies is done by another; one that several workers died of
    raises a WorkerDiedError.

    Args:
        client: connected.
        cluster: started for this executor, and ended with it; None for one that was there.
    """

    def __init__(self, client: Client, cluster: LocalCluster | None = None) -> None:
        self._client: Any = client  # its methods are typed as coroutines or results; here they are results
        self._cluster = cluster
        self._executor = client.get_executor(pure=False)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Hand a call to the cluster and return its outcome as a future."""
        outcome: Future[T] = Future()
        try:
            call = packed((fn, args, kwargs), by_value=lies_here)
        except Exception as error:
            raise ClusterError(
                f"A method cannot be sent to the workers ({type(error).__name__}: {error})."
            ) from error
        try:
            inner = self._executor.submit(_call, call, code_fingerprint())
        except Exception as error:  # noqa: BLE001 - Dask tells a lost scheduler in many ways
            outcome.set_exception(_lost(error))
            return outcome
        inner.add_done_callback(functools.partial(_pass_on, outcome=outcome))
        return outcome

    def n_workers(self) -> int:
        """Return how many workers there are now."""
        try:
            return len(self._client.nthreads())
        except Exception as error:
            raise _lost(error) from error

    def provide(self, origins: Iterable[Origin]) -> None:
        """Send scans and fitted features to all workers, those that join later included.

        Args:
            origins: files that this process has; on a worker that finds the scans itself they are not used.
        """
        parcel = _pack(origins)
        if parcel is None:
            return
        try:
            self._client.register_plugin(_plugin(parcel))
        except Exception as error:
            raise ClusterError(
                f"The scans could not be sent to the workers ({error}). Is this version of Plumbline "
                "installed there?"
            ) from error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in the base class
        """Let go of the cluster, and end it if it was started here."""
        del wait, cancel_futures  # tasks that no client waits for are dropped by the scheduler
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def connect(address: str) -> ClusterExecutor:
    """Return an executor on a Dask cluster.

    Args:
        address: of a scheduler (``tcp://host:8786``), or ``local:N`` for N worker processes on this machine.

    Raises:
        ClusterError: if Dask is not installed, the address is none, nobody answers there, or the workers have
            another version of Plumbline.
    """
    if importlib.util.find_spec("distributed") is None:
        raise ClusterError("--cluster needs Dask. Install it with: pip install dask distributed.")
    kind, _, rest = address.partition(":")
    if kind == "local":
        if not rest.isdecimal() or int(rest) < 1:
            raise ClusterError(
                f"The number of workers in --cluster local:N must be at least 1. Got {address!r}."
            )
        return _start(int(rest))
    if "://" not in address:
        raise ClusterError(
            "The --cluster must be the address of a Dask scheduler, tcp://HOST:PORT, or local:N. "
            f"Got {address!r}."
        )
    from distributed import Client  # noqa: PLC0415 - optional, and slow to load

    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"Nobody answers at --cluster {address} ({error or type(error).__name__}). Start a scheduler "
            "with 'dask scheduler', and workers with 'dask worker ADDRESS --nthreads 1'."
        ) from error
    executor = ClusterExecutor(client)
    try:
        _greet(client)
    except BaseException:
        executor.shutdown()
        raise
    return executor


def _start(n_workers: int) -> ClusterExecutor:
    from distributed import Client, LocalCluster  # noqa: PLC0415 - optional, and slow to load

    cluster = LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",  # any free port; the usual one may be taken
        memory_limit=0,  # methods are kept apart by their own processes; Dask's guess would end honest work
        silence_logs=logging.CRITICAL,
    )
    try:
        return ClusterExecutor(Client(cluster, timeout=_SECONDS_TO_CONNECT, set_as_default=False), cluster)
    except BaseException:
        cluster.close()
        raise


def _greet(client: Any) -> None:
    """Check the scheduler, and the workers that are there."""
    try:
        client.run_on_scheduler(_own_code)
    except Exception as error:
        raise ClusterError(
            f"The scheduler cannot load Plumbline ({error}). Install this version of it where it runs."
        ) from error
    threads = client.nthreads()
    if not threads:
        logger.warning("The cluster has no workers yet. The run begins when one joins.")
        return
    if max(threads.values()) > 1:
        logger.warning(
            "Workers of the cluster have several threads and will use one each; start them with --nthreads 1 "
            "--nworkers N."
        )
    try:
        codes = client.run(_own_code)
    except Exception as error:
        raise ClusterError(
            f"The workers cannot load Plumbline ({error}). Install this version of it where they run."
        ) from error
    for worker, code in codes.items():
        _check_code(code, code_fingerprint(), worker)


def _own_code() -> str:
    """Return the fingerprint of wherever this is called: of a worker's code, if a worker does."""
    return code_fingerprint()


def _check_code(there: str, here: str, worker: str) -> None:
    if there != here:
        raise ClusterError(
            f"The worker {worker} has another version of Plumbline, Python, torch, numpy, scipy or "
            f"scikit-learn than this process ({there}, here {here}): its numbers could differ. "
            "Install the same there."
        )


def _call(call: bytes, code: str) -> Any:
    """Do a task on a worker."""
    from distributed import get_worker  # noqa: PLC0415

    _check_code(code_fingerprint(), code, get_worker().address)
    # Tasks set the process's number of threads and its random state: two at a time would disturb each other.
    with _ONE_AT_A_TIME:
        try:
            fn, args, kwargs = cloudpickle.loads(call)
        except Exception as error:
            raise ClusterError(
                f"The worker cannot load a method ({type(error).__name__}: {error}). Functions of your own "
                "must lie in the current folder, or in a package that is installed on the workers."
            ) from error
        return fn(*args, **kwargs)


def _pass_on(inner: Future[Any], outcome: Future[Any]) -> None:
    """Give the outcome of a future on the cluster to the one that the driver waits for."""
    from distributed.scheduler import KilledWorker  # noqa: PLC0415

    error = CancelledError() if inner.cancelled() else inner.exception()
    if error is None:
        outcome.set_result(inner.result())
    elif isinstance(error, KilledWorker):
        outcome.set_exception(WorkerDiedError())
    elif isinstance(error, ImportError):
        outcome.set_exception(
            ClusterError(
                f"A worker cannot load Plumbline ({error}). Install this version of it where it runs."
            )
        )
    elif isinstance(error, CancelledError) or type(error).__module__.startswith("distributed"):
        outcome.set_exception(_lost(error))
    else:
        outcome.set_exception(error)


def _lost(error: BaseException) -> ClusterError:
    return ClusterError(
        f"The cluster went away ({type(error).__name__}). Results so far are kept; the same command goes on."
    )


@dataclass(frozen=True)
class _Parcel:
    """Files by name: scans, and entries of the cache's folder of features."""

    scans: dict[str, bytes]
    features: dict[str, bytes]


def _pack(origins: Iterable[Origin]) -> _Parcel | None:
    """Return the files to send; None if there are none, or they are too large."""
    scans, entries = {}, {}
    for origin in origins:
        scans[origin.scans.name] = origin.scans
        entry = cache_folder() / "features" / f"{origin.features}.safetensors"
        if entry.exists():
            entries[entry.name] = entry
    size = sum(path.stat().st_size for path in scans.values())
    if size > _LARGEST_PARCEL:
        logger.warning(
            "The scans are too large to be sent (%s bytes): workers look for their own.", f"{size:,}"
        )
        scans = {}
    if not scans and not entries:
        return None
    return _Parcel(*({name: path.read_bytes() for name, path in part.items()} for part in (scans, entries)))


def _plugin(parcel: _Parcel) -> Any:
    from distributed import WorkerPlugin  # noqa: PLC0415 - optional

    class Provisions(WorkerPlugin):
        name = "plumbline-provisions"

        def setup(self, worker: Any) -> None:
            _unpack(parcel, Path(worker.local_directory))

    return Provisions()


def _unpack(parcel: _Parcel, folder: Path) -> None:
    """Put the files where the generator of a worker looks for them."""
    if cache_limit() != 0:
        place = cache_folder() / "features"
        place.mkdir(parents=True, exist_ok=True)
        for name, raw in parcel.features.items():
            if not (place / name).exists():
                with replacing(place / name) as file:
                    file.write(raw)
    missing = {name: raw for name, raw in parcel.scans.items() if medmnist.find(name) is None}
    if missing:
        place = folder / "plumbline-scans"
        place.mkdir(parents=True, exist_ok=True)
        for name, raw in parcel.scans.items():
            with replacing(place / name) as file:
                file.write(raw)
        os.environ["PLUMBLINE_DATA"] = str(place)
