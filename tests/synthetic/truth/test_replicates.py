from __future__ import annotations

import numpy as np
import pytest

from synthetic.truth.replicates import (
    N_REPLICATES,
    Precision,
    is_zero,
    normals,
    share,
    share_standard_error,
    standard_error,
    uniforms,
    until_precise,
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": 100}, "'first' of a Precision must be a power of 2 from 2 on. Got 100"),
        ({"last": 1}, "'last' of a Precision must be a power of 2.*Got 1"),
        ({"first": 0}, "Got 0"),
        ({"first": 64, "last": 32}, r"'last' of a Precision must not be below 'first' \(64\). Got 32"),
        ({"target": 0.0}, "'target' of a Precision must be positive. Got 0.0"),
        ({"target": float("nan")}, "must be positive. Got nan"),
    ],
)
def test_a_bad_precision_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Precision(**options)


def test_points_fill_the_cube_evenly_and_never_touch_its_ends():
    points = uniforms(256, 3, "test", 1)
    assert points.shape == (256, 3)
    assert points.min() > 0
    assert points.max() < 1
    assert np.isfinite(normals(points)).all()
    for column in points.T:  # each of 256 equal intervals has one point
        assert sorted((column * 256).astype(int)) == list(range(256))
    assert uniforms(8, 0, "test").shape == (8, 0)


def test_points_depend_on_their_names_alone():
    assert np.array_equal(uniforms(64, 2, "one", 1), uniforms(64, 2, "one", 1))
    assert not np.array_equal(uniforms(64, 2, "one", 1), uniforms(64, 2, "one", 2))
    # More points continue the same sequence: the first stay.
    assert np.array_equal(uniforms(64, 2, "one", 1), uniforms(128, 2, "one", 1)[:64])


def test_scrambled_points_are_unbiased_and_better_than_chance():
    # E u² v = 1/6; plain Monte Carlo with 256 points has standard deviation √(1/15 − 1/36)/16 = 0.0123.
    means = np.array(
        [(p[:, 0] ** 2 * p[:, 1]).mean() for p in (uniforms(256, 2, "it", k) for k in range(200))]
    )
    assert means.std() < 0.0123 / 10
    assert means.mean() == pytest.approx(1 / 6, abs=4 * means.std() / np.sqrt(200))


def test_too_many_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"at most 21201 dimensions\. Got 30000"):
        uniforms(2, 30_000, "test")


def test_shares():
    assert share(np.array([1.0, 3.0])).tolist() == [0.25, 0.75]
    assert share(np.array([-1.0, 3.0, 1.0])).tolist() == [0, 0.75, 0.25]
    assert share(np.zeros(4)).tolist() == [0.25] * 4
    assert share(np.array([[-1.0, -2.0], [0.0, 5.0]])).tolist() == [[0.5, 0.5], [0, 1]]


def test_standard_errors_by_hand():
    replicates = np.array([[1.0, 5.0], [3.0, 5.0]])
    # Standard deviation √2 over √2.
    assert standard_error(replicates).tolist() == [1.0, 0.0]
    assert standard_error(replicates[:1]).tolist() == [0.0, 0.0]
    # Shares 2/7 and 5/7 of the mean (2, 5); the share's slope is (5, −2)/49, so replicates differ by 10/49.
    assert share_standard_error(replicates) == pytest.approx([5 / 49, 5 / 49])


def test_the_error_of_a_share_is_that_of_repeats():
    rng = np.random.default_rng(0)
    mean, root = np.array([1.0, 2.0, 0.5]), np.array([[0.2, 0, 0], [0.15, 0.1, 0], [-0.05, 0.05, 0.1]])
    draws = mean + rng.standard_normal((2000, N_REPLICATES, 3)) @ root.T
    shares = np.array([share(it.mean(0)) for it in draws])
    errors = np.array([share_standard_error(it) for it in draws])
    assert errors.mean(0) == pytest.approx(shares.std(0), rel=0.05)


def test_zeros_are_told_from_small_values():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((N_REPLICATES, 2))
    assert is_zero(noise * 1e-3)
    assert not is_zero(noise * 1e-3 + 0.01)
    assert is_zero(np.zeros((N_REPLICATES, 2)))
    assert is_zero(np.full((N_REPLICATES, 1), 1e-10))  # rounding has no spread
    assert is_zero(np.array([[1e-12, 0.0]]))
    assert not is_zero(np.array([[1e-12, 1e-6]]))
    assert is_zero(np.empty((1, 0)))


@pytest.mark.parametrize("value", [0.0, -0.5])
def test_shares_of_nothing_have_no_error(value):
    replicates = np.full((N_REPLICATES, 2), value) + np.linspace(-1e-3, 1e-3, N_REPLICATES)[:, None]
    assert share_standard_error(replicates).tolist() == [0, 0]


def test_points_are_added_until_the_error_is_small_or_all_are_spent():
    seen = []

    def replicate(number, n):
        if number == 0:
            seen.append(n)
        return np.array([number / n])

    def error(values):
        return float(standard_error(values)[0])

    # The spread of 0 … 31 is 9.38, over √32: 1.66 / n.
    values, n = until_precise(replicate, error, Precision(0.02, first=16, last=512))
    assert (seen, n, values.shape) == ([16, 64, 256], 256, (N_REPLICATES, 1))
    seen.clear()
    assert until_precise(replicate, error, Precision(1e-9, first=16, last=128))[1] == 128
    assert seen == [16, 64, 128]
