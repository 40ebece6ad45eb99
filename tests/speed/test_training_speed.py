"""Training speed of all networks in one run: ``make speed``."""

from dataclasses import replace

import pytest

import synthetic
from benchmark import models, training

N_PATIENTS = 1600


@pytest.fixture(scope="module")
def train():
    return synthetic.generate(synthetic.scenario("paper-F4"), seed=0, n=N_PATIENTS).train


@pytest.mark.parametrize("name", models.names()[1:])
@pytest.mark.benchmark(group="training, one epoch")
def test_one_epoch(benchmark, train, name):
    plan = replace(models.plan(name), max_epochs=1)
    network = benchmark.pedantic(
        training.fit, args=(name, train), kwargs={"seed": 0, "plan": plan}, rounds=3, warmup_rounds=1
    )
    benchmark.extra_info["patients_per_second"] = len(train) / benchmark.stats.stats.min
    assert network.groups["axial"].start == 0
