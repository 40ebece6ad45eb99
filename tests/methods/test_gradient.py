import captum.attr
import numpy as np
import pytest
import torch

import methods
from methods.gradient import local_gradients


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_each_samples_own_gradient(kit, rng, n_classes):
    shapes = {"picture": (1, 28, 28), "table": (4,)}
    model = kit.network(shapes, n_classes=n_classes)
    samples = kit.samples(shapes, n=12)
    expected = []
    for i in range(12):
        with torch.no_grad():
            fused = model.encode({name: value[i : i + 1] for name, value in samples.inputs.items()})
        fused.requires_grad_()
        p = model.classify(fused).softmax(1)[0]
        (p[1] if n_classes == 2 else p.max()).backward()
        expected.append(fused.grad[0].numpy())
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(local_gradients(model, samples, rng), expected, rtol=1e-4, atol=1e-7)


def test_it_agrees_with_captums_saliency_at_the_head(network, samples, rng):
    with torch.no_grad():
        features = network.encode(samples.inputs)
    saliency = captum.attr.Saliency(lambda fused: network.classify(fused).softmax(1))
    expected = saliency.attribute(features.requires_grad_(), target=1, abs=False)
    torch.testing.assert_close(
        local_gradients(network, samples, rng), expected.detach(), rtol=1e-4, atol=1e-7
    )


def test_logistic_regression_in_closed_form(kit, rng):
    weights = torch.tensor([2.0, -1.0, 0.5, 0.0])
    model = kit.table_model({"a": 2, "b": 1, "c": 1}, kit.head_binary(lambda x: x @ weights - 0.3))
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    p = torch.sigmoid(x @ weights - 0.3)
    slope = float((p * (1 - p)).mean())
    attribution = methods.get("gradient").attribute(model, model.samples(x), rng)
    expected = {"a": 3 * slope, "b": 0.5 * slope, "c": 0.0}
    assert attribution.modalities == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(attribution.features["a"], [2 * slope, slope], rtol=1e-5)
    assert attribution.modalities["c"] == 0


def test_it_works_where_gradients_are_switched_off(network, samples, rng):
    with torch.no_grad():
        inside = local_gradients(network, samples, rng)
    assert torch.equal(inside, local_gradients(network, samples, rng))
