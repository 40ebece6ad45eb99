import numpy as np
import pytest
import torch

from methods.dime import alone, interaction


def tables(kit, widths, score):
    return kit.table_model(widths, kit.head_binary(score))


def emap(matrix):
    """Return the additive part of f at all pairs of one's own and another's modality, and the rest."""
    additive = matrix.mean(1, keepdims=True) + matrix.mean(0, keepdims=True) - matrix.mean()
    return additive, matrix - additive


def product(x):
    return x[:, 0] * x[:, 1] + 2 * x[:, 0] + 1


def test_a_product_of_two_by_hand(kit, rng):
    """DIME's parts as Hessel & Lee find them, from f of all values of one with all of the other.

    The samples are a grid, so that their modalities are independent of each other; all partners are drawn.
    """
    model = tables(kit, {"a": 1, "b": 1}, product)
    a, b = np.random.default_rng(1).standard_normal((2, 12)).astype(np.float32)
    grid = torch.from_numpy(np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2))
    matrix = product(grid).numpy().reshape(12, 12).astype(float)
    additive, rest = emap(matrix)
    result = interaction(model, model.samples(grid), rng, n_draws=1000)
    assert result.interactions == {("a", "b"): result.modalities["a"]}
    expected = (rest**2).mean() / matrix.var()
    assert list(result.modalities.values()) == pytest.approx([expected, expected], rel=1e-4)
    unimodal = alone(model, model.samples(grid), rng, n_draws=1000).modalities
    parts = additive.mean(1).var(), additive.mean(0).var()
    assert list(unimodal.values()) == pytest.approx(np.array(parts) / matrix.var(), rel=0.02, abs=0.005)
    assert expected + sum(parts) / matrix.var() == pytest.approx(1)


def test_in_closed_form(kit, rng):
    model = tables(kit, {"a": 1, "b": 1, "c": 1}, lambda x: x[:, 0] * x[:, 1] + x[:, 2])
    samples = model.samples(np.random.default_rng(0).standard_normal((4000, 3)))
    joint = interaction(model, samples, rng)
    assert list(joint.modalities.values()) == pytest.approx([0.5, 0.5, 0], abs=0.04)
    assert joint.modalities["c"] == pytest.approx(0, abs=1e-9)
    assert joint.interactions == {}
    own = alone(model, samples, rng)
    assert list(own.modalities.values()) == pytest.approx([0, 0, 0.5], abs=0.03)
    assert max(own.standard_error.values()) < 0.03


def test_a_sum_has_no_interaction(kit, rng):
    model = tables(kit, {"a": 2, "b": 1}, lambda x: x[:, 0] * x[:, 1] + x[:, 2] ** 2)
    samples = model.samples(np.random.default_rng(0).standard_normal((300, 3)))
    assert max(interaction(model, samples, rng).modalities.values()) < 1e-9
    assert max(interaction(model, samples, rng, output="probability").modalities.values()) > 1e-3


def test_a_stand_in_says_something_where_links_count(kit, rng):
    class Separable(kit.table_model):
        def encode_modality(self, name, value):
            return value

    x = np.random.default_rng(0).standard_normal((3000, 2))
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    model = Separable({"a": 1, "b": 1}, kit.head_binary(lambda x: x[:, 0]))
    published = alone(model, model.samples(x), rng).modalities
    assert list(published.values()) == pytest.approx([1, 0], abs=0.02)
    linked = alone(model, model.samples(x), rng, absence="conditional").modalities
    assert list(linked.values()) == pytest.approx([1, 0.64], abs=0.03)


@pytest.mark.parametrize("function", [interaction, alone])
def test_a_model_that_always_answers_alike_says_nothing(kit, rng, function):
    model = tables(kit, {"a": 1, "b": 1}, lambda x: 0 * x[:, 0])
    samples = model.samples(np.random.default_rng(0).standard_normal((20, 2)))
    assert list(function(model, samples, rng).modalities.values()) == [0, 0]


def test_wrong_options_are_named(network, samples, rng):
    with pytest.raises(ValueError, match=r"'output' must be one of margin, probability. Got 'label'"):
        interaction(network, samples, rng, output="label")
