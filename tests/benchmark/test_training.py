from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pytest
import torch
from torch import nn

import synthetic
from benchmark import bench, models, training
from benchmark.suite import Stage
from benchmark.training import Fidelity, TrainingPlan, fidelity, fit
from synthetic.labels import Labels
from synthetic.types import Samples

QUICK = TrainingPlan(
    learning_rate=1e-2,
    schedule="one_cycle",
    weight_decay=1e-2,
    batch_size=64,
    max_epochs=5,
    min_steps=1,
    patience=5,
)


@pytest.fixture(scope="module")
def easy():
    scenario = synthetic.scenario("paper-F2")
    return scenario, synthetic.generate(scenario, seed=0, n=1500)


@pytest.fixture(scope="module")
def tables():
    """A problem without images: the sign of a sum of three columns of two tables."""
    z = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    return Samples({"a": z[:, :4], "b": z[:, 4:]}, (z[:, [0, 1, 4]].sum(1) > 0).long())


def weights(network):
    return torch.cat([value.double().flatten() for value in network.state_dict().values()])


def values_of(scenario, dataset):
    return scenario.decision(dataset.latents["test"].double())


def test_an_easy_problem_is_learnt(easy):
    scenario, dataset = easy
    network = fit("hybrid", dataset.train, seed=0, plan=QUICK)
    learnt = fidelity(network, dataset.test, values_of(scenario, dataset))
    assert learnt.accuracy > 0.9
    assert learnt.auroc > 0.96
    assert learnt.r2 > 0.85
    # The truth is in F: against other values of the same spread the correlation is gone.
    shuffled = values_of(scenario, dataset).flip(0)
    assert fidelity(network, dataset.test, shuffled).r2 < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", models.names()[1:-1])  # the last sees one modality alone
def test_the_networks_own_plans_learn(easy, name):
    scenario, dataset = easy
    network = fit(name, dataset.train, seed=0)
    assert fidelity(network, dataset.test, values_of(scenario, dataset)).accuracy > 0.9


@pytest.mark.parametrize("name", models.names()[1:])
def test_every_network_has_a_plan(name):
    plan = models.plan(name)
    assert 1 <= plan.max_epochs <= 20
    assert plan == models.plan(f"{name}()")


def test_a_seed_decides_everything(easy):
    train = easy[1].train.take(slice(0, 300))
    plan = dataclasses.replace(QUICK, max_epochs=2)
    first = weights(fit("hybrid", train, seed=3, plan=plan))
    torch.manual_seed(99)
    torch.randn(7)
    assert torch.equal(weights(fit("hybrid", train, seed=3, plan=plan)), first)
    assert not torch.equal(weights(fit("hybrid", train, seed=4, plan=plan)), first)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_fitting_leaves_the_global_state_alone_and_does_not_depend_on_it(tables, n_threads):
    reference = weights(fit("hybrid", tables, seed=0, plan=QUICK))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads)
        torch.manual_seed(n_threads)
        state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        network = fit("hybrid", tables, seed=0, plan=QUICK)
        fidelity(network, tables, torch.arange(400.0))
        assert torch.get_num_threads() == n_threads
        assert torch.equal(torch.get_rng_state(), state)
        np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002
        assert torch.equal(weights(network), reference)
    finally:
        torch.set_num_threads(before)


def test_a_failure_restores_threads_and_random_state(tables, monkeypatch):
    def fail(*_):
        assert torch.get_num_threads() == 1
        torch.rand(3)
        raise RuntimeError("stop")

    monkeypatch.setattr(training, "_optimise", fail)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        state = torch.get_rng_state()
        with pytest.raises(RuntimeError, match="stop"):
            fit("hybrid", tables, seed=0)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(before)


def test_the_network_comes_back_finished(tables):
    network = fit("hybrid", tables, seed=0, plan=dataclasses.replace(QUICK, max_epochs=1))
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    # Its inputs can still be differentiated.
    features = network.encode(tables.inputs).requires_grad_()
    network.classify(features)[:, 1].sum().backward()
    assert features.grad.abs().sum() > 0


def test_the_samples_are_left_as_they_were(easy):
    train = easy[1].train.take(slice(0, 200))
    copies = {name: value.clone() for name, value in train.inputs.items()}
    fit("hybrid", train, seed=0, plan=dataclasses.replace(QUICK, max_epochs=1))
    for name, value in copies.items():
        assert torch.equal(train.inputs[name], value)


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_a_class_that_the_training_split_lacks_is_a_class(tables, absent):
    """Whichever of three classes is missing: the number of classes is the scenario's."""
    labels = torch.arange(len(tables)) % 2
    labels = torch.tensor([kept for kept in range(3) if kept != absent])[labels]
    quick = dataclasses.replace(QUICK, max_epochs=1)
    network = fit("hybrid", Samples(tables.inputs, labels), seed=0, n_classes=3, plan=quick)
    assert network.classify(network.encode(tables.inputs)).shape == (len(tables), 3)
    with pytest.raises(ValueError, match=r"must be below 'n_classes' \(1\)"):
        fit("hybrid", Samples(tables.inputs, labels), seed=0, n_classes=1, plan=quick)


@pytest.mark.parametrize("shares", [(0.495, 0.495, 0.01), (0.01, 0.495, 0.495), (0.33, 0.33, 0.33, 0.01)])
@pytest.mark.few(1)
def test_a_run_trains_networks_of_all_classes_of_its_scenario(shares):
    """A split of a hundred patients may lack a class of 1 %."""
    scenario = dataclasses.replace(
        synthetic.scenario("paper-F5"), name="rare", labels=Labels(shares), n=160, description="a rare class"
    )
    dataset = next(
        found
        for found in (synthetic.generate(scenario, seed=seed) for seed in range(20))
        if len(found.train.labels.unique()) < len(shares)
    )
    stage = Stage(
        scenario=scenario.name,
        images="phantom",
        features="anatomy",
        image_size=28,
        n_patients=None,
        model="hybrid",
        data_seed=dataset.seed,
        train_seed=0,
        definition=synthetic.to_toml(scenario),
    )
    network, _, _ = bench._trained(stage, dataset.train)
    assert network.n_classes == len(shares)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "labels of at least two classes. Got none"),
        (torch.zeros(400, dtype=torch.int64), "Got one class"),
    ],
)
def test_labels_of_two_classes_are_needed(tables, labels, message):
    with pytest.raises(ValueError, match=message):
        fit("hybrid", Samples(tables.inputs, labels), seed=0)


@pytest.mark.parametrize("plan", [None, QUICK])
def test_an_unknown_network_is_answered_with_a_known_one(tables, plan):
    with pytest.raises(ValueError, match=r"'hybird' is unknown. Did you mean 'hybrid'\?"):
        fit("hybird", tables, seed=0, plan=plan)
    with pytest.raises(ValueError, match="'oracle' is not built from shapes"):
        fit("oracle", tables, seed=0, plan=plan)


# Which samples, and which epoch


def test_only_the_training_split_can_be_reached():
    assert tuple(inspect.signature(fit).parameters) == ("name", "train", "seed", "n_classes", "plan")


@pytest.fixture
def seen(monkeypatch, tables):
    """Record which rows the loss sees, and whether it trains on them."""
    places = {tuple(row.tolist()): place for place, row in enumerate(tables.inputs["a"])}
    calls = []

    def loss(network, samples, generator, original=training._loss):
        rows = {places[tuple(row.tolist())] for row in samples.inputs["a"]}
        calls.append((torch.is_grad_enabled(), rows))
        return original(network, samples, generator)

    monkeypatch.setattr(training, "_loss", loss)
    return calls


def test_a_part_of_the_training_split_is_held_out_throughout(tables, seen):
    plan = dataclasses.replace(QUICK, validation_share=0.2, max_epochs=3)
    fit("hybrid", tables, seed=0, plan=plan)
    trained = [rows for training_step, rows in seen if training_step]
    held_out = [rows for training_step, rows in seen if not training_step]
    assert len(held_out) == 3
    assert all(rows == held_out[0] for rows in held_out)
    assert len(held_out[0]) == 80
    assert set().union(*trained) == set(range(400)) - held_out[0]
    # 320 rows in batches of at most 64, each row once an epoch.
    assert [len(rows) for rows in trained] == [64] * 15
    assert set().union(*trained[:5]) == set().union(*trained[5:10])
    assert trained[0] != trained[5]
    # The part is drawn, not cut off, and another seed draws another.
    assert held_out[0] != set(range(80))
    first = set(held_out[0])
    seen.clear()
    fit("hybrid", tables, seed=1, plan=plan)
    assert next(rows for training_step, rows in seen if not training_step) != first


def test_batches_have_nearly_equal_sizes(tables, seen):
    fit("hybrid", tables, seed=0, plan=dataclasses.replace(QUICK, batch_size=119, max_epochs=1))
    # 360 rows: 119 · 3 + 3 would leave a batch of three.
    assert [len(rows) for training_step, rows in seen if training_step] == [90] * 4


class Scripted(nn.Module):
    """A network whose held-out loss follows a script, and whose weight counts the epochs."""

    def __init__(self, losses):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.losses = losses

    def loss(self):
        if torch.is_grad_enabled():
            return self.weight * 1.0
        self.epoch += 1
        return torch.tensor(float(self.losses[int(self.epoch) - 1]))


@pytest.mark.parametrize(
    ("losses", "patience", "best_and_last"),
    [
        ([5, 4, 3, 2, 1], 5, (5, 5)),  # better all the time
        ([5, 1, 2, 3, 4], 5, (2, 5)),  # best early
        ([5, 1, 2, 3, 0], 2, (2, 4)),  # stopped before it could know better
        ([5, 1, 2, 0, 3], 2, (4, 5)),  # better just in time
        ([1, 1, 1, 1, 1], 3, (1, 4)),  # equal is not better
        ([float("nan"), 3, 2, float("nan"), 4], 5, (3, 5)),  # an epoch that failed is never the best
    ],
)
def test_the_best_epochs_weights_are_kept(monkeypatch, tables, losses, patience, best_and_last):
    best, last = best_and_last
    network = Scripted(losses)
    after = []

    def loss(model, *_):
        value = model.loss()
        if not torch.is_grad_enabled():
            after.append(float(model.weight.detach()))
        return value

    monkeypatch.setattr(training, "_loss", loss)
    plan = dataclasses.replace(QUICK, max_epochs=5, patience=patience)
    training._optimise(network, tables, tables, plan, torch.Generator().manual_seed(0))
    assert len(after) == last
    assert len(set(after)) == last  # the weights moved every epoch
    assert float(network.weight.detach()) == after[best - 1]
    assert int(network.epoch) == best


def test_a_ruinous_epoch_is_undone(tables, monkeypatch):
    plan = TrainingPlan(
        learning_rate=1e-2, schedule="constant", weight_decay=0.0, max_epochs=9, min_steps=1, patience=9
    )
    good = fit("hybrid", tables, seed=0, plan=plan)
    epochs = []

    def ruin(network, samples, generator, original=training._loss):
        if not torch.is_grad_enabled():
            epochs.append(float(original(network, samples, generator)))
        elif len(epochs) >= 8:
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.mul_(-50)
        return original(network, samples, generator)

    monkeypatch.setattr(training, "_loss", ruin)
    kept = fit("hybrid", tables, seed=0, plan=plan)
    assert len(epochs) == 9
    assert epochs[8] > 10 * min(epochs)
    monkeypatch.undo()
    values = tables.inputs["a"][:, :2].sum(1) + tables.inputs["b"][:, 0]
    assert fidelity(kept, tables, values).accuracy > 0.9
    assert fidelity(good, tables, values).accuracy > 0.9


# Fidelity


@pytest.mark.parametrize("case", range(8))
def test_the_oracle_has_perfect_fidelity(case):
    scenario = synthetic.scenario(f"paper-F{case}")
    dataset = synthetic.generate(scenario, seed=1, n=4800)  # more test samples than one batch
    learnt = fidelity(
        models.oracle(dataset, scenario.decision),
        models.oracle_samples(dataset, "test"),
        values_of(scenario, dataset),
    )
    assert learnt == Fidelity(accuracy=1.0, auroc=1.0, r2=pytest.approx(1.0, abs=1e-9))


class Linear:
    """A model of one column, whose logit is slope · column + shift."""

    modalities = ("a",)
    groups = {"a": slice(0, 1)}  # noqa: RUF012

    def __init__(self, slope=1.0, shift=0.0):
        self.slope, self.shift = slope, shift

    def encode(self, inputs):
        return inputs["a"]

    def classify(self, features):
        logit = self.slope * features[:, 0] + self.shift
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


COLUMN = torch.tensor([-2.0, -1.0, 1.0, 2.0, 3.0])
LABELS = torch.tensor([0, 1, 0, 1, 1])


@pytest.mark.parametrize(
    ("model", "accuracy", "auroc"),
    [
        (Linear(), 3 / 5, 5 / 6),
        (Linear(shift=5.0), 3 / 5, 5 / 6),  # all called 1
        (Linear(slope=-1.0), 2 / 5, 1 / 6),
        (Linear(slope=0.0, shift=1.0), 3 / 5, 1 / 2),
    ],
)
def test_fidelity_by_hand(model, accuracy, auroc):
    values = torch.tensor([0.0, 2.0, 1.0, 4.0, 3.0])
    learnt = fidelity(model, Samples({"a": COLUMN[:, None]}, LABELS), values)
    assert learnt.accuracy == pytest.approx(accuracy)
    assert learnt.auroc == pytest.approx(auroc)
    expected = np.corrcoef(COLUMN, values)[0, 1] ** 2 if model.slope else 0.0
    assert learnt.r2 == pytest.approx(expected)


def test_fidelity_needs_labels():
    with pytest.raises(ValueError, match=r"'test' samples must carry labels. Got none"):
        fidelity(Linear(), Samples({"a": COLUMN[:, None]}), COLUMN)


@pytest.mark.parametrize(("n_steps", "n_epochs"), [(71, 8), (38, 8), (37, 9), (3, 100), (1, 300)])
def test_few_patients_are_passed_through_more_often(n_steps, n_epochs):
    plan = TrainingPlan(learning_rate=1e-3, schedule="one_cycle", weight_decay=0.0, max_epochs=8)
    assert plan.n_epochs(n_steps) == n_epochs


# Weight decay


class TwoParts(nn.Module):
    """An encoder of two layers and a head."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.encoder(x))


def two_parts():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TwoParts()


def steps(network, optimiser, n=20):
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    for _ in range(n):
        loss = nn.functional.cross_entropy(network(x), (x[:, 0] > 0).long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weights(network).detach()


def test_the_published_network_is_trained_with_the_published_optimiser():
    """Adam with decay 1e-4 on the encoder, to which a default Adam's group of the classifier is added."""
    plan = models.plan("hybrid-s1")
    network, theirs = two_parts(), two_parts()
    adam = torch.optim.Adam(theirs.encoder.parameters(), lr=0.001, weight_decay=0.0001)
    adam.add_param_group(torch.optim.Adam(theirs.head.parameters()).param_groups[0])
    assert plan.batch_size == 128
    ours = steps(network, training.optimiser_of(network, plan))
    torch.testing.assert_close(ours, steps(theirs, adam), atol=1e-7, rtol=0)
    # The decay can be seen, and where it is added: otherwise they end elsewhere.
    for change in ({"weight_decay": 0.0}, {"decay": "decoupled"}, {"weight_decay_of": {"head": 0.1}}):
        network = two_parts()
        other = training.optimiser_of(network, dataclasses.replace(plan, **change))
        assert (steps(network, other) - ours).abs().max() > 1e-5


@pytest.mark.parametrize("decay", ["decoupled", "l2"])
def test_without_parts_of_its_own_a_plan_decays_everything_alike(decay):
    plan = dataclasses.replace(QUICK, weight_decay=0.3, decay=decay)
    kind = {"decoupled": torch.optim.AdamW, "l2": torch.optim.Adam}[decay]
    network, plain = two_parts(), two_parts()
    reference = kind(plain.parameters(), plan.learning_rate, weight_decay=0.3, fused=True)
    assert torch.equal(steps(network, training.optimiser_of(network, plan)), steps(plain, reference))


def test_the_inner_part_decides_the_decay():
    parts = {"encoder": 0.2, "encoder.2.bias": 0.0, "encoder.0": 0.3}
    network = two_parts()
    plan = dataclasses.replace(QUICK, weight_decay=0.1, weight_decay_of=parts)
    decays = {
        id(parameter): group["weight_decay"]
        for group in training.optimiser_of(network, plan).param_groups
        for parameter in group["params"]
    }
    assert {name: decays[id(parameter)] for name, parameter in network.named_parameters()} == {
        "encoder.0.weight": 0.3,
        "encoder.0.bias": 0.3,
        "encoder.2.weight": 0.2,
        "encoder.2.bias": 0.0,
        "head.weight": 0.1,
        "head.bias": 0.1,
    }


@pytest.mark.parametrize("part", ["haed", "", "hea", "encoder.1"])
def test_a_part_that_is_not_there_is_named(part):
    plan = dataclasses.replace(QUICK, weight_decay_of={part: 0.0})
    with pytest.raises(ValueError, match=rf"must name parts .*: encoder, head, or .* Got {part!r}"):
        training.optimiser_of(two_parts(), plan)


@pytest.mark.parametrize("name", models.names()[1:])
def test_every_network_can_be_trained_by_its_own_plan(tables, name):
    """Its parts are there, whatever the data hold: here no images."""
    plan = dataclasses.replace(models.plan(name), max_epochs=1, min_steps=1)
    option = "(modality=a)" if name == "unimodal" else ""
    fit(f"{name}{option}", tables, seed=0, plan=plan)


def test_fidelity_of_three_classes():
    scenario = synthetic.scenario("three-classes")
    dataset = synthetic.generate(scenario, seed=0, n=800)
    learnt = fidelity(
        models.oracle(dataset, scenario.decision),
        models.oracle_samples(dataset, "test"),
        scenario.decision(dataset.latents["test"].double()),
        chance=1 / 3,
    )
    assert learnt.accuracy == 1
    # The middle class lies between the others, so its probability ranks all but the farthest of them.
    assert learnt.auroc > 0.99
    assert 0.9 < learnt.r2 < 1
    assert learnt.chance == pytest.approx(1 / 3)
