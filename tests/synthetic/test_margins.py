from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from synthetic.margins import NORMAL, Margin

MARGINS = [
    NORMAL,
    Margin("truncated_normal", (-2.8, 2.0)),
    Margin("truncated_normal", (1.0, 4.0)),
    Margin("lognormal", (0.05,)),
    Margin("lognormal", (1.0,)),
    Margin("student_t", (5.0,)),
    Margin("student_t", (3.5,)),
    Margin("uniform"),
    Margin("binary", (0.105,)),
    Margin("binary", (0.5,)),
]

families = st.one_of(
    st.just(Margin()),
    st.just(Margin("uniform")),
    st.tuples(st.floats(-4, 3), st.floats(0.1, 5)).map(
        lambda pair: Margin("truncated_normal", (pair[0], pair[0] + pair[1]))
    ),
    st.floats(1e-3, 2).map(lambda sigma: Margin("lognormal", (sigma,))),
    st.floats(2.1, 200).map(lambda df: Margin("student_t", (df,))),
    st.floats(0.01, 0.99).map(lambda probability: Margin("binary", (probability,))),
)


def name(margin):
    return f"{margin.family}{margin.parameters}"


@pytest.mark.parametrize("margin", MARGINS, ids=name)
def test_a_latent_has_mean_0_and_variance_1(margin):
    # By quadrature over the score; a binary margin jumps, so the jump is a break point.
    jump = -special.ndtri(margin.parameters[0]) if margin.family == "binary" else 0.0
    for power, expected in [(1, 0.0), (2, 1.0)]:
        parts = [
            integrate.quad(
                lambda u, power=power: (
                    float(margin.latent(np.array([u]))[0]) ** power * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
                ),
                low,
                high,
                limit=400,
                epsabs=1e-9,
            )[0]
            for low, high in [(-30, jump), (jump, 30)]
        ]
        assert sum(parts) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("margin", MARGINS, ids=name)
def test_draws_have_mean_0_and_variance_1(margin):
    latents = margin.latent(np.random.default_rng(3).standard_normal(400_000))
    # Standard errors: 0.0016 of the mean; of the variance up to 0.03 (Student's t with 3.5 degrees excepted).
    assert latents.mean() == pytest.approx(0, abs=0.008)
    if margin != Margin("student_t", (3.5,)):
        assert latents.var() == pytest.approx(1, abs=0.09 if margin == Margin("lognormal", (1.0,)) else 0.03)


@given(families, st.lists(st.floats(-8, 8), min_size=2, max_size=30, unique=True))
def test_a_margin_increases(margin, scores):
    latents = margin.latent(np.sort(np.array(scores)))
    assert np.isfinite(latents).all()
    # Equal up to rounding where the scores are: the two tails are computed apart.
    assert (np.diff(latents) >= -1e-12 * (1 + np.abs(latents[1:]))).all()


@given(families, st.floats(-6, 6))
def test_a_continuous_margin_increases_strictly(margin, score):
    low, high = margin.latent(np.array([score, score + 0.01]))
    assert margin.is_continuous == (margin.family != "binary")
    assert high > low or not margin.is_continuous


@pytest.mark.parametrize(
    ("margin", "law"),
    [
        (Margin("truncated_normal", (-2.8, 2.0)), stats.truncnorm(-2.8, 2.0)),
        (Margin("lognormal", (0.7,)), stats.lognorm(0.7)),
        (Margin("student_t", (4.0,)), stats.t(4)),
        (Margin("uniform"), stats.uniform()),
    ],
    ids=lambda value: name(value) if isinstance(value, Margin) else "",
)
def test_a_latent_is_the_standardised_quantile(margin, law):
    scores = np.linspace(-5, 5, 41)
    expected = (law.ppf(stats.norm.cdf(scores)) - law.mean()) / law.std()
    np.testing.assert_allclose(margin.latent(scores), expected, rtol=1e-8, atol=1e-8)


def test_both_tails_are_equally_exact():
    scores = np.array([8.0, 10.0, 12.0])
    for margin in [Margin("student_t", (6.0,)), Margin("truncated_normal", (-3.0, 3.0)), Margin("uniform")]:
        np.testing.assert_allclose(margin.latent(scores), -margin.latent(-scores), rtol=1e-12)
    # A tiny σ is nearly normal: no digits are lost in exp(x) - 1.
    np.testing.assert_allclose(Margin("lognormal", (1e-7,)).latent(scores), scores, rtol=1e-5)


def test_the_binary_margin_takes_the_larger_value_with_its_probability():
    margin = Margin("binary", (0.2,))
    latents = margin.latent(np.random.default_rng(0).standard_normal(100_000))
    assert set(latents) == {-0.5, 2.0}
    assert (latents > 0).mean() == pytest.approx(0.2, abs=0.005)
    assert not margin.is_continuous
    assert not margin.is_normal


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("gamma", (), r"'family' of a Margin must be one of normal, .*Got 'gamma'"),
        ("normal", (1.0,), r"'parameters' of a normal Margin must be empty. Got \(1.0,\)"),
        ("lognormal", (), r"one finite number for each of \(sigma\). Got \(\)"),
        ("truncated_normal", (1.0,), r"each of \(low, high\). Got \(1.0,\)"),
        ("truncated_normal", (1.0, 1.0), "must satisfy low < high"),
        ("truncated_normal", (-1.0, float("inf")), "finite number"),
        ("lognormal", (2.5,), "0 < sigma ≤ 2. Got"),
        ("lognormal", (0.0,), "0 < sigma"),
        ("student_t", (2.0,), "df > 2, for a finite variance"),
        ("student_t", (float("nan"),), "finite number"),
        ("binary", (1.0,), "0 < probability < 1"),
    ],
)
def test_bad_margins_are_refused(family, parameters, message):
    with pytest.raises(ValueError, match=message):
        Margin(family, parameters)
