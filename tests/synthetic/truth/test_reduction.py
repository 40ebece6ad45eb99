from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.decision import DecisionFunction, Term
from synthetic.law import GaussianCopula, LatentLaw, Population
from synthetic.margins import Margin
from synthetic.missing import Missing
from synthetic.truth.draws import Split, everything, joint_points, points, value
from synthetic.truth.reduction import reduce, semidefinite_cholesky
from synthetic.types import Modality

THREE = tuple(Modality(name, "table", ("x", "y")) for name in "abc")
NAMES = tuple(name for modality in THREE for name in modality.features)
MARGINS = (
    Margin(),
    Margin("lognormal", (0.5,)),
    Margin(),
    Margin("uniform"),
    Margin("student_t", (5.0,)),
    Margin(),
)

slopes = st.floats(0.1, 3).flatmap(lambda size: st.sampled_from([size, -size]))
functions = st.sampled_from(["identity", "square", "exp", "abs", "tanh", "sigmoid", "sin", "cos", "step"])
factors = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True).flatmap(
    lambda names: st.builds(
        Term,
        st.just(tuple(names)),
        functions,
        slopes,
        st.tuples(*[slopes.map(lambda it: it / 4)] * len(names)),
        st.sampled_from([0.0, -0.7]),
    )
)


def product(terms):
    result = terms[0]
    for term in terms[1:]:
        result = result * term
    return result


decisions = st.lists(st.lists(factors, min_size=1, max_size=3).map(product), min_size=1, max_size=4).map(
    lambda terms: DecisionFunction(THREE, tuple(terms))
)


def random_covariance(seed, n=6, rank=6):
    loadings = np.random.default_rng(seed).standard_normal((n, rank))
    covariance = loadings @ loadings.T
    deviation = np.sqrt(np.diag(covariance))
    return covariance / np.outer(deviation, deviation)


@settings(deadline=None, max_examples=30)
@given(decisions, st.integers(0, 5), st.sampled_from(["normal", "other margins", "singular"]))
def test_the_reduction_is_the_decision_function(decision, seed, kind):
    covariance = random_covariance(seed, rank=3 if kind == "singular" else 6)
    block = GaussianCopula(covariance, MARGINS if kind == "other margins" else ())
    reduction = reduce(decision, LatentLaw((block,)))
    scores = np.random.default_rng(seed).standard_normal((50, 6)) @ block.root.T
    expected = decision(torch.from_numpy(block.latents(scores)))
    assert len(reduction.covariance) == 6  # all are tied to what F reads
    found = value(reduction, scores @ reduction.rows.T, np.empty((50, 0)))
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


def test_rows_of_a_population_keep_together():
    rows = np.random.default_rng(0).normal(size=(5, 2))
    law = LatentLaw((Population(rows), GaussianCopula(np.eye(2)), Population(rows[:3] + 1)))
    terms = (
        Term(("a/x",)) * Term(("a/y",), "tanh"),
        Term(("a/y", "c/x"), "square", coefficients=(1.0, -2.0)),
        Term(("c/y", "a/x"), weight=0.5),
    )
    decision = DecisionFunction(THREE, terms)
    reduction = reduce(decision, law)
    assert reduction.players == ("a", "c")
    grid = np.stack(np.meshgrid((np.arange(5) + 0.5) / 5, (np.arange(3) + 0.5) / 3), axis=-1).reshape(-1, 2)
    found = value(reduction, np.zeros((15, reduction.n_rows)), grid)
    everyone = np.concatenate(
        [np.concatenate([row, [0, 0], other + 1])[None] for row in rows for other in rows[:3]]
    )
    expected = decision(torch.from_numpy(everyone))
    torch.testing.assert_close(found.sort().values, expected.sort().values)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rank", [2, 4, 6])
def test_what_is_known_is_a_regression(seed, rank):
    covariance = random_covariance(seed, rank=rank)
    terms = (Term(("a/*", "b/x"), "tanh"), Term(("c/x", "c/y", "b/y"), coefficients=(1.0, -2.0, 1.0)))
    reduction = reduce(DecisionFunction(THREE, terms), LatentLaw((GaussianCopula(covariance),)))
    arguments = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, -2.0]])
    np.testing.assert_allclose(reduction.total, arguments @ covariance @ arguments.T, atol=1e-12)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    for subset in range(8):
        columns = [place for place in range(6) if subset >> place // 2 & 1]
        target = arguments @ root
        fitted = np.zeros_like(target)
        if columns:
            weights = np.linalg.lstsq(root[columns].T, target.T, rcond=1e-9)[0]
            fitted = weights.T @ root[columns]
        np.testing.assert_allclose(reduction.known(subset), fitted @ fitted.T, atol=1e-8)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 5), st.integers(-6, 6))
def test_roots_of_semidefinite_matrices(seed, n, rank, exponent):
    units = 10.0 ** np.linspace(0, exponent, n)
    loadings = np.random.default_rng(seed).standard_normal((n, rank)) * units[:, None]
    covariance = loadings @ loadings.T
    root = semidefinite_cholesky(covariance, np.diag(covariance))
    np.testing.assert_allclose(
        (root @ root.T) / np.outer(units, units), covariance / np.outer(units, units), atol=1e-5
    )
    assert (np.triu(root, 1) == 0).all()
    assert np.linalg.matrix_rank(root / units[:, None], tol=1e-4) <= min(rank, n)


def test_a_row_that_adds_nothing_has_a_zero_column():
    covariance = np.array([[1, 1, 0.5], [1, 1, 0.5], [0.5, 0.5, 1]])
    root = semidefinite_cholesky(covariance, np.ones(3))
    assert root[:, 1].tolist() == [0, 0, 0]
    assert root[:, 0].tolist() == [1, 1, 0.5]


@pytest.mark.parametrize("subset", range(8))
def test_known_and_unknown_make_up_the_law(subset):
    law = LatentLaw((GaussianCopula(random_covariance(1), MARGINS),))
    terms = (
        Term(("a/x",), "tanh") * Term(("b/x", "c/y")),
        Term(("a/y",)),
        Term(("b/y",), "square", weight=0.3),
        Term(("c/x",), weight=0.5),
    )
    decision = DecisionFunction(THREE, terms)
    reduction = reduce(decision, law)
    split = Split(reduction, subset)
    known, unknown = joint_points(reduction, 2**14, 2, "parts")
    values = split.pairwise(known, unknown).numpy()
    expected = decision(torch.from_numpy(law.sample(200_000, np.random.default_rng(0)))).numpy()
    assert values.mean() == pytest.approx(expected.mean(), abs=0.03)
    assert values.std() == pytest.approx(expected.std(), rel=0.03)
    quantiles = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(np.quantile(values, quantiles), np.quantile(expected, quantiles), atol=0.06)
    # All pairs, and without L's own noise; the first of each agree with the pairs.
    few = known.take(slice(3)), unknown.take(slice(5))
    table = split.values(*few).expand(3, 5)
    pairs = split.pairwise(few[0], unknown.take(slice(3))).expand(3)
    torch.testing.assert_close(table.diagonal(), pairs)
    assert split.is_void == (subset == 0)
    assert split.is_settled == (subset == 7)


def test_draws_of_everything_have_the_law():
    rows = np.random.default_rng(0).normal(size=(9, 2))
    law = LatentLaw((Population(rows), GaussianCopula(random_covariance(2, n=4))))
    decision = DecisionFunction(
        THREE, (Term(("a/x",)) * Term(("b/*",)), Term(("c/*", "a/y"), "tanh"), Term(("b/x",)))
    )
    reduction = reduce(decision, law)
    drawn = everything(reduction, points(reduction, 2**15, "all")).numpy()
    expected = decision(torch.from_numpy(law.sample(200_000, np.random.default_rng(0)))).numpy()
    quantiles = np.linspace(0.02, 0.98, 13)
    np.testing.assert_allclose(np.quantile(drawn, quantiles), np.quantile(expected, quantiles), atol=0.06)


def test_equal_arguments_share_a_row():
    terms = (
        Term(("a/x", "b/x"), "tanh") * Term(("c/x",)),
        Term(("a/x", "b/x"), "square"),
        Term(("c/x",), "exp"),
        Term(("a/y",)),
    )
    reduction = reduce(DecisionFunction(THREE, terms), LatentLaw((GaussianCopula(np.eye(6)),)))
    assert reduction.n_rows == 3  # a + b, c, and L
    assert not reduction.is_linear
    assert reduce(DecisionFunction(THREE, terms[-1:]), LatentLaw((GaussianCopula(np.eye(6)),))).is_linear


def test_players_are_those_that_f_reads_and_their_kin():
    covariance = np.eye(6)
    covariance[0, 2] = covariance[2, 0] = 0.5  # b/x knows of a/x
    decision = DecisionFunction(THREE, (Term(("a/x",)),))
    reduction = reduce(decision, LatentLaw((GaussianCopula(covariance),)))
    assert reduction.players == ("a", "b")
    assert reduction.modalities == ("a", "b", "c")
    assert len(reduction.covariance) == 2  # a/y, b/y and c tell nothing
    # A chain: c knows of b/y, b/x of a; but b's own features are strangers.
    covariance[3, 4] = covariance[4, 3] = 0.5
    assert reduce(decision, LatentLaw((GaussianCopula(covariance),))).players == ("a", "b")
    covariance[2, 3] = covariance[3, 2] = 0.5
    assert reduce(decision, LatentLaw((GaussianCopula(covariance),))).players == ("a", "b", "c")


MIXED = LatentLaw((Population(np.ones((4, 2))), GaussianCopula(np.eye(4))))


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (LatentLaw((GaussianCopula(np.eye(5)),)), r"one column a latent feature of F \(6\). Got 5"),
        (
            LatentLaw((Population(np.ones((4, 3))), GaussianCopula(np.eye(3)))),
            "must belong to one modality.*columns 0 to 2; give each modality its own",
        ),
        (
            LatentLaw((Population(np.ones((4, 1))), Population(np.ones((4, 1))), GaussianCopula(np.eye(4)))),
            "one finite population.*a second one over columns 1 to 1; join their rows",
        ),
    ],
)
def test_a_law_that_does_not_fit_is_refused(law, message):
    with pytest.raises(ValueError, match=message):
        reduce(DecisionFunction(THREE, (Term(("a/x",)),)), law)


def test_a_modality_may_be_a_population_and_more():
    # A scan's latents and a drawn one beside them.
    law = LatentLaw((Population(np.array([[1.0], [3.0]])), GaussianCopula(np.eye(5))))
    reduction = reduce(DecisionFunction(THREE, (Term(("a/*",)),)), law)
    assert reduction.players == ("a",)
    values = everything(reduction, points(reduction, 2**12, "both")).numpy()
    assert values.mean() == pytest.approx(2, abs=1e-3)
    assert values.var() == pytest.approx(2, abs=1e-2)  # ((3 − 1)/2)² and 1


TIED = np.eye(6)
TIED[1, 3] = TIED[3, 1] = 0.4


@pytest.mark.parametrize(
    ("law", "rule", "message"),
    [
        (
            TIED,
            Missing(("a/y",)),
            r"'a/y' has missing values.*normal margin and no correlation.*drop its corr",
        ),
        (
            np.eye(6),
            Missing(("a/y",), "mar", driver="b/x"),
            r"of the table that misses them \('a'\).*Got 'b/x'",
        ),
        (MARGINS, Missing(("a/y",)), "'a/y' has missing values, so it must have a normal margin"),
    ],
)
def test_missing_values_that_others_tell_of_are_refused(law, rule, message):
    block = GaussianCopula(np.eye(6), law) if isinstance(law, tuple) else GaussianCopula(law)
    decision = DecisionFunction(THREE, (Term(("a/y", "b/x")),))
    with pytest.raises(ValueError, match=message):
        reduce(decision, LatentLaw((block,)), {"a/y": rule})
