"""Ablation of whole modalities: how the model's answers change, or what is left open, without one."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from methods.absent_modalities import (
    Absence,
    AbsentModalities,
    Output,
    bits,
    logits,
    needed_labels,
    scores_of,
)
from methods.api import Attribution, FusionModel, Method, SeparableModel
from methods.evaluation import encode
from methods.modality_games import of_both, shares_of_variance
from synthetic.types import Samples

Replacement = Literal["zero", "mean", "random"]
Measure = Literal["decision", "probability"]


def change(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    measure: Measure = "decision",
    replacement: Replacement = "random",
    n_draws: int = 32,
) -> Attribution:
    """Return how much the model's answers change when one modality is replaced as a whole.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: source of random replacements.
        measure: ``decision``: share of samples whose likeliest class changes; ``probability``: mean over
            samples of ½ Σ_class |p − p without it|, for two classes |Δp|.
        replacement: what the modality's input becomes: 0, its mean over the samples, or that of a randomly
            chosen other sample.
        n_draws: random replacements a sample.

    Raises:
        ValueError: if an option is out of range.
    """
    _check("measure", measure, get_args(Measure))
    original, replaced, partners = _answers(model, samples, rng, replacement, n_draws)

    def of(answers: Tensor) -> Tensor:
        """Return the change of each sample and copy ``[n, copies]``."""
        if measure == "decision":
            return (answers.argmax(2) != original.argmax(1)[:, None]).double()
        before, after = original.double().softmax(1)[:, None], answers.double().softmax(2)
        return (after - before).abs().sum(2) / 2

    return _attribution({name: of(answers) for name, answers in replaced.items()}, partners)


def variance(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    output: Output = "margin",
    absence: Absence = "conditional",
    n_draws: int = 32,
) -> Attribution:
    """Return each modality's total effect: the variance of the model's output that the others leave open.

    E[Var(f(x) | x without m)] / Var f(x), Homma & Saltelli 1996, as half the mean square of what f changes by
    when m alone is drawn anew (Jansen 1999). It needs no labels.

    Args:
        model: the model.
        samples: the samples to explain, and the partners that m is drawn from.
        rng: source of the partners.
        output: f: ``margin`` (logits less their mean) or ``probability``.
        absence: ``conditional`` draws m given the others, which total effects are defined by; ``marginal``
            does not.
        n_draws: partners a sample.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: see `AbsentModalities`.
    """
    game = AbsentModalities(model, samples, rng, absence=absence, n_draws=n_draws)
    own = scores_of(game.logits, output)

    def of(present: np.ndarray) -> Tensor:
        """Return half the squared change of each pair ``[n, draws]``."""
        return ((scores_of(game.answers(present), output) - own[:, None]) ** 2).sum(2) / 2

    rows = ~np.eye(len(model.modalities), dtype=bool)
    pairs = {name: of(row) for name, row in zip(model.modalities, rows, strict=True)}
    found, error = shares_of_variance(pairs, own, game.partners)
    return Attribution(found, standard_error=error)


def loss(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    replacement: Replacement = "random",
    n_draws: int = 32,
) -> Attribution:
    """Return how much the model's cross-entropy rises, in bits, when one modality is replaced as a whole.

    Permutation importance with the loss in place of the error rate (Fisher, Rudin & Dominici 2019).

    Args:
        model: the model.
        samples: with labels.
        rng: source of random replacements.
        replacement: what the modality's input becomes: 0, its mean over the samples, or that of a randomly
            chosen other sample.
        n_draws: random replacements a sample.

    Raises:
        ValueError: if an option is out of range or there are no labels.
    """
    labels = needed_labels(samples)
    original, replaced, partners = _answers(model, samples, rng, replacement, n_draws)
    before = bits(original.double().softmax(1), labels)

    def of(answers: Tensor) -> Tensor:
        n, n_copies, n_classes = answers.shape
        probability = answers.double().softmax(2).reshape(n * n_copies, n_classes)
        after = bits(probability, labels.repeat_interleave(n_copies)).view(n, n_copies)
        return after - before[:, None]

    return _attribution({name: of(answers) for name, answers in replaced.items()}, partners)


def _answers(
    model: FusionModel, samples: Samples, rng: np.random.Generator, replacement: Replacement, n_draws: int
) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
    """Return logits ``[n, classes]``, with each modality replaced ``[n, copies, classes]``, and partners."""
    _check("replacement", replacement, get_args(Replacement))
    names = list(model.modalities)
    if replacement == "random":
        game = AbsentModalities(model, samples, rng, n_draws=n_draws)
        present = ~np.eye(len(names), dtype=bool)
        replaced = {name: game.answers(row) for name, row in zip(names, present, strict=True)}
        return game.logits, replaced, game.partners
    features = encode(model, samples.inputs)
    replaced = {
        name: logits(model, _with_constant(model, samples, features, name, replacement))[:, None]
        for name in names
    }
    return logits(model, features), replaced, None


@torch.no_grad()
def _with_constant(
    model: FusionModel, samples: Samples, features: Tensor, name: str, replacement: Replacement
) -> Tensor:
    """Return the fusion features ``[n, d]`` with one modality's input the same for every sample."""
    value = samples.inputs[name]
    constant = torch.zeros_like(value[:1]) if replacement == "zero" else value.mean(0, keepdim=True)
    if not isinstance(model, SeparableModel):
        return encode(model, {**samples.inputs, name: constant.expand_as(value)})
    changed = features.clone()
    changed[:, model.groups[name]] = model.encode_modality(name, constant)
    return changed


def _check(option: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise ValueError(f"The {option!r} of ablation must be one of {', '.join(known)}. Got {given!r}.")


def _attribution(changes: dict[str, Tensor], partners: Tensor | None) -> Attribution:
    """Return the means of ``[n, copies]`` and their standard errors, with what a partner has in common."""
    error = {}
    for name, part in changes.items():
        values = part.numpy()
        own = values.mean(1) if partners is None else 2 * of_both(values[None], partners.numpy())[0]
        error[name] = float(own.std(ddof=1) / np.sqrt(len(own)))
    return Attribution({name: float(part.mean()) for name, part in changes.items()}, standard_error=error)


METHOD = Method(
    name="ablation",
    function=change,
    estimand="permutation",
    citation="Breiman 2001, Random forests; Fisher, Rudin & Dominici 2019, All models are wrong, but many "
    "are useful",
)
VARIANCE = Method(
    name="ablation_variance",
    function=variance,
    estimand="total_effect",
    citation="Homma & Saltelli 1996, Importance measures in global sensitivity analysis of nonlinear models; "
    "Jansen 1999",
)
LOSS = Method(
    name="ablation_loss",
    function=loss,
    estimand="permutation",
    citation="Fisher, Rudin & Dominici 2019, All models are wrong, but many are useful",
    needs_labels=True,
)
