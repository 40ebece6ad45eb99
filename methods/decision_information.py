"""What modalities tell of the model's decision, divided among them or each alone.

The share of a model's decisions for a class, when the absent modalities are drawn anew, is the posterior of
that decision given the present ones. So what they tell of it is found without labels, and however soft or
sharp the model's probabilities are. A model that is nearly always right decides as the label says.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods import modality_games
from methods.absent_modalities import Absence, AbsentModalities
from methods.api import Attribution, FusionModel, Method
from methods.modality_games import FEW_COALITIONS, FEW_EXACT
from synthetic.types import Samples

_FEWEST_DRAWS, _MOST_DRAWS = 32, 256
_N_SPLITS = 128


def divided(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    absence: Absence = "conditional",
    n_draws: int | None = None,
    n_coalitions: int | None = None,
) -> Attribution:
    """Return Shapley values of the information about the model's decision, in bits.

    v(S) = I(decision; x_S): SAGE's game (Covert, Lundberg & Lee 2020) with the model's decision in place of
    the label. Up to five modalities every coalition counts; for more, random orders and their reversals. It
    needs no labels.

    Args:
        model: the model.
        samples: the samples to explain, and the partners that absent modalities come from.
        rng: source of partners and orders.
        absence: ``conditional`` draws absent modalities given the present ones, ``marginal`` does not.
        n_draws: partners a sample; None for as many as a million model calls pay for, 2 to 64.
        n_coalitions: coalitions a sample, with more than five modalities; None for 32, or one order and its
            reversal if that is more.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: see `AbsentModalities`.
    """
    n_players = len(model.modalities)
    if n_coalitions is None:
        n_coalitions = max(FEW_COALITIONS, 2 * (n_players - 1))
    if n_draws is None:
        n_draws = modality_games.draws(len(samples), n_players, n_coalitions, largest_exact=FEW_EXACT)
    game = AbsentModalities(model, samples, rng, absence=absence, n_draws=n_draws)

    def value(present: np.ndarray, answers: Tensor, rows: slice) -> Tensor:
        del present, rows
        return -entropy(_counts(answers))

    played = modality_games.play(
        game,
        value,
        rng,
        n_players=n_players,
        n_coalitions=n_coalitions,
        largest_exact=FEW_EXACT,
    )
    return _attribution(model, played.shapley.mean(0), played.standard_error(played.shapley))


def alone(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    absence: Absence = "conditional",
    n_draws: int | None = None,
) -> Attribution:
    """Return what each modality alone tells of the model's decision, in bits: I(decision; x_m).

    Args:
        model: the model.
        samples: the samples to explain, and the partners that the other modalities come from.
        rng: source of the partners.
        absence: ``conditional`` draws the others given this one, ``marginal`` does not.
        n_draws: partners a sample; None for as many as a million model calls pay for, 32 to 256.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: see `AbsentModalities`.
    """
    game = _game(model, samples, rng, absence, n_draws)
    prior = entropy(_counts(game.logits[None]))
    found = [prior - entropy(_counts(game.answers(present))) for present in _each_alone(model)]
    return _of_samples(model, found)


def accuracy(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    absence: Absence = "conditional",
    n_draws: int | None = None,
) -> Attribution:
    """Return how much more often each modality alone tells the model's decision than its commonest one does.

    Half of the draws choose a class and the other half judge it, since those that chose would flatter it; the
    mean of many random divisions.

    Args:
        model: the model.
        samples: the samples to explain, and the partners that the other modalities come from.
        rng: source of the partners.
        absence: ``conditional`` draws the others given this one, ``marginal`` does not.
        n_draws: partners a sample; None for as many as a million model calls pay for, 32 to 256.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: see `AbsentModalities`.
    """
    game = _game(model, samples, rng, absence, n_draws)
    commonest = _counts(game.logits[None])[0].argmax()

    def of(present: np.ndarray) -> Tensor:
        """Return each sample's gain over the commonest class ``[n]``."""
        decisions = _decisions(game.answers(present))
        n_draws = decisions.shape[1]
        if n_draws == 1:  # all modalities are there, or the only other sample has the others
            counts = decisions.sum(1)
            return counts.amax(1) - counts[:, commonest]
        order = rng.random((_N_SPLITS, n_draws)).argsort(axis=1)
        choose = torch.from_numpy(order < n_draws // 2).double()
        choosing = torch.einsum("ndc,sd->nsc", decisions, choose)
        judging = decisions.sum(1, keepdim=True) - choosing
        right = judging.gather(2, choosing.argmax(2, keepdim=True))[:, :, 0]
        return ((right - judging[:, :, commonest]) / (n_draws - n_draws // 2)).mean(1)

    return _of_samples(model, [of(present) for present in _each_alone(model)])


def entropy(counts: Tensor) -> Tensor:
    """Return the entropy in bits ``[n]`` of the law behind counts ``[n, classes]``, by the jackknife.

    The entropy of shares is too small by about (classes − 1) / (2 · draws) nats; leaving out one draw at a
    time tells by how much (Zahl 1977).
    """
    n_draws = counts.sum(1)
    found = _plain_entropy(counts)
    if not bool((n_draws > 1).all()):
        return found
    left_out = torch.zeros_like(found)
    for column in range(counts.shape[1]):
        fewer = counts.clone()
        fewer[:, column] -= 1
        left_out += counts[:, column] * _plain_entropy(fewer.clamp_min(0))
    return n_draws * found - (n_draws - 1) / n_draws * left_out


def _plain_entropy(counts: Tensor) -> Tensor:
    shares = counts / counts.sum(1, keepdim=True)
    return torch.special.entr(shares).sum(1) / np.log(2)


def _counts(answers: Tensor) -> Tensor:
    """Return how often each class is the likeliest ``[n, classes]`` in logits ``[n, draws, classes]``."""
    return _decisions(answers).sum(1)


def _decisions(answers: Tensor) -> Tensor:
    """Return 1 for the likeliest class, 0 for the others ``[n, draws, classes]``."""
    return torch.nn.functional.one_hot(answers.argmax(2), answers.shape[2]).double()


def _game(
    model: FusionModel, samples: Samples, rng: np.random.Generator, absence: Absence, n_draws: int | None
) -> AbsentModalities:
    if n_draws is None:
        affordable = modality_games.MOST_CALLS // max(len(samples) * len(model.modalities), 1)
        n_draws = int(np.clip(affordable, _FEWEST_DRAWS, _MOST_DRAWS))
    return AbsentModalities(model, samples, rng, absence=absence, n_draws=n_draws)


def _each_alone(model: FusionModel) -> np.ndarray:
    return np.eye(len(model.modalities), dtype=bool)


def _of_samples(model: FusionModel, parts: list[Tensor]) -> Attribution:
    values = torch.stack(parts, dim=1).numpy()
    return _attribution(model, values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values)))


def _attribution(model: FusionModel, values: np.ndarray, error: np.ndarray | None) -> Attribution:
    def of(numbers: np.ndarray) -> dict[str, float]:
        return dict(zip(model.modalities, numbers.tolist(), strict=True))

    return Attribution(of(values), standard_error={} if error is None else of(error))


METHOD = Method(
    name="decision_information",
    function=divided,
    estimand="sage",
    citation="Covert, Lundberg & Lee 2020, Understanding global feature contributions with additive "
    "importance measures; the model's decision in place of the label",
)
ALONE = Method(
    name="unimodal_information",
    function=alone,
    estimand="information",
    citation="mutual information of one modality and the model's decision; Shannon 1948",
)
ACCURACY = Method(
    name="unimodal_accuracy",
    function=accuracy,
    estimand="bayes_accuracy",
    citation="accuracy of one modality alone, the others drawn anew, as in Hessel & Lee 2020",
)
