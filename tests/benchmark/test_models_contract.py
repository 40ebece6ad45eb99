"""Every network keeps to the contract, and the checks of the contract can fail."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmark import models
from benchmark.models import checks
from benchmark.models.base import FusionNetwork
from benchmark.training import TrainingPlan, fit
from methods.api import NotApplicableError
from synthetic.types import Samples

NETWORKS = models.names()[1:]
ABLATIONS = (
    "contrastive(tokens=False)",
    "contrastive(dropout=random)",
    "contrastive(dropout=none)",
    "contrastive(contrastive=False)",
    "contrastive(contrastive=False, dropout=none, tokens=False)",
)
TABLES = {"a": (3,), "b": (2,)}


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [*NETWORKS, *ABLATIONS])
def test_contract(name, check):
    shapes = None
    if name == "hybrid-s1":  # large, and the same class as hybrid
        shapes = {"scan": (1, 28, 28), "labs": (3,)}
    elif name in ABLATIONS:
        shapes = checks.KINDS["three modalities, a table first"]
    check(checks.candidate(name, shapes=shapes, n_classes=3 if name in ABLATIONS else 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_large_images_and_colours_are_taken(name):
    shapes = {"scan": (3, 64, 64) if name == "hybrid-s1" else (3, 224, 200), "labs": (2,)}
    network = models.build(name, shapes, n_classes=4).eval()
    with torch.no_grad():
        assert network(checks.inputs_of(shapes, n=1)).shape == (1, 4)


@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.startswith("hybrid")])
def test_images_may_differ_in_size(name):
    shapes = {"small": (1, 28, 28), "large": (1, 40, 33), "labs": (2,)}
    checks.check_door(checks.candidate(name, shapes=shapes))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_no_network_can_be_built_of_is_refused(name):
    with pytest.raises(ValueError, match=r"'n_classes' of a network must be at least 2. Got 1"):
        models.build(name, TABLES, n_classes=1)
    with pytest.raises(ValueError, match=r"at least 16 pixels wide. Got \(28, 15\)"):
        models.build(name, {"scan": (1, 28, 15)})
    with pytest.raises(ValueError, match=r"at least one modality. Got none"):
        models.build(name, {})
    with pytest.raises(ValueError, match=r"'a' must be \(columns,\) or \(channels, height, width\)"):
        models.build(name, {"a": (3, 4)})


def test_wrong_inputs_are_named():
    network = models.build("late", TABLES).eval()
    inputs = checks.inputs_of(TABLES, n=4)
    with pytest.raises(ValueError, match=r"'b' is not among them"):
        network({"a": inputs["a"]})
    with pytest.raises(ValueError, match=r"'b' must have the shape \('n', 2\). Got \(4, 3\)"):
        network({**inputs, "b": inputs["a"]})
    with pytest.raises(ValueError, match=r"'present' of a network must name its modalities .* Got 'c'"):
        network(inputs, {"c": torch.ones(4, dtype=torch.bool)})
    with pytest.raises(ValueError, match=r"'present' of 'b' must be a bool tensor of shape \(4,\)"):
        network(inputs, {"b": torch.ones(4)})
    with pytest.raises(ValueError, match=r"'present' of 'b' must be a bool tensor of shape \(4,\)"):
        network(inputs, {"b": torch.ones(3, dtype=torch.bool)})


# Training

PLAN = TrainingPlan(learning_rate=1e-2, schedule="one_cycle", weight_decay=0.1, batch_size=40, max_epochs=9)
PLAN = replace(PLAN, min_steps=1)


@pytest.fixture(scope="module")
def problem():
    """A sum of columns of two tables decides, seen by 400 patients, and 400 others to test on."""
    z = torch.randn(800, 5, generator=torch.Generator().manual_seed(1))
    labels = (z[:, 0] + z[:, 1] + z[:, 3] > 0).long()
    everyone = Samples({"a": z[:, :3], "b": z[:, 3:]}, labels)
    return everyone.take(slice(0, 400)), everyone.take(slice(400, 800))


def accuracy(network, samples, present=None):
    with torch.no_grad():
        return float((network(samples.inputs, present).argmax(1) == samples.labels).double().mean())


@pytest.mark.parametrize("name", [*(name for name in NETWORKS if name != "unimodal"), *ABLATIONS])
@pytest.mark.few(4)
def test_a_tiny_problem_is_learnt(problem, name):
    train, test = problem
    network = fit(name, train, seed=0, plan=PLAN)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert accuracy(network, test) > 0.9


def test_one_modality_is_learnt_as_far_as_it_goes(problem):
    train, test = problem
    for modality, low, high in (("a", 0.75, 0.87), ("b", 0.6, 0.78)):
        network = fit(f"unimodal(modality={modality})", train, seed=0, plan=PLAN)
        assert low < accuracy(network, test) < high
        other = {"a": "b", "b": "a"}[modality]
        inputs = {**test.inputs, other: torch.full_like(test.inputs[other], 9.0)}
        with torch.no_grad():
            assert torch.equal(network(inputs), network(test.inputs))


@pytest.mark.parametrize("name", NETWORKS)
def test_two_fits_with_one_seed_agree_and_leave_the_global_generator_alone(problem, name):
    tables = problem[0].take(slice(0, 120))
    scans = {
        scan: torch.randint(0, 256, (120, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator())
        for scan in ("first", "second")
    }
    train = Samples({**scans, **tables.inputs}, tables.labels)
    plan = TrainingPlan(
        learning_rate=1e-2, schedule="constant", weight_decay=0.1, batch_size=40, max_epochs=2, min_steps=1
    )
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = fit(name, train, seed=0, plan=plan).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    again, other = (fit(name, train, seed=seed, plan=plan).state_dict() for seed in (0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


# That the checks can fail


class Good(nn.Module):
    """A network that has what the protocol asks for and nothing else."""

    def __init__(self, shapes, *, n_classes=2):
        super().__init__()
        self.modalities = tuple(shapes)
        self.groups, start = {}, 0
        for name, (width,) in shapes.items():
            self.groups[name] = slice(start, start + width)
            start += width
        self.head = nn.Linear(start, n_classes)

    def encode(self, inputs):
        return torch.cat([inputs[name] for name in self.modalities], dim=1)

    def classify(self, features):
        return self.head(features)

    def forward(self, inputs):
        return self.classify(self.encode(inputs))


class HasShortcut(Good):
    def forward(self, inputs):
        return super().forward(inputs) + inputs["a"][:, :1]


class LacksColumns(Good):
    def __init__(self, shapes, *, n_classes=2):
        super().__init__(shapes, n_classes=n_classes)
        self.groups = {**self.groups, "b": slice(3, 4)}


class MixesSamples(Good):
    def classify(self, features):
        return self.head(features - features.mean(0))


class Noisy(Good):
    def classify(self, features):
        return self.head(features) + 1e-6 * torch.rand(2)


class HasIdleWeights(Good):
    def __init__(self, shapes, *, n_classes=2):
        super().__init__(shapes, n_classes=n_classes)
        self.idle = nn.Linear(2, 2)


class Forgetful(Good):
    def __init__(self, shapes, *, n_classes=2):
        super().__init__(shapes, n_classes=n_classes)
        self.shift = torch.rand(2)

    def classify(self, features):
        return self.head(features) + self.shift


class MisreadsAlone(Good):
    def encode_modality(self, name, value):
        return 2 * value


class BeginsWithRelu(Good):
    def classify(self, features):
        return self.head(nn.functional.relu(features, inplace=True))


class HalvesInPlace(Good):
    def classify(self, features):
        features *= 0.5
        return self.head(features)


class NormalisesInPlace(Good):
    def encode(self, inputs):
        return super().encode({name: value.div_(2) for name, value in inputs.items()})


class TakesInputsAway(Good):
    def encode(self, inputs):
        return torch.cat([inputs.pop(name) for name in self.modalities], dim=1)


class AddsAnInput(Good):
    def encode(self, inputs):
        inputs["joint"] = super().encode(inputs)
        return inputs["joint"]


class ClipsAlone(Good):
    def encode_modality(self, name, value):
        return value.clamp_(-1, 1)

    def encode(self, inputs):
        return torch.cat([inputs[name].clamp(-1, 1) for name in self.modalities], dim=1)


class Unfinished(Good):
    def encode(self, inputs):
        return torch.cat([inputs[name] for name in ("a", "b", "c")], dim=1)


class Leaky(FusionNetwork):
    def __init__(self, shapes, *, n_classes=2):
        super().__init__(shapes, {name: shape[0] for name, shape in shapes.items()}, n_classes=n_classes)
        self.head = nn.Linear(self.width, n_classes)

    def encode_modality(self, name, value):
        return value

    def classify(self, features):
        return self.head(features)

    def blanked(self, inputs, present):
        return dict(inputs)

    def joined(self, parts, present):
        return torch.cat([parts[name].nan_to_num() for name in self.shapes], dim=1)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (HasShortcut, "return classify"),
        (LacksColumns, "have 'groups'.* that cover"),
        (MixesSamples, "treat each sample alone"),
        (Noisy, "say the same of a sample each time"),
        (HasIdleWeights, "train all its parameters. .*'idle.weight' gets no"),
        (Forgetful, "be its state dict"),
        (MisreadsAlone, "encode a modality alone as beside"),
        (Leaky, "let nothing through of a modality that is missing"),
    ],
)
def test_a_network_that_breaks_a_rule_is_told(model, words):
    with pytest.raises(checks.CheckError, match=rf"Model '{model.__name__}' must ({words})"):
        checks.check_model(model, shapes=TABLES)


@pytest.mark.parametrize(
    "model", [BeginsWithRelu, HalvesInPlace, NormalisesInPlace, TakesInputsAway, AddsAnInput, ClipsAlone]
)
def test_a_network_may_work_in_place_on_what_it_is_given(model):
    """Methods, training and diagnosis hand it copies."""
    checks.check_model(model, shapes=TABLES)


def test_what_raises_ends_the_checks():
    found = list(checks.run_checks(checks.candidate(Unfinished, shapes=TABLES)))
    assert [it.status for it in found] == ["failed"]
    assert "Model 'Unfinished' must be built as Class(shapes, n_classes=…)" in found[0].reason
    assert "as 'a' (3,), 'b' (2,). It raised KeyError: 'c' (test_models_contract.py, line" in found[0].reason
    assert [it.status for it in checks.run_checks(checks.candidate("late", shapes=TABLES))] == ["ok"] * 5


def test_the_bare_protocol_passes_and_what_does_not_apply_is_skipped():
    checks.check_model(Good, shapes=TABLES)
    given = checks.candidate(Good, shapes=TABLES)
    for check in (checks.check_missing, checks.check_not_a_number):
        with pytest.raises(NotApplicableError):
            check(given)
    assert Good.__doc__.startswith(given.model.description)


def test_the_bare_protocol_can_be_trained(problem):
    train, test = problem
    path = f"{__name__}:Good"
    sys.modules.setdefault(__name__, sys.modules[Good.__module__])
    network = fit(path, train, seed=0, plan=replace(PLAN, learning_rate=0.1))
    with torch.no_grad():
        assert (network(test.inputs).argmax(1) == test.labels).double().mean() > 0.9


class NanTaker(Leaky):
    def blanked(self, inputs, present):
        return {
            name: value if present is None or name not in present
            else torch.where(present[name][:, None], value, 0.0)
            for name, value in inputs.items()
        }  # fmt: skip


def test_a_network_that_takes_nan_is_told():
    with pytest.raises(checks.CheckError, match="must refuse NaN with a ValueError that names the modality"):
        checks.check_not_a_number(checks.candidate(NanTaker, shapes=TABLES))
