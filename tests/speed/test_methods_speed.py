"""How much faster the methods are than the plain loops that they replace, with the same results.

    OMP_NUM_THREADS=1 python -m pytest tests/speed/test_methods_speed.py --override-ini addopts= \
        --import-mode=importlib --benchmark-only --benchmark-columns=min,rounds

Both sides explain the fusion layer (d = 40) of the same hybrid network, at the methods' own budgets: the
plain side N_FEW samples, ours N_FEW and, for the time a sample in real use, N_MANY. ``extra_info`` in
``--benchmark-json`` holds the milliseconds a sample. Nothing timed is asserted; that the results agree, is.
"""

from functools import partial

import captum.attr
import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from benchmark.models import HybridNetwork
from methods import evaluation, kernel_shap
from methods.api import Flagged
from methods.deeplift import deeplift, deeplift_shap
from methods.feature_ablation import ablation
from methods.grad_cam import grad_cam
from methods.gradient import local_gradients
from methods.input_x_gradient import gradient_times_input
from methods.integrated_gradients import expected_gradients, integrated_gradients
from methods.lime import local_coefficients
from methods.lrp import relevance
from methods.occlusion import occlusion
from methods.patch_shap import patch_shapley_values
from methods.pattern import activation_patterns
from methods.permutation import accuracy_loss
from methods.pixel_integrated_gradients import integrated_pixels
from methods.pixel_maps import log_odds
from methods.saliency import saliency
from methods.shapley_sampling import sampled_shapley_values
from methods.smoothgrad import smoothed_gradients
from synthetic.types import Samples

N_FEW, N_MANY = 32, 500
N_POINTS, N_REPEATS = 5000, 10
N_COALITIONS = 2 * 40 + 2048  # the authors' default; ours is larger
shapley_values = partial(kernel_shap.shapley_values, n_coalitions=N_COALITIONS)
SHAPES = {"axial": (1, 28, 28), "coronal": (1, 28, 28), "clinical_a": (10,), "clinical_b": (10,)}


@pytest.fixture(scope="module")
def network():
    """Return a network of the benchmark's size; random weights take as long as trained ones."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = HybridNetwork(SHAPES)
        for layer in network.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.momentum = None
        network.train()(inputs(64))
        network.eval()
        network.head[-1].weight *= 8
        network.head[-1].bias -= network(inputs(64)).mean(0)
    return network.requires_grad_(requires_grad=False)


def inputs(n):
    generator = torch.Generator().manual_seed(n)
    return {
        name: (torch.rand if len(shape) == 3 else torch.randn)(n, *shape, generator=generator)
        for name, shape in SHAPES.items()
    }


@pytest.fixture(scope="module")
def labelled(network):
    """Return a function that gives n samples, labelled as the network decides but for every tenth."""

    def draw(n):
        values = inputs(n)
        labels = network(values).argmax(1)
        return Samples(values, torch.where(torch.arange(n) % 10 == 0, 1 - labels, labels))

    return draw


@pytest.fixture
def timed(benchmark):
    """Return a function that times another one and notes the time a sample."""

    def run(function, n, *, rounds):
        result = benchmark.pedantic(function, rounds=rounds, warmup_rounds=1)
        benchmark.extra_info["n_samples"] = n
        if benchmark.stats is not None:  # None where benchmarks are switched off
            benchmark.extra_info["milliseconds_a_sample"] = 1000 * benchmark.stats.stats.min / n
        return np.asarray(result)

    return run


def rng(seed=0):
    return np.random.default_rng(seed)


def assert_agree(result, reference, *, noise):
    """Assert that two results differ by Monte-Carlo noise, and that there is more than noise to compare."""
    result, reference = np.asarray(result), np.asarray(reference)
    difference = result - reference
    assert np.abs(reference).max() > 5 * noise
    assert np.sqrt(np.mean(difference**2)) <= 2.5 * noise


def spread(function, n_runs=4):
    """Return the typical standard deviation of a method's result from seed to seed."""
    runs = np.stack([np.asarray(function(rng(seed))) for seed in range(1, 1 + n_runs)])
    return float(np.sqrt(runs.var(axis=0, ddof=1).mean()))


# Ours, by group


@pytest.mark.parametrize("n", [N_FEW, N_MANY])
@pytest.mark.parametrize(
    "method",
    [
        pytest.param(local_gradients, marks=pytest.mark.benchmark(group="gradient")),
        pytest.param(accuracy_loss, marks=pytest.mark.benchmark(group="permutation")),
        pytest.param(local_coefficients, marks=pytest.mark.benchmark(group="lime")),
        pytest.param(shapley_values, id="shapley_values", marks=pytest.mark.benchmark(group="kernel_shap")),
        pytest.param(gradient_times_input, marks=pytest.mark.benchmark(group="input_x_gradient")),
        pytest.param(smoothed_gradients, marks=pytest.mark.benchmark(group="smoothgrad")),
        pytest.param(integrated_gradients, marks=pytest.mark.benchmark(group="integrated_gradients")),
        pytest.param(expected_gradients, marks=pytest.mark.benchmark(group="gradient_shap")),
        pytest.param(deeplift, marks=pytest.mark.benchmark(group="deeplift")),
        pytest.param(deeplift_shap, marks=pytest.mark.benchmark(group="deeplift_shap")),
        pytest.param(relevance, marks=pytest.mark.benchmark(group="lrp")),
        pytest.param(ablation, marks=pytest.mark.benchmark(group="feature_ablation")),
        pytest.param(sampled_shapley_values, marks=pytest.mark.benchmark(group="shapley_sampling")),
    ],
)
def test_ours(network, labelled, timed, method, n):
    samples = labelled(n)
    result = timed(lambda: method(network, samples, rng()), n, rounds=5)
    assert result.shape == ((40,) if method is accuracy_loss else (n, 40))


@pytest.mark.benchmark(group="encode: rows a call")
@pytest.mark.parametrize("rows", [16, 64, 512])
def test_rows_encoded_a_call(network, labelled, timed, monkeypatch, rows):
    """The images of N_MANY samples through the encoder."""
    samples = labelled(N_MANY)
    usual = evaluation.encode(network, samples.inputs)
    monkeypatch.setattr(evaluation, "ENCODE_ROWS", rows)
    result = timed(lambda: evaluation.encode(network, samples.inputs), N_MANY, rounds=10)
    np.testing.assert_allclose(result, usual, atol=1e-4)


@pytest.mark.benchmark(group="classify: rows a call")
@pytest.mark.parametrize("rows", [512, 8192, 131072])
def test_rows_classified_a_call(network, labelled, timed, monkeypatch, rows):
    """LIME with few, the usual number of, and many fusion vectors in a call of the network."""
    samples = labelled(N_FEW)
    usual = local_coefficients(network, samples, rng())
    monkeypatch.setattr(evaluation, "CLASSIFY_ROWS", rows)
    result = timed(lambda: local_coefficients(network, samples, rng()), N_FEW, rounds=5)
    np.testing.assert_allclose(result, usual, atol=1e-5)


# The plain loops


@pytest.mark.benchmark(group="gradient")
def test_gradient_one_sample_at_a_time(network, labelled, timed):
    """One forward and one backward pass a sample."""
    samples = labelled(N_FEW)

    def loop():
        rows = []
        for i in range(N_FEW):
            one = {name: value[i : i + 1] for name, value in samples.inputs.items()}
            features = network.encode(one).requires_grad_()
            probability = network.classify(features).softmax(1)[0, 1]
            rows.append(torch.autograd.grad(probability, features)[0][0])
        return torch.stack(rows)

    slow = timed(loop, N_FEW, rounds=3)
    np.testing.assert_allclose(slow, local_gradients(network, samples, rng()), rtol=1e-3, atol=1e-6)


@pytest.mark.benchmark(group="gradient")
def test_gradient_by_captum(network, labelled, timed):
    """captum's Saliency on the whole batch."""
    samples = labelled(N_FEW)

    def saliency():
        features = network.encode(samples.inputs).requires_grad_()
        explainer = captum.attr.Saliency(lambda fused: network.classify(fused).softmax(1))
        return explainer.attribute(features, target=1, abs=False).detach()

    theirs = timed(saliency, N_FEW, rounds=5)
    np.testing.assert_allclose(theirs, local_gradients(network, samples, rng()), rtol=1e-3, atol=1e-6)


def permutation_loop(network, samples, decide):
    """Return the loss a feature: feature by feature, repeat by repeat."""
    generator = torch.Generator().manual_seed(0)
    features = network.encode(samples.inputs)
    before = (decide(features) == samples.labels).double().mean()
    losses = []
    for column in range(40):
        after = []
        for _ in range(N_REPEATS):
            copy = features.clone()
            copy[:, column] = copy[torch.randperm(len(copy), generator=generator), column]
            after.append((decide(copy) == samples.labels).double().mean())
        losses.append(before - torch.stack(after).mean())
    return torch.stack(losses)


@pytest.mark.benchmark(group="permutation")
def test_permutation_one_sample_at_a_time(network, labelled, timed):
    """The network decides on every sample of every permuted copy in a call of its own."""
    samples = labelled(N_FEW)

    def decide(features):
        return torch.cat([network.classify(row[None]).argmax(1) for row in features])

    slow = timed(lambda: permutation_loop(network, samples, decide), N_FEW, rounds=1)
    noise = spread(lambda generator: accuracy_loss(network, samples, generator))
    assert_agree(slow, accuracy_loss(network, samples, rng()), noise=noise)


@pytest.mark.benchmark(group="permutation")
def test_permutation_one_copy_at_a_time(network, labelled, timed):
    """The network decides on one permuted copy of all samples a call, as scikit-learn does."""
    samples = labelled(N_FEW)

    def decide(features):
        return network.classify(features).argmax(1)

    slow = timed(lambda: permutation_loop(network, samples, decide), N_FEW, rounds=3)
    noise = spread(lambda generator: accuracy_loss(network, samples, generator))
    assert_agree(slow, accuracy_loss(network, samples, rng()), noise=noise)


@pytest.mark.benchmark(group="lime")
def test_lime_one_sample_at_a_time(network, labelled, timed):
    """One call of the network and one scikit-learn regression a sample, on points of its own."""
    samples = labelled(N_FEW)

    def loop():
        generator = rng(0)
        features = network.encode(samples.inputs)
        scale = features.std(0, correction=0)
        rows = []
        for row in features:
            steps = generator.standard_normal((N_POINTS, 40), dtype=np.float32)
            response = network.classify(row + torch.from_numpy(steps) * scale).softmax(1)[:, 1]
            weight = np.exp(-(steps**2).sum(1) / (2 * 0.75**2 * 40))
            rows.append(Ridge(alpha=1).fit(steps, response.numpy(), sample_weight=weight).coef_)
        return np.stack(rows)

    slow = timed(loop, N_FEW, rounds=3)
    noise = spread(lambda generator: local_coefficients(network, samples, generator))
    assert_agree(slow, local_coefficients(network, samples, rng()), noise=noise)


# The package's plots, loaded with it, call functions that matplotlib is about to rename.
@pytest.mark.filterwarnings("ignore:The set_(bad|over|under) function:PendingDeprecationWarning")
@pytest.mark.benchmark(group="kernel_shap")
def test_kernel_shap_by_the_authors_package(network, labelled, timed):
    """shap.KernelExplainer with as many coalitions, no selection of features, and the same reference."""
    import shap  # noqa: PLC0415 - importing it warns

    samples = labelled(N_FEW)
    features = network.encode(samples.inputs).numpy()

    def predict(rows):
        return network.classify(torch.from_numpy(rows).float()).softmax(1)[:, 1].double().numpy()

    def explain():
        explainer = shap.KernelExplainer(predict, features.mean(0, keepdims=True), seed=0)
        return explainer.shap_values(features, nsamples=N_COALITIONS, l1_reg=False, silent=True)

    slow = timed(explain, N_FEW, rounds=1)
    noise = spread(lambda generator: shapley_values(network, samples, generator))
    assert_agree(slow, shapley_values(network, samples, rng()), noise=noise)


# captum on the fusion layer: the whole batch in one call, wherever it takes one


def values_of(found):
    """Return local attributions, with or without flags."""
    return found.values if isinstance(found, Flagged) else found


@pytest.fixture
def by_captum(network, labelled, timed):
    """Return a function that times captum from the inputs on, and asserts that ours gives the same."""

    def compare(explain, ours, *, n=N_MANY, rounds=3, times_noise=None, rtol=1e-3, atol=1e-5):
        samples = labelled(n)
        theirs = timed(lambda: explain(network.encode(samples.inputs)).detach(), n, rounds=rounds)
        found = values_of(ours(network, samples, rng()))
        if times_noise is None:
            np.testing.assert_allclose(theirs, found, rtol=rtol, atol=atol)
        else:
            noise = spread(lambda generator: values_of(ours(network, samples, generator)))
            assert_agree(theirs, found, noise=times_noise * noise)

    return compare


def probability(network):
    return lambda features: network.classify(features).softmax(1)


def one_output(network, *, sigmoid):
    """Return the head as a module with one output: captum has no rule for softmax that adds up."""
    *body, last = network.head
    odds = torch.nn.Linear(last.in_features, 1)
    with torch.no_grad():
        odds.weight.copy_(last.weight[1:] - last.weight[:1])
        odds.bias.copy_(last.bias[1:] - last.bias[:1])
    body = [torch.nn.ReLU() if isinstance(layer, torch.nn.ReLU) else layer for layer in body]
    return torch.nn.Sequential(*body, odds, *([torch.nn.Sigmoid()] if sigmoid else []))


@pytest.mark.benchmark(group="input_x_gradient")
def test_input_x_gradient_by_captum(network, by_captum):
    explainer = captum.attr.InputXGradient(probability(network))
    by_captum(lambda x: explainer.attribute(x.requires_grad_(), target=1), gradient_times_input)


@pytest.mark.benchmark(group="smoothgrad")
def test_smoothgrad_by_captum(network, by_captum):
    """captum takes one standard deviation for all features: it gets standardised ones."""

    def explain(features):
        scale = 0.5 * features.std(0, correction=0)
        tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(lambda z: probability(network)(z * scale)))
        with torch.random.fork_rng(devices=[]):
            standardised = (features / scale).requires_grad_()
            found = tunnel.attribute(standardised, nt_samples=50, stdevs=1.0, target=1, abs=False)
        return found / scale

    by_captum(explain, smoothed_gradients, times_noise=1)


@pytest.mark.benchmark(group="integrated_gradients")
def test_integrated_gradients_by_captum(network, by_captum):
    explainer = captum.attr.IntegratedGradients(probability(network))

    def explain(features):
        start = features.mean(0, keepdim=True).expand_as(features)
        return explainer.attribute(features, start, target=1, n_steps=50, method="gausslegendre")

    by_captum(explain, integrated_gradients)


@pytest.mark.benchmark(group="gradient_shap")
def test_gradient_shap_by_captum(network, by_captum):
    """One of its references is the sample itself; ours, stratified, has less noise."""
    explainer = captum.attr.GradientShap(probability(network))

    def explain(features):
        before = np.random.get_state()  # noqa: NPY002 - captum draws from it
        with torch.random.fork_rng(devices=[]):
            found = explainer.attribute(features, features, n_samples=200, stdevs=0.0, target=1)
        np.random.set_state(before)  # noqa: NPY002
        return found * N_MANY / (N_MANY - 1)

    by_captum(explain, expected_gradients, times_noise=2)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
@pytest.mark.benchmark(group="deeplift")
def test_deeplift_by_captum(network, by_captum):
    explainer = captum.attr.DeepLift(one_output(network, sigmoid=True))
    by_captum(lambda x: explainer.attribute(x.requires_grad_(), x.mean(0, keepdim=True).detach()), deeplift)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
@pytest.mark.benchmark(group="deeplift_shap")
def test_deeplift_shap_by_captum(network, by_captum):
    """The same hundred references."""
    explainer = captum.attr.DeepLiftShap(one_output(network, sigmoid=True))
    chosen = np.sort(rng().choice(N_MANY, size=100, replace=False))
    by_captum(lambda x: explainer.attribute(x.requires_grad_(), x[chosen].detach()), deeplift_shap)


@pytest.mark.benchmark(group="lrp")
def test_lrp_by_captum(network, by_captum):
    explainer = captum.attr.LRP(one_output(network, sigmoid=False))
    by_captum(
        lambda x: explainer.attribute(x.requires_grad_()),
        partial(relevance, epsilon=1e-9),
        rtol=1e-2,
        atol=1e-3,
    )


@pytest.mark.benchmark(group="feature_ablation")
def test_feature_ablation_by_captum(network, by_captum):
    explainer = captum.attr.FeatureAblation(probability(network))
    by_captum(lambda x: explainer.attribute(x, x.mean(0, keepdim=True), target=1), ablation)


@pytest.mark.benchmark(group="shapley_sampling")
def test_shapley_sampling_by_captum(network, by_captum):
    """As many orders; captum's are not in pairs, which leaves it more noise."""
    explainer = captum.attr.ShapleyValueSampling(probability(network))
    n_orders = 2 * (4096 // 82)

    def explain(features):
        start = features.mean(0, keepdim=True)
        with torch.random.fork_rng(devices=[]):
            return explainer.attribute(features, start, target=1, n_samples=n_orders)

    by_captum(explain, sampled_shapley_values, n=N_FEW, rounds=1, times_noise=2)


# Pixels: from the images on, maps of N_FEW samples


@pytest.fixture
def maps_by_captum(network, labelled, timed):
    """Return a function that times captum on all inputs, and asserts that our maps are the same."""

    def compare(explain, ours, *, rounds=3, of_predicted=False):
        samples = labelled(N_FEW)
        target = evaluation.fusion_features(network, samples)[1]
        if of_predicted:
            target = network(samples.inputs).argmax(1)

        def score(*values):
            shown = dict(zip(samples.inputs, values, strict=True))
            return log_odds(network(shown), target.repeat(len(values[0]) // N_FEW))

        def both():
            axial, coronal, *_ = explain(score, tuple(samples.inputs.values()))
            return torch.cat([axial, coronal], dim=1).detach()

        theirs = timed(both, N_FEW, rounds=rounds)
        found = ours(network, samples, rng()).pixels
        expected = np.stack([found["axial"], found["coronal"]], axis=1)
        np.testing.assert_allclose(theirs, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())

    return compare


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(saliency, marks=pytest.mark.benchmark(group="saliency")),
        pytest.param(integrated_pixels, marks=pytest.mark.benchmark(group="pixel_integrated_gradients")),
        pytest.param(grad_cam, marks=pytest.mark.benchmark(group="grad_cam")),
        pytest.param(occlusion, marks=pytest.mark.benchmark(group="occlusion")),
        pytest.param(patch_shapley_values, marks=pytest.mark.benchmark(group="patch_shap")),
        pytest.param(activation_patterns, marks=pytest.mark.benchmark(group="pattern")),
    ],
)
def test_our_maps(network, labelled, timed, method):
    samples = labelled(N_FEW)

    def maps():
        found = method(network, samples, rng()).pixels
        return np.stack([found["axial"], found["coronal"]])

    assert timed(maps, N_FEW, rounds=3).shape == (2, N_FEW, 28, 28)


@pytest.mark.benchmark(group="saliency")
def test_saliency_by_captum(maps_by_captum):
    def explain(score, inputs):
        return captum.attr.Saliency(score).attribute(
            tuple(value.clone().requires_grad_() for value in inputs)
        )

    maps_by_captum(explain, saliency)


@pytest.mark.benchmark(group="pixel_integrated_gradients")
def test_pixel_integrated_gradients_by_captum(maps_by_captum):
    def explain(score, inputs):
        means = tuple(value.mean(0, keepdim=True) for value in inputs)
        explainer = captum.attr.IntegratedGradients(score)
        return explainer.attribute(inputs, means, n_steps=50, method="gausslegendre")

    maps_by_captum(explain, integrated_pixels)


@pytest.mark.benchmark(group="grad_cam")
def test_grad_cam_by_captum(network, maps_by_captum):
    """The network encodes both images in one batch, so that one layer's map is that of both."""

    def explain(score, inputs):
        leaves = tuple(value.clone().requires_grad_() for value in inputs)
        explainer = captum.attr.LayerGradCam(score, network.encoder[0])
        coarse = explainer.attribute(leaves, relu_attributions=True)
        return captum.attr.LayerAttribution.interpolate(coarse, (28, 28), "bilinear").chunk(2)

    maps_by_captum(explain, grad_cam, of_predicted=True)


@pytest.mark.benchmark(group="occlusion")
def test_occlusion_by_captum(maps_by_captum):
    def explain(score, inputs):
        means = tuple(value.mean(0, keepdim=True).expand_as(value) for value in inputs)
        windows = ((1, 4, 4), (1, 4, 4), (1,), (1,))
        with torch.no_grad():
            return captum.attr.Occlusion(score).attribute(
                inputs, windows, ((1, 2, 2), (1, 2, 2), (1,), (1,)), baselines=means
            )

    maps_by_captum(explain, occlusion, rounds=1)


@pytest.mark.benchmark(group="patch_shap")
def test_patch_shap_by_captum(network, labelled, timed):
    """As many random orders of the same players; captum's are not in pairs, and share nothing."""
    samples = labelled(N_FEW)
    target = evaluation.fusion_features(network, samples)[1]
    side = torch.arange(28) // 4
    patches = side[:, None] * 7 + side
    players = (
        patches[None, None],
        49 + patches[None, None],
        *(torch.arange(a, a + 10)[None] for a in (98, 108)),
    )
    names = tuple(samples.inputs)

    def score(*values):
        return log_odds(network(dict(zip(names, values, strict=True))), target)

    def explain():
        values = tuple(samples.inputs.values())
        means = tuple(value.mean(0, keepdim=True) for value in values)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            found = captum.attr.ShapleyValueSampling(score).attribute(
                values, means, feature_mask=players, n_samples=16
            )
        return torch.stack(found[:2]).squeeze(2) / 16

    theirs = timed(explain, N_FEW, rounds=1)

    def ours(generator):
        found = patch_shapley_values(network, samples, generator).pixels
        return np.stack([found["axial"], found["coronal"]])

    assert_agree(theirs, ours(rng()), noise=1.5 * spread(ours))
