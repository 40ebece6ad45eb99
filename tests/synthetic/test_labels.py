from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic.labels import Labels

RNG = np.random.default_rng


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"shares": (1.0,)},
            r"'shares' of Labels must be two or more positive numbers that sum to 1. Got \(1.0,\)",
        ),
        ({"shares": ()}, "two or more"),
        ({"shares": (0.5, 0.6)}, "sum to 1"),
        ({"shares": (1.0, 0.0)}, "positive"),
        ({"shares": (1.5, -0.5)}, "positive"),
        ({"shares": (float("nan"), 0.5)}, "positive"),
        ({"noise": 0.5}, r"'noise' of Labels with 2 classes must lie in \[0, 0.5\).*no signal. Got 0.5"),
        ({"noise": -0.1}, "Got -0.1"),
        ({"noise": float("nan")}, "Got nan"),
        ({"shares": (0.2, 0.3, 0.5), "noise": 0.67}, r"with 3 classes must lie in \[0, 0.667\)"),
        (
            {"thresholds": (0.0, 1.0)},
            r"'thresholds' of Labels.*one fewer than 'shares' \(1\). Got \(0.0, 1.0\)",
        ),
        ({"thresholds": ()}, "one fewer"),
        ({"thresholds": (float("inf"),)}, "finite and increasing"),
        ({"shares": (0.2, 0.3, 0.5), "thresholds": (1.0, 1.0)}, "finite and increasing"),
        ({"shares": (0.2, 0.3, 0.5), "thresholds": (1.0, 0.0)}, "finite and increasing"),
    ],
)
def test_bad_labels_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Labels(**options)


def test_levels_are_probabilities_below_the_thresholds():
    assert Labels((0.2, 0.3, 0.5)).levels == pytest.approx([0.2, 0.5])
    assert Labels().levels == pytest.approx([0.5])
    assert Labels((0.2, 0.3, 0.5)).n_classes == 3


def test_a_value_at_a_threshold_counts_to_the_class_above():
    values = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    labels = Labels((0.2, 0.3, 0.5)).draw(values, np.array([0.0, 1.0]), RNG(0))
    assert labels.tolist() == [0, 1, 1, 2, 2]
    assert labels.dtype == np.int64


@pytest.mark.parametrize(("shares", "noise"), [((0.5, 0.5), 0.2), ((0.2, 0.3, 0.5), 0.3)])
def test_noise_replaces_a_label_by_any_other(shares, noise):
    n = 60_000
    rule = Labels(shares, noise=noise)
    right = np.arange(n) % len(shares)
    drawn = rule.draw(right.astype(float), np.arange(1, len(shares)).astype(float), RNG(0))
    for c in range(len(shares)):
        counts = np.bincount(drawn[right == c], minlength=len(shares)) / (right == c).sum()
        expected = np.full(len(shares), noise / (len(shares) - 1))
        expected[c] = 1 - noise
        assert counts == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(n / len(shares)))


def test_draws_depend_on_the_generator_alone():
    rule, values, cuts = Labels(noise=0.3), RNG(1).standard_normal(50), np.zeros(1)
    assert np.array_equal(rule.draw(values, cuts, RNG(5)), rule.draw(values, cuts, RNG(5)))
    assert not np.array_equal(rule.draw(values, cuts, RNG(5)), rule.draw(values, cuts, RNG(6)))
    # Noise does not depend on the value: where two values have one class, their labels agree.
    assert np.array_equal(
        rule.draw(np.abs(values), cuts, RNG(5)), rule.draw(np.abs(values) + 9, cuts, RNG(5))
    )


probabilities = st.lists(st.floats(0.01, 1), min_size=2, max_size=4).map(lambda it: np.array(it) / sum(it))


@given(probabilities, st.floats(0, 0.49))
def test_blurred_probabilities_are_those_of_the_labels_drawn(probability, noise):
    k = len(probability)
    blurred = Labels((1 / k,) * k, noise=noise).blurred(probability)
    assert blurred.sum() == pytest.approx(1)
    # Law of total probability, class by class.
    for c in range(k):
        wrong = sum(probability[other] * noise / (k - 1) for other in range(k) if other != c)
        assert blurred[c] == pytest.approx((1 - noise) * probability[c] + wrong)
    assert blurred.argmax() == probability.argmax() or probability.max() == pytest.approx(
        np.sort(probability)[-2]
    )


def test_blurring_keeps_shapes():
    table = np.full((2, 3, 4), 0.25)
    assert Labels((0.25,) * 4, noise=0.3).blurred(table) == pytest.approx(table)
    assert Labels().blurred(table) is table
