"""Whether two methods are shown to be within a margin: against closed forms, and how often it errs."""

import numpy as np
import pytest
from scipy import stats

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
