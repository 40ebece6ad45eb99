import itertools
from math import factorial

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import methods
from methods.coalitions import draw_coalitions, regression_matrices
from methods.kernel_shap import shapley_values


def brute_force(worth, n_players):
    """Return Shapley values by their definition, from the worth of every set of players."""
    phi = np.zeros(n_players)
    for player in range(n_players):
        others = [p for p in range(n_players) if p != player]
        for size in range(n_players):
            weight = factorial(size) * factorial(n_players - size - 1) / factorial(n_players)
            for coalition in itertools.combinations(others, size):
                phi[player] += weight * (worth({*coalition, player}) - worth(set(coalition)))
    return phi


def exact_values(model, samples):
    """Return the exact Shapley values of p(target) ``[n, d]``, coalition by coalition."""
    with torch.no_grad():
        features = model.encode(samples.inputs)
        reference = features.mean(0)
        rows = []
        for x in features:
            p = model.classify(x[None]).softmax(1)[0]
            target = 1 if len(p) == 2 else int(p.argmax())

            def worth(coalition, x=x, target=target):
                mixed = reference.clone()
                members = sorted(coalition)
                mixed[members] = x[members]
                return float(model.classify(mixed[None]).softmax(1)[0, target])

            rows.append(brute_force(worth, len(x)))
    return np.stack(rows)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8])
def test_few_features_are_exact(kit, rng, width, n_classes):
    model = kit.network({"a": (1,), "b": (width - 1,)} if width > 1 else {"a": (1,)}, n_classes=n_classes)
    samples = kit.samples(model.shapes, n=3)
    expected = exact_values(model, samples)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(shapley_values(model, samples, rng), expected, atol=2e-6)


# The package's plots, loaded with it, call functions that matplotlib is about to rename.
@pytest.mark.filterwarnings("ignore:The set_(bad|over|under) function:PendingDeprecationWarning")
@pytest.mark.parametrize("width", [12, 16, 20])
def test_many_features_agree_with_the_authors_package(kit, width):
    import shap  # noqa: PLC0415 - importing it warns

    model = kit.network({"a": (width - 5,), "b": (5,)})
    samples = kit.samples(model.shapes, n=8)
    features = model.encode(samples.inputs).numpy()

    def predict(rows):
        with torch.no_grad():
            return model.classify(torch.from_numpy(rows).float()).softmax(1)[:, 1].double().numpy()

    explainer = shap.KernelExplainer(predict, features.mean(0, keepdims=True), seed=0)
    budget = 2 * width + 2048
    theirs = explainer.shap_values(features, nsamples=budget, l1_reg=False, silent=True)
    runs = np.stack(
        [
            shapley_values(model, samples, np.random.default_rng(seed), n_coalitions=budget)
            for seed in range(4)
        ]
    )
    error = np.sqrt(runs.var(0, ddof=1).mean())
    difference = runs[0] - theirs
    assert np.abs(theirs).max() > 10 * error
    assert np.sqrt((difference**2).mean()) < 2.5 * error
    assert np.abs(difference).max() < 8 * error


def test_values_are_unbiased_where_coalitions_are_drawn(kit):
    """The mean over many draws goes to the exact values, faster than one draw alone."""
    model = kit.network({"a": (7,)})
    samples = kit.samples(model.shapes, n=4)
    runs = np.stack(
        [shapley_values(model, samples, np.random.default_rng(s), n_coalitions=40) for s in range(300)]
    )
    exact = exact_values(model, samples)
    one = np.sqrt(((runs - exact) ** 2).mean())
    mean = np.sqrt(((runs.mean(0) - exact) ** 2).mean())
    assert one > 1e-3
    assert mean < 0.2 * one


probability_heads = st.integers(0, 2**32 - 1)


@given(seed=probability_heads, width=st.integers(1, 25), budget=st.sampled_from([None, 60, 200]))
@settings(max_examples=40, deadline=None)
def test_values_add_up_to_the_change_from_the_reference(kit, seed, width, budget):
    model = kit.network({"a": (width,)}, seed=seed)
    samples = kit.samples(model.shapes, n=5, seed=seed + 1)
    phi = shapley_values(model, samples, np.random.default_rng(seed), n_coalitions=budget)
    with torch.no_grad():
        x = samples.inputs["a"]
        p = model.classify(x).softmax(1)[:, 1]
        nobody = model.classify(x.mean(0, keepdim=True)).softmax(1)[0, 1]
    torch.testing.assert_close(phi.sum(1), p - nobody, atol=2e-5, rtol=0)


@given(seed=probability_heads, width=st.integers(2, 9), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_dummy_gets_nothing_and_equals_get_the_same(kit, seed, width, data):
    dummy = data.draw(st.integers(0, width - 1))
    others = [j for j in range(width) if j != dummy]
    first, second = data.draw(st.sampled_from(others)), data.draw(st.sampled_from(others))
    inner = kit.network({"a": (width,)}, seed=seed)

    def logits(x):
        x = x.clone()
        x[:, dummy] = 0
        mean = (x[:, first] + x[:, second]) / 2
        x[:, first] = x[:, second] = mean
        return inner.classify(x)

    model = kit.table_model({"a": width}, logits)
    x = kit.samples({"a": (width,)}, n=4, seed=seed + 1).inputs["a"].clone()
    x[:, second] = x[:, first]
    phi = shapley_values(model, model.samples(x), np.random.default_rng(seed))
    assert float(phi[:, dummy].abs().max()) < 1e-5
    torch.testing.assert_close(phi[:, first], phi[:, second], atol=1e-5, rtol=0)


@pytest.mark.parametrize("width", [1, 2, 6, 11, 30])
def test_a_linear_probability_in_closed_form(kit, rng, width):
    weights = torch.linspace(-0.02, 0.03, width)
    model = kit.table_model({"a": width}, kit.head_linear(weights))
    x = torch.randn(20, width, generator=torch.Generator().manual_seed(0))
    expected = weights * (x - x.mean(0))
    torch.testing.assert_close(shapley_values(model, model.samples(x), rng), expected, atol=1e-6, rtol=0)


def test_a_product_is_shared_equally(kit, rng):
    """p = ½ + x₀x₁/10 with means 0: each of the two gets half of the interaction, the third nothing."""
    model = kit.table_model(
        {"a": 1, "b": 2},
        lambda x: torch.stack([0.5 - x[:, 0] * x[:, 1] / 10, 0.5 + x[:, 0] * x[:, 1] / 10], 1).log(),
    )
    x = torch.tensor([[a, b, c] for a in (-1.0, 1.0) for b in (-1.0, 1.0) for c in (-1.0, 1.0)])
    attribution = methods.get("kernel_shap").attribute(model, model.samples(x), rng)
    assert attribution.modalities == pytest.approx({"a": 0.05, "b": 0.05}, abs=1e-6)
    np.testing.assert_allclose(attribution.features["b"], [0.05, 0], atol=1e-6)


def test_signed_values_cancel_where_the_mean_is_taken_first(kit, rng):
    weights = torch.tensor([0.02, 0.01])
    model = kit.table_model({"a": 1, "b": 1}, kit.head_linear(weights))
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    samples = model.samples(x)
    absolute = methods.get("kernel_shap").attribute(model, samples, rng).modalities
    signed = methods.get("kernel_shap(aggregation=absolute_mean)").attribute(model, samples, rng).modalities
    spread = (x - x.mean(0)).abs().mean(0)
    assert absolute == pytest.approx({"a": 0.02 * float(spread[0]), "b": 0.01 * float(spread[1])}, rel=1e-3)
    assert signed == pytest.approx({"a": 0.0, "b": 0.0}, abs=1e-6)


@given(n_players=st.integers(2, 30), extra=st.integers(0, 300), seed=st.integers(0, 1000))
@example(n_players=6, extra=30, seed=0)  # sizes 1, 5, 2 and 4 fit exactly: none of size 3
@settings(max_examples=60, deadline=None)
def test_coalitions_stay_within_the_budget_and_neither_empty_nor_full(n_players, extra, seed):
    budget = 2 * n_players + extra
    coalitions, weight = draw_coalitions(n_players, budget, np.random.default_rng(seed))
    sizes = coalitions.sum(1)
    assert len(coalitions) == len(weight) <= budget
    assert set(coalitions.unique().tolist()) == {0, 1}
    assert 1 <= sizes.min() <= sizes.max() <= n_players - 1
    assert (weight > 0).all()
    rows = sorted(map(tuple, coalitions.tolist()))
    assert rows == sorted(map(tuple, (1 - coalitions).tolist()))  # with every coalition its complement
    if 2**n_players - 2 <= budget:
        assert len(set(rows)) == 2**n_players - 2
    total = float(weight.sum())
    assert total <= 1 + 1e-9
    # No size is left out of the kernel unless whole sizes have used up the budget.
    assert total == pytest.approx(1) or len(coalitions) >= budget - 1


@pytest.mark.parametrize(("n_players", "budget"), [(6, 30), (12, 2072), (40, 2128)])
def test_drawn_coalitions_carry_the_kernels_weight(n_players, budget):
    """The weight of a size over many draws is ∝ 1 / (s · (players − s)), enumerated or drawn."""
    total = np.zeros(n_players)
    for seed in range(40):
        coalitions, weight = draw_coalitions(n_players, budget, np.random.default_rng(seed))
        total += np.bincount(coalitions.sum(1).int().numpy(), weight.numpy(), minlength=n_players)
    sizes = np.arange(1, n_players)
    kernel = 1 / (sizes * (n_players - sizes))
    np.testing.assert_allclose(total[1:] / total.sum(), kernel / kernel.sum(), rtol=0.25)
    singles = coalitions[coalitions.sum(1) == 1]
    assert torch.equal(singles.sum(0), torch.ones(n_players))  # each feature alone, once


def test_the_regression_is_least_squares_under_the_efficiency_constraint():
    """Against a general solver: the constraint is imposed by a row of enormous weight."""
    rng = np.random.default_rng(0)
    coalitions, weight = draw_coalitions(7, 60, rng)
    solve, correction = regression_matrices(coalitions, weight)
    worth, gain = rng.standard_normal(len(coalitions)), 0.7
    root = np.sqrt(weight.numpy())[:, None]
    a = np.vstack([coalitions.numpy() * root, np.full((1, 7), 1e4)])
    b = np.append(worth * root[:, 0], 1e4 * gain)
    expected = np.linalg.lstsq(a, b, rcond=None)[0]
    ours = solve.double().numpy() @ worth + gain * correction.double().numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_too_small_a_budget_is_named(network, samples, rng):
    with pytest.raises(ValueError, match=r"'n_coalitions' of kernel SHAP must be at least 50.* Got 49"):
        shapley_values(network, samples, rng, n_coalitions=49)
    assert shapley_values(network, samples, rng, n_coalitions=50).isfinite().all()


def test_only_the_first_samples_are_explained(kit):
    model = kit.network({"a": (3,), "b": (2,)})
    samples = kit.samples(model.shapes, n=40)
    few = shapley_values(model, samples, np.random.default_rng(0), n_samples=16)
    every = shapley_values(model, samples, np.random.default_rng(0))
    assert few.shape == (16, 5)
    assert every.shape == (40, 5)
    torch.testing.assert_close(few, every[:16])
    with pytest.raises(ValueError, match="n_samples"):
        shapley_values(model, samples, np.random.default_rng(0), n_samples=0)
