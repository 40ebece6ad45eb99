from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import synthetic
from synthetic.decision import DecisionFunction, Term
from synthetic.law import GaussianCopula as Gaussian
from synthetic.law import LatentLaw, Population
from synthetic.margins import Margin
from synthetic.truth.gradient import gradient
from synthetic.types import Modality

NAMES = ("m1", "m2", "clinical_a", "clinical_b")
FOUR = tuple(
    Modality(name, "table" if "clinical" in name else "image", tuple(map(str, range(10)))) for name in NAMES
)
# The tables of Azmat & Alessio: features 2 … 4 and 8 of the first have correlation 0.5.
TABLES = np.eye(20)
TABLES[2:5, 8] = TABLES[8, 2:5] = 0.5
NORMAL = LatentLaw((Gaussian(np.eye(20)), Gaussian(TABLES)))

PAIR = (Modality("a", "table", ("x", "y")), Modality("b", "table", ("z",)))
COVARIANCE = np.array([[1.0, 0.5, 0.2], [0.5, 1.5, 0.0], [0.2, 0.0, 0.8]])
ONE_BLOCK = LatentLaw((Gaussian(COVARIANCE),))
ROWS = np.random.default_rng(5).exponential(size=(40, 3)) - 1


def paper(case):
    return DecisionFunction(FOUR, synthetic.scenario(f"paper-F{case}").terms)


def decide(*terms):
    return DecisionFunction(PAIR, terms)


def half_normal(variance):
    return np.sqrt(2 / np.pi * variance)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (0, (1, 0, 0, 0)),
        (1, (0, 1, 0, 0)),
        (2, (0, 0, 1, 0)),
        (3, (0, 0, 0, 1)),
        (4, (0.5, 0.5, 0, 0)),
        (5, (0, 0, 0.5, 0.5)),
        (6, (0.25, 0.25, 0.25, 0.25)),
    ],
)
def test_the_papers_linear_cases_are_exact(case, expected):
    truth = gradient(paper(case), NORMAL)
    assert truth.estimand == "gradient"
    assert truth.method == "closed form"
    assert tuple(truth.modalities) == ("m1", "m2", "clinical_a", "clinical_b")
    assert tuple(truth.modalities.values()) == pytest.approx(expected, abs=1e-15)
    assert set(truth.standard_error.values()) == {0}
    for modality, share in zip(FOUR, expected, strict=True):
        assert [truth.features[name] for name in modality.features] == pytest.approx([share / 10] * 10)


def test_the_papers_nonlinear_case():
    truth = gradient(paper(7), NORMAL)
    # E|∂F/∂m1₀| = 2·E|m1₀ + m1₁| = 2·√2·√(2/π), and the same for m1₁; E exp of a standard normal is √e.
    first = 2 * 2 * np.sqrt(2) * np.sqrt(2 / np.pi)
    second = 0.05 * np.exp(0.5)
    assert truth.method == "closed form"
    assert truth.modalities["m1"] == pytest.approx(first / (first + second), abs=1e-12)
    assert truth.modalities["m2"] == pytest.approx(second / (first + second), abs=1e-12)
    assert truth.modalities["m1"] == pytest.approx(0.98, abs=0.005)
    assert truth.modalities["clinical_a"] == truth.modalities["clinical_b"] == 0
    assert truth.features["m1/0"] == truth.features["m1/1"] == pytest.approx(first / 2 / (first + second))
    assert truth.features["m2/8"] == truth.modalities["m2"]


def test_a_square_of_correlated_features():
    # u = x − 2y has variance 1 + 4·1.5 − 4·0.5 = 5; ∂/∂x = 3·2u, ∂/∂y = −2·3·2u; z counts 2.
    truth = gradient(
        decide(Term(("a/x", "a/y"), "square", 3.0, (1.0, -2.0)), Term(("b/z",), weight=-2.0)), ONE_BLOCK
    )
    x, y, z = 6 * half_normal(5), 12 * half_normal(5), 2
    assert truth.method == "closed form"
    assert truth.features["a/x"] == pytest.approx(x / (x + y + z))
    assert truth.features["a/y"] == pytest.approx(y / (x + y + z))
    assert truth.modalities["b"] == pytest.approx(z / (x + y + z))


def test_an_exponential_of_a_sum():
    # x + z has variance 1 + 0.8 + 2·0.2 = 2.2; y counts |−3|.
    truth = gradient(decide(Term(("a/x", "b/z"), "exp", 0.5), Term(("a/y",), weight=-3.0)), ONE_BLOCK)
    each = 0.5 * np.exp(1.1)
    assert truth.method == "closed form"
    assert truth.features["a/x"] == truth.features["b/z"] == pytest.approx(each / (2 * each + 3))
    assert truth.features["a/y"] == pytest.approx(3 / (2 * each + 3))


def test_linear_terms_that_share_a_feature_add_before_the_absolute_value():
    truth = gradient(
        decide(Term(("a/x", "b/z"), weight=2.0), Term(("a/x",), weight=-1.5), Term(("a/y",), weight=0.5)),
        ONE_BLOCK,
    )
    assert truth.method == "closed form"
    assert list(truth.features.values()) == pytest.approx([0.5 / 3, 0.5 / 3, 2 / 3])


def test_a_finite_population_has_the_means_of_its_rows():
    decision = decide(Term(("a/x", "a/y"), "square", 1.0, (1.0, 0.5)), Term(("b/z",), "exp", 2.0))
    slopes = np.abs(
        np.stack(
            [2 * (ROWS[:, 0] + ROWS[:, 1] / 2), ROWS[:, 0] + ROWS[:, 1] / 2, 2 * np.exp(ROWS[:, 2])], axis=1
        )
    ).mean(0)
    truth = gradient(decision, LatentLaw((Population(ROWS),)))
    assert truth.method == "exact over the scans"
    assert list(truth.features.values()) == pytest.approx(slopes / slopes.sum(), rel=1e-12)
    # Two blocks, no term across them: still exact.
    split = LatentLaw((Population(ROWS[:, :2]), Population(ROWS[:7, 2:])))
    slopes[2] = 2 * np.exp(ROWS[:7, 2]).mean()
    assert list(gradient(decision, split).features.values()) == pytest.approx(
        slopes / slopes.sum(), rel=1e-12
    )


def assert_agrees(estimate, expected, *, n_errors=4.0):
    assert estimate.method.startswith("Monte Carlo, n = ")
    for name, share in expected.items():
        assert estimate.standard_error[name] > 0
        assert abs(estimate.modalities[name] - share) < n_errors * estimate.standard_error[name], name


INDEPENDENT = np.diag([1.0, 1.5, 0.8])
TERMS = (Term(("a/x", "b/z"), "square", 1.0, (1.0, 0.5)), Term(("a/y",), "exp", 0.7))


def test_monte_carlo_agrees_with_the_closed_form_across_blocks():
    # One law, once as one block (closed form), once as two (the square then spans both).
    exact = gradient(decide(*TERMS), LatentLaw((Gaussian(INDEPENDENT),)))
    assert exact.method == "closed form"
    blocks = LatentLaw((Gaussian(INDEPENDENT[:2, :2]), Gaussian(INDEPENDENT[2:, 2:])))
    estimate = gradient(decide(*TERMS), blocks, n_draws=2**16)
    assert estimate.method == "Monte Carlo, n = 65536"
    assert_agrees(estimate, exact.modalities)
    assert max(estimate.standard_error.values()) < 0.01
    for name, share in exact.features.items():
        assert estimate.features[name] == pytest.approx(share, abs=0.02)


def test_monte_carlo_agrees_with_the_closed_form_when_a_feature_is_read_twice():
    # A square in two halves: the same F, but two nonlinear terms read each of its features.
    halves = tuple(Term(TERMS[0].features, "square", 0.5, TERMS[0].coefficients) for _ in range(2))
    exact = gradient(decide(*TERMS), ONE_BLOCK)
    assert_agrees(gradient(decide(*halves, TERMS[1]), ONE_BLOCK, n_draws=2**16), exact.modalities)


def test_monte_carlo_agrees_with_quadrature_where_there_is_no_closed_form():
    # x² + x: E|2x + 1|, a folded normal.
    decision = decide(Term(("a/x",), "square"), Term(("a/x", "b/z")))
    folded, _ = integrate.quad(lambda x: abs(2 * x + 1) * stats.norm.pdf(x), -10, 10, points=[-0.5])
    estimate = gradient(decision, ONE_BLOCK, n_draws=2**16)
    assert_agrees(estimate, {"a": folded / (folded + 1), "b": 1 / (folded + 1)})


def test_monte_carlo_draws_depend_on_the_seed_alone():
    blocks = LatentLaw((Gaussian(INDEPENDENT[:2, :2]), Gaussian(INDEPENDENT[2:, 2:])))
    first = gradient(decide(*TERMS), blocks, n_draws=100)
    torch.manual_seed(3)
    assert gradient(decide(*TERMS), blocks, n_draws=100, seed=0) == first
    assert gradient(decide(*TERMS), blocks, n_draws=100, seed=1) != first


@pytest.fixture(scope="module")
def deviations():
    """Deviations of 200 estimates from the known value, in their own standard errors."""
    exact = gradient(decide(*TERMS), LatentLaw((Gaussian(INDEPENDENT),))).modalities["a"]
    blocks = LatentLaw((Gaussian(INDEPENDENT[:2, :2]), Gaussian(INDEPENDENT[2:, 2:])))
    estimates = [gradient(decide(*TERMS), blocks, n_draws=2000, seed=seed) for seed in range(200)]
    return np.array([(it.modalities["a"] - exact) / it.standard_error["a"] for it in estimates])


def is_calibrated(deviations):
    # 200 intervals at 95 %: standard deviation 1.5 %. That of the mean of 200 deviations is 0.07.
    return 0.9 <= np.mean(np.abs(deviations) < 1.96) <= 0.99 and abs(deviations.mean()) < 0.28


def test_standard_errors_are_calibrated(deviations):
    assert is_calibrated(deviations)


@pytest.mark.parametrize("factor", [0.65, 1.4])
def test_the_calibration_check_can_fail(deviations, factor):
    assert not is_calibrated(deviations / factor)


weights = st.floats(0.1, 3).flatmap(lambda size: st.sampled_from([size, -size]))
functions = st.sampled_from(["identity", "square", "exp"])


@st.composite
def decisions(draw):
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        features = draw(st.lists(st.sampled_from(["a/x", "a/y", "b/z"]), min_size=1, max_size=3, unique=True))
        coefficients = tuple(draw(weights) for _ in features)
        terms.append(Term(tuple(features), draw(functions), draw(weights), coefficients))
    return terms


@st.composite
def exact_decisions(draw):
    """Draw terms of which no two read one feature."""
    order = draw(st.permutations(["a/x", "a/y", "b/z"]))
    cut = draw(st.integers(1, 3))
    terms = []
    for features in filter(None, (order[:cut], order[cut:])):
        coefficients = tuple(draw(weights) for _ in features)
        terms.append(Term(tuple(features), draw(functions), draw(weights), coefficients))
    return terms


SPLIT = LatentLaw((Population(ROWS[:, :2]), Gaussian(COVARIANCE[2:, 2:])))


@settings(deadline=None, max_examples=60)
@given(terms=decisions(), law=st.sampled_from([ONE_BLOCK, SPLIT, LatentLaw((Population(ROWS),))]))
def test_shares_are_shares(terms, law):
    slopes = {}
    for term in terms:
        for name, slope in zip(term.features, term.slopes, strict=True):
            slopes[name] = slopes.get(name, 0) + term.weight * slope
    assume(any(slopes.values()))  # terms that cancel have no gradient, and no shares
    truth = gradient(decide(*terms), law, n_draws=500)
    assert sum(truth.modalities.values()) == pytest.approx(1)
    assert min(truth.modalities.values()) >= 0
    for modality in PAIR:
        total = sum(truth.features[name] for name in modality.features)
        assert total == pytest.approx(truth.modalities[modality.name])
    read = {name for term in terms for name in term.features}
    assert all((truth.features[name] > 0) <= (name in read) for name in truth.features)


@settings(deadline=None, max_examples=60)
@given(
    terms=exact_decisions(), factor=weights, law=st.sampled_from([ONE_BLOCK, LatentLaw((Population(ROWS),))])
)
def test_a_factor_in_front_changes_nothing(terms, factor, law):
    scaled = [Term(term.features, term.function, factor * term.weight, term.coefficients) for term in terms]
    one, other = gradient(decide(*terms), law), gradient(decide(*scaled), law)
    assert one.method == other.method
    assert "Monte Carlo" not in one.method
    assert list(other.features.values()) == pytest.approx(list(one.features.values()), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(size=weights)
def test_raw_values_of_separate_features_add(size):
    # (x-part) + (z-part): each part's odds are what it has beside a unit of y.
    unit = Term(("a/y",))
    parts = (Term(("a/x",), "square", size), Term(("b/z",), "exp", size))
    alone = [gradient(decide(unit, part), ONE_BLOCK).features for part in parts]
    both = gradient(decide(unit, *parts), ONE_BLOCK).features
    for name, single in zip(("a/x", "b/z"), alone, strict=True):
        assert both[name] / both["a/y"] == pytest.approx(single[name] / single["a/y"])


@pytest.mark.parametrize(
    "terms",
    [
        (Term(("a/x",), weight=0.0),),
        (Term(("a/x",)), Term(("a/x",), weight=-1.0)),
        (Term(("a/x",), "square"), Term(("a/x",), "square", -1.0)),
    ],
    ids=["weight-0", "cancelling", "cancelling-draws"],
)
def test_a_function_without_gradient_says_nothing(terms):
    truth = gradient(decide(*terms), ONE_BLOCK, n_draws=100)
    assert not truth.informative
    assert truth.modalities == {"a": 0.5, "b": 0.5}
    assert list(truth.features.values()) == pytest.approx([1 / 3] * 3)
    assert set(truth.raw.values()) == set(truth.standard_error.values()) == {0}


def test_a_jump_has_no_slope():
    truth = gradient(decide(Term(("a/x",), "step", weight=5.0), Term(("b/z",), "tanh")), ONE_BLOCK)
    assert truth.modalities == {"a": 0.0, "b": 1.0}
    assert truth.informative


def test_raw_values_are_slopes():
    truth = gradient(
        decide(Term(("a/x", "a/y"), weight=-2.0, coefficients=(1.0, 3.0)), Term(("b/z",))), ONE_BLOCK
    )
    assert truth.raw == {"a": 8.0, "b": 1.0}
    assert truth.raw_standard_error == {"a": 0.0, "b": 0.0}
    assert truth.unit == "F per standard deviation"


def test_a_product_by_hand():
    # |∂(x z)/∂x| = |z| and the other way round: √(2/π) times each one's standard deviation.
    truth = gradient(decide(Term(("a/x",)) * Term(("b/z",), weight=-3.0)), ONE_BLOCK, n_draws=2**16)
    expected = {"a": 3 * half_normal(0.8), "b": 3 * half_normal(1.0)}
    for name, value in expected.items():
        assert abs(truth.raw[name] - value) < 4 * truth.raw_standard_error[name] < 0.05
    assert_agrees(truth, {name: value / sum(expected.values()) for name, value in expected.items()})


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        ("tanh", lambda u: 1 / np.cosh(u) ** 2),
        ("sigmoid", lambda u: np.exp(-u) / (1 + np.exp(-u)) ** 2),
        ("sin", np.cos),
        ("cos", np.sin),
        ("square", lambda u: 2 * u),
        ("exp", np.exp),
    ],
)
def test_every_function_has_its_own_slope(function, slope):
    # Beside a unit of z, with an offset: E|2 g'(0.5 − 2x)|.
    decision = decide(Term(("a/x",), function, coefficients=-2.0, offset=0.5), Term(("b/z",)))
    mean, _ = integrate.quad(
        lambda x: abs(2 * slope(0.5 - 2 * x)) * stats.norm.pdf(x), -9, 9, points=[0.25], limit=400
    )
    assert_agrees(gradient(decision, ONE_BLOCK, n_draws=2**16), {"a": mean / (mean + 1), "b": 1 / (mean + 1)})


def test_an_absolute_value_has_one_slope_everywhere():
    truth = gradient(decide(Term(("a/x",), "abs", coefficients=-2.0, offset=0.5), Term(("b/z",))), ONE_BLOCK)
    assert truth.modalities == pytest.approx({"a": 2 / 3, "b": 1 / 3}, abs=1e-12)


def test_margins_matter_to_curved_terms_alone():
    law = LatentLaw(
        (Gaussian(np.eye(3), (Margin("binary", (0.2,)), Margin("lognormal", (0.5,)), Margin("uniform"))),)
    )
    straight = gradient(decide(Term(("a/x", "a/y", "b/z"), coefficients=(1.0, 2.0, 3.0))), law)
    assert straight.method == "closed form"
    assert list(straight.features.values()) == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    # E|2z| of a uniform variable with variance 1 is √3, not 2·√(2/π).
    curved = gradient(decide(Term(("a/y",)), Term(("b/z",), "square")), law, n_draws=2**16)
    assert_agrees(curved, {"a": 1 / (1 + np.sqrt(3)), "b": np.sqrt(3) / (1 + np.sqrt(3))})


@pytest.mark.parametrize("n_draws", [1, 0, -5])
def test_too_few_draws_are_refused(n_draws):
    with pytest.raises(ValueError, match=f"'n_draws' of a truth must be at least 2. Got {n_draws}"):
        gradient(decide(*TERMS), ONE_BLOCK, n_draws=n_draws)
