import numpy as np
import pytest
import torch

from methods import NotApplicableError
from methods.evaluation import encode
from methods.pattern import activation_patterns
from methods.pixel_maps import explained, feature_slopes, input_slopes
from methods.saliency import saliency
from synthetic.types import Samples

both_readings = pytest.mark.parametrize("reading", ["input", "fusion"])


def signal_and_distractor(n=4000):
    """Return images with a signal in one pixel, a distractor in this and another one, and noise elsewhere.

    The example of Haufe et al. 2014, section 2.1: x₁ = signal + distractor, x₂ = distractor.
    """
    generator = torch.Generator().manual_seed(0)
    signal, distractor = torch.randn(2, n, generator=generator)
    image = 0.1 * torch.randn(n, 1, 4, 4, generator=generator)
    image[:, 0, 1, 1] = signal + distractor
    image[:, 0, 2, 2] = distractor
    return Samples({"image": image}), signal


@both_readings
def test_a_suppressor_has_weight_but_shows_nothing(kit, rng, reading):
    samples, _ = signal_and_distractor()
    weights = torch.zeros(1, 4, 4)
    weights[0, 1, 1], weights[0, 2, 2] = 1, -1  # it reads the signal exactly
    model = kit.linear_model({"image": weights})
    slopes = saliency(model, samples, rng).pixels["image"][0]
    assert slopes[2, 2] == pytest.approx(slopes[1, 1])
    found = activation_patterns(model, samples, rng, reading=reading).pixels["image"]
    assert found.shape == (100, 4, 4)
    np.testing.assert_allclose(found[:, 1, 1], 1, atol=0.05)
    found[:, 1, 1] = 0
    assert found.max() < 0.05


@both_readings
def test_it_is_the_covariance_with_the_reading(kit, rng, reading):
    weights = {"image": torch.linspace(-1, 1, 64).view(1, 8, 8), "table": torch.tensor([2.0, -3.0])}
    samples = kit.samples({"image": (1, 8, 8), "table": (2,)}, n=600)
    found = activation_patterns(kit.linear_model(weights), samples, rng, reading=reading, n_maps=2)
    for name, value in samples.inputs.items():
        part = (value * weights[name]).flatten(1).sum(1).double().numpy()
        flat = value.flatten(1).double().numpy()
        expected = [abs(np.cov(column, part, bias=True)[0, 1]) for column in flat.T]
        local = found.pixels[name][1].ravel() if name == "image" else found.features[name]
        np.testing.assert_allclose(local, expected, rtol=1e-3, atol=1e-5)
        assert found.modalities[name] == pytest.approx(sum(expected), rel=1e-3)


def test_of_rendered_latents_it_is_what_each_shows_of_what_is_read(kit, rng):
    """Independent latents z_j move pixels by d_j, no two the same pixel: Σ_j |∂s/∂z_j| · |d_j|."""
    generator = torch.Generator().manual_seed(0)
    shown = torch.zeros(3, 1, 6, 6)
    shown[0, 0, :2], shown[1, 0, 2:4], shown[2, 0, 4:] = 1.0, 0.5, 2.0
    latents = torch.randn(20_000, 3, generator=generator)
    samples = Samples({"image": torch.einsum("nj,jchw->nchw", latents, shown)})
    # Weights that read 2 z_0 − z_1 and nothing of z_2.
    reading = torch.linalg.pinv(shown.flatten(1)) @ torch.tensor([2.0, -1.0, 0.0])
    model = kit.linear_model({"image": reading.view(1, 6, 6)})
    found = activation_patterns(model, samples, rng, n_maps=1).pixels["image"][0]
    np.testing.assert_allclose(found[:2], 2 * 1.0, atol=0.1)
    np.testing.assert_allclose(found[2:4], 1 * 0.5, atol=0.1)
    assert found[4:].max() < 0.1


class Mixed:
    """A model whose fusion features are mixed by an invertible matrix, which its head undoes."""

    def __init__(self, model, seed=0):
        width = max(columns.stop for columns in model.groups.values())
        mix = torch.zeros(width, width)
        generator = torch.Generator().manual_seed(seed)
        for columns in model.groups.values():
            n = columns.stop - columns.start
            mix[columns, columns] = torch.randn(n, n, generator=generator) + 3 * torch.eye(n)
        self.model, self.mix, self.back = model, mix, mix.inverse()
        self.modalities, self.groups = model.modalities, model.groups

    def encode(self, inputs):
        return self.model.encode(inputs) @ self.mix

    def classify(self, features):
        return self.model.classify(features @ self.back)


@both_readings
def test_how_an_encoder_mixes_its_features_does_not_matter(network, samples, rng, reading):
    plain = activation_patterns(network, samples, rng, reading=reading)
    mixed = activation_patterns(Mixed(network), samples, rng, reading=reading)
    for name, maps in plain.pixels.items():
        np.testing.assert_allclose(mixed.pixels[name], maps, atol=2e-3 * maps.max())
    assert mixed.modalities == pytest.approx(plain.modalities, rel=2e-3)


@both_readings
def test_on_a_network_it_is_numpys_covariance(network, samples, rng, reading):
    given = explained(network, samples, 5)
    found = activation_patterns(network, samples, rng, reading=reading, n_maps=5)
    features = encode(network, samples.inputs).double()
    by_features = feature_slopes(network, given.features, given.target).double()
    by_inputs = input_slopes(network, given.inputs, given.target)
    for name in ("axial", "coronal"):
        flat = samples.inputs[name].flatten(1).double()
        columns = network.groups[name]
        if reading == "fusion":
            u = features[:, columns] @ by_features[:, columns].T
        else:
            u = flat @ by_inputs[name].flatten(1).double().T
        for i in range(5):
            expected = np.abs(np.cov(flat.T.numpy(), u[:, i].numpy(), bias=True)[-1, :-1])
            np.testing.assert_allclose(found.pixels[name][i].ravel(), expected, atol=1e-3 * expected.max())


def test_patients_differ(network, samples, rng):
    maps = activation_patterns(network, samples, rng).pixels["axial"]
    assert np.abs(maps[0] - maps[1]).max() > 0.1 * maps.max()


def test_options_out_of_range_are_errors(network, samples, rng):
    with pytest.raises(ValueError, match=r"'reading' of pattern must be one of input, fusion. Got 'pixels'"):
        activation_patterns(network, samples, rng, reading="pixels")
    with pytest.raises(NotApplicableError, match="two samples at least"):
        activation_patterns(network, samples.take(slice(0, 1)), rng)
