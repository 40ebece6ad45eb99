from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from synthetic.law import Gaussian, LatentLaw, Population

COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.3], [0.0, -0.3, 0.5]])
ROWS = np.array([[1, 2], [-3, 0.5], [0.25, -1], [2, 2]], dtype=np.float32)


def test_gaussian_draws_have_the_covariance():
    draws = Gaussian(COVARIANCE).sample(200_000, np.random.default_rng(0))
    assert draws.shape == (200_000, 3)
    assert draws.dtype == np.float64
    # Standard errors: at most √(2·2² / n) = 0.006 for the covariance, √(2 / n) = 0.003 for the mean.
    np.testing.assert_allclose(np.cov(draws.T), COVARIANCE, atol=0.025)
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.013)
    assert stats.kurtosis(draws[:, 0]) == pytest.approx(0, abs=0.06)


def test_a_matrix_that_is_no_covariance_is_not_sampled():
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        Gaussian(np.array([[1.0, 2.0], [2.0, 1.0]])).sample(5, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("columns", "slopes"),
    [([0], [1.0]), ([1], [-2.0]), ([0, 1], [1.0, 1.0]), ([2, 0, 1], [0.5, 1.0, -1.5])],
)
def test_gaussian_means_equal_quadrature(columns, slopes):
    law = Gaussian(COVARIANCE)
    variance = sum(
        a * b * COVARIANCE[i, j]
        for i, a in zip(columns, slopes, strict=True)
        for j, b in zip(columns, slopes, strict=True)
    )
    density = stats.norm(scale=np.sqrt(variance)).pdf
    reach = 12 * np.sqrt(variance)
    absolute, _ = integrate.quad(lambda u: abs(u) * density(u), -reach, reach, points=[0])
    exponential, _ = integrate.quad(lambda u: np.exp(u) * density(u), -reach, reach + 2 * variance)
    assert law.mean_absolute(columns, slopes) == pytest.approx(absolute, rel=1e-7)
    assert law.mean_exp(columns, slopes) == pytest.approx(exponential, rel=1e-7)


def test_population_means_are_means_over_the_rows():
    law = Population(ROWS)
    # Arguments 2·second − first: 3, 4, -2.25, 2.
    assert law.mean_absolute([1, 0], [2.0, -1.0]) == pytest.approx((3 + 4 + 2.25 + 2) / 4)
    assert law.mean_exp([1, 0], [2.0, -1.0]) == pytest.approx(np.exp([3, 4, -2.25, 2]).mean())
    assert law.n_columns == 2


def test_population_draws_are_rows_and_equally_likely():
    draws = Population(ROWS).sample(40_000, np.random.default_rng(0))
    assert draws.dtype == np.float64
    rows, counts = np.unique(draws, axis=0, return_counts=True)
    np.testing.assert_array_equal(rows, np.unique(ROWS, axis=0))
    # Binomial: standard deviation √(40,000 · ¼ · ¾) = 87.
    np.testing.assert_allclose(counts, 10_000, atol=400)


def test_blocks_are_joined_in_order_and_independent():
    law = LatentLaw((Population(ROWS), Gaussian(COVARIANCE), Population(ROWS)))
    draws = law.sample(100_000, np.random.default_rng(0))
    assert draws.shape == (100_000, 7)
    for columns in (slice(0, 2), slice(5, 7)):
        np.testing.assert_array_equal(np.unique(draws[:, columns], axis=0), np.unique(ROWS, axis=0))
    np.testing.assert_allclose(np.cov(draws[:, 2:5].T), COVARIANCE, atol=0.04)
    between = np.corrcoef(draws.T)
    for one, other in ((slice(0, 2), slice(2, 7)), (slice(2, 5), slice(5, 7))):
        np.testing.assert_allclose(between[one, other], 0, atol=0.016)


def test_a_block_is_found_with_the_places_in_it():
    first, second, third = Population(ROWS), Gaussian(COVARIANCE), Gaussian(np.eye(1))
    law = LatentLaw((first, second, third))
    assert law.block_of([1, 0]) == (first, [1, 0])
    assert law.block_of([4, 2]) == (second, [2, 0])
    assert law.block_of([5]) == (third, [0])
    assert law.block_of([1, 2]) is None
    assert law.block_of([5, 4]) is None


def test_draws_depend_on_the_generator_alone():
    law = LatentLaw((Population(ROWS), Gaussian(COVARIANCE)))
    one = law.sample(5, np.random.default_rng(3))
    np.testing.assert_array_equal(one, law.sample(5, np.random.default_rng(3)))
    assert not np.array_equal(one, law.sample(5, np.random.default_rng(4)))
