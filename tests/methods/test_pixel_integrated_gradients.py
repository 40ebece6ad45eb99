import captum.attr
import numpy as np
import pytest
import torch

from methods.evaluation import fusion_features
from methods.pixel_integrated_gradients import integrated_pixels
from methods.pixel_maps import log_odds
from synthetic.types import Samples

SHAPES = {"axial": (1, 28, 28), "coronal": (1, 28, 28)}


@pytest.mark.parametrize("baseline", ["mean", "zero"])
def test_of_a_linear_model_it_is_weight_times_change(kit, rng, baseline):
    weights = {"image": torch.linspace(-1, 1, 64).view(1, 8, 8), "table": torch.tensor([2.0, -3.0])}
    samples = kit.samples({"image": (1, 8, 8), "table": (2,)}, n=6)
    found = integrated_pixels(kit.linear_model(weights), samples, rng, baseline=baseline, n_steps=2, n_maps=4)
    image, table = samples.inputs["image"], samples.inputs["table"]
    start = (image.mean(0), table.mean(0)) if baseline == "mean" else (0, 0)
    expected = ((image - start[0]) * weights["image"])[:4, 0]
    np.testing.assert_allclose(found.pixels["image"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        found.features["table"], ((table - start[1]) * weights["table"])[:4].abs().mean(0), rtol=1e-5
    )


def test_values_add_up_to_the_change_from_the_mean_image(kit, rng):
    """Completeness (proposition 1 of the paper), over both images."""
    network, samples = kit.network(SHAPES), kit.samples(SHAPES, n=6)
    target = fusion_features(network, samples)[1]
    means = {name: value.mean(0, keepdim=True).expand_as(value) for name, value in samples.inputs.items()}
    with torch.no_grad():
        change = log_odds(network(samples.inputs), target) - log_odds(network(means), target)
    found = integrated_pixels(network, samples, rng, n_steps=150)
    total = sum(maps.sum((1, 2)) for maps in found.pixels.values())
    assert float(change.abs().max()) > 1
    np.testing.assert_allclose(total, change, atol=0.02 * float(change.abs().max()))


def test_it_is_captums(kit, rng):
    network, samples = kit.network(SHAPES, n_classes=3), kit.samples(SHAPES, n=5)
    target = fusion_features(network, samples)[1]

    def score(axial, coronal):
        times = len(axial) // len(target)
        return log_odds(network({"axial": axial, "coronal": coronal}), target.repeat(times))

    inputs = tuple(samples.inputs.values())
    theirs = captum.attr.IntegratedGradients(score).attribute(
        inputs,
        tuple(value.mean(0, keepdim=True) for value in inputs),
        n_steps=20,
        method="gausslegendre",
    )
    ours = integrated_pixels(network, samples, rng, n_steps=20)
    for name, tensor in zip(SHAPES, theirs, strict=True):
        values = tensor[:, 0].detach().numpy()
        np.testing.assert_allclose(ours.pixels[name], values, atol=1e-3 * np.abs(values).max())


def test_options_out_of_range_are_errors(network, samples, rng):
    with pytest.raises(ValueError, match=r"'n_steps' of integrated gradients must be at least 1. Got 0"):
        integrated_pixels(network, samples, rng, n_steps=0)
    with pytest.raises(ValueError, match=r"must be one of mean, zero. Got 'black'"):
        integrated_pixels(network, Samples(samples.inputs), rng, baseline="black")
