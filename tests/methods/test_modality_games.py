import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods import modality_games
from methods.modality_games import cube_variances, exact_plan, explained_variance, halves, pairs, random_plan


def worth(plan, values):
    """Return the values of a plan's coalitions, from those of all subsets (bit i stands for player i)."""
    return values[plan.coalitions @ (1 << np.arange(plan.coalitions.shape[1]))]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_exact_values_equal_those_of_shapiq(n):
    import shapiq  # noqa: PLC0415 - slow to load

    values = np.random.default_rng(n).standard_normal(2**n)
    plan = exact_plan(n)
    computer = shapiq.ExactComputer(
        lambda subsets: values[np.asarray(subsets, dtype=int) @ (1 << np.arange(n))] - values[0], n_players=n
    )
    single = computer("SV", 1).dict_values
    expected = [single[player,] for player in range(n)]
    np.testing.assert_allclose(plan.shapley @ worth(plan, values), expected, atol=1e-12)
    if n > 1:
        joint = computer("SII", 2).dict_values
        expected = [joint[pair] for pair in pairs(n)]
        np.testing.assert_allclose(plan.interactions @ worth(plan, values), expected, atol=1e-12)


@given(n=st.integers(2, 14), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_in_a_round_each_pair_are_neighbours_once(n, seed):
    orders = modality_games._round(n, np.random.default_rng(seed))
    assert all(sorted(order) == list(range(n + n % 2)) for order in orders)
    met = sorted(tuple(sorted(pair)) for order in orders for pair in itertools.pairwise(order))
    assert met == pairs(n + n % 2)


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.few(1)
def test_random_plans_are_unbiased(n):
    values = np.random.default_rng(0).standard_normal(2**n)
    exact, rng = exact_plan(n), np.random.default_rng(1)
    plans = [random_plan(n, 80, rng, interactions=True) for _ in range(2000)]
    for part in ("shapley", "interactions"):
        found = np.array([getattr(plan, part) @ worth(plan, values) for plan in plans])
        expected = getattr(exact, part) @ worth(exact, values)
        error = found.std(0) / len(plans) ** 0.5
        assert (np.abs(found.mean(0) - expected) < 4 * error).all()
        assert error.max() > 0


@given(n=st.integers(3, 9), seed=st.integers(0, 2**32 - 1), interactions=st.booleans())
@settings(deadline=None, max_examples=40)
def test_random_plans_are_exact_for_games_of_pairs(n, seed, interactions):
    """Orders and their reversals see a game of singles and pairs without error."""
    rng = np.random.default_rng(seed)
    single, joint = rng.standard_normal(n), np.triu(rng.standard_normal((n, n)), 1)
    plan = random_plan(n, 4 * n * n, rng, interactions=interactions)
    z = plan.coalitions.astype(float)
    values = z @ single + np.einsum("ci,ij,cj->c", z, joint, z)
    np.testing.assert_allclose(plan.shapley @ values, single + (joint + joint.T).sum(1) / 2, atol=1e-9)
    if interactions:
        np.testing.assert_allclose(plan.interactions @ values, [joint[pair] for pair in pairs(n)], atol=1e-9)


@given(n=st.integers(3, 20), extra=st.integers(0, 200), interactions=st.booleans())
@settings(deadline=None, max_examples=40)
def test_random_plans_keep_to_their_budget(n, extra, interactions):
    budget = modality_games.fewest_coalitions(n, interactions=interactions) + extra
    plan = random_plan(n, budget, np.random.default_rng(0), interactions=interactions)
    sizes = plan.coalitions.sum(1)
    assert ((sizes > 0) & (sizes < n)).sum() <= budget
    assert len(np.unique(plan.coalitions, axis=0)) == len(plan.coalitions)
    np.testing.assert_allclose(plan.shapley.sum(0)[(sizes > 0) & (sizes < n)], 0, atol=1e-12)


def test_a_budget_that_is_too_small_is_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"'n_coalitions' of 16 modalities must be at least 30. Got 29"):
        random_plan(16, 29, rng, interactions=False)
    with pytest.raises(ValueError, match=r"at least 480 for their interactions. Got 479"):
        random_plan(16, 479, rng, interactions=True)


def test_the_cube_gives_the_variances_of_independent_parts():
    """All pairs of a small population with independent modalities: the mean is v(S), exactly."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((3, 4, 2))  # f of three modalities with 3, 4 and 2 values each
    states = list(itertools.product(*(range(size) for size in table.shape)))
    corners = np.empty((8, len(states), len(states), 1))
    for subset in range(8):
        for (i, x), (j, other) in itertools.product(enumerate(states), enumerate(states)):
            corners[subset, i, j] = table[tuple(x[p] if subset >> p & 1 else other[p] for p in range(3))]
    found = cube_variances(corners).mean((1, 2))
    for subset in range(8):
        absent = tuple(p for p in range(3) if not subset >> p & 1)
        assert found[subset] == pytest.approx(table.mean(absent).var(), abs=1e-12)


def test_the_cube_of_a_sum_has_no_interactions_in_any_pair():
    a, b = np.random.default_rng(0).standard_normal((2, 5, 3))  # five pairs' parts, three modalities
    corners = np.array([np.where([s >> p & 1 for p in range(3)], a, b).sum(1) for s in range(8)])
    values = cube_variances(corners[..., None])
    plan = exact_plan(3)
    np.testing.assert_allclose(plan.interactions @ values, 0, atol=1e-12)
    np.testing.assert_allclose((plan.shapley @ values).T, (a - b) ** 2 / 2, atol=1e-12)


@pytest.mark.parametrize("n_draws", [1, 2, 5])
def test_what_draws_add_to_the_variance_is_taken_out(n_draws):
    rng = np.random.default_rng(0)
    known = rng.standard_normal((20_000, 1, 2))
    noise = 3 * rng.standard_normal((20_000, n_draws, 2)) * (n_draws > 1)
    found = explained_variance(torch.from_numpy(known + noise), 10**9)
    assert float(found.mean()) == pytest.approx(2, abs=0.3)
    assert float(found.mean()) == pytest.approx(2, abs=5 * float(found.std()) / 20_000**0.5)


def test_halves():
    assert halves(np.array([1.0, 2.0, 4.0]), 3).tolist() == [1.5, 2.5, 3.0]
    assert halves(np.empty((2, 0)), 1).tolist() == [[0], [0]]


def test_draws_adapt_to_what_a_million_calls_pay_for():
    assert modality_games.draws(2000, 4) == 37
    assert modality_games.draws(2000, 10) == 2
    assert modality_games.draws(40, 2) == 64
    assert modality_games.draws(2000, 16) == 2
