from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import methods
import synthetic
from benchmark import models
from benchmark.models import encoders
from synthetic.types import Samples

NETWORKS = ("hybrid", "hybrid-s1")
SHAPES = {"axial": (1, 28, 28), "coronal": (1, 28, 28), "clinical_a": (10,), "clinical_b": (10,)}


def make_inputs(shapes=SHAPES, n=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(n, *shape, generator=generator) * torch.rand(n, 1, 1, 1, generator=generator)
        if len(shape) == 3
        else torch.randn(n, *shape, generator=generator)
        for name, shape in shapes.items()
    }


def build(name, shapes=SHAPES, **options):
    """Build a network whose batch statistics are those of some inputs, as if it had been trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = models.build(name, shapes, **options)
        for layer in layers(network):
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.momentum = 1.0
        with torch.no_grad():
            network.train()(make_inputs(shapes, 64, seed=5))
    return network.eval()


def layers(network):
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)
    return [module for module in network.modules() if isinstance(module, kinds)]


def describe(layer):
    match layer:
        case nn.Conv2d():
            height, width = layer.kernel_size
            return f"conv {layer.in_channels}→{layer.out_channels} {height}×{width}"
        case nn.Linear():
            return f"linear {layer.in_features}→{layer.out_features}"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return f"norm {layer.num_features}"
        case nn.MaxPool2d():
            return f"pool {layer.kernel_size}"
        case _:
            return "relu"


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_published_network_layer_by_layer():
    network = build("hybrid-s1")
    assert [describe(layer) for layer in layers(network.encoder)] == [
        "conv 1→16 3×3", "norm 16", "relu",
        "conv 16→16 3×3", "norm 16", "relu",
        "pool 2",
        "conv 16→64 3×3", "norm 64", "relu",
        "conv 64→64 3×3", "norm 64", "relu",
        "pool 2",
        "linear 1600→128", "relu",
        "linear 128→128", "relu",
        "linear 128→10", "norm 10",
    ]  # fmt: skip
    assert [describe(layer) for layer in layers(network.head)] == [
        "linear 40→100", "relu", "linear 100→50", "relu", "linear 50→10", "relu", "linear 10→2"
    ]  # fmt: skip
    # 28 → 26 → 24 → 12 → 10 → 10 → 5.
    with torch.no_grad():
        assert network.encoder[:2](torch.rand(2, 1, 28, 28)).shape == (2, 64, 5, 5)
    convolutions = (9 + 1) * 16 + (9 * 16 + 1) * 16 + (9 * 16 + 1) * 64 + (9 * 64 + 1) * 64
    linear = (1600 + 1) * 128 + (128 + 1) * 128 + (128 + 1) * 10
    norms = 2 * (16 + 16 + 64 + 64 + 10)
    assert n_parameters(network.encoder) == convolutions + linear + norms == 271_758  # as published
    assert n_parameters(network.head) == 41 * 100 + 101 * 50 + 51 * 10 + 11 * 2 == 9_682
    assert n_parameters(network) == 271_758 + 9_682  # one encoder for both images


PUBLISHED_SHAPES = [
    (16, 1, 3, 3), (16,), (16,), (16,),
    (16, 16, 3, 3), (16,), (16,), (16,),
    (64, 16, 3, 3), (64,), (64,), (64,),
    (64, 64, 3, 3), (64,), (64,), (64,),
    (128, 1600), (128,), (128, 128), (128,), (10, 128), (10,),
    (10,), (10,),
]  # fmt: skip


def test_the_published_weights_would_fit():
    """The shapes of what the authors' encoder learns, in order: each layer's weight, then its bias."""
    shapes = [tuple(value.shape) for value in models.build("hybrid-s1", SHAPES).encoder.parameters()]
    assert shapes == PUBLISHED_SHAPES


def rescaled(inputs, gain, offset):
    """Return inputs whose images have other grey values: gain · x + offset, of each sample its own."""
    return {
        name: gain[:, None, None, None] * value + offset[:, None, None, None] if value.ndim == 4 else value
        for name, value in inputs.items()
    }


def test_the_published_network_sees_each_image_standardised():
    """Its answer does not depend on brightness and contrast, that of the compact network does."""
    inputs = make_inputs()
    generator = torch.Generator().manual_seed(4)
    gain, offset = (torch.rand(7, generator=generator) + 0.2 for _ in range(2))
    with torch.no_grad():
        network = build("hybrid-s1")
        brighter = network(rescaled(inputs, gain, offset))
        torch.testing.assert_close(brighter, network(inputs), atol=1e-4, rtol=1e-4)
        network = build("hybrid")
        assert (network(rescaled(inputs, gain, offset)) - network(inputs)).abs().max() > 0.01


def test_images_are_standardised_as_published():
    """By the unbiased deviation, as torch's default has it."""
    images = make_inputs()["axial"]
    seen = models.build("hybrid-s1", SHAPES).encoder[0](images)
    for image, one in zip(images.double().numpy(), seen.numpy(), strict=True):
        np.testing.assert_allclose(one, (image - image.mean()) / image.std(ddof=1), atol=1e-4)


def explain(method, network, n=7):
    samples = Samples({name: value[:n] for name, value in make_inputs().items()})
    return methods.get(method).attribute(network, samples, np.random.default_rng(0))


def test_a_picture_of_its_own_mean_is_a_black_one_to_the_published_network():
    """Filling a whole image with its mean, or a standardised one with 0, is the same in both publications."""
    network = build("hybrid-s1")
    own_mean, zero = (
        explain(f"modality_contribution(granularity=whole, replacement={fill})", network).modalities
        for fill in ("own_mean", "zero")
    )
    assert min(own_mean["axial"], own_mean["coronal"]) > 1e-3
    assert all(own_mean[name] == zero[name] for name in ("axial", "coronal"))


@pytest.mark.parametrize("method", ["saliency", "grad_cam", "pixel_integrated_gradients", "occlusion"])
def test_maps_of_the_published_network_are_of_the_pictures_as_they_are_given(method):
    """The first steps of a path from a black picture, and occluded ones, have nothing to be divided by."""
    maps = explain(method, build("hybrid-s1")).pixels
    assert set(maps) == {"axial", "coronal"}
    assert all(np.isfinite(values).all() and np.abs(values).max() > 0 for values in maps.values())


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1 / 3, 1.0])
def test_a_constant_image_is_zeros_and_has_a_slope(value):
    """A picture that is masked throughout; rounding of its mean would make it ±1 everywhere."""
    network = build("hybrid-s1")
    images = torch.full((3, 1, 28, 28), value, requires_grad=True)
    seen = network.encoder[0](images)
    assert not seen.any()
    network.encoder(images).sum().backward()
    assert images.grad.isfinite().all()


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.999, 1000.0])
@pytest.mark.parametrize("roundings", [0.5, 1, 4, 16])
def test_a_range_of_a_few_roundings_is_constant(value, roundings):
    noise = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    standardised = build("hybrid-s1").encoder[0]
    eps = torch.finfo(torch.float32).eps
    assert not standardised(value * (1 + roundings * eps * noise)).any()
    # The faintest picture of 16 bits, in white, is a picture.
    faint = standardised(value * (1 - (noise > 0.5) / 65535))
    assert faint.mean((1, 2, 3)).abs().max() < 0.05
    torch.testing.assert_close(faint.std((1, 2, 3)), torch.ones(3), atol=0.01, rtol=0)


def test_the_compact_network_is_compact():
    network, published = build("hybrid"), build("hybrid-s1")
    assert n_parameters(network) < n_parameters(published) / 2
    assert not any(isinstance(layer, nn.MaxPool2d) for layer in layers(network))
    last = layers(network.encoder)[-1]
    assert describe(last) == "norm 10"
    assert n_parameters(last) == 0  # it neither scales nor shifts
    assert [describe(layer) for layer in layers(network.head)] == [
        "linear 40→64", "relu", "linear 64→32", "relu", "linear 32→2"
    ]  # fmt: skip


def test_the_compact_networks_image_features_are_normalised():
    network = build("hybrid").train()
    with torch.no_grad():
        encoded = network.encoder(torch.rand(256, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(encoded.mean(0), torch.zeros(10), atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded.std(0, correction=0), torch.ones(10), atol=0.01, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("shapes", "width"),
    [
        (SHAPES, 40),
        ({"table": (7,), "scan": (1, 28, 28)}, 17),
        ({"a": (3,), "b": (2,)}, 5),
        ({"scan": (1, 64, 64), "table": (4,)}, 14),
        ({"scan": (1, 28, 40)}, 10),
    ],
    ids=["paper", "table-first", "tables", "64-pixels", "not-square"],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_network_keeps_the_contract(name, shapes, width, n_classes):
    network = build(name, shapes, n_classes=n_classes)
    inputs = make_inputs(shapes)
    assert isinstance(network, methods.SeparableModel)
    assert network.modalities == tuple(shapes)
    with torch.no_grad():
        features = network.encode(inputs)
        logits = network.classify(features)
        assert features.shape == (7, width)
        assert logits.shape == (7, n_classes)
        assert torch.equal(logits, network(inputs))
        columns = []
        for modality, value in inputs.items():
            alone = network.encode_modality(modality, value)
            torch.testing.assert_close(alone, features[:, network.groups[modality]], atol=1e-5, rtol=1e-5)
            if value.ndim == 2:
                assert torch.equal(alone, value)
            columns += range(width)[network.groups[modality]]
    # The groups cover the fusion vector, in order and once.
    assert columns == list(range(width))


@pytest.mark.parametrize("name", NETWORKS)
def test_both_images_share_one_encoder_and_keep_their_places(name):
    network, inputs = build(name), make_inputs()
    exchanged = {**inputs, "axial": inputs["coronal"], "coronal": inputs["axial"]}
    with torch.no_grad():
        one, other = network.encode(inputs), network.encode(exchanged)
    assert (one[:, :10] - one[:, 10:20]).abs().max() > 0.1
    torch.testing.assert_close(one[:, :10], other[:, 10:20], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one[:, 10:20], other[:, :10], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_batch_mates_do_not_matter_in_evaluation(name):
    network, inputs, others = build(name), make_inputs(), make_inputs(seed=8)
    mixed = {key: torch.cat([value[:2], 5 * others[key]]) for key, value in inputs.items()}
    with torch.no_grad():
        torch.testing.assert_close(network(mixed)[:2], network(inputs)[:2], atol=1e-5, rtol=1e-5)
        # The check can fail: in training mode they do.
        network.train()
        assert (network(mixed)[:2] - network(inputs)[:2]).abs().max() > 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_a_fresh_network_is_in_training_mode_throughout(name):
    network = models.build(name, SHAPES)
    assert all(module.training for module in network.modules())
    for layer in layers(network):
        if isinstance(layer, nn.BatchNorm2d):
            assert not layer.running_mean.any()


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_every_input_and_weight(name):
    network = build(name)
    inputs = {key: value.requires_grad_() for key, value in make_inputs().items()}
    network(inputs)[:, 1].sum().backward()
    for value in (*inputs.values(), *network.parameters()):
        assert value.grad is not None
    for value in inputs.values():
        assert (value.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_images_of_different_sizes_are_refused(name):
    with pytest.raises(ValueError, match=r"must have one size.*Got \[\(28, 28\), \(64, 64\)\]"):
        models.build(name, {"a": (1, 28, 28), "b": (1, 64, 64)})


@pytest.mark.parametrize("name", NETWORKS)
def test_tiny_images_are_refused(name):
    with pytest.raises(ValueError, match=r"at least 16 pixels wide. Got \(28, 15\)"):
        models.build(name, {"a": (1, 28, 15)})
    build(name, {"a": (1, 16, 16), "b": (2,)})


def test_the_oracle_and_the_hybrid_networks_come_first():
    assert models.names()[:3] == ("oracle", *NETWORKS)
    for name in models.names():
        models.check_name(name)


def test_a_sample_is_ten_numbers_an_image():
    assert encoders.N_FEATURES == 10


# The oracle


@pytest.fixture(scope="module", params=range(8))
def case(request):
    scenario = synthetic.scenario(f"paper-F{request.param}")
    dataset = synthetic.generate(scenario, seed=2, n=800)
    return scenario, dataset, models.oracle(dataset, scenario.decision)


def test_the_oracle_keeps_the_contract(case):
    _, dataset, oracle = case
    samples = models.oracle_samples(dataset, "explain")
    assert isinstance(oracle, methods.SeparableModel)
    assert oracle.modalities == samples.modalities == tuple(modality.name for modality in dataset.modalities)
    features = oracle.encode(samples.inputs)
    assert torch.equal(features, dataset.latents["explain"])
    for name, value in samples.inputs.items():
        assert torch.equal(oracle.encode_modality(name, value), features[:, oracle.groups[name]])


def test_the_oracles_logit_is_the_standardised_decision(case):
    scenario, dataset, oracle = case
    z = dataset.latents["test"].double()
    logits = oracle.classify(z)
    expected = (scenario.decision(z) - dataset.thresholds[0]) / dataset.decision_scale
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], expected, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(logits.sum(1), torch.zeros(len(z), dtype=torch.float64))


def test_the_oracle_of_three_classes_is_always_right_and_steps_at_the_thresholds():
    scenario = synthetic.scenario("three-classes")
    dataset = synthetic.generate(scenario, seed=0, n=400)
    oracle = models.oracle(dataset, scenario.decision)
    z = dataset.latents["test"].double()
    logits = oracle.classify(z)
    assert torch.equal(logits.argmax(1), dataset.test.labels)
    for place, threshold in enumerate(dataset.thresholds):
        expected = (scenario.decision(z) - threshold) / dataset.decision_scale
        torch.testing.assert_close(logits[:, place + 1] - logits[:, place], expected)


@pytest.mark.parametrize("split", ["explain", "test"])
def test_the_oracle_is_always_right(case, split):
    _, dataset, oracle = case
    samples = models.oracle_samples(dataset, split)
    assert torch.equal(samples.labels, getattr(dataset, split).labels)
    predicted = oracle.classify(oracle.encode(samples.inputs)).argmax(1)
    assert torch.equal(predicted, samples.labels)


def test_the_oracles_gradient_is_that_of_the_decision(case):
    scenario, dataset, oracle = case
    inputs = {
        name: value.clone().requires_grad_()
        for name, value in models.oracle_samples(dataset, "explain").inputs.items()
    }
    logits = oracle.classify(oracle.encode(inputs))
    (logits[:, 1] - logits[:, 0]).sum().backward()
    z = dataset.latents["explain"].clone().requires_grad_()
    scenario.decision(z).sum().backward()
    gradient = torch.cat([value.grad for value in inputs.values()], dim=1)
    torch.testing.assert_close(gradient * dataset.decision_scale, z.grad, atol=1e-4, rtol=1e-4)
