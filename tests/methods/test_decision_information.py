import numpy as np
import pytest
import torch
from scipy import stats

import methods
import synthetic
from benchmark import models
from methods.decision_information import accuracy, alone, divided, entropy


@pytest.fixture
def tables(kit):
    """Return a function from a number of columns and a score to a separable model, a modality a column."""

    def build(n_modalities, score):
        class Separable(kit.table_model):
            def encode_modality(self, name, value):
                return value

        return Separable({f"m{place}": 1 for place in range(n_modalities)}, kit.head_binary(score))

    return build


def normal(n, width):
    return np.random.default_rng(0).standard_normal((n, width))


def binary_entropy(p):
    return stats.entropy([p, 1 - p], base=2, axis=0)


def values(attribution):
    return np.array(list(attribution.modalities.values()))


def test_in_closed_form(tables, rng):
    """The sign of x + y: given x it is 1 with probability Φ(x), of a uniform law, so 1 − ½ / ln 2 bits."""
    model = tables(3, lambda x: x[:, 0] + x[:, 1])
    samples = model.samples(normal(3000, 3))
    single = 1 - 0.5 / np.log(2)
    assert values(alone(model, samples, rng)) == pytest.approx([single, single, 0], abs=0.02)
    assert values(accuracy(model, samples, rng)) == pytest.approx([0.25, 0.25, 0], abs=0.02)
    assert values(divided(model, samples, rng)) == pytest.approx([0.5, 0.5, 0], abs=0.02)


def test_how_sharp_the_model_is_does_not_matter(tables):
    samples = tables(2, None).samples(normal(300, 2))
    for function in (alone, accuracy, divided):
        soft, sharp = (
            function(tables(2, lambda x, k=k: k * (x[:, 0] + 2 * x[:, 1])), samples, np.random.default_rng(0))
            for k in (1, 128)
        )
        assert soft.modalities == sharp.modalities


def test_exclusive_or_says_nothing_alone_and_all_together(tables, rng):
    model = tables(2, lambda x: x[:, 0] * x[:, 1])
    samples = model.samples(normal(2000, 2))
    assert values(alone(model, samples, rng)) == pytest.approx([0, 0], abs=0.01)
    assert values(accuracy(model, samples, rng)) == pytest.approx([0, 0], abs=0.02)
    assert values(divided(model, samples, rng)) == pytest.approx([0.5, 0.5], abs=0.01)


def test_a_stand_in_is_credited(tables, rng):
    x = normal(3000, 2)
    x[:, 1] = 0.9 * x[:, 0] + np.sqrt(0.19) * x[:, 1]
    model = tables(2, lambda x: x[:, 0])
    samples = model.samples(x)
    # P(x0 > 0 | x1) = Φ(0.9 x1 / √0.19)
    p = stats.norm.cdf(0.9 * x[:, 1] / np.sqrt(0.19))
    assert values(alone(model, samples, rng)) == pytest.approx([1, 1 - binary_entropy(p).mean()], abs=0.03)
    found = values(accuracy(model, samples, rng))
    assert found == pytest.approx([0.5, np.maximum(p, 1 - p).mean() - 0.5], abs=0.03)
    assert values(alone(model, samples, rng, absence="marginal"))[1] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("n_draws", [16, 37])
def test_few_draws_hardly_bias_the_entropy(p, n_draws):
    counts = np.random.default_rng(0).binomial(n_draws, p, 20_000)
    found = entropy(torch.from_numpy(np.stack([counts, n_draws - counts], axis=1)).double())
    plain = binary_entropy(counts / n_draws).mean()
    assert abs(float(found.mean()) - binary_entropy(p)) < 0.015
    assert abs(float(found.mean()) - binary_entropy(p)) < abs(plain - binary_entropy(p))


def test_entropy_by_leaving_one_out():
    counts = np.array([3, 2, 1])
    draws = np.repeat([0, 1, 2], counts)

    def plain(kept):
        return stats.entropy(np.bincount(kept, minlength=3), base=2)

    left_out = np.mean([plain(np.delete(draws, place)) for place in range(6)])
    expected = 6 * plain(draws) - 5 * left_out
    assert float(entropy(torch.tensor([[3.0, 2.0, 1.0]], dtype=torch.float64))) == pytest.approx(expected)
    assert float(entropy(torch.tensor([[0.0, 1.0]], dtype=torch.float64))) == 0


def test_three_classes(kit, rng):
    class Three(kit.table_model):
        def encode_modality(self, name, value):
            return value

    model = Three({"a": 1, "b": 1}, lambda x: torch.cat([-x[:, :1], x[:, :1], 0.5 - x[:, :1].abs()], dim=1))
    samples = model.samples(normal(1000, 2))
    with torch.no_grad():
        shares = np.bincount(model.classify(model.encode(samples.inputs)).argmax(1), minlength=3) / 1000
    assert (shares > 0.1).all()
    assert values(alone(model, samples, rng)) == pytest.approx([stats.entropy(shares, base=2), 0], abs=0.02)
    assert values(accuracy(model, samples, rng)) == pytest.approx([1 - shares.max(), 0], abs=0.02)


@pytest.mark.parametrize(
    ("name", "estimand"),
    [
        ("decision_information", "sage"),
        ("unimodal_information", "information"),
        ("unimodal_accuracy", "bayes_accuracy"),
    ],
)
def test_a_scenario_with_links(name, estimand):
    scenario = synthetic.scenario("redundancy")
    dataset = synthetic.generate(scenario, seed=0, n=16_000)
    model = models.oracle(dataset, scenario.decision)
    samples = models.oracle_samples(dataset, "explain").take(slice(0, 1000)).without_labels()
    result = methods.get(f"{name}(n_draws=32)").attribute(model, samples, np.random.default_rng(0))
    truth = dataset.truth[estimand]
    assert truth.raw == pytest.approx(result.modalities, abs=0.04)


def test_six_modalities_are_sampled(tables):
    model = tables(6, lambda x: x[:, 0] + x[:, 1] * x[:, 2])
    result = divided(model, model.samples(normal(640, 6)), np.random.default_rng(0))
    assert sum(result.modalities.values()) == pytest.approx(1, abs=0.03)
    assert values(result)[3:] == pytest.approx([0] * 3, abs=1e-9)
    assert result.modalities["m1"] == pytest.approx(result.modalities["m2"], abs=0.05)
