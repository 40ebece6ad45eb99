import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import methods
from methods import modality_contribution
from methods.api import SeparableModel
from methods.modality_contribution import contribution


class Joint:
    """A network that cannot encode one modality alone."""

    def __init__(self, network):
        self.modalities, self.groups, self._network = network.modalities, network.groups, network

    def encode(self, inputs):
        return self._network.encode(inputs)

    def classify(self, features):
        return self._network.classify(features)


class Recorder(Joint):
    """A network that keeps the single inputs that it was asked to encode."""

    def __init__(self, network):
        super().__init__(network)
        self.seen = []

    def encode_modality(self, name, value):
        self.seen.append((name, value.clone()))
        return self._network.encode_modality(name, value)


class Deaf(Joint):
    """A network that reads nothing from one image."""

    def encode_modality(self, name, value):
        return self._network.encode_modality(name, value)

    def classify(self, features):
        features = features.clone()
        features[:, self.groups["coronal"]] = 0
        return self._network.classify(features)


@torch.no_grad()
def probability(network, inputs):
    return network.classify(network.encode(inputs)).softmax(1)[0].tolist()


def naive_masks(shape, granularity, patches):
    """Return the masks of one input as boolean arrays."""
    if granularity == "whole":
        return [np.ones(shape, dtype=bool)]
    masks = []
    if len(shape) == 1:
        for column in range(shape[0]):
            mask = np.zeros(shape, dtype=bool)
            mask[column] = True
            masks.append(mask)
        return masks
    edges = [round(i * shape[1] / patches) for i in range(patches + 1)]
    for row, column in itertools.product(range(patches), repeat=2):
        mask = np.zeros(shape, dtype=bool)
        for i in range(edges[row], edges[row + 1]):
            for j in range(edges[column], edges[column + 1]):
                mask[:, i, j] = True
        masks.append(mask)
    return masks


def naive_changes(network, samples, granularity, patches, substitute, i):
    """Return modality → Σ_class |p(x) − p(x with mask l)| of one sample, mask by mask."""
    inputs = {name: value[i : i + 1] for name, value in samples.inputs.items()}
    before = probability(network, inputs)
    changes = {}
    for name, value in samples.inputs.items():
        changes[name] = []
        for mask in naive_masks(value.shape[1:], granularity, patches):
            masked = np.where(mask, substitute(name, i), value[i].numpy())
            after = probability(network, {**inputs, name: torch.from_numpy(masked).float()[None]})
            changes[name].append(sum(abs(a - b) for a, b in zip(before, after, strict=True)))
    return changes


def naive_contribution(network, samples, granularity, patches, substitute, pooling="sum"):
    """Return modality → d_i by the definition: for every mask, sample and class."""
    pooled = {}
    for i in range(len(samples)):
        changes = naive_changes(network, samples, granularity, patches, substitute, i)
        whole = sum(sum(values) for values in changes.values()) if pooling == "patient" else 1
        for name, values in changes.items():
            before = pooled.get(name, [0] * len(values))
            pooled[name] = [a + b / whole for a, b in zip(before, values, strict=True)]
    return {name: [value / len(samples) for value in values] for name, values in pooled.items()}


def assert_equal(attribution, expected):
    assert set(attribution.modalities) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(attribution.features[name], values, atol=2e-6)
        assert attribution.modalities[name] == pytest.approx(sum(values), abs=2e-5)


def fill(samples, replacement):
    """Return what stands for a masked entry of a modality and sample."""

    def substitute(name, row):
        value = samples.inputs[name].numpy()
        if replacement == "zero":
            return 0.0
        if replacement == "own_mean" and value.ndim == 4:
            return value[row].mean()  # as the authors' scripts: one number an image
        return value.mean(0)

    return substitute


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("pooling", ["sum", "patient"])
@pytest.mark.parametrize("replacement", ["zero", "mean", "own_mean"])
@pytest.mark.parametrize("patches", ["whole", 1, 2, 3])
def test_it_follows_the_definition(kit, rng, patches, replacement, pooling, n_classes):
    granularity, patches = ("whole", 4) if patches == "whole" else ("parts", patches)
    shapes = {"axial": (1, 28, 28), "clinical": (3,), "coronal": (1, 28, 28)}
    network = kit.network(shapes, n_classes=n_classes)
    samples = kit.samples(shapes, n=5)
    substitute = fill(samples, replacement)
    expected = naive_contribution(network, samples, granularity, patches, substitute, pooling)
    assert min(sum(values) for values in expected.values()) > 0.001
    result = contribution(
        network,
        samples,
        rng,
        granularity=granularity,
        replacement=replacement,
        patches=patches,
        pooling=pooling,
    )
    assert_equal(result, expected)


def test_patients_count_alike_where_their_shares_are_pooled(kit, rng):
    """Patient 1 moves by a: .8 and b: .2, patient 2 by 0 and .05, and no mask moves patient 3."""
    model = kit.table_model({"a": 1, "b": 1}, kit.head_linear([0.1, 0.1]))
    samples = model.samples([[4.0, 1.0], [0.0, 0.25], [0.0, 0.0]])
    options = {"replacement": "zero", "granularity": "whole"}
    pooled = contribution(model, samples, rng, **options).modalities
    assert pooled == pytest.approx({"a": 0.8 / 3, "b": 0.25 / 3}, abs=1e-6)
    by_patient = contribution(model, samples, rng, **options, pooling="patient").modalities
    assert by_patient == pytest.approx({"a": (0.8 + 0) / 2, "b": (0.2 + 1) / 2}, abs=1e-6)


def test_where_no_mask_changes_anything_nobody_has_a_share(kit, rng):
    model = kit.table_model({"a": 1, "b": 1}, kit.head_linear([0.0, 0.0]))
    samples = model.samples([[4.0, 1.0], [0.0, 0.25]])
    assert contribution(model, samples, rng, pooling="patient").modalities == {"a": 0, "b": 0}


def test_an_images_own_mean_does_not_depend_on_other_patients(network, samples, rng):
    """The one fill of an image that can be had of a single patient."""
    alone = samples.take(slice(3, 4))
    images = [name for name, value in samples.inputs.items() if value.ndim == 4]
    seen = Recorder(network)
    contribution(seen, samples, rng, replacement="own_mean")
    seen_alone = Recorder(network)
    contribution(seen_alone, alone, rng, replacement="own_mean")
    pairs = list(zip(seen.seen, seen_alone.seen, strict=True))
    assert sum(name in images for (name, _), _ in pairs) == 32
    for (name, among), (_, by_itself) in pairs:
        if name in images:
            torch.testing.assert_close(among[3:4], by_itself)


@pytest.mark.parametrize("granularity", ["whole", "parts"])
def test_random_replacements_are_another_samples_values(kit, granularity):
    shapes = {"picture": (1, 28, 28), "table": (3,)}
    network = Recorder(kit.network(shapes))
    samples = kit.samples(shapes, n=6)
    result = contribution(
        network, samples, np.random.default_rng(3), granularity=granularity, replacement="random", patches=3
    )
    donors = {"picture": set(), "table": set()}
    seen = iter(network.seen)
    for name, value in samples.inputs.items():
        for mask in naive_masks(value.shape[1:], granularity, 3):
            name_seen, masked = next(seen)
            assert name_seen == name
            order = []
            for i in range(6):
                assert np.array_equal(masked[i].numpy()[~mask], value[i].numpy()[~mask])
                same = [
                    k for k in range(6) if np.array_equal(masked[i].numpy()[mask], value[k].numpy()[mask])
                ]
                assert len(same) == 1
                order += same
            assert all(donor != i for i, donor in enumerate(order))
            assert sorted(order) == list(range(6))
            donors[name].add(tuple(order))
    assert next(seen, None) is None
    assert all(len(orders) == 1 for orders in donors.values())
    used = {name: next(iter(orders)) for name, orders in donors.items()}
    assert_equal(
        result,
        naive_contribution(
            network, samples, granularity, 3, lambda name, i: samples.inputs[name][used[name][i]].numpy()
        ),
    )


@given(n=st.integers(2, 20), seed=st.integers(0, 2**32 - 1))
def test_no_sample_is_its_own_random_replacement(n, seed):
    value = torch.arange(float(n))[:, None]
    substitute = modality_contribution._substitute(value, "random", np.random.default_rng(seed))
    assert not bool((substitute == value).any())
    assert torch.equal(substitute.sort(0).values, value)


def test_random_replacements_differ_from_seed_to_seed(network, samples):
    options = {"replacement": "random", "granularity": "whole"}
    first, again, other = (
        contribution(network, samples, np.random.default_rng(seed), **options).modalities
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


@given(height=st.integers(1, 40), width=st.integers(1, 40), data=st.data())
def test_patches_cover_an_image_once(height, width, data):
    patches = data.draw(st.integers(1, min(height, width)))
    count = np.zeros((1, height, width), dtype=int)
    sizes = []
    for index in modality_contribution._masks("image", torch.zeros(2, 1, height, width), patches):
        count[index] += 1
        sizes.append(count[index].size)
    assert (count == 1).all()
    assert len(sizes) == patches**2
    assert min(sizes) >= (height // patches) * (width // patches)


@pytest.mark.parametrize("patches", [0, 29])
def test_an_impossible_number_of_patches_is_named(network, samples, rng, patches):
    with pytest.raises(ValueError, match=f"'patches' of .* between 1 and 28, .* 'axial'. Got {patches}"):
        contribution(network, samples, rng, patches=patches)


@pytest.mark.parametrize("granularity", ["whole", "parts"])
@pytest.mark.parametrize("pooling", ["sum", "patient"])
@pytest.mark.parametrize("replacement", ["zero", "mean", "own_mean", "random"])
def test_a_modality_that_the_model_ignores_gets_exactly_nothing(
    network, samples, rng, granularity, replacement, pooling
):
    result = contribution(
        Deaf(network), samples, rng, granularity=granularity, replacement=replacement, pooling=pooling
    ).modalities
    assert result["coronal"] == 0
    assert min(value for name, value in result.items() if name != "coronal") > 0


@pytest.mark.parametrize("granularity", ["whole", "parts"])
@pytest.mark.parametrize("replacement", ["zero", "mean", "own_mean", "random"])
def test_encoding_one_modality_alone_only_saves_time(network, samples, granularity, replacement):
    joint = Joint(network)
    assert isinstance(network, SeparableModel)
    assert not isinstance(joint, SeparableModel)
    options = {"granularity": granularity, "replacement": replacement}
    fast = contribution(network, samples, np.random.default_rng(0), **options)
    slow = contribution(joint, samples, np.random.default_rng(0), **options)
    for name in network.modalities:
        np.testing.assert_allclose(fast.features[name], slow.features[name], atol=1e-6)


def test_a_linear_probability_in_closed_form(kit, rng):
    """Two classes: a column's contribution is 2 · |weight| · mean |x − replacement|."""
    weights = torch.tensor([0.02, -0.01, 0.0])
    model = kit.table_model({"a": 1, "b": 2}, kit.head_linear(weights))
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)) + 1
    for replacement, centre in (("mean", x.mean(0)), ("zero", 0.0)):
        expected = 2 * weights.abs() * (x - centre).abs().mean(0)
        result = methods.get(f"modality_contribution(replacement={replacement})").attribute(
            model, model.samples(x), rng
        )
        np.testing.assert_allclose(result.features["a"], expected[:1], rtol=1e-4)
        np.testing.assert_allclose(result.features["b"], expected[1:], rtol=1e-4, atol=1e-9)


def test_wrong_options_are_named(network, samples, rng):
    with pytest.raises(ValueError, match=r"'granularity' of .* whole, parts. Got 'pixel'"):
        contribution(network, samples, rng, granularity="pixel")
    with pytest.raises(ValueError, match=r"'replacement' of .* zero, mean, own_mean, random. Got 'blur'"):
        contribution(network, samples, rng, replacement="blur")
    with pytest.raises(ValueError, match=r"'pooling' of .* sum, patient. Got 'mean'"):
        contribution(network, samples, rng, pooling="mean")
