"""The truth of every estimand for one scenario, worked out when it is asked for and kept on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from synthetic.decision import DecisionFunction
from synthetic.labels import Labels
from synthetic.law import LatentLaw
from synthetic.missing import Missing
from synthetic.names import check_known
from synthetic.settings import own_settings
from synthetic.truth import features, storage
from synthetic.truth.classes import ClassGame, class_game
from synthetic.truth.cuts import Cuts, cut, label_entropy
from synthetic.truth.games import interactions, pairs, shapley
from synthetic.truth.gradient import gradient
from synthetic.truth.permutation import permutation_losses
from synthetic.truth.reduction import Reduction, reduce
from synthetic.truth.replicates import (
    Precision,
    is_zero,
    settled,
    share,
    share_standard_error,
    standard_error,
)
from synthetic.truth.variance import VarianceGame, interaction_parts, total_effects, variance_game
from synthetic.types import SubsetValues, Truth

logger = logging.getLogger(__name__)

MEANINGS: Mapping[str, str] = {
    "gradient": "mean absolute slope of F: how strongly F reacts to a small change (Azmat & Alessio 2022)",
    "total_effect": "variance of F that is left when all else is known: what no other modality can replace",
    "shapley": "Shapley effects: a fair division of the variance of F, under the latents' own dependence",
    "permutation": "accuracy that the true classifier loses when a modality is shuffled between patients",
    "sage": "Shapley values of the information about the label, in bits (Covert et al. 2020)",
    "interaction": "share in the pairwise Shapley interactions of the variance of F",
    "information": "information about the label in one modality alone, in bits",
    "bayes_accuracy": "accuracy above chance that one modality alone allows at best",
    "leave_one_out": "accuracy that is lost at best without a modality, the others used as well as can be",
}
"""Estimand → what it means, in one line."""


_COARSE = 0.01  # standard error of a share above which a truth is no yardstick


class Truths(Mapping[str, Truth]):
    """The truths of one scenario by estimand.

    Args:
        decision: F.
        law: joint law of the latent features.
        labels: how labels follow from F.
        missing: full feature name → the rule by which its values are missing; that matters to ``sage``,
            ``information``, ``bayes_accuracy`` and ``leave_one_out`` only.
        precision: standard error to reach where there is no closed form.
        use_cache: look on disk first, and keep what was worked out.

    Raises:
        ValueError: when a truth is asked for that the law does not allow.
    """

    def __init__(
        self,
        decision: DecisionFunction,
        law: LatentLaw,
        labels: Labels | None = None,
        missing: Mapping[str, Missing] | None = None,
        *,
        precision: Precision | None = None,
        use_cache: bool = True,
    ) -> None:
        self.decision = decision
        self.law = law
        self.labels = Labels() if labels is None else labels
        self.missing = dict(missing or {})
        self.precision = Precision() if precision is None else precision
        self._use_cache = use_cache
        self._found: dict[str, Truth] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(MEANINGS)

    def __len__(self) -> int:
        return len(MEANINGS)

    def __contains__(self, estimand: object) -> bool:
        return estimand in MEANINGS  # without working it out

    def __getitem__(self, estimand: str) -> Truth:
        """Return the truth of an estimand."""
        check_known("estimand", estimand, MEANINGS)
        if estimand not in self._found:
            with own_settings(threads=1):
                self._found[estimand] = self._recall(estimand) or self._work_out(estimand)
        return self._found[estimand]

    @cached_property
    def reduction(self) -> Reduction:
        """F as a function of few numbers."""
        return reduce(self.decision, self.law, self.missing)

    @cached_property
    def cuts(self) -> Cuts:
        """Where F is cut into classes, in replicates."""
        with own_settings(threads=1):
            return cut(self.reduction, self.labels, self.precision.seed)

    @property
    def thresholds(self) -> np.ndarray:
        """Thresholds of F between the classes ``[classes − 1]``."""
        return self.cuts.thresholds

    def _work_out(self, estimand: str) -> Truth:
        truth = _WORK[estimand](self)
        largest = max(truth.standard_error.values())
        if largest > _COARSE:
            logger.warning(
                "The %s truth of F = %s has a standard error of %.3f, more than was aimed at: "
                "F has heavy tails, or the estimand all but vanishes.",
                estimand,
                self.decision,
                largest,
            )
        self._keep(truth)
        return truth

    @cached_property
    def variance_game(self) -> VarianceGame:
        """The game behind total effects, Shapley effects and interactions."""
        return variance_game(self.reduction, self.precision)

    @cached_property
    def class_game(self) -> ClassGame:
        """The game behind information, Bayes accuracy, leaving one out and SAGE."""
        return class_game(self.reduction, self.labels, self.cuts, self.precision)

    @cached_property
    def _key(self) -> str:
        return storage.key(
            self.law, repr(self.decision), repr(self.labels), repr(self.missing), repr(self.precision)
        )

    def _recall(self, estimand: str) -> Truth | None:
        return storage.recall(self._key, estimand) if self._use_cache else None

    def _keep(self, truth: Truth) -> None:
        if self._use_cache:
            storage.keep(self._key, truth)


def _gradient(truths: Truths) -> Truth:
    return gradient(truths.decision, truths.law, seed=truths.precision.seed)


def _total_effect(truths: Truths) -> Truth:
    game = truths.variance_game
    effects = total_effects(game.replicates, truths.reduction.n_players)
    return _truth(
        truths,
        "total_effect",
        effects,
        method=game.method,
        unit="share of Var F",
        features=features.total_effects(truths.decision, truths.law, truths.reduction),
        subsets={"explained variance": game.replicates.mean(0)},
    )


def _shapley(truths: Truths) -> Truth:
    game = truths.variance_game
    return _truth(
        truths,
        "shapley",
        shapley(game.replicates, truths.reduction.n_players),
        method=game.method,
        unit="share of Var F",
        subsets={"explained variance": game.replicates.mean(0)},
    )


def _interaction(truths: Truths) -> Truth:
    game, reduction = truths.variance_game, truths.reduction
    n = reduction.n_players
    values = interactions(game.replicates, n)
    mean = values.mean(0)
    # Where the mean is positive or negative beyond doubt, |mean| is the mean times its sign.
    signed = values * np.sign(mean)
    names = [(reduction.players[i], reduction.players[j]) for i, j in pairs(n)]
    alone = game.replicates[:, [1 << player for player in range(n)]].sum(1)
    return _truth(
        truths,
        "interaction",
        interaction_parts(signed, n),
        method=game.method,
        unit="share of Var F",
        pairs=dict(zip(names, mean.tolist(), strict=True)),
        pairs_standard_error=dict(zip(names, standard_error(values).tolist(), strict=True)),
        summary={
            # What no modality explains by itself, less what several explain alike.
            "synergy": float(1 - alone.mean()),
            "synergy_standard_error": float(standard_error(alone)),
        },
        subsets={"explained variance": game.replicates.mean(0)},
    )


def _permutation(truths: Truths) -> Truth:
    reduction = truths.reduction
    losses, n = permutation_losses(reduction, truths.labels, truths.cuts, truths.precision)
    return _truth(
        truths,
        "permutation",
        losses,
        method=f"quasi-Monte Carlo, n = {n}" if n else "closed form",
        unit="accuracy",
        features=features.permutation_losses(truths.decision, truths.law, truths.thresholds),
    )


def _sage(truths: Truths) -> Truth:
    game = truths.class_game
    return _truth(
        truths,
        "sage",
        shapley(game.information, truths.reduction.n_players),
        method=game.method,
        unit="bits",
        subsets={"information": game.information.mean(0)},
    )


def _information(truths: Truths) -> Truth:
    game, players = truths.class_game, truths.reduction.players
    single = game.information[:, [1 << player for player in range(len(players))]]
    mean = game.information.mean(0)
    entropy = label_entropy(truths.cuts, truths.labels)
    summary = {"all": float(mean[-1])}
    if len(players) == 2:
        # Minimum mutual information (Barrett 2015): what both say is as much as the poorer one says.
        redundant = float(min(mean[1], mean[2]))
        summary |= {
            "redundant": redundant,
            f"unique {players[0]}": float(mean[1]) - redundant,
            f"unique {players[1]}": float(mean[2]) - redundant,
            "synergistic": float(mean[3] - mean[1] - mean[2]) + redundant,
        }
    return _truth(
        truths,
        "information",
        single,
        method=game.method,
        unit="bits",
        summary=summary,
        # The log loss of the Bayes classifier (Cover & Thomas 2006, chapter 2); sampling may miss 0.
        subsets={"information": mean, "conditional entropy": np.maximum(entropy - mean, 0)},
    )


def _bayes_accuracy(truths: Truths) -> Truth:
    game = truths.class_game
    accuracy, auroc = game.accuracy.mean(0), game.auroc.mean(0)
    single = game.accuracy[:, [1 << player for player in range(truths.reduction.n_players)]]
    return _truth(
        truths,
        "bayes_accuracy",
        single - game.accuracy[:, :1],
        method=game.method,
        unit="accuracy above chance",
        summary={"chance": float(accuracy[0]), "all": float(accuracy[-1]), "auroc": float(auroc[-1])},
        subsets={"accuracy": accuracy, "auroc": auroc},
    )


def _leave_one_out(truths: Truths) -> Truth:
    """A(all) − A(all without i), A being the Bayes accuracy.

    The population importance of Williamson, Gilbert, Simon & Carone (2021), "A general framework for
    inference on algorithm-agnostic variable importance", with accuracy as the measure of predictiveness;
    what LOCO (Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018) estimates by training again.
    """
    game, n = truths.class_game, truths.reduction.n_players
    everyone = 2**n - 1
    without = game.accuracy[:, [everyone ^ 1 << player for player in range(n)]]
    accuracy = game.accuracy.mean(0)
    return _truth(
        truths,
        "leave_one_out",
        game.accuracy[:, [everyone]] - without,
        method=game.method,
        unit="accuracy",
        summary={"chance": float(accuracy[0]), "all": float(accuracy[-1])},
        subsets={"accuracy": accuracy},
    )


_WORK: Mapping[str, Callable[[Truths], Truth]] = {
    "gradient": _gradient,
    "total_effect": _total_effect,
    "shapley": _shapley,
    "permutation": _permutation,
    "sage": _sage,
    "interaction": _interaction,
    "information": _information,
    "bayes_accuracy": _bayes_accuracy,
    "leave_one_out": _leave_one_out,
}


def _truth(
    truths: Truths,
    estimand: str,
    replicates: np.ndarray,
    *,
    subsets: Mapping[str, np.ndarray] | None = None,
    features: Mapping[str, float] | None = None,
    **rest: Any,
) -> Truth:
    """Return a truth from replicates of its raw values ``[replicates, players]``; all others have 0."""
    modalities, players = truths.reduction.modalities, truths.reduction.players
    raw, error = replicates.mean(0), standard_error(replicates)
    informative = not is_zero(replicates)
    shares = share(settled(replicates)) if informative else np.full(len(players), 1 / len(modalities))
    rest_share = 0.0 if informative else 1 / len(modalities)

    def of(values: np.ndarray, other: float = 0.0) -> dict[str, float]:
        found = dict(zip(players, values.tolist(), strict=True))
        return {name: found.get(name, other) for name in modalities}

    return Truth(
        estimand=estimand,
        modalities=of(shares, rest_share),
        features=features or {},
        standard_error=of(share_standard_error(replicates)),
        raw=of(raw),
        raw_standard_error=of(error),
        subsets={name: SubsetValues(modalities, players, values) for name, values in (subsets or {}).items()},
        informative=informative,
        **rest,
    )
