from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from synthetic.decision import Term
from synthetic.law import GaussianCopula, LatentLaw, Population
from synthetic.margins import Margin
from synthetic.truth import Precision, games
from synthetic.truth.variance import interaction_parts, total_effects

ESTIMANDS = ("shapley", "total_effect", "interaction")
UNIFORM = Margin("uniform")
ROOT_3 = np.sqrt(3)
# A term that is worth nothing, but is not linear: it sends F the way of quasi-Monte Carlo.
CURVED = Term(("a/x",), "sin", weight=1e-9)


def independent(n, margin):
    return LatentLaw((GaussianCopula(np.eye(n), (margin,) * n),))


def game_of(truths):
    return truths["shapley"].subsets["explained variance"]


def game_errors(truths):
    replicates = truths.variance_game.replicates
    return replicates.std(0, ddof=1) / np.sqrt(len(replicates))


def correlation(*, seed, n):
    """A correlation matrix of features that depend on each other in no simple way."""
    loadings = np.random.default_rng(seed).standard_normal((n, n + 2))
    covariance = loadings @ loadings.T
    deviation = np.sqrt(np.diag(covariance))
    return covariance / np.outer(deviation, deviation)


def explained_variance(slopes, covariance, known):
    """Var E[aᵀz | z_known], by regression on what is known: least squares on a root of the covariance."""
    if not known:
        return 0.0
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None))  # row j: feature j in independent factors
    target = slopes @ root
    weights = np.linalg.lstsq(root[known].T, target, rcond=1e-9)[0]
    return float(np.sum((weights @ root[known]) ** 2))


def linear_game(slopes, covariance, owners):
    n = max(owners) + 1
    known = [[j for j, owner in enumerate(owners) if index >> owner & 1] for index in range(2**n)]
    game = np.array([explained_variance(slopes, covariance, it) for it in known])
    return game / game[-1]


# Functions with textbook answers


ISHIGAMI_A, ISHIGAMI_B = 7.0, 0.1
SCALE = np.pi / ROOT_3  # of a uniform latent of variance 1, to run from −π to π
SINE = Term(("a/x",), "sin", coefficients=SCALE)
SQUARE = Term(("c/x",), "square", coefficients=SCALE)
ISHIGAMI = (
    SINE,
    Term(("b/x",), "cos", weight=-ISHIGAMI_A / 2, coefficients=2 * SCALE),  # sin² x = (1 − cos 2x) / 2
    Term(("a/x",), "sin", weight=ISHIGAMI_B, coefficients=SCALE) * SQUARE * SQUARE,
)


def test_ishigami(work_out, assert_near):
    truths = work_out(ISHIGAMI, independent(3, UNIFORM))
    first = (1 + ISHIGAMI_B * np.pi**4 / 5) ** 2 / 2
    second = ISHIGAMI_A**2 / 8
    both = ISHIGAMI_B**2 * np.pi**8 * (1 / 18 - 1 / 50)
    variance = first + second + both
    total = np.array([first + both, second, both]) / variance
    fair = np.array([first + both / 2, second, both / 2]) / variance
    # Homma & Saltelli 1996; Owen 2014; the values that textbooks print.
    assert total == pytest.approx([0.5576, 0.4424, 0.2437], abs=5e-5)
    assert fair == pytest.approx([0.4357, 0.4424, 0.1218], abs=6e-5)
    for estimand, expected in (("total_effect", total), ("shapley", fair)):
        truth = truths[estimand]
        assert_near(list(truth.raw.values()), expected, list(truth.raw_standard_error.values()))
        shares = expected / expected.sum()
        assert_near(list(truth.modalities.values()), shares, list(truth.standard_error.values()))
        assert max(truth.standard_error.values()) <= 0.002
    interaction = truths["interaction"]
    pair = interaction.pairs["a", "c"], interaction.pairs_standard_error["a", "c"]
    assert_near(pair[0], both / variance, pair[1])
    assert_near(
        interaction.summary["synergy"], both / variance, interaction.summary["synergy_standard_error"]
    )
    for quiet in (("a", "b"), ("b", "c")):
        assert_near(interaction.pairs[quiet], 0, interaction.pairs_standard_error[quiet])


@pytest.mark.parametrize("constants", [(0.0, 1.0, 4.5), (0.5, 0.5, 9.0)])
def test_sobols_g_function_on_every_subset(work_out, assert_near, constants):
    # Π (|4x_i − 2| + a_i) / (1 + a_i) with x uniform in (0, 1): 4x − 2 = 2z/√3. Written as a sum of products.
    norm = np.prod([1 + a for a in constants])
    terms = []
    for size in (1, 2, 3):
        for chosen in combinations(range(3), size):
            weight = np.prod([constants[i] for i in range(3) if i not in chosen]) / norm
            if not weight:
                continue
            first, *rest = (Term((f"{'abc'[i]}/x",), "abs", coefficients=2 / ROOT_3) for i in chosen)
            product = Term(first.features, "abs", weight, first.coefficients)
            for factor in rest:
                product = product * factor
            terms.append(product)
    truths = work_out(terms, independent(3, UNIFORM))
    parts = np.array([1 / (3 * (1 + a) ** 2) for a in constants])
    variance = np.prod(1 + parts) - 1
    game = game_of(truths)
    errors = game_errors(truths)
    for index in range(8):
        members = [i for i in range(3) if index >> i & 1]
        expected = (np.prod(1 + parts[members]) - 1) / variance
        assert_near(game.values[index], expected, errors[index])
    # Total effects: V_i · Π_{j ≠ i} (1 + V_j) / V.
    expected = parts * np.prod(1 + parts) / (1 + parts) / variance
    truth = truths["total_effect"]
    assert_near(list(truth.raw.values()), expected, list(truth.raw_standard_error.values()))


# Linear and Gaussian


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.5, 0.99])
@pytest.mark.parametrize("slopes", [(1.0, 1.0), (2.0, -0.5), (1.0, 0.0)])
def test_two_correlated_inputs(work_out, rho, slopes):
    """The formulas of Owen & Prieur 2017 for two inputs: σ₁ = 1, σ₂ = 1.3."""
    one, other, deviation = *slopes, 1.3
    covariance = [[1, rho * deviation], [rho * deviation, deviation**2]]
    variance = one**2 + other**2 * deviation**2 + 2 * rho * one * other * deviation
    shared = rho * one * other * deviation
    first = one**2 * (1 - rho**2 / 2) + shared + other**2 * deviation**2 * rho**2 / 2
    terms = (Term(("a/x",), weight=one), Term(("b/x",), weight=other))
    truths = work_out(terms, covariance)
    matters = slopes[1] != 0 or rho != 0
    assert truths["shapley"].method == "closed form"
    assert truths["shapley"].raw["a"] == pytest.approx(first / variance, abs=1e-12)
    assert truths["shapley"].raw["b"] == pytest.approx(1 - first / variance, abs=1e-12)
    assert truths.reduction.players == (("a", "b") if matters else ("a",))
    total = np.array([one**2, other**2 * deviation**2]) * (1 - rho**2) / variance
    assert list(truths["total_effect"].raw.values()) == pytest.approx(total, abs=1e-12)


def test_three_inputs_of_which_two_are_correlated(work_out):
    """Owen & Prieur 2017, for x₁ + x₂ + x₃: unit variances but σ₃ = 2, ρ = 0.5 between 2 and 3."""
    rho, s = 0.5, 2.0
    variance = 1 + 1 + s**2 + 2 * rho * s
    truths = work_out(
        [Term((f"{name}/x",)) for name in "abc"], [[1, 0, 0], [0, 1, rho * s], [0, rho * s, s**2]]
    )
    gap = rho**2 / 2 * (1 - s**2)
    expected = np.array([1, 1 + rho * s - gap, s**2 + rho * s + gap]) / variance
    assert list(truths["shapley"].raw.values()) == pytest.approx(expected, abs=1e-12)
    expected = np.array([1, 1 - rho**2, s**2 * (1 - rho**2)]) / variance
    assert list(truths["total_effect"].raw.values()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("singular", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_blocks_of_correlated_features_equal_regression(
    work_out, assert_near, shapley_by_orders, seed, singular
):
    rng = np.random.default_rng(seed)
    covariance = correlation(seed=seed, n=8)
    if singular:  # three factors behind eight features
        loadings = rng.standard_normal((8, 3))
        covariance = loadings @ loadings.T
    slopes = rng.standard_normal(8) * (rng.random(8) < 0.7)
    slopes[0] = 1.0
    owners = [0, 0, 1, 1, 2, 2, 3, 3]
    names = [f"{'abcd'[owner]}/{'xy'[place % 2]}" for place, owner in enumerate(owners)]
    terms = [Term((name,), weight=slope) for name, slope in zip(names, slopes, strict=True) if slope]
    game = linear_game(slopes, covariance, owners)
    exact = work_out(terms, covariance, latents=2)
    drawn = work_out([*terms, CURVED], covariance, latents=2)
    assert game_of(exact).values == pytest.approx(game, abs=1e-9)
    fair = shapley_by_orders(game, 4)
    assert list(exact["shapley"].raw.values()) == pytest.approx(fair, abs=1e-9)
    total = [1 - game[15 & ~(1 << i)] for i in range(4)]
    assert list(exact["total_effect"].raw.values()) == pytest.approx(total, abs=1e-9)
    for estimand in ESTIMANDS:
        one, other = exact[estimand], drawn[estimand]
        assert one.method == "closed form"
        assert other.method.startswith("quasi-Monte Carlo")
        assert set(one.standard_error.values()) == {0}
        assert_near(list(other.raw.values()), list(one.raw.values()), list(other.raw_standard_error.values()))
        assert one.informative == other.informative
        for pair, value in one.pairs.items():
            assert_near(other.pairs[pair], value, other.pairs_standard_error[pair])


# Nonlinear with correlation, where an answer is known


@pytest.mark.parametrize("function", ["exp", "square"])
def test_functions_of_a_correlated_sum(work_out, assert_near, shapley_by_orders, function):
    """With s = aᵀz and k = Var E[s | z_S]: Var E[exp s | z_S] ∝ exp k − 1, and Var E[s² | z_S] ∝ k²."""
    covariance = correlation(seed=5, n=6)
    slopes = np.array([0.3, -0.2, 0.25, 0.2, 0.0, 0.0])
    names = ("a/x", "a/y", "b/x", "b/y")
    truths = work_out([Term(names, function, coefficients=tuple(slopes[:4]))], covariance, latents=2)
    owners = [0, 0, 1, 1, 2, 2]
    known = linear_game(slopes, covariance, owners) * (slopes @ covariance @ slopes)
    game = np.expm1(known) if function == "exp" else known**2
    game = game / game[-1]
    errors = game_errors(truths)
    assert_near(game_of(truths).values, game, errors)
    truth = truths["shapley"]
    assert_near(list(truth.raw.values()), shapley_by_orders(game, 3), list(truth.raw_standard_error.values()))
    assert truth.raw["c"] > 0.01  # not read, but it knows


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_a_product(work_out, assert_near, rho):
    # Var z₁z₂ = 1 + ρ²; E[z₁z₂ | z₁] = ρ z₁², of variance 2ρ².
    truths = work_out([Term(("a/x",)) * Term(("b/x",))], [[1, rho], [rho, 1]])
    alone = 2 * rho**2 / (1 + rho**2)
    shapley, total, interaction = (truths[name] for name in ESTIMANDS)
    assert_near(list(shapley.raw.values()), 0.5, list(shapley.raw_standard_error.values()))
    assert_near(list(total.raw.values()), 1 - alone, list(total.raw_standard_error.values()))
    assert_near(interaction.pairs["a", "b"], 1 - 2 * alone, interaction.pairs_standard_error["a", "b"])


def test_a_gate(work_out, assert_near):
    # [c ≥ 0]·a + [c < 0]·b: Var = 1; E[F | a] = a/2, E[F | c] = 0; a and c, or a and b, explain 1/2.
    gate = Term(("c/x",), "step")
    closed = Term(("c/x",), "step", coefficients=-1.0)
    truths = work_out([gate * Term(("a/x",)), closed * Term(("b/x",))], np.eye(3))
    game = game_of(truths)
    expected = {"a": 0.25, "b": 0.25, "c": 0.0, "ab": 0.5, "ac": 0.5, "bc": 0.5, "abc": 1.0, "": 0.0}
    errors = game_errors(truths)
    for names, value in expected.items():
        assert_near(game[names], value, errors[sum(1 << "abc".index(name) for name in names)])
    shapley = truths["shapley"]
    # a gains 1/4 first, 1/4 after b, 1/2 after c, 1/2 last: (2 · 1/4 + 1/4 + 1/2 + 2 · 1/2) / 6 = 3/8.
    errors = list(shapley.raw_standard_error.values())
    assert_near(list(shapley.raw.values()), [3 / 8, 3 / 8, 1 / 4], errors)


def test_exclusive_or_is_all_interaction(work_out):
    truths = work_out(
        [
            Term(("a/x",), "step") * Term(("b/x",), "step", weight=4.0),
            Term(("a/x",), "step", weight=-2.0),
            Term(("b/x",), "step", weight=-2.0),
        ],
        np.eye(3),
    )
    assert truths["shapley"].modalities == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0}, abs=0.003)
    assert truths["total_effect"].raw == pytest.approx({"a": 1, "b": 1, "c": 0}, abs=0.006)
    assert truths["interaction"].pairs == pytest.approx({("a", "b"): 1.0}, abs=0.012)
    assert truths["interaction"].summary["synergy"] == pytest.approx(1, abs=0.012)


@pytest.mark.parametrize(
    "curve", [(), (CURVED,), (Term(("a/x",), "tanh"),)], ids=["exact", "drawn", "curved"]
)
def test_exact_duplicates_share_alike_and_cannot_be_told_apart(work_out, curve):
    # b is a, and c is independent: what a says b says too.
    covariance = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])
    truths = work_out((Term(("a/x",)), Term(("c/x",)), *curve), covariance)
    shapley, total, interaction = (truths[name] for name in ESTIMANDS)
    assert shapley.modalities["a"] == pytest.approx(shapley.modalities["b"], abs=1e-9)
    assert total.raw["a"] == total.raw["b"] == pytest.approx(0, abs=1e-9)
    assert total.modalities == pytest.approx({"a": 0, "b": 0, "c": 1}, abs=1e-9)
    assert interaction.pairs["a", "b"] < -0.4
    assert interaction.summary["synergy"] < -0.4
    game = game_of(truths)
    assert game["a"] == pytest.approx(game["b"]) == pytest.approx(game["ab"])


@pytest.mark.parametrize(
    "curve", [(), (CURVED,), (Term(("a/x",), "tanh"),)], ids=["exact", "drawn", "curved"]
)
def test_without_anything_else_duplicates_have_no_total_effect(work_out, curve):
    truths = work_out((Term(("a/x",)), *curve), np.ones((2, 2)))
    total = truths["total_effect"]
    assert total.raw == pytest.approx({"a": 0, "b": 0}, abs=1e-12)
    assert not total.informative
    assert total.modalities == {"a": 0.5, "b": 0.5}
    assert set(total.standard_error.values()) == {0}
    assert truths["shapley"].modalities == pytest.approx({"a": 0.5, "b": 0.5}, abs=1e-12)
    assert truths["interaction"].pairs["a", "b"] == pytest.approx(-1)


def test_a_suppressor_has_a_total_effect_though_it_knows_nothing(work_out):
    rho = 0.8
    truths = work_out([Term(("a/x",)), Term(("b/x",), weight=-rho)], [[1, rho], [rho, 1]])
    # F = z₁ − ρ z₂ is independent of z₂ and has variance 1 − ρ².
    assert game_of(truths)["b"] == pytest.approx(0, abs=1e-12)
    assert game_of(truths)["a"] == pytest.approx(1 - rho**2)
    assert truths["total_effect"].raw == pytest.approx({"a": 1.0, "b": rho**2})
    assert truths["shapley"].raw == pytest.approx({"a": 1 - rho**2 / 2, "b": rho**2 / 2})
    assert truths["interaction"].pairs["a", "b"] == pytest.approx(rho**2)


# Other margins, and finite populations


def test_a_lognormal_and_a_binary_margin(work_out, assert_near):
    # b + l + 2·b·l with mean 0 and variance 1 each, independent: parts 1, 1 and 4 of 6.
    law = LatentLaw((GaussianCopula(np.eye(2), (Margin("binary", (0.2,)), Margin("lognormal", (0.6,)))),))
    terms = [Term(("a/x", "b/x")), Term(("a/x",), weight=2.0) * Term(("b/x",))]
    truths = work_out(terms, law)
    for estimand, expected in (("shapley", [1 / 2, 1 / 2]), ("total_effect", [5 / 6, 5 / 6])):
        truth = truths[estimand]
        assert_near(list(truth.raw.values()), expected, list(truth.raw_standard_error.values()), floor=1e-3)
    # Alone each explains 1/6; together they add 4/6.
    pair = truths["interaction"]
    assert_near(pair.pairs["a", "b"], 2 / 3, pair.pairs_standard_error["a", "b"], floor=1e-3)


def test_correlated_lognormal_margins(work_out, assert_near):
    # z = (exp(σu − σ²/2) − 1)/√(exp σ² − 1); E[z₂ | z₁] ∝ exp(σρu₁ − σ²ρ²/2) − 1, of variance c(ρ²).
    sigma, rho = 0.7, 0.6
    law = LatentLaw((GaussianCopula(np.array([[1, rho], [rho, 1]]), (Margin("lognormal", (sigma,)),) * 2),))
    truths = work_out([Term(("a/x", "b/x"))], law)

    def c(r):
        return np.expm1(sigma**2 * r) / np.expm1(sigma**2)

    alone = (1 + 2 * c(rho) + c(rho**2)) / (2 + 2 * c(rho))
    errors = game_errors(truths)
    assert_near(game_of(truths).values, [0, alone, alone, 1], errors, floor=1e-3)


FEW = np.random.default_rng(3).normal(size=(7, 2))
FEWER = np.array([[-1.0], [0.5], [2.5]])


def few_value(first, second):
    return first[..., 0] ** 2 + first[..., 0] * second[..., 0] + 0.7 * first[..., 1] - np.abs(second[..., 0])


FEW_TERMS = (
    Term(("a/x",), "square"),
    Term(("a/x",)) * Term(("b/x",)),
    Term(("a/y",), weight=0.7),
    Term(("b/x",), "abs", weight=-1.0),
)


def test_finite_populations_by_enumeration(work_out, assert_near):
    truths = work_out(FEW_TERMS, LatentLaw((Population(FEW), Population(FEWER))), latents=(2, 1))
    values = few_value(FEW[:, None], FEWER[None])
    variance = values.var()
    game = np.array([0, values.mean(1).var() / variance, values.mean(0).var() / variance, 1])
    errors = game_errors(truths)
    assert_near(game_of(truths).values, game, errors)
    shapley = truths["shapley"]
    fair = [(1 + game[1] - game[2]) / 2, (1 + game[2] - game[1]) / 2]
    assert_near(list(shapley.raw.values()), fair, list(shapley.raw_standard_error.values()))


def test_a_population_beside_correlated_tables(work_out, assert_near):
    # (row of a) · (b's score) + c's score, with b and c correlated: by hand, from the population's moments.
    rows = np.array([[0.5], [1.0], [3.0]])
    rho = 0.5
    law = LatentLaw((Population(rows), GaussianCopula(np.array([[1, rho], [rho, 1]]))))
    truths = work_out([Term(("a/x",)) * Term(("b/x",)), Term(("c/x",))], law)
    mean, square = rows.mean(), (rows**2).mean()
    variance = square + 1 + 2 * mean * rho
    game = {
        "a": 0.0,
        "b": (mean + rho) ** 2,
        "c": (mean * rho + 1) ** 2,
        "ab": square + 2 * mean * rho + rho**2,
        "ac": square * rho**2 + 2 * mean * rho + 1,
        "bc": mean**2 + 1 + 2 * mean * rho,
        "abc": variance,
    }
    errors = game_errors(truths)
    for names, value in game.items():
        index = sum(1 << "abc".index(name) for name in names)
        assert_near(game_of(truths)[names], value / variance, errors[index])


# Laws


slopes = st.floats(0.2, 3).flatmap(lambda size: st.sampled_from([size, -size]))
functions = st.sampled_from(["identity", "square", "exp", "abs", "tanh", "sin", "sigmoid", "cos"])
QUICK = Precision(first=16, last=16)


@st.composite
def term_lists(draw):
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        factor = None
        for _ in range(draw(st.integers(1, 2))):
            names = draw(st.lists(st.sampled_from(["a/x", "a/y", "b/x", "b/y"]), min_size=1, unique=True))
            new = Term(
                tuple(names),
                draw(functions),
                draw(slopes),
                tuple(draw(slopes) / 3 for _ in names),
                draw(st.sampled_from([0.0, 0.5])),
            )
            factor = new if factor is None else factor * new
        terms.append(factor)
    return terms


MATRICES = {seed: correlation(seed=seed, n=6) for seed in range(3)}
MATRICES[3] = np.kron(np.ones((3, 3)), np.eye(2))  # three copies
laws = st.sampled_from(list(MATRICES))


def varying(truths):
    """Return truths of a function that varies; terms drawn at random may cancel."""
    try:
        truths.thresholds  # noqa: B018 - worked out when asked for
        truths.variance_game  # noqa: B018
    except ValueError as error:
        if "does not vary" in str(error) or "cannot be reached" in str(error):
            reject()
        raise
    return truths


@settings(deadline=None, max_examples=12)
@given(term_lists(), laws)
def test_values_divide_the_variance(work_out, terms, law):
    truths = varying(work_out(terms, MATRICES[law], latents=2, precision=QUICK))
    shapley = truths["shapley"]
    assert sum(shapley.raw.values()) == pytest.approx(1)
    assert game_of(truths)[""] == pytest.approx(0, abs=1e-9)
    assert game_of(truths)["abc"] == pytest.approx(1)
    for estimand in ESTIMANDS:
        truth = truths[estimand]
        assert sum(truth.modalities.values()) == pytest.approx(1)
        assert min(truth.modalities.values()) >= 0
        assert min(truth.standard_error.values()) >= 0
    assert min(truths["total_effect"].raw.values()) >= -1e-9


@settings(deadline=None, max_examples=6)
@given(term_lists(), laws, st.floats(1e-3, 1e6))
def test_a_positive_factor_in_front_changes_nothing(work_out, terms, law, factor):
    scaled = []
    for term in terms:
        first, *others = term.factors
        product = Term(
            first.features, first.function, first.weight * factor, first.coefficients, first.offset
        )
        for other in others:
            product = product * other
        scaled.append(product)
    one, other = (
        varying(work_out(it, MATRICES[law], latents=2, precision=QUICK))["shapley"] for it in (terms, scaled)
    )
    assert list(other.raw.values()) == pytest.approx(list(one.raw.values()), abs=1e-6)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e4, 1e7])
def test_units_of_f_do_not_matter(work_out, size):
    # A large linear part must not make a nonlinear argument look like rounding.
    terms = [Term(("a/x",), weight=size), Term(("b/x",), "sin", weight=2 * size), Term(("b/y",), weight=size)]
    truths = work_out(terms, np.eye(4), latents=2)
    variance = 4 * (1 - np.exp(-2)) / 2
    expected = {"a": 1 / (2 + variance), "b": (1 + variance) / (2 + variance)}
    assert truths["shapley"].raw == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("unit", [1e-5, 1e5])
def test_units_of_an_argument_do_not_matter(work_out, unit):
    # The variance of a latent may differ from 1, its coefficient makes up for it.
    covariance = np.diag([1, unit**2])
    truths = work_out([Term(("a/x",)), Term(("b/x",), "sin", coefficients=1 / unit)], covariance)
    variance = (1 - np.exp(-2)) / 2
    expected = {"a": 1 / (1 + variance), "b": variance / (1 + variance)}
    assert truths["shapley"].raw == pytest.approx(expected, abs=0.002)


def test_modalities_that_change_places_change_values(work_out):
    covariance = correlation(seed=1, n=3)
    order = [2, 0, 1]  # a becomes b, and so on
    names = {"a": "b", "b": "c", "c": "a"}

    def terms(name):
        return [
            Term((f"{name['a']}/x", f"{name['b']}/x"), "tanh") * Term((f"{name['c']}/x",)),
            Term((f"{name['a']}/x",), weight=2.0),
        ]

    one = work_out(terms({name: name for name in "abc"}), covariance)
    other = work_out(terms(names), covariance[np.ix_(order, order)])
    for estimand in ESTIMANDS:
        for name, moved in names.items():
            value = one[estimand].raw[name]
            tolerance = 5 * one[estimand].raw_standard_error[name] + 1e-3
            assert other[estimand].raw[moved] == pytest.approx(value, abs=tolerance)


def test_a_modality_that_f_does_not_read_and_nothing_ties_to_it_has_none(work_out):
    covariance = np.eye(4)
    covariance[2, 3] = covariance[3, 2] = 0.9  # c and d are tied, to each other
    truths = work_out([Term(("a/x",)) * Term(("b/x",)), Term(("c/x",), weight=0.0)], covariance)
    assert truths.reduction.players == ("a", "b")
    for estimand in ESTIMANDS:
        truth = truths[estimand]
        assert list(truth.modalities) == ["a", "b", "c", "d"]
        assert truth.raw["c"] == truth.raw["d"] == truth.modalities["c"] == truth.standard_error["d"] == 0
    game = game_of(truths)
    assert game["abcd"] == game["ab"] == 1
    assert game["cd"] == game[""] == pytest.approx(0, abs=1e-15)
    assert game["a", "c"] == game[["a"]]


def test_terms_that_cancel_are_not_read(work_out):
    terms = [Term(("a/x",)), Term(("b/x",)), Term(("b/x",), weight=-1.0)]
    assert work_out(terms, np.eye(2)).reduction.players == ("a",)


# Small parts


def test_total_effects_by_hand():
    game = np.array([0, 0.1, 0.2, 0.6, 0.3, 0.5, 0.4, 1.0])  # without a: 0.4, without b: 0.5, without c: 0.6
    assert total_effects(game, 3) == pytest.approx([0.6, 0.5, 0.4])
    assert total_effects(np.stack([game] * 2), 3).shape == (2, 3)


def test_parts_of_interactions_by_hand():
    # ab 0.2, ac −0.1, bc 0.5: half of each to each.
    assert interaction_parts(np.array([0.2, -0.1, 0.5]), 3) == pytest.approx([0.05, 0.35, 0.2])
    assert interaction_parts(np.empty((4, 0)), 1).tolist() == [[0]] * 4


def test_signs_of_interactions_do_not_cancel(work_out):
    # a repeats b (negative) and multiplies with c (positive): its part is the sum of the sizes.
    covariance = np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])
    truth = work_out([Term(("a/x", "b/x")), Term(("a/x",), weight=2.0) * Term(("c/x",))], covariance)[
        "interaction"
    ]
    assert truth.pairs["a", "b"] < -0.1
    assert truth.pairs["a", "c"] > 0.1
    halves = {
        name: sum(abs(value) for pair, value in truth.pairs.items() if name in pair) / 2 for name in "abc"
    }
    assert truth.raw == pytest.approx(halves)


@pytest.mark.parametrize(
    "terms",
    [
        [Term(("a/x",), weight=0.0)],
        [Term(("a/x",)), Term(("b/x",), weight=-1.0)],
        [Term(("a/x",), weight=0.1), Term(("a/x",), weight=0.2), Term(("b/x",), weight=-0.3)],
        [Term(("a/x",), "sin"), Term(("b/x",), "sin", weight=-1.0)],
        [Term(("a/x",), "sin") * Term(("b/x",), "sin"), Term(("a/x",), "cos") * Term(("b/x",), "cos")],
    ],
    ids=["no-weight", "cancels", "cancels-but-for-rounding", "curves-cancel", "sin²+cos²"],
)
def test_a_function_that_does_not_vary_is_refused(work_out, terms):
    truths = work_out(terms, np.ones((2, 2)))
    for estimand in ESTIMANDS:
        with pytest.raises(
            ValueError, match=r"does not vary, so nothing is important.*a weight other than 0"
        ):
            truths[estimand]


def test_heavy_tails_are_told_not_taken_for_zero(work_out, caplog):
    # exp(2.5 x): a variance that a sample of any size misses. Two of them share it, ½ and ½.
    truths = work_out([Term((f"{name}/x",), "exp", coefficients=2.5) for name in "ab"], np.eye(2))
    found = truths["shapley"]
    assert found.informative
    assert "standard error" in caplog.text
    for name in "ab":
        assert abs(found.modalities[name] - 0.5) < 4 * found.standard_error[name] + 0.05
    assert max(found.standard_error.values()) > 0.02


def test_too_many_modalities_without_a_closed_form_are_refused(work_out, monkeypatch):
    monkeypatch.setattr(games, "LARGEST_INTEGRATED_GAME", 3)
    truths = work_out([Term((f"{name}/x",), "tanh") for name in "abcdefgh"], np.eye(8))
    for estimand in ("shapley", "sage"):
        with pytest.raises(ValueError, match=r"at most 3 modalities that matter. Got 8"):
            truths[estimand]
