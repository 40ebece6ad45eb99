"""Training speed of all networks, beside the plain loop of a tutorial in the same run: ``make speed``.

``extra_info`` in ``--benchmark-json`` holds the patients a second of both loops, by the processor's time, and
their ratio. Nothing timed is asserted; that both train the same architecture, is.
"""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import synthetic
from benchmark import models, training

N_PATIENTS = 1600
REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "training.py"


@pytest.fixture(scope="module")
def train():
    return synthetic.generate(synthetic.scenario("paper-F4"), seed=0, n=N_PATIENTS).train


@pytest.fixture(scope="module")
def reference():
    """Return the script behind results/reference/training.md, which has the plain loop."""
    spec = importlib.util.spec_from_file_location("reference_training", REFERENCE)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "reference_training", module)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.parametrize("name", models.names()[1:])
@pytest.mark.benchmark(group="training, one epoch")
def test_one_epoch(benchmark, train, reference, name):
    plan = replace(models.plan(name), max_epochs=1, min_steps=1)
    networks = {}
    speeds = {"project": reference.Speed(), "plain": reference.Speed()}

    def trained(loop, fit):
        def work():
            networks[loop] = fit(name, train, seed=0, plan=plan)

        speeds[loop] = speeds[loop].or_faster(work)

    # The plain loop runs before each round of ours, so that both meet the same other work on the machine.
    benchmark.pedantic(
        trained,
        args=("project", training.fit),
        setup=lambda: trained("plain", reference.plain_fit),
        rounds=3,
        warmup_rounds=1,
    )
    rates = {loop: len(train) / speed.processor for loop, speed in speeds.items()}
    benchmark.extra_info["patients_per_second"] = rates["project"]
    benchmark.extra_info["patients_per_second_of_the_plain_loop"] = rates["plain"]
    benchmark.extra_info["ratio"] = rates["project"] / rates["plain"]
    ours, plain = (networks[loop].state_dict() for loop in ("project", "plain"))
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in plain.items()
    }
