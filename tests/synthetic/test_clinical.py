from __future__ import annotations

import numpy as np
import pytest

from synthetic.clinical import PAPER_TABLES, GaussianTables


def test_the_papers_correlations_are_sampled():
    expected = np.eye(20)
    expected[2:5, 8] = expected[8, 2:5] = 0.5
    np.testing.assert_array_equal(PAPER_TABLES.covariance, expected)
    np.testing.assert_array_equal(PAPER_TABLES.law.covariance, expected)
    draws = PAPER_TABLES.law.sample(100_000, np.random.default_rng(0))
    # Standard errors: √(2 / n) = 0.0045 on the diagonal, √(1 / n) = 0.0032 beside it; 210 entries.
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.02)


def test_the_tables_are_modalities_with_columns_of_their_own():
    first, second = PAPER_TABLES.modalities
    assert (first.name, second.name) == ("clinical_a", "clinical_b")
    assert first.kind == second.kind == "table"
    assert first.features[8] == "clinical_a/feature_8"
    assert len(first.latents) == len(second.latents) == 10
    small = GaussianTables({"labs": 2, "history": 3}, {(1, 4): -0.25})
    assert small.n_columns == 5
    assert [len(modality.latents) for modality in small.modalities] == [2, 3]
    assert small.covariance[1, 4] == small.covariance[4, 1] == -0.25


@pytest.mark.parametrize(
    ("tables", "correlations", "message"),
    [
        ({}, {}, "at least one table"),
        ({"labs": 0}, {}, "Table 'labs' must have at least one column. Got 0"),
        ({"labs": 3}, {(0, 3): 0.5}, r"between 0 and 2. Got \(0, 3\)"),
        ({"labs": 3}, {(-1, 1): 0.5}, r"Got \(-1, 1\)"),
        ({"labs": 3}, {(1, 1): 0.5}, r"two different columns.*Got \(1, 1\)"),
        ({"labs": 3}, {(0, 1): 1.0}, r"columns 0 and 1 must lie in \(-1, 1\). Got 1.0"),
        ({"labs": 3}, {(0, 1): float("nan")}, "Got nan"),
        ({"labs": 3}, {(0, 1): 0.9, (1, 2): 0.9}, "must form a positive definite matrix.*eigenvalue -0.27"),
        # Exactly singular: √½ twice.
        (
            {"labs": 3},
            {(0, 1): 0.5**0.5, (1, 2): 0.5**0.5},
            "positive definite.*make some correlations smaller",
        ),
    ],
)
def test_bad_tables_are_refused(tables, correlations, message):
    with pytest.raises(ValueError, match=message):
        GaussianTables(tables, correlations)
