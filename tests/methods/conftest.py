"""Models that are small enough to explain by hand: heads over tables, and a network with random weights."""

import itertools

import numpy as np
import pytest
import torch

from benchmark.models import HybridNetwork
from synthetic.types import Samples


class TableModel:
    """A fusion model over tables whose head is any function from fusion features to logits."""

    def __init__(self, widths, logits):
        edges = [0, *itertools.accumulate(widths.values())]
        self.groups = {
            name: slice(*ends) for name, ends in zip(widths, itertools.pairwise(edges), strict=True)
        }
        self.modalities = tuple(widths)
        self._logits = logits

    def encode(self, inputs):
        return torch.cat([inputs[name] for name in self.modalities], dim=1)

    def classify(self, features):
        return self._logits(features)

    def samples(self, features, labels=None):
        """Return samples whose fusion vector is the given one."""
        features = torch.as_tensor(features, dtype=torch.float32)
        return Samples({name: features[:, columns] for name, columns in self.groups.items()}, labels)


class LinearModel:
    """A model whose log-odds of class 1 are linear in all pixels and columns: offset + Σ w · x.

    Each modality's encoding is its own part of the sum, and, to no effect, its tenfold.
    """

    def __init__(self, weights, offset=0.0):
        self.weights, self.offset = weights, offset
        self.modalities = tuple(weights)
        self.groups = {name: slice(2 * i, 2 * i + 2) for i, name in enumerate(weights)}

    def encode_modality(self, name, value):
        part = (value * self.weights[name]).flatten(1).sum(1)
        return torch.stack([part, 10 * part], dim=1)

    def encode(self, inputs):
        return torch.cat([self.encode_modality(name, inputs[name]) for name in self.modalities], dim=1)

    def classify(self, features):
        value = self.offset + features[:, ::2].sum(1)
        return torch.stack([torch.zeros_like(value), value], dim=1)


def binary(score):
    """Return a head whose log-odds of class 1 are the score."""

    def logits(features):
        value = score(features)
        return torch.stack([torch.zeros_like(value), value], dim=1)

    return logits


def linear_probability(weights, offset=0.5):
    """Return a head whose probability of class 1 is a linear function (keep it between 0 and 1)."""
    weights = torch.as_tensor(weights, dtype=torch.float32)

    def logits(features):
        p = offset + features @ weights
        return torch.stack([1 - p, p], dim=1).log()

    return logits


def random_network(shapes, *, n_classes=2, seed=0):
    """Return an untrained hybrid network with standardised features and probabilities all over 0…1."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = HybridNetwork(shapes, n_classes=n_classes)
        for layer in network.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.momentum = None  # running statistics: the plain mean over batches
        network.train()(random_samples(shapes, n=64, seed=seed).inputs)
        network.eval()
        network.head[-1].weight *= 8
        network.head[-1].bias -= network(random_samples(shapes, n=64, seed=seed).inputs).mean(0)
    return network


def random_samples(shapes, *, n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return Samples(
        {
            name: (torch.rand if len(shape) == 3 else torch.randn)(n, *shape, generator=generator)
            for name, shape in shapes.items()
        }
    )


def own_labels(model, samples):
    """Return the samples with the model's own decisions as labels: its accuracy is 1."""
    with torch.no_grad():
        return Samples(samples.inputs, model.classify(model.encode(samples.inputs)).argmax(1))


SHAPES = {"axial": (1, 28, 28), "clinical": (3,), "coronal": (1, 28, 28), "history": (2,)}


@pytest.fixture(scope="session")
def network():
    """Return a hybrid network on two images and two tables, d = 25."""
    return random_network(SHAPES)


@pytest.fixture(scope="session")
def samples(network):
    """Return 40 samples for the network, labelled as it decides, but for every tenth."""
    right = own_labels(network, random_samples(SHAPES, n=40))
    wrong = torch.arange(40) % 10 == 0
    return Samples(right.inputs, torch.where(wrong, 1 - right.labels, right.labels))


@pytest.fixture(scope="session")
def kit():
    """Return the builders above."""

    class Kit:
        table_model = TableModel
        linear_model = LinearModel
        head_binary = staticmethod(binary)
        head_linear = staticmethod(linear_probability)
        network = staticmethod(random_network)
        samples = staticmethod(random_samples)
        own_labels = staticmethod(own_labels)

    return Kit


@pytest.fixture
def rng():
    return np.random.default_rng(0)
