"""What comes in as a model is explained as its plain twin is, or refused in one sentence, by every door."""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import methods
from methods.checks.network import usual
from synthetic.types import Samples

N = 20


class Plain(nn.Module):
    """A network of two images and two tables whose layers are there to be spoilt."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.shapes = {name: tuple(value.shape[1:]) for name, value in usual().samples.inputs.items()}
        self.modalities = tuple(self.shapes)
        self.groups = {}
        self.parts = nn.ModuleDict()
        for place, (name, shape) in enumerate(self.shapes.items()):
            self.groups[name] = slice(3 * place, 3 * place + 3)
            self.parts[name] = nn.Sequential(
                nn.Flatten(), nn.Linear(int(np.prod(shape)), 3), nn.BatchNorm1d(3), nn.Dropout(0.5)
            )
        self.head = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
        for module in self.parts.values():
            module[2].running_mean.uniform_(-1, 1)  # pyright: ignore[reportOptionalMemberAccess, reportIndexIssue]
            module[2].running_var.uniform_(0.5, 2)  # pyright: ignore[reportOptionalMemberAccess, reportIndexIssue]
        self.eval()

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        return self.parts[name](value)

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([self.encode_modality(name, inputs[name]) for name in self.modalities], 1)

    def classify(self, features: Tensor) -> Tensor:
        return self.head(features)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.classify(self.encode(inputs))


def samples() -> Samples:
    given = usual().samples.take(slice(0, N))
    return Samples(dict(given.inputs), torch.arange(N) % 2)


Change = Callable[[Plain], object]


def _with(**parts: object) -> Change:
    """Return a change that puts other attributes on a network; functions get it first."""

    def change(net: Plain) -> object:
        for name, part in parts.items():
            is_function = isinstance(part, types.FunctionType)
            setattr(net, name, types.MethodType(part, net) if is_function else part)
        return net

    return change


class Wrapped:
    """No module, and holds one."""

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        if name in ("inner", "__deepcopy__", "__setstate__"):
            raise AttributeError(name)
        inner = self.inner
        while isinstance(inner, (list, dict)):
            inner = inner[0]
        return getattr(inner, name)


def _one_logit(*, squeeze: bool) -> Change:
    def change(net: Plain) -> object:
        def classify(self: Plain, features: Tensor) -> Tensor:
            logits = self.head(features)
            odds = logits[:, 1:] - logits[:, :1]
            return odds[:, 0] if squeeze else odds

        return _with(classify=classify)(net)

    return change


def _features_of(dtype: torch.dtype) -> Change:
    def encode_modality(self: Plain, name: str, value: Tensor) -> Tensor:
        return self.parts[name](value).to(dtype)

    def classify(self: Plain, features: Tensor) -> Tensor:
        assert features.dtype == dtype
        return self.head(features.float()).to(dtype)

    return _with(encode_modality=encode_modality, classify=classify)


def _in_inference_mode(net: Plain) -> object:
    with torch.inference_mode():
        return copy.deepcopy(net)


def _train_parts(net: Plain) -> object:
    net.parts["b"].train() if "b" in net.parts else next(iter(net.parts.values())).train()
    return net


def _function_model(net: Plain) -> object:
    return types.SimpleNamespace(
        modalities=net.modalities,
        groups=net.groups,
        encode=net.encode,
        classify=net.classify,
        encode_modality=net.encode_modality,
    )


PUT_RIGHT: dict[str, Change] = {
    "training mode": lambda net: net.train(),
    "one layer in training mode": _train_parts,
    "a head in training mode": lambda net: (net.head.train(), net)[1],
    "held by an object, in training mode": lambda net: Wrapped(net.train()),
    "held by an object in an object, in training mode": lambda net: Wrapped(Wrapped(net.train())),
    "held in a list, in training mode": lambda net: Wrapped([net.train()]),
    "held in a mapping, in training mode": lambda net: Wrapped({0: net.train()}),
    "methods of a network in training mode": lambda net: _function_model(net.train()),
    "one logit a sample, a column": _one_logit(squeeze=False),
    "one logit a sample, flat": _one_logit(squeeze=True),
    "double precision throughout": lambda net: net.double(),
    "features in double precision": _features_of(torch.float64),
    "open slices": lambda net: _with(
        groups={
            name: slice(it.start or None, None if it.stop == 12 else it.stop)
            for name, it in net.groups.items()
        }
    )(net),
    "slices from the end": lambda net: _with(
        groups={name: slice(it.start - 12, it.stop - 12 or None) for name, it in net.groups.items()}
    )(net),
    "slices of NumPy's integers": lambda net: _with(
        groups={name: slice(np.int64(it.start), np.int64(it.stop)) for name, it in net.groups.items()}
    )(net),
    "modalities in a list": lambda net: _with(modalities=list(net.modalities))(net),
    "groups in another order": lambda net: _with(groups=dict(reversed(net.groups.items())))(net),
    "made in inference mode": _in_inference_mode,
    "frozen weights": lambda net: net.requires_grad_(requires_grad=False),
    "no module at all": _function_model,
}

ROUGHLY: dict[str, tuple[Change, float]] = {
    "features in half precision": (_features_of(torch.float16), 0.02),
    "features in bfloat16": (_features_of(torch.bfloat16), 0.15),
}


def _dropout(self: Plain, features: Tensor) -> Tensor:
    return self.head(nn.functional.dropout(features, 0.1, training=True))


def _noise(self: Plain, inputs: Mapping[str, Tensor]) -> Tensor:
    found = Plain.encode(self, inputs)
    return found + 0.01 * torch.randn_like(found)


def _numpy_noise(self: Plain, inputs: Mapping[str, Tensor]) -> Tensor:
    found = Plain.encode(self, inputs)
    return found + 0.01 * float(np.random.standard_normal())  # noqa: NPY002


def _counts(self: Plain, inputs: Mapping[str, Tensor]) -> Tensor:
    self.n_calls = getattr(self, "n_calls", 0) + 1
    return Plain.encode(self, inputs) * (1 + 0.01 * self.n_calls)


def _batch_norm(self: Plain, features: Tensor) -> Tensor:
    return self.head(nn.functional.batch_norm(features, None, None, training=True))


def _over_the_batch(self: Plain, features: Tensor) -> Tensor:
    return self.head(features).log_softmax(0)


def _by_place(self: Plain, inputs: Mapping[str, Tensor]) -> Tensor:
    found = Plain.encode(self, inputs)
    return found + torch.arange(len(found))[:, None]


def _squeezed(self: Plain, inputs: Mapping[str, Tensor]) -> Tensor:
    return Plain.encode(self, inputs).squeeze()


def _gaps(net: Plain) -> object:
    first = next(iter(net.groups))
    return _with(groups={**net.groups, first: slice(0, 2)})(net)


def _overlap(net: Plain) -> object:
    first = next(iter(net.groups))
    return _with(groups={**net.groups, first: slice(0, 4)})(net)


def _without(name: str) -> Change:
    def change(net: Plain) -> object:
        parts = {
            "modalities": net.modalities,
            "groups": net.groups,
            "encode": net.encode,
            "classify": net.classify,
        }
        del parts[name]
        return types.SimpleNamespace(**parts)

    return change


def _returning(name: str, made: Callable[[Tensor], object]) -> Change:
    def change(net: Plain) -> object:
        whole = getattr(net, name)
        parts = {**_function_model(net).__dict__, name: lambda given: made(whole(given))}
        return types.SimpleNamespace(**parts)

    return change


def _raises(self: Plain, given: object) -> Tensor:
    raise KeyError("a layer of my own")


def _encodes_otherwise_alone(net: Plain) -> object:
    def encode_modality(self: Plain, name: str, value: Tensor) -> Tensor:
        return self.parts[name](value) + 1

    def encode(self: Plain, inputs: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([self.parts[name](inputs[name]) for name in self.modalities], 1)

    return _with(encode_modality=encode_modality, encode=encode)(net)


REFUSED: dict[str, tuple[Change, str]] = {
    "dropout that stays on": (_with(classify=_dropout), "say the same of a sample each time"),
    "noise": (_with(encode=_noise), "say the same"),
    "NumPy's noise": (_with(encode=_numpy_noise), "say the same"),
    "a count of its calls": (_with(encode=_counts), "say the same"),
    "statistics of the batch": (_with(classify=_batch_norm), "treat each sample alone|raised"),
    "softmax over the batch": (_with(classify=_over_the_batch), "treat each sample alone"),
    "the place in the batch": (_with(encode=_by_place), "treat each sample alone"),
    "the batch's axis is squeezed": (_with(encode=_squeezed), "one row a sample"),
    "columns of nobody": (_gaps, "'groups'"),
    "columns of two": (_overlap, "'groups'"),
    "lists of columns": (
        lambda net: _with(groups={n: list(range(12))[it] for n, it in net.groups.items()})(net),
        "'groups'",
    ),
    "every other column": (
        lambda net: _with(groups={n: slice(p, 12, 4) for p, n in enumerate(net.groups)})(net),
        "'groups'",
    ),
    "groups of others": (_with(groups={"x": slice(0, 12)}), "'groups'"),
    "a text for modalities": (_with(modalities="ab"), "'modalities'"),
    "a modality twice": (lambda net: _with(modalities=net.modalities[:1] * 4)(net), "'modalities'"),
    **{f"no {name}": (_without(name), f"'{name}") for name in ("modalities", "groups", "encode", "classify")},
    "features and more": (_returning("encode", lambda it: (it, None)), "return a tensor from 'encode'"),
    "logits in a mapping": (_returning("classify", lambda it: {"logits": it}), "return a tensor"),
    "logits and more": (_returning("classify", lambda it: (it, it)), "return a tensor from 'classify'"),
    "logits in an array": (_returning("classify", lambda it: it.detach().numpy()), "return a tensor"),
    "nothing": (_returning("classify", lambda it: None), "return a tensor"),
    "classes": (_returning("classify", lambda it: it.argmax(1)), "floating point"),
    "complex features": (_returning("encode", lambda it: it.to(torch.complex64)), "floating point"),
    "logits a pixel": (_returning("classify", lambda it: it[:, :, None]), "shape"),
    "one row for all": (_returning("classify", lambda it: it.mean(0, keepdim=True)), "shape"),
    "no classes": (_returning("classify", lambda it: it[:, :0]), "shape"),
    "maps for features": (_returning("encode", lambda it: it[:, :, None, None]), "shape"),
    "probabilities": (_returning("classify", lambda it: it.softmax(1)), "before any softmax"),
    "NaN": (_returning("classify", lambda it: it * torch.nan), "finite"),
    "infinity in one row": (
        _returning("encode", lambda it: torch.where(torch.arange(len(it))[:, None] == 3, torch.inf, it)),
        "finite",
    ),
    "an error of its own": (_with(classify=_raises), "a layer of my own"),
    "another encoding alone": (_encodes_otherwise_alone, "encode a modality alone as beside the others"),
    "on another device": (_returning("encode", lambda it: it.to("meta")), "CPU"),
}

METHODS = (
    *("gradient", "deeplift", "modality_shapley", "lime(n_points=40)"),
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            *("permutation", "kernel_shap(n_coalitions=60)", "integrated_gradients", "lrp", "smoothgrad"),
            *("ablation", "ablation_loss", "saliency", "modality_contribution", "intershap"),
            *("calibrated_gradient", "occlusion", "pattern"),
        )
    ),
)


def _said(model: object, method: str, given: Samples | None = None) -> dict[str, object]:
    given = samples() if given is None else given
    try:
        found = methods.get(method).attribute(cast("Any", model), given, np.random.default_rng(0))
    except methods.NotApplicableError as reason:
        return {"skipped": str(reason)}
    return {**found.modalities, "signed": dict(found.signed)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PUT_RIGHT)
def test_what_can_be_put_right_is_explained_as_its_twin(name, method):
    expected = _said(Plain(), method)
    model = PUT_RIGHT[name](Plain())
    assert _close(_said(model, method), expected, 1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ROUGHLY)
def test_features_of_low_precision_are_explained_as_roughly_as_they_are(name, method):
    change, tolerance = ROUGHLY[name]
    found = _said(change(Plain()), method)
    # What adds up by rule may miss by more than its own check lets pass.
    assert "do not add up" in str(found.get("skipped")) or _close(found, _said(Plain(), method), tolerance)


def _close(found: dict[str, object], expected: dict[str, object], share: float) -> bool:
    assert found.keys() == expected.keys()
    numbers = {name: value for name, value in expected.items() if isinstance(value, float)}
    scale = max(map(abs, numbers.values()), default=1.0)
    return all(abs(cast("float", found[name]) - value) <= share * scale for name, value in numbers.items())


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_put_right_is_refused_in_one_sentence(name):
    change, words = REFUSED[name]
    told = set()
    for method in ("gradient", "permutation", "deeplift", "modality_shapley", "mean_of_methods", "occlusion"):
        with pytest.raises(ValueError, match=words) as caught:
            methods.get(method).attribute(cast("Any", change(Plain())), samples(), np.random.default_rng(0))
        told.add(str(caught.value))
    assert len(told) == 1
    assert "The model must" in told.pop()


@pytest.mark.parametrize("name", PUT_RIGHT)
def test_the_callers_model_stays_as_it_is(name):
    net = Plain()
    model = PUT_RIGHT[name](net)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    _said(model, "gradient")
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def _changed(change: Callable[[Tensor], Tensor], *, images: bool) -> Samples:
    """Return the samples with all images, or all tables, changed."""
    given = samples()
    return Samples(
        {name: change(it) if (it.ndim == 4) == images else it for name, it in given.inputs.items()},
        given.labels,
    )


def _whole(*, images: bool) -> Samples:
    """Return samples whose images, or tables, hold what whole numbers can hold as well."""
    return _changed(lambda it: (it * 255).round() / 255 if images else it.round(), images=images)


def _leaf(value: Tensor) -> Tensor:
    return value.clone().requires_grad_()


def _inferred(value: Tensor) -> Tensor:
    with torch.inference_mode():
        return value.clone()


SAMPLES: dict[str, tuple[Callable[[], Samples], Callable[[], Samples]]] = {
    "images of bytes": (
        lambda: _changed(lambda it: (it * 255).round().to(torch.uint8), images=True),
        lambda: _whole(images=True),
    ),
    **{
        f"tables of {dtype}": (
            lambda dtype=dtype: _changed(lambda it: it.round().to(dtype), images=False),
            lambda: _whole(images=False),
        )
        for dtype in (torch.int8, torch.int16, torch.int32, torch.int64)
    },
    "tables of bytes": (
        lambda: _changed(lambda it: it.round().abs().to(torch.uint8), images=False),
        lambda: _changed(lambda it: it.round().abs(), images=False),
    ),
    "tables of yes and no": (
        lambda: _changed(lambda it: it > 0, images=False),
        lambda: _changed(lambda it: (it > 0).float(), images=False),
    ),
    "tables in double precision": (lambda: _changed(Tensor.double, images=False), samples),
    "images in double precision": (lambda: _changed(Tensor.double, images=True), samples),
    "inputs that ask for gradients": (lambda: _changed(_leaf, images=True), samples),
    "inputs inside a graph": (lambda: _changed(lambda it: _leaf(it) * 1, images=False), samples),
    "parameters": (lambda: _changed(nn.Parameter, images=False), samples),
    "inputs made in inference mode": (lambda: _changed(_inferred, images=True), samples),
    "inputs from every other row": (
        lambda: _changed(lambda it: it.repeat_interleave(2, 0)[::2], images=True),
        samples,
    ),
    "a modality more": (
        lambda: Samples({**samples().inputs, "other": torch.zeros(N, 3)}, samples().labels),
        samples,
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_explained_as_the_floats_that_they_stand_for(name, method):
    given, meant = SAMPLES[name]
    own = given()
    assert _close(_said(Plain(), method, own), _said(Plain(), method, meant()), 1e-6)
    assert all(it.grad is None for it in own.inputs.values() if it.is_leaf)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda it: (it * 4000).to(torch.int16), "is an image and must be uint8"),
        (lambda it: it > 0.5, "is an image and must be uint8"),
        (lambda it: it.to(torch.complex64), "real numbers"),
        (lambda it: it * torch.nan, "finite"),
    ],
)
def test_images_whose_scale_nobody_knows_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        _changed(change, images=True)


@pytest.mark.parametrize(
    "squashed",
    [
        lambda logits: (logits[:, 1:] - logits[:, :1]).sigmoid(),
        lambda logits: (logits[:, 1] - logits[:, 0]).sigmoid(),
        lambda logits: logits.sigmoid(),
        lambda logits: logits.softmax(1),
    ],
)
def test_probabilities_are_no_logits(squashed):
    model = _with(classify=lambda self, features: squashed(self.head(features)))(Plain())
    with pytest.raises(ValueError, match="return logits from 'classify', before any softmax or sigmoid"):
        _said(model, "gradient", samples())


def test_logits_that_lie_in_0_to_1_by_chance_are_logits():
    model = _with(classify=lambda self, features: 0.5 + 0.001 * self.head(features))(Plain())
    assert _said(model, "gradient", samples())


class _Slotted:
    __slots__ = ("net",)

    def __init__(self, net):
        self.net = net


class _Shared:
    net: Any = None


_GLOBAL: Any = None


def _hidden(net: Plain) -> dict[str, Callable[[], Callable[[Any], Tensor]]]:
    global _GLOBAL  # noqa: PLW0603 - a network that a function finds by name
    _GLOBAL = net
    held, shared = _Slotted(net), type("Shared", (_Shared,), {"net": net})()
    return {
        "slots": lambda: lambda inputs, held=held: held.net.encode(inputs),
        "class attribute": lambda: lambda inputs, held=shared: held.net.encode(inputs),
        "set": lambda: lambda inputs, nets=frozenset([net]): next(iter(nets)).encode(inputs),
        "default": lambda: lambda inputs, net=net: net.encode(inputs),
        "partial": lambda: functools.partial(Plain.encode, net),
        "global": lambda: lambda inputs: _GLOBAL.encode(dict(inputs)),
    }


@pytest.mark.parametrize("where", list(_hidden(Plain())))
def test_a_network_in_training_mode_is_found_wherever_it_is_held(where):
    net = Plain()
    encode = _hidden(net)[where]()
    net.train()
    before = copy.deepcopy(net.state_dict())
    given = types.SimpleNamespace(
        modalities=net.modalities, groups=net.groups, encode=encode, classify=net.head
    )
    try:
        _said(given, "gradient", samples())  # explained on a copy
    except ValueError as error:
        assert "must be in evaluation mode" in str(error)  # noqa: PT017 - where no copy can be made
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("label", [-1, 7])
def test_labels_that_are_no_classes_are_refused(label):
    given = Samples(dict(samples().inputs), torch.full((N,), label))
    with pytest.raises(ValueError, match=r"have labels of the model's classes, 0 … 1"):
        _said(Plain(), "permutation", given)


def test_samples_without_a_modality_of_the_model_are_refused():
    given = dict(samples().inputs)
    gone = given.popitem()[0]
    with pytest.raises(ValueError, match=f"The samples must hold every modality.*and nothing for {gone}"):
        _said(Plain(), "gradient", Samples(given))
    with pytest.raises(ValueError, match="samples must hold at least one patient"):
        _said(Plain(), "gradient", samples().take(slice(0, 0)))
    with pytest.raises(ValueError, match=r"samples must be a synthetic\.Samples"):
        methods.get("gradient").attribute(Plain(), cast("Any", given), np.random.default_rng(0))
