import captum.attr
import numpy as np
import pytest
import torch

from methods.evaluation import fusion_features
from methods.pixel_maps import log_odds
from methods.saliency import saliency
from synthetic.types import Samples

WEIGHTS = {"image": torch.linspace(-1, 1, 64).view(1, 8, 8), "table": torch.tensor([2.0, -3.0])}


def linear_samples(n=5):
    generator = torch.Generator().manual_seed(0)
    return Samples(
        {
            "image": torch.rand(n, 1, 8, 8, generator=generator),
            "table": torch.randn(n, 2, generator=generator),
        }
    )


def test_of_a_linear_model_it_is_the_weights(kit, rng):
    found = saliency(kit.linear_model(WEIGHTS), linear_samples(), rng)
    np.testing.assert_allclose(found.pixels["image"], WEIGHTS["image"].abs().expand(5, 8, 8), rtol=1e-5)
    np.testing.assert_allclose(found.features["table"], [2, 3], rtol=1e-6)
    assert found.modalities["table"] == pytest.approx(5)
    assert found.modalities["image"] == pytest.approx(float(WEIGHTS["image"].abs().sum()))


def test_times_the_input_it_keeps_the_sign(kit, rng):
    samples = linear_samples()
    found = saliency(kit.linear_model(WEIGHTS), samples, rng, times_input=True)
    expected = (samples.inputs["image"] * WEIGHTS["image"])[:, 0]
    np.testing.assert_allclose(found.pixels["image"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_it_is_captums(kit, rng, n_classes):
    shapes = {"axial": (1, 28, 28), "clinical": (3,), "coronal": (1, 28, 28)}
    network, samples = kit.network(shapes, n_classes=n_classes), kit.samples(shapes, n=7)
    target = fusion_features(network, samples)[1]

    def score(*inputs):
        return log_odds(network(dict(zip(shapes, inputs, strict=True))), target)

    leaves = tuple(value.clone().requires_grad_() for value in samples.inputs.values())
    theirs = dict(zip(shapes, captum.attr.Saliency(score).attribute(leaves, abs=True), strict=True))
    ours = saliency(network, samples, rng)
    for name, maps in ours.pixels.items():
        np.testing.assert_allclose(maps, theirs[name][:, 0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.features["clinical"], theirs["clinical"].mean(0), rtol=1e-3)


def test_noise_smooths_a_kink_in_closed_form(kit):
    """The slope of |x|, over noise of spread s, is 2Φ(x / s) − 1."""

    class Kink(kit.linear_model):
        def encode_modality(self, name, value):
            return super().encode_modality(name, value.abs())

    # Range 1 in every image: the noise is a tenth of it.
    image = torch.full((1, 1, 8, 8), 0.05)
    image[..., 0, 0], image[..., 0, 1] = 0.0, 1.0
    found = saliency(
        Kink({"image": torch.ones(1, 8, 8)}),
        Samples({"image": image}),
        np.random.default_rng(0),
        noise=0.1,
        n_copies=500,
    ).pixels["image"][0]
    assert found[0, 0] == pytest.approx(0, abs=0.2)
    assert found[0, 1] == pytest.approx(1, abs=1e-3)
    assert found[1:].mean() == pytest.approx(0.3829, abs=0.02)  # 2Φ(0.5) − 1


@pytest.mark.parametrize("options", [{"noise": -0.1}, {"noise": float("nan")}, {"n_copies": 0}])
def test_options_out_of_range_are_errors(network, samples, rng, options):
    with pytest.raises(ValueError, match=r"noise ≥ 0 and n_copies ≥ 1. Got noise="):
        saliency(network, samples, rng, **options)
