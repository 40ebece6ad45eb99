"""What training anew tells: networks that have one modality alone, or all but one.

The references that other methods are cheap stand-ins for: nothing is masked, permuted or differentiated, so
no sample is unlike those that a network was trained on. They cost a training a modality, and what they say
holds for the patients and the training recipe, not for the given model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from methods.api import Attribution, FusionModel, Method, NotApplicableError, Retrain
from methods.evaluation import encode, probabilities
from synthetic.types import Samples


def alone(model: FusionModel, samples: Samples, rng: np.random.Generator, *, retrain: Retrain) -> Attribution:
    """Return by how much a network trained on each modality alone beats the commonest class, in accuracy.

    The plug-in estimate of A({i}) − A(∅), A being the accuracy that a set of modalities allows.

    Args:
        model: names the modalities; it is not evaluated.
        samples: with labels, none of them trained on.
        rng: nothing is drawn from it.
        retrain: trains a network on some of the modalities.

    Returns:
        Differences of accuracies, which may be negative. Their standard errors are those of paired
        proportions: of the samples, with the networks as they are. What another training seed would change
        comes on top, and shows between seeds of a run.

    Raises:
        NotApplicableError: if there is one sample only.
    """
    del rng
    labels = _labels(samples)
    commonest = _commonest(labels)
    return _attribution(model, lambda name: _right(retrain([name]), samples, labels) - commonest)


def left_out(
    model: FusionModel, samples: Samples, rng: np.random.Generator, *, retrain: Retrain
) -> Attribution:
    """Return the accuracy that is lost where a network is trained without each modality.

    The plug-in estimate of A(all) − A(all without i): LOCO (Lei, G'Sell, Rinaldo, Tibshirani & Wasserman
    2018) with the loss 0 or 1, whose limit Williamson, Gilbert, Simon & Carone (2021) describe. Both networks
    are trained here, by the same recipe: the given model may have had another, and the difference of two
    recipes is no importance. Without its only modality, nothing is left but to name the commonest class.

    Args:
        model: names the modalities; it is not evaluated.
        samples: with labels, none of them trained on.
        rng: nothing is drawn from it.
        retrain: trains a network on some of the modalities.

    Returns:
        Differences of accuracies, which may be negative, and their standard errors as for `alone`: with b
        samples that only the first network gets right and c that only the second does, of n,
        (b − c) / n with variance (b + c − (b − c)² / n) / (n · (n − 1)), as in McNemar's test.

    Raises:
        NotApplicableError: if there is one sample only.
    """
    del rng
    labels, everyone = _labels(samples), model.modalities
    full = _right(retrain(everyone), samples, labels)

    def lost(name: str) -> Tensor:
        others = [other for other in everyone if other != name]
        return full - (_right(retrain(others), samples, labels) if others else _commonest(labels))

    return _attribution(model, lost)


def _labels(samples: Samples) -> Tensor:
    if len(samples) < 2 or samples.labels is None:
        raise NotApplicableError("needs two samples at least, with labels")
    return samples.labels


def _commonest(labels: Tensor) -> Tensor:
    """Return 1 where the commonest class of the samples is right, 0 elsewhere ``[n]``."""
    return (labels == labels.bincount().argmax()).double()


def _right(network: FusionModel, samples: Samples, labels: Tensor) -> Tensor:
    """Return 1 where a network that has some of the modalities is right, 0 elsewhere ``[n]``."""
    known = {name: samples.inputs[name] for name in network.modalities}
    decisions = probabilities(network, encode(network, known)).argmax(1)
    return (decisions == labels).double()


def _attribution(model: FusionModel, gains: Callable[[str], Tensor]) -> Attribution:
    """Return the mean of each modality's gains ``[n]``, which are −1, 0 or 1, and its standard error."""
    found = {name: gains(name) for name in model.modalities}
    return Attribution(
        {name: float(gain.mean()) for name, gain in found.items()},
        standard_error={name: float(gain.std() / len(gain) ** 0.5) for name, gain in found.items()},
    )


SINGLE = Method(
    name="single_modality",
    function=alone,
    estimand="bayes_accuracy",
    citation="accuracy of a network trained on one modality alone, above the commonest class",
    needs_labels=True,
    needs_training=True,
    level="input",
)
LEAVE_ONE_OUT = Method(
    name="leave_one_out",
    function=left_out,
    estimand="leave_one_out",
    citation="LOCO, Lei et al. 2018; Williamson et al. 2021, A general framework for inference on "
    "algorithm-agnostic variable importance",
    needs_labels=True,
    needs_training=True,
    level="input",
)
