"""What is particular to each kind of fusion: early, late, attention, HEALNet, distilled, plain."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import methods
from benchmark import models, training
from benchmark.models import checks
from benchmark.models.attention_layers import Attention
from benchmark.models.distilled import distillation_loss
from benchmark.models.encoders import Encoders
from benchmark.models.plain import PlainNetwork
from benchmark.training import TrainingPlan, fit
from synthetic.types import Samples

TABLES = {"a": (3,), "b": (2,), "c": (4,)}
MIXED = {"scan": (1, 28, 28), "a": (3,), "other": (1, 28, 28)}


def build(name, shapes=TABLES):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return models.build(name, shapes).eval()


def only(*names, shapes=TABLES, n=6):
    return {name: torch.full((n,), name in names) for name in shapes}


# Encoders that are shared


def test_images_of_one_shape_share_an_encoder_and_tables_do_not():
    shapes = {**MIXED, "large": (1, 40, 40), "b": (3,)}
    encoders = Encoders(shapes, 5).eval()
    assert len(encoders.parts) == 4
    inputs = checks.inputs_of(shapes, n=3)
    encoded = encoders(inputs)
    assert set(encoded) == set(shapes)
    for name, value in inputs.items():
        torch.testing.assert_close(encoders.one(name, value), encoded[name], atol=1e-5, rtol=1e-5)
    same = {**inputs, "other": inputs["scan"], "b": inputs["a"]}
    encoded = encoders(same)
    torch.testing.assert_close(encoded["scan"], encoded["other"])
    assert (encoded["a"] - encoded["b"]).abs().max() > 0.01


# Early


@pytest.mark.parametrize(("size", "grid"), [((28, 28), (7, 7)), ((30, 64), (6, 7)), ((224, 16), (7, 6))])
def test_an_image_is_a_grid_of_at_most_seven_by_seven_patches(size, grid):
    network = build("early", {"scan": (1, *size), "a": (3,)})
    with torch.no_grad():
        maps = network.stems[0][:2](torch.rand(1, 1, *size))
    assert maps.shape[2:] == grid
    assert network.groups["scan"] == slice(0, maps[0].numel())
    assert network.groups["a"].stop - network.groups["a"].start == 3


def test_nothing_before_early_fusion_is_nonlinear():
    network = build("early", MIXED)
    one, other = checks.inputs_of(MIXED, n=4), checks.inputs_of(MIXED, n=4, seed=1)
    middle = {name: (one[name] + other[name]) / 2 for name in MIXED}
    with torch.no_grad():
        expected = (network.encode(one) + network.encode(other)) / 2
        torch.testing.assert_close(network.encode(middle), expected, atol=1e-5, rtol=1e-5)


# Late


def test_late_logits_are_the_weighted_sum_of_what_is_there():
    network = build("late")
    with torch.no_grad():
        network.log_weights.copy_(torch.tensor([1.0, 2.0, 3.0]).log())
        inputs = checks.inputs_of(TABLES, n=6)
        alone = network.classify_alone(network.encode(inputs))
        full = alone[:, 0] + 2 * alone[:, 1] + 3 * alone[:, 2]
        torch.testing.assert_close(network(inputs), full)
        torch.testing.assert_close(network(inputs, only("a", "c")), alone[:, 0] + 3 * alone[:, 2])
        assert not network(inputs, only()).any()


# Attention


def test_attention_is_that_of_torch():
    layer = Attention(8, n_heads=2)
    reference = nn.MultiheadAttention(8, 2, batch_first=True)
    tokens = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    there = torch.tensor([[True] * 5, [True, False, True, False, True], [True] + [False] * 4])
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.read.weight]))
        reference.in_proj_bias.copy_(torch.cat([torch.zeros(8), layer.read.bias]))
        reference.out_proj.load_state_dict(layer.out.state_dict())
        normal = layer.norm(tokens)
        expected, _ = reference(normal, normal, normal, key_padding_mask=~there)
        torch.testing.assert_close(layer(tokens, there=there), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["attention", "healnet"])
def test_a_network_without_a_modality_is_that_of_the_others(name):
    """With the weights of what is left, a network that never had the modality says the same."""
    network, smaller = build(name), build(name, {key: TABLES[key] for key in ("a", "c")})
    weights = {}
    for key, value in smaller.state_dict().items():
        same = network.state_dict().get(key, value)
        weights[key] = same[[0, 2]] if key == "kinds" else same
    for group in ("encoders.parts", "readers", "steps"):
        for old, new in ((0, 0), (2, 1)):
            for key, value in network.state_dict().items():
                if key.startswith(f"{group}.{old}."):
                    weights[key.replace(f"{group}.{old}.", f"{group}.{new}.", 1)] = value
    smaller.load_state_dict(weights)
    inputs = checks.inputs_of(TABLES, n=6)
    with torch.no_grad():
        torch.testing.assert_close(
            network(inputs, only("a", "c")),
            smaller({key: inputs[key] for key in ("a", "c")}),
            atol=1e-5,
            rtol=1e-5,
        )


# HEALNet


def test_the_rounds_of_healnet_share_their_weights():
    one, three = build("healnet(n_rounds=1)"), build("healnet(n_rounds=3)")
    assert {key: value.shape for key, value in one.state_dict().items()} == {
        key: value.shape for key, value in three.state_dict().items()
    }
    three.load_state_dict(one.state_dict())
    inputs = checks.inputs_of(TABLES, n=6)
    with torch.no_grad():
        assert (one(inputs) - three(inputs)).abs().max() > 1e-3  # it reads on
    calls = []
    for place, reader in enumerate(three.readers):
        reader.register_forward_hook(lambda *_, place=place: calls.append(place))
    with torch.no_grad():
        three(inputs)
    assert calls == [0, 1, 2] * 3  # each modality in turn, round after round


def test_the_context_of_healnet_is_narrow():
    network = build("healnet", MIXED)
    assert [columns.stop - columns.start for columns in network.groups.values()] == [4 * 8, 3, 4 * 8]


# Distilled


def test_the_distillation_loss_by_hand():
    """Log-odds 2 of the teacher and 0 of the student at T = 2, label 1."""
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    p = 1 / (1 + math.exp(-1.0))  # 2 / T
    divergence = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    expected = 0.25 * math.log(2) + 0.75 * 4 * divergence
    found = distillation_loss(student, teacher, torch.tensor([1]), temperature=2.0, soft_share=0.75)
    assert float(found) == pytest.approx(expected, abs=1e-6)
    same = distillation_loss(teacher, teacher, torch.tensor([1]), temperature=2.0, soft_share=1.0)
    assert float(same) == pytest.approx(0, abs=1e-6)


def test_the_heads_of_what_is_there_decide():
    network = build("distilled")
    inputs = checks.inputs_of(TABLES, n=6)
    with torch.no_grad():
        features = network.encode(inputs)
        alone = network.classify_alone(features)
        torch.testing.assert_close(network(inputs), network.joint(features))
        torch.testing.assert_close(network(inputs, only("b")), alone[:, 1])
        torch.testing.assert_close(network(inputs, only("a", "b")), alone[:, :2].mean(1))
        assert not network(inputs, only()).any()


def test_teachers_are_trained_first_then_teach_and_are_gone(monkeypatch):
    z = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    train = Samples({"a": z[:, :3], "b": z[:, 3:]}, (z.sum(1) > 0).long())
    stages, taught = [], []

    def optimise(network, *_, original=training._optimise):
        stages.append(network)
        if type(network).__name__ == "DistilledNetwork":
            assert [type(teacher).__name__ for teacher in network._teachers] == ["UnimodalNetwork"] * 2
            for name, teacher in zip(("a", "b"), network._teachers, strict=True):
                assert not teacher.training
                right = teacher(train.inputs).argmax(1) == train.labels
                taught.append((name, float(right.double().mean())))
        return original(network, *_)

    monkeypatch.setattr(training, "_optimise", optimise)
    plan = TrainingPlan(
        learning_rate=1e-2, schedule="one_cycle", weight_decay=0.1, batch_size=50, max_epochs=10, min_steps=1
    )
    network = fit("distilled", train, seed=0, plan=plan)
    assert [stage.modalities for stage in stages] == [("a",), ("b",), ("a", "b")]
    assert all(accuracy > 0.6 for _, accuracy in taught)  # they know something
    assert network._teachers == ()
    assert not any("teacher" in key for key in network.state_dict())


def test_a_student_is_smaller_than_its_teachers():
    def size(name):
        return sum(value.numel() for value in build(name, MIXED).parameters())

    assert size("distilled") < size("unimodal") / 2


# Plain


class Plain(nn.Module):
    def __init__(self, n_out=2):
        super().__init__()
        self.linear = nn.Linear(28 * 28 + 3, n_out)

    def forward(self, scan, a):
        assert scan.shape[1:] == (1, 28, 28)
        return self.linear(torch.cat([scan.flatten(1), a], dim=1))


SCAN = {"scan": (1, 28, 28), "a": (3,)}


def test_a_plain_network_is_explained_at_its_inputs():
    torch.manual_seed(0)
    plain = Plain()
    network = PlainNetwork(plain, SCAN).eval()
    inputs = checks.inputs_of(SCAN, n=8)
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), plain(inputs["scan"], inputs["a"]))
    assert isinstance(network, methods.SeparableModel)
    import numpy as np  # noqa: PLC0415

    found = methods.get("gradient").attribute(network, Samples(inputs), np.random.default_rng(0))
    with torch.no_grad():
        slope = (plain.linear.weight[1] - plain.linear.weight[0]).abs().double().numpy()
        p = network(inputs).softmax(1)[:, 1]
        scale = float((p * (1 - p)).mean())
    ratio = found.modalities["scan"] / found.modalities["a"]
    assert ratio == pytest.approx(slope[:784].sum() / slope[784:].sum(), rel=1e-4), scale


def test_a_plain_network_with_one_output_gives_the_log_odds():
    network = PlainNetwork(Plain(1), SCAN).eval()
    with torch.no_grad():
        logits = network(checks.inputs_of(SCAN, n=4))
    assert logits.shape == (4, 2)
    assert not logits[:, 0].any()
    with pytest.raises(ValueError, match=r"must return logits of shape \(4, 2\). Got \(4, 3\)"):
        PlainNetwork(Plain(3), SCAN)(checks.inputs_of(SCAN, n=4))


def test_a_plain_network_keeps_to_the_contract():
    def plain(shapes, *, n_classes=2):
        return PlainNetwork(Plain(n_classes), shapes, n_classes=n_classes)

    checks.check_model(plain, shapes=SCAN)
