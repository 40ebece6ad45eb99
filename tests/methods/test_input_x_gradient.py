import captum.attr
import pytest
import torch

import methods
from methods.input_x_gradient import gradient_times_input


@pytest.mark.parametrize("centre", ["zero", "mean"])
def test_it_agrees_with_captum(network, samples, rng, centre):
    with torch.no_grad():
        features = network.encode(samples.inputs)
    shift = features.mean(0) if centre == "mean" else torch.zeros(25)
    theirs = captum.attr.InputXGradient(lambda moved: network.classify(moved + shift).softmax(1))
    expected = theirs.attribute((features - shift).requires_grad_(), target=1).detach()
    found = gradient_times_input(network, samples, rng, centre=centre)
    assert float(expected.abs().max()) > 0.05
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_of_three_classes_the_predicted_one_is_explained(kit, rng):
    model = kit.network({"a": (6,)}, n_classes=3)
    samples = kit.samples(model.shapes, n=30)
    features = samples.inputs["a"]
    target = model.classify(features).argmax(1)
    assert len(target.unique()) == 3
    theirs = captum.attr.InputXGradient(lambda fused: model.classify(fused).softmax(1))
    expected = theirs.attribute(features.clone().requires_grad_(), target=target).detach()
    torch.testing.assert_close(gradient_times_input(model, samples, rng), expected, rtol=1e-4, atol=1e-6)


def test_logistic_regression_in_closed_form(kit, rng):
    weights = torch.tensor([2.0, -1.0, 0.0])
    model = kit.table_model({"a": 1, "b": 2}, kit.head_binary(lambda x: x @ weights))
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    p = torch.sigmoid(x @ weights)[:, None]
    expected = (x * weights * p * (1 - p)).abs().mean(0)
    found = methods.get("input_x_gradient").attribute(model, model.samples(x), rng)
    assert found.modalities == pytest.approx({"a": float(expected[0]), "b": float(expected[1])}, rel=1e-5)


def test_a_wrong_centre_is_an_error(network, samples, rng):
    with pytest.raises(ValueError, match=r"'centre' .* zero, mean. Got 'median'"):
        gradient_times_input(network, samples, rng, centre="median")
