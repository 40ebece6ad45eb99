"""Runs on a Dask cluster of real processes: a scheduler and workers on this machine's loopback."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

pytest.importorskip("distributed", reason="needs the extra [cluster]")

from distributed import Client

from benchmark import cluster, session
from benchmark.bench import Limits
from benchmark.executors import WorkerDiedError
from benchmark.request import Request
from synthetic import images, medmnist

MINE = textwrap.dedent(
    """
    import os, time
    import helper

    def slow(model, samples, rng):
        time.sleep(0.2)
        return {name: helper.weight(name) + rng.random() for name in model.modalities}

    def exits(model, samples, rng):
        os._exit(3)

    def hungry(model, samples, rng):
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
        return {name: float(len(bytearray(2**34))) for name in model.modalities}
    """
)


class Processes:
    """A scheduler and workers, each a process of its own that the test may kill."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {
            **os.environ,
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        deadline = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.address = json.loads(self.file.read_text())["address"]
        self.workers = []

    def _start(self, what, *words):
        log = (self.folder / f"{what}-{time.monotonic_ns()}.log").open("wb")
        with log:
            return subprocess.Popen(  # noqa: S603 - Dask's own command
                [
                    sys.executable,
                    "-m",
                    f"distributed.cli.dask_{what}",
                    "--scheduler-file",
                    str(self.file),
                    *words,
                ],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def add_worker(self):
        words = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        worker = self._start("worker", *words, "--local-directory", str(self.folder), "--memory-limit", "0")
        self.workers.append(worker)
        return worker

    def end(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """A scheduler with two workers; tests add and kill workers, and leave two."""
    found = Processes(tmp_path_factory.mktemp("cluster"))
    found.add_worker()
    found.add_worker()
    yield found
    found.end()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a user's own modules, from which the run is started."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helper.py").write_text("def weight(name):\n    return float(len(name))\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mine", "helper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def request(folder, *, methods=("gradient",), limits=Limits(apart=True), seeds=1):  # noqa: B008 - frozen
    return Request.from_options(
        suite="smoke",
        scenarios=("paper-F1", "paper-F2", "paper-F4"),
        methods=methods,
        n_patients=400,
        n_explained=40,
        n_seeds=seeds,
        out=folder,
        limits=limits,
    )


def importances(outcome):
    return [(result.job, result.status, result.importances) for result in outcome.results]


@pytest.mark.slow
def test_a_cluster_that_comes_and_goes_gives_the_same_numbers(processes, here):
    """One worker is killed in the middle of the run, and another one joins."""
    wanted = request(here / "alone", methods=("gradient", "mine:slow"), seeds=2)
    alone = session.run(wanted)
    killed = []

    def watch(event):
        if event.kind == "result" and not killed:
            killed.append(processes.workers.pop(0))
            killed[0].send_signal(signal.SIGKILL)
            processes.add_worker()

    again = request(here / "cluster", methods=("gradient", "mine:slow"), seeds=2)
    shared = session.run(again, cluster=processes.address, watch=watch)
    assert killed[0].wait(timeout=30) == -signal.SIGKILL
    assert importances(shared) == importances(alone)
    assert {result.status for result in shared.results} == {"done"}
    assert len(list((here / "cluster" / "results").iterdir())) == len(shared.results)


@pytest.mark.slow
def test_a_method_that_ends_its_process_costs_its_own_result_only(processes, here):
    methods = ("mine:exits", "mine:hungry", "gradient")
    found = session.run(request(here / "run", methods=methods), cluster=processes.address)
    by_method = {result.job["method"]: result for result in found.results}
    assert by_method["mine:exits"].status == "failed"
    assert "exit code 3" in by_method["mine:exits"].error
    assert by_method["mine:hungry"].status == "failed"
    assert "MemoryError" in by_method["mine:hungry"].error
    assert by_method["gradient"].status == "done"
    assert all(worker.poll() is None for worker in processes.workers)


@pytest.mark.slow
def test_a_task_that_kills_its_workers_fails_alone(processes):
    executor = cluster.connect(processes.address)
    try:
        fatal = executor.submit(os._exit, 1)
        with pytest.raises(WorkerDiedError, match="died"):
            fatal.result(timeout=120)
        processes.workers = [worker for worker in processes.workers if worker.poll() is None]
        while len(processes.workers) < 2:
            processes.add_worker()
        assert executor.submit(sum, (1, 2)).result(timeout=120) == 3
    finally:
        executor.shutdown()


@pytest.mark.slow
def test_workers_of_this_machine_give_the_same_numbers(here):
    alone = session.run(request(here / "alone"))
    shared = session.run(request(here / "local"), cluster="local:2")
    assert importances(shared) == importances(alone)


@pytest.mark.slow
def test_errors_come_back_as_they_are(processes):
    executor = cluster.connect(processes.address)
    try:
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result(timeout=60)
    finally:
        executor.shutdown()


@pytest.mark.few(1)
def test_a_worker_of_another_version_is_refused(processes, monkeypatch):
    with Client(processes.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)
    monkeypatch.setattr(cluster, "code_fingerprint", lambda: "0123456789abcdef")
    with pytest.raises(cluster.ClusterError, match="another version of Plumbline"):
        cluster.connect(processes.address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("local:0", "must be at least 1"),
        ("local:many", "must be at least 1"),
        ("8786", "must be the address of a Dask scheduler"),
        ("tcp://127.0.0.1:1", "Nobody answers"),
        ("nonsense://x", "Nobody answers"),
    ],
)
def test_a_wrong_address_is_one_clear_error(address, message, monkeypatch):
    monkeypatch.setattr(cluster, "_SECONDS_TO_CONNECT", 1)
    with pytest.raises(cluster.ClusterError, match=message):
        cluster.connect(address)


def test_without_dask_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(cluster.ClusterError, match="pip install dask distributed"):
        cluster.connect("local:2")


@pytest.fixture
def parcel(tmp_path, monkeypatch):
    """What a driver with scans and fitted features sends."""
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path / "driver"))
    scans = tmp_path / "data" / "organamnist.npz"
    entry = tmp_path / "driver" / "features" / "abc.safetensors"
    for path in (scans, entry):
        path.parent.mkdir(parents=True)
        path.write_bytes(np.random.default_rng(0).bytes(1000))
    packed = cluster._pack([images.Origin(scans, "0" * 32, "abc")])
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path / "worker"))
    return packed


def test_scans_and_features_reach_a_worker_that_has_none(parcel, tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_DATA", "")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    cluster._unpack(parcel, tmp_path / "scratch")
    found = medmnist.find("organamnist.npz")
    assert found is not None
    assert found.read_bytes() == (tmp_path / "data" / "organamnist.npz").read_bytes()
    entry = tmp_path / "worker" / "features" / "abc.safetensors"
    assert entry.read_bytes() == (tmp_path / "driver" / "features" / "abc.safetensors").read_bytes()


def test_a_worker_keeps_to_the_scans_that_it_has(parcel, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "organamnist.npz").write_bytes(b"own")
    monkeypatch.setenv("PLUMBLINE_DATA", str(tmp_path / "own"))
    cluster._unpack(parcel, tmp_path / "scratch")
    assert os.environ["PLUMBLINE_DATA"] == str(tmp_path / "own")
    assert not (tmp_path / "scratch").exists()


def test_what_is_too_large_is_not_sent(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(cluster, "_LARGEST_PARCEL", 10)
    (tmp_path / "organamnist_224.npz").write_bytes(b"x" * 11)
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path))
    assert cluster._pack([images.Origin(tmp_path / "organamnist_224.npz", "", "none")]) is None
    assert "too large to be sent" in caplog.text


def test_phantoms_need_no_files():
    assert images.origins("phantom", size=28, kind="anatomy") == ()
    assert cluster._pack([]) is None
