"""Which truths are tied: laws of the groups, against every partition tried one by one."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmark import score
from benchmark.ties import tied_groups

CHAIN, ERROR = [0.30, 0.26, 0.23, 0.21], [0.02] * 4


def told_apart(truth, error, a, b):
    return abs(truth[a] - truth[b]) > 1.96 * math.hypot(error[a], error[b])


def scored_as_tied(truth, error, a, b):
    """Return whether the score counts two items as tied: swapping them in an estimate costs nothing."""
    n = len(truth)
    estimate = np.asarray(truth) + 1.0
    others = [item for item in range(n) if item not in (a, b)]
    estimate[others] = [3.0 if truth[item] > max(truth[a], truth[b]) else 1.0 for item in others]
    found = set()
    for first, second in ((2.2, 2.1), (2.1, 2.2)):
        estimate[a], estimate[b] = first, second
        found.add(round(float(score.kendall_tau_b(truth, estimate, truth_standard_error=error)), 9))
    return len(found) == 1


@st.composite
def truths(draw, most=6):
    """Truths close to each other, as estimated ones are; some equal, some exact."""
    n = draw(st.integers(1, most))
    values = draw(st.lists(st.integers(0, 12), min_size=n, max_size=n))
    errors = draw(st.lists(st.sampled_from([0, 0.3, 0.6, 1.0, 3.0]), min_size=n, max_size=n))
    return np.array(values, dtype=float), np.array(errors)


@settings(deadline=None)
@given(truths())
@example((np.array(CHAIN), np.array(ERROR)))
@example((np.array([0.4, 0.35, 0.25, 0.0]), np.array([0.03, 0.03, 0.03, 0.0])))
@example((np.array([0.5, 0.3, 0.3, 0.0]), np.array([0, 0.15, 0, 0])))
@example((np.linspace(0.3, 0.1, 6), np.full(6, 0.02)))
def test_no_tie_holds_two_truths_that_a_test_tells_apart(case):
    truth, error = case
    if not truth.any():
        return
    first = tied_groups(truth, error).first
    for a, b in itertools.combinations(range(len(truth)), 2):
        if truth[a] == truth[b]:
            assert first[a] == first[b]
        elif told_apart(truth, error, a, b):
            assert first[a] != first[b]
            assert not scored_as_tied(truth, error, a, b)


def slow_groups(truth, error):
    """Return the item sets of the best partition, by the definition: try every one."""
    order = sorted(range(len(truth)), key=lambda item: -truth[item])
    n, best = len(truth), ()
    for cuts in itertools.product([False, True], repeat=n - 1):
        groups = [[order[0]]]
        for item, cut in zip(order[1:], cuts, strict=True):
            if cut:
                groups.append([item])
            else:
                groups[-1].append(item)
        if any(truth[a[-1]] == truth[b[0]] for a, b in itertools.pairwise(groups)):
            continue
        pairs = [pair for group in groups for pair in itertools.combinations(group, 2)]
        if any(truth[a] != truth[b] and told_apart(truth, error, a, b) for a, b in pairs):
            continue
        z = [
            (truth[a] - truth[b]) ** 2 / (error[a] ** 2 + error[b] ** 2)
            for a, b in pairs
            if truth[a] != truth[b]
        ]
        key = (-len(pairs), round(sum(z), 6), [len(group) for group in groups])
        if not best or key < best[0]:
            best = (key, groups)
    return {frozenset(group) for group in best[1]}


@settings(deadline=None)
@given(truths())
def test_the_partition_ties_as_many_pairs_as_the_tests_allow(case):
    truth, error = case
    if not truth.any():
        return
    found = tied_groups(truth, error)
    groups = {}
    for item, rank in enumerate(found.first):
        groups.setdefault(int(rank), []).append(item)
    assert {frozenset(group) for group in groups.values()} == slow_groups(truth, error)
    for rank, group in groups.items():
        assert {int(found.last[item]) for item in group} == {rank + len(group)}


@settings(deadline=None)
@given(truths(), st.randoms(use_true_random=False))
def test_neither_the_order_of_items_nor_the_unit_matters(case, random):
    truth, error = case
    order = list(range(len(truth)))
    random.shuffle(order)
    plain = tied_groups(truth, error)
    for scale in (1.0, 7.0, 1e-3):
        moved = tied_groups(scale * truth[order], scale * error[order])
        np.testing.assert_array_equal(moved.first, plain.first[order])
        np.testing.assert_array_equal(moved.last, plain.last[order])


@settings(deadline=None)
@given(st.lists(truths(most=4).filter(lambda case: len(case[0]) == 4), min_size=1, max_size=6))
def test_a_batch_has_the_groups_of_its_rows(cases):
    truth, error = (np.array(side) for side in zip(*cases, strict=True))
    batch = tied_groups(truth, error)
    for place, case in enumerate(cases):
        np.testing.assert_array_equal(batch.first[place], tied_groups(*case).first)


def test_a_chain_of_near_truths_is_not_one_tie():
    # 1.96 · 0.02 · √2 = 0.0554: 0.30 is told from 0.23 and 0.21, 0.26 to 0.21 from none of each other
    np.testing.assert_array_equal(tied_groups(np.array(CHAIN), np.array(ERROR)).first, [0, 1, 1, 1])
    assert score.informative(CHAIN, ERROR)
    reversed_order = CHAIN[::-1]
    for metric in (score.rbo, score.rbo_w, score.rbo_a):
        assert metric(CHAIN, reversed_order, truth_standard_error=ERROR) < 1
    # the item of 0.30 last: X = 0, 1, 2, 4; p = ¾: ¼ · (¾ · ½ + 9/16 · ⅔) + (¾)³ = 3/16 + 27/64
    assert score.rbo(CHAIN, reversed_order, truth_standard_error=ERROR) == pytest.approx(39 / 64)
    assert score.rbo(CHAIN, [0.30, 0.21, 0.26, 0.23], truth_standard_error=ERROR) == 1
    # one of four items alone on top: the chance of a single untied item
    assert score.rbo_chance(CHAIN, truth_standard_error=ERROR) == score.rbo_chance([1, 0, 0, 0])
    assert score.kendall_tau_b(CHAIN, [4, 1, 1, 1], truth_standard_error=ERROR) == 1
    assert score.kendall_tau_b(CHAIN, reversed_order, truth_standard_error=ERROR) == pytest.approx(
        -3 / math.sqrt(3 * 6)
    )


@pytest.mark.parametrize("n", [3, 5, 16, 40])
def test_a_long_chain_costs_its_reversed_order_something(n):
    truth, error = np.linspace(1, 2, n), np.full(n, 1 / (n - 1) / 2.5)  # neighbours 1.77 errors apart
    assert score.informative(truth, error)
    assert score.rbo(truth, truth[::-1], truth_standard_error=error) < score.rbo_chance(
        truth, truth_standard_error=error
    )


def test_an_uncertain_twin_does_not_lend_its_error():
    # 0.3 is known exactly, and so is 0.5: that a third truth of 0.3 is uncertain ties neither to 0.5
    truth, error = [0.5, 0.3, 0.3, 0.0], [0, 0.15, 0, 0]
    np.testing.assert_array_equal(tied_groups(np.array(truth), np.array(error)).first, [0, 1, 1, 3])
    assert score.rbo(truth, [0.2, 0.4, 0.3, 0.1], truth_standard_error=error) < 1


def test_what_is_zero_within_its_error_is_tied_with_zero():
    truth, error = [0.6, 0.4, 2.6e-4, 0.0], [1e-3, 1e-3, 2e-4, 0.0]
    np.testing.assert_array_equal(tied_groups(np.array(truth), np.array(error)).first, [0, 1, 2, 2])
    assert score.rbo(truth, [0.6, 0.4, 0.0, 0.1], truth_standard_error=error) == 1
    assert score.rbo(truth, [0.6, 0.4, 0.0, 0.1], truth_standard_error=[1e-3, 1e-3, 3e-6, 0]) < 1


@settings(deadline=None)
@given(truths(), st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_differences_below_their_error_alone_make_no_order(case, steps):
    truth = case[0] + 1.0
    truth = truth + 0.5 * np.array(steps[: len(truth)]) / len(truth) + 100.0
    error = np.full(len(truth), np.ptp(truth) + 1e-6)  # every difference is below 1.96 of its errors
    assert not score.informative(truth, error)
    assert score.rbo(truth, -truth + truth.max(), truth_standard_error=error) == 1


def test_ties_of_a_large_table_are_found_in_a_moment():
    rng = np.random.default_rng(0)
    truth = rng.random((20_000, 16))
    found = tied_groups(truth, np.full(truth.shape, 0.03))
    assert found.first.shape == truth.shape
    np.testing.assert_array_equal(found.first[7], tied_groups(truth[7], np.full(16, 0.03)).first)
