import captum.attr
import numpy as np
import pytest
import torch

from methods.gradient import local_gradients
from methods.smoothgrad import smoothed_gradients


def test_without_noise_it_is_the_gradient(network, samples, rng):
    found = smoothed_gradients(network, samples, rng, noise=0, n_copies=3)
    torch.testing.assert_close(found, local_gradients(network, samples, rng), rtol=1e-4, atol=1e-6)


def test_a_sine_in_closed_form(kit, rng):
    """p = ½ + 0.3 sin x has the slope 0.3 cos x; noise of spread s shrinks it by exp(−s²/2)."""

    def logits(x):
        p = 0.5 + 0.3 * torch.sin(x[:, 0])
        return torch.stack([1 - p, p], dim=1).log()

    model = kit.table_model({"a": 1, "b": 1}, logits)
    x = 2 * torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    noise = 0.6 * float(x[:, 0].std(correction=0))
    found = smoothed_gradients(model, model.samples(x), rng, noise=0.6, n_copies=20_000)
    expected = 0.3 * np.exp(-(noise**2) / 2) * torch.cos(x[:, 0])
    torch.testing.assert_close(found[:, 0], expected, atol=0.01, rtol=0)
    assert float(found[:, 1].abs().max()) == 0


def test_it_agrees_with_captum_within_noise(kit):
    model = kit.network({"a": (6,), "b": (3,)})
    samples = kit.samples(model.shapes, n=12)
    features = model.encode(samples.inputs)
    spread = (0.5 * features.std(0, correction=0)).expand_as(features)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # captum takes one standard deviation for all features: it is given standardised ones.
        tunnel = captum.attr.NoiseTunnel(
            captum.attr.Saliency(lambda z: model.classify(z * spread[0]).softmax(1))
        )
        theirs = tunnel.attribute(
            (features / spread).requires_grad_(),
            nt_type="smoothgrad",
            nt_samples=4000,
            stdevs=1.0,
            target=1,
            abs=False,
        )
    ours = smoothed_gradients(model, samples, np.random.default_rng(0), noise=0.5, n_copies=4000)
    again = smoothed_gradients(model, samples, np.random.default_rng(1), noise=0.5, n_copies=4000)
    noise = float((ours - again).square().mean().sqrt())
    difference = (theirs / spread - ours).detach()
    assert float(ours.abs().max()) > 10 * noise
    assert float(difference.square().mean().sqrt()) < 1.5 * noise


@pytest.mark.parametrize("options", [{"noise": -0.1}, {"noise": float("nan")}, {"n_copies": 0}])
def test_options_out_of_range_are_errors(network, samples, rng, options):
    with pytest.raises(ValueError, match=r"noise ≥ 0 and n_copies ≥ 1. Got noise="):
        smoothed_gradients(network, samples, rng, **options)
