import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from benchmark import localisation

MASK = np.array([[True, True, False], [False, False, False]])
SCORES = (localisation.relevance_mass, localisation.relevance_rank, localisation.average_precision)

every_score = pytest.mark.parametrize("score", SCORES)


def drawn(seed, *shape, n_values=None):
    """Return masks and relevances, with ties where the values are few."""
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.3
    mask[..., 0, 0], mask[..., -1, -1] = True, False
    relevance = rng.standard_normal(shape)
    return mask, relevance if n_values is None else np.round(relevance * n_values) / n_values


@every_score
def test_a_map_that_is_the_mask_scores_one(score):
    assert score(MASK, MASK.astype(float)) == 1
    assert score(MASK, -MASK.astype(float)) == 1  # signs are of no account


@every_score
@pytest.mark.parametrize("value", [0, 1, -2.5])
def test_a_constant_map_scores_the_chance_level(score, value):
    assert score(MASK, np.full((2, 3), value)) == pytest.approx(localisation.mask_share(MASK))
    assert localisation.mask_share(MASK) == pytest.approx(1 / 3)


@every_score
def test_the_opposite_map_scores_least(score):
    opposite = score(MASK, 1.0 - MASK)
    assert opposite == {localisation.average_precision: pytest.approx(1 / 3)}.get(score, 0)


def test_hand_worked_values():
    relevance = np.array([[4, -1, 3], [0, 2, 0]])
    # In the mask are 4 and −1; the order is 4, 3, 2, 1, 0, 0.
    assert localisation.relevance_mass(MASK, relevance) == pytest.approx(5 / 10)
    assert localisation.relevance_rank(MASK, relevance) == pytest.approx(1 / 2)
    assert localisation.average_precision(MASK, relevance) == pytest.approx((1 / 1 + 2 / 4) / 2)


def test_ties_at_the_border_count_by_share():
    # The two most relevant: 4 surely, then one of three that tie, of which one is in the mask.
    assert localisation.relevance_rank(MASK, [[4, 2, 2], [0, 2, 0]]) == pytest.approx((1 + 1 / 3) / 2)


@every_score
def test_nothing_to_find_is_no_score(score):
    assert np.isnan(score(np.zeros((2, 3), bool), np.ones((2, 3))))
    assert np.isnan(score(np.ones((2, 3), bool), np.ones((2, 3))))


@pytest.mark.parametrize("n_values", [None, 3, 1])
def test_average_precision_is_that_of_scikit_learn(n_values):
    mask, relevance = drawn(0, 20, 7, 9, n_values=n_values)
    expected = [
        average_precision_score(inside.ravel(), np.abs(found).ravel())
        for inside, found in zip(mask, relevance, strict=True)
    ]
    np.testing.assert_allclose(localisation.average_precision(mask, relevance), expected)


@pytest.mark.parametrize("n_values", [None, 3, 1])
def test_rank_correlation_is_that_of_scipy(n_values):
    _, first = drawn(1, 20, 7, 9, n_values=n_values)
    _, second = drawn(2, 20, 7, 9, n_values=n_values)
    expected = [
        spearmanr(np.abs(a).ravel(), np.abs(b).ravel()).statistic for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(localisation.rank_correlation(first, second), expected, atol=1e-12)


def test_rank_correlation_of_a_constant_map_is_not_defined():
    assert np.isnan(localisation.rank_correlation(np.ones((2, 2)), [[1, 2], [3, 4]]))


def test_relevance_rank_is_the_mean_over_orders_of_ties():
    mask, relevance = drawn(3, 4, 5, n_values=1)
    rng = np.random.default_rng(0)
    broken = np.abs(relevance) + 1e-9 * rng.random((20_000, 4, 5))
    mean = np.mean(localisation.relevance_rank(mask, broken))
    assert localisation.relevance_rank(mask, relevance) == pytest.approx(mean, abs=0.01)


@every_score
def test_a_batch_is_its_maps_one_by_one(score):
    mask, relevance = drawn(4, 3, 2, 6, 5, n_values=4)
    batch = score(mask, relevance)
    assert batch.shape == (3, 2)
    for place in np.ndindex(3, 2):
        assert batch[place] == pytest.approx(score(mask[place], relevance[place]))
    np.testing.assert_allclose(
        score(mask[0, 0], relevance), score(np.broadcast_to(mask[0, 0], mask.shape), relevance)
    )


@every_score
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-300, 1e-3, 7.0, 1e300]))
def test_units_and_the_order_of_pixels_do_not_matter(score, seed, scale):
    mask, relevance = drawn(seed, 4, 6, n_values=4)
    order = np.random.default_rng(seed).permutation(24)
    shuffled = [values.ravel()[order].reshape(4, 6) for values in (mask, relevance)]
    expected = score(mask, relevance)
    assert score(mask, relevance * scale) == pytest.approx(expected, rel=1e-9)
    assert score(*shuffled) == pytest.approx(expected)
    assert 0 <= expected <= 1


@every_score
def test_wrong_input_is_refused(score):
    with pytest.raises(ValueError, match=r"'mask' must be boolean. Got int"):
        score(MASK.astype(int), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"one height and width"):
        score(MASK, np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"'relevance' must be finite. Got 1"):
        score(MASK, [[np.nan, 1, 1], [1, 1, 1]])
    with pytest.raises(ValueError, match=r"'relevance' must be maps"):
        score(MASK, np.ones(6))
