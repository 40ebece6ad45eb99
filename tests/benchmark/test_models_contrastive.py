"""The contrastive network: its loss by hand, its patterns one by one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from benchmark import models
from benchmark.models import checks, contrastive
from benchmark.models.contrastive import KeyQueue, info_nce
from benchmark.models.patterns import drawn_patterns, patterns, size_weights
from benchmark.training import TrainingPlan, fit
from synthetic.types import Samples

SHAPES = {"a": (3,), "b": (2,), "c": (2,), "d": (4,)}
LABELS = torch.arange(10) % 2


def build(name="contrastive", shapes=SHAPES):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return models.build(name, shapes)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_info_nce_by_hand():
    """Two patients, one remembered key, τ = ½: similarities 0.6, 0.8, −0.8 and 0, 1, 0."""
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    keys = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
    negatives = torch.tensor([[-0.8, 0.6]])
    first = math.log(math.exp(1.2) + math.exp(1.6) + math.exp(-1.6)) - 1.2
    second = math.log(math.exp(1.6) + math.exp(1.2) + math.exp(1.2)) - 1.2
    found = float(info_nce(queries, keys, negatives, temperature=0.5))
    assert found == pytest.approx((first + second) / 2, abs=1e-6)
    # Without negatives of earlier steps, and of keys that are right beyond doubt.
    assert float(info_nce(queries, queries, negatives[:0], temperature=0.01)) == pytest.approx(0, abs=1e-6)


def test_a_queue_forgets_the_oldest_keys():
    queue = KeyQueue(3)
    like = torch.zeros(1, 2)
    assert queue.keys(like).shape == (0, 2)
    for start in (0.0, 4.0):
        queue.push(torch.arange(start, start + 4).view(2, 2).requires_grad_())
    assert queue.keys(like).tolist() == [[2, 3], [4, 5], [6, 7]]
    assert not queue.keys(like).requires_grad


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_modalities_have_every_pattern(n):
    found = {tuple(row) for row in patterns(n).int().tolist()}
    assert len(patterns(n)) == len(found) == 2**n - 1
    assert (0,) * n not in found
    assert patterns(n)[-1].all()


def test_many_modalities_have_each_alone_and_all_and_some_that_are_drawn():
    assert patterns(6).sum(1).tolist() == [1] * 6 + [6]
    drawn = drawn_patterns(4000, 3, rng())
    _, counts = drawn.unique(dim=0, return_counts=True)
    assert len(counts) == 7  # none is empty, every other one comes
    assert counts.min() > 4000 / 8 * 0.85
    network = build(shapes={f"t{i}": (2,) for i in range(6)})
    chosen = network._step_patterns(8, rng())[:, 0]
    assert torch.equal(chosen[:7], patterns(6))
    assert len(chosen) == 13
    assert not torch.equal(chosen, network._step_patterns(8, rng(1))[:, 0])


def test_weights_of_patterns_by_hand():
    weights = size_weights(patterns(3))  # three of one modality, three of two, one of three
    expected = {1: 1 / 9, 2: 1 / 9, 3: 1 / 3}
    assert weights.tolist() == pytest.approx([expected[size] for size in patterns(3).sum(1).tolist()])


def spy_on_patterns(monkeypatch, name):
    """Return what is classified in a training step: which columns are stand-ins, row by row."""
    network = build(name).train()
    rows = []
    original = network.classify

    def classify(features):
        parts = features.detach().flatten(0, -2).unflatten(-1, (4, -1))
        tokens = torch.stack([network.stand_in(modality).detach() for modality in SHAPES])
        rows.extend((parts != tokens).any(2).int().tolist())
        return original(features)

    monkeypatch.setattr(network, "classify", classify)
    network.training_loss(checks.inputs_of(SHAPES, n=10), LABELS, rng())
    return rows


def test_improved_dropout_trains_every_pattern_in_one_step(monkeypatch):
    rows = spy_on_patterns(monkeypatch, "contrastive")
    assert len(rows) == 15 * 10
    counts = {tuple(row): rows.count(row) for row in rows}
    assert set(counts.values()) == {10}
    assert len(counts) == 15


def test_the_other_dropouts(monkeypatch):
    drawn = spy_on_patterns(monkeypatch, "contrastive(dropout=random)")
    assert len(drawn) == 10
    assert len({tuple(row) for row in drawn}) > 2
    assert spy_on_patterns(monkeypatch, "contrastive(dropout=none)") == [[1, 1, 1, 1]] * 10


def test_the_classification_loss_is_that_of_masked_passes():
    """An independent way: one masked pass a pattern, weighted so that each size counts alike."""
    network = build("contrastive(contrastive=False)").eval()
    inputs = checks.inputs_of(SHAPES, n=10)
    by_size = {}
    for pattern in patterns(4):
        present = {name: bit.expand(10) for name, bit in zip(SHAPES, pattern, strict=True)}
        loss = nn.functional.cross_entropy(network(inputs, present), LABELS)
        by_size.setdefault(int(pattern.sum()), []).append(loss)
    expected = torch.stack([torch.stack(losses).mean() for losses in by_size.values()]).mean()
    torch.testing.assert_close(network.training_loss(inputs, LABELS, rng()), expected)
    torch.testing.assert_close(network.validation_loss(inputs, LABELS), expected)


def test_patients_without_any_modality_of_a_pattern_do_not_count():
    network = build("contrastive(contrastive=False)").eval()
    inputs = checks.inputs_of(SHAPES, n=10)
    nobody = torch.zeros(10, dtype=torch.bool)
    only_a = {name: ~nobody if name == "a" else nobody for name in SHAPES}
    expected = nn.functional.cross_entropy(network(inputs, only_a), LABELS)
    torch.testing.assert_close(network.training_loss(inputs, LABELS, rng(), only_a), expected)
    none_at_all = dict.fromkeys(SHAPES, nobody)
    assert network.training_loss(inputs, LABELS, rng(), none_at_all).item() == 0


def test_the_contrastive_loss_pairs_all_views_both_ways(monkeypatch):
    network = build().train()
    calls = []

    def info(queries, keys, negatives, *, temperature):
        calls.append((queries.shape, negatives.shape))
        torch.testing.assert_close(queries.norm(dim=1), torch.ones(len(queries)))
        return queries.sum() * 0 + 1

    monkeypatch.setattr(contrastive, "info_nce", info)
    inputs = checks.inputs_of(SHAPES, n=10)
    embeddings = network._embedded(inputs, None)
    there = torch.ones(10, 4, dtype=torch.bool)
    assert network.contrastive_loss(embeddings, there).item() == 1
    assert len(calls) == 2 * (4 * 3 // 2 + 4)  # pairs of modalities, and of each with the fusion
    assert {negatives for _, negatives in calls} == {(0, 16)}
    calls.clear()
    there[:6, 1] = False
    network.contrastive_loss(embeddings, there)
    assert {negatives for _, negatives in calls} == {(10, 16)}  # of the step before
    assert sorted({queries[0] for queries, _ in calls}) == [4, 10]  # who lacks one is in no pair with it
    network.eval()
    network.contrastive_loss(embeddings, there)
    assert network.queues[0].keys(embeddings[:, 0]).shape == (20, 16)


def test_the_queues_are_no_part_of_the_network():
    network = build().train()
    network.training_loss(checks.inputs_of(SHAPES, n=10), LABELS, rng())
    assert network.queues[0].keys(torch.zeros(1, 16)).shape == (10, 16)
    assert set(network.state_dict()) == set(build().state_dict())


def test_tokens_stand_in_for_what_is_missing():
    network, zeros = build().eval(), build("contrastive(tokens=False)").eval()
    with torch.no_grad():
        network.tokens.copy_(torch.arange(4.0)[:, None].expand(4, 16))
    inputs = checks.inputs_of(SHAPES, n=3)
    present = {"c": torch.tensor([True, False, False])}
    for model, value in ((network, 2.0), (zeros, 0.0)):
        features = model.encode(inputs, present)
        assert (features[1:, model.groups["c"]] == value).all()
        assert not (features[0, model.groups["c"]] == value).any()
    assert zeros.tokens is None
    assert "projections" not in str(build("contrastive(contrastive=False)"))


def test_one_modality_alone_is_judged_better_with_dropout_than_without():
    """The point of the model: what never missed anything is far too sure of what one modality says."""
    z = torch.randn(1200, 4, generator=rng(3))
    everyone = Samples(
        {"a": z[:, :2], "b": z[:, 2:3], "c": z[:, 3:]}, (z.sum(1) + 0.5 * z[:, 0] > 0.8).long()
    )
    train, test = everyone.take(slice(0, 600)), everyone.take(slice(600, 1200))
    plan = TrainingPlan(
        learning_rate=1e-2, schedule="one_cycle", weight_decay=0.1, batch_size=60, max_epochs=15, min_steps=1
    )
    lost = {}
    for dropout in ("improved", "none"):
        network = fit(f"contrastive(contrastive=False, dropout={dropout})", train, seed=0, plan=plan)
        with torch.no_grad():
            losses = [
                nn.functional.cross_entropy(
                    network(test.inputs, only(name, train.modalities, 600)), test.labels
                )
                for name in train.modalities
            ]
        lost[dropout] = float(torch.stack(losses).mean())
    assert lost["improved"] < lost["none"] - 0.1
    assert lost["improved"] < -sum(share * math.log(share) for share in shares(test.labels))  # than chance


def only(name, modalities, n=600):
    return {other: torch.full((n,), other == name) for other in modalities}


def shares(labels):
    return (labels.bincount() / len(labels)).tolist()
