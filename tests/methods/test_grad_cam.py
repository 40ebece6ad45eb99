import warnings

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from benchmark import metering
from benchmark.models.plain import PlainNetwork
from methods import NotApplicableError
from methods.grad_cam import grad_cam
from methods.pixel_maps import log_odds
from synthetic.types import Samples


class OneEncoder(nn.Module):
    """An image through any encoder, and a head."""

    def __init__(self, encoder, size=28, n_classes=2, seed=2):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = encoder().eval()
            width = self.encoder(torch.zeros(1, 1, size, size)).shape[1]
            self.classify = nn.Linear(width, n_classes)
        self.modalities, self.groups = ("image",), {"image": slice(0, width)}
        self.requires_grad_(requires_grad=False)

    def encode_modality(self, name, value):
        return self.encoder(value)

    def encode(self, inputs):
        return self.encoder(inputs["image"])


def flat(*layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(6), nn.ReLU(), nn.Linear(6, 4))


# Encoder → the layer whose result is the last with a place.
ENCODERS = {
    "conv": lambda: flat(nn.Conv2d(1, 4, 5, stride=4)),
    "conv-bn-relu": lambda: flat(nn.Conv2d(1, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU()),
    "conv-relu-bn": lambda: flat(nn.Conv2d(1, 4, 5, stride=4), nn.ReLU(), nn.BatchNorm2d(4)),
    "conv-relu-pool": lambda: flat(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(3)),
    "pool-conv-dropout": lambda: flat(nn.AvgPool2d(2), nn.Conv2d(1, 4, 3), nn.Dropout2d()),
}


def images(n=6, size=28):
    return Samples({"image": torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(0))})


def by_captum(model, layer, samples):
    image = samples.inputs["image"]
    target = model.classify(model.encoder(image)).argmax(1)

    def score(value):
        return log_odds(model.classify(model.encoder(value)), target)

    explainer = captum.attr.LayerGradCam(score, layer)
    coarse = explainer.attribute(image.clone().requires_grad_(), relu_attributions=True)
    wide = captum.attr.LayerAttribution.interpolate(coarse, image.shape[2:], "bilinear")
    return wide[:, 0].detach().numpy()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", list(ENCODERS))
def test_it_is_captums_at_the_last_layer_that_has_a_place(rng, name, n_classes):
    model, samples = OneEncoder(ENCODERS[name], n_classes=n_classes), images()
    theirs = by_captum(model, model.encoder[-5], samples)
    ours = grad_cam(metering.meter(model), samples, rng)
    assert theirs.any()
    assert not ours.modalities
    np.testing.assert_allclose(ours.pixels["image"], theirs, rtol=1e-4, atol=1e-5 * theirs.max())


def test_an_activation_that_is_changed_in_place(rng):
    """The result of the in-place ReLU, not the convolution that it overwrote."""

    def encoder(inplace):
        return lambda: flat(nn.Conv2d(1, 4, 5, stride=4), nn.ReLU(inplace=inplace))

    maps = [
        grad_cam(OneEncoder(encoder(inplace)), images(), rng).pixels["image"] for inplace in (True, False)
    ]
    np.testing.assert_allclose(*maps, rtol=1e-5)


def test_places_that_were_pooled_away_do_not_count(rng):
    def encoder():
        return nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        )

    model, samples = OneEncoder(encoder), images()
    theirs = by_captum(model, model.encoder[1], samples)
    np.testing.assert_allclose(
        grad_cam(model, samples, rng).pixels["image"], theirs, rtol=1e-4, atol=1e-5 * theirs.max()
    )


class Tokens(nn.Module):
    """Patches that attend to each other: four axes again, of which two are tokens."""

    def __init__(self):
        super().__init__()
        self.convolution, self.last = nn.Conv2d(1, 8, 7, stride=7), nn.Linear(8, 4)

    def forward(self, value):
        tokens = self.convolution(value).flatten(2).transpose(1, 2)
        heads = tokens.unflatten(2, (2, 4)).transpose(1, 2)
        attention = (heads @ heads.transpose(2, 3)).softmax(3)
        return self.last((attention @ heads).transpose(1, 2).flatten(2).mean(1))


def test_attention_between_tokens_is_no_map(rng):
    model, samples = OneEncoder(Tokens), images()
    theirs = by_captum(model, model.encoder.convolution, samples)
    np.testing.assert_allclose(
        grad_cam(model, samples, rng).pixels["image"], theirs, rtol=1e-4, atol=1e-5 * theirs.max()
    )


def test_an_encoder_without_a_map_is_refused(rng):
    with pytest.raises(NotApplicableError, match="image 'image' passes none"):
        grad_cam(OneEncoder(lambda: flat(nn.AvgPool2d(2))), images(), rng)
    one_row = OneEncoder(lambda: flat(nn.Conv2d(1, 3, (28, 3))))
    with pytest.raises(NotApplicableError, match="more than one pixel high and wide"):
        grad_cam(one_row, images(), rng)


def test_a_model_that_it_cannot_see_into_is_refused(kit, network, samples, rng):
    class Whole:
        modalities, groups = network.modalities, network.groups
        encode, classify = network.encode, network.classify

    with pytest.raises(NotApplicableError, match="encodes each image alone"):
        grad_cam(Whole(), samples, rng)
    tables = kit.network({"a": (3,), "b": (2,)})
    with pytest.raises(NotApplicableError, match="needs an image"):
        grad_cam(tables, kit.samples(tables.shapes, n=3), rng)


class Block(nn.Module):
    """A residual block, as ResNets are made of."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, value):
        return torch.relu(value + self.layers(value))


class Residual(nn.Module):
    """A network without a fusion layer: each image through residual blocks, joined with a table late."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (
            nn.Sequential(nn.Conv2d(1, 6, 5, stride=2), Block(), Block()) for _ in range(2)
        )
        self.head = nn.Linear(15, 2)

    def forward(self, scan, table, other):
        maps = (self.first(scan), self.second(other))
        return self.head(torch.cat([*(it.mean((2, 3)) for it in maps), table], 1))


RESIDUAL = {"scan": (1, 28, 28), "table": (3,), "other": (1, 28, 28)}


def wrapped(network, seed=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PlainNetwork(network(), RESIDUAL).eval().requires_grad_(requires_grad=False)


def several(n=70):
    generator = torch.Generator().manual_seed(0)
    return Samples({name: torch.rand(n, *shape, generator=generator) for name, shape in RESIDUAL.items()})


@pytest.mark.parametrize(("image", "encoder"), [("scan", "first"), ("other", "second")])
def test_a_network_without_a_fusion_layer_is_seen_into(rng, image, encoder):
    model, samples = wrapped(Residual), several()
    inputs = samples.inputs
    target = model(inputs).argmax(1)
    assert 0 < target.sum() < len(target)

    def score(value):
        return log_odds(model.network(*{**inputs, image: value}.values()), target)

    layer = getattr(model.network, encoder)[-1]
    coarse = captum.attr.LayerGradCam(score, layer).attribute(
        inputs[image].clone().requires_grad_(), relu_attributions=True
    )
    theirs = captum.attr.LayerAttribution.interpolate(coarse, (28, 28), "bilinear")[:, 0].detach().numpy()
    ours = grad_cam(metering.meter(model), samples, rng).pixels[image]
    assert theirs.any()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * theirs.max())


def test_maps_of_two_images_at_once_are_nobodys(rng):
    class Stacked(Residual):
        def forward(self, scan, table, other):
            return super().forward(scan + other, table, scan + other)

    with pytest.raises(NotApplicableError, match="those of 'scan' depend on other modalities as well"):
        grad_cam(wrapped(Stacked), several(6), rng)


def test_it_shows_what_speaks_for_the_predicted_class(rng):
    """A bright spot on the left speaks for class 1, one on the right for class 0."""

    def encoder():
        layer = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(layer.weight)
        return nn.Sequential(layer, nn.ReLU(), nn.AvgPool2d(8), nn.Flatten())

    model = OneEncoder(encoder, size=16)
    model.classify.weight.copy_(torch.tensor([[0.0, 1, 0, 1], [1, 0, 1, 0]]))
    model.classify.bias.zero_()
    image = torch.zeros(2, 1, 16, 16)
    image[0, 0, :, :8], image[1, 0, :, 8:] = 1, 1
    found = grad_cam(model, Samples({"image": image}), rng).pixels["image"]
    assert model.classify(model.encoder(image)).argmax(1).tolist() == [1, 0]
    # Its weights are spatial means: here they cancel, a known limit of the method.
    assert not found.any()


def test_convolutions_out_of_sight_are_no_reason_to_take_earlier_maps(kit, samples, rng):
    shown, hidden = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 2, 3, padding=1)

    class Hiding:
        modalities, groups = ("axial",), {"axial": slice(0, 2)}

        def __init__(self, second):
            self.second = second

        def encode_modality(self, name, value):
            return self.second(shown(value)).mean((2, 3))

        def encode(self, inputs):
            return self.encode_modality("axial", inputs["axial"])

        def classify(self, features):
            return features

    seen = grad_cam(Hiding(hidden), samples, rng, n_maps=4)
    assert seen.pixels["axial"].shape == (4, 28, 28)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # deprecated, and still in use
        layers = [torch.jit.script(hidden), torch.jit.trace(hidden, torch.zeros(4, 3, 28, 28))]
    for layer in layers:
        with pytest.raises(
            NotApplicableError, match=r"needs to see the convolutions .* 1 of them are hidden"
        ):
            grad_cam(Hiding(layer), samples, rng, n_maps=4)


def out_of_sight(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # deprecated, and still in use
        return torch.jit.script(layer), torch.jit.trace(layer, torch.zeros(2, 4, 8, 8))


class Behind(nn.Module):
    """Two convolutions, the second one perhaps out of sight, what follows, and another one of constants."""

    def __init__(self, post, *, hide=False):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, second = nn.Conv2d(1, 4, 5, stride=3), nn.Conv2d(4, 4, 1)
        self.weight = second.weight
        self.second = out_of_sight(second)[0] if hide else second
        self.post = post

    def forward(self, value):
        unrelated = nn.functional.conv2d(torch.ones(1, 4, 8, 8), self.weight).mean()
        return self.post(self.second(self.first(value).relu())).mean((2, 3)) + 0 * unrelated


class AndPlace(nn.Module):
    def forward(self, value):
        return value.mean(1, keepdim=True)


@pytest.mark.parametrize(
    "post", [nn.ReLU(), nn.MaxPool2d(2), nn.Sequential(nn.Tanh(), nn.AvgPool2d(2)), AndPlace()]
)
def test_what_follows_the_last_convolution_out_of_sight_is_no_reason_to_take_it(rng, post):
    shown = OneEncoder(lambda: Behind(post))
    assert grad_cam(shown, images(), rng).pixels["image"].shape == (6, 28, 28)
    for hidden in out_of_sight(post):
        with pytest.raises(NotApplicableError, match=r"needs to see (what follows )?the convolutions"):
            grad_cam(OneEncoder(lambda layer=hidden: Behind(layer)), images(), rng)


def test_another_convolution_does_not_stand_for_one_out_of_sight(rng):
    with pytest.raises(NotApplicableError, match="1 of them are hidden"):
        grad_cam(OneEncoder(lambda: Behind(nn.ReLU(), hide=True)), images(), rng)


class Pooled(nn.Module):
    def forward(self, value):
        return value.mean((-2, -1), keepdim=True)


def test_what_loses_the_place_out_of_sight_leaves_the_map(rng):
    maps = [
        grad_cam(OneEncoder(lambda layer=layer: Behind(layer)), images(), rng).pixels["image"]
        for layer in (Pooled(), *out_of_sight(Pooled()))
    ]
    assert maps[0].any()
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], rtol=1e-5)
