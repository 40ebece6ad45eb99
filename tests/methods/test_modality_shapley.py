import itertools

import numpy as np
import pytest
import torch

import methods
import synthetic
from benchmark import models
from benchmark.metering import meter
from methods import modality_games
from methods.modality_games import exact_plan
from methods.modality_shapley import loss, probability, variance
from synthetic.types import Samples


class Tables:
    """A separable model over tables of one column each, whose log-odds are any function of them."""

    def __init__(self, n_modalities, score):
        self.modalities = tuple(f"m{place:02}" for place in range(n_modalities))
        self.groups = {name: slice(place, place + 1) for place, name in enumerate(self.modalities)}
        self._score = score

    def encode_modality(self, name, value):
        del name
        return value

    def encode(self, inputs):
        return torch.cat([inputs[name] for name in self.modalities], dim=1)

    def classify(self, features):
        score = self._score(features)
        return torch.stack([torch.zeros_like(score), score], dim=1)

    def samples(self, features, labels=None):
        features = torch.as_tensor(features, dtype=torch.float32)
        return Samples({name: features[:, columns] for name, columns in self.groups.items()}, labels)


def linear(weights):
    weights = torch.as_tensor(weights, dtype=torch.float32)
    return Tables(len(weights), lambda features: features @ weights)


def gaussian_effects(weights, covariance):
    """Return Shapley effects of a linear function of Gaussians: v(S) by Schur complements."""
    weights, n = np.asarray(weights), len(weights)
    plan, values = exact_plan(n), []
    for present in plan.coalitions:
        s, rest = np.flatnonzero(present), np.flatnonzero(~present)
        slopes = weights[s] + np.linalg.solve(
            covariance[np.ix_(s, s)], covariance[np.ix_(s, rest)] @ weights[rest]
        )
        values.append(slopes @ covariance[np.ix_(s, s)] @ slopes)
    return plan.shapley @ np.array(values) / (weights @ covariance @ weights)


def normal(n, covariance, seed=0):
    return np.random.default_rng(seed).multivariate_normal(np.zeros(len(covariance)), covariance, n)


def values(attribution):
    return np.array(list(attribution.modalities.values()))


def errors(attribution):
    return np.array(list(attribution.standard_error.values()))


def test_effects_of_independent_modalities_are_squared_weights(rng):
    weights = np.array([3.0, 2.0, 1.0, 0.0])
    model = linear(weights)
    result = variance(model, model.samples(normal(4000, np.eye(4))), rng)
    assert values(result) == pytest.approx(weights**2 / 14, abs=0.02)
    assert result.modalities["m03"] == pytest.approx(0, abs=1e-12)
    assert values(result).sum() == pytest.approx(1)


def test_effects_of_correlated_modalities(rng):
    weights = np.array([1.0, 0.0, 1.0])
    covariance = np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])
    model, expected = linear(weights), gaussian_effects(weights, covariance)
    assert expected == pytest.approx([0.2975, 0.2025, 0.5])
    samples = model.samples(normal(4000, covariance))
    assert values(variance(model, samples, rng)) == pytest.approx(expected, abs=0.02)
    # Drawn from the margins, the second says nothing of the first.
    blind = values(variance(model, samples, rng, absence="marginal"))
    assert blind == pytest.approx([0.5, 0, 0.5], abs=0.02)


@pytest.mark.parametrize("kind", ["independent", "correlated", pytest.param("many", marks=pytest.mark.slow)])
def test_standard_errors_cover(kind):
    n_modalities = 12 if kind == "many" else 3
    weights = np.arange(1.0, n_modalities + 1)
    covariance = np.eye(n_modalities)
    if kind == "correlated":
        covariance[0, 2] = covariance[2, 0] = 0.6
    model, expected = linear(weights), gaussian_effects(weights, covariance)
    covered, found = [], []
    for seed in range(20 if kind == "many" else 60):
        result = variance(
            model,
            model.samples(normal(320, covariance, seed)),
            np.random.default_rng(seed),
            n_coalitions=44,
            n_draws=4,
        )
        covered.append(np.abs(values(result) - expected) < 1.96 * errors(result))
        found.append(values(result))
    assert 0.85 < np.mean(covered) <= 1
    assert np.mean(found, axis=0) == pytest.approx(expected, abs=0.03)


def test_sampled_values_agree_with_known_ones():
    """Twelve modalities with interactions: 88 coalitions a sample in place of 4,096."""

    def score(x):
        return x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] * x[:, 4] + x[:, 5:].sum(1) / 2

    model = Tables(12, score)
    samples = model.samples(normal(400, np.eye(12)))
    sampled = variance(model, samples, np.random.default_rng(0), n_coalitions=88, n_draws=4)
    expected = np.array([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3] + [1 / 4] * 7) / (2 + 7 / 4)
    assert (np.abs(values(sampled) - expected) < 3.5 * errors(sampled)).all()
    assert errors(sampled).max() < 0.08


@pytest.mark.parametrize("game", ["variance", "probability", "loss"])
def test_sampled_values_agree_with_exact_ones(game, monkeypatch):
    """The same samples and partners: what differs is the plan, which the standard errors hold too."""
    model = Tables(6, lambda x: 2 * x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] + x[:, 4])
    features = normal(640, np.eye(6))
    labels = (model._score(torch.from_numpy(features)) > 0).long()
    function = {"variance": variance, "probability": probability, "loss": loss}[game]
    play = modality_games.play
    with monkeypatch.context() as patch:
        patch.setattr(modality_games, "play", lambda *args, **o: play(*args, **{**o, "largest_exact": 10}))
        exact = function(model, model.samples(features, labels), np.random.default_rng(0), n_draws=8)
    monkeypatch.setattr(modality_games, "LARGEST_EXACT", 2)

    def sampling(*args, **options):
        return play(*args, **{**options, "largest_exact": 2})

    monkeypatch.setattr(modality_games, "play", sampling)
    sampled = function(
        model, model.samples(features, labels), np.random.default_rng(0), n_draws=8, n_coalitions=20
    )
    assert (values(sampled) != values(exact)).any()
    # The mean of absolute values of noisy ones is too large; random orders are that noise.
    slack = 0.02 if game == "probability" else 0
    assert (np.abs(values(sampled) - values(exact)) < 3 * errors(sampled) + slack + 1e-12).all()


@pytest.mark.parametrize(
    "name",
    [
        "modality_shapley",
        pytest.param("modality_sage", marks=pytest.mark.slow),
        pytest.param("modality_shap", marks=pytest.mark.slow),
        "decision_information",
    ],
)
def test_sixteen_modalities_do_not_mean_all_coalitions(name):
    model = linear(np.linspace(0, 3, 16))
    features = normal(24, np.eye(16))
    labels = torch.from_numpy(features @ np.linspace(0, 3, 16) > 0).long()
    metered = meter(model)
    result = methods.get(name).attribute(metered, model.samples(features, labels), np.random.default_rng(0))
    assert metered.model_calls <= 24 * (1 + 32 * 512)
    assert metered.model_calls < 24 * 2**16 / 3
    assert len(result.modalities) == len(result.standard_error) == 16
    assert max(result.standard_error.values()) < 0.3
    budget = methods.get(f"{name}(n_coalitions=60, n_draws=2)")
    metered = meter(model)
    budget.attribute(metered, model.samples(features, labels), np.random.default_rng(0))
    assert metered.model_calls <= 24 * (1 + 60 * 2)


@pytest.mark.parametrize("output", ["margin", "probability"])
def test_exclusive_or_is_shared(rng, output):
    model = Tables(3, lambda x: 3 * x[:, 0].sign() * x[:, 1].sign())
    result = variance(model, model.samples(normal(2000, np.eye(3))), rng, output=output)
    assert values(result) == pytest.approx([0.5, 0.5, 0], abs=0.02)


def test_local_values_of_the_probability_by_brute_force(network, samples, rng):
    """All partners are drawn: the interventional Shapley values, sample by sample, without any noise."""
    samples = samples.take(slice(0, 12))
    with torch.no_grad():
        features = network.encode(samples.inputs)
        n = len(features)
        plan, worth = exact_plan(4), []
        for present in plan.coalitions:
            mixed = features[None].repeat(n, 1, 1)  # [sample, background, d]
            for there, columns in zip(present, network.groups.values(), strict=True):
                if there:
                    mixed[:, :, columns] = features[:, None, columns]
            p = network.classify(mixed.view(n * n, -1)).softmax(1)[:, 1].view(n, n)
            others = ~torch.eye(n, dtype=torch.bool)
            worth.append(
                torch.stack([p[i, others[i]].mean() if not present.all() else p[i, i] for i in range(n)])
            )
    expected = np.abs(plan.shapley @ torch.stack(worth).double().numpy()).mean(1)
    result = probability(network, samples, rng, n_draws=100)
    assert values(result) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_patients_count_alike_where_their_shares_are_pooled(network, samples):
    """The mean of each sample's shares, from the values of each sample alone among the others' partners."""
    few = samples.take(slice(0, 6))
    local = []
    play = modality_games.play
    with pytest.MonkeyPatch.context() as patch:

        def watched(*args, **options):
            local.append(play(*args, **options))
            return local[-1]

        patch.setattr(modality_games, "play", watched)
        pooled = probability(network, few, np.random.default_rng(0), n_draws=4)
        by_patient = probability(network, few, np.random.default_rng(0), n_draws=4, pooling="patient")
    sizes = [[abs(float(value)) for value in row] for row in local[0].shapley]
    shares = [[value / sum(row) for value in row] for row in sizes]
    np.testing.assert_allclose(values(by_patient), np.mean(shares, axis=0))
    np.testing.assert_allclose(values(pooled), np.mean(sizes, axis=0))
    assert values(by_patient).sum() == pytest.approx(1)
    assert np.abs(values(pooled) / values(pooled).sum() - values(by_patient)).max() > 0.001
    assert (errors(by_patient) > 0).all()


def test_a_patient_without_values_has_no_shares(rng):
    """Of two patients alike nothing can be said; a constant model says nothing of anybody."""
    model = linear([1.0, 2.0])
    alike = model.samples(np.ones((4, 2)))
    assert not values(probability(model, alike, rng, pooling="patient")).any()


def test_a_loss_that_one_modality_settles(rng):
    features = normal(1000, np.eye(3))
    labels = torch.from_numpy(features[:, 1] > 0).long()
    model = Tables(3, lambda x: 1000 * x[:, 1])
    for measure, expected in (("cross_entropy", 1), ("zero_one", 0.5)):
        result = loss(model, model.samples(features, labels), rng, measure=measure)
        assert result.modalities["m01"] == pytest.approx(expected, abs=0.03)
        assert [result.modalities[name] for name in ("m00", "m02")] == pytest.approx([0, 0], abs=1e-12)


def test_a_loss_that_a_stand_in_shares(rng):
    """SAGE's own law gives a copy half of the credit; drawn from the margins, it gets none."""
    features = normal(2000, np.eye(2))
    features[:, 1] = features[:, 0]
    labels = torch.from_numpy(features[:, 0] > 0).long()
    model = Tables(2, lambda x: 20 * x[:, 0])
    samples = model.samples(features, labels)
    assert values(loss(model, samples, rng)) == pytest.approx([0.5, 0.5], abs=0.08)
    assert values(loss(model, samples, rng, absence="marginal"))[1] == pytest.approx(0, abs=1e-12)


def test_few_draws_do_not_bias_the_loss():
    features = normal(3000, np.eye(3))
    labels = torch.from_numpy(features.sum(1) > 0).long()
    model = linear([1.5, 1.5, 1.5])
    few, many = (
        loss(model, model.samples(features, labels), np.random.default_rng(0), n_draws=n_draws)
        for n_draws in (4, 200)
    )
    assert values(few) == pytest.approx(values(many), abs=0.03)


@pytest.mark.parametrize("scenario", ["redundancy", "product", "suppressor"])
@pytest.mark.few(1)
def test_the_effects_of_a_scenario(scenario):
    scenario = synthetic.scenario(scenario)
    dataset = synthetic.generate(scenario, seed=0, n=16_000)
    model = models.oracle(dataset, scenario.decision)
    samples = models.oracle_samples(dataset, "explain").take(slice(0, 2000))
    truth = dataset.truth["shapley"].modalities
    result = methods.get("modality_shapley").attribute(model, samples, np.random.default_rng(0)).modalities
    assert result == pytest.approx(truth, abs=0.04)


def test_a_model_that_always_answers_alike_has_no_variance(rng):
    model = Tables(2, lambda x: 0 * x[:, 0])
    assert values(variance(model, model.samples(normal(50, np.eye(2))), rng)).tolist() == [0, 0]


def test_three_classes_count_alike(rng):
    class Three(Tables):
        def classify(self, features):
            return torch.stack([0 * features[:, 0], features[:, 0], features[:, 1]], dim=1)

    model = Three(3, None)
    result = variance(model, model.samples(normal(3000, np.eye(3))), rng)
    assert values(result) == pytest.approx([0.5, 0.5, 0], abs=0.03)


def test_wrong_options_are_named(network, samples, rng):
    for function in (variance, probability):
        with pytest.raises(ValueError, match=r"'output' must be one of margin, probability. Got 'label'"):
            function(network, samples, rng, output="label")
    with pytest.raises(ValueError, match=r"'pooling' of modality SHAP must be .* sum, patient. Got 'mean'"):
        probability(network, samples, rng, pooling="mean")
    with pytest.raises(ValueError, match=r"'measure' .* cross_entropy, zero_one. Got 'hinge'"):
        loss(network, samples, rng, measure="hinge")
    with pytest.raises(ValueError, match=r"needs the 'labels'"):
        loss(network, samples.without_labels(), rng)


def test_perceptual_score_is_permutation_of_modalities(network, samples, rng):
    """Gat et al. (2021) divide the accuracy that is lost by one number for all modalities."""
    lost = methods.get("permutation(unit=modality, n_repeats=20)").attribute(network, samples, rng).modalities
    with torch.no_grad():
        predicted = network.classify(network.encode(samples.inputs)).argmax(1)
    accuracy = float((predicted == samples.labels).double().mean())
    score = {name: value / accuracy for name, value in lost.items()}
    ratios = {score[a] * lost[b] - score[b] * lost[a] for a, b in itertools.combinations(lost, 2)}
    assert max(map(abs, ratios)) < 1e-12
