import captum.attr
import numpy as np
import pytest
import torch

from methods.evaluation import fusion_features
from methods.occlusion import occlusion
from methods.pixel_maps import log_odds


def windows(length, side, step):
    return [*range(0, length - side, step), length - side]


@pytest.mark.parametrize(("window", "stride"), [(None, None), (3, 2), (4, 4), (1, 1), (8, 3)])
def test_of_a_linear_model_window_by_window(kit, rng, window, stride):
    weights = {"image": torch.linspace(-1, 1, 80).view(1, 8, 10), "table": torch.tensor([2.0, -3.0])}
    samples = kit.samples({"image": (1, 8, 10), "table": (2,)}, n=4)
    found = occlusion(kit.linear_model(weights), samples, rng, window=window, stride=stride)
    image = samples.inputs["image"]
    part = ((image - image.mean(0)) * weights["image"])[:, 0]
    side = 1 if window is None else window
    step = 1 if stride is None else stride
    total, times = torch.zeros_like(part), torch.zeros(8, 10)
    for top in windows(8, side, step):
        for left in windows(10, side, step):
            place = (slice(top, top + side), slice(left, left + side))
            total[:, *place] += part[:, *place].sum((1, 2))[:, None, None]
            times[place] += 1
    np.testing.assert_allclose(found.pixels["image"], total / times, atol=1e-5)
    table = samples.inputs["table"]
    np.testing.assert_allclose(
        found.features["table"], ((table - table.mean(0)) * weights["table"]).abs().mean(0), atol=1e-5
    )


def test_it_is_captums(kit, rng):
    shapes = {"axial": (1, 28, 28), "clinical": (3,)}
    network, samples = kit.network(shapes, n_classes=3), kit.samples(shapes, n=4)
    target = fusion_features(network, samples)[1]
    axial = samples.inputs["axial"]

    def score(image):
        return log_odds(network({"axial": image, "clinical": samples.inputs["clinical"]}), target).detach()

    theirs = captum.attr.Occlusion(score).attribute(
        axial, (1, 4, 4), (1, 2, 2), baselines=axial.mean(0, keepdim=True).expand_as(axial)
    )
    ours = occlusion(network, samples, rng)
    np.testing.assert_allclose(ours.pixels["axial"], theirs[:, 0], rtol=1e-3, atol=1e-4)


def test_only_the_occluded_image_is_encoded_where_the_model_allows(network, samples, rng):
    """The same where all of it must be encoded together."""
    calls = []

    class Alone:
        modalities, groups, classify = network.modalities, network.groups, network.classify

        def encode(self, inputs):
            calls.append("all")
            return network.encode(inputs)

    class Apart(Alone):
        def encode_modality(self, name, value):
            calls.append(name)
            return network.encode_modality(name, value)

    together = occlusion(Alone(), samples, rng, n_maps=3)
    calls.clear()
    apart = occlusion(Apart(), samples, rng, n_maps=3)
    assert calls.count("all") == 1
    for name, maps in apart.pixels.items():
        np.testing.assert_allclose(maps, together.pixels[name], atol=1e-4)
    assert apart.modalities == pytest.approx(together.modalities, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, r"'window' of occlusion must be between 1 and 28, .* 'axial'. Got 0"),
        ({"window": 29}, r"'window' of occlusion must be between 1 and 28, .* 'axial'. Got 29"),
        ({"window": 4, "stride": 5}, r"'stride' of occlusion must be between 1 and 4, .* Got 5"),
        ({"stride": 0}, r"'stride' of occlusion must be between 1 and 4, .* Got 0"),
    ],
)
def test_options_out_of_range_are_errors(network, samples, rng, options, message):
    with pytest.raises(ValueError, match=message):
        occlusion(network, samples, rng, **options)
