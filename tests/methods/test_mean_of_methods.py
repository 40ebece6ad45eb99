import numpy as np
import pytest

import methods
from methods import Attribution
from methods.mean_of_methods import mean_share


def test_hand_worked():
    parts = {
        "one": Attribution({"a": 3.0, "b": 1.0, "c": 0.0}),  # ¾, ¼, 0
        "two": Attribution({"a": 0.0, "b": 0.2, "c": 0.2}),  # 0, ½, ½
        "signed": Attribution({"a": -5.0, "b": 2.0, "c": 0.0}),  # 0, 1, 0
        "silent": Attribution({"a": 0.0, "b": -1.0, "c": 0.0}),  # ⅓, ⅓, ⅓
    }
    expected = {
        "a": (3 / 4 + 1 / 3) / 4,
        "b": (1 / 4 + 1 / 2 + 1 + 1 / 3) / 4,
        "c": (1 / 2 + 1 / 3) / 4,
    }
    assert mean_share(parts) == pytest.approx(expected)


def test_modalities_are_matched_by_name():
    parts = {"one": Attribution({"a": 1.0, "b": 0.0}), "two": Attribution({"b": 0.0, "a": 1.0})}
    assert mean_share(parts) == {"a": 1, "b": 0}


def test_it_is_the_mean_of_its_components_shares(network, samples):
    method = methods.get("mean_of_methods")
    assert [part.name for part in method.components] == ["gradient", "permutation", "lime", "kernel_shap"]
    result = method.attribute(network, samples, np.random.default_rng(0)).modalities
    shares = []
    for part, rng in zip(method.components, np.random.default_rng(0).spawn(4), strict=True):
        values = np.array(list(part.attribute(network, samples, rng).modalities.values())).clip(0)
        assert values.sum() > 0
        shares.append(values / values.sum())
    assert list(result) == list(network.modalities)
    np.testing.assert_allclose(list(result.values()), np.mean(shares, axis=0))
    assert sum(result.values()) == pytest.approx(1)
    assert np.std(shares, axis=0).max() > 0.005  # the components do not all say the same


def test_results_that_are_there_already_are_combined_without_the_model(network, samples, rng):
    method = methods.get("mean_of_methods")
    parts = {part.name: part.attribute(network, samples, rng) for part in method.components}

    class Untouchable:
        modalities, groups = network.modalities, network.groups

    assert method.combine(Untouchable(), parts).modalities == mean_share(parts)


def test_labels_are_required(network, samples, rng):
    with pytest.raises(ValueError, match="'mean_of_methods' needs the 'labels'"):
        methods.get("mean_of_methods").attribute(network, samples.without_labels(), rng)
