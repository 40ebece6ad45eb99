"""A model that works in place on what it is given is explained as its twin that does not."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

import methods
from methods import NotApplicableError, evaluation
from methods.checks.network import case, retrain

SHAPES = {"picture": (1, 28, 28), "a": (3,), "b": (2,)}
N = 12
NETWORK = case(SHAPES, n=N)


class Joint:
    """A fusion model of two functions around a small network; it encodes all modalities together."""

    def __init__(self, encode=lambda inputs: inputs, classify=lambda features: features):
        self.modalities, self.groups = NETWORK.model.modalities, NETWORK.model.groups
        self._encode, self._classify = encode, classify

    def encode(self, inputs):
        inputs = self._encode(inputs)
        return torch.cat([NETWORK.model.encode_modality(name, inputs[name]) for name in self.modalities], 1)

    def classify(self, features):
        return NETWORK.model.head(self._classify(features))


class Separable(Joint):
    """One that encodes each modality alone; the function is of one modality's input."""

    def encode_modality(self, name, value):
        return NETWORK.model.encode_modality(name, self._encode(value))

    def encode(self, inputs):
        return torch.cat([self.encode_modality(name, inputs[name]) for name in self.modalities], 1)


class Keeping(Separable):
    """Writes every answer into one and the same tensor, and returns that."""

    def classify(self, features):
        found = super().classify(features)
        if found.requires_grad:
            return found
        self.answers = vars(self).get("answers", torch.empty(2**17, found.shape[1]))
        self.answers[: len(found)] = found
        return self.answers[: len(found)]


def blanked(features):
    features[:, :2] = 0
    return features


def signs_kept(features):
    features[features < 0] = 0
    return features


def replaced(inputs):
    inputs["a"] = inputs["a"] * 2
    return inputs


def taken(inputs):
    return {name: inputs.pop(name) for name in list(inputs)}


TWINS = {
    "classify scales": (Separable(classify=lambda f: f.mul_(0.5)), Separable(classify=lambda f: f * 0.5)),
    "the head begins with a ReLU": (
        Joint(classify=lambda f: functional.relu(f, inplace=True)),
        Joint(classify=functional.relu),
    ),
    "classify blanks columns": (
        Separable(classify=blanked),
        Separable(classify=lambda f: torch.cat([torch.zeros_like(f[:, :2]), f[:, 2:]], 1)),
    ),
    "classify blanks by value": (Joint(classify=signs_kept), Joint(classify=functional.relu)),
    "encode_modality standardises": (
        Separable(encode=lambda x: x.sub_(0.5).div_(0.25)),
        Separable(encode=lambda x: (x - 0.5) / 0.25),
    ),
    "encode standardises": (
        Joint(encode=lambda inputs: {name: x.sub_(0.5).div_(0.25) for name, x in inputs.items()}),
        Joint(encode=lambda inputs: {name: (x - 0.5) / 0.25 for name, x in inputs.items()}),
    ),
    "encode replaces an input": (
        Joint(encode=replaced),
        Joint(encode=lambda inputs: {**inputs, "a": inputs["a"] * 2}),
    ),
    "encode takes the inputs away": (Joint(encode=taken), Joint()),
    "answers share their memory": (Keeping(), Separable()),
}

# Fewer model calls than by default, where a method takes many.
QUICK = {
    "lime": "lime(n_points=200, n_samples=6)",
    "kernel_shap": "kernel_shap(n_coalitions=100, n_samples=6)",
    "shapley_sampling": "shapley_sampling(n_evaluations=60, n_samples=6)",
    "patch_shap": "patch_shap(n_maps=4, n_orders=2)",
    "occlusion": "occlusion(n_maps=4)",
    "pixel_integrated_gradients": "pixel_integrated_gradients(n_maps=4)",
}
ALL = [QUICK.get(name, name) for name in methods.names()]


NO_RULE = {"deeplift", "deeplift_shap"}
"""What may refuse an operation in place that it follows where it is written otherwise."""


def explained(method, model):
    given = copy.deepcopy(NETWORK.samples)
    try:
        found = methods.get(method).attribute(
            model, given, np.random.default_rng(0), retrain=retrain(NETWORK.model)
        )
    except NotApplicableError as reason:
        return str(reason)
    for name, value in NETWORK.samples.inputs.items():
        assert torch.equal(given.inputs[name], value), f"{name!r} was changed"
    return found


# Every method on every third kind of model, and every kind by every third method; the rest is slow.
PAIRS = [
    pytest.param(method, twin, marks=() if (i + j) % 3 == 0 else pytest.mark.slow)
    for i, method in enumerate(ALL)
    for j, twin in enumerate(TWINS)
]


@pytest.mark.parametrize(("method", "twin"), PAIRS)
def test_what_a_model_does_in_place_changes_no_number(method, twin):
    in_place, apart = (explained(method, copy.copy(model)) for model in TWINS[twin])
    if isinstance(apart, str):
        assert in_place == apart
        return
    if method in NO_RULE and isinstance(in_place, str):
        assert "no rule" in in_place
        return
    assert in_place.modalities == pytest.approx(apart.modalities, rel=1e-4, abs=1e-7)
    for kind in ("features", "pixels"):
        one, other = getattr(in_place, kind), getattr(apart, kind)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["lime", "ablation", "permutation"])
def test_answers_in_many_calls_may_share_their_memory(method, monkeypatch):
    monkeypatch.setattr(evaluation, "CLASSIFY_ROWS", 5)
    kept, apart = (explained(QUICK.get(method, method), model) for model in (Keeping(), Separable()))
    assert kept.modalities == pytest.approx(apart.modalities, rel=1e-5)


def test_networks_that_a_method_trains_are_guarded_too():
    in_place, apart = TWINS["classify scales"]

    def ask_twice(model, samples, rng, *, retrain):
        other = retrain(["a"])
        features = other.encode(samples.inputs)
        first, again = other.classify(features), other.classify(features)
        assert torch.equal(first, again)
        return dict.fromkeys(model.modalities, 1.0)

    method = methods.Method("asks", ask_twice, "gradient", needs_training=True)
    method.attribute(apart, NETWORK.samples, np.random.default_rng(0), retrain=lambda _: in_place)


def test_a_guarded_model_shows_what_the_model_shows():
    seen = []

    def look(model, samples, rng):
        seen.append(model)
        return dict.fromkeys(model.modalities, 1.0)

    for model in (Joint(), Separable()):
        model.note = "of its own"
        methods.as_method(look).attribute(model, NETWORK.samples, np.random.default_rng(0))
        guarded = seen.pop()
        assert isinstance(guarded, methods.FusionModel)
        assert isinstance(guarded, methods.SeparableModel) == isinstance(model, methods.SeparableModel)
        assert copy.deepcopy(guarded).note == "of its own"
        with pytest.raises(AttributeError, match="nothing"):
            _ = guarded.nothing
