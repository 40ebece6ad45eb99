import captum.attr
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import methods
from methods.shapley_sampling import sampled_shapley_values


def exact(model, features, references, target):
    """Return captum's Shapley values, which go through all orders, averaged over references."""
    explainer = captum.attr.ShapleyValues(lambda fused: model.classify(fused).softmax(1))
    with torch.no_grad():
        return torch.stack(
            [explainer.attribute(features, baselines=row[None], target=target) for row in references]
        ).mean(0)


@pytest.mark.parametrize("absent", ["mean", "sample"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_mean_over_many_orders_goes_to_the_exact_values(kit, absent, n_classes):
    model = kit.network({"a": (3,), "b": (2,)}, n_classes=n_classes)
    samples = kit.samples(model.shapes, n=6)
    features = model.encode(samples.inputs)
    target = model.classify(features).argmax(1) if n_classes == 3 else 1
    references = features if absent == "sample" else features.mean(0, keepdim=True)
    expected = exact(model, features, references, target).double()
    runs = torch.stack(
        [
            sampled_shapley_values(
                model, samples, np.random.default_rng(s), n_evaluations=1200, absent=absent
            )
            for s in range(30)
        ]
    ).double()
    error = runs.std(0) / 30**0.5
    assert float(expected.abs().max()) > 10 * float(error.max())
    distance = ((runs.mean(0) - expected) / error.clamp_min(1e-6)).square().mean().sqrt()
    assert float(distance) < 1.6


def test_an_interaction_is_shared_equally(kit, rng):
    """p = ½ + x₀x₁/10 with means 0: half for each, from any pair of an order and its reverse."""

    def logits(x):
        p = 0.5 + x[:, 0] * x[:, 1] / 10
        return torch.stack([1 - p, p], dim=1).log()

    model = kit.table_model({"a": 1, "b": 2}, logits)
    x = torch.tensor([[a, b, c] for a in (-1.0, 1.0) for b in (-1.0, 1.0) for c in (-1.0, 1.0)])
    found = sampled_shapley_values(model, model.samples(x), rng, n_evaluations=8)
    share = x[:, 0] * x[:, 1] / 20
    expected = torch.stack([share, share, torch.zeros(8)], dim=1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 25))
@settings(max_examples=30, deadline=None)
def test_values_add_up_to_the_change_from_the_reference(kit, seed, width):
    model = kit.network({"a": (width,)}, seed=seed)
    samples = kit.samples(model.shapes, n=20, seed=seed + 1)
    found = sampled_shapley_values(model, samples, np.random.default_rng(seed), n_evaluations=4 * (width + 1))
    with torch.no_grad():
        x = samples.inputs["a"]
        p = model.classify(x).softmax(1)[:, 1]
        nobody = model.classify(x.mean(0, keepdim=True)).softmax(1)[0, 1]
    torch.testing.assert_close(found.sum(1), p - nobody, atol=1e-5, rtol=0)


def test_a_linear_probability_needs_two_orders_only(kit, rng):
    weights = torch.linspace(-0.02, 0.03, 12)
    model = kit.table_model({"a": 12}, kit.head_linear(weights))
    x = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    found = sampled_shapley_values(model, model.samples(x), rng, n_evaluations=26)
    torch.testing.assert_close(found, weights * (x - x.mean(0)), atol=1e-6, rtol=0)


def test_it_agrees_with_kernel_shap_where_that_is_exact(kit, rng):
    model = kit.network({"a": (6,), "b": (5,)})
    samples = kit.samples(model.shapes, n=20)
    sampled = methods.get("shapley_sampling(n_evaluations=12000)").attribute(model, samples, rng)
    assert sampled.modalities == pytest.approx(
        methods.get("kernel_shap").attribute(model, samples, rng).modalities, rel=0.03
    )


def test_the_first_samples_are_explained(network, samples, rng):
    assert sampled_shapley_values(network, samples, rng, n_evaluations=52, n_samples=7).shape == (7, 25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_evaluations": 51}, "'n_evaluations' .* at least 52, .* Got 51"),
        ({"n_samples": 0}, "'n_samples' .* at least 1. Got 0"),
        ({"absent": "zero"}, "'absent' .* mean, sample. Got 'zero'"),
    ],
)
def test_options_out_of_range_are_errors(network, samples, rng, options, message):
    with pytest.raises(ValueError, match=message):
        sampled_shapley_values(network, samples, rng, **options)
