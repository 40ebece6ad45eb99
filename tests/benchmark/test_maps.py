import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

import synthetic
from benchmark import maps
from methods import NotApplicableError


@pytest.fixture(scope="module")
def true():
    scenario = synthetic.scenario("paper-F7")
    return maps.TrueMaps.of(synthetic.generate(scenario, seed=3, n=400), scenario)


@pytest.fixture(scope="module")
def on_one_image():
    scenario = synthetic.scenario("paper-F0")
    return maps.TrueMaps.of(synthetic.generate(scenario, seed=3, n=400), scenario)


def control(true, name, seed=0):
    return maps.MAP_CONTROLS[name](true, np.random.default_rng(seed))


def test_the_truth_is_that_of_the_patients_that_methods_get(true):
    scenario = synthetic.scenario("paper-F7")
    dataset = synthetic.generate(scenario, seed=3, n=400)
    expected = synthetic.pixel_truth(scenario.decision, dataset.latents["explain"], seed=3)
    for view in ("axial", "coronal"):
        np.testing.assert_array_equal(true.truth.mask[view], expected.mask[view][:100])
        images = dataset.explain.inputs[view][:100, 0].float() / 255
        torch.testing.assert_close(torch.from_numpy(true.images[view]), images)


def test_scores_are_means_over_patients(true):
    relevance = {"axial": control(true, "edges")["axial"][:7]}
    found = true.scores(relevance)
    assert set(found) == {"axial"}
    expected = [
        average_precision_score(inside.ravel(), values.ravel())
        for inside, values in zip(true.truth.mask["axial"][:7], relevance["axial"], strict=True)
    ]
    assert found["axial"]["average_precision"] == pytest.approx(np.mean(expected))
    assert found["axial"]["n_maps"] == 7
    assert found["axial"]["mask_share"] == pytest.approx(true.truth.mask["axial"][:7].mean())


def test_an_image_that_f_does_not_read_has_no_score(on_one_image):
    found = on_one_image.scores(control(on_one_image, "scan"))
    assert set(found) == {"axial"}


def test_controls_bound_the_scores(true):
    found = {name: true.scores(control(true, name))["axial"] for name in maps.MAP_CONTROLS}
    names = ("average_precision", "relevance_mass", "relevance_rank")
    for name in names:
        assert found["true_mask"][name] == 1
        assert found["random_map"][name] == pytest.approx(found["random_map"]["mask_share"], abs=0.03)
        for other in found.values():
            assert other[name] <= 1
    assert found["true_relevance"]["rank_correlation"] == pytest.approx(1)
    assert found["true_relevance"]["average_precision"] > 0.99
    assert found["random_map"]["rank_correlation"] == pytest.approx(0, abs=0.03)


def test_a_constant_map_is_at_chance(true):
    found = true.scores({"axial": np.zeros((10, 28, 28))})["axial"]
    assert found["average_precision"] == pytest.approx(found["mask_share"])
    assert found["rank_correlation"] == 0


def test_edges_are_where_grey_values_change(true):
    step = maps.TrueMaps(
        true.decision, true.latents, {"axial": np.repeat([[[0.0] * 4 + [1.0] * 4]], 8, 1)}, true.scenario, 0
    )
    found = maps.MAP_CONTROLS["edges"](step, np.random.default_rng(0))["axial"][0]
    np.testing.assert_array_equal(found > 0, np.isin(np.arange(8), (3, 4))[None].repeat(8, 0))


def test_of_real_scans_nothing_is_scored(true):
    scans = maps.TrueMaps(
        true.decision, true.latents, true.images, synthetic.scenario("paper-F7", source="organamnist"), 0
    )
    assert scans.truth is None
    assert scans.scores(true.images) == {}
    for name in set(maps.MAP_CONTROLS) - {"scan", "edges", "random_map"}:
        with pytest.raises(NotApplicableError, match="nobody knows"):
            control(scans, name)
    for name in maps.CONTROLS_ON_SCANS:
        assert control(scans, name)


@pytest.mark.parametrize(
    ("size", "shown"), [((28, 28), (28, 28)), ((64, 64), (64, 64)), ((130, 224), (32, 56))]
)
def test_maps_for_pictures_are_small_and_come_back(size, shown):
    values = np.random.default_rng(0).standard_normal((3, *size))
    texts = maps.shrunk({"axial": values})["axial"]
    assert len(texts) == maps.N_SHOWN
    for text, original in zip(texts, values, strict=False):
        again = maps.grown(text)
        assert again.shape == shown
        assert again.max() == 1
        if size == shown:
            np.testing.assert_allclose(
                again, np.abs(original) / np.abs(original).max(), atol=0.5 / 255 + 1e-9
            )
    assert maps.grown(maps.shrunk({"a": np.zeros((1, 5, 5))})["a"][0]).max() == 0
