"""Shapley values of whole modalities: of a model's variance, of its probability, of its loss."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from torch import Tensor

from methods import modality_games
from methods.absent_modalities import Absence, AbsentModalities, Output, bits, needed_labels, scores_of
from methods.api import Attribution, FusionModel, Method
from methods.evaluation import targets
from methods.modality_games import FEW_COALITIONS, FEW_EXACT
from synthetic.types import Samples

Loss = Literal["cross_entropy", "zero_one"]
Pooling = Literal["sum", "patient"]


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
    """Return each modality's Shapley effect: its part of the variance of the model's output.

    v(S) = Var(E[f(x) | x_S]) / Var f(x), where f are the logits less their mean (half the margin of two
    classes); Owen 2014. Up to ten modalities every coalition counts; for more, random orders and their
    reversals. It needs no labels. The values sum to 1.

    Args:
        model: the model.
        samples: the samples to explain, and the partners that absent modalities come from.
        rng: source of partners and orders.
        output: f: ``margin`` or ``probability``.
        absence: ``conditional`` draws absent modalities given the present ones, which Shapley effects are
            defined by; ``marginal`` does not.
        n_draws: partners a sample; None for as many as a million model calls pay for, 2 to 64.
        n_coalitions: coalitions a sample, with more than ten modalities; None for 512, or as many as are
            needed.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: see `AbsentModalities`.
    """
    game = _game(model, samples, rng, absence, n_draws, n_coalitions)

    played = modality_games.play_variance(
        game, output, rng, n_players=len(model.modalities), n_coalitions=n_coalitions
    )
    total = played.whole.mean()
    if not total > 0:  # the model always answers alike
        return Attribution(dict.fromkeys(model.modalities, 0.0))
    return _attribution(model, played.shapley.mean(0) / total, played.shares_standard_error(played.shapley))


def probability(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    output: Output = "probability",
    absence: Absence = "marginal",
    pooling: Pooling = "sum",
    n_draws: int | None = None,
    n_coalitions: int | None = None,
) -> Attribution:
    """Return the mean over samples of each modality's |Shapley value| of the target class's probability.

    The interventional Shapley values of Lundberg & Lee (2017) with whole modalities as players. MM-SHAP
    (Parcalabescu & Frank 2023) has tokens and patches as players, and takes the mean over samples of each
    one's shares: ``pooling=patient``. The target is class 1 of two, else the predicted one. It needs no
    labels.

    Args:
        model: the model.
        samples: the samples to explain, and the partners that absent modalities come from.
        rng: source of partners and orders.
        output: ``probability``, or ``margin``: the class's logit less the mean of all.
        absence: ``marginal`` or ``conditional``.
        pooling: ``sum`` pools the sizes of all patients, ``patient`` their shares. A patient all of whose
            values are 0 has no shares and does not count.
        n_draws: partners a sample; None for as many as a million model calls pay for, 2 to 64.
        n_coalitions: coalitions a sample, with more than ten modalities; None for 512, or as many as are
            needed.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: see `AbsentModalities`.
    """
    if pooling not in get_args(Pooling):
        raise ValueError(
            f"The 'pooling' of modality SHAP must be one of {', '.join(get_args(Pooling))}. Got {pooling!r}."
        )
    game = _game(model, samples, rng, absence, n_draws, n_coalitions)
    target = targets(game.logits)

    def value(present: np.ndarray, answers: Tensor, rows: slice) -> Tensor:
        del present
        mean = scores_of(answers, output).mean(1)
        return mean.gather(1, target[rows, None])[:, 0]

    played = modality_games.play(game, value, rng, n_players=len(model.modalities), n_coalitions=n_coalitions)
    sizes = np.abs(played.shapley)
    if pooling == "patient":
        total = sizes.sum(1, keepdims=True)
        sizes = sizes / np.where(total > 0, total, 1)
    return _attribution(model, sizes.mean(0), played.standard_error(sizes))


def loss(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    measure: Loss = "cross_entropy",
    absence: Absence = "conditional",
    n_draws: int | None = None,
    n_coalitions: int | None = None,
) -> Attribution:
    """Return each modality's Shapley value of what the model's loss falls by, in bits or in accuracy.

    v(S) = E[loss of the mean prediction] − E[loss of E[p(x) | x_S]]: SAGE (Covert, Lundberg & Lee 2020) with
    whole modalities as players. With ``zero_one`` the value is accuracy, as in SHAPE (Hu, Li & Zhou 2022),
    which puts zeros for absent modalities.

    Args:
        model: the model.
        samples: with labels; also the partners that absent modalities come from.
        rng: source of partners and orders.
        measure: ``cross_entropy`` in bits, or ``zero_one``.
        absence: ``conditional`` draws absent modalities given the present ones, which SAGE is defined by;
            ``marginal`` does not, as in SAGE's usual implementation.
        n_draws: partners a sample; None for as many as a million model calls pay for, 2 to 64.
        n_coalitions: coalitions a sample, with more than five modalities; None for 32, or as many as are
            needed.

    Raises:
        ValueError: if an option is out of range or there are no labels.
        NotApplicableError: see `AbsentModalities`.
    """
    if measure not in get_args(Loss):
        raise ValueError(
            f"The 'measure' of the loss must be one of {', '.join(get_args(Loss))}. Got {measure!r}."
        )
    labels = needed_labels(samples)
    n_players = len(model.modalities)
    if n_coalitions is None:
        n_coalitions = max(FEW_COALITIONS, 2 * (n_players - 1))
    if n_draws is None:
        n_draws = modality_games.draws(len(samples), n_players, n_coalitions, largest_exact=FEW_EXACT)
    game = _game(model, samples, rng, absence, n_draws, n_coalitions)

    def losses(predicted: Tensor, rows: slice) -> Tensor:
        if measure == "cross_entropy":
            return bits(predicted, labels[rows])
        return (predicted.argmax(1) != labels[rows]).double()

    def value(present: np.ndarray, answers: Tensor, rows: slice) -> Tensor:
        del present
        predicted = scores_of(answers, "probability")
        n_draws = predicted.shape[1]
        found = losses(predicted.mean(1), rows)
        if n_draws == 1 or measure == "zero_one":
            return -found
        # The loss of a mean of few draws is too large by half its variance; the jackknife of two halves
        # takes that out.
        middle = n_draws // 2
        parts = [losses(half.mean(1), rows) for half in (predicted[:, :middle], predicted[:, -middle:])]
        return -(2 * found - (parts[0] + parts[1]) / 2)

    played = modality_games.play(
        game,
        value,
        rng,
        n_players=n_players,
        n_coalitions=n_coalitions,
        largest_exact=FEW_EXACT,
    )
    return _attribution(model, played.shapley.mean(0), played.standard_error(played.shapley))


def _game(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    absence: Absence,
    n_draws: int | None,
    n_coalitions: int | None,
) -> AbsentModalities:
    if n_draws is None:
        n_draws = modality_games.draws(len(samples), len(model.modalities), n_coalitions)
    return AbsentModalities(model, samples, rng, absence=absence, n_draws=n_draws)


def _attribution(model: FusionModel, values: np.ndarray, error: np.ndarray | None) -> Attribution:
    def of(numbers: np.ndarray) -> dict[str, float]:
        return dict(zip(model.modalities, numbers.tolist(), strict=True))

    return Attribution(of(values), standard_error={} if error is None else of(error))


EFFECTS = Method(
    name="modality_shapley",
    function=variance,
    estimand="shapley",
    citation="Owen 2014, Sobol' indices and Shapley value; Song, Nelson & Staum 2016",
)
SHAP = Method(
    name="modality_shap",
    function=probability,
    estimand="permutation",
    citation="Parcalabescu & Frank 2023, MM-SHAP; Lundberg & Lee 2017",
    stated=("pooling",),
)
SAGE = Method(
    name="modality_sage",
    function=loss,
    estimand="sage",
    citation="Covert, Lundberg & Lee 2020, Understanding global feature contributions with additive "
    "importance measures; Hu, Li & Zhou 2022, SHAPE",
    needs_labels=True,
)
