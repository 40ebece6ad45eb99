"""DeepLIFT at the fusion layer, with one reference or with many (Shrikumar, Greenside & Kundaje 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from methods import evaluation
from methods.api import FusionModel, Method, NotApplicableError
from methods.backward_rules import Backward, Operation, ruled_logits, secant
from methods.completeness import TOLERANCE, missed, rounding_of
from methods.evaluation import fusion_features
from methods.references import Reference, reference_vector
from synthetic.types import Samples

Output = Literal["probability", "log_odds"]

# Points of the sum over the way of the other classes' logits.
_POINTS = 32
# What of a change of logits may be rounding, as a share of the largest.
_NOISE = 1e-5


def deeplift(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    reference: Reference = "mean",
    output: Output = "probability",
) -> Tensor:
    """Return DeepLIFT contributions ``[n, d]``: multipliers from a reference, times the change from it.

    Differences from the reference take the place of derivatives in the chain rule: linear layers keep their
    weights, and a function of one variable has the multiplier Δoutput / Δinput (the rescale rule, section
    3.5.2). Where two activations are multiplied, each gets half of the joint change; softmax, normalisation
    and attention inside the classifier get their derivative averaged over the line from the reference, which
    is the rescale rule
    for one variable. A sample's contributions add up to the change from the reference (section 3.1).

    Args:
        model: the model.
        samples: the samples to explain.
        rng: not used.
        reference: the ``mean`` of the samples' fusion features, or ``zero``.
        output: what is explained: the ``probability`` of the target class, or its ``log_odds``, which do not
            saturate (section 3.6).

    Raises:
        ValueError: if an option is none of these.
        NotApplicableError: if the operations of the classifier cannot be followed.
    """
    del rng  # nothing here is random
    _check_output(output)
    features, target = fusion_features(model, samples)
    start = reference_vector(features, reference)
    return _mean_contributions(model, features, target, start[None], output)


def deeplift_shap(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    n_references: int = 100,
    output: Output = "probability",
) -> Tensor:
    """Return the mean of DeepLIFT contributions ``[n, d]`` over references drawn from the samples.

    So Lundberg & Lee (2017, section 4.2) approximate Shapley values with absent features from other samples.
    All samples have the same references.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: source of the references.
        n_references: how many references, at most; all samples where there are no more.
        output: what is explained, see `deeplift`.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: if the operations of the classifier cannot be followed.
    """
    _check_output(output)
    if n_references < 1:
        raise ValueError(f"The 'n_references' of DeepLIFT SHAP must be at least 1. Got {n_references}.")
    features, target = fusion_features(model, samples)
    n = len(features)
    chosen = rng.choice(n, size=min(n_references, n), replace=False)
    return _mean_contributions(model, features, target, features[torch.from_numpy(np.sort(chosen))], output)


def _check_output(output: Output) -> None:
    if output not in get_args(Output):
        raise ValueError(
            f"The 'output' of DeepLIFT must be one of {', '.join(get_args(Output))}. Got {output!r}."
        )


def _mean_contributions(
    model: FusionModel, features: Tensor, target: Tensor, references: Tensor, output: Output
) -> Tensor:
    """Return contributions ``[n, d]``, averaged over references ``[k, d]``.

    Each reference passes the classifier alone and each sample once; on the way back, which needs no model
    call, samples are compared with one reference after the other.
    """
    passes = [_pass(model, row) for row in references.split(1)]
    parts = []
    for rows in evaluation.chunks(len(features), evaluation.CLASSIFY_ROWS):
        leaf = features[rows].clone().requires_grad_()
        comparison = _Comparison(passes)
        logits = ruled_logits(model, leaf, comparison.rule)
        total = torch.zeros_like(leaf)
        for current in comparison.each():
            top = _top(logits.detach(), current.logits, target[rows])
            multipliers = torch.autograd.grad(logits, leaf, top.multipliers, retain_graph=True)[0]
            contributions = multipliers * (leaf.detach() - current.features)
            _check_sum(contributions, top)
            total += contributions if output == "log_odds" else contributions * top.slope[:, None]
        parts.append(total / len(passes))
    return torch.cat(parts)


@dataclass(frozen=True)
class _Pass:
    """A reference's way through the classifier: its features, its operations in order, and its logits."""

    features: Tensor
    operations: tuple[Operation, ...]
    logits: Tensor


def _pass(model: FusionModel, features: Tensor) -> _Pass:
    operations: list[Operation] = []

    def note(operation: Operation) -> Backward:
        operations.append(operation)
        return lambda _gradient: [None] * len(operation.inputs)  # nobody goes back here

    logits = ruled_logits(model, features.clone().requires_grad_(), note)
    return _Pass(features, tuple(operations), logits.detach())


class _Comparison:
    """Rules for the way back that compare with one of several references.

    Args:
        passes: the references' ways through the same classifier.
    """

    def __init__(self, passes: list[_Pass]) -> None:
        self._passes = passes
        self._current = passes[0]
        self._n_seen = 0

    def each(self) -> Iterator[_Pass]:
        """Yield the references one after the other, and compare with the one that was yielded last."""
        for one in self._passes:
            self._current = one
            yield one

    def rule(self, operation: Operation) -> Backward:
        """Return the rule for the next operation.

        Raises:
            NotApplicableError: if a reference did not pass the same operation.
        """
        place = self._n_seen
        self._n_seen += 1
        for one in self._passes:
            if place >= len(one.operations) or one.operations[place].name != operation.name:
                raise NotApplicableError(
                    "compares samples with a reference, and the classifier takes another way for it "
                    f"(at {operation.name!r}, operation {place + 1})"
                )

        def backward(gradient: Tensor) -> list[Tensor | None]:
            reference = self._current.operations[place]
            return list(secant(operation, reference.inputs, reference.output)(gradient))

        return backward


@dataclass(frozen=True)
class _Top:
    """What stands above the logits, on the way from a reference.

    Attributes:
        multipliers: of the logits, for the log-odds of the target ``[n, classes]``.
        change: of the log-odds ``[n]``.
        slope: change of the probability by that of the log-odds ``[n]``.
        largest: sum of the largest logits in size, with and without the change ``[n]``.
    """

    multipliers: Tensor
    change: Tensor
    slope: Tensor
    largest: Tensor


def _top(logits: Tensor, reference: Tensor, target: Tensor) -> _Top:
    """Return the way from the logits to the output.

    p(target) is the logistic function of the log-odds z_target − log Σ exp(z_other): the rescale rule for the
    one, the derivative averaged over the line for the other, which is exact for two classes.
    """
    kind, n_classes = logits.dtype, logits.shape[1]
    # In double precision: of small logits, log Σ exp is mostly the logarithm of the number of classes.
    logits, reference = logits.double(), reference.double().expand_as(logits)
    is_target = torch.nn.functional.one_hot(target, n_classes).bool()
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS if n_classes > 2 else 1)
    others = torch.zeros_like(logits)
    for node, weight in zip(nodes, weights, strict=True):
        between = torch.lerp(reference, logits, float(node + 1) / 2)
        others += float(weight) / 2 * between.masked_fill(is_target, -torch.inf).softmax(1)
    odds, odds_before = (_log_odds(z, is_target) for z in (logits, reference))
    step = logits - reference
    largest = logits.abs().amax(1) + reference.abs().amax(1)
    change = odds - odds_before
    # Where classes change places abruptly, the sum over the line is a few percent off. What is left goes to
    # those that changed most, such that the weights still sum to 1.
    left = step[is_target] - change - (others * step).sum(1)
    left = torch.where(left.abs() > _NOISE * largest, left, 0.0)
    spread = (step - step.masked_fill(is_target, 0).sum(1, keepdim=True) / max(n_classes - 1, 1)).masked_fill(
        is_target, 0
    )
    others += spread * (left / spread.square().sum(1).clamp_min(torch.finfo(left.dtype).tiny))[:, None]
    logistic = Operation("sigmoid", "elementwise", torch.sigmoid, (odds,), odds.sigmoid())
    (slope,) = secant(logistic, [odds_before], odds_before.sigmoid())(torch.ones_like(odds))
    return _Top((is_target.to(logits) - others).to(kind), change, slope.to(kind), largest)  # pyright: ignore[reportOptionalMemberAccess]


def _log_odds(logits: Tensor, is_target: Tensor) -> Tensor:
    others = logits.masked_fill(is_target, -torch.inf).logsumexp(1)
    return logits[is_target] - others


def _check_sum(contributions: Tensor, top: _Top) -> None:
    """Raise a NotApplicableError unless contributions add up: in log-odds, and in the probability.

    A probability that hardly moves hides what is missed of it, so that both are looked at.
    """
    rounding = rounding_of(contributions, top.largest)
    total = contributions.double().sum(1)
    for slope in (torch.ones_like(top.slope), top.slope):
        share = float(missed(total * slope, top.change * slope, rounding * slope.abs()).max())
        if not share <= TOLERANCE:
            raise NotApplicableError(
                f"its contributions do not add up (they miss {share:.2g} of what they divide): the "
                "classifier holds an operation that it has no rule for"
            )


DEEPLIFT = Method(
    name="deeplift",
    function=deeplift,
    estimand="shapley",
    citation="Shrikumar, Greenside & Kundaje 2017, Learning important features through propagating "
    "activation differences",
)

DEEPLIFT_SHAP = Method(
    name="deeplift_shap",
    function=deeplift_shap,
    estimand="shapley",
    citation="Lundberg & Lee 2017, A unified approach to interpreting model predictions; Shrikumar, "
    "Greenside & Kundaje 2017, Learning important features through propagating activation differences",
)
