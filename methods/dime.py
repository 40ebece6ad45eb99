"""What modalities say alone, and what they say together only: EMAP and DIME (Hessel & Lee 2020; Lyu 2022)."""

from __future__ import annotations

import numpy as np

from methods.absent_modalities import Absence, AbsentModalities, Output, scores_of
from methods.api import Attribution, FusionModel, Method, NotApplicableError
from methods.modality_games import explained_variance, shares_of_variance
from synthetic.types import Samples


def interaction(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    output: Output = "margin",
    n_draws: int = 32,
) -> Attribution:
    """Return what each modality says only together with the others: the size of DIME's interaction part.

    For two modalities DIME writes f(x) = UC(x) + MI(x), where UC = Σ_m E[f | x_m, all others shuffled] − E f
    is the best additive approximation (EMAP) and MI the rest. Of more modalities, each stands against the
    others joined: MI_m(x) = f(x) − E[f | x_m] − E[f | x without m] + E f. Its value is the mean of MI_m² as a
    share of the variance of f, which is m's total effect less its effect alone where modalities are
    independent; two modalities have the same. Of each sample and its shuffled partner, four answers
    give MI_m² without bias, and exactly 0 for a model that adds m to the others. It needs no labels.

    Args:
        model: the model.
        samples: the samples to explain, and each other's partners.
        rng: source of the partners.
        output: f: ``margin`` (logits less their mean) or ``probability``.
        n_draws: partners a sample.

    Returns:
        With `interactions` if there are two modalities: then MI is that pair's.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: with one modality.
    """
    names = list(model.modalities)
    if len(names) < 2:
        raise NotApplicableError("needs two modalities: one has nothing to interact with")
    game = AbsentModalities(model, samples, rng, n_draws=n_draws)
    everything, nothing = (
        scores_of(game.answers(np.full(len(names), there)), output) for there in (True, False)
    )
    pairs = {}
    for name, alone in zip(names, np.eye(len(names), dtype=bool), strict=True):
        first, rest = (scores_of(game.answers(present), output) for present in (alone, ~alone))
        pairs[name] = ((everything - first - rest + nothing) ** 2).sum(2) / 4
    found, error = shares_of_variance(pairs, everything[:, 0], game.partners)
    joint = {(names[0], names[1]): found[names[0]]} if len(names) == 2 else {}
    return Attribution(found, interactions=joint, standard_error=error)


def alone(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    output: Output = "margin",
    absence: Absence = "marginal",
    n_draws: int = 32,
) -> Attribution:
    """Return what each modality says by itself: the size of its unimodal contribution in EMAP and DIME.

    UC_m(x) = E[f | x_m] − E f, and the value is its variance as a share of that of f. It needs no labels.

    Args:
        model: the model.
        samples: the samples to explain, and each other's partners.
        rng: source of the partners.
        output: f: ``margin`` (logits less their mean) or ``probability``.
        absence: ``marginal`` shuffles the other modalities, as published; ``conditional`` draws them given
            this one, so that it is credited with what it tells of them.
        n_draws: partners a sample.

    Raises:
        ValueError: if an option is out of range.
        NotApplicableError: see `AbsentModalities`.
    """
    names = list(model.modalities)
    game = AbsentModalities(model, samples, rng, absence=absence, n_draws=n_draws)
    parts = {
        name: explained_variance(scores_of(game.answers(present), output), len(game))[:, None]
        for name, present in zip(names, np.eye(len(names), dtype=bool), strict=True)
    }
    found, error = shares_of_variance(parts, scores_of(game.logits, output), None)
    return Attribution(found, standard_error=error)


METHOD = Method(
    name="dime",
    function=interaction,
    estimand="interaction",
    citation="Lyu et al. 2022, DIME: fine-grained interpretations of multimodal models via disentangled "
    "local explanations; Hessel & Lee 2020, EMAP",
)
ALONE = Method(
    name="emap",
    function=alone,
    estimand="information",
    citation="Hessel & Lee 2020, Does my multimodal model learn cross-modal interactions? It's harder to "
    "tell than you might think!",
)
