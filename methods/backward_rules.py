"""Backward passes through a classifier with rules of one's own: what DeepLIFT and LRP share.

Both put rules of their own in place of the derivatives of single operations. The model protocol shows no
layers, on purpose. So the features that go in are tensors that see what is done with them
(``__torch_function__``): every torch operation on them passes through here, whether a module calls it, a
function or a formula. Nothing global is changed, no weights are held, and nothing but ``classify`` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from methods.api import FusionModel, NotApplicableError
from methods.autograd_graph import Step, nodes

Kind = Literal["elementwise", "product", "joint", "linear"]
Backward = Callable[[Tensor], Sequence[Tensor | None]]
"""Gradient of an operation's output → those of its inputs."""

_ELEMENTWISE = """
    relu relu6 leaky_relu prelu elu selu celu gelu silu mish softplus softsign hardtanh hardsigmoid hardswish
    sigmoid log_sigmoid tanh tanhshrink softshrink hardshrink threshold clamp clamp_min clamp_max clip maximum
    minimum abs absolute exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal square sin cos tan atan
    arctan sinh cosh asinh erf pow rpow rtruediv rdiv
"""
_PRODUCTS = """
    mul multiply rmul imul matmul rmatmul mm bmm mv dot einsum bilinear linear addmm addmv addr addbmm baddbmm
    addcmul inner outer ger tensordot kron conv1d conv2d conv3d
"""
_JOINT = """
    div divide true_divide truediv itruediv glu softmax softmin log_softmax logsumexp layer_norm rms_norm
    group_norm normalize norm vector_norm prod scaled_dot_product_attention multi_head_attention_forward
"""
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(_ELEMENTWISE.split(), "elementwise"),
    **dict.fromkeys(_PRODUCTS.split(), "product"),
    **dict.fromkeys(_JOINT.split(), "joint"),
}
_DIVISIONS = frozenset(("div", "divide", "true_divide", "truediv", "itruediv"))
_WEIGHTED = """
    linear matmul mm mv bmm dot inner einsum tensordot addmm addmv addbmm baddbmm conv1d conv2d conv3d
    bilinear
"""
_LINEAR = frozenset(_WEIGHTED.split())
_LEAVE_TORCH = frozenset(("numpy", "tolist", "array"))

# What autograd calls the operations that relevance passes as slopes do: sums, copies, choices of entries …
_LINEAR_NODES = """
    AccumulateGrad Add Sub Rsub Neg Sum Mean Alias Clone Copy ToCopy CopySlices CopyBackwards View
    UnsafeView ReshapeAlias Reshape AsStrided Expand Repeat RepeatInterleave T Transpose Permute Squeeze
    Unsqueeze Select Slice Split SplitWithSizes Unbind Cat Stack Index IndexSelect IndexAdd IndexPut
    IndexFill Gather Scatter ScatterAdd Take Flip Roll Rot90 ConstantPadNd Cumsum Diagonal Diag Tril Triu
    Trace Unfold Fill Where MaskedFill MaskedSelect MaskedScatter Max Min Amax Amin Sort Topk Kthvalue
    Median Nanmedian Cummax Cummin MaxPool2DWithIndices MaxPool3DWithIndices AdaptiveMaxPool2D
    AdaptiveMaxPool3D AvgPool2D AvgPool3D AdaptiveAvgPool2D AdaptiveAvgPool3D MkldnnAdaptiveAvgPool2D
    UpsampleLinear1D UpsampleBilinear2D UpsampleNearest1D UpsampleNearest2D ReflectionPad1D
    ReflectionPad2D ReplicationPad1D ReplicationPad2D NativeBatchNorm
"""
_PASSES = frozenset(_LINEAR_NODES.split())
# Where one factor alone depends on the features, or the dividend.
_SCALES = {"Mul": ((0,), (1,)), "Div": ((0,),)}
_COMPARISONS = frozenset(("ge", "gt", "le", "lt", "greater", "greater_equal", "less", "less_equal"))
_CASTS = frozenset(("to", "type", "type_as", "float", "double"))

# Of these, an argument gives a shape, a type or a place, and no values: the first one, or all the others.
_GIVE_NO_VALUES = """
    zeros_like ones_like empty_like full_like rand_like randn_like randint_like new_zeros new_ones new_full
    new_empty new_tensor new_empty_strided
"""
_FIRST_GIVES_NO_VALUES = frozenset(_GIVE_NO_VALUES.split())
_FIRST_GIVES_THE_VALUES = _CASTS | frozenset(("expand_as", "view_as", "reshape_as"))
_CHOICES = """
    getitem gather index_select take take_along_dim scatter scatter_add scatter_reduce index_add index_put
    index_fill
"""
_TAKE_PLACES = frozenset(_CHOICES.split())

# Points of the Gauss–Legendre sum for operations that join their inputs smoothly.
_POINTS = 32
# Changes below this share of the input's or output's size are mostly rounding: the derivative stands in.
_SMALL = 1e-4
# Changes above this share of the output's size are no rounding.
_JUMP = 1e-2


@dataclass(frozen=True)
class Operation:
    """One operation that has a rule.

    Attributes:
        name: of the torch function, without underscores; ``jump`` for a comparison that became a number.
        kind: ``elementwise`` for functions of one variable, ``product`` and ``joint`` for what joins several,
            ``linear`` for weights on one input.
        call: the operation as a function of its inputs.
        inputs: values of those arguments that depend on the features.
        output: its value.
        arguments: all arguments in order; None for an input.
    """

    name: str
    kind: Kind
    call: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    output: Tensor
    arguments: tuple[object, ...] = ()


Rule = Callable[[Operation], Backward]


def ruled_logits(model: FusionModel, features: Tensor, rule: Rule, *, linear: bool = False) -> Tensor:
    """Return the logits ``[n, classes]``, which have a graph whose backward pass follows a rule.

    Operations that are not known here, and linear ones unless they are asked for, keep their derivatives.

    Args:
        model: the model; ``classify`` is called once.
        features: ``[n, d]``, requiring gradients.
        rule: what is done on the way back through each operation.
        linear: ask the rule at products with weights too. Then whatever is not asked about must be linear, or
            choose entries.

    Raises:
        NotApplicableError: if the classifier does not compute with torch functions on what it is given, or
            an operation that needs a rule was out of sight, or (``linear``) values of the features come back
            that had left the graph.
    """
    watched = _watched(rule, linear=linear)
    with torch.enable_grad():
        # A copy, as a classifier may change what it is given, and a leaf must not change.
        logits = model.classify(features.clone().as_subclass(watched))
        if not isinstance(logits, watched) or not logits.requires_grad:
            raise _hidden()
        found = logits.as_subclass(Tensor)
    if linear:
        for step in nodes(found, features):
            if not _is_linear(step):
                raise NotApplicableError(
                    f"has no rule for {step.name!r} in a classifier, an operation known by its slope alone "
                    "(scripted, traced, or of a kind that is not known here)"
                )
    return found


def _is_linear(step: Step) -> bool:
    """Return whether an operation without a rule is linear in what depends on the features, or chooses."""
    if step.is_own:
        return type(step.node) is _Ruled._backward_cls  # noqa: SLF001 # pyright: ignore[reportAttributeAccessIssue]
    if getattr(step.node, "_saved_training", False):  # normalised by the statistics of what it is given
        return False
    return step.name in _PASSES or step.inputs in _SCALES.get(step.name, ())


def _hidden() -> NotApplicableError:
    return NotApplicableError(
        "needs to see the operations of the classifier, which hides them "
        "(compiled, scripted, or computed outside of torch)"
    )


def secant(operation: Operation, reference: Sequence[Tensor], reference_output: Tensor) -> Backward:
    """Return the backward rule that hands on the change from a reference: Σ multiplier · Δinput = Δoutput.

    The multiplier of a function of one variable is Δoutput / Δinput, DeepLIFT's rescale rule. Other
    operations get their derivative averaged along the straight line from the reference, which is the same for
    one variable; of a product, each factor so gets half of what is joint.

    Args:
        operation: the operation.
        reference: values of its inputs to compare with, broadcastable to them.
        reference_output: what it makes of those.
    """
    if operation.kind == "elementwise":
        return _rescale(operation, reference[0], reference_output)
    # Of a product of k factors the derivative on the line is a polynomial of degree k − 1.
    n_points = -(-len(operation.inputs) // 2) if operation.kind == "product" else _POINTS
    nodes, weights = np.polynomial.legendre.leggauss(n_points)

    def backward(gradient: Tensor) -> list[Tensor]:
        totals = [torch.zeros_like(value) for value in operation.inputs]
        for node, weight in zip(nodes, weights, strict=True):
            points = [
                torch.lerp(start.expand_as(end), end, float(node + 1) / 2)
                for start, end in zip(reference, operation.inputs, strict=True)
            ]
            parts = derivative(operation, points, gradient)
            for total, part in zip(totals, parts, strict=True):
                total.add_(part, alpha=float(weight) / 2)
        return totals

    return backward


def _rescale(operation: Operation, reference: Tensor, reference_output: Tensor) -> Backward:
    value = operation.inputs[0]
    change, change_after = value - reference, operation.output - reference_output
    after = torch.maximum(operation.output.abs(), reference_output.abs())
    # A change that is mostly rounding, on the way in or out, and has not become a jump.
    small = change.abs() <= _SMALL * torch.maximum(torch.maximum(value.abs(), reference.abs()), after)
    small &= change_after.abs() <= _JUMP * after
    slope = change_after / torch.where(small, 1.0, change)
    if small.any():
        exact = derivative(operation, [value], torch.ones_like(operation.output))[0]
        slope = torch.where(small, exact, slope)
    return lambda gradient: [gradient * slope]


def derivative(operation: Operation, points: Sequence[Tensor], gradient: Tensor) -> list[Tensor]:
    """Return the gradients of an operation's inputs at some points, by its own derivative."""
    leaves = [point.detach().requires_grad_() for point in points]
    with torch.enable_grad():
        output = operation.call(*leaves)
    if not output.requires_grad:  # a jump is flat wherever it has a derivative
        return [torch.zeros_like(leaf) for leaf in leaves]
    return list(torch.autograd.grad(output, leaves, gradient, materialize_grads=True))


class _Ruled(torch.autograd.Function):
    """A value that is there already, with a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, backward: Backward, *_inputs: Tensor) -> Tensor:
        ctx.way_back = backward
        return output.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        return (None, None, *ctx.way_back(grad_outputs[0]))


def _watched(rule: Rule, *, linear: bool) -> type[Tensor]:  # noqa: C901 - one branch a kind of call
    """Return a class of tensors that asks a rule at every operation on them."""

    class Watched(Tensor):
        # Made of values of the features, and not in the graph.
        is_detached = False
        # Of a truth value: the comparison that it answers, and what was compared.
        answers: tuple[Callable[..., Tensor], Tensor] | None = None

        @classmethod
        def __torch_function__(
            cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            kwargs = kwargs or {}
            if not linear:
                return cls.passed(func, types, args, kwargs)
            with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001 - to read what a tensor is asks itself
                follow = _Detached(cls, func, args, kwargs)
            result = cls.passed(func, types, args, kwargs)
            with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001
                follow.mark(result)
            return result

        @classmethod
        def passed(cls, func: Any, types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            name = getattr(func, "__name__", "").strip("_")
            if name in _LEAVE_TORCH:
                raise _hidden()
            if name in _COMPARISONS:
                answer = super().__torch_function__(func, types, args, kwargs)
                seen = _see(cls, func, args, kwargs)
                if len(seen.inputs) == 1:
                    answer.answers = seen.call, seen.inputs[0]  # pyright: ignore[reportAttributeAccessIssue]
                return answer
            if name in _CASTS and getattr(args[0], "answers", None) is not None:
                # A jump has no slope, but it does change: what was compared is its input.
                compare, compared = args[0].answers
                # What it is cast to may be the type of another watched tensor, which gives its type alone.
                rest = [arg.detach().as_subclass(Tensor) if isinstance(arg, cls) else arg for arg in args[1:]]
                to_number = partial(_jump, func, compare, rest, kwargs)
                return cls.ruled("jump", "elementwise", _Seen(to_number, [compared], ()))
            if name not in _KINDS:
                return super().__torch_function__(func, types, args, kwargs)
            seen = _see(cls, func, args, kwargs)
            kind = _kind(name, seen, linear=linear)
            if kind is None:
                return super().__torch_function__(func, types, args, kwargs)
            if not _is_in_place(func, kind, args, kwargs):
                return cls.ruled(name, kind, seen)
            result = cls.ruled(name, kind, replace(seen, call=partial(_on_copy, seen.call)))
            seen.inputs[0].copy_(result.as_subclass(Tensor))
            return args[0]

        @classmethod
        def ruled(cls, name: str, kind: Kind, seen: _Seen) -> Tensor:
            # Copies, of the output too: what comes after may change either in place.
            values = tuple(value.detach().clone() for value in seen.inputs)
            with torch.no_grad():
                output = seen.call(*values)
            if kind == "elementwise" and output.shape != values[0].shape:
                kind = "joint"  # broadcast against something: one input in many outputs
            operation = Operation(name, kind, seen.call, values, output, seen.arguments)
            ruled: Tensor = _Ruled.apply(output, rule(operation), *seen.inputs)  # pyright: ignore[reportAssignmentType]
            return ruled.as_subclass(cls)

    return Watched


class _Detached:
    """What one call does with values of the features that are not in the graph: relevance passes them by.

    Truth values may be made of them, and places of entries: what chooses has no slope. ``detach``, ``data``
    and ``no_grad`` take more out of the graph, and a number made of it must not come back.

    Args:
        watched: the class of the tensors.
        func: what is called.
        args: its arguments.
        kwargs: its named arguments.

    Raises:
        NotApplicableError: if a value leaves torch as a number, or is changed in place out of the graph.
    """

    def __init__(self, watched: Any, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._watched = watched
        name = getattr(func, "__name__", "")
        self._name = name.strip("_").split(".")[0]
        values = [*args, *kwargs.values()]
        if self._name in _FIRST_GIVES_NO_VALUES:
            values = values[1:]
        elif self._name in _FIRST_GIVES_THE_VALUES:
            values = values[:1]
        given = [it for it in _watched_in(values, watched) if it.dtype != torch.bool]
        self._detached = [it for it in given if it.is_detached]
        self._in_graph = [it for it in given if it.requires_grad and not it.is_detached]
        if name in ("item", "__float__") and any(it.is_floating_point() for it in given):
            raise _out_of_graph(self._name)
        kept = torch.is_grad_enabled() or not self._in_graph
        if (self._detached or not kept) and _changes_in_place(func, args, kwargs):
            raise _out_of_graph(self._name)

    def mark(self, result: Any) -> None:
        """Note which results are not in the graph.

        Raises:
            NotApplicableError: if one is that was made of values that are not.
        """
        chooses = self._name in _TAKE_PLACES and not any(it.is_floating_point() for it in self._detached)
        for tensor in _watched_in([result], self._watched):
            if tensor.dtype == torch.bool:
                continue
            if self._detached and self._in_graph and not chooses:
                raise _out_of_graph(self._name)
            lost = self._in_graph and not tensor.requires_grad
            if lost or (self._detached and not self._in_graph):
                tensor.is_detached = True


def _out_of_graph(name: str) -> NotApplicableError:
    return NotApplicableError(
        f"has no rule for values of the features that leave the graph and come back (detached, without "
        f"gradients, or as numbers; at {name!r}) in a classifier"
    )


def _changes_in_place(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    if name in ("__setitem__", "detach_") or "out" in kwargs:
        return True
    return _is_in_place(func, _KINDS.get(name.strip("_"), "joint"), args, dict(kwargs))


def _watched_in(value: Any, watched: Any) -> Iterator[Any]:
    if isinstance(value, watched):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _watched_in(part, watched)


@dataclass(frozen=True)
class _Seen:
    """A call that was seen: as a function of those arguments that depend on the features, and these."""

    call: Callable[..., Tensor]
    inputs: list[Tensor]
    arguments: tuple[object, ...]


def _see(watched: type[Tensor], func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> _Seen:
    inputs: list[Tensor] = []

    def open_up(value: Any) -> Any:
        if isinstance(value, watched):
            plain = value.as_subclass(Tensor)
            if not plain.requires_grad:  # made from the features' shape or type, not from their values
                return plain
            inputs.append(plain)
            return _Place(len(inputs) - 1)
        if type(value) in (list, tuple):
            return type(value)(open_up(part) for part in value)
        return value

    opened = [open_up(value) for value in args]
    named = {key: open_up(value) for key, value in kwargs.items()}

    def call(*values: Tensor) -> Tensor:
        return func(*_fill(opened, values), **{key: _fill(value, values) for key, value in named.items()})

    return _Seen(call, inputs, tuple(None if isinstance(value, _Place) else value for value in opened))


@dataclass(frozen=True)
class _Place:
    """Where an input goes among the arguments of a call."""

    number: int


def _fill(value: Any, inputs: Sequence[Tensor]) -> Any:
    if isinstance(value, _Place):
        return inputs[value.number]
    if type(value) in (list, tuple):
        return type(value)(_fill(part, inputs) for part in value)
    return value


def _jump(
    func: Any, compare: Callable[..., Tensor], rest: Sequence[Any], kwargs: dict[str, Any], value: Tensor
) -> Tensor:
    return func(compare(value), *rest, **kwargs)


def _on_copy(call: Callable[..., Tensor], first: Tensor, *others: Tensor) -> Tensor:
    return call(first.clone(), *others)


def _kind(name: str, seen: _Seen, *, linear: bool) -> Kind | None:
    """Return the kind of an operation, or None where its derivative is to be kept."""
    kind = _KINDS[name]
    if not seen.inputs:
        return None
    if len(seen.inputs) > 1:
        return "joint" if kind == "elementwise" else kind
    if kind == "product":
        return "linear" if linear and name in _LINEAR else None
    if name in _DIVISIONS:
        return None if seen.arguments[0] is None else "elementwise"  # the dividend, or the divisor
    return kind


def _is_in_place(func: Any, kind: Kind, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    # Activations take "inplace" by position too, and no other truth value.
    by_option = kwargs.get("inplace", False) or (kind == "elementwise" and any(arg is True for arg in args))
    return by_option or name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))
