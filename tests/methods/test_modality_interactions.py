import itertools
from dataclasses import replace
from math import factorial

import numpy as np
import pytest
import torch

import methods
import synthetic
from benchmark import models
from benchmark.metering import meter
from methods import NotApplicableError
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


def published_intershap(model, features):
    """Return InterSHAP's matrix of each sample ``[n, k, k]`` by its definition, over all other samples.

    Off the diagonal half of the interaction index of the probability of the predicted class, on it what is
    left of the Shapley value (Wenderoth et al. 2024).
    """
    n, names = len(features), list(model.groups)
    k = len(names)
    coalitions = [set(some) for size in range(k + 1) for some in itertools.combinations(range(k), size)]

    def probability(mixed):
        with torch.no_grad():
            return model.classify(torch.stack(mixed)).double().softmax(1)

    def worth(i, present, chosen):
        mixed = [features[other].clone() for other in range(n) if other != i]
        for row in mixed:
            for place in present:
                row[model.groups[names[place]]] = features[i, model.groups[names[place]]]
        return float(probability(mixed)[:, chosen].mean())

    matrices = np.zeros((n, k, k))
    for i, answer in enumerate(probability(list(features))):
        v = {frozenset(present): worth(i, present, int(answer.argmax())) for present in coalitions}
        for a, b in itertools.combinations(range(k), 2):
            matrices[i, a, b] = matrices[i, b, a] = interaction_index(v, {a, b}, k) / 2
        for a in range(k):
            matrices[i, a, a] = interaction_index(v, {a}, k) - matrices[i, a].sum()
    return matrices


def interaction_index(v, members, k):
    """Return the index of a set of players, of one the Shapley value (Grabisch & Roubens 1999)."""
    result = 0.0
    for rest in v:
        if not rest & members:
            n_left = k - len(rest) - len(members)
            weight = factorial(n_left) * factorial(len(rest)) / factorial(k - len(members) + 1)
            parts = (some for some in v if some <= members)
            result += weight * sum((-1) ** (len(members) - len(some)) * v[rest | some] for some in parts)
    return result


def published_score(matrices):
    mean = np.abs(matrices.mean(0))
    return (mean.sum() - np.trace(mean)) / mean.sum()


def check_against_the_definition(model, samples):
    """All partners are drawn: no noise."""
    with torch.no_grad():
        matrices = published_intershap(model, model.encode(samples.inputs))
    result = intershap(model, samples, np.random.default_rng(0), n_draws=len(samples))
    k = matrices.shape[1]
    expected = [2 * matrices[:, a, b].mean() for a, b in itertools.combinations(range(k), 2)]
    assert list(result.interactions.values()) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    sizes = np.abs(matrices).mean(0)
    np.fill_diagonal(sizes, 0)
    assert list(result.modalities.values()) == pytest.approx(sizes.sum(1), rel=1e-3, abs=1e-6)
    assert result.summary["synergy"] == pytest.approx(published_score(matrices), rel=1e-3)
    return result


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_modalities", [2, 3, 4])
def test_intershap_by_its_definition(kit, n_modalities, n_classes):
    model = kit.network({f"m{i}": (2,) for i in range(n_modalities)}, n_classes=n_classes)
    check_against_the_definition(model, kit.samples(model.shapes, n=10))


def of_scenario(name, n, *, steepness=1):
    """Return p = σ(steepness · (F − threshold) / sd), patients, and the true interactions."""
    scenario = synthetic.scenario(name)
    dataset = synthetic.generate(scenario, seed=0, n=8000)
    model = models.oracle(
        replace(dataset, decision_scale=dataset.decision_scale / steepness), scenario.decision
    )
    return model, models.oracle_samples(dataset, "explain").take(slice(0, n)), dataset.truth["interaction"]


@pytest.mark.parametrize(("scenario", "steepness"), [("xor", 1), ("paper-F4", 6), ("product", 3)])
def test_intershap_of_scenarios_by_its_definition(scenario, steepness):
    model, samples, _ = of_scenario(scenario, 12, steepness=steepness)
    check_against_the_definition(model, samples)


@pytest.mark.parametrize(
    ("scenario", "steepness", "pair", "value", "score"),
    [
        ("xor", 1, ("axial", "clinical_a"), 0.203, 0.985),
        ("xor", 6, ("axial", "clinical_a"), 0.44, 0.985),
        ("xor", 1e6, ("axial", "clinical_a"), 1 / 2, 1.0),
        ("paper-F4", 1, ("axial", "coronal"), 0.008, 0.049),
        # A label that is the sign of x + y is right with probability 2/3 where y is another's: of
        # v = 1/2, 2/3, 2/3, 1 the interaction is 1/6, and what x and y have of their own is 1/6 each.
        ("paper-F4", 1e6, ("axial", "coronal"), 1 / 6, 1 / 3),
        ("product", 1, ("axial", "clinical_a"), 0.061, 0.415),
    ],
)
@pytest.mark.few(2)
def test_the_published_score_of_scenarios(scenario, steepness, pair, value, score):
    """Of class 1 alone pairs would have 0: what one class gains the other loses."""
    model, samples, truth = of_scenario(scenario, 800, steepness=steepness)
    result = methods.get("intershap").attribute(model, samples, np.random.default_rng(0))
    assert result.interactions[pair] == pytest.approx(value, abs=0.025)
    assert result.summary["synergy"] == pytest.approx(score, abs=0.04)
    if steepness == 1:
        variances = methods.get("modality_interactions").attribute(model, samples, np.random.default_rng(0))
        assert variances.summary["synergy"] == pytest.approx(truth.summary["synergy"], abs=0.03)


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
@pytest.mark.few(1)
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
    for method in (variance, intershap):
        result = method(model, model.samples(normal(50, 2)), rng)
        assert list(result.modalities.values()) == [0, 0]
        assert result.summary == {}  # of nothing there is no share
