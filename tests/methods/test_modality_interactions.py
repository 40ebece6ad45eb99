import numpy as np
import pytest
import torch

import methods
import synthetic
from benchmark import models
from benchmark.metering import meter
from methods import NotApplicableError
from methods.modality_games import exact_plan, pairs
from methods.modality_interactions import intershap, variance


def tables(kit, n_modalities, score):
    class Separable(kit.table_model):
        def encode_modality(self, name, value):
            return value

    return Separable({f"m{place:02}": 1 for place in range(n_modalities)}, kit.head_binary(score))


def normal(n, width, seed=0):
    return np.random.default_rng(seed).standard_normal((n, width))


def test_exclusive_or_is_one_interaction(kit, rng):
    model = tables(kit, 3, lambda x: 3 * x[:, 0].sign() * x[:, 1].sign())
    result = variance(model, model.samples(normal(2000, 3)), rng)
    assert list(result.modalities.values()) == pytest.approx([0.5, 0.5, 0], abs=0.02)
    assert result.interactions[("m00", "m01")] == pytest.approx(1, abs=0.04)
    assert result.interactions[("m00", "m02")] == pytest.approx(0, abs=1e-12)
    assert list(result.interactions) == [("m00", "m01"), ("m00", "m02"), ("m01", "m02")]


def test_a_sum_has_no_interactions_at_all(kit, rng):
    model = tables(kit, 4, lambda x: x[:, 0] + 2 * x[:, 1].tanh() + x[:, 2] ** 2)
    samples = model.samples(normal(500, 4))
    assert list(variance(model, samples, rng).interactions.values()) == pytest.approx([0] * 6, abs=1e-6)
    assert list(intershap(model, samples, rng, output="margin").modalities.values()) == pytest.approx(
        [0] * 4, abs=1e-6
    )
    # A probability is no sum where the margin is one: InterSHAP as published calls that an interaction.
    assert max(intershap(model, samples, rng).modalities.values()) > 0.01


def test_a_product_of_three(kit, rng):
    """Of f = x y z, of variance 1, each pair has I = 1/2: it counts where the third is there already."""
    model = tables(kit, 3, lambda x: x[:, 0].sign() * x[:, 1].sign() * x[:, 2].sign())
    result = variance(model, model.samples(normal(3000, 3)), rng)
    assert list(result.interactions.values()) == pytest.approx([0.5] * 3, abs=0.04)
    assert list(result.modalities.values()) == pytest.approx([0.5] * 3, abs=0.04)


def test_what_two_modalities_both_say_is_negative(kit, rng):
    features = normal(4000, 2)
    features[:, 1] = 0.8 * features[:, 0] + 0.6 * features[:, 1]
    model = tables(kit, 2, lambda x: x[:, 0])
    result = variance(model, model.samples(features), rng)
    assert result.interactions[("m00", "m01")] == pytest.approx(-0.64, abs=0.04)
    assert list(result.modalities.values()) == pytest.approx([0.32, 0.32], abs=0.03)
    blind = variance(model, model.samples(features), rng, absence="marginal")
    assert blind.interactions[("m00", "m01")] == pytest.approx(0, abs=0.02)


def test_intershap_by_brute_force(network, samples, rng):
    """All partners are drawn: no noise."""
    samples = samples.take(slice(0, 10))
    with torch.no_grad():
        features = network.encode(samples.inputs)
        plan, worth = exact_plan(4), []
        for present in plan.coalitions:
            row = []
            for i in range(10):
                partners = [i] if present.all() else [k for k in range(10) if k != i]
                mixed = features[partners].clone()
                for there, columns in zip(present, network.groups.values(), strict=True):
                    if there:
                        mixed[:, columns] = features[i, columns]
                row.append(float(network.classify(mixed).softmax(1)[:, 1].mean()))
            worth.append(row)
    local = plan.interactions @ np.array(worth)
    result = intershap(network, samples, rng, n_draws=100)
    assert list(result.interactions.values()) == pytest.approx(local.mean(1), rel=1e-3, abs=1e-6)
    expected = np.zeros(4)
    for pair, size in zip(pairs(4), np.abs(local).mean(1), strict=True):
        expected[list(pair)] += size / 2
    assert list(result.modalities.values()) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_standard_errors_cover(kit):
    model = tables(kit, 3, lambda x: x[:, 0] * x[:, 1] + x[:, 2] / 2)
    covered = []
    for seed in range(60):
        result = variance(model, model.samples(normal(400, 3, seed)), np.random.default_rng(seed), n_draws=4)
        error = np.array(list(result.standard_error.values()))
        covered += (np.abs(np.array(list(result.modalities.values())) - [0.4, 0.4, 0]) < 1.96 * error + 1e-9)[
            :2
        ].tolist()
    assert 0.85 < np.mean(covered) <= 1


def test_many_modalities_are_sampled(kit):
    model = tables(kit, 12, lambda x: 2 * x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] + x[:, 4:].sum(1) / 2)
    metered = meter(model)
    result = variance(
        metered, model.samples(normal(300, 12)), np.random.default_rng(0), n_coalitions=300, n_draws=2
    )
    assert metered.model_calls <= 300 * (1 + 300 * 2)
    assert result.interactions[("m00", "m01")] == pytest.approx(4 / 7, abs=0.12)
    assert result.interactions[("m02", "m03")] == pytest.approx(1 / 7, abs=0.1)
    order = sorted(result.modalities, key=result.modalities.get, reverse=True)
    assert set(order[:2]) == {"m00", "m01"}
    with pytest.raises(NotApplicableError, match="at most 10 modalities"):
        intershap(model, model.samples(normal(20, 12)), np.random.default_rng(0))


@pytest.mark.parametrize("name", ["modality_interactions", "intershap", "dime"])
def test_one_modality_has_nothing_to_interact_with(kit, name):
    model = tables(kit, 1, lambda x: x[:, 0])
    with pytest.raises(NotApplicableError, match="needs two modalities"):
        methods.get(name).attribute(model, model.samples(normal(20, 1)), np.random.default_rng(0))


@pytest.mark.parametrize("scenario", ["redundancy", "gate"])
def test_the_interactions_of_a_scenario(scenario):
    scenario = synthetic.scenario(scenario)
    dataset = synthetic.generate(scenario, seed=0, n=16_000)
    model = models.oracle(dataset, scenario.decision)
    samples = models.oracle_samples(dataset, "explain").take(slice(0, 2000))
    truth = dataset.truth["interaction"]
    result = methods.get("modality_interactions").attribute(model, samples, np.random.default_rng(0))
    for pair, value in truth.pairs.items():
        found = result.interactions.get(pair, result.interactions.get(pair[::-1]))
        assert found == pytest.approx(value, abs=0.05)


def test_a_model_that_always_answers_alike_has_none(kit, rng):
    model = tables(kit, 2, lambda x: 0 * x[:, 0])
    result = variance(model, model.samples(normal(50, 2)), rng)
    assert list(result.modalities.values()) == [0, 0]
