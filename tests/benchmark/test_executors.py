import os
import subprocess
import sys
import time

import pytest
import torch

import benchmark
from benchmark import executors


def _double(x):
    return 2 * x, torch.get_num_threads(), os.getpid()


def _fail():
    raise KeyError("gone")


def test_one_worker_works_in_this_process():
    with executors.local(1) as executor:
        value, _, pid = executor.submit(_double, 21).result()
    assert (value, pid) == (42, os.getpid())


@pytest.mark.slow
def test_two_workers_are_processes_of_one_thread():
    with executors.local(2) as executor:
        outcomes = [executor.submit(_double, x).result() for x in range(2)]
    assert [value for value, _, _ in outcomes] == [0, 2]
    assert {threads for _, threads, _ in outcomes} == {1}
    assert os.getpid() not in {pid for _, _, pid in outcomes}


class Unloadable:
    def __reduce__(self):
        return open, (object(),)


def test_what_cannot_be_read_at_the_other_end_is_refused_before_the_work(tmp_path):
    held = Unloadable()

    def mine(model, samples, rng):
        return {name: float(held is not None) for name in model.modalities}

    with pytest.raises(ValueError, match=r"Method 'mine' cannot be sent to worker processes \(TypeError"):
        benchmark.evaluate(mine, scenarios=["xor"], workers=2, out=tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_come_back(workers):
    with executors.local(workers) as executor, pytest.raises(KeyError, match="gone"):
        executor.submit(_fail).result()


def test_no_worker_is_an_error():
    with pytest.raises(ValueError, match=r"workers must be at least 1\. Got 0"):
        executors.local(0)


def test_the_default_is_what_this_process_may_use():
    assert 1 <= executors.default_workers() <= (os.cpu_count() or 1)


_DRIVER = """
import os, time
from benchmark import executors

if __name__ == "__main__":
    with executors.local(2) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        executor.submit(time.sleep, 600).result()
"""


@pytest.mark.slow
def test_workers_end_with_their_driver_even_if_it_is_killed(tmp_path):
    (tmp_path / "driver.py").write_text(_DRIVER)
    with subprocess.Popen(
        [sys.executable, "driver.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        worker = int(driver.stdout.readline())
        os.kill(worker, 0)  # it is alive
        driver.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the worker outlived its driver")
