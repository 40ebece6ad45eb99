"""What the methods at the fusion layer share, sample by sample (the contracts look at modalities)."""

import numpy as np
import pytest
import torch

import methods
from methods import evaluation

NAMES = (
    "input_x_gradient",
    "smoothgrad",
    "integrated_gradients",
    "gradient_shap",
    "deeplift",
    "deeplift_shap",
    "lrp",
    "feature_ablation",
    "shapley_sampling",
)
every_method = pytest.mark.parametrize("name", NAMES)


def local(name, model, samples, seed=0):
    found = methods.get(name).function(model, samples, np.random.default_rng(seed))
    return found.values if isinstance(found, methods.Flagged) else found


@every_method
def test_each_sample_gets_one_value_a_feature(network, samples, name):
    found = local(name, network, samples.without_labels())
    assert found.shape == (40, 25)
    assert not found.requires_grad
    assert found.isfinite().all()
    assert methods.get(name).level == "fusion"
    assert not methods.get(name).needs_labels


@every_method
def test_samples_do_not_depend_on_the_calls_that_they_share(network, samples, name, monkeypatch):
    expected = local(name, network, samples)
    monkeypatch.setattr(evaluation, "CLASSIFY_ROWS", 7)
    torch.testing.assert_close(local(name, network, samples), expected, atol=2e-5, rtol=1e-3)


@every_method
def test_the_seed_decides_to_the_last_digit(network, samples, name):
    first = local(name, network, samples, seed=3)
    assert torch.equal(first, local(name, network, samples, seed=3))
    is_random = name in {"smoothgrad", "gradient_shap", "shapley_sampling"}
    assert torch.equal(first, local(name, network, samples, seed=4)) == (not is_random)


@every_method
def test_it_works_where_gradients_are_switched_off_and_weights_want_them(kit, name):
    model = kit.network({"a": (4,), "b": (2,)})
    samples = kit.samples(model.shapes, n=10)
    expected = local(name, model.requires_grad_(requires_grad=False), samples)
    with torch.no_grad():
        found = local(name, model.requires_grad_(), samples)
    assert torch.equal(found, expected)
    assert all(parameter.grad is None for parameter in model.parameters())
