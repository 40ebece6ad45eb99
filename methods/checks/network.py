"""What the checks explain: a small fusion network with random weights, and samples that it decides itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn

from methods.api import BudgetError, FusionModel, Retrain, SeparableModel
from synthetic.types import Samples

Shapes = Mapping[str, tuple[int, ...]]

USUAL: Shapes = {"axial": (1, 28, 28), "clinical": (4,), "coronal": (1, 28, 28), "history": (2,)}
N_USUAL = 64
"""Modalities and number of samples of the case that most checks use."""

N_IMAGE_FEATURES = 4
_WIDTH = 16
_SPREAD = 2.0  # standard deviation of the logits: probabilities lie all over 0…1


class RandomNetwork(nn.Module):
    """A fusion network that nobody trained: each image has an encoder, tables join as they are.

    Batch normalisation makes it behave differently in training mode, as the networks of the benchmark do.

    Args:
        shapes: modality → input shape without the sample axis: ``(1, height, width)`` or ``(columns,)``.
        n_classes: number of classes.
        ignored: modality that no output depends on; None for none.
    """

    def __init__(self, shapes: Shapes, *, n_classes: int = 2, ignored: str | None = None) -> None:
        super().__init__()
        self.modalities = tuple(shapes)
        self.groups: Mapping[str, slice] = _groups(
            {name: N_IMAGE_FEATURES if len(shape) == 3 else shape[0] for name, shape in shapes.items()}
        )
        self.encoders = nn.ModuleDict(
            {name: _encoder(shape) for name, shape in shapes.items() if len(shape) == 3}
        )
        self.head = nn.Sequential(
            nn.Linear(max(columns.stop for columns in self.groups.values()), _WIDTH),
            nn.ReLU(),
            nn.Linear(_WIDTH, n_classes),
        )
        if ignored is not None:
            first: nn.Linear = self.head[0]  # pyright: ignore[reportAssignmentType]
            with torch.no_grad():
                first.weight[:, self.groups[ignored]] = 0

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return a modality's columns of the fusion vector."""
        return self.encoders[name](value) if name in self.encoders else value

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]``."""
        return torch.cat([self.encode_modality(name, inputs[name]) for name in self.modalities], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.head(features)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.classify(self.encode(inputs))


class Rearranged(nn.Module):
    """A network with its modalities in another order, and under other names.

    Args:
        network: the network.
        new_names: its modality → the new name, in the new order.
    """

    def __init__(self, network: RandomNetwork, new_names: Mapping[str, str]) -> None:
        super().__init__()
        self.network = network
        self.modalities = tuple(new_names.values())
        self._old = {new: old for old, new in new_names.items()}
        widths = {new: network.groups[old].stop - network.groups[old].start for old, new in new_names.items()}
        self.groups: Mapping[str, slice] = _groups(widths)
        columns = [
            column
            for old in new_names
            for column in range(network.groups[old].start, network.groups[old].stop)
        ]
        self._columns = torch.tensor(columns)
        self._back = self._columns.argsort()

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return a modality's columns of the fusion vector."""
        return self.network.encode_modality(self._old[name], value)

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]`` in the new order."""
        return self.network.encode({old: inputs[new] for new, old in self._old.items()})[:, self._columns]

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.network.classify(features[:, self._back])

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.classify(self.encode(inputs))


class Bare:
    """A model that shows the protocol and nothing else, as the harness does, and counts what is asked of it.

    Args:
        model: what it passes calls on to.
        limit: samples that may be evaluated; None for any number.
    """

    __slots__ = ("_limit", "_model", "groups", "modalities", "n_classified", "n_encoded")

    def __init__(self, model: FusionModel, *, limit: int | None = None) -> None:
        self._model = model
        self._limit = limit
        self.modalities = model.modalities
        self.groups = dict(model.groups)
        self.n_encoded = 0
        self.n_classified = 0

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]``."""
        self.n_encoded += len(next(iter(inputs.values())))
        self._check_limit()
        return self._model.encode(inputs)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        self.n_classified += len(features)
        self._check_limit()
        return self._model.classify(features)

    @property
    def model_calls(self) -> int:
        """Samples evaluated: the larger of those encoded and those classified."""
        return max(self.n_encoded, self.n_classified)

    def _check_limit(self) -> None:
        if self._limit is not None and self.model_calls > self._limit:
            raise BudgetError(f"More than {self._limit:,} samples were to be evaluated.")


class Partial:
    """A network that has some of another's modalities, and takes the rest for typical: all features 0.

    It stands in for one that was trained on them, where nothing can be trained.

    Args:
        model: with features that are 0 on average.
        modalities: what it has, in any order.
    """

    def __init__(self, model: SeparableModel, modalities: Sequence[str]) -> None:
        self._model = model
        self.modalities = tuple(name for name in model.modalities if name in modalities)
        chosen = [model.groups[name] for name in self.modalities]
        self._columns = torch.cat([torch.arange(it.start, it.stop) for it in chosen])
        self._width = max(columns.stop for columns in model.groups.values())
        widths = [it.stop - it.start for it in chosen]
        self.groups: Mapping[str, slice] = _groups(dict(zip(self.modalities, widths, strict=True)))

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return fusion features ``[n, d]``; inputs of other modalities are refused."""
        if set(inputs) != set(self.modalities):
            raise ValueError(f"The inputs must be of {', '.join(self.modalities)}. Got {', '.join(inputs)}.")
        return torch.cat([self._model.encode_modality(name, inputs[name]) for name in self.modalities], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        whole = features.new_zeros(len(features), self._width)
        whole[:, self._columns] = features
        return self._model.classify(whole)


def retrain(model: SeparableModel) -> Retrain:
    """Return what stands in for training a model anew: it hands out `Partial` ones."""
    return lambda modalities: Partial(model, modalities)


@dataclass(frozen=True)
class Case:
    """A model to explain and samples to explain it on.

    Attributes:
        model: in evaluation mode, its parameters frozen.
        samples: with the model's own decisions as labels.
    """

    model: RandomNetwork | Rearranged
    samples: Samples

    @property
    def labels(self) -> Tensor:
        """The labels; every case has them, unless a check takes them away."""
        if self.samples.labels is None:
            raise ValueError("The samples of this case carry no labels.")
        return self.samples.labels

    def copy(self) -> Case:
        """Return a case that shares nothing with this one: what a method does to it stays with it."""
        return Case(copy.deepcopy(self.model), copy.deepcopy(self.samples))

    def with_samples(self, samples: Samples) -> Case:
        """Return the case with other samples."""
        return replace(self, samples=samples)


def case(shapes: Shapes, *, n: int, n_classes: int = 2, ignored: str | None = None) -> Case:
    """Return a random network for inputs of the given shapes, and n samples.

    Args:
        shapes: modality → input shape without the sample axis.
        n: samples.
        n_classes: number of classes; with a few samples not every one occurs.
        ignored: modality that no output depends on.
    """
    return _case(tuple(shapes.items()), n, n_classes, ignored).copy()


def usual() -> Case:
    """Return the case that most checks use: two images and two tables."""
    return case(USUAL, n=N_USUAL)


@cache
def _case(
    shapes: tuple[tuple[str, tuple[int, ...]], ...], n: int, n_classes: int, ignored: str | None
) -> Case:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = RandomNetwork(dict(shapes), n_classes=n_classes, ignored=ignored)
        typical = _inputs(dict(shapes), 256)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm1d):
                layer.momentum = None  # running statistics: the plain mean over batches
        network.train()(typical)
        network.eval().requires_grad_(requires_grad=False)
        last: nn.Linear = network.head[-1]  # pyright: ignore[reportAssignmentType]
        logits = network(typical)
        last.weight *= _SPREAD / logits.std(0, keepdim=True).T
        last.bias -= network(typical).mean(0)
        inputs = _inputs(dict(shapes), n)
        return Case(network, Samples(inputs, network(inputs).argmax(1)))


def _inputs(shapes: Shapes, n: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return {
        name: (torch.rand if len(shape) == 3 else torch.randn)(n, *shape, generator=generator)
        for name, shape in shapes.items()
    }


def _groups(widths: Mapping[str, int]) -> dict[str, slice]:
    groups, start = {}, 0
    for name, width in widths.items():
        groups[name] = slice(start, start + width)
        start += width
    return groups


def _encoder(shape: tuple[int, ...]) -> nn.Sequential:
    """Return one strided convolution, and features that are standardised."""
    size = -(-shape[1] // 4) * -(-shape[2] // 4)
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 5, stride=4, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * size, N_IMAGE_FEATURES),
        nn.BatchNorm1d(N_IMAGE_FEATURES, affine=False),
    )
