from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from synthetic.clinical import (
    CORRELATIONS,
    PAPER_CORRELATIONS,
    PAPER_TABLES,
    VARIABLES,
    Table,
    Variable,
    correlation_matrix,
    intrinsic_correlations,
    raw_tables,
)
from synthetic.law import GaussianCopula
from synthetic.margins import Margin

CONTINUOUS = [name for name, variable in VARIABLES.items() if not variable.is_binary]
BINARY = [name for name, variable in VARIABLES.items() if variable.is_binary]
BY_SEX = [name for name in CONTINUOUS if len(VARIABLES[name].intervals) == 2]
ALL = Table(variables=tuple(VARIABLES))


def copula(tables):
    names = [name for table, columns in tables.items() for name in columns.modality(table).features]
    margins = tuple(margin for columns in tables.values() for margin in columns.margins)
    return names, GaussianCopula(correlation_matrix(names, intrinsic_correlations(tables)), margins)


@pytest.fixture(scope="module")
def patients():
    """20,000 patients with every variable: standardised, and as people read them."""
    _, law = copula({"all": ALL})
    latents = law.sample(20_000, np.random.default_rng(1))
    return latents, ALL.raw(latents)


def test_there_are_about_twenty_documented_variables():
    assert 18 <= len(VARIABLES) <= 24
    for name, variable in VARIABLES.items():
        assert variable.name == name
        assert len(variable.source) > 10
        assert all(word.islower() for word in variable.words)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_an_interval_holds_the_middle_95_percent(name):
    variable = VARIABLES[name]
    latents = variable.margin.latent(np.random.default_rng(2).standard_normal(100_000))
    for group, (low, high) in enumerate(variable.intervals):
        values = variable.raw(latents, male=np.full(len(latents), group == 1))
        assert values.dtype == np.float64
        # Standard error of each share: √(0.025·0.975 / n) = 0.0005.
        assert (values < low).mean() == pytest.approx(0.025, abs=0.0025)
        assert (values > high).mean() == pytest.approx(0.025, abs=0.0025)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_ends_of_an_interval_are_the_percentiles_exactly(name):
    variable = VARIABLES[name]
    ends = variable.margin.latent(np.array([-1.959963984540054, 1.959963984540054]))
    for group, interval in enumerate(variable.intervals):
        np.testing.assert_allclose(variable.raw(ends, male=np.full(2, group == 1)), interval, rtol=1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_larger_latent_is_a_larger_value(name):
    latents = np.linspace(-4, 2, 50)
    for male in (None, np.zeros(50, dtype=bool), np.ones(50, dtype=bool)):
        values = VARIABLES[name].raw(latents, male)
        assert (np.diff(values) > 0).all()
        assert (values > 0).all()


@pytest.mark.parametrize("name", BY_SEX)
def test_an_unknown_sex_gets_mean_and_variance_of_both_mixed(name):
    variable = VARIABLES[name]
    latents = np.random.default_rng(0).standard_normal(200_000)
    male = np.arange(len(latents)) % 2 == 1
    mixed, pooled = variable.raw(latents, male), variable.raw(latents)
    if variable.scale == "log":
        mixed, pooled = np.log(mixed), np.log(pooled)
    assert pooled.mean() == pytest.approx(mixed.mean(), rel=0.003)
    assert pooled.std() == pytest.approx(mixed.std(), rel=0.01)


def test_hand_worked_values():
    haemoglobin = VARIABLES["haemoglobin"]
    # Women 117 to 153 g/L: middle 135, standard deviation 18 / 1.96; men 134 to 170: 152, the same spread.
    location, scale = haemoglobin.location_scale(np.array([False, True]))
    np.testing.assert_allclose(location, [135, 152])
    np.testing.assert_allclose(scale, [9.184, 9.184], atol=1e-3)
    # Mixed half and half: middle 143.5, variance 9.184² + 8.5².
    np.testing.assert_allclose(haemoglobin.location_scale(), [143.5, np.hypot(9.184, 8.5)], rtol=1e-4)
    # White cells are 3.5 to 8.8 on the log scale: the median is their geometric mean.
    assert VARIABLES["white_cells"].raw(np.zeros(1))[0] == pytest.approx(np.sqrt(3.5 * 8.8))


def test_age_is_cut_off_at_18_and_90(patients):
    _, shown = patients
    age = shown["age [years]"]
    assert age.min() == pytest.approx(18, abs=1)
    assert age.max() == pytest.approx(90, abs=1)
    margin = VARIABLES["age"].margin
    ends = VARIABLES["age"].raw(margin.latent(np.array([-12.0, 12.0])))
    np.testing.assert_allclose(ends, [18, 90], atol=0.05)


def test_sex_acts_on_values_and_not_on_latents(patients):
    latents, shown = patients
    male = (shown["sex"] == "male").to_numpy()
    assert male.mean() == pytest.approx(0.5, abs=0.015)
    for name in BY_SEX:
        variable, column = VARIABLES[name], list(VARIABLES).index(name)
        middles = [shown[variable.label][male == group].median() for group in (False, True)]
        expected = [
            np.sqrt(low * high) if variable.scale == "log" else (low + high) / 2
            for low, high in variable.intervals
        ]
        np.testing.assert_allclose(middles, expected, rtol=0.02)
        # Standard error of a difference of means: √(2 / 10,000) = 0.014.
        assert latents[male, column].mean() - latents[~male, column].mean() == pytest.approx(0, abs=0.07)


def test_binary_variables_are_words_at_their_frequency(patients):
    _, shown = patients
    assert {name: tuple(sorted(shown[name].unique())) for name in BINARY} == {
        "sex": ("female", "male"),
        "smoking": ("no", "yes"),
        "diabetes": ("no", "yes"),
    }
    assert (shown["smoking"] == "yes").mean() == pytest.approx(0.223, abs=0.012)
    assert (shown["diabetes"] == "yes").mean() == pytest.approx(0.105, abs=0.01)


def test_the_joint_law_has_the_documented_correlations(patients):
    latents, _ = patients
    names, law = copula({"all": ALL})
    assert [name.removeprefix("all/") for name in names] == list(VARIABLES)
    # Age alone is neither normal nor binary; a truncated normal keeps its correlations to a few per cent.
    np.testing.assert_allclose(np.corrcoef(latents.T), law.covariance, atol=0.04)
    np.testing.assert_allclose(latents.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(latents.std(0), 1, atol=0.03)
    assert law.covariance[names.index("all/alt"), names.index("all/ast")] == 0.6


def test_documented_correlations_are_between_continuous_variables_once_and_positive_definite():
    pairs = [frozenset(pair) for pair in CORRELATIONS]
    assert len(set(pairs)) == len(pairs)
    assert all(len(pair) == 2 and pair <= set(CONTINUOUS) for pair in pairs)
    matrix = correlation_matrix(list(VARIABLES), CORRELATIONS)
    assert np.linalg.eigvalsh(matrix).min() > 0.05


def test_any_two_tables_have_a_positive_definite_law():
    # A principal submatrix of a positive definite matrix is one, so this checks the bookkeeping.
    for first, second in itertools.combinations(VARIABLES, 2):
        names, law = copula({"a": Table(variables=(first,)), "b": Table(variables=(second,))})
        assert names == [f"a/{first}", f"b/{second}"]
        expected = CORRELATIONS.get((first, second), CORRELATIONS.get((second, first), 0.0))
        assert law.covariance[0, 1] == law.covariance[1, 0] == expected


def test_correlations_hold_across_tables_and_leave_generic_columns_alone():
    tables = {
        "history": Table(variables=("age", "sex", "bmi")),
        "labs": Table(variables=("alt", "crp")),
        "other": Table(4, margin=Margin("lognormal", (1.0,))),
    }
    assert intrinsic_correlations(tables) == {
        ("history/age", "labs/crp"): 0.15,
        ("history/bmi", "labs/crp"): 0.31,
        ("history/bmi", "labs/alt"): 0.33,
    }
    assert intrinsic_correlations({}) == {}
    with pytest.raises(ValueError, match=r"Variable 'crp' must be in one table.*in 'labs' and 'more'; leave"):
        intrinsic_correlations({**tables, "more": Table(variables=("crp",))})


def test_a_table_is_a_modality():
    generic = Table(3, margin=Margin("student_t", (5.0,))).modality("clinical_a")
    assert generic.kind == "table"
    assert generic.features == ("clinical_a/feature_0", "clinical_a/feature_1", "clinical_a/feature_2")
    labs = Table(variables=("alt", "sex"))
    assert labs.modality("labs").features == ("labs/alt", "labs/sex")
    assert [margin.family for margin in labs.margins] == ["normal", "binary"]
    assert Table(2, margin=Margin("uniform")).margins == (Margin("uniform"),) * 2


def test_people_see_units_words_and_sensible_digits():
    table = Table(variables=("sex", "haemoglobin", "bmi", "potassium"))
    shown = table.raw(np.array([[-1.0, 0.5, 0.1, 0.2], [1.0, 0.5, 0.1, 0.2]]))
    assert list(shown.columns) == ["sex", "haemoglobin [g/L]", "bmi [kg/m²]", "potassium [mmol/L]"]
    assert shown["sex"].tolist() == ["female", "male"]
    assert shown["haemoglobin [g/L]"].tolist() == [140.0, 157.0]
    assert shown["potassium [mmol/L]"].tolist() == [4.2, 4.2]
    generic = Table(2).raw(np.array([[0.123456, -1.0]]))
    assert list(generic.columns) == ["feature_0", "feature_1"]
    assert generic.iloc[0].tolist() == [0.123456, -1.0]


def test_missing_values_are_not_shown():
    table = Table(variables=("sex", "haemoglobin"))
    latents, missing = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[True, False], [False, True]])
    shown = table.raw(latents, missing=missing)
    np.testing.assert_array_equal(shown.isna(), missing)
    # A hidden sex still chose the interval: what is missing is the entry, not the fact.
    assert shown["haemoglobin [g/L]"][0] == 152.0
    with pytest.raises(ValueError, match=r"mask 'missing' must have the latents' shape \(2, 2\). Got \(2,\)"):
        table.raw(latents, missing=missing[0])


def test_a_sex_in_one_table_is_known_in_the_others():
    tables = {"history": Table(variables=("sex",)), "labs": Table(variables=("haemoglobin",))}
    latents = {"history": np.array([[-1.0], [1.0]]), "labs": np.zeros((2, 1))}
    shown = raw_tables(tables, latents, {"labs": np.array([[False], [True]])})
    assert shown["labs"].iloc[0, 0] == 135.0
    assert pd.isna(shown["labs"].iloc[1, 0])
    assert raw_tables(tables, latents)["labs"].iloc[:, 0].tolist() == [135.0, 152.0]
    # Alone, the table takes everybody for one group, in the middle between the two.
    assert tables["labs"].raw(latents["labs"]).iloc[:, 0].tolist() == [144.0, 144.0]
    assert raw_tables({"plain": Table(1)}, {"plain": np.ones((1, 1))})["plain"].iloc[0, 0] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "must have 'columns' .* or 'variables', and not both. Got columns=0 and variables=()"),
        ({"columns": 2, "variables": ("alt",)}, "not both. Got columns=2"),
        ({"columns": -1}, "Got columns=-1"),
        (
            {"variables": ("hemoglobin",)},
            "clinical variable 'hemoglobin' is unknown. Did you mean 'haemoglobin'",
        ),
        ({"variables": ("alt", "ast", "alt")}, "must be distinct. Got"),
        ({"variables": "alt"}, r"Got the string 'alt'; write \('alt',\)"),
        (
            {"variables": ("alt",), "margin": Margin("uniform")},
            "'variables' bring their own.*leave the margin",
        ),
    ],
)
def test_bad_tables_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Table(**arguments)


def test_latents_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"must have shape \[n, 2\]. Got \(5, 3\)"):
        Table(variables=("alt", "ast")).raw(np.zeros((5, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"intervals": ((1.0, 2.0),), "scale": "sqrt"}, "'scale' of Variable 'x' must be 'linear' or 'log'"),
        ({}, "Variable 'x' must have two 'words' if its margin is binary, else one of the 'intervals'"),
        ({"margin": Margin("binary", (0.5,)), "words": ("no",)}, "must have two 'words'"),
        ({"intervals": ((1.0, 2.0),), "words": ("no", "yes")}, "must have two 'words'"),
        ({"intervals": ((2.0, 1.0),)}, r"finite, with low < high. Got \(2.0, 1.0\)"),
        (
            {"intervals": ((1.0, 2.0), (0.0, 1.0)), "scale": "log"},
            r"above 0 on a log scale. Got \(0.0, 1.0\)",
        ),
        ({"intervals": ((1.0, float("inf")),)}, "finite"),
    ],
)
def test_bad_variables_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Variable("x", "g/L", "chosen", **arguments)


def test_the_papers_correlations_are_sampled():
    assert list(PAPER_TABLES) == ["clinical_a", "clinical_b"]
    assert [PAPER_TABLES[name].columns for name in PAPER_TABLES] == [10, 10]
    names = [feature for name in PAPER_TABLES for feature in PAPER_TABLES[name].modality(name).features]
    expected = np.eye(20)
    expected[2:5, 8] = expected[8, 2:5] = 0.5
    matrix = correlation_matrix(names, PAPER_CORRELATIONS)
    np.testing.assert_array_equal(matrix, expected)
    draws = GaussianCopula(matrix).sample(100_000, np.random.default_rng(0))
    # Standard errors: √(2 / n) = 0.0045 on the diagonal, √(1 / n) = 0.0032 beside it; 210 entries.
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.02)


def test_draws_repeat():
    _, law = copula({"all": ALL})
    first, second = (ALL.raw(law.sample(50, np.random.default_rng(7))) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    ("correlations", "message"),
    [
        ({("a", "feature_x"): 0.5}, "correlated feature 'feature_x' is unknown. Did you mean 'feature_b'"),
        ({("a", "a"): 0.5}, "must name two different features. Got 'a' twice"),
        ({("a", "c"): 0.1, ("c", "a"): 0.1}, "correlation of 'a' and 'c' must be given once"),
        ({("a", "c"): 1.0}, r"'a' and 'c' must lie in \(-1, 1\), without the ends. Got 1.0"),
        ({("a", "c"): -1.5}, "Got -1.5"),
        ({("a", "c"): float("nan")}, "Got nan"),
        (
            {("a", "feature_b"): 0.9, ("feature_b", "c"): 0.9},
            "must form a positive definite matrix.*eigenvalue -0.27.*make some correlations smaller",
        ),
        # Exactly singular: √½ twice.
        ({("a", "c"): 0.5**0.5, ("feature_b", "c"): 0.5**0.5}, "positive definite"),
    ],
)
def test_bad_correlations_are_refused(correlations, message):
    with pytest.raises(ValueError, match=message):
        correlation_matrix(["a", "feature_b", "c"], correlations)


def test_a_matrix_needs_distinct_names_and_may_be_empty():
    with pytest.raises(ValueError, match="'names' of a correlation matrix must be distinct"):
        correlation_matrix(["a", "a"], {})
    assert correlation_matrix([], {}).shape == (0, 0)
