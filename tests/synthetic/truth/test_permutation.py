from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from synthetic.decision import Term
from synthetic.labels import Labels
from synthetic.law import GaussianCopula, LatentLaw, Population
from synthetic.margins import Margin
from synthetic.truth.permutation import disagreement

RULES = {
    "balanced": Labels(),
    "rare": Labels((0.95, 0.05)),
    "three": Labels((0.3, 0.3, 0.4)),
    "noisy": Labels((0.5, 0.3, 0.2), noise=0.15),
}
CURVED = Term(("a/x",), "sin", weight=1e-9)
COVARIANCE = np.array([[1, 0.5, 0.3], [0.5, 1, -0.4], [0.3, -0.4, 1]])
LINEAR = (Term(("a/x",)), Term(("b/x",), weight=-0.7), Term(("c/x",), weight=0.4))


def expected_disagreement(rho, first, second):
    """By quadrature over x: y given x is normal."""
    first, second = (np.concatenate([[-10.0], cuts, [10.0]]) for cuts in (first, second))
    spread = np.sqrt(1 - rho**2)
    cells = zip(first[:-1], first[1:], second[:-1], second[1:], strict=True)
    return 1 - sum(both_inside(rho, spread, *cell) for cell in cells)


def both_inside(rho, spread, low, high, y_low, y_high):
    """P(low < x < high, y_low < y < y_high)."""
    if not spread:  # y = ±x
        ends = sorted((rho * y_low, rho * y_high))
        return max(special.ndtr(min(high, ends[1])) - special.ndtr(max(low, ends[0])), 0)

    def density(x):
        upper, lower = (special.ndtr((end - rho * x) / spread) for end in (y_high, y_low))
        return stats.norm.pdf(x) * (upper - lower)

    turns = [it for it in (y_low / rho, y_high / rho) if low < it < high] if rho else None
    return integrate.quad(density, low, high, points=turns, limit=200)[0]


@pytest.mark.parametrize("rho", [-1.0, -0.7, 0.0, 0.3, 0.9, 0.99, 0.9999, 1.0])
@pytest.mark.parametrize(
    ("first", "second"),
    [([0.0], [0.0]), ([1.645], [1.645]), ([-0.5, 0.5], [-0.5, 0.5]), ([-0.5, 0.8], [-1.0, 1.6])],
)
def test_disagreement_equals_quadrature(rho, first, second):
    found = disagreement(rho, np.array(first), np.array(second))
    assert found == pytest.approx(expected_disagreement(rho, first, second), abs=2e-5)


@given(st.floats(-0.999, 0.999))
def test_halves_disagree_by_the_angle(rho):
    # Sheppard 1899: P(signs differ) = arccos ρ / π.
    zero = np.zeros(1)
    assert disagreement(rho, zero, zero) == pytest.approx(np.arccos(rho) / np.pi, abs=6e-6)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, 4.0])
def test_two_independent_modalities_by_hand(work_out, weight):
    truth = work_out([Term(("a/x",)), Term(("b/x",), weight=weight)], np.eye(2))["permutation"]
    # F before and after share the other modality's part of the variance.
    parts = np.array([1, weight**2]) / (1 + weight**2)
    assert list(truth.raw.values()) == pytest.approx(np.arccos(1 - parts) / np.pi, abs=1e-5)
    assert truth.method == "closed form"
    assert truth.unit == "accuracy"


def test_correlation_is_lost_when_permuting(work_out):
    # F = (a + b)/√(2 + 2ρ) before; after, a′ and b are independent: variance 2, covariance 1 + ρ with F.
    rho = 0.6
    truth = work_out([Term(("a/x", "b/x"))], [[1, rho], [rho, 1]])["permutation"]
    together = (1 + rho) / np.sqrt((2 + 2 * rho) * 2)
    assert truth.raw["a"] == pytest.approx(np.arccos(together) / np.pi, abs=1e-5)
    assert truth.modalities == pytest.approx({"a": 0.5, "b": 0.5})


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.few(2)
def test_curved_ways_to_the_same_classes_lose_as_much(work_out, assert_near, rule):
    # exp(F) at the quantiles of exp(F) has the classes of F; a vanishing term changes nothing either.
    exact = work_out(LINEAR, COVARIANCE, RULES[rule])["permutation"]
    grown = Term(("a/x", "b/x", "c/x"), "exp", coefficients=(1.0, -0.7, 0.4))
    for terms in ((*LINEAR, CURVED), (grown,)):
        drawn = work_out(terms, COVARIANCE, RULES[rule])["permutation"]
        assert drawn.method.startswith("quasi-Monte Carlo, n = ")
        for values, errors in (("raw", "raw_standard_error"), ("modalities", "standard_error")):
            assert_near(
                list(getattr(drawn, values).values()),
                list(getattr(exact, values).values()),
                list(getattr(drawn, errors).values()),
            )


@pytest.mark.parametrize("noise", [0.1, 0.4])
def test_noise_shrinks_losses_and_leaves_shares(work_out, noise):
    clean, noisy = (
        work_out(LINEAR, COVARIANCE, Labels((0.3, 0.3, 0.4), noise=it))["permutation"] for it in (0.0, noise)
    )
    # Right with 1 − noise, wrong but lucky with noise / 2.
    for name, value in clean.raw.items():
        assert noisy.raw[name] == pytest.approx(value * (1 - noise - noise / 2))
    assert noisy.modalities == pytest.approx(clean.modalities)


@pytest.mark.parametrize("rule", ["balanced", "noisy"])
def test_a_curved_correlated_function_equals_permuting_a_sample(work_out, rule):
    margins = (Margin(), Margin("lognormal", (0.5,)), Margin("uniform"), Margin(), Margin(), Margin())
    covariance = np.kron(COVARIANCE, [[1, 0.4], [0.4, 1]])
    law = LatentLaw((GaussianCopula(covariance, margins),))
    terms = [
        Term(("a/x",), "tanh", weight=2.0) * Term(("b/*",)),
        Term(("c/*",), "square", weight=0.4),
        Term(("a/y",)),
    ]
    truths = work_out(terms, law, RULES[rule], latents=2)
    truth = truths["permutation"]
    rng = np.random.default_rng(1)
    z = law.sample(100_000, rng)
    classes = np.digitize(truths.decision(torch.from_numpy(z)), truths.thresholds)
    labels = RULES[rule].draw(truths.decision(torch.from_numpy(z)).numpy(), truths.thresholds, rng)
    for name, columns in truths.decision.slices.items():
        permuted = z.copy()
        permuted[:, columns] = permuted[rng.permutation(len(z)), columns]
        guesses = np.digitize(truths.decision(torch.from_numpy(permuted)), truths.thresholds)
        losses = (classes == labels).astype(float) - (guesses == labels)
        error = np.hypot(losses.std() / np.sqrt(len(z)), truth.raw_standard_error[name])
        # Permuting one sample: patients share rows, so the error is somewhat larger than that of the mean.
        assert abs(losses.mean() - truth.raw[name]) < 6 * error


def test_a_modality_decides_a_gate(work_out, assert_near):
    # [c ≥ 0]·a + [c < 0]·b at 0: a decides half of the patients, of whom half change class.
    gate, closed = Term(("c/x",), "step"), Term(("c/x",), "step", coefficients=-1.0)
    truth = work_out([gate * Term(("a/x",)), closed * Term(("b/x",))], np.eye(3), Labels(thresholds=(0.0,)))
    truth = truth["permutation"]
    assert_near(list(truth.raw.values()), [1 / 4] * 3, list(truth.raw_standard_error.values()))


def test_exclusive_or(work_out, assert_near):
    product = Term(("a/x",), "tanh") * Term(("b/x",), "tanh")
    truth = work_out([product], np.eye(3), Labels(thresholds=(0.0,)))["permutation"]
    assert_near(list(truth.raw.values()), [0.5, 0.5, 0], list(truth.raw_standard_error.values()))
    assert_near(list(truth.modalities.values()), [0.5, 0.5, 0], list(truth.standard_error.values()))


def test_a_duplicate_that_f_does_not_read_costs_nothing(work_out):
    truth = work_out([Term(("a/x",))], np.ones((2, 2)))["permutation"]
    assert truth.raw == pytest.approx({"a": 0.5, "b": 0.0})
    assert truth.modalities == pytest.approx({"a": 1.0, "b": 0.0})


@pytest.mark.parametrize("curve", [(), (CURVED,)], ids=["exact", "drawn"])
def test_breaking_up_a_difference_of_near_twins_costs_more_than_half(work_out, assert_near, curve):
    # a − b has variance 0.02; with a permuted, 2: its ties to the class before are all but gone.
    rho = 0.99
    terms = (Term(("a/x",)), Term(("b/x",), weight=-1.0), *curve)
    truth = work_out(terms, [[1, rho], [rho, 1]], Labels((0.5, 0.25, 0.25)))["permutation"]
    variance = 2 - 2 * rho
    cuts = np.array([0.0, special.ndtri(0.75)])
    together = (1 - rho) / np.sqrt(variance * 2)  # Cov(a − b, a′ − b) = 1 − ρ
    expected = expected_disagreement(together, cuts, cuts * np.sqrt(variance / 2))
    assert_near(list(truth.raw.values()), expected, list(truth.raw_standard_error.values()))
    assert expected > 0.4


def test_finite_populations_by_enumeration(work_out, assert_near):
    first = np.random.default_rng(3).normal(size=(7, 2))
    second = np.array([[-1.0], [0.5], [2.5]])
    law = LatentLaw((Population(first), Population(second)))
    terms = [Term(("a/x",)) * Term(("b/x",)), Term(("a/y",)), Term(("b/x",), "square", weight=0.2)]
    truth = work_out(terms, law, Labels((0.4, 0.3, 0.3), thresholds=(-0.3, 1.1)), latents=(2, 1))[
        "permutation"
    ]
    value = first[:, :1] * second.T + first[:, 1:] + 0.2 * second.T**2
    classes = np.digitize(value, [-0.3, 1.1])
    losses = [(classes[None] != classes[:, None]).mean(), (classes[:, None] != classes[:, :, None]).mean()]
    assert_near(list(truth.raw.values()), losses, list(truth.raw_standard_error.values()))


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.floats(-2, 2).filter(lambda it: abs(it) > 0.05), min_size=3, max_size=3),
    st.floats(-1e6, 1e6).filter(lambda it: abs(it) > 1e-3),
)
def test_units_and_sign_of_f_do_not_matter(work_out, slopes, factor):
    one, other = (
        work_out(
            [Term((f"{name}/x",), weight=size * slope) for name, slope in zip("abc", slopes, strict=True)],
            COVARIANCE,
        )["permutation"]
        for size in (1.0, factor)
    )
    assert other.raw == pytest.approx(one.raw, abs=1e-9)
