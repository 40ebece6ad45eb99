from __future__ import annotations

import inspect

import pytest
import torch

import methods
import synthetic
from benchmark import models
from benchmark.metering import MeteredModel, SeparableMeteredModel, meter


class Joint:
    """A fusion model that cannot encode one modality alone."""

    modalities = ("a", "b")
    groups = {"a": slice(0, 2), "b": slice(2, 3)}  # noqa: RUF012
    private = "the truth"

    def encode(self, inputs):
        return torch.cat([inputs["a"] * inputs["b"], inputs["b"]], dim=1)

    def classify(self, features):
        return torch.stack([-features.sum(1), features.sum(1)], dim=1)


class Separable(Joint):
    def encode_modality(self, name, value):
        return value * (2 if name == "a" else 3)


INPUTS = {"a": torch.tensor([[1.0, 2], [3, 4], [5, 6]]), "b": torch.tensor([[2.0], [3], [4]])}


@pytest.fixture(scope="module")
def dataset():
    return synthetic.generate(synthetic.scenario("paper-F0"), n=128)


@pytest.fixture(scope="module")
def metered_oracle(dataset):
    return meter(models.oracle(dataset, synthetic.scenario("paper-F0").decision))


@pytest.mark.parametrize("model", [Joint(), Separable()])
def test_calls_are_passed_on(model):
    metered = meter(model)
    assert isinstance(metered, MeteredModel)
    assert isinstance(metered, methods.FusionModel)
    assert metered.modalities == model.modalities
    assert dict(metered.groups) == model.groups
    features = metered.encode(INPUTS)
    assert torch.equal(features, model.encode(INPUTS))
    assert torch.equal(metered.classify(features), model.classify(features))


def test_only_a_separable_model_seems_separable(metered_oracle):
    assert not isinstance(meter(Joint()), methods.SeparableModel)
    assert not hasattr(meter(Joint()), "encode_modality")
    metered = meter(Separable())
    assert isinstance(metered, methods.SeparableModel)
    assert torch.equal(metered.encode_modality("b", INPUTS["b"]), 3 * INPUTS["b"])
    assert isinstance(metered_oracle, SeparableMeteredModel)
    network = models.build("hybrid", {"image": (1, 28, 28), "table": (3,)}).eval()
    assert isinstance(meter(network), methods.SeparableModel)


def test_samples_are_counted():
    metered = meter(Separable())
    assert (metered.n_encoded, metered.n_classified, metered.model_calls) == (0, 0, 0)
    features = metered.encode(INPUTS)
    assert (metered.n_encoded, metered.n_classified, metered.model_calls) == (3, 0, 3)
    metered.classify(features.repeat(3, 1))
    assert (metered.n_encoded, metered.n_classified, metered.model_calls) == (3, 9, 9)
    # One of two modalities counts half.
    for _ in range(5):
        metered.encode_modality("a", INPUTS["a"])
    assert (metered.n_encoded, metered.model_calls) == (3 + 5 * 3 / 2, 10)
    assert meter(Separable()).model_calls == 0


def test_gradients_pass_through():
    features = meter(Separable()).encode(INPUTS).requires_grad_()
    meter(Separable()).classify(features)[:, 1].sum().backward()
    assert torch.equal(features.grad, torch.ones_like(features))


OBVIOUS = """model _model __model inner module network _network decision _decision private latents _latents
truth threshold _threshold scale _scale dataset terms __wrapped__ __dict__ __self__"""


def test_a_method_finds_nothing_but_the_protocol(metered_oracle):
    for metered in (metered_oracle, meter(Joint())):
        with pytest.raises(TypeError):
            vars(metered)
        public = {name for name in dir(metered) if not name.startswith("_")}
        protocol = {"modalities", "groups", "encode", "classify", "encode_modality"}
        assert public - protocol == {"n_encoded", "n_classified", "model_calls", "check_budget"}
    for name in OBVIOUS.split():
        for metered in (metered_oracle, meter(Joint())):
            assert not hasattr(metered, name), name


def test_what_is_public_leads_to_nothing(metered_oracle):
    allowed = (int, float, str, slice, tuple)
    for name in dir(metered_oracle):
        if name.startswith("_"):
            continue
        value = getattr(metered_oracle, name)
        if inspect.ismethod(value):
            assert value.__self__ is metered_oracle
        elif name == "groups":
            assert {type(columns) for columns in value.values()} == {slice}
        else:
            assert isinstance(value, allowed), name


def test_a_method_cannot_change_the_model_through_its_meter():
    model = Separable()
    metered = meter(model)
    with pytest.raises(TypeError):
        metered.groups["a"] = slice(0, 1)
    with pytest.raises(AttributeError):
        metered.note = "for the next method"
    with pytest.raises(AttributeError):
        metered.model_calls = 0
    metered.modalities = ("b",)
    assert model.modalities == ("a", "b")
    assert meter(model).modalities == ("a", "b")
