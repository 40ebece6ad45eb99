from itertools import permutations

import captum.attr
import numpy as np
import pytest
import torch

from methods.evaluation import fusion_features
from methods.patch_shap import patch_shapley_values
from methods.pixel_maps import log_odds

SHAPES = {"axial": (1, 28, 28), "clinical": (2,)}


def patch_numbers(patches, size=28):
    side = torch.arange(size) * patches // size
    return side[:, None] * patches + side


def test_of_a_linear_model_it_is_weight_times_change_of_a_patch(kit, rng):
    weights = {"image": torch.linspace(-1, 1, 64).view(1, 8, 8), "table": torch.tensor([2.0, -3.0])}
    samples = kit.samples({"image": (1, 8, 8), "table": (2,)}, n=5)
    found = patch_shapley_values(kit.linear_model(weights), samples, rng, patches=4, n_orders=2, n_maps=3)
    image, table = samples.inputs["image"], samples.inputs["table"]
    part = ((image - image.mean(0)) * weights["image"])[:3]
    mean_of_patch = torch.nn.functional.avg_pool2d(part, 2)[:, 0]
    expected = mean_of_patch.repeat_interleave(2, 1).repeat_interleave(2, 2)
    np.testing.assert_allclose(found.pixels["image"], expected, atol=1e-5)
    assert found.modalities["image"] == pytest.approx(
        float(mean_of_patch.abs().sum((1, 2)).mean()) * 4, rel=1e-4
    )
    change = ((table - table.mean(0)) * weights["table"])[:3].abs().mean(0)
    np.testing.assert_allclose(found.features["table"], change, atol=1e-5)


def brute_force(score, n_players):
    """Return the mean over all orders of what each player adds."""
    values = np.zeros(n_players)
    orders = list(permutations(range(n_players)))
    for order in orders:
        there = []
        for player in order:
            before = score(frozenset(there))
            there.append(player)
            values[player] += (score(frozenset(there)) - before) / len(orders)
    return values


@pytest.fixture(scope="module")
def few(kit):
    """Return a network and samples with six players: four patches and two columns; and their exact values."""
    network, samples = kit.network(SHAPES, n_classes=3), kit.samples(SHAPES, n=3)
    target = fusion_features(network, samples)[1]
    axial, clinical = samples.inputs.values()
    exact = []
    for i in range(3):
        known = {}

        def score(there, i=i, known=known):
            if there not in known:
                kept = torch.isin(patch_numbers(2), torch.tensor(sorted(there), dtype=torch.int64))
                columns = torch.tensor([4 in there, 5 in there])
                inputs = {
                    "axial": torch.where(kept, axial[i], axial.mean(0))[None],
                    "clinical": torch.where(columns, clinical[i], clinical.mean(0))[None],
                }
                with torch.no_grad():
                    known[there] = float(log_odds(network(inputs), target[i : i + 1]))
            return known[there]

        exact.append(brute_force(score, 6))
    return network, samples, np.array(exact)


def assert_patches(found, exact, **tolerance):
    area = 14 * 14
    np.testing.assert_allclose(
        found.pixels["axial"][:, ::14, ::14].reshape(-1, 4) * area, exact[:, :4], **tolerance
    )
    np.testing.assert_allclose(found.features["clinical"], np.abs(exact[:, 4:]).mean(0), **tolerance)


def test_few_players_are_exact(few, rng):
    network, samples, exact = few
    assert_patches(patch_shapley_values(network, samples, rng, patches=2), exact, atol=1e-4)


def test_random_orders_come_close(few):
    network, samples, exact = few
    found = [
        patch_shapley_values(network, samples, np.random.default_rng(seed), patches=2, n_orders=6)
        for seed in range(30)
    ]
    maps = [one.pixels["axial"] for one in found]
    assert not np.array_equal(maps[0], maps[1])  # too few orders for all coalitions
    mean = np.mean(maps, axis=0)[:, ::14, ::14].reshape(-1, 4) * 14 * 14
    noise = np.std(maps, axis=0).max() * 14 * 14 / np.sqrt(30)
    np.testing.assert_allclose(mean, exact[:, :4], atol=4 * noise)


def test_it_is_captums(kit, rng):
    """captum goes through all orders of four patches."""
    network, samples = kit.network({"axial": (1, 28, 28)}), kit.samples({"axial": (1, 28, 28)}, n=3)
    axial, target = samples.inputs["axial"], fusion_features(network, samples)[1]
    theirs = captum.attr.ShapleyValues(lambda image: log_odds(network({"axial": image}), target).detach())
    values = theirs.attribute(axial, axial.mean(0, keepdim=True), feature_mask=patch_numbers(2)[None, None])
    ours = patch_shapley_values(network, samples, rng, patches=2).pixels["axial"]
    np.testing.assert_allclose(ours * 14 * 14, values[:, 0], atol=1e-4)


@pytest.mark.parametrize("patches", [2, 7])
def test_values_add_up_and_what_is_ignored_gets_nothing(kit, rng, patches):
    shapes = {"axial": (1, 28, 28), "coronal": (1, 28, 28), "clinical": (2,)}
    network, samples = kit.network(shapes), kit.samples(shapes, n=4)
    with torch.no_grad():
        network.head[0].weight[:, network.groups["coronal"]] = 0
        network.head[0].weight[:, network.groups["clinical"]] = 0
    target = fusion_features(network, samples)[1]
    means = {name: value.mean(0, keepdim=True).expand_as(value) for name, value in samples.inputs.items()}
    with torch.no_grad():
        change = log_odds(network(samples.inputs), target) - log_odds(network(means), target)
    found = patch_shapley_values(network, samples, rng, patches=patches, n_orders=4)
    np.testing.assert_allclose(found.pixels["axial"].sum((1, 2)), change, rtol=1e-3, atol=1e-3)
    assert np.abs(found.pixels["coronal"]).max() < 1e-4 * np.abs(found.pixels["axial"]).max()
    assert found.modalities["clinical"] < 1e-4 * found.modalities["axial"]


def test_one_player_has_it_all(kit, rng):
    model = kit.linear_model({"table": torch.tensor([2.0])})
    found = patch_shapley_values(model, kit.samples({"table": (1,)}, n=3), rng)
    value = kit.samples({"table": (1,)}, n=3).inputs["table"]
    assert found.modalities["table"] == pytest.approx(float((2 * (value - value.mean())).abs().mean()))


def test_options_out_of_range_are_errors(network, samples, rng):
    for n_orders in (0, 3):
        with pytest.raises(ValueError, match=f"'n_orders' .* positive even number. Got {n_orders}"):
            patch_shapley_values(network, samples, rng, n_orders=n_orders)
    with pytest.raises(
        ValueError, match=r"'patches' of patch SHAP must be between 1 and 28, .* 'axial'. Got 29"
    ):
        patch_shapley_values(network, samples, rng, patches=29)
