"""What a method that trains networks is handed, beside a model and samples: a way to train, and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmark.metering import MeteredModel, meter
from benchmark.suite import Stage
from methods.admission import N_PROBED, admit
from methods.api import FusionModel
from synthetic.names import check_known
from synthetic.types import Samples

Fit = Callable[[Stage, Samples, Sequence[str]], tuple[FusionModel, float, bool]]
"""Trains a stage's model on some of the modalities, or recalls it: the network, the seconds that its training
took, and whether it was recalled."""


class Retraining:
    """A stage's architecture, trained anew on its training split for one method: a `methods.Retrain`.

    The recipe and the seed are those of the stage, so that of all modalities is the stage's own network.

    Args:
        stage: data and model.
        network: the stage's own.
        train: the training split.
        metered: what counts the method's calls; those of the networks that are trained here count with it.
        fit: trains, or recalls.
    """

    __slots__ = ("__fit", "__metered", "__network", "__networks", "__recalled", "__stage", "__train")

    def __init__(
        self, stage: Stage, network: FusionModel, train: Samples, metered: MeteredModel, fit: Fit
    ) -> None:
        self.__stage = stage
        self.__network = network
        self.__train = train
        self.__metered = metered
        self.__fit = fit
        self.__networks: dict[tuple[str, ...], FusionModel] = {}
        self.__recalled = 0.0

    def __call__(self, modalities: Sequence[str]) -> FusionModel:
        """Return a network trained on some of the modalities, in the order of the model.

        Raises:
            ValueError: if there is none, an unknown one, or one twice.
        """
        known = tuple(self.__network.modalities)
        for name in modalities:
            check_known("modality", name, known)
        if not modalities or len(set(modalities)) != len(modalities):
            raise ValueError(
                f"The 'modalities' to train on must be one or more distinct names of {', '.join(known)}. "
                f"Got {list(modalities)}."
            )
        chosen = tuple(name for name in known if name in modalities)
        if chosen not in self.__networks:
            self.__networks[chosen] = self.__trained(chosen)
        return meter(self.__networks[chosen], beside=self.__metered)

    def __trained(self, chosen: tuple[str, ...]) -> FusionModel:
        if chosen == tuple(self.__network.modalities):
            return self.__network
        network, seconds, recalled = self.__fit(self.__stage, self.__train, chosen)
        self.__recalled += seconds if recalled else 0.0
        return admit(network, self.__train.take(slice(0, N_PROBED)))[0]

    @property
    def recalled_seconds(self) -> float:
        """Seconds that earlier trainings took whose networks were recalled: what they cost, all the same."""
        return self.__recalled
