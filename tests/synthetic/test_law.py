from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from synthetic.law import GaussianCopula, LatentLaw, Population, covariance_root
from synthetic.margins import Margin

COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.3], [0.0, -0.3, 0.5]])
ROWS = np.array([[1, 2], [-3, 0.5], [0.25, -1], [2, 2]], dtype=np.float32)


def test_gaussian_draws_have_the_covariance():
    draws = GaussianCopula(COVARIANCE).sample(200_000, np.random.default_rng(0))
    assert draws.shape == (200_000, 3)
    assert draws.dtype == np.float64
    # Standard errors: at most √(2·2² / n) = 0.006 for the covariance, √(2 / n) = 0.003 for the mean.
    np.testing.assert_allclose(np.cov(draws.T), COVARIANCE, atol=0.025)
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.013)
    assert stats.kurtosis(draws[:, 0]) == pytest.approx(0, abs=0.06)


def test_a_matrix_that_is_no_covariance_is_not_sampled():
    with pytest.raises(
        ValueError, match=r"'covariance' must be positive semidefinite.*eigenvalue -1; make some"
    ):
        GaussianCopula(np.array([[1.0, 2.0], [2.0, 1.0]])).sample(5, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("columns", "slopes"),
    [([0], [1.0]), ([1], [-2.0]), ([0, 1], [1.0, 1.0]), ([2, 0, 1], [0.5, 1.0, -1.5])],
)
def test_gaussian_means_equal_quadrature(columns, slopes):
    law = GaussianCopula(COVARIANCE)
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
    law = LatentLaw((Population(ROWS), GaussianCopula(COVARIANCE), Population(ROWS)))
    draws = law.sample(100_000, np.random.default_rng(0))
    assert draws.shape == (100_000, 7)
    for columns in (slice(0, 2), slice(5, 7)):
        np.testing.assert_array_equal(np.unique(draws[:, columns], axis=0), np.unique(ROWS, axis=0))
    np.testing.assert_allclose(np.cov(draws[:, 2:5].T), COVARIANCE, atol=0.04)
    between = np.corrcoef(draws.T)
    for one, other in ((slice(0, 2), slice(2, 7)), (slice(2, 5), slice(5, 7))):
        np.testing.assert_allclose(between[one, other], 0, atol=0.016)


def test_a_block_is_found_with_the_places_in_it():
    first, second, third = Population(ROWS), GaussianCopula(COVARIANCE), GaussianCopula(np.eye(1))
    law = LatentLaw((first, second, third))
    assert law.block_of([1, 0]) == (first, [1, 0])
    assert law.block_of([4, 2]) == (second, [2, 0])
    assert law.block_of([5]) == (third, [0])
    assert law.block_of([1, 2]) is None
    assert law.block_of([5, 4]) is None


def test_draws_depend_on_the_generator_alone():
    law = LatentLaw((Population(ROWS), GaussianCopula(COVARIANCE)))
    one = law.sample(5, np.random.default_rng(3))
    np.testing.assert_array_equal(one, law.sample(5, np.random.default_rng(3)))
    assert not np.array_equal(one, law.sample(5, np.random.default_rng(4)))


def test_a_singular_covariance_is_sampled():
    loadings = np.random.default_rng(0).standard_normal((5, 2))
    covariance = loadings @ loadings.T
    draws = GaussianCopula(covariance).sample(100_000, np.random.default_rng(1))
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.05 * covariance.max())
    assert np.linalg.matrix_rank(draws, tol=1e-4) == 2
    twins = GaussianCopula(np.ones((2, 2))).sample(100, np.random.default_rng(1))
    np.testing.assert_allclose(twins[:, 0], twins[:, 1], atol=1e-12)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_roots_give_the_covariance_back(rank):
    loadings = np.random.default_rng(rank).standard_normal((6, rank))
    root = covariance_root(loadings @ loadings.T)
    np.testing.assert_allclose(root @ root.T, loadings @ loadings.T, atol=1e-9)


def test_rounding_below_zero_is_no_error():
    covariance = np.ones((3, 3)) - 1e-12 * np.eye(3)
    np.testing.assert_allclose(
        covariance_root(covariance) @ covariance_root(covariance).T, np.ones((3, 3)), atol=1e-9
    )


MARGINS = (Margin("lognormal", (0.5,)), Margin(), Margin("uniform"), Margin("binary", (0.2,)))
SCORES = np.array([[1, 0.6, -0.3, 0], [0.6, 1, 0.2, 0], [-0.3, 0.2, 1, 0], [0, 0, 0, 1.0]])


def test_a_copula_has_its_margins_and_its_scores_correlations():
    block = GaussianCopula(SCORES, MARGINS)
    draws = block.sample(200_000, np.random.default_rng(0))
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.015)
    np.testing.assert_allclose(draws.std(0), 1, atol=0.02)
    assert np.unique(draws[:, 3]) == pytest.approx([-0.5, 2.0])
    assert np.abs(draws[:, 2]).max() <= np.sqrt(3)
    # Increasing maps leave ranks alone: Spearman's ρ = 6/π · arcsin(ρ / 2).
    ranks = stats.spearmanr(draws[:, :3]).statistic
    np.testing.assert_allclose(ranks, 6 / np.pi * np.arcsin(SCORES[:3, :3] / 2), atol=0.01)


def test_scores_become_latents_column_by_column():
    scores = np.random.default_rng(0).standard_normal((7, 4))
    latents = GaussianCopula(SCORES, MARGINS).latents(scores)
    for column, margin in enumerate(MARGINS):
        np.testing.assert_array_equal(latents[:, column], margin.latent(scores[:, column]))
    assert GaussianCopula(SCORES).latents(scores) is scores
    assert GaussianCopula(SCORES).margins == (Margin(),) * 4


def test_means_in_closed_form_need_normal_margins():
    block = GaussianCopula(SCORES, MARGINS)
    assert block.mean_absolute([1], [2.0]) == pytest.approx(2 * np.sqrt(2 / np.pi))
    assert block.mean_exp([1], [2.0]) == pytest.approx(np.exp(2))
    for columns in ([0], [1, 2], [3]):
        assert block.mean_absolute(columns, [1.0] * len(columns)) is None
        assert block.mean_exp(columns, [1.0] * len(columns)) is None


def test_a_coarse_variable_must_be_uncorrelated():
    tied = SCORES.copy()
    tied[0, 3] = tied[3, 0] = 0.25
    with pytest.raises(
        ValueError, match=r"Column 3 has a binary margin, so its correlations must be 0.*to 0\.25"
    ):
        GaussianCopula(tied, MARGINS)


def test_columns_are_counted_over_the_blocks():
    assert LatentLaw((Population(ROWS), GaussianCopula(SCORES))).n_columns == 6
    assert LatentLaw((Population(ROWS), GaussianCopula(SCORES, MARGINS))).sample(
        3, np.random.default_rng(0)
    ).shape == (3, 6)


def test_a_population_projects_its_rows():
    np.testing.assert_allclose(Population(ROWS).project([1], [2.0]), 2 * ROWS[:, 1])
    assert Population(ROWS).project([0], [1.0]).dtype == np.float64
