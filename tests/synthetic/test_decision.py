from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthetic.decision import DecisionFunction, Term, paper_terms, total
from synthetic.types import Modality

NAMES = ("m1", "m2", "m3", "m4")
FOUR = tuple(Modality(name, "table", tuple(map(str, range(10)))) for name in NAMES)
SMALL = (Modality("a", "table", ("x", "y")), Modality("b", "image", ("z",)))


def paper(case):
    return DecisionFunction(FOUR, paper_terms(case, FOUR))


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
        ({"features": ()}, r"'features' of a Term must be one or more distinct names. Got \(\)"),
        ({"features": ("a/x", "a/x")}, "distinct names"),
        ({"function": "cube"}, "'function' of a Term must be one of identity, square, exp. Got 'cube'"),
        ({"coefficients": (1.0,)}, r"'coefficients' of a Term must be one a feature \(2\). Got 1"),
        ({"coefficients": ()}, "Got 0"),
        ({"coefficients": (1.0, float("inf"))}, "must be finite.*inf"),
        ({"weight": float("nan")}, "must be finite. Got nan"),
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
        (SMALL, (Term(("a/x",)), Term(("a/w",))), r"'a/w' of term \(a/w\) is not a latent feature.*a/x, a/y"),
        (SMALL, (Term(("x",)),), "'x' of term"),
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


@pytest.mark.parametrize("case", [-1, 8])
def test_there_are_eight_cases(case):
    with pytest.raises(ValueError, match=f"must be 0 to 7. Got {case}"):
        paper_terms(case, FOUR)


@pytest.mark.parametrize("modalities", [FOUR[:3], (*FOUR[:3], SMALL[0])])
def test_the_papers_cases_need_four_modalities_of_ten(modalities):
    with pytest.raises(ValueError, match=r"four with ten latent features each. Got"):
        paper_terms(0, modalities)


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (0, "Σ m1"),
        (4, "Σ m1 + Σ m2"),
        (6, "Σ m1 + Σ m2 + Σ m3 + Σ m4"),
        (7, "(m1/0 + m1/1)² + 0.05·exp(m2/8)"),
    ],
)
def test_a_decision_function_prints_as_its_formula(case, text):
    assert str(paper(case)) == text


def test_weights_and_coefficients_are_printed():
    terms = (
        total(SMALL[0], weight=2.0),
        total(SMALL[1]),
        Term(("a/x", "b/z"), "exp", 3.0, (1.0, -0.5)),
        Term(("a/x", "a/y"), weight=2.0, coefficients=(1.0, 4.0)),
    )
    printed = str(DecisionFunction(SMALL, terms))
    assert printed == "2·Σ a + Σ b + 3·exp(a/x + -0.5·b/z) + 2·(a/x + 4·a/y)"
