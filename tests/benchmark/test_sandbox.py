from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

import methods
from benchmark import run, sandbox, suite
from benchmark.bench import Bench, Limits
from benchmark.executors import InProcessExecutor
from benchmark.sandbox import SandboxError, SandboxTimeoutError, apart, is_available
from benchmark.store import Store
from methods.api import Method

pytestmark = pytest.mark.skipif(not is_available(), reason="needs fork")


def test_the_answer_comes_back_and_nothing_else():
    here = []
    assert apart(lambda: here.append(1) or {"a": [1.5, "ü"]}) == {"a": [1.5, "ü"]}
    assert here == []


def test_numbers_survive_the_way_exactly():
    values = torch.rand(1000, dtype=torch.float64).tolist()
    assert apart(lambda: values) == values


def test_large_answers_come_whole():
    assert len(apart(lambda: "x" * 3_000_000)) == 3_000_000


def test_an_answer_that_looks_whole_too_early_is_read_on():
    text = "]" * 200_000
    assert apart(lambda: ["]", text, "]"]) == ["]", text, "]"]


def test_an_exception_comes_with_its_traceback():
    def work():
        raise KeyError("no such thing")

    with pytest.raises(SandboxError, match=r"(?s)Traceback.*in work.*no such thing"):
        apart(work)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: os._exit(7), "exit code 7"),
        (lambda: os._exit(0), "exit code 0"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL; out of memory"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "SIGTERM"),
        (lambda: sys.exit(3), "SystemExit: 3"),
        (object, "not JSON serializable"),
    ],
)
def test_the_end_of_the_process_is_told(work, message):
    with pytest.raises(SandboxError, match=message):
        apart(work)


def test_too_much_memory_costs_the_work_only():
    import resource  # noqa: PLC0415 - not on every system

    def work():
        used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")  # noqa: PTH123, SIM115
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
        return len(bytearray(2**30))

    with pytest.raises(SandboxError, match="MemoryError"):
        apart(work)


def forever():
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(60)


@pytest.mark.parametrize("busy", [False, True])
def test_what_never_returns_is_ended(busy):
    def work():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while busy:
            pass
        forever()

    start = time.monotonic()
    with pytest.raises(SandboxTimeoutError, match=r"did not end within 0.5 s"):
        apart(work, timeout=0.5)
    assert time.monotonic() - start < 30


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("then", ["return", "exit", "hang"])
def test_processes_that_the_work_started_end_with_it(tmp_path, then):
    note = tmp_path / "pid"

    def work():
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        note.write_text(str(child.pid))
        if then == "exit":
            os._exit(1)
        if then == "hang":
            forever()
        return "done"

    with contextlib.nullcontext() if then == "return" else pytest.raises(SandboxError):
        apart(work, timeout=3 if then == "hang" else None)
    deadline = time.monotonic() + 20
    while running(int(note.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_buffered_text_is_written_once(tmp_path):
    code = (
        "import sys; from benchmark.sandbox import apart\n"
        "sys.stdout.write('before '); apart(lambda: print('inside', end=' ') or 1); print('after')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "before after\n"
    assert done.stderr == "inside "  # what works apart says is no part of what the command says


def one(names=("gradient",)):
    jobs = suite.plan(suite.get("smoke"), method_names=names, n_patients=400, n_explained=40)
    return [job for job in jobs if job.stage.scenario == "paper-F4"]


def run_with(function, folder, **options):
    own = Method("mine", function, "gradient")
    jobs = suite.plan(
        suite.get("smoke"),
        method_names=("gradient", "mean_of_methods"),
        own_names=("mine",),
        n_patients=400,
        n_explained=40,
    )
    jobs = [job for job in jobs if job.stage.scenario == "paper-F4"]
    jobs.sort(key=lambda job: job.method != "mine")  # whatever it breaks, it breaks first
    with InProcessExecutor() as executor:
        results = run.run(
            jobs, Store(folder), executor, own_methods=[own], limits=Limits(apart=True, **options)
        )
    return {result.job["method"]: result for result in results}


def test_methods_apart_give_the_same_numbers(tmp_path):
    def nothing(model, samples, rng):
        return dict.fromkeys(model.modalities, 1.0)

    results = run_with(nothing, tmp_path / "apart")
    with InProcessExecutor() as executor:
        jobs = [
            job
            for job in suite.plan(
                suite.get("smoke"),
                method_names=("gradient", "mean_of_methods"),
                n_patients=400,
                n_explained=40,
            )
            if job.stage.scenario == "paper-F4"
        ]
        plain = run.run(jobs, Store(tmp_path / "here"), executor)
    for result in plain:
        other = results[result.job["method"]]
        assert other.importances == result.importances
        assert other.model_calls == result.model_calls


def ends_its_process(model, samples, rng):
    os._exit(3)


def never_returns(model, samples, rng):
    forever()


def ruins_the_model(model, samples, rng):
    features = model.encode(samples.inputs)
    features.mul_(0)
    for value in samples.inputs.values():
        value.mul_(0)
    torch.set_default_dtype(torch.float64)
    return dict.fromkeys(model.modalities, 1.0)


def test_a_method_that_ends_its_process_costs_its_own_result(tmp_path):
    results = run_with(ends_its_process, tmp_path)
    assert results["mine"].status == "failed"
    assert "exit code 3" in results["mine"].error
    assert {result.status for name, result in results.items() if name != "mine"} == {"done"}


def test_a_method_that_never_returns_is_a_timeout(tmp_path):
    results = run_with(never_returns, tmp_path, timeout=2)
    assert results["mine"].status == "timeout"
    assert "within 2 s" in results["mine"].error
    assert {result.status for name, result in results.items() if name != "mine"} == {"done"}


def test_what_a_method_ruins_is_ruined_for_itself_alone(tmp_path):
    ruined = run_with(ruins_the_model, tmp_path / "a")
    plain = run_with(lambda model, samples, rng: dict.fromkeys(model.modalities, 1.0), tmp_path / "b")
    assert ruined["gradient"].importances == plain["gradient"].importances


@pytest.mark.parametrize(("timeout", "in_sandbox"), [(0, True), (-1.0, True), (5, False)])
def test_a_timeout_that_cannot_be_kept_is_refused(timeout, in_sandbox):
    with pytest.raises(ValueError, match="'timeout' must be positive"):
        Limits(apart=in_sandbox, timeout=timeout)


def test_an_interrupt_is_never_lost():
    code = (
        "import os, signal, threading, time\n"
        "from benchmark.sandbox import apart\n"
        "lost = 0\n"
        "for trial in range(30):\n"
        "    try:\n"
        "        threading.Timer(0.001 * trial, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "        end = time.monotonic() + 5\n"
        "        while time.monotonic() < end:\n"
        "            apart(lambda: 0)\n"
        "        lost += 1\n"
        "    except KeyboardInterrupt:\n"
        "        pass\n"
        "print(lost)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "0\n"


def test_the_projects_own_methods_share_a_process(tmp_path, monkeypatch):
    forked = []
    real = sandbox.apart
    monkeypatch.setattr(sandbox, "apart", lambda *args, **options: forked.append(1) or real(*args, **options))
    jobs = [job for job in one(("gradient", "lime", "permutation")) if job.stage.model == "oracle"]
    with InProcessExecutor() as executor:
        shared = run.run(jobs, Store(tmp_path / "shared"), executor, limits=Limits(apart=True))
    assert len(forked) == len({job.stage for job in jobs})
    with InProcessExecutor() as executor:
        alone = run.run(jobs, Store(tmp_path / "alone"), executor, limits=Limits(apart=True, timeout=60))
    assert [result.importances for result in shared] == [result.importances for result in alone]


def test_what_ends_the_shared_process_costs_its_own_result_only(tmp_path, monkeypatch, caplog):
    deadly = methods.get("lime").function

    def dies(self, job, method, budget):
        if method.function is deadly:
            os._exit(7)
        return real(self, job, method, budget)

    real = Bench._attribute
    monkeypatch.setattr(Bench, "_attribute", dies)
    with InProcessExecutor() as executor:
        results = run.run(
            one(("gradient", "lime", "permutation")), Store(tmp_path), executor, limits=Limits(apart=True)
        )
    by_method = {result.job["method"]: result for result in results}
    assert "exit code 7" in by_method["lime"].error
    assert {by_method[name].status for name in ("gradient", "permutation")} == {"done"}
    assert "one by one" in caplog.text
