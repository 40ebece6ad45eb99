from __future__ import annotations

import numpy as np
import pytest

from benchmark.controls import CONTROLS, abstain, guess, tell_truth

TRUTH = {"axial": 0.7, "coronal": 0.3, "clinical_a": 0.0, "clinical_b": 0.0}


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_controls_are_known_by_name():
    assert dict(CONTROLS) == {"truth": tell_truth, "random": guess, "uniform": abstain}


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("n", [1, 2, 4, 9])
def test_a_control_returns_shares_of_the_same_modalities(name, n):
    truth = {f"m{place}": (place + 1) / (n * (n + 1) / 2) for place in range(n)}
    shares = CONTROLS[name](truth, rng())
    assert list(shares) == list(truth)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0
    assert {type(share) for share in shares.values()} == {float}


def test_the_truth_is_told_and_not_lent():
    told = CONTROLS["truth"](TRUTH, rng())
    assert told == TRUTH
    told["axial"] = 0.0
    assert TRUTH["axial"] == 0.7


def test_uniform_shares_are_equal_whatever_the_truth():
    assert CONTROLS["uniform"](TRUTH, rng()) == dict.fromkeys(TRUTH, 0.25)


def test_random_shares_depend_on_the_generator_alone():
    first = guess(TRUTH, rng(1))
    assert guess(TRUTH, rng(1)) == first
    assert guess(TRUTH, rng(2)) != first
    assert guess(dict.fromkeys(TRUTH, 0.25), rng(1)) == first


def test_random_shares_are_uniform_on_the_simplex():
    source = rng(0)
    draws = np.array([list(guess(TRUTH, source).values()) for _ in range(4000)])
    # Dirichlet(1, 1, 1, 1): mean 1/4, variance 3/80, P(share > ½) = (½)³.
    # Standard errors of the three: 0.003, 0.0011, 0.005.
    np.testing.assert_allclose(draws.mean(0), 1 / 4, atol=0.013)
    np.testing.assert_allclose(draws.var(0), 3 / 80, atol=0.005)
    np.testing.assert_allclose((draws > 0.5).mean(0), 1 / 8, atol=0.022)
