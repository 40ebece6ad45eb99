"""Shapley interactions between modalities: of a model's variance, and of its probability (InterSHAP)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from methods import modality_games
from methods.absent_modalities import Absence, AbsentModalities, Output, scores_of
from methods.api import Attribution, FusionModel, Method, NotApplicableError
from methods.modality_games import LARGEST_EXACT, halves, pairs
from synthetic.types import Samples


def variance(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    output: Output = "margin",
    absence: Absence = "conditional",
    n_draws: int | None = None,
    n_coalitions: int | None = None,
) -> Attribution:
    """Return the pairwise Shapley interactions of the variance of the model's output.

    The game of `modality_shapley`, v(S) = Var(E[f(x) | x_S]) / Var f(x), and its interaction index (Grabisch
    & Roubens 1999): positive where two modalities explain more together than each alone, negative where they
    explain the same. A modality's value is half the sum of |I| over its pairs. ``summary["synergy"]`` is
    1 − Σ v({i}), what no modality explains alone, less what several explain alike. It needs no labels.

    Args:
        model: the model.
        samples: the samples to explain, and the partners that absent modalities come from.
        rng: source of partners and orders.
        output: f: ``margin`` or ``probability``.
        absence: ``conditional`` draws absent modalities given the present ones, ``marginal`` does not.
        n_draws: partners a sample; None for as many as a million model calls pay for, 2 to 64.
        n_coalitions: coalitions a sample, with more than ten modalities; None for 512, or as many as are
            needed.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: with one modality; see also `AbsentModalities`.
    """
    n_players = _n_players(model)
    if n_draws is None:
        n_draws = modality_games.draws(len(samples), n_players, n_coalitions)
    game = AbsentModalities(model, samples, rng, absence=absence, n_draws=n_draws)

    played = modality_games.play_variance(
        game, output, rng, n_players=n_players, n_coalitions=n_coalitions, interactions=True
    )
    total = played.whole.mean()
    if not total > 0:  # the model always answers alike
        return _attribution(model, np.zeros(len(pairs(n_players))), None)
    values = played.interactions.mean(0) / total
    # |I| moves with I, up or down.
    moves = halves(played.interactions * np.sign(values), n_players)
    summary = {} if played.alone is None else {"synergy": float(1 - played.alone.mean() / total)}
    return _attribution(model, values, played.shares_standard_error(moves), summary=summary)


def intershap(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    output: Output = "probability",
    absence: Absence = "marginal",
    n_draws: int | None = None,
) -> Attribution:
    """Return InterSHAP: the pairwise Shapley interactions of the probability of the predicted class.

    As published (Wenderoth et al. 2024): absent modalities are those of another sample, all of them of the
    same one, and v(S) is the mean over such samples; the class is the one that the model names with all
    modalities there, so that a sample's values do not cancel against those of the other class.

    - A pair's value is the mean over the samples of I_ij, with its sign (their matrix holds half of it at
      i, j and half at j, i).
    - ``summary["synergy"]`` is their score of a data set, Σ|mean I_ij| / (Σ|mean I_ij| + Σ|mean own_i|),
      with own_i = φ_i − ½ Σ_j I_ij. It is meant to be the share of the behaviour that rests on interactions,
      0 for a sum and 1 for an exclusive or, and is scored against the truth that says so, the share of
      Var F that no modality explains alone. It does not converge to that: a probability of a sum has
      interactions (1/3 for a sharp threshold of two equal Gaussian parts, where the truth is 0), and between
      0 and 1 it is a ratio of means of values, not of variances.
    - A modality's value, of which they have none, is half the sum over its pairs of the mean of |I_ij|.

    Args:
        model: the model.
        samples: the samples to explain, and the partners that absent modalities come from.
        rng: source of partners.
        output: ``probability``, or ``margin``: the class's logit less the mean of all.
        absence: ``marginal`` or ``conditional``.
        n_draws: partners a sample; None for as many as a million model calls pay for, 2 to 64.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: with one modality, or more than ten: the mean of absolute values needs every
            sample's own, and random orders leave more error in it than signal.
    """
    n_players = _n_players(model)
    if n_players > LARGEST_EXACT:
        raise NotApplicableError(f"lists 2^n coalitions a sample: at most {LARGEST_EXACT} modalities")
    if n_draws is None:
        n_draws = modality_games.draws(len(samples), n_players)
    game = AbsentModalities(model, samples, rng, absence=absence, n_draws=n_draws)
    predicted = game.logits.argmax(1)

    def value(present: np.ndarray, answers: Tensor, rows: slice) -> Tensor:
        del present
        return scores_of(answers, output).mean(1).gather(1, predicted[rows, None])[:, 0]

    played = modality_games.play(game, value, rng, n_players=n_players, interactions=True)
    sizes = halves(np.abs(played.interactions), n_players)
    values = played.interactions.mean(0)
    own = played.shapley.mean(0) - halves(values, n_players)
    joint, total = np.abs(values).sum(), np.abs(values).sum() + np.abs(own).sum()
    return _attribution(
        model,
        values,
        played.standard_error(sizes),
        modalities=sizes.mean(0),
        summary={"synergy": float(joint / total)} if total > 0 else {},
    )


def _n_players(model: FusionModel) -> int:
    if len(model.modalities) < 2:
        raise NotApplicableError("needs two modalities: one has nothing to interact with")
    return len(model.modalities)


def _attribution(
    model: FusionModel,
    values: np.ndarray,
    error: np.ndarray | None,
    *,
    modalities: np.ndarray | None = None,
    summary: Mapping[str, float] | None = None,
) -> Attribution:
    names = model.modalities
    parts = halves(np.abs(values), len(names)) if modalities is None else modalities
    return Attribution(
        dict(zip(names, parts.tolist(), strict=True)),
        interactions={
            (names[i], names[j]): float(value)
            for (i, j), value in zip(pairs(len(names)), values, strict=True)
        },
        standard_error={} if error is None else dict(zip(names, error.tolist(), strict=True)),
        summary=summary or {},
    )


METHOD = Method(
    name="modality_interactions",
    function=variance,
    estimand="interaction",
    citation="Grabisch & Roubens 1999, An axiomatic approach to the concept of interaction; Owen 2014",
)
INTERSHAP = Method(
    name="intershap",
    function=intershap,
    estimand="interaction",
    version="2",
    citation="Wenderoth et al. 2024, Measuring cross-modal interactions in multimodal models, "
    "arXiv:2412.15828",
)
