"""What every method must keep to, whatever it computes; and proofs that these guards can fail."""

import copy

import numpy as np
import pytest
import torch

import methods
import synthetic
from benchmark import metering, models
from benchmark.models import HybridNetwork
from methods import Method, as_method, evaluation
from synthetic.types import Samples

SHAPES = {"axial": (1, 28, 28), "clinical": (4,), "coronal": (1, 28, 28), "history": (2,)}
# One model's shares under another seed of the method, or another order of its modalities.
SAME_WITHIN_NOISE = 0.04
NEXT_TO_NOTHING = 0.012

every_method = pytest.mark.parametrize("name", methods.names())


def random_network(shapes, *, n_classes=2):
    """Return a network with random weights, standardised features and probabilities all over 0…1."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = HybridNetwork(shapes, n_classes=n_classes)
        for layer in network.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.momentum = None  # running statistics: the plain mean over batches
        inputs = random_inputs(shapes, 64)
        network.train()(inputs)
        network.eval()
        network.head[-1].weight *= 8
        network.head[-1].bias -= network(inputs).mean(0)
    return network


def random_inputs(shapes, n):
    generator = torch.Generator().manual_seed(n)
    return {
        name: (torch.rand if len(shape) == 3 else torch.randn)(n, *shape, generator=generator)
        for name, shape in shapes.items()
    }


def case(shapes=SHAPES, *, n=40, n_classes=2):
    """Return a network and samples that carry its own decisions as labels."""
    network = random_network(shapes, n_classes=n_classes)
    inputs = random_inputs(shapes, n)
    with torch.no_grad():
        return network, Samples(inputs, network(inputs).argmax(1))


@pytest.fixture(scope="module")
def network_and_samples():
    return case()


def attribute(method, model, samples, seed=0):
    return method.attribute(model, samples, np.random.default_rng(seed))


def shares(method, model, samples, seed=0):
    values = np.array(list(attribute(method, model, samples, seed).modalities.values())).clip(0)
    assert values.sum() > 0
    return dict(zip(model.modalities, values / values.sum(), strict=True))


def reordered(model, new_names):
    """Return the model with its modalities in another order and under other names (old name → new name)."""

    class Reordered:
        modalities = tuple(new_names.values())

        def __init__(self):
            self.groups, self._columns, start = {}, [], 0
            for old, new in new_names.items():
                columns = range(model.groups[old].start, model.groups[old].stop)
                self.groups[new] = slice(start, start + len(columns))
                self._columns += columns
                start += len(columns)

        def encode(self, inputs):
            return model.encode({old: inputs[new] for old, new in new_names.items()})[:, self._columns]

        def encode_modality(self, name, value):
            return model.encode_modality(next(o for o, n in new_names.items() if n == name), value)

        def classify(self, features):
            return model.classify(features[:, np.argsort(self._columns)])

    return Reordered()


# The contracts, one function each


def check_result(method, model, samples):
    """One finite number a modality, in the model's order."""
    result = attribute(method, model, samples)
    assert tuple(result.modalities) == tuple(model.modalities)
    assert all(type(value) is float and np.isfinite(value) for value in result.modalities.values())
    assert max(result.modalities.values()) > 0
    assert all(np.isfinite(values).all() for values in result.features.values())


def check_nothing_is_touched(method, model, samples):
    """Inputs, labels, weights, statistics, modes and gradients are as before, with gradients on or off."""
    model = copy.deepcopy(model).requires_grad_()
    next(model.head.parameters()).requires_grad_(requires_grad=False)
    inputs = {name: value.clone() for name, value in samples.inputs.items()}
    labels, state = samples.labels.clone(), copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    needed = [parameter.requires_grad for parameter in model.parameters()]
    attribute(method, model, samples)
    assert all(torch.equal(samples.inputs[name], value) for name, value in inputs.items())
    assert all(value.grad is None and not value.requires_grad for value in samples.inputs.values())
    assert torch.equal(samples.labels, labels)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert needed == [parameter.requires_grad for parameter in model.parameters()]
    assert all(parameter.grad is None for parameter in model.parameters())


def check_global_state(method, model, samples):
    """The global generators, torch's threads and its gradient mode are left as they were."""
    numpy_before = np.random.get_state()  # noqa: NPY002 - the state that must not move
    torch_before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    attribute(method, model, samples)
    numpy_after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(numpy_before, numpy_after, strict=True))
    assert torch.equal(torch.random.get_rng_state(), torch_before)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def check_same_seed(method, model, samples):
    """The seed decides the result, to the last digit, whatever the global generators are at."""
    first = attribute(method, model, samples, seed=5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        again = attribute(method, model, samples, seed=5)
    assert first.modalities == again.modalities
    assert all(np.array_equal(first.features[name], again.features[name]) for name in first.features)


def check_other_seed(method, model, samples):
    """Another seed gives nearly the same."""
    first, other = shares(method, model, samples, seed=0), shares(method, model, samples, seed=1)
    assert other == pytest.approx(first, abs=SAME_WITHIN_NOISE)


def check_reordering(method, model, samples):
    """Names and order of the modalities do not matter: the values move with them."""
    names = list(model.modalities)
    new_names = {name: f"new_{name}" for name in reversed(names[1:] + names[:1])}
    moved = Samples({new: samples.inputs[old] for old, new in new_names.items()}, samples.labels)
    before = shares(method, model, samples)
    after = shares(method, reordered(model, new_names), moved)
    assert list(after) == list(new_names.values())
    assert {old: after[new] for old, new in new_names.items()} == pytest.approx(before, abs=SAME_WITHIN_NOISE)


def check_order_of_inputs(method, model, samples):
    """Inputs are found by name: their order in the samples does not matter."""
    turned = Samples(dict(reversed(samples.inputs.items())), samples.labels)
    assert shares(method, model, turned) == pytest.approx(
        shares(method, model, samples), abs=SAME_WITHIN_NOISE
    )


CHECKS = [
    check_result,
    check_nothing_is_touched,
    check_global_state,
    check_same_seed,
    check_other_seed,
    check_reordering,
    check_order_of_inputs,
]


@every_method
@pytest.mark.parametrize("check", CHECKS)
def test_contract(network_and_samples, name, check):
    check(methods.get(name), *network_and_samples)


@every_method
def test_chunk_sizes_do_not_matter(network_and_samples, name, monkeypatch):
    expected = attribute(methods.get(name), *network_and_samples).modalities
    calls = []

    class Watched:
        def __init__(self, model):
            self.modalities, self.groups, self._model = model.modalities, model.groups, model

        def encode(self, inputs):
            calls.append(("encode", len(next(iter(inputs.values())))))
            return self._model.encode(inputs)

        def encode_modality(self, name, value):
            calls.append(("encode", len(value)))
            return self._model.encode_modality(name, value)

        def classify(self, features):
            calls.append(("classify", len(features)))
            return self._model.classify(features)

    model, samples = network_and_samples
    # A file that imported the constants holds its own copy of them.
    for module in (evaluation, methods.gradient, methods.modality_contribution):
        for constant, size in (("CLASSIFY_ROWS", 33), ("ENCODE_ROWS", 7)):
            if hasattr(module, constant):
                monkeypatch.setattr(module, constant, size)
    small = attribute(methods.get(name), Watched(model), samples).modalities
    assert small == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert max(rows for kind, rows in calls if kind == "encode") == 7
    assert max(rows for kind, rows in calls if kind == "classify") == 33


@every_method
def test_the_protocol_is_enough(network_and_samples, name):
    """A model that shows nothing but the protocol gives the same; nothing is encoded by the back door."""
    model, samples = network_and_samples
    metered = metering.meter(model)
    plain = attribute(methods.get(name), model, samples).modalities
    assert attribute(methods.get(name), metered, samples).modalities == plain
    assert metered.model_calls >= len(samples)


@pytest.fixture(scope="module")
def oracles():
    """Return scenario → the oracle and what it sees of 100 patients."""
    found = {}
    for case_number in range(4):
        scenario = synthetic.scenario(f"paper-F{case_number}")
        dataset = synthetic.generate(scenario, seed=0, n=800)
        truth = dataset.truth["gradient"].modalities
        found[scenario.name] = (
            models.oracle(dataset, scenario.decision),
            models.oracle_samples(dataset, "explain"),
            truth,
        )
    return found


@every_method
@pytest.mark.parametrize("scenario", [f"paper-F{case_number}" for case_number in range(4)])
def test_what_the_oracle_ignores_gets_next_to_nothing(oracles, name, scenario):
    model, samples, truth = oracles[scenario]
    found = shares(methods.get(name), model, samples)
    ignored = [modality for modality, share in truth.items() if share == 0]
    assert len(ignored) == 3
    assert max(found[modality] for modality in ignored) < NEXT_TO_NOTHING


KINDS = {
    "one table": ({"table": (5,)}, 2),
    "one image": ({"picture": (1, 28, 28)}, 2),
    "one column": ({"table": (1,)}, 2),
    "tables only": ({"a": (3,), "b": (1,), "c": (8,)}, 2),
    "three classes": ({"picture": (1, 28, 28), "table": (3,)}, 3),
    "large images": ({"axial": (1, 64, 64), "table": (3,), "coronal": (1, 64, 64)}, 2),
    "sixteen pixels": ({"picture": (1, 16, 16), "table": (2,)}, 2),
}


@every_method
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_is_explained(name, kind):
    shapes, n_classes = KINDS[kind]
    model, samples = case(shapes, n=24, n_classes=n_classes)
    assert len(samples.labels.unique()) == n_classes
    check_result(methods.get(name), model, samples)
    if len(shapes) == 1:
        assert list(shares(methods.get(name), model, samples).values()) == [1]


@every_method
def test_samples_without_labels_are_enough_unless_labels_are_declared(network_and_samples, name):
    model, samples = network_and_samples
    method = methods.get(name)
    if method.needs_labels:
        with pytest.raises(ValueError, match=f"'{name}' needs the 'labels'"):
            attribute(method, model, samples.without_labels())
    else:
        blind = attribute(method, model, samples.without_labels()).modalities
        assert blind == attribute(method, model, samples).modalities


# Methods that break one contract each: a guard that lets its own through guards nothing


def equal(model):
    return dict.fromkeys(model.modalities, 1.0)


def overwrites_inputs(model, samples, rng):
    samples.inputs["axial"][0] += rng.random()
    return equal(model)


def leaves_gradients(model, samples, rng):
    del rng
    model(samples.inputs).sum().backward()
    return equal(model)


def leaves_training_mode(model, samples, rng):
    del samples, rng
    model.train()
    return equal(model)


def freezes_parameters(model, samples, rng):
    del samples, rng
    model.requires_grad_(requires_grad=False)
    return equal(model)


def updates_statistics(model, samples, rng):
    del rng
    model.train()(samples.inputs)
    model.eval()
    return equal(model)


def asks_inputs_for_gradients(model, samples, rng):
    del rng
    samples.inputs["axial"].requires_grad_()
    return equal(model)


def draws_from_torch(model, samples, rng):
    del samples, rng
    return dict(zip(model.modalities, torch.rand(len(model.modalities)).tolist(), strict=True))


def draws_from_numpy(model, samples, rng):
    del samples, rng
    return dict.fromkeys(model.modalities, np.random.random())  # noqa: NPY002 - the fault


def draws_everything(model, samples, rng):
    del samples
    return dict(zip(model.modalities, rng.dirichlet(np.ones(len(model.modalities))), strict=True))


def counts_positions(model, samples, rng):
    del samples, rng
    return {name: 1.0 + i for i, name in enumerate(model.modalities)}


def believes_the_order_of_inputs(model, samples, rng):
    del rng
    spread = [float(value.std()) for value in samples.inputs.values()]
    return dict(zip(model.modalities, spread, strict=True))


def finds_nothing(model, samples, rng):
    del samples, rng
    return dict.fromkeys(model.modalities, 0.0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("function", "check"),
    [
        (finds_nothing, check_result),
        (overwrites_inputs, check_nothing_is_touched),
        (leaves_gradients, check_nothing_is_touched),
        (leaves_training_mode, check_nothing_is_touched),
        (freezes_parameters, check_nothing_is_touched),
        (updates_statistics, check_nothing_is_touched),
        (asks_inputs_for_gradients, check_nothing_is_touched),
        (draws_from_torch, check_global_state),
        (draws_from_numpy, check_global_state),
        (draws_from_torch, check_same_seed),
        (draws_everything, check_other_seed),
        (counts_positions, check_reordering),
        (believes_the_order_of_inputs, check_order_of_inputs),
    ],
)
def test_a_contract_catches_who_breaks_it(function, check):
    model, samples = case(n=20)
    method = as_method(function)
    assert isinstance(method, Method)
    with torch.random.fork_rng(devices=[]), pytest.raises(AssertionError):
        check(method, model, samples)
