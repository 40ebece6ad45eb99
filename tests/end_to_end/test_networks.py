"""Networks trained for real: slow, and what the benchmark stands on."""

import pytest

import synthetic
from benchmark import models, training


@pytest.mark.slow
@pytest.mark.parametrize("case", range(8))
def test_every_case_is_learnt_on_phantoms(case):
    scenario = synthetic.scenario(f"paper-F{case}")
    dataset = synthetic.generate(scenario, seed=11)
    network = training.fit("hybrid", dataset.train, seed=11)
    learnt = training.fidelity(network, dataset.test, scenario.decision(dataset.latents["test"].double()))
    assert learnt.accuracy >= 0.92


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("features", ["autoencoder", "pca"])
@pytest.mark.parametrize("case", [0, 6, 7])
def test_cases_are_learnt_on_real_scans(case, features, real_data_root):
    scenario = synthetic.scenario(f"paper-F{case}", source="organamnist", features=features)
    dataset = synthetic.generate(scenario, seed=11, data_root=real_data_root)
    network = training.fit("hybrid", dataset.train, seed=11)
    learnt = training.fidelity(network, dataset.test, scenario.decision(dataset.latents["test"].double()))
    assert learnt.accuracy >= 0.92


@pytest.mark.slow
def test_the_published_network_learns_a_case_with_both_images():
    scenario = synthetic.scenario("paper-F4")
    dataset = synthetic.generate(scenario, seed=11)
    network = training.fit("hybrid-s1", dataset.train, seed=11)
    learnt = training.fidelity(network, dataset.test, scenario.decision(dataset.latents["test"].double()))
    assert learnt.accuracy >= 0.92
    assert network.groups == models.build("hybrid-s1", training.input_shapes(dataset.train)).groups
