"""Thresholds and class shares are estimates: what they leave open is part of every truth's standard error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from synthetic import scenario, truths
from synthetic.decision import Term
from synthetic.labels import Labels
from synthetic.law import GaussianCopula, LatentLaw
from synthetic.margins import Margin
from synthetic.truth import Precision
from synthetic.truth.cuts import cut
from synthetic.truth.games import shapley

UNRELATED = np.eye(3)
A, B, C = (Term((f"{name}/x",)) for name in "abc")
ODD = ("identity", "tanh", "sin")


def odd(name, function, slope=1.0):
    return Term((f"{name}/x",), function, coefficients=slope)


def entropy(p):
    return (special.entr(p) + special.entr(1 - p)) / np.log(2)


def mean_over_product(function):
    """Return E f(|ab|): the product of two standard normals has the density K₀(|t|) / π."""
    return 2 / np.pi * integrate.quad(lambda t: special.k0(t) * function(t), 0, 60, epsabs=1e-12)[0]


def product_truths():
    """Return raw values of a, b and c for F = ab + c at threshold 0, by one-dimensional integrals."""
    below = lambda c: special.iti0k0(c)[1] / np.pi  # noqa: E731 - P(0 < ab < c)
    over_c = lambda f: 2 * integrate.quad(lambda c: stats.norm.pdf(c) * f(c), 0, 10, epsabs=1e-12)[0]  # noqa: E731
    over_ratio = lambda f: (  # noqa: E731 - |c| / |a| is half Cauchy
        2 / np.pi * integrate.quad(lambda r: f(r) / (1 + r * r), 0, np.inf, epsabs=1e-12)[0]
    )
    know_c, know_ab = (
        over_c(lambda c: 1 - entropy(0.5 + below(c))),
        mean_over_product(lambda t: 1 - entropy(special.ndtr(t))),
    )
    know_ac = over_ratio(lambda r: 1 - entropy(special.ndtr(r)))
    changed = integrate.quad(lambda b: stats.norm.pdf(b) * np.arccos(1 / (1 + b * b)) / np.pi, -10, 10)[0]
    alone = over_c(below)
    return {
        "permutation": (
            changed,
            changed,
            2 * mean_over_product(lambda t: special.ndtr(t) * special.ndtr(-t)),
        ),
        "sage": shapley(np.array([0, 0, 0, know_ab, know_c, know_ac, know_ac, 1.0]), 3),
        "information": (0, 0, know_c),
        "bayes_accuracy": (0, 0, alone),
        "leave_one_out": (*(1 - over_ratio(special.ndtr),) * 2, 1 - mean_over_product(special.ndtr)),
    }


def test_the_factors_of_a_product_say_nothing_alone():
    """Their shares are exactly tied with those of what F does not read: there is no order to get wrong."""
    found = truths(scenario("product"))
    for estimand in ("bayes_accuracy", "information"):
        shares = found[estimand].modalities
        assert shares["axial"] == shares["clinical_a"] == shares["clinical_b"] == 0
        assert shares["coronal"] == 1


@pytest.mark.parametrize(
    ("terms", "labels"),
    [
        *(((odd("a", one) * odd("b", other), C), None) for one in ODD for other in ODD[1:]),
        ((odd("a", "tanh", 3.0) * odd("b", "identity"), Term(("c/x",), weight=0.2)), None),
        ((odd("a", "sin") * odd("b", "sin") * odd("c", "tanh"),), None),
        ((odd("a", "tanh") * odd("b", "tanh") * Term(("c/x",), "exp"),), Labels(thresholds=(0.0,))),
        ((A * B, Term(("c/x",), "tanh")), Labels(noise=0.2)),
    ],
)
@pytest.mark.few(3)
def test_a_factor_of_odd_functions_says_nothing_alone(work_out, terms, labels):
    """Change the sign of a and of the rest: F changes its sign, so that a leaves the classes level."""
    found = work_out(terms, UNRELATED, labels, precision=Precision(first=256, last=256))
    for estimand in ("bayes_accuracy", "information"):
        truth = found[estimand]
        for name in "ab":
            assert abs(truth.raw[name]) <= 4.5 * truth.raw_standard_error[name] + 1e-8


def test_truths_of_a_product_by_one_dimensional_integrals(work_out, assert_near):
    found = work_out((A * B, C), UNRELATED)
    for estimand, expected in product_truths().items():
        truth = found[estimand]
        assert_near([*truth.raw.values()], expected, [*truth.raw_standard_error.values()], floor=1e-6)


@pytest.mark.slow
def test_standard_errors_hold_the_error_of_thresholds(work_out):
    """Coverage over 24 seeds of all that rests on labels, at the default precision."""
    expected = product_truths()
    gaps = {estimand: [] for estimand in expected}
    for seed in range(24):
        found = work_out((A * B, C), UNRELATED, precision=Precision(seed=seed))
        for estimand, values in expected.items():
            truth = found[estimand]
            gaps[estimand] += [
                abs(truth.raw[name] - value) / truth.raw_standard_error[name]
                for name, value in zip("abc", values, strict=True)
            ]
    inside = {estimand: np.mean(np.array(it) < 1.96) for estimand, it in gaps.items()}
    assert min(inside.values()) >= 0.941 - 3 * np.sqrt(0.941 * 0.059 / 72)
    assert 0.91 <= np.mean([*inside.values()]) <= 0.975


QUANTILES = {
    "monotone": ((Term(("a/x", "b/x"), "exp"),), np.eye(3), lambda q: np.exp(np.sqrt(2) * special.ndtri(q))),
    "chi-squared": (
        (Term(("a/x",), "square"), Term(("b/x",), "square")),
        np.eye(3),
        lambda q: stats.chi2.ppf(q, 2),
    ),
    "lognormal column": (
        (A,),
        LatentLaw((GaussianCopula(np.eye(1), (Margin("lognormal", (1.0,)),)),)),
        lambda q: Margin("lognormal", (1.0,)).latent(special.ndtri(q)),
    ),
    "uniform column": (
        (A,),
        LatentLaw((GaussianCopula(np.eye(1), (Margin("uniform"),)),)),
        lambda q: np.sqrt(3) * (2 * np.asarray(q) - 1),
    ),
    "laplace": (  # ab − cd has the Laplace law of scale 1
        (A * B, Term(("c/x",), weight=-1.0) * Term(("d/x",))),
        np.eye(4),
        stats.laplace.ppf,
    ),
}


@pytest.mark.parametrize("name", ["monotone", "chi-squared", "lognormal column", "uniform column", "laplace"])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.2, 0.3, 0.5)])
def test_thresholds_are_quantiles_within_their_error(work_out, name, shares):
    terms, law, quantile = QUANTILES[name]
    cuts = cut(work_out(terms, law).reduction, Labels(shares))
    error = cuts.replicates.std(0, ddof=1) / np.sqrt(len(cuts))
    assert (error > 0).all()
    assert (np.abs(cuts.thresholds - quantile(np.cumsum(shares)[:-1])) < 4.5 * error).all()
    assert np.allclose(cuts.probabilities, shares)


@pytest.mark.parametrize("name", ["monotone", "chi-squared", "lognormal column", "uniform column", "laplace"])
def test_shares_of_given_thresholds_hold_within_their_error(work_out, name):
    terms, law, quantile = QUANTILES[name]
    levels = np.array([0.15, 0.4])
    labels = Labels((0.3, 0.3, 0.4), thresholds=tuple(map(float, quantile(levels))))
    cuts = cut(work_out(terms, law).reduction, labels)
    expected = np.diff(levels, prepend=0, append=1)
    error = cuts.shares.std(0, ddof=1) / np.sqrt(len(cuts))
    assert (np.abs(cuts.probabilities - expected) < 4.5 * error + 2.0**-15).all()  # points are counted whole


def test_a_gaussian_part_is_integrated_in_closed_form(work_out):
    """The median of ab + c is 0: with c integrated, what is left is a thousandth of what counting leaves."""
    smooth = cut(work_out((A * B, C), UNRELATED).reduction, Labels())
    counted = cut(work_out((A * B, Term(("c/x",), "tanh")), UNRELATED).reduction, Labels())
    assert smooth.replicates.std() < counted.replicates.std() / 100
    assert abs(smooth.thresholds[0]) < 1e-5


@pytest.mark.parametrize("level", [0.25, 0.75])
def test_values_that_many_share_are_cut_between(work_out, level):
    """Two jumps have the values 0, 1 and 2 with probabilities ¼, ½ and ¼, whatever the points."""
    terms = (Term(("a/x",), "step"), Term(("b/x",), "step"))
    for seed in range(4):
        cuts = cut(work_out(terms, np.eye(2)).reduction, Labels((level, 1 - level)), seed)
        assert np.allclose(cuts.replicates, 0.5 if level < 0.5 else 1.5)
        assert np.allclose(cuts.probabilities, (level, 1 - level), atol=1e-4)


def test_shares_that_cannot_be_reached_are_refused(work_out):
    with pytest.raises(ValueError, match="F takes too few values"):
        cut(work_out((Term(("a/x",), "step"),), np.eye(1)).reduction, Labels((0.3, 0.7)))


def test_negligible_values_are_tied_and_others_are_not(work_out):
    del work_out
    from synthetic.truth.replicates import settled  # noqa: PLC0415

    rng = np.random.default_rng(0)
    noise = rng.standard_normal((32, 3))
    noise -= noise.mean(0)
    values = np.array([1.0, 3e-6, 3e-3]) + noise * np.array([1e-3, 1e-5, 1e-2])
    found = settled(values)
    assert found[1] == 0  # within its error of 0, and nothing beside the rest
    assert found[2] == pytest.approx(3e-3)  # its error may hold 0, but it may be a hundredth, too
    exact = settled(np.array([[0.7, 2e-4, 1e-12]]))
    assert exact.tolist() == [0.7, 2e-4, 0.0]
