import numpy as np
import pytest
import torch
from scipy import stats

import methods
from methods.ablation import change, loss, variance
from methods.modality_contribution import contribution


class Joint:
    """The network without the ability to encode one modality alone."""

    def __init__(self, network):
        self.modalities, self.groups = network.modalities, network.groups
        self.encode, self.classify = network.encode, network.classify


@pytest.fixture
def linear(kit):
    """Return a separable model whose log-odds are 3a + b, and c does nothing."""

    class Separable(kit.table_model):
        def encode_modality(self, name, value):
            return value

    return Separable({"a": 1, "b": 1, "c": 1}, kit.head_binary(lambda x: 3 * x[:, 0] + x[:, 1]))


def normal(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 3))


@pytest.mark.parametrize("replacement", ["zero", "mean"])
def test_it_is_modality_contribution_of_whole_modalities(network, samples, rng, replacement):
    found = change(network, samples, rng, measure="probability", replacement=replacement).modalities
    other = contribution(network, samples, rng, granularity="whole", replacement=replacement).modalities
    assert found == pytest.approx({name: value / 2 for name, value in other.items()}, abs=1e-6)


@pytest.mark.parametrize("replacement", ["zero", "mean", "random"])
@pytest.mark.parametrize("function", [change, loss])
def test_encoding_one_modality_alone_only_saves_time(network, samples, replacement, function):
    fast, slow = (
        function(model, samples, np.random.default_rng(0), replacement=replacement, n_draws=3).modalities
        for model in (network, Joint(network))
    )
    assert fast == pytest.approx(slow, abs=1e-6)


def test_decisions_that_change_in_closed_form(linear, rng):
    """The logits before and after are normal with correlation ρ; they differ in sign in arccos(ρ)/π."""
    result = change(linear, linear.samples(normal(4000)), rng)
    expected = {"a": np.arccos(1 / 10) / np.pi, "b": np.arccos(9 / 10) / np.pi, "c": 0}
    assert result.modalities == pytest.approx(expected, abs=0.01)
    assert result.modalities["c"] == 0
    assert 0 < result.standard_error["a"] < 0.01


def test_it_needs_no_labels_where_permutation_does(network, samples):
    """Where the model is always right, accuracy is lost where its decision changes."""
    with torch.no_grad():
        right = type(samples)(samples.inputs, network.classify(network.encode(samples.inputs)).argmax(1))
    lost = methods.get("permutation(unit=modality, n_repeats=300)").attribute(
        network, right, np.random.default_rng(0)
    )
    found = methods.get("ablation(n_draws=100)").attribute(network, samples, np.random.default_rng(0))
    # A random permutation leaves one sample in n where it is.
    scale = len(samples) / (len(samples) - 1)
    assert found.modalities == pytest.approx(
        {name: scale * value for name, value in lost.modalities.items()}, abs=0.02
    )


def test_the_loss_by_hand(linear, rng):
    x = normal(50)
    labels = torch.from_numpy(x[:, 0] > 0).long()
    found = loss(linear, linear.samples(x, labels), rng, replacement="zero").modalities

    def bits(a, b):
        logit = 3 * a + b
        return -np.log2(1 / (1 + np.exp(-np.where(labels.numpy() == 1, logit, -logit)))).mean()

    before = bits(x[:, 0], x[:, 1])
    expected = {"a": bits(0, x[:, 1]) - before, "b": bits(x[:, 0], 0) - before, "c": 0}
    assert found == pytest.approx(expected, abs=1e-5)


def test_total_effects_of_linked_modalities(linear, rng):
    """Given b, with correlation ρ, a has 1 − ρ² of its variance left."""
    x = normal(6000)
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    total = 9 + 1 + 2 * 3 * 0.8
    found = variance(linear, linear.samples(x), rng)
    expected = {"a": 9 * 0.36 / total, "b": 0.36 / total, "c": 0}
    assert found.modalities == pytest.approx(expected, abs=0.012)
    for name in "ab":
        assert abs(found.modalities[name] - expected[name]) < 5 * found.standard_error[name]
    blind = variance(linear, linear.samples(x), rng, absence="marginal").modalities
    assert blind == pytest.approx({"a": 9 / total, "b": 1 / total, "c": 0}, abs=0.02)


def test_standard_errors_cover(linear):
    expected = {
        change: [np.arccos(1 / 10) / np.pi, np.arccos(9 / 10) / np.pi],
        variance: [0.9, 0.1],
    }
    for function, values in expected.items():
        covered = []
        for seed in range(60):
            result = function(linear, linear.samples(normal(200, seed)), np.random.default_rng(seed))
            found = np.array([result.modalities["a"], result.modalities["b"]])
            error = np.array([result.standard_error["a"], result.standard_error["b"]])
            covered.append(np.abs(found - values) < 1.96 * error)
        assert 0.87 < np.mean(covered) <= 1, function


def test_two_samples_are_enough(linear, rng):
    samples = linear.samples(normal(2), torch.tensor([0, 1]))
    for function in (change, loss, variance):
        assert np.isfinite(list(function(linear, samples, rng).modalities.values())).all()


def test_total_effects_of_independent_modalities(linear, rng):
    found = variance(linear, linear.samples(normal(4000)), rng).modalities
    assert found == pytest.approx({"a": 0.9, "b": 0.1, "c": 0}, abs=0.03)
    assert stats.rankdata(list(found.values())).tolist() == [3, 2, 1]


def test_wrong_options_are_named(network, samples, rng):
    with pytest.raises(ValueError, match=r"'measure' of ablation .* decision, probability. Got 'f1'"):
        change(network, samples, rng, measure="f1")
    with pytest.raises(ValueError, match=r"'replacement' of ablation .* zero, mean, random. Got 'blur'"):
        loss(network, samples, rng, replacement="blur")
    with pytest.raises(ValueError, match=r"'n_draws' .* at least 2. Got 0"):
        change(network, samples, rng, n_draws=0)
    with pytest.raises(ValueError, match="needs the 'labels'"):
        loss(network, samples.without_labels(), rng)
