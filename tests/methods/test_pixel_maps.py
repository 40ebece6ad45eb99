"""What all pixel methods keep to; what each one says is tested beside it."""

import numpy as np
import pytest
import torch

import methods
from methods import NotApplicableError, pixel_maps
from methods.pixel_maps import attribution, explained, feature_slopes, input_slopes, log_odds, log_odds_of
from synthetic.types import Samples

NAMES = ("saliency", "pixel_integrated_gradients", "grad_cam", "occlusion", "patch_shap", "pattern")
OPTIONS = {
    "pixel_integrated_gradients": {"n_steps": 4},
    "patch_shap": {"n_orders": 2, "patches": 4},
}
every_method = pytest.mark.parametrize("name", NAMES)


def attribute(name, model, samples, seed=0, **options):
    method = methods.get(name).with_options({**OPTIONS.get(name, {}), **options})
    return method.attribute(model, samples, np.random.default_rng(seed))


def test_log_odds_by_hand():
    two = log_odds(torch.tensor([[1.0, 3.0], [1.0, 3.0]]), torch.tensor([1, 0]))
    assert two.tolist() == [2, -2]
    three = log_odds(torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([2]))
    assert float(three) == pytest.approx(2 - np.log(2))
    p = torch.tensor([[0.2, 0.5, 0.3]])
    assert float(log_odds(p.log(), torch.tensor([1]))) == pytest.approx(0, abs=1e-6)


def test_one_class_has_no_odds():
    with pytest.raises(NotApplicableError, match="no other class"):
        log_odds(torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64))


def test_slopes_at_features_and_inputs_agree(network, samples):
    given = explained(network, samples, 10)
    np.testing.assert_allclose(
        log_odds_of(network, given.features, given.target),
        log_odds(network(given.inputs).detach(), given.target),
        atol=1e-5,
    )
    by_features = feature_slopes(network, given.features, given.target)
    by_inputs = input_slopes(network, given.inputs, given.target)
    for table in ("clinical", "history"):  # joined as they are
        np.testing.assert_allclose(by_inputs[table], by_features[:, network.groups[table]], atol=1e-4)


def test_what_the_model_does_not_look_at_has_no_slope(kit):
    model = kit.linear_model({"a": torch.ones(2), "b": torch.ones(3)})
    inputs = {"a": torch.ones(4, 2), "b": torch.ones(4, 3), "c": torch.ones(4, 1)}
    slopes = input_slopes(model, inputs, torch.ones(4, dtype=torch.int64))
    assert slopes["c"].tolist() == [[0.0]] * 4


def test_a_model_without_derivatives_is_refused(kit, network, samples):
    class Detached:
        modalities, groups, classify = network.modalities, network.groups, network.classify

        def encode(self, inputs):
            return network.encode(inputs).detach()

    frozen = Detached()
    frozen.classify = lambda features: network.classify(features).detach()
    for name in ("saliency", "pixel_integrated_gradients", "pattern"):
        with pytest.raises(NotApplicableError, match="needs derivatives by the inputs"):
            attribute(name, frozen, samples)


def test_totals_by_hand():
    image = torch.tensor([[[[1.0, -2.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 5.0]]]])
    found = attribution({"image": image, "table": torch.tensor([[1.0, -1.0], [-3.0, 0.0]])})
    assert found.modalities == {"image": 4.0, "table": 2.5}
    assert found.features["table"].tolist() == [2.0, 0.5]
    assert list(found.features) == ["table"]
    assert found.pixels["image"].tolist() == image[:, 0].tolist()


@every_method
def test_maps_are_those_of_the_first_samples(network, samples, name):
    found = attribute(name, network, samples, n_maps=3)
    assert {image: maps.shape for image, maps in found.pixels.items()} == {
        "axial": (3, 28, 28),
        "coronal": (3, 28, 28),
    }
    more = attribute(name, network, samples, n_maps=9)
    for image, maps in found.pixels.items():
        if name != "patch_shap":  # draws differ
            np.testing.assert_allclose(more.pixels[image][:3], maps, atol=1e-4 * np.abs(maps).max())
    if name != "grad_cam":
        assert list(found.modalities) == list(network.modalities)
        assert {table: len(values) for table, values in found.features.items()} == {
            "clinical": 3,
            "history": 2,
        }
    with pytest.raises(ValueError, match=r"'n_maps' of a pixel method must be at least 1. Got 0"):
        attribute(name, network, samples, n_maps=0)


@every_method
@pytest.mark.parametrize(
    ("shapes", "n", "n_classes"),
    [
        pytest.param({"image": (1, 16, 16)}, 3, 2, id="one-image"),
        pytest.param({"image": (1, 40, 28), "table": (1,)}, 3, 5, id="not-square"),
        pytest.param(
            {"a": (1, 28, 28), "b": (1, 28, 28), "c": (1, 28, 28)},
            *(2, 3),
            id="three-images",
            marks=pytest.mark.slow,
        ),
        pytest.param({"image": (1, 224, 224), "table": (2,)}, 2, 2, id="224"),
    ],
)
@pytest.mark.few(3)
def test_all_kinds_of_images_are_explained(kit, name, shapes, n, n_classes):
    model = kit.network(shapes, n_classes=n_classes)
    options = {"window": 32, "stride": 32} if name == "occlusion" and (1, 224, 224) in shapes.values() else {}
    found = attribute(name, model, kit.samples(shapes, n=n), **options)
    for image, shape in shapes.items():
        if len(shape) == 3:
            assert found.pixels[image].shape == (n, *shape[1:])
            assert found.pixels[image].dtype == np.float32


@every_method
def test_constant_images_give_no_nan(kit, network, name):
    inputs = {
        image: torch.full_like(value, 0.5) if value.ndim == 4 else value
        for image, value in kit.samples(network.shapes, n=6).inputs.items()
    }
    found = attribute(name, network, Samples(inputs))  # what is not finite would be an error
    if name in ("pixel_integrated_gradients", "occlusion", "patch_shap", "pattern"):
        for maps in found.pixels.values():  # nothing differs from the mean
            assert np.abs(maps).max() < 1e-6


@every_method
def test_one_sample(kit, network, name):
    one = kit.samples(network.shapes, n=1)
    if name == "pattern":
        with pytest.raises(NotApplicableError, match="two samples at least"):
            attribute(name, network, one)
        return
    assert attribute(name, network, one).pixels["axial"].shape == (1, 28, 28)


@every_method
def test_images_of_several_channels(name):
    """A map has one value a pixel, whatever the channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution, head = torch.nn.Conv2d(3, 2, 3, stride=3).eval(), torch.nn.Linear(2 * 25, 2).eval()

    class Colours:
        modalities, groups, classify = ("picture",), {"picture": slice(0, 50)}, head

        def encode_modality(self, name, value):
            return convolution(value).relu().flatten(1)

        def encode(self, inputs):
            return self.encode_modality("picture", inputs["picture"])

    picture = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = attribute(name, Colours(), Samples({"picture": picture}))
    assert found.pixels["picture"].shape == (5, 16, 16)
    assert found.pixels["picture"].any()


@pytest.mark.parametrize("name", ["saliency", "pixel_integrated_gradients", "occlusion", "pattern"])
def test_a_sample_does_not_depend_on_those_in_its_batch(network, samples, name, monkeypatch):
    usual = attribute(name, network, samples, n_maps=6)
    for constant, size in (("ENCODE_ROWS", 5), ("CLASSIFY_ROWS", 3)):
        monkeypatch.setattr(pixel_maps.evaluation, constant, size)
    again = attribute(name, network, samples, n_maps=6)
    for image, maps in usual.pixels.items():
        np.testing.assert_allclose(again.pixels[image], maps, atol=1e-4 * np.abs(maps).max())
