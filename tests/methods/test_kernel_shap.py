import itertools
from collections import Counter
from itertools import combinations, pairwise
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


def by_the_package(model, samples, **options):
    """Return what ``shap.KernelExplainer`` says of p(class 1) ``[n, d]``, the mean being the background."""
    import shap  # noqa: PLC0415 - importing it warns

    with torch.no_grad():
        features = model.encode(samples.inputs).numpy()

    def predict(rows):
        with torch.no_grad():
            return model.classify(torch.from_numpy(rows).float()).softmax(1)[:, 1].double().numpy()

    np.random.seed(0)  # noqa: NPY002 - the package draws from it
    explainer = shap.KernelExplainer(predict, features.mean(0, keepdims=True), seed=0)
    return explainer.shap_values(features, silent=True, **options)


# The package's plots, loaded with it, call functions that matplotlib is about to rename.
quiet = pytest.mark.filterwarnings("ignore:The set_(bad|over|under) function:PendingDeprecationWarning")


@quiet
@pytest.mark.parametrize("width", [12, 16, 20])
def test_without_selection_the_package_says_the_same(kit, width):
    model = kit.network({"a": (width - 5,), "b": (5,)})
    samples = kit.samples(model.shapes, n=8)
    budget = 2 * width + 2048
    theirs = by_the_package(model, samples, nsamples=budget, l1_reg=False)
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


@quiet
@pytest.mark.parametrize(("width", "selection"), [(5, 1), (5, 4), (9, 3), (9, 8), (12, 1), (12, 6), (12, 10)])
def test_selection_is_the_packages_where_all_coalitions_are_listed(kit, rng, width, selection):
    """Its own default is ``num_features(10)``."""
    model = kit.network({"a": (width - 2,), "b": (2,)}, seed=width)
    samples = kit.samples(model.shapes, n=6)
    options = {} if selection == 10 else {"l1_reg": f"num_features({selection})"}
    theirs = by_the_package(model, samples, nsamples=2**width, **options)
    ours = shapley_values(model, samples, rng, selection=selection).numpy()
    assert ((ours != 0) == (theirs != 0)).all()
    assert ((ours != 0).sum(1) == selection).all()
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@quiet
@pytest.mark.parametrize("width", [16, 40])
def test_selection_is_the_packages_up_to_its_sampling(kit, width):
    """Which features are kept differs now and then between two runs of either."""
    model = kit.network({"a": (width - 5,), "b": (5,)})
    samples = kit.samples(model.shapes, n=12)
    theirs = by_the_package(model, samples)
    ours = [
        shapley_values(
            model, samples, np.random.default_rng(seed), n_coalitions=2 * width + 2048, selection=10
        ).numpy()
        for seed in range(5)
    ]
    between = np.mean([np.abs(one - other).mean() for one, other in combinations(ours, 2)])
    assert np.mean([np.abs(it - theirs).mean() for it in ours]) < 1.6 * between
    assert np.abs(ours[0]).mean(0).sum() == pytest.approx(np.abs(theirs).mean(0).sum(), rel=0.03)


def test_as_many_features_as_there_are_is_no_selection(kit):
    model = kit.network({"a": (7,)})
    samples = kit.samples(model.shapes, n=4)
    every, kept = (shapley_values(model, samples, np.random.default_rng(0), selection=k) for k in (None, 7))
    torch.testing.assert_close(every, kept, atol=0, rtol=0)
    with pytest.raises(ValueError, match=r"'selection' of kernel SHAP must be at least 1 .* Got 0"):
        shapley_values(model, samples, np.random.default_rng(0), selection=0)


def test_selection_of_a_model_that_always_answers_alike(kit, rng):
    model = kit.table_model({"a": 6}, lambda x: torch.stack([0 * x[:, 0], 0 * x[:, 0] + 1], 1))
    found = shapley_values(model, model.samples(np.eye(6)[:3]), rng, selection=2)
    assert float(found.abs().max()) < 1e-6


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


def head(width, seed, steepness):
    """Return a game of a random network with one hidden layer: v(S) = p(S) − p(∅)."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(width, 32, generator=generator) * steepness / width**0.5
    second = torch.randn(32, generator=generator) * 3 * steepness / 32**0.5
    x = torch.randn(width, generator=generator)

    def worth(coalitions):
        return torch.sigmoid(torch.relu((coalitions * x) @ first) @ second) - 0.5

    return worth


def of_three(width, seed):
    """Return a game of products of one, two and three players, whose Shapley values have a closed form."""
    rng = np.random.default_rng(seed)
    sets = [rng.choice(width, size, replace=False) for size in (1, 2, 3) for _ in range(width)]
    gains = rng.standard_normal(len(sets))
    exact = np.zeros(width)
    for members, gain in zip(sets, gains, strict=True):
        exact[members] += gain / len(members)

    def worth(coalitions):
        there = [coalitions[:, members].prod(1) for members in sets]
        return torch.stack(there, 1).double() @ torch.from_numpy(gains)

    return worth, exact


def root_mean_square(width, budget, worth, exact, *, n_runs):
    squares = []
    for seed in range(n_runs):
        coalitions, weight = draw_coalitions(width, budget, np.random.default_rng(seed))
        solve, correction = regression_matrices(coalitions, weight)
        gain = float(worth(torch.ones(1, width))[0])
        found = solve.double().numpy() @ worth(coalitions).double().numpy() + gain * correction.numpy()
        squares.append(((found - exact) ** 2).mean())
    return float(np.sqrt(np.mean(squares)))


@pytest.mark.parametrize("steepness", [1, 2])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("width", [7, 10, 12])
@pytest.mark.few(3)
def test_more_coalitions_never_err_more(width, seed, steepness):
    worth = head(width, seed, steepness)
    everyone = draw_coalitions(width, 2**width, np.random.default_rng(0))
    solve, correction = regression_matrices(*everyone)
    exact = (worth(everyone[0]) @ solve.T + worth(torch.ones(1, width)) * correction).numpy()
    expected = brute_force(
        lambda members: float(worth(torch.tensor([[float(p in members) for p in range(width)]]))[0]), width
    )
    np.testing.assert_allclose(exact, expected, atol=1e-5)
    # Two sizes of twelve players fit into 156 coalitions, three into 596, four into 1586.
    budgets = [n * width for n in (2, 8, 10, 14, 20, 40, 50, 80, 132, 200, 300)]
    check_errors_fall(width, [n for n in budgets if n < 2**width], worth, exact)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("width", [16, 25, 40])
@pytest.mark.few(2)
def test_more_coalitions_never_err_more_on_many_features(width, seed):
    # Two sizes fit into width · (width + 1) coalitions.
    budgets = [n * width for n in (2, 8, width - 1, width + 2, 2 * width, 4 * width)]
    check_errors_fall(width, budgets, *of_three(width, seed))


@pytest.mark.parametrize("width", [10, 20, 40])
@pytest.mark.few(1)
def test_no_budget_is_ignored_where_it_helps(width):
    """On average over games the error falls at each step, from the first budget with more than singles."""
    budgets = [2 * width, 5 * width, 6 * width, 8 * width - 2, 8 * width, 12 * width]
    errors = np.array(
        [
            [root_mean_square(width, budget, *of_three(width, seed), n_runs=12) for budget in budgets]
            for seed in range(6)
        ]
    )
    steps = np.exp(np.diff(np.log(errors), axis=1).mean(0))
    assert (steps[[0, 1, 2, 4]] < 0.95).all(), steps
    assert steps[3] == pytest.approx(1, abs=0.1)  # two coalitions more are no step


def check_errors_fall(width, budgets, worth, exact):
    errors = [root_mean_square(width, budget, worth, exact, n_runs=16) for budget in budgets]
    for (fewer, more), (before, after) in zip(pairwise(budgets), pairwise(errors), strict=True):
        assert after < 1.15 * before, f"{more} coalitions err {after / before:.2f} times as much as {fewer}"
    assert errors[-1] < 0.5 * errors[1]


def test_the_published_budget_on_forty_features_errs_as_the_packages_rule_does():
    """Sizes that are enumerated as soon as they fit, at the cost of all others, err twice as much."""
    worth, exact = of_three(40, 2)
    few, published = (root_mean_square(40, n, worth, exact, n_runs=16) for n in (1000, 2128))
    assert published < 0.75 * few


@given(n_players=st.integers(2, 30), extra=st.integers(0, 300), seed=st.integers(0, 1000))
@example(n_players=6, extra=30, seed=0)
@settings(max_examples=60, deadline=None)
def test_coalitions_stay_within_the_budget_and_neither_empty_nor_full(n_players, extra, seed):
    budget = 2 * n_players + extra
    coalitions, weight = draw_coalitions(n_players, budget, np.random.default_rng(seed))
    sizes = coalitions.sum(1)
    assert len(coalitions) == len(weight) <= budget
    assert set(coalitions.unique().tolist()) == {0, 1}
    assert 1 <= sizes.min() <= sizes.max() <= n_players - 1
    assert (weight > 0).all()
    assert float(weight.sum()) == pytest.approx(1)
    rows = sorted(map(tuple, coalitions.tolist()))
    assert len(set(rows)) == len(rows)  # none comes twice
    assert rows == sorted(map(tuple, (1 - coalitions).tolist()))  # with every coalition its complement
    if 2**n_players - 2 <= budget:
        assert len(rows) == 2**n_players - 2
    elif budget >= 5 * n_players:
        assert len(rows) >= budget - 1
    else:  # singles, and all but one: few draws of all sizes err more
        assert len(rows) == 2 * n_players


@pytest.mark.parametrize(
    ("n_players", "budget"),
    [(6, 40), (12, 2072), (40, 2128), (40, 320), (13, 8190), (67, 9000), (68, 9000), (300, 9000)],
)
def test_every_size_carries_the_kernels_weight(n_players, budget):
    """The weight of a size is ∝ 1 / (s · (players − s)), whether all of it is there or a part."""
    coalitions, weight = draw_coalitions(n_players, budget, np.random.default_rng(0))
    total = np.bincount(coalitions.sum(1).int().numpy(), weight.numpy(), minlength=n_players)
    sizes = np.arange(1, n_players)
    kernel = 1 / (sizes * (n_players - sizes))
    np.testing.assert_allclose(total[1:], kernel / kernel.sum(), rtol=1e-9)


@pytest.mark.parametrize("n_players", [6, 7])
def test_coalitions_of_a_size_come_equally_often(n_players):
    """Drawn by rejection or from a list, and of the middle size, where each stands for its complement."""
    n_runs, budget = 1000, 6 * n_players
    seen = Counter()
    for seed in range(n_runs):
        coalitions, _ = draw_coalitions(n_players, budget, np.random.default_rng(seed))
        seen.update(map(tuple, coalitions.int().tolist()))
    for size in range(1, n_players):
        counts = [seen[tuple(int(p in members) for p in range(n_players))]
                  for members in itertools.combinations(range(n_players), size)]  # fmt: skip
        share = np.mean(counts) / n_runs
        assert np.ptp(counts) <= 10 * np.sqrt(n_runs * share * (1 - share))


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
