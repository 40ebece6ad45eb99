"""Layer-wise relevance propagation through the classifier after fusion (Bach et al. 2015)."""

from __future__ import annotations

from typing import Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor

from methods import evaluation
from methods.api import FusionModel, Method, NotApplicableError
from methods.backward_rules import Backward, Operation, derivative, ruled_logits, secant
from methods.evaluation import fusion_features
from synthetic.types import Samples

LayerRule = Literal["epsilon", "gamma"]


def relevance(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    rule: LayerRule = "epsilon",
    epsilon: float = 1e-6,
    gamma: float = 0.25,
) -> Tensor:
    """Return the relevance ``[n, d]`` of the fusion features for the target class.

    Relevance starts as the log-odds of the target class, ∂log-odds/∂logit · logit at each logit: a
    probability has no zero to count from, and the score before softmax is what the paper decomposes. It goes
    back layer by layer, R_i = Σ_j x_i w_ij / (z_j + ε · sign z_j) · R_j, and passes activations unchanged.
    Biases keep their share. What an activation gives at 0 counts as a bias, and two activations that are
    multiplied get half of the relevance each.

    With a small ε and ReLU this is the gradient of the log-odds times the input (Shrikumar et al. 2016;
    Ancona et al. 2018). The rule ``gamma`` is another method: it favours what agrees in sign with a layer's
    output (Montavon et al. 2019, written for inputs of either sign as by Andéol et al. 2021).

    Args:
        model: the model.
        samples: the samples to explain.
        rng: not used.
        rule: ``epsilon`` or ``gamma``.
        epsilon: absorbs relevance where a layer's output is small; in either rule.
        gamma: how much more counts what agrees in sign.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: if the operations of the classifier cannot be followed, or one has no rule.
    """
    del rng  # nothing here is random
    if rule not in get_args(LayerRule):
        raise ValueError(f"The 'rule' of LRP must be one of {', '.join(get_args(LayerRule))}. Got {rule!r}.")
    if not (epsilon >= 0 and gamma >= 0):
        raise ValueError(
            f"The 'epsilon' and 'gamma' of LRP must not be negative. Got epsilon={epsilon}, gamma={gamma}."
        )
    features, target = fusion_features(model, samples)

    def way_back(operation: Operation) -> Backward:
        if operation.kind == "linear":
            return _linear(operation, epsilon, gamma if rule == "gamma" else 0.0)
        if operation.kind == "joint":
            raise NotApplicableError(f"has no rule for {operation.name!r} in a classifier")
        zeros = [torch.zeros_like(value) for value in operation.inputs]
        with torch.no_grad():
            at_zero = operation.call(*zeros)
        if not bool(at_zero.isfinite().all()):
            raise NotApplicableError(f"counts from 0, where {operation.name!r} has no value")
        return secant(operation, zeros, at_zero)

    parts = []
    for rows in evaluation.chunks(len(features), evaluation.CLASSIFY_ROWS):
        leaf = features[rows].clone().requires_grad_()
        logits = ruled_logits(model, leaf, way_back, linear=True)
        slopes = torch.autograd.grad(logits, leaf, _log_odds_slopes(logits.detach(), target[rows]))[0]
        parts.append(features[rows] * slopes)
    return torch.cat(parts)


def _log_odds_slopes(logits: Tensor, target: Tensor) -> Tensor:
    """Return ∂(z_target − log Σ exp z_other)/∂z ``[n, classes]``."""
    is_target = torch.nn.functional.one_hot(target, logits.shape[1]).bool()
    return is_target.to(logits) - logits.masked_fill(is_target, -torch.inf).softmax(1)


def _linear(operation: Operation, epsilon: float, gamma: float) -> Backward:
    """Return the rule of a layer with weights, for g = R / activation in place of relevances R."""
    output = operation.output

    def stabilised(value: Tensor) -> Tensor:
        sign = torch.where(value < 0, -1.0, 1.0)
        return value + torch.where(value == 0, torch.finfo(value.dtype).tiny, 0.0) + epsilon * sign

    if gamma == 0:
        return lambda gradient: derivative(
            operation, operation.inputs, gradient * output / stabilised(output)
        )

    value = operation.inputs[0]
    weight, bias = _weights(operation)
    # Towards an output's own sign: inputs and weights that push it there count more.
    up, down = weight + gamma * weight.clamp(min=0), weight + gamma * weight.clamp(max=0)
    positive, negative = value.clamp(min=0), value.clamp(max=0)
    to_plus = positive @ up.T + negative @ down.T + bias + gamma * bias.clamp(min=0)
    to_minus = positive @ down.T + negative @ up.T + bias + gamma * bias.clamp(max=0)

    def backward(gradient: Tensor) -> list[Tensor]:
        relevance = (gradient * output).reshape(to_plus.shape)
        is_plus = (output >= 0).reshape(to_plus.shape)
        plus = torch.where(is_plus, relevance / stabilised(to_plus), 0)
        minus = torch.where(is_plus, 0, relevance / stabilised(to_minus))
        return [torch.where(value >= 0, plus @ up + minus @ down, plus @ down + minus @ up)]

    return backward


def _weights(operation: Operation) -> tuple[Tensor, Tensor]:
    """Return the weights ``[outputs, inputs]`` and biases ``[outputs]`` of a layer.

    Raises:
        NotApplicableError: if the weights do not stand where those of a layer do.
    """
    value, weight, bias, *_ = (*operation.arguments, None, None)
    known = operation.name in ("linear", "matmul", "mm", "mv")
    if value is not None or not known or not isinstance(weight, Tensor) or weight.ndim > 2:
        raise NotApplicableError(f"has no gamma rule for this use of {operation.name!r}")
    if operation.name != "linear":
        weight = weight[:, None] if weight.ndim == 1 else weight
        weight = weight.T
    weight = weight.detach()
    return weight, weight.new_zeros(len(weight)) if bias is None else cast("Tensor", bias).detach()


METHOD = Method(
    name="lrp",
    function=relevance,
    estimand="shapley",
    citation="Bach et al. 2015, On pixel-wise explanations for non-linear classifier decisions by layer-wise "
    "relevance propagation",
)
