"""Methods that train anew: on networks whose answers are written down, and on some that are trained."""

import numpy as np
import pytest
import torch
from scipy import stats

import methods
from benchmark.training import TrainingPlan, fit
from methods.api import NotApplicableError
from synthetic.types import Samples

RNG = np.random.default_rng(0)


class Table:
    """A network of tables alone, with a head that is any function from its columns to logits."""

    def __init__(self, widths, logits):
        edges = np.cumsum([0, *widths.values()]).tolist()
        self.modalities = tuple(widths)
        self.groups = {
            name: slice(start, stop) for name, start, stop in zip(widths, edges, edges[1:], strict=False)
        }
        self.classify = logits

    def encode(self, inputs):
        return torch.cat([inputs[name] for name in self.modalities], dim=1)


# Eight patients: what a network that has these modalities says of each.
LABELS = [0, 0, 0, 0, 0, 1, 1, 1]
SAYS = {
    "a": [0, 0, 0, 0, 1, 1, 1, 0],  # 6 right
    "b": [0, 0, 0, 0, 0, 0, 0, 0],  # 5 right: the commonest class
    "c": [1, 1, 1, 1, 1, 0, 0, 0],  # none right
    "bc": [0, 0, 0, 1, 0, 1, 1, 1],  # 7 right
    "ac": [0, 0, 0, 0, 0, 1, 1, 1],  # 8 right
    "ab": [1, 1, 0, 0, 1, 1, 0, 1],  # 4 right
    "abc": [0, 0, 0, 0, 0, 1, 1, 0],  # 7 right
}


def told(names, n=8):
    """Return a network that has some modalities, one column each: the number of the patient."""
    says = torch.tensor(SAYS["".join(names)], dtype=torch.float32)
    return Table(
        dict.fromkeys(names, 1),
        lambda features: torch.stack([1 - says[features[:, 0].long()], says[features[:, 0].long()]], dim=1),
    )


def patients(names="abc", n=8):
    column = torch.arange(n, dtype=torch.float32)[:, None]
    return Samples({name: column.clone() for name in names}, torch.tensor(LABELS)[:n])


def explain(name, names="abc", samples=None, retrain=told):
    return methods.get(name).attribute(told(names), samples or patients(names), RNG, retrain=retrain)


def test_each_modality_alone_by_hand():
    found = explain("single_modality")
    assert found.modalities == pytest.approx({"a": 6 / 8 - 5 / 8, "b": 0, "c": -5 / 8})
    # Beside the commonest class, a gains two patients and loses one: McNemar's b = 2 and c = 1.
    assert found.standard_error["a"] == pytest.approx(np.sqrt((3 - 1 / 8) / (8 * 7)))
    assert found.standard_error["b"] == 0
    assert found.standard_error["c"] == pytest.approx(stats.sem([-1, -1, -1, -1, -1, 0, 0, 0]))


def test_each_modality_left_out_by_hand():
    found = explain("leave_one_out")
    assert found.modalities == pytest.approx({"a": 7 / 8 - 7 / 8, "b": 7 / 8 - 8 / 8, "c": 7 / 8 - 4 / 8})
    # Without c, four patients more are wrong and one is right that all three get wrong: (4 − 1) / 8.
    assert found.standard_error["c"] == pytest.approx(np.sqrt((5 - 9 / 8) / (8 * 7)))
    # With and without a, one patient each is wrong, and not the same one: no difference, yet not sure.
    assert found.standard_error["a"] == pytest.approx(stats.sem([0, 0, 0, 1, 0, 0, 0, -1]))


def test_without_its_only_modality_the_commonest_class_is_left():
    for name in ("single_modality", "leave_one_out"):
        assert explain(name, "a").modalities == pytest.approx({"a": 1 / 8})


def test_what_is_trained_on_what():
    asked = []

    def retrain(names):
        asked.append("".join(names))
        return told(names)

    explain("single_modality", retrain=retrain)
    assert asked == ["a", "b", "c"]
    asked.clear()
    explain("leave_one_out", retrain=retrain)
    assert asked == ["abc", "bc", "ac", "ab"]


def test_the_given_model_is_not_asked():
    """Its recipe may be another one; two networks of one recipe are compared."""
    bad = Table(
        {"a": 1, "b": 1, "c": 1}, lambda features: torch.tensor([[2.0, 1.0]]).expand(len(features), 2)
    )
    for name in ("single_modality", "leave_one_out"):
        found = methods.get(name).attribute(bad, patients(), RNG, retrain=told)
        assert found.modalities == explain(name).modalities


def test_a_network_gets_no_modality_that_it_was_not_trained_on():
    class Strict(Table):
        def encode(self, inputs):
            assert set(inputs) == set(self.modalities)
            return super().encode(inputs)

    def retrain(names):
        return Strict(dict.fromkeys(names, 1), told(names).classify)

    for name in ("single_modality", "leave_one_out"):
        assert explain(name, retrain=retrain).modalities == explain(name).modalities


def test_three_classes():
    labels = torch.tensor([0, 1, 1, 2])
    samples = Samples({"a": torch.eye(4)[:, :3], "b": torch.zeros(4, 1)}, labels)

    def retrain(names):
        width = {"a": 3, "b": 1}
        return Table({name: width[name] for name in names}, _scores)

    def _scores(features):
        return torch.cat(
            [features[:, :3], features.new_zeros(len(features), 3 - features[:, :3].shape[1])], 1
        )

    model = retrain("ab")
    found = methods.get("single_modality").attribute(model, samples, RNG, retrain=retrain)
    # a says 0, 1, 2 and, of the last, 0 (all alike); class 1 is the commonest, in two of four.
    assert found.modalities == pytest.approx({"a": 2 / 4 - 2 / 4, "b": 1 / 4 - 2 / 4})


@pytest.mark.parametrize("name", ["single_modality", "leave_one_out"])
def test_what_is_declared_and_what_is_refused(name):
    method = methods.get(name)
    assert method.needs_training
    assert method.needs_labels
    assert method.trains
    assert method.estimand == {"single_modality": "bayes_accuracy"}.get(name, name)
    with pytest.raises(NotApplicableError, match="cannot be trained"):
        method.attribute(told("abc"), patients(), RNG)
    with pytest.raises(ValueError, match="needs the 'labels'"):
        method.attribute(told("abc"), patients().without_labels(), RNG, retrain=told)
    with pytest.raises(NotApplicableError, match="two samples at least"):
        method.attribute(told("abc"), patients(n=1), RNG, retrain=told)
    with pytest.raises(ValueError, match="option 'retrain' is unknown"):
        methods.get(f"{name}(retrain=3)")


def test_networks_that_are_really_trained_come_near_the_truth():
    """The sign of a sum of four columns, two of a, one each of b and c; d is noise."""
    quick = TrainingPlan(1e-2, "one_cycle", weight_decay=1e-2, max_epochs=6, min_steps=1)
    z = torch.randn(3200, 5, generator=torch.Generator().manual_seed(0))
    parts = {"a": z[:, :2], "b": z[:, 2:3], "c": z[:, 3:4], "d": z[:, 4:]}
    everyone = Samples(parts, (z[:, :4].sum(1) > 0).long())
    train, test = everyone.take(slice(0, 1200)), everyone.take(slice(1200, 3200))

    def retrain(names):
        chosen = Samples({name: train.inputs[name] for name in names}, train.labels)
        return fit("hybrid", chosen, seed=0, plan=quick)

    model = Table({"a": 2, "b": 1, "c": 1, "d": 1}, lambda features: features[:, :2])
    part = {"a": 0.5, "b": 0.25, "c": 0.25, "d": 0}  # of the variance of the sum
    for name in ("single_modality", "leave_one_out"):
        found = methods.get(name).attribute(model, test, RNG, retrain=retrain)
        for modality, share in part.items():
            # Alone, and left out of independent ones, alike: arcsin(√share) / π.
            expected = np.arcsin(np.sqrt(share)) / np.pi
            error = found.standard_error[modality]
            assert found.modalities[modality] == pytest.approx(expected, abs=4 * error + 0.02), name
            assert 0 < error < 0.03
