import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from benchmark import score

PERSISTENCE = [0.1, 0.5, 0.75, 0.9, 0.98, 1]
UNTIED = [0.4, 0.3, 0.2, 0.1]


def levels(n):
    """Vectors of small whole numbers: many ties, no rounding."""
    return st.lists(st.integers(0, 3), min_size=n, max_size=n)


@st.composite
def pairs(draw, largest=5):
    n = draw(st.integers(1, largest))
    return draw(levels(n)), draw(levels(n))


persistences = st.sampled_from([None, *PERSISTENCE])


# The definitions, slowly: from orders and sets only, with nothing of the module under test.


def weigh(agreements, p):
    n = len(agreements)
    p = 1 - 1 / n if p is None else p
    if p == 1:
        return sum(agreements) / n
    head = sum((1 - p) * p ** (d - 1) * agreement for d, agreement in enumerate(agreements, 1))
    return head + agreements[-1] * p**n


def rbo_of_orders(first, second, p):
    return weigh([len({*first[:d]} & {*second[:d]}) / d for d in range(1, len(first) + 1)], p)


def orders(values):
    """All orders that sort the values downwards."""
    items = range(len(values))
    return [
        o
        for o in itertools.permutations(items)
        if all(values[a] >= values[b] for a, b in itertools.pairwise(o))
    ]


def in_agreement(truth, order):
    """The truth's order, its ties broken as the other order has them."""
    return sorted(order, key=lambda item: -truth[item])  # sorted() is stable


def slow_rbo(truth, estimate, p):
    return np.mean([rbo_of_orders(in_agreement(truth, o), o, p) for o in orders(estimate)])


def slow_rbo_a(truth, estimate, p):
    return np.mean([rbo_of_orders(t, e, p) for t in orders(truth) for e in orders(estimate)])


def slow_rbo_w(truth, estimate, p):
    def top(values, depth):
        return {i for i, value in enumerate(values) if sum(other > value for other in values) + 1 <= depth}

    agreements = []
    for depth in range(1, len(truth) + 1):
        first, second = top(truth, depth), top(estimate, depth)
        agreements.append(2 * len(first & second) / (len(first) + len(second)))
    return weigh(agreements, p)


# Normalising


def test_normalise_clips_negatives_and_counts_them():
    result = score.normalise([[3, 1, -0.5, -2], [1, 1, 1, 1]])
    np.testing.assert_array_equal(result.values, [[0.75, 0.25, 0, 0], [0.25] * 4])
    np.testing.assert_array_equal(result.n_clipped, [2, 0])
    np.testing.assert_array_equal(result.uniform, [False, False])


@pytest.mark.parametrize(("estimate", "n_clipped"), [([0, 0, 0, 0], 0), ([-1, -2, 0, -1e-9], 3)])
def test_normalise_turns_nothing_into_uniform_and_says_so(estimate, n_clipped):
    result = score.normalise(estimate)
    np.testing.assert_array_equal(result.values, [0.25] * 4)
    assert (result.n_clipped, result.uniform) == (n_clipped, True)


@pytest.mark.parametrize("scale", [1e308, 1e-300, 5e-324])
def test_normalise_survives_huge_and_tiny_values(scale):
    np.testing.assert_allclose(score.normalise([scale, scale, 0]).values, [0.5, 0.5, 0])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_normalised_vectors_are_shares(estimate):
    values = score.normalise(estimate).values
    assert values.min() >= 0
    assert values.sum() == pytest.approx(1)


# RMSE


def test_rmse_by_hand():
    # errors of a uniform guess: ¾, ¼, ¼, ¼; √((9 + 1 + 1 + 1) / 16 / 4) = √(12 / 64) = 0.4330127
    assert score.rmse([1, 0, 0, 0], [0.25] * 4) == pytest.approx(0.4330127, abs=1e-7)
    # [2, 1, 1, -1] is ½, ¼, ¼, 0: errors ½, ¼, ¼, 0; √(6 / 16 / 4)
    assert score.rmse([1, 0, 0, 0], [2, 1, 1, -1]) == pytest.approx(math.sqrt(6 / 64))
    assert score.rmse([0.25] * 4, [0, 0, 0, 0]) == 0
    assert score.rmse([4, 4, 0, 0], [1, 1, 0, 0]) == 0


def test_rmse_uniform_and_skill_by_hand():
    assert score.rmse_uniform([1, 0, 0, 0]) == pytest.approx(0.4330127, abs=1e-7)
    assert score.skill([1, 0, 0, 0], [1, 0, 0, 0]) == 1
    assert score.skill([1, 0, 0, 0], [1, 1, 1, 1]) == 0
    # truth ½, ½, 0, 0: uniform errs by ¼ everywhere; 0, 0, ½, ½ errs by ½ everywhere: 1 − 2
    assert score.skill([1, 1, 0, 0], [0, 0, 1, 1]) == pytest.approx(-1)
    np.testing.assert_array_equal(score.skill([[1, 0], [1, 1]], [1, 0]), [1, np.nan])
    assert math.isnan(score.skill([0.1] * 10, [1] + [0] * 9))


def test_pooled_rmse_by_hand():
    # √((0.3² + 0.1²) / 2); with 4 and 12 values √((4 · 0.09 + 12 · 0.01) / 16) = √0.03
    assert score.pooled_rmse([0.3, 0.1]) == pytest.approx(math.sqrt(0.05))
    assert score.pooled_rmse([0.3, 0.1], [4, 12]) == pytest.approx(math.sqrt(0.03))


def test_pooled_rmse_is_the_rmse_of_all_values():
    truth, estimate = np.random.default_rng(1).random((2, 7, 4))
    errors = score.normalise(truth).values - score.normalise(estimate).values
    assert score.pooled_rmse(score.rmse(truth, estimate)) == pytest.approx(np.sqrt(np.mean(errors**2)))


# RBO


def test_rbo_by_hand():
    # order 1 0 2 3 against 0 1 2 3: X = 0, 2, 3, 4; p = ½: ½·0 + ¼·1 + ⅛·1 + ⅛·1 = ½ (the tail joins depth 4)
    assert score.rbo(UNTIED, [0.3, 0.4, 0.2, 0.1], p=0.5) == pytest.approx(0.5)
    # reversed: X = 0, 0, 2, 4; p = ½: ⅛ · ⅔ + ⅛; average overlap (0 + 0 + ⅔ + 1) / 4
    assert score.rbo(UNTIED, UNTIED[::-1], p=0.5) == pytest.approx(1 / 12 + 1 / 8)
    assert score.rbo(UNTIED, UNTIED[::-1], p=1) == pytest.approx(5 / 12)
    # default p = ¾: ¼ · (¾)² · ⅔ + (¾)³ = 3/32 + 27/64
    assert score.rbo(UNTIED, UNTIED[::-1]) == pytest.approx(33 / 64)


def test_ties_of_the_truth_by_hand():
    assert score.rbo([1, 0, 0, 0], [0.7, 0.1, 0.15, 0.05], p=0.9) == 1
    assert score.rbo([0.5, 0.5, 0, 0], [0.3, 0.5, 0, 0.2], p=0.9) == 1
    # the one important item last: X = 0, 1, 2, 4; p = ½: ¼ · ½ + ⅛ · ⅔ + ⅛ = 1/3
    assert score.rbo([1, 0, 0, 0], [0.1, 0.4, 0.3, 0.2], p=0.5) == pytest.approx(1 / 3)
    assert score.rbo([0.25] * 4, UNTIED, p=0.9) == 1


def test_ties_of_the_estimate_by_hand():
    # tops {0, 1} and {2, 3}: E[X] = ½, 2, 2½, 4; p = ½: ¼ + ¼ + ⅛ · ⅚ + ⅛
    assert score.rbo(UNTIED, [0.5, 0.5, 0, 0], p=0.5) == pytest.approx(0.625 + 5 / 48)
    # negatives are clipped first: they tie at 0
    assert score.rbo(UNTIED, [0.5, 0.5, -0.1, -0.9], p=0.5) == score.rbo(UNTIED, [0.5, 0.5, 0, 0], p=0.5)


def test_both_ties_by_hand():
    # truth {0, 1} {2, 3}, estimate {0} {1, 2, 3}: depth 1: 1; depth 2: 1 + P(1 is next) = 4/3;
    # depth 3: A = {0, 1}, E|A ∩ E₃| = 1 + ⅔, min(1, |{2, 3} ∩ E₃|) = 1, in all 8/3.
    # p = ½: ½ + ¼ · ⅔ + ⅛ · 8/9 + ⅛
    expected = 1 / 2 + 1 / 6 + 1 / 9 + 1 / 8
    assert score.rbo([1, 1, 0, 0], [1, 0, 0, 0], p=0.5) == pytest.approx(expected)


def test_truths_within_their_standard_error_are_tied():
    # 1.96 · √(0.05² + 0.05²) = 0.139: 0.5 and 0.4 are tied, 0.4 and 0.1 are not
    truth, error = [0.5, 0.4, 0.1], [0.05] * 3
    assert score.rbo(truth, [0.3, 0.6, 0.1], p=0.5) == pytest.approx(0.5)
    assert score.rbo(truth, [0.3, 0.6, 0.1], p=0.5, truth_standard_error=error) == 1
    # order 1 2 0: X = 1, 1, 3: ½ + ¼ · ½ + ¼
    assert score.rbo(truth, [0.1, 0.6, 0.3], p=0.5, truth_standard_error=error) == pytest.approx(0.875)
    assert score.rbo(truth, [0.3, 0.6, 0.1], p=0.5, truth_standard_error=[0.03] * 3) == pytest.approx(0.5)
    assert score.rbo_w(truth, [0.5, 0.5, 0], truth_standard_error=error) == 1
    assert score.kendall_tau_b(truth, [0.5, 0.5, 0], truth_standard_error=error) == 1


@given(st.permutations([0, 1, 2, 3]))
def test_standard_errors_do_not_depend_on_the_order_of_items(order):
    # two equal truths, one of them uncertain: the other is known exactly, and is not 0.5
    truth, error = np.array([0.5, 0.3, 0.3, 0.0])[order], np.array([0, 0.15, 0, 0])[order]
    estimate = np.array([0.2, 0.4, 0.3, 0.1])[order]
    # order 1 2 0 3 against 0 (1 2) 3: X = 0, 1, 3, 4; p = ¾: 3/16 · ½ + 9/64 + 27/64
    assert score.rbo(truth, estimate, truth_standard_error=error) == pytest.approx(21 / 32)
    assert score.rbo(truth, truth, truth_standard_error=error) == 1


def test_nearly_equal_values_are_tied():
    truth = [0.1 + 0.2, 0.3, 0.4]  # 0.30000000000000004
    assert score.rbo(truth, [0.2, 0.3, 0.5]) == 1
    assert score.rbo(UNTIED, [0.1 + 0.2, 0.3, 0.2, 0.1]) == score.rbo(UNTIED, [0.3, 0.3, 0.2, 0.1])
    assert score.rbo([1, 1 + 1e-6, 0], [1, 0.5, 0]) < 1


@pytest.mark.parametrize("p", PERSISTENCE[:-1])
def test_rbo_agrees_with_the_reference_package(p):
    reference = pytest.importorskip("rbo", reason="the package rbo 0.1.3 is not installed").RankingSimilarity
    for order in itertools.permutations(range(4)):
        estimate = np.empty(4)
        estimate[list(order)] = UNTIED
        expected = reference([0, 1, 2, 3], list(order)).rbo_ext(p)
        assert score.rbo(UNTIED, estimate, p=p) == pytest.approx(expected, rel=0, abs=1e-12)
    rng = np.random.default_rng(10)
    for truth, estimate in rng.random((50, 2, 10)):
        expected = reference(np.argsort(-truth).tolist(), np.argsort(-estimate).tolist()).rbo_ext(p)
        assert score.rbo(truth, estimate, p=p) == pytest.approx(expected, rel=0, abs=1e-12)


@settings(deadline=None)
@given(pairs(), persistences)
def test_rbo_is_the_mean_over_orders(pair, p):
    assert score.rbo(*pair, p=p) == pytest.approx(slow_rbo(*pair, p), abs=1e-12)


@pytest.mark.parametrize("p", [None, *PERSISTENCE])
@pytest.mark.parametrize(
    "truth", [UNTIED, [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [2, 1, 1, 0], [3, 2, 1, 1], [1, 1, 1, 1]]
)
def test_chance_is_the_mean_over_all_orders(truth, p):
    every = [slow_rbo(truth, estimate, p) for estimate in itertools.permutations([4, 3, 2, 1])]
    assert score.rbo_chance(truth, p=p) == pytest.approx(np.mean(every), abs=1e-12)
    assert score.rbo(truth, [7, 7, 7, 7], p=p) == score.rbo_chance(truth, p=p)
    assert score.rbo(truth, [0, -1, 0, 0], p=p) == score.rbo_chance(truth, p=p)


def test_chance_by_hand():
    # four untied items, E[X_d] / d = d / 4; p = 0.9: 0.1·¼ + 0.09·½ + 0.081·¾ + 0.0729 + 0.6561 = 0.85975
    assert score.rbo_chance(UNTIED, p=0.9) == pytest.approx(0.85975)
    assert score.rbo_chance(UNTIED, p=0.98) == pytest.approx(0.97, abs=0.005)
    # p = ½: ½·¼ + ¼·½ + ⅛·¾ + ⅛ = 0.46875
    assert score.rbo_chance(UNTIED, p=0.5) == pytest.approx(0.46875)
    # one-hot: E[X] = ¼, ½ + 1, ¾ + 2, 4; p = ½: ½·¼ + ¼·¾ + ⅛·11/12 + ⅛
    assert score.rbo_chance([1, 0, 0, 0], p=0.5) == pytest.approx(1 / 8 + 3 / 16 + 11 / 96 + 1 / 8)


@pytest.mark.parametrize("n", [16, pytest.param(300, marks=pytest.mark.slow)])
def test_chance_is_exact_for_many_items(n):
    # Untied items: the mean agreement at depth d is d of n.
    truth = np.arange(n, 0, -1)
    expected = weigh([d / n for d in range(1, n + 1)], None)
    assert score.rbo_chance(truth) == pytest.approx(expected, abs=1e-11)
    # Two tied halves: compare with the mean over 4000 sampled orders, within five standard errors.
    halves = np.repeat([1.0, 0.0], n // 2)
    sampled = score.rbo(halves, np.random.default_rng(0).random((4000, n)))
    assert score.rbo_chance(halves) == pytest.approx(sampled.mean(), abs=5 * sampled.std() / math.sqrt(4000))


def test_informative():
    assert score.informative([1, 0, 0, 0]) is True
    assert score.informative([0.25] * 4) is False
    assert score.informative([0, 0]) is False
    assert score.informative([1]) is False
    assert score.informative([0.3, 0.2], [0.05, 0.05]) is False  # 0.1 < 1.96 · 0.0707
    np.testing.assert_array_equal(score.informative([[1, 0], [1, 1]]), [True, False])


def test_chance_corrected():
    assert score.chance_corrected(0.9, 0.8) == pytest.approx(0.5)
    assert score.chance_corrected(0.7, 0.8) == pytest.approx(-0.5)
    assert score.chance_corrected(0.75, 0.5, ceiling=0.9) == pytest.approx(0.625)
    assert math.isnan(score.chance_corrected(1.0, 1.0))
    assert math.isnan(score.chance_corrected(1.0, 1 - 1e-16))
    truth = [[1, 0, 0, 0], [1, 1, 1, 1]]
    corrected = score.chance_corrected(score.rbo(truth, UNTIED), score.rbo_chance(truth))
    np.testing.assert_array_equal(corrected, [1, np.nan])


def test_one_item_has_one_order():
    for p in (None, 0.5, 1):
        assert score.rbo([1], [0.3], p=p) == 1
        assert score.rbo_w([1], [0.3], p=p) == 1
        assert score.rbo_a([1], [0.3], p=p) == 1
        assert score.rbo_chance([1], p=p) == 1
    assert math.isnan(score.kendall_tau_b([1], [0.3]))
    assert score.rmse([1], [0.3]) == 0


# Laws


@given(pairs(), persistences)
def test_scores_lie_between_0_and_1(pair, p):
    for metric in (score.rbo, score.rbo_w, score.rbo_a):
        assert 0 <= metric(*pair, p=p) <= 1


@given(levels(5), persistences)
def test_truth_against_itself_is_perfect(truth, p):
    estimate = np.array(truth) + np.linspace(0, 0.5, 5)  # ties of the truth broken in any way
    assert score.rbo(truth, estimate, p=p) == 1
    assert score.rbo_w(truth, truth, p=p) == 1
    assert score.rmse(truth, truth) == 0


@given(pairs(), persistences)
def test_only_the_order_counts(pair, p):
    truth, estimate = (np.array(side) for side in pair)
    for metric in (score.rbo, score.rbo_w, score.rbo_a):
        plain = metric(truth, estimate, p=p)
        assert metric(truth**3 + truth, np.sqrt(estimate), p=p) == pytest.approx(plain, abs=1e-12)
    np.testing.assert_allclose(
        score.kendall_tau_b(truth**3 + truth, np.sqrt(estimate)), score.kendall_tau_b(truth, estimate)
    )


@given(pairs(), persistences, st.randoms(use_true_random=False))
def test_the_names_of_items_do_not_count(pair, p, random):
    order = list(range(len(pair[0])))
    random.shuffle(order)
    shuffled = [np.array(side)[order] for side in pair]
    for metric in (score.rbo, score.rbo_w, score.rbo_a):
        assert metric(*shuffled, p=p) == pytest.approx(metric(*pair, p=p), abs=1e-12)
    for metric in (score.rmse, score.skill, score.kendall_tau_b):
        np.testing.assert_allclose(metric(*shuffled), metric(*pair), atol=1e-12)


@given(pairs(), persistences)
def test_symmetric_scores_are_symmetric(pair, p):
    truth, estimate = pair
    for metric in (score.rbo_w, score.rbo_a):
        assert metric(truth, estimate, p=p) == pytest.approx(metric(estimate, truth, p=p), abs=1e-12)
    np.testing.assert_allclose(score.kendall_tau_b(truth, estimate), score.kendall_tau_b(estimate, truth))


@given(st.permutations([1, 2, 3, 4, 5]), st.permutations([1, 2, 3, 4, 5]), persistences)
def test_without_ties_every_rbo_is_the_same(truth, estimate, p):
    expected = score.rbo(truth, estimate, p=p)
    assert score.rbo(estimate, truth, p=p) == pytest.approx(expected, abs=1e-12)
    assert score.rbo_w(truth, estimate, p=p) == pytest.approx(expected, abs=1e-12)
    assert score.rbo_a(truth, estimate, p=p) == pytest.approx(expected, abs=1e-12)


# Known-wrong inputs


@pytest.mark.parametrize("p", [None, *PERSISTENCE])
def test_the_reversed_order_scores_lowest_and_the_right_one_highest(p):
    every = [score.rbo(UNTIED, estimate, p=p) for estimate in itertools.permutations(UNTIED)]
    assert score.rbo(UNTIED, UNTIED[::-1], p=p) == min(every) < score.rbo_chance(UNTIED, p=p)
    assert every[0] == 1 == max(every)
    assert every.count(1) == 1


@pytest.mark.parametrize("metric", [score.rbo, score.rbo_w, score.rbo_a])
@pytest.mark.parametrize("p", [None, *PERSISTENCE])
def test_a_wrong_top_costs_more_than_a_wrong_bottom(metric, p):
    top, bottom = [0.3, 0.4, 0.2, 0.1], [0.4, 0.3, 0.1, 0.2]
    assert metric(UNTIED, top, p=p) < metric(UNTIED, bottom, p=p) < 1


# RBO_w, RBO_a and Kendall's tau-b


def test_rbo_w_and_rbo_a_by_hand():
    # items a b c d; truth a (b c) d, estimate (a b) c d; p = ½ weighs depths 1, 2, 3, 4 + tail by ½, ¼, ⅛, ⅛
    truth, estimate = [3, 2, 2, 1], [3, 3, 1, 0]
    # w: {a} {a b}: 2/3; {a b c} {a b}: 4/5; {a b c} {a b c}: 1; 1
    assert score.rbo_w(truth, estimate, p=0.5) == pytest.approx(1 / 3 + 1 / 5 + 1 / 4)
    # a: 1 · ½ = ½; (1 · 1 + ½ · 1 + ½ · 0) / 2 = ¾; 1; 1
    assert score.rbo_a(truth, estimate, p=0.5) == pytest.approx(1 / 4 + 3 / 16 + 1 / 4)
    # a tied truth against itself: equality is perfect, uncertainty is not: ½ · ½ + ½
    assert score.rbo_w([1, 1], [1, 1], p=0.5) == 1
    assert score.rbo_a([1, 1], [1, 1], p=0.5) == pytest.approx(0.75)


@settings(deadline=None)
@given(pairs(largest=4), persistences)
def test_rbo_a_is_the_mean_over_orders_of_both_rankings(pair, p):
    assert score.rbo_a(*pair, p=p) == pytest.approx(slow_rbo_a(*pair, p), abs=1e-12)


@given(pairs(largest=7), persistences)
def test_rbo_w_follows_its_sets(pair, p):
    assert score.rbo_w(*pair, p=p) == pytest.approx(slow_rbo_w(*pair, p), abs=1e-12)


def test_kendall_tau_b_by_hand():
    # pairs of [3, 2, 2, 1] and [3, 3, 1, 0]: 4 agree, none disagrees, 5 untied on either side: 4 / √25
    assert score.kendall_tau_b([3, 2, 2, 1], [3, 3, 1, 0]) == pytest.approx(0.8)
    assert score.kendall_tau_b(UNTIED, UNTIED[::-1]) == -1
    assert math.isnan(score.kendall_tau_b(UNTIED, [1, 1, 1, 1]))
    assert math.isnan(score.kendall_tau_b([1, 1, 1, 1], UNTIED))


@given(pairs(largest=8).filter(lambda pair: min(len({*pair[0]}), len({*pair[1]})) > 1))
def test_kendall_tau_b_agrees_with_scipy(pair):
    assert score.kendall_tau_b(*pair) == pytest.approx(kendalltau(*pair).statistic, abs=1e-12)


# Shapes and errors


METRICS = [score.rmse, score.skill, score.rbo, score.rbo_w, score.rbo_a, score.kendall_tau_b]


@pytest.mark.parametrize("metric", METRICS)
def test_a_batch_gives_what_its_vectors_give(metric):
    rng = np.random.default_rng(2)
    truth, estimate = rng.integers(0, 4, (3, 1, 6)), rng.integers(-1, 4, (5, 6))
    batch = metric(truth, estimate)
    assert batch.shape == (3, 5)
    alone = [[metric(t[0], e) for e in estimate] for t in truth]
    assert all(type(value) is float for row in alone for value in row)
    np.testing.assert_allclose(batch, alone, rtol=0, atol=1e-12)


def test_standard_errors_broadcast():
    truth = [[0.5, 0.4, 0.1], [0.6, 0.3, 0.1]]
    got = score.rbo(truth, [0.3, 0.6, 0.1], p=0.5, truth_standard_error=[0.05] * 3)
    np.testing.assert_allclose(got, [1, 0.5])
    got = score.rbo(truth[0], [0.3, 0.6, 0.1], p=0.5, truth_standard_error=[[0.05] * 3, [0] * 3])
    np.testing.assert_allclose(got, [1, 0.5])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("truth", "estimate", "message"),
    [
        ([1, 0], [1, 0, 0], r"The 'estimate' must match the 'truth', shape \(2,\)\. Got shape \(3,\); give"),
        ([[1, 0]] * 2, [[1, 0]] * 3, r"The 'estimate' must match .* Got shape \(3, 2\)"),
        ([], [], r"The 'truth' must hold one or more values .* Got shape \(0,\); pass"),
        (1.0, 1.0, r"The 'truth' must hold one or more values .* Got shape \(\)"),
        ([1, 0], [np.nan, 1], r"The 'estimate' must be finite\. Got nan \(1 of 2 values .*; find out"),
        ([1, 0], [-np.inf, 1], r"The 'estimate' must be finite\. Got -inf"),
        ([np.inf, 0], [1, 0], r"The 'truth' must be finite\. Got inf"),
        ([1, -0.25], [1, 0], r"The 'truth' must not be negative\. Got -0\.25; only an estimate"),
        ([1, 0], {"axial": 1}, r"The 'estimate' must match the 'truth', shape \(2,\)\. Got shape \(1,\)"),
        (
            [1, 0],
            {"axial": "much", "labs": 0},
            r"The 'estimate' must be numbers .* Got \{'axial': .*; pass a",
        ),
    ],
)
def test_metrics_refuse_what_they_cannot_score(metric, truth, estimate, message):
    with pytest.raises(ValueError, match=message):
        metric(truth, estimate)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_normalise_refuses_what_is_not_finite(value):
    with pytest.raises(
        ValueError, match=rf"The 'estimate' must be finite\. Got {value} \(1 of 3 .*; find out"
    ):
        score.normalise([1, value, 0])


@pytest.mark.parametrize("p", [0, -0.5, 1.01, np.nan])
@pytest.mark.parametrize("metric", [score.rbo, score.rbo_w, score.rbo_a])
def test_persistence_is_a_share(metric, p):
    with pytest.raises(ValueError, match=rf"The 'p' .* must be in \(0, 1\]\. Got {p}; None means"):
        metric(UNTIED, UNTIED, p=p)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ([0.1, -0.1], r"The 'truth_standard_error' must not be negative\. Got -0\.1"),
        ([0.1], r"The 'truth_standard_error' must match the 'truth', shape \(2,\)\. Got shape \(1,\)"),
        ([0.1, np.nan], r"The 'truth_standard_error' must be finite\. Got nan"),
    ],
)
def test_standard_errors_are_checked(error, message):
    for call in (
        lambda: score.rbo([1, 0], [1, 0], truth_standard_error=error),
        lambda: score.rbo_chance([1, 0], truth_standard_error=error),
        lambda: score.informative([1, 0], error),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "The 'rmses' must hold one or more"),
        (([0.1, np.nan],), "The 'rmses' must be finite"),
        (([0.1, -0.2],), "The 'rmses' must not be negative. Got -0.2"),
        (([0.1, 0.2], [4]), "The 'n_values' must match the 'rmses'"),
        (([0.1, 0.2], [4, 0]), "The 'n_values' must be positive. Got 0; leave"),
    ],
)
def test_pooling_refuses_what_is_no_rmse(arguments, message):
    with pytest.raises(ValueError, match=message):
        score.pooled_rmse(*arguments)
