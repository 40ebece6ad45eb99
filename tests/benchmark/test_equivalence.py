"""Whether two methods are shown to be within a margin: against closed forms, and how often it errs."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.statistics import beside_the_best
from benchmark.statistics.equivalence import MARGIN, Difference, difference, equivalence_p


def compared(first, second, **options):
    return difference(first, second, **{"squared": True, "over_seeds": True, "unseen": 0.0, **options})


def test_two_one_sided_tests_are_those_of_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.3, 0.01, (2, 12, 1))
    found = compared(first, second, squared=False, over_seeds=False)
    each = (first - second)[:, 0]
    upper = stats.ttest_1samp(each, MARGIN, alternative="less").pvalue
    lower = stats.ttest_1samp(each, -MARGIN, alternative="greater").pvalue
    assert equivalence_p(found) == pytest.approx(max(upper, lower))
    expected = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    assert found.interval() == pytest.approx(tuple(expected))


def test_the_difference_of_roots_is_that_of_the_delta_method():
    rng = np.random.default_rng(1)
    first, second = rng.uniform(0.01, 0.02, (2, 200, 1)) ** 2
    found = compared(first, second, over_seeds=False)
    assert found.value == pytest.approx(np.sqrt(first.mean()) - np.sqrt(second.mean()))
    drawn = rng.integers(0, 200, (4000, 200))
    roots = np.sqrt(first[drawn, 0].mean(1)) - np.sqrt(second[drawn, 0].mean(1))
    assert found.error == pytest.approx(roots.std(), rel=0.05)


def test_scores_that_are_the_same_are_within_any_margin():
    values = np.random.default_rng(2).random((4, 3))
    found = compared(values, values)
    assert found == (0.0, 0.0, found.freedom)
    assert equivalence_p(found) == 0
    assert equivalence_p(Difference(0.02, 0.0, 3.0)) == 1
    assert equivalence_p(Difference(0.02, 1e-6, 3.0)) > 0.99


@pytest.mark.parametrize("over_seeds", [True, False])
@pytest.mark.parametrize("level", [0.02, 0.1])
def test_a_difference_of_the_margin_is_seldom_called_less(over_seeds, level):
    # Eight scenarios, three seeds; errors of lognormal size, as those of methods are.
    rng, n = np.random.default_rng(3), 2000
    called = covered = 0
    for _ in range(n):
        spread = rng.normal(0, 0.15, (2, 8, 3 if over_seeds else 1))
        raw = np.exp(2 * spread) / np.exp(2 * 0.15**2)  # mean 1
        first, second = (level + MARGIN) ** 2 * raw[0], level**2 * raw[1]
        found = compared(first, second, over_seeds=over_seeds)
        low, high = found.interval()
        called += equivalence_p(found) < 0.05
        covered += low <= MARGIN <= high
    assert called / n <= 0.065
    assert covered / n >= 0.92


def test_comparisons_with_the_best_by_hand():
    """Three methods, so each test at 0.025: b is told from a, and near it; of c nothing is shown."""
    pairs = pd.DataFrame(
        {
            "better": ["a", "a", "b"],
            "worse": ["b", "c", "c"],
            "p": [0.02, 0.03, 0.9],
            "p_within": [0.01, 0.4, 0.001],
        }
    )
    assert beside_the_best(pairs, "a") == {"a": (False, False), "b": (True, True), "c": (False, False)}
    # Who is worse than anybody is worse than the best, whoever that is.
    pairs.loc[2, "p"] = 0.024
    assert beside_the_best(pairs, "a")["c"] == (True, False)


@pytest.mark.slow
def test_the_best_is_seldom_called_worse():
    """Ten methods that err alike: one of them is called worse in at most 5 % of the tables."""
    rng = np.random.default_rng(0)
    names, wrong = [f"m{place}" for place in range(10)], 0
    for _ in range(400):
        errors = rng.normal(0, 1, (10, 24))
        rows = []
        for one, other in combinations(range(10), 2):
            gap = errors[one] - errors[other]
            p = stats.ttest_1samp(gap, 0).pvalue
            order = (one, other) if gap.mean() <= 0 else (other, one)
            rows.append([*(names[place] for place in order), p, 1.0])
        pairs = pd.DataFrame(rows, columns=["better", "worse", "p", "p_within"])
        wrong += beside_the_best(pairs, "m0")["m0"][0]  # any of them is the best; say it is the first
    assert wrong / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
