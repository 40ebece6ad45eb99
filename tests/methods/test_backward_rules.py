import inspect

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from methods import backward_rules
from methods.backward_rules import Operation, ruled_logits, secant

# Arguments besides the input, where there must be some.
MORE = {
    "prelu": (torch.tensor([0.3]),),
    "threshold": (0.7, 0.2),
    "clamp": (0.6, 1.2),
    "clip": (0.6, 1.2),
    "clamp_min": (0.8,),
    "clamp_max": (0.8,),
    "maximum": (torch.tensor([0.8]),),
    "minimum": (torch.tensor([0.8]),),
    "pow": (3,),
    "rpow": (2.0,),
    "rtruediv": (2.0,),
    "rdiv": (2.0,),
}
NAMES = sorted(backward_rules._ELEMENTWISE.split())


def found(name):
    """Return the function of a name, wherever torch has it."""
    spelt = name.replace("log_sigmoid", "logsigmoid")
    for place, spelling in ((torch, spelt), (functional, spelt), (Tensor, spelt), (Tensor, f"__{spelt}__")):
        if hasattr(place, spelling):
            return getattr(place, spelling)
    raise AssertionError(name)


def tracked(kit, score, features, rule):
    model = kit.table_model({"a": features.shape[1]}, kit.head_binary(score))
    leaf = features.clone().requires_grad_()
    logits = ruled_logits(model, leaf, rule)
    return leaf, logits


@pytest.mark.parametrize("name", NAMES)
def test_every_function_of_one_variable_hands_on_its_whole_change(kit, name):
    function, more = found(name), MORE.get(name, ())
    x = 0.5 + torch.rand(20, 1, generator=torch.Generator().manual_seed(0))
    reference = torch.tensor([[0.75]])
    seen = []

    def rule(operation):
        seen.append(operation)
        return secant(operation, [reference], operation.call(reference))

    leaf, logits = tracked(kit, lambda z: function(z, *more)[:, 0], x, rule)
    (multiplier,) = torch.autograd.grad(logits[:, 1].sum(), leaf)
    change = function(x, *more) - function(reference, *more)
    assert [operation.kind for operation in seen] == ["elementwise"]
    torch.testing.assert_close(multiplier * (x - reference), change, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits[:, 1], function(x, *more)[:, 0])


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (torch.mul, "product"),
        (lambda a, b: (a[:, None] @ b[:, :, None])[:, :, 0], "product"),
        (lambda a, b: torch.einsum("nd,nd->nd", a, b), "product"),
        (torch.div, "joint"),
        (torch.maximum, "joint"),
        (lambda a, b: torch.softmax(torch.cat([a, b], dim=1), dim=1), "joint"),
    ],
)
def test_operations_on_several_inputs_hand_on_their_whole_change(kit, function, kind):
    generator = torch.Generator().manual_seed(0)
    x, reference = 1 + torch.rand(20, 4, generator=generator), 1 + torch.rand(1, 4, generator=generator)
    kinds, references = [], []

    def note(operation):
        references.append((operation.inputs, operation.output))
        return lambda gradient: [None] * len(operation.inputs)

    def rule(operation):
        kinds.append(operation.kind)
        return secant(operation, *references[len(kinds) - 1])

    def score(z):
        return (
            function(z[:, :2], z[:, 2:]).sum(1) if kind == "product" else function(z[:, :2], z[:, 2:])[:, 0]
        )

    tracked(kit, score, reference, note)
    leaf, logits = tracked(kit, score, x, rule)
    (multiplier,) = torch.autograd.grad(logits[:, 1].sum(), leaf)
    assert kinds == [kind]
    tolerance = 0.05 if function is torch.maximum else 1e-5  # the line crosses its kink
    contributions = (multiplier * (x - reference)).sum(1)
    torch.testing.assert_close(contributions, score(x) - score(reference), atol=tolerance, rtol=1e-4)


def test_near_the_reference_the_derivative_stands_in():
    x = torch.tensor([1.0, 1.0 + 1e-6, 2.0])
    square = Operation("square", "elementwise", torch.square, (x,), x.square())
    (slope,) = secant(square, [torch.ones(1)], torch.ones(1))(torch.ones(3))
    np.testing.assert_allclose(slope, [2, 2, 3], rtol=1e-5)


def test_operations_that_do_not_depend_on_the_features_are_left_alone(kit):
    names = []

    def rule(operation):
        names.append(operation.name)
        return lambda gradient: [gradient]

    def score(x):
        weights = torch.exp(x.new_tensor([1.0, 2.0])) * torch.ones_like(x[0]).tanh()
        return (x @ weights).relu() * float(len(x))

    tracked(kit, score, torch.randn(5, 2), rule)
    assert names == ["relu"]


def test_what_was_seen_stays_though_it_is_overwritten_later(kit):
    seen = []

    def rule(operation):
        seen.append(operation)
        return lambda gradient: [gradient]

    def score(x):
        hidden = x * 2
        active = hidden.tanh()
        hidden += 1
        active *= 3
        return (hidden + active).sum(1)

    x = torch.randn(5, 2)
    _, logits = tracked(kit, score, x, rule)
    assert torch.equal(seen[0].inputs[0], 2 * x)
    assert torch.equal(seen[0].output, torch.tanh(2 * x))
    torch.testing.assert_close(logits[:, 1], (2 * x + 1 + 3 * torch.tanh(2 * x)).sum(1))


def test_nothing_is_left_behind(kit):
    before = dict(vars(Tensor))
    tracked(kit, lambda x: x.relu().sum(1), torch.randn(3, 2), lambda _: lambda gradient: [gradient])
    assert dict(vars(Tensor)) == before
    assert inspect.getattr_static(Tensor, "__torch_function__") is before["__torch_function__"]
    assert type(torch.relu(torch.ones(2))) is Tensor
