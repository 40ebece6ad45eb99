import os

import pytest
import torch

from benchmark import executors


def _double(x):
    return 2 * x, torch.get_num_threads(), os.getpid()


def _fail():
    raise KeyError("gone")


def test_one_worker_works_in_this_process():
    with executors.local(1) as executor:
        value, _, pid = executor.submit(_double, 21).result()
    assert (value, pid) == (42, os.getpid())


def test_two_workers_are_processes_of_one_thread():
    with executors.local(2) as executor:
        outcomes = [executor.submit(_double, x).result() for x in range(2)]
    assert [value for value, _, _ in outcomes] == [0, 2]
    assert {threads for _, threads, _ in outcomes} == {1}
    assert os.getpid() not in {pid for _, _, pid in outcomes}


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_come_back(workers):
    with executors.local(workers) as executor, pytest.raises(KeyError, match="gone"):
        executor.submit(_fail).result()


def test_no_worker_is_an_error():
    with pytest.raises(ValueError, match=r"workers must be at least 1\. Got 0"):
        executors.local(0)


def test_the_default_is_what_this_process_may_use():
    assert 1 <= executors.default_workers() <= (os.cpu_count() or 1)
