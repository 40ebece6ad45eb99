"""What the harness adds to the work, and what a second worker brings, in one run: ``make speed``."""

import itertools
from dataclasses import replace

import pytest

from benchmark import session, suite
from benchmark.bench import Limits, set_up
from benchmark.recall import look_up
from benchmark.request import Request
from synthetic.settings import own_settings

CASES = ("paper-F1", "paper-F4")


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Return folders for runs that find nothing done; truths and networks are made again in each."""
    numbers = itertools.count()

    def next_folder():
        folder = tmp_path / str(next(numbers))
        monkeypatch.setenv("PLUMBLINE_CACHE", str(folder / "cache"))
        return folder

    return next_folder


def request(folder, cases=CASES, n_seeds=1, **options):
    return Request.from_options(suite="paper", scenarios=cases, n_seeds=n_seeds, out=folder, **options)


@pytest.mark.slow
@pytest.mark.benchmark(group="a hundred thousand jobs are planned")
def test_planning(benchmark):
    chosen = replace(suite.get("full"), methods=("gradient",))
    n_seeds = -(-100_000 // len(suite.plan(chosen, n_seeds=1)))
    benchmark.pedantic(lambda: suite.plan(chosen, n_seeds=n_seeds), rounds=2)


@pytest.mark.slow
@pytest.mark.parametrize("harness", [False, True], ids=["bare", "harness"])
@pytest.mark.benchmark(group="two cases of the paper suite: the work alone, and under the harness")
def test_overhead_of_the_harness(benchmark, fresh, harness):
    """Bare: data, training and methods in a loop. Harness: planned, kept apart, stored, logged, told."""

    def bare(asked):
        jobs = list(look_up(asked.jobs(), None))
        with own_settings(threads=1):
            for stage, found in itertools.groupby(jobs, key=lambda row: row[0].stage):
                bench = set_up(stage)
                for job, key, method, _ in found:
                    bench.run(job, key, method)

    work = session.run if harness else bare
    limits = Limits(apart=harness)
    benchmark.pedantic(work, setup=lambda: ((request(fresh(), limits=limits),), {}), rounds=2)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.benchmark(group="four cases of the paper suite by one worker or two")
def test_throughput_of_two_workers(benchmark, fresh, workers):
    cases = ("paper-F1", "paper-F2", "paper-F4", "paper-F6")
    limits = Limits(apart=True)
    benchmark.pedantic(
        lambda asked: session.run(asked, workers=workers),
        setup=lambda: ((request(fresh(), cases, limits=limits),), {}),
        rounds=2,
    )
