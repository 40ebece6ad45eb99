from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import synthetic
from synthetic.decision import FUNCTIONS, DecisionFunction, Term, matching, total
from synthetic.types import Modality

NAMES = ("m1", "m2", "clinical_a", "clinical_b")
FOUR = tuple(
    Modality(name, "table" if "clinical" in name else "image", tuple(map(str, range(10)))) for name in NAMES
)
SMALL = (Modality("a", "table", ("x", "y")), Modality("b", "image", ("z",)))


def paper(case):
    return DecisionFunction(FOUR, synthetic.scenario(f"paper-F{case}").terms)


# Azmat & Alessio's functions, written down anew; m1 … m4 are columns 0-9, 10-19, 20-29 and 30-39.
FORMULAS = {
    0: lambda z: z[:, :10].sum(1),
    1: lambda z: z[:, 10:20].sum(1),
    2: lambda z: z[:, 20:30].sum(1),
    3: lambda z: z[:, 30:].sum(1),
    4: lambda z: z[:, :20].sum(1),
    5: lambda z: z[:, 20:].sum(1),
    6: lambda z: z.sum(1),
    7: lambda z: (z[:, 0] + z[:, 1]) ** 2 + 0.05 * np.exp(z[:, 18]),
}
GRADIENTS = {
    7: lambda z: np.stack(
        [2 * (z[:, 0] + z[:, 1])] * 2
        + [np.zeros(len(z))] * 16
        + [0.05 * np.exp(z[:, 18])]
        + [np.zeros(len(z))] * 21,
        axis=1,
    ),
}


@pytest.fixture(scope="module")
def z():
    return np.random.default_rng(0).standard_normal((200, 40))


@pytest.mark.parametrize("case", range(8))
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
def test_the_papers_functions(z, case, dtype, tolerance):
    values = paper(case)(torch.from_numpy(z).to(dtype))
    assert values.dtype == dtype
    assert values.shape == (200,)
    np.testing.assert_allclose(values.numpy(), FORMULAS[case](z), rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("case", range(8))
def test_gradients_equal_finite_differences(z, case):
    point = torch.from_numpy(z[:20]).requires_grad_()
    (gradient,) = torch.autograd.grad(paper(case)(point).sum(), point)
    step = 1e-5
    differences = np.empty((20, 40))
    for column in range(40):
        up, down = z[:20].copy(), z[:20].copy()
        up[:, column] += step
        down[:, column] -= step
        differences[:, column] = (FORMULAS[case](up) - FORMULAS[case](down)) / (2 * step)
    np.testing.assert_allclose(gradient.numpy(), differences, atol=1e-7)
    if case in GRADIENTS:
        np.testing.assert_allclose(gradient.numpy(), GRADIENTS[case](z[:20]), atol=1e-12)


numbers = st.floats(-2, 2)


@given(
    weights=st.tuples(numbers, numbers, numbers),
    coefficients=st.tuples(numbers, numbers, numbers),
    row=st.tuples(numbers, numbers, numbers),
)
def test_terms_add_up(weights, coefficients, row):
    terms = (
        Term(("a/x",), weight=weights[0], coefficients=coefficients[:1]),
        Term(("b/z", "a/x"), "square", weight=weights[1], coefficients=coefficients[:2]),
        Term(("a/y", "b/z"), "exp", weight=weights[2], coefficients=coefficients[1:]),
    )
    value = DecisionFunction(SMALL, terms)(torch.tensor([row], dtype=torch.float64))
    x, y, last = row
    expected = (
        weights[0] * coefficients[0] * x
        + weights[1] * (coefficients[0] * last + coefficients[1] * x) ** 2
        + weights[2] * np.exp(coefficients[1] * y + coefficients[2] * last)
    )
    assert value.item() == pytest.approx(expected, abs=1e-9, rel=1e-9)


def test_columns_and_slices_follow_the_order_of_the_modalities():
    decision = DecisionFunction(SMALL, (Term(("b/z", "a/y")),))
    assert decision.columns == {"a/x": 0, "a/y": 1, "b/z": 2}
    assert decision.slices == {"a": slice(0, 2), "b": slice(2, 3)}
    assert decision.columns_of(decision.terms[0]) == [2, 1]


def test_a_decision_function_survives_the_way_to_another_process(z):
    decision = paper(7)
    again = pickle.loads(pickle.dumps(decision))  # noqa: S301
    assert again == decision
    assert torch.equal(again(torch.from_numpy(z)), decision(torch.from_numpy(z)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": ()}, r"'features' of a Term must be a tuple of one or more distinct names. Got \(\)"),
        ({"features": "a/x"}, "must be a tuple of one or more distinct names. Got 'a/x'"),
        ({"features": ("a/x", "a/x")}, "distinct names"),
        (
            {"function": "cube"},
            "must be one of identity, square, exp, abs, tanh, sigmoid, sin, cos, step. Got 'cube'",
        ),
        (
            {"coefficients": (1.0,)},
            r"'coefficients' of a Term must be one a feature \(2\), or one number. Got 1",
        ),
        ({"coefficients": ()}, "Got 0"),
        ({"coefficients": (1.0, float("inf"))}, "must be finite.*inf"),
        ({"coefficients": float("inf")}, "must be finite.*inf"),
        ({"weight": float("nan")}, "must be finite. Got nan"),
        ({"offset": float("-inf")}, "'offset' and 'coefficients' of a Term must be finite.*-inf"),
    ],
)
def test_a_bad_term_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Term(**{"features": ("a/x", "a/y"), **arguments})


@pytest.mark.parametrize(
    ("modalities", "terms", "message"),
    [
        ((SMALL[0], SMALL[0]), (Term(("a/x",)),), r"distinct names. Got \['a', 'a'\]"),
        (SMALL, (), "at least one term"),
        (
            SMALL,
            (Term(("a/x",)), Term(("a/w",))),
            r"In term \(a/w\): Feature 'a/w' is not.*Modality 'a' has x, y",
        ),
        (
            SMALL,
            (Term(("x",)),),
            "Feature 'x' is not.*modalities are a, b, image_1; write 'modality/latent' or",
        ),
        (SMALL, (Term(("a/2",)),), "Feature 'a/2' is not.*has x, y"),
        (SMALL, (Term(("a/-1",)),), "Feature 'a/-1' is not"),
        (SMALL, (Term(("image_2/*",)),), r"Feature 'image_2/\*' is not.*modalities are a, b, image_1"),
        (SMALL, (Term(("a/x",)) * Term(("c/x",)),), r"In term \(c/x\): Feature 'c/x' is not"),
        # One feature under two names.
        (SMALL, (Term(("a/*", "a/y")),), r"distinct names. Got \('a/x', 'a/y', 'a/y'\)"),
        (SMALL, (Term(("image_1/0", "b/z")),), "distinct names"),
    ],
)
def test_a_bad_decision_function_is_refused(modalities, terms, message):
    with pytest.raises(ValueError, match=message):
        DecisionFunction(modalities, terms)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(5, 39), r"must have shape \[n, 40\]. Got \(5, 39\)"),
        (torch.zeros(40), r"Got \(40,\)"),
        (torch.zeros(1, 5, 40), r"Got \(1, 5, 40\)"),
        # Coefficients would be cut to whole numbers.
        (torch.zeros(5, 40, dtype=torch.int64), "must be floating point. Got torch.int64"),
    ],
)
def test_latent_features_of_the_wrong_form_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        paper(0)(bad)


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (0, "Σ m1"),
        (4, "Σ m1 + Σ m2"),
        (6, "Σ m1 + Σ m2 + Σ clinical_a + Σ clinical_b"),
        (7, "(m1/0 + m1/1)² + 0.05·exp(m2/8)"),
    ],
)
def test_a_decision_function_prints_as_its_formula(case, text):
    assert str(paper(case)) == text


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ((total(SMALL[0], weight=2.0), total(SMALL[1])), "2·Σ a + (b/z)"),
        ((Term(("a/x", "b/z"), "exp", 3.0, (1.0, -0.5)),), "3·exp(a/x - 0.5·b/z)"),
        ((Term(("a/x", "a/y"), weight=2.0, coefficients=(1.0, 4.0)),), "2·(a/x + 4·a/y)"),
        ((Term(("a/*",), "tanh", coefficients=0.5),), "tanh(0.5·Σ a)"),
        ((Term(("a/*",), coefficients=-1.0),), "(-Σ a)"),
        ((Term(("a/*", "b/z"), "abs", offset=-0.25),), "|Σ a + b/z - 0.25|"),
        ((Term(("a/*",), offset=1.5),), "(Σ a + 1.5)"),
        ((Term(("a/x",), weight=-1.0), Term(("b/z",), "square", weight=-0.5)), "-(a/x) - 0.5·(b/z)²"),
        ((Term(("a/x",), "sin"), Term(("a/y",), "cos", weight=-2.0)), "sin(a/x) - 2·cos(a/y)"),
        (
            (Term(("a/*",), "step", weight=2.0) * Term(("b/z",), "sigmoid", weight=3.0, coefficients=4.0),),
            "6·[Σ a ≥ 0]·sigmoid(4·b/z)",
        ),
        ((Term(("a/*",)) * Term(("b/z",)) * Term(("a/x",), "square"),), "Σ a·(b/z)·(a/x)²"),
    ],
)
def test_terms_are_printed(terms, text):
    assert str(DecisionFunction(SMALL, terms)) == text


def test_a_term_prints_itself():
    term = Term(("a/x", "image_1/*"), "tanh", 2.0, (1.0, -3.0), offset=-1.0) * Term(("b/z",), weight=-0.5)
    assert str(term) == "-1·tanh(a/x - 3·image_1/* - 1)·(b/z)"
    assert str(Term(("a/x",))) == "(a/x)"


# What stands for what

IMAGES = (
    Modality("history", "table", ("age", "3")),
    Modality("axial", "image", ("liver", "spleen", "fat", "bone")),
    Modality("labs", "table", ("alt",)),
    Modality("coronal", "image", ("liver", "spleen")),
)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("axial/liver", ("axial/liver",)),
        ("axial/*", ("axial/liver", "axial/spleen", "axial/fat", "axial/bone")),
        ("axial/3", ("axial/bone",)),
        ("image_1/3", ("axial/bone",)),
        ("image_1/fat", ("axial/fat",)),
        ("image_2/*", ("coronal/liver", "coronal/spleen")),
        ("history/3", ("history/3",)),  # a name comes before a place
        ("history/0", ("history/age",)),
    ],
)
def test_patterns_stand_for_features(pattern, names):
    assert matching(pattern, IMAGES) == names
    assert DecisionFunction(IMAGES, (Term((pattern,)),)).terms[0].features == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("axial/4", "Modality 'axial' has liver, spleen, fat, bone"),
        ("image_3/*", "modalities are history, axial, labs, coronal, image_1, image_2; write"),
        ("image_0/*", "modalities are"),
        ("*", "write 'modality/latent' or 'modality/\\*'"),
        ("*/liver", "modalities are"),
        ("", "Feature '' is not"),
        ("axial/", "Modality 'axial' has"),
        ("axial/liver/", "modalities are"),
    ],
)
def test_patterns_that_stand_for_nothing_are_refused(pattern, message):
    with pytest.raises(ValueError, match=message):
        matching(pattern, IMAGES)


def test_long_lists_of_latents_are_cut():
    many = (Modality("m", "table", tuple(f"l{k}" for k in range(30))),)
    with pytest.raises(ValueError, match=r"has l0, l1, .*, l11, …\.$"):
        matching("m/none", many)


def test_a_modality_may_be_called_like_a_role():
    named = (Modality("axial", "image", ("a",)), Modality("image_1", "image", ("b",)))
    assert matching("image_1/*", named) == ("image_1/b",)
    assert matching("image_2/*", named) == ("image_1/b",)


def test_one_coefficient_goes_to_all_features_of_a_pattern():
    terms = (Term(("axial/*", "labs/alt"), coefficients=(0.5, 2.0)), Term(("image_2/*",), coefficients=-1.0))
    first, second = DecisionFunction(IMAGES, terms).terms
    assert first.slopes == (0.5, 0.5, 0.5, 0.5, 2.0)
    assert second.slopes == (-1.0, -1.0)
    assert Term(("axial/*",), coefficients=3.0).slopes == (3.0,)
    assert Term(("a", "b")).slopes == (1.0, 1.0)


def test_short_and_full_names_make_the_same_function():
    short = DecisionFunction(IMAGES, (Term(("image_1/*",), "tanh") * Term(("history/0",)),))
    full = DecisionFunction(
        IMAGES,
        (Term(tuple(f"axial/{name}" for name in IMAGES[1].latents), "tanh") * Term(("history/age",)),),
    )
    assert short == full
    assert str(short) == "tanh(Σ axial)·(history/age)"


# Products and functions

VALUES = {
    "identity": lambda x: x,
    "square": lambda x: x * x,
    "exp": np.exp,
    "abs": np.abs,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sin": np.sin,
    "cos": np.cos,
    "step": lambda x: np.where(x >= 0, 1.0, 0.0),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions(z, function):
    term = Term(("a/x", "b/z"), function, 2.0, (0.5, -1.0), offset=0.25)
    value = DecisionFunction(SMALL, (term,))(torch.from_numpy(z[:, :3]))
    expected = 2 * VALUES[function](0.25 + 0.5 * z[:, 0] - z[:, 2])
    np.testing.assert_allclose(value.numpy(), expected, atol=1e-12)


def test_a_jump_is_up_from_zero_on_and_has_slope_zero():
    z = torch.tensor(
        [[-1e-9, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64
    ).requires_grad_()
    value = DecisionFunction(SMALL, (Term(("a/x",), "step"),))(z)
    assert value.tolist() == [0, 1, 1]
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert slope.abs().sum() == 0


@given(st.lists(st.tuples(st.sampled_from(list(VALUES)), numbers, numbers, numbers), min_size=1, max_size=4))
def test_products_multiply(factors):
    names, row = ("a/x", "a/y", "b/z"), np.array([0.3, -0.8, 1.2])
    product, expected = None, 1.0
    for place, (function, weight, slope, offset) in enumerate(factors):
        factor = Term((names[place % 3],), function, weight, slope, offset)
        product = factor if product is None else product * factor
        expected *= weight * VALUES[function](offset + slope * row[place % 3])
    value = DecisionFunction(SMALL, (product,))(torch.from_numpy(row)[None])
    assert value.item() == pytest.approx(float(expected), abs=1e-9, rel=1e-9)


def test_products_keep_the_order_of_their_factors():
    one, two, three = (
        Term((name,), weight=weight) for name, weight in (("a/x", 2.0), ("a/y", 3.0), ("b/z", 5.0))
    )
    assert (one * two * three).factors == (one * (two * three)).factors == (one, two, three)
    assert one.factors == (one,)
    assert one.times is None  # multiplying changes neither
    with pytest.raises(TypeError, match="unsupported operand"):
        one * 2.0
