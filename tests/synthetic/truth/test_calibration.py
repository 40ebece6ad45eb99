"""Do the standard errors cover? Repeats with other seeds, at low precision, against known values."""

from __future__ import annotations

import numpy as np
import pytest

from synthetic.decision import Term
from synthetic.labels import Labels
from synthetic.law import GaussianCopula, LatentLaw
from synthetic.margins import Margin
from synthetic.truth import Precision

RHO = 0.6
LINEAR = (Term(("a/x",)), Term(("b/x",), weight=0.5))
GROWN = Term(("a/x", "b/x"), "exp", coefficients=(0.5, 0.25))
PAIR = np.array([[1, RHO], [RHO, 1]])
SCALE = np.pi / np.sqrt(3)
SQUARE = Term(("c/x",), "square", coefficients=SCALE)
ISHIGAMI = (
    Term(("a/x",), "sin", coefficients=SCALE),
    Term(("b/x",), "cos", weight=-3.5, coefficients=2 * SCALE),
    Term(("a/x",), "sin", weight=0.1, coefficients=SCALE) * SQUARE * SQUARE,
)
CUBE = LatentLaw((GaussianCopula(np.eye(3), (Margin("uniform"),) * 3),))


def exact_pair(work_out, estimand, labels=None):
    """Share of modality a for exp(a/2 + b/4): its classes are those of a + b/2, its variance game known."""
    if estimand != "shapley":
        return work_out(LINEAR, PAIR, labels)[estimand].modalities["a"]
    known = [(0.5 + 0.25 * RHO) ** 2, (0.25 + 0.5 * RHO) ** 2, 0.25 + 0.0625 + 2 * 0.125 * RHO]
    alone, other, both = np.expm1(known)
    return (1 + (alone - other) / both) / 2


def deviations(work_out, estimands, expected, *, n, terms, law, labels=None, first=32):
    """Deviations of a's share from what is expected, in their own standard errors, ``[n, estimands]``."""
    rows, shared = [], work_out(terms, law, labels)
    reused = {"reduction": shared.reduction}  # no seed decides it
    for seed in range(n):
        precision = Precision(first=first, last=first, seed=seed)
        truths = work_out(terms, law, labels, precision=precision)
        truths.__dict__ |= reused
        found = [truths[estimand] for estimand in estimands]
        rows.append(
            [
                (it.modalities["a"] - value) / it.standard_error["a"]
                for it, value in zip(found, expected, strict=True)
            ]
        )
    return np.array(rows)


def is_calibrated(values):
    # Student's t with 31 degrees of freedom: 94.1 % lie within ±1.96, its standard deviation is 1.03. Three
    # binomial standard errors below; mean and standard deviation within four and three of their own.
    n = len(values)
    covered = np.mean(np.abs(values) < 1.96)
    fewest = 0.941 - 3 * np.sqrt(0.941 * 0.059 / n)
    spread = abs(values.std(ddof=1) - 1.03)
    return covered >= fewest and abs(values.mean()) < 4 / np.sqrt(n) and spread < 3 / np.sqrt(2 * n)


ESTIMANDS = ("shapley", "permutation", "sage", "information")


@pytest.fixture(scope="module")
def repeats(work_out):
    expected = [exact_pair(work_out, estimand) for estimand in ESTIMANDS]
    return deviations(work_out, ESTIMANDS, expected, n=60, terms=[GROWN], law=PAIR)


@pytest.mark.slow
@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_standard_errors_cover(repeats, estimand):
    assert is_calibrated(repeats[:, ESTIMANDS.index(estimand)])


@pytest.mark.slow
@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_the_check_can_fail(repeats, estimand):
    values = repeats[:, ESTIMANDS.index(estimand)]
    assert not is_calibrated(values / 0.6)  # standard errors that are too small
    assert not is_calibrated(values * 0.6)  # or too large
    assert not is_calibrated(values + 1)  # a bias of one standard error


def test_a_sharper_truth_is_nearer_the_known_one(work_out):
    """Neither rests on a bias: low and high precision both find the known value, the second more closely."""
    labels = Labels((0.3, 0.5, 0.2), noise=0.1)
    exact = work_out(LINEAR, PAIR, labels)
    errors = []
    for n in (16, 1024):
        truths = work_out([GROWN], PAIR, labels, precision=Precision(first=n, last=n))
        for estimand in ("sage", "information", "bayes_accuracy", "permutation"):
            one, other = exact[estimand], truths[estimand]
            for name in "ab":
                gap = abs(other.raw[name] - one.raw[name])
                assert gap < 4.5 * other.raw_standard_error[name] + (2e-3 if n == 16 else 2e-4)
        errors.append(truths["sage"].raw_standard_error["a"])
    assert errors[1] < errors[0] / 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels", [Labels((0.95, 0.05)), Labels((0.3, 0.3, 0.4), noise=0.1)], ids=["rare", "three"]
)
def test_standard_errors_cover_for_other_labels(work_out, labels):
    names = ("permutation", "sage", "information")
    expected = [exact_pair(work_out, estimand, labels) for estimand in names]
    values = deviations(work_out, names, expected, n=100, terms=[GROWN], law=PAIR, labels=labels, first=256)
    assert all(is_calibrated(it) for it in values.T)


@pytest.mark.slow
@pytest.mark.parametrize("first", [16, 128])
def test_standard_errors_cover_on_ishigamis_function(work_out, first):
    parts = np.array([(1 + 0.1 * np.pi**4 / 5) ** 2 / 2, 49 / 8, 0.01 * np.pi**8 * (1 / 18 - 1 / 50)])
    shapley = (parts[0] + parts[2] / 2) / parts.sum()
    total = (parts[0] + parts[2]) / (parts.sum() + parts[2])
    values = deviations(
        work_out,
        ("shapley", "total_effect"),
        (shapley, total),
        n=200,
        terms=ISHIGAMI,
        law=CUBE,
        first=first,
    )
    assert all(is_calibrated(it) for it in values.T)
    assert not any(is_calibrated(it / 0.6) for it in values.T)


@pytest.mark.slow
def test_standard_errors_cover_where_only_a_sharper_truth_is_known(work_out):
    terms = (
        Term(("a/x",), "tanh", weight=2.0) * Term(("b/x",)),
        Term(("b/x",)),
        Term(("c/x",), "square", 0.5),
    )
    law = np.array([[1, 0.5, 0.3], [0.5, 1, -0.4], [0.3, -0.4, 1]])
    sharp = work_out(terms, law, precision=Precision(target=1e-5, first=8192, last=8192))
    names = ("shapley", "permutation", "sage", "information")
    expected = [sharp[estimand].modalities["a"] for estimand in names]
    values = deviations(work_out, names, expected, n=100, terms=terms, law=law)
    assert all(is_calibrated(it) for it in values.T)
