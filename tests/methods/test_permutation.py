import numpy as np
import pytest
import torch

import methods
from methods.permutation import accuracy_loss


def naive_losses(model, samples, blocks, *, n_repeats, seed):
    """Return the losses ``[blocks, repeats]`` of permuting columns, one copy of the samples at a time."""
    rng = np.random.default_rng(seed)
    labels = samples.labels.numpy()

    def accuracy(features):
        with torch.no_grad():
            return np.mean(model.classify(torch.from_numpy(features)).numpy().argmax(1) == labels)

    with torch.no_grad():
        features = model.encode(samples.inputs).numpy()
    before = accuracy(features)
    losses = np.empty((len(blocks), n_repeats))
    for i, block in enumerate(blocks):
        for repeat in range(n_repeats):
            copy = features.copy()
            copy[:, block] = features[rng.permutation(len(features))][:, block]
            losses[i, repeat] = before - accuracy(copy)
    return losses


def assert_same_means(ours, naive):
    """Assert that our means over as many repeats differ by no more than five standard errors."""
    error = 5 * np.sqrt(2 * naive.var(axis=1, ddof=1) / naive.shape[1])
    difference = np.abs(np.asarray(ours) - naive.mean(1))
    assert (difference <= error + 1e-3).all()  # 1e-3: for a feature that changes one label in forty at most


def test_features_agree_with_a_loop(network, samples, rng):
    naive = naive_losses(network, samples, [[j] for j in range(25)], n_repeats=100, seed=1)
    assert naive.mean(1).max() > 0.05
    assert_same_means(accuracy_loss(network, samples, rng, n_repeats=100), naive)


def test_modalities_agree_with_a_loop_that_permutes_them_whole(network, samples, rng):
    blocks = [list(range(25))[columns] for columns in network.groups.values()]
    naive = naive_losses(network, samples, blocks, n_repeats=200, seed=1)
    ours = accuracy_loss(network, samples, rng, unit="modality", n_repeats=200)
    assert tuple(ours) == network.modalities
    assert_same_means(list(ours.values()), naive)
    features = accuracy_loss(network, samples, rng, n_repeats=200)
    assert abs(float(features[network.groups["axial"]].sum()) - ours["axial"]) > 0.05


@pytest.mark.parametrize("right", [True, False])
def test_a_feature_that_decides_alone_loses_the_expected_disagreement(kit, rng, right):
    model = kit.table_model({"a": 2, "b": 1}, kit.head_binary(lambda x: x[:, 1]))
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = torch.where(torch.arange(50) < 15, 1.0, -1.0)
    labels = (x[:, 1] > 0).long()
    samples = model.samples(x, labels if right else 1 - labels)
    attribution = methods.get("permutation(n_repeats=3000)").attribute(model, samples, rng)
    # A sample and the one that takes its place have different labels in 2 · 15 · 35 of 50² cases.
    disagreement = 2 * 15 * 35 / 50**2
    expected = disagreement if right else -disagreement
    assert attribution.features["a"][0] == 0
    assert attribution.features["b"].tolist() == [0]
    # An accuracy that falls is an importance; one that rises is negative, and clipped by the scores only.
    if right:
        assert attribution.modalities["a"] == pytest.approx(expected, abs=0.01)
    raw = accuracy_loss(model, samples, rng, n_repeats=3000)
    assert float(raw[1]) == pytest.approx(expected, abs=0.01)
    assert attribution.modalities["a"] == pytest.approx(expected, abs=0.01)


def test_a_modality_permuted_whole_keeps_its_features_together(kit, rng):
    model = kit.table_model({"twins": 2, "other": 1}, kit.head_binary(lambda x: x[:, 0] * x[:, 1] - 0.5))
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)).sign()
    x[:, 1] = x[:, 0]
    samples = model.samples(x, torch.ones(60, dtype=torch.long))
    assert accuracy_loss(model, samples, rng, unit="modality") == {"twins": 0, "other": 0}
    assert float(accuracy_loss(model, samples, rng)[0]) > 0.3


def test_copies_differ_from_the_samples_by_a_permutation_of_one_column(kit, rng):
    seen = []

    def logits(features):
        seen.append(features.clone())
        return torch.zeros(len(features), 2)

    model = kit.table_model({"a": 2, "b": 2}, logits)
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    accuracy_loss(model, model.samples(x, torch.zeros(30, dtype=torch.long)), rng, n_repeats=5)
    copies = torch.cat([part.view(-1, 30, 4) for part in seen])
    moved = [(copy != x).any(0).nonzero()[:, 0].tolist() for copy in copies]
    assert [columns for columns in moved if columns] == [[j] for j in range(4) for _ in range(5)]
    for copy in copies:
        assert torch.equal(copy.sort(0).values, x.sort(0).values)
    assert len({tuple(copy.flatten().tolist()) for copy in copies}) == 21  # no permutation came twice


def test_a_third_class_counts_as_wrong(kit, rng):
    shapes = {"a": (3,), "b": (2,)}
    model = kit.network(shapes, n_classes=3)
    samples = kit.own_labels(model, kit.samples(shapes, n=60))
    naive = naive_losses(model, samples, [[j] for j in range(5)], n_repeats=100, seed=2)
    assert_same_means(accuracy_loss(model, samples, rng, n_repeats=100), naive)


def test_labels_are_required(network, samples, rng):
    with pytest.raises(ValueError, match="Method 'permutation' needs the 'labels'"):
        methods.get("permutation").attribute(network, samples.without_labels(), rng)
    with pytest.raises(ValueError, match="needs the 'labels'"):
        accuracy_loss(network, samples.without_labels(), rng)


def test_wrong_options_are_named(network, samples, rng):
    with pytest.raises(ValueError, match=r"'unit' of permutation must be .* Got 'pixel'"):
        accuracy_loss(network, samples, rng, unit="pixel")
    with pytest.raises(ValueError, match=r"'n_repeats' of permutation must be at least 1. Got 0"):
        accuracy_loss(network, samples, rng, n_repeats=0)
