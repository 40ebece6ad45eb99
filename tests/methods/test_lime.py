import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

import methods
from methods.evaluation import torch_generator
from methods.lime import local_coefficients, regression_matrix


def ridge_coefficients(steps, response, *, kernel_width, ridge):
    """Return the coefficients of scikit-learn's ridge, weighted as in the authors' package."""
    distance = np.sqrt((steps**2).sum(1))
    weight = np.sqrt(np.exp(-(distance**2) / kernel_width**2))
    return Ridge(alpha=ridge, fit_intercept=True).fit(steps, response, sample_weight=weight).coef_


@pytest.mark.parametrize("ridge", [0.0, 1.0, 50.0])
@pytest.mark.parametrize(("n_points", "width"), [(300, 3), (200, 25), (50, 40)])
def test_the_matrix_is_scikit_learns_ridge(n_points, width, ridge):
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(n_points, width, generator=generator)
    responses = torch.rand(4, n_points, generator=generator)
    kernel_width = 0.75 * width**0.5
    ours = responses @ regression_matrix(steps, kernel_width, ridge).T
    for i in range(4):
        expected = ridge_coefficients(
            steps.double().numpy(), responses[i].numpy(), kernel_width=kernel_width, ridge=ridge
        )
        np.testing.assert_allclose(ours[i], expected, rtol=1e-4, atol=1e-5)


def test_every_sample_has_its_own_regression_on_its_own_points(network, samples, rng):
    ours = local_coefficients(network, samples, rng, n_points=400)
    generator = torch_generator(np.random.default_rng(0))
    with torch.no_grad():
        features = network.encode(samples.inputs)
        scale = torch.from_numpy(features.numpy().std(0))
        for i, row in enumerate(features):
            if i % 16 == 0:  # sixteen samples share their points
                steps = torch.randn(400, 25, generator=generator)
            response = network.classify(row + steps * scale).softmax(1)[:, 1]
            expected = ridge_coefficients(
                steps.double().numpy(), response.numpy(), kernel_width=0.75 * 5, ridge=1.0
            )
            np.testing.assert_allclose(ours[i], expected, atol=1e-5)


def test_other_points_give_the_same_coefficients_within_their_error(network, samples):
    few = samples.take(slice(0, 20))
    runs = [local_coefficients(network, few, np.random.default_rng(seed)) for seed in range(4)]
    spread = torch.stack(runs).std(0)
    with torch.no_grad():
        features = network.encode(few.inputs).numpy()
        scale = features.std(0)
        independent = []
        for i, row in enumerate(features):
            steps = np.random.default_rng(100 + i).standard_normal((5000, 25)).astype(np.float32)
            p = network.classify(torch.from_numpy(row + steps * scale)).softmax(1)[:, 1].numpy()
            independent.append(ridge_coefficients(steps, p, kernel_width=0.75 * 5, ridge=1.0))
    difference = np.stack(independent) - runs[0].numpy()
    typical = float(spread.square().mean().sqrt())
    assert np.abs(independent).max() > 10 * typical  # there is something to agree about
    assert np.sqrt((difference**2).mean()) < 2 * typical
    assert np.abs(difference).max() < 8 * typical


def test_a_linear_probability_gives_its_slopes_in_standard_deviations(kit, rng):
    weights = torch.tensor([0.010, -0.006, 0.003, 0.0, 0.002])
    model = kit.table_model({"a": 2, "b": 3}, kit.head_linear(weights))
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 2, 0.5, 3, 1.0])
    expected = weights.numpy() * x.numpy().std(0)
    exact = local_coefficients(model, model.samples(x), rng, ridge=0.0)
    np.testing.assert_allclose(exact, np.tile(expected, (40, 1)), atol=2e-6)
    shrunk = local_coefficients(model, model.samples(x), rng)
    np.testing.assert_allclose(shrunk, np.tile(expected, (40, 1)), rtol=2e-3, atol=2e-6)
    assert (shrunk.abs().mean(0)[:3].numpy() < np.abs(expected[:3])).all()


def test_a_constant_feature_counts_nothing_beside_the_others(kit, rng):
    model = kit.table_model({"a": 1, "constant": 1}, kit.head_binary(lambda x: x[:, 0] + 5 * x[:, 1]))
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 0.2
    attribution = methods.get("lime").attribute(model, model.samples(x), rng)
    assert attribution.modalities["constant"] < 0.02 * attribution.modalities["a"]


def test_a_single_sample_is_no_error(kit, rng):
    """One sample has no spread: nothing moves, and nothing matters."""
    model = kit.table_model({"a": 2}, kit.head_binary(lambda x: x.sum(1)))
    attribution = methods.get("lime").attribute(model, model.samples([[1.0, 2.0]]), rng)
    assert attribution.modalities["a"] == pytest.approx(0, abs=1e-6)


def test_the_class_explained_is_the_predicted_one_of_three(kit, rng):
    weights = torch.tensor([[0.05, 0.0], [0.0, 0.01], [-0.05, -0.01]])
    model = kit.table_model({"a": 2}, lambda x: (torch.tensor([0.2, 0.5, 0.3]) + x @ weights.T).log())
    x = torch.randn(10, 2, generator=torch.Generator().manual_seed(0)).clip(-1, 1)
    coefficients = local_coefficients(model, model.samples(x), rng)
    expected = weights[1] * torch.from_numpy(x.numpy().std(0))
    torch.testing.assert_close(coefficients.mean(0), expected, rtol=0.01, atol=1e-5)


@pytest.mark.parametrize("option", [{"n_points": 1}, {"kernel_width": 0.0}, {"ridge": -1.0}])
def test_wrong_options_are_named(network, samples, rng, option):
    (name, value) = next(iter(option.items()))
    with pytest.raises(ValueError, match=f"options of LIME must be .*{name}={value}"):
        local_coefficients(network, samples, rng, **option)


def test_only_the_first_samples_are_explained(kit):
    model = kit.network({"a": (3,), "b": (2,)})
    samples = kit.samples(model.shapes, n=40)
    few = local_coefficients(model, samples, np.random.default_rng(0), n_samples=16)
    every = local_coefficients(model, samples, np.random.default_rng(0))
    assert few.shape == (16, 5)
    assert every.shape == (40, 5)
    torch.testing.assert_close(few, every[:16])
    with pytest.raises(ValueError, match="n_samples"):
        local_coefficients(model, samples, np.random.default_rng(0), n_samples=0)
