from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from synthetic.margins import Margin
from synthetic.missing import Missing, hide, impute, resolve
from synthetic.types import Modality

MODALITIES = (
    Modality("axial", "image", ("liver", "spleen")),
    Modality("history", "table", ("age", "sex", "bmi")),
    Modality("labs", "table", ("alt", "ast", "crp", "sodium")),
)
COLUMNS = {
    name: column for column, name in enumerate(name for modality in MODALITIES for name in modality.features)
}
MARGINS = {"history/age": Margin("truncated_normal", (-2.8, 2.0)), "history/sex": Margin("binary", (0.5,))}

rules = st.builds(
    Missing,
    st.just(("labs/alt",)),
    st.just("mnar"),
    rate=st.floats(0.01, 0.99),
    strength=st.floats(0.05, 8),
)


def draw(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, len(COLUMNS)))


def hidden(missing, latents, seed=0, **options):
    return hide(missing, latents, COLUMNS, MODALITIES, np.random.default_rng(seed), **options)


def skew_normal_cdf(rule):
    """CDF of the score given that the value is missing, by quadrature of φ(u)·P(missing | u) / rate."""
    grid = np.linspace(-10, 10, 4001)
    density = stats.norm.pdf(grid) * rule.probability(grid) / rule.rate
    return lambda u: np.interp(u, grid, integrate.cumulative_simpson(density, x=grid, initial=0))


@given(rules)
def test_the_rate_is_exact(rule):
    share = integrate.quad(
        lambda u: float(stats.norm.pdf(u) * rule.probability(np.array(u))), -12, 12, limit=400, points=[0.0]
    )[0]
    assert share == pytest.approx(rule.rate, abs=1e-6)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.7])
@pytest.mark.parametrize(
    "options",
    [{"mechanism": "mcar"}, {"mechanism": "mar", "driver": "history/bmi"}, {"mechanism": "mnar"}],
    ids=lambda options: options["mechanism"],
)
def test_the_share_of_missing_values_is_the_rate(options, rate):
    mask = hidden([Missing(("labs/*",), rate=rate, strength=2.0, **options)], draw(40_000))
    assert mask.dtype == bool
    assert not mask[:, :5].any()
    # Standard error: at most 0.0025.
    np.testing.assert_allclose(mask[:, 5:].mean(0), rate, atol=0.011)


def test_completely_at_random_depends_on_nothing():
    latents = draw(40_000)
    mask = hidden([Missing(("labs/alt",), rate=0.3)], latents)[:, COLUMNS["labs/alt"]]
    # Standard error of each difference of means: 0.011.
    np.testing.assert_allclose(latents[mask].mean(0) - latents[~mask].mean(0), 0, atol=0.045)
    rule = Missing(("labs/alt",), rate=0.3, strength=5.0)
    np.testing.assert_allclose(rule.probability(np.linspace(-5, 5, 11)), 0.3)


def test_at_random_depends_on_the_driver_alone():
    latents = draw(40_000)
    rule = Missing(("labs/alt", "labs/crp"), "mar", rate=0.3, driver="history/bmi", strength=1.5)
    mask = hidden([rule], latents)
    for name in ("labs/alt", "labs/crp"):
        missing = mask[:, COLUMNS[name]]
        shift = latents[missing].mean(0) - latents[~missing].mean(0)
        assert shift[COLUMNS["history/bmi"]] > 0.8
        np.testing.assert_allclose(np.delete(shift, COLUMNS["history/bmi"]), 0, atol=0.045)
        driver = latents[:, COLUMNS["history/bmi"]]
        for low in (-2.0, -0.5, 1.0):
            inside = (driver > low) & (driver < low + 0.2)
            # Standard error: at most 0.016, with 1,000 patients or more in a bin; the bin's width adds 0.01.
            expected = rule.probability(np.array([low + 0.1]))[0]
            assert missing[inside].mean() == pytest.approx(expected, abs=0.06)
    # Given the driver, the two go missing on their own.
    both = (mask[:, COLUMNS["labs/alt"]] & mask[:, COLUMNS["labs/crp"]]).mean()
    expected = (rule.probability(latents[:, COLUMNS["history/bmi"]]) ** 2).mean()
    assert both == pytest.approx(expected, abs=0.01)


def test_not_at_random_depends_on_the_value_alone():
    latents = draw(40_000)
    rule = Missing(("labs/ast",), "mnar", rate=0.25, strength=2.0)
    missing = hidden([rule], latents)[:, COLUMNS["labs/ast"]]
    shift = latents[missing].mean(0) - latents[~missing].mean(0)
    assert shift[COLUMNS["labs/ast"]] > 1
    np.testing.assert_allclose(np.delete(shift, COLUMNS["labs/ast"]), 0, atol=0.05)
    # Mean of an extended skew normal: δ·φ(Φ⁻¹(rate)) / rate with δ = 2 / √5.
    expected = 2 / np.sqrt(5) * stats.norm.pdf(stats.norm.ppf(0.25)) / 0.25
    assert latents[missing, COLUMNS["labs/ast"]].mean() == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize(("rate", "strength"), [(0.2, 1.0), (0.05, 3.0), (0.6, 0.3), (0.9, 10.0)])
def test_the_score_of_a_missing_value_has_the_law_of_rejection_sampling(rate, strength):
    rule = Missing(("labs/alt",), "mnar", rate=rate, strength=strength)
    rng = np.random.default_rng(11)
    direct = rule.given_missing(rng.random(20_000), rng.random(20_000))
    scores = rng.standard_normal(int(20_000 / rate))
    rejected = scores[rule.draw(scores, rng)]
    assert stats.ks_2samp(direct, rejected).pvalue > 1e-3
    assert stats.kstest(direct, skew_normal_cdf(rule)).pvalue > 1e-3


@given(rules)
def test_the_mean_of_a_missing_score_is_the_closed_form(rule):
    midpoints = (np.arange(256) + 0.5) / 256
    first, second = np.meshgrid(midpoints, midpoints)
    scores = rule.given_missing(first, second)
    delta = rule.strength / np.hypot(1, rule.strength)
    expected = delta * stats.norm.pdf(stats.norm.ppf(rule.rate)) / rule.rate
    assert scores.mean() == pytest.approx(expected, abs=0.01)


@given(rules)
def test_scores_of_missing_values_are_finite_and_increase_with_both_numbers(rule):
    ends = np.array([0.0, 1e-300, 1e-9, 0.3, 0.8, 1 - 1e-12, 1.0])
    grid = rule.given_missing(ends[:, None], ends[None, :] + 0 * ends[:, None])
    assert np.isfinite(grid).all()
    assert (np.diff(grid, axis=0) >= 0).all()
    assert (np.diff(grid, axis=1) >= 0).all()


def test_a_tiny_rate_keeps_its_digits():
    rule = Missing(("labs/alt",), "mnar", rate=1e-12, strength=1e6)
    # Almost a cut: what is missing lies above Φ⁻¹(1 - rate) = 7.03.
    scores = rule.given_missing(np.array([0.0, 0.5]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(scores, -stats.norm.ppf([1e-12, 5e-13]), rtol=1e-6)


@pytest.mark.parametrize("options", [{"mechanism": "mcar"}, {"mechanism": "mar", "driver": "history/bmi"}])
def test_other_missing_values_are_like_any(options):
    rng = np.random.default_rng(0)
    rule = Missing(("labs/alt",), **options)
    scores = rule.given_missing(rng.random(5_000), rng.random(5_000))
    assert stats.kstest(scores, "norm").pvalue > 1e-3


def test_rules_resolve_to_features_in_order():
    high = Missing(("labs/crp",), "mnar")
    low = Missing(("labs/0", "history/*"), rate=0.1)
    assert resolve([high, low], MODALITIES) == {
        "history/age": low,
        "history/sex": low,
        "history/bmi": low,
        "labs/alt": low,
        "labs/crp": high,
    }
    assert resolve([], MODALITIES) == {}
    assert not hidden([], draw(10)).any()


def test_masks_repeat_and_rules_leave_each_other_alone():
    latents = draw(500)
    first = Missing(("labs/alt",), "mnar", rate=0.4)
    second = Missing(("history/bmi", "labs/sodium"), rate=0.2)
    alone = hidden([first], latents, seed=3)
    np.testing.assert_array_equal(alone, hidden([first], latents, seed=3))
    assert (alone != hidden([first], latents, seed=4)).any()
    together = hidden([second, first], latents, seed=3)
    np.testing.assert_array_equal(together[:, COLUMNS["labs/alt"]], alone[:, COLUMNS["labs/alt"]])
    assert together[:, COLUMNS["labs/sodium"]].any()


def test_missing_values_become_the_mean():
    table = np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3)
    mask = np.array([[True, False, False], [False, True, True]])
    filled = impute(table, mask)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled, [[0, 2, 3], [4, 0, 0]])
    assert table[0, 0] == 1
    with pytest.raises(ValueError, match=r"'mask' must have the table's shape \(2, 3\). Got \(3,\)"):
        impute(table, mask[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": ()}, "one or more distinct names. Got"),
        ({"features": ("labs/alt", "labs/alt")}, "distinct names"),
        ({"features": "labs/alt"}, "must be a tuple of .* Got 'labs/alt'"),
        ({"mechanism": "mnr"}, "mechanism 'mnr' is unknown. Did you mean 'mnar'"),
        (
            {"rate": 0.0},
            r"'rate' of Missing must lie in \(0, 1\), ends excluded. Got 0.0; leave the rule out",
        ),
        ({"rate": 1.0}, "Got 1.0"),
        ({"rate": float("nan")}, "Got nan"),
        ({"mechanism": "mnar", "strength": 0.0}, "'strength' of Missing must be finite and above 0. Got 0.0"),
        ({"mechanism": "mnar", "strength": float("inf")}, "Got inf"),
        (
            {"mechanism": "mar"},
            "must name a feature where the mechanism is 'mar'.*Got mechanism 'mar' and dri",
        ),
        ({"mechanism": "mnar", "driver": "history/bmi"}, "and nowhere else.*driver 'history/bmi'"),
        ({"driver": "history/bmi"}, "Got mechanism 'mcar'"),
    ],
)
def test_bad_rules_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Missing(**{"features": ("labs/alt",), **arguments})


def by_driver(driver, *features):
    return Missing(features or ("labs/alt",), "mar", driver=driver)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ([Missing(("labs/sodum",))], "In the 'features' of Missing: Feature 'labs/sodum' is not a latent"),
        ([Missing(("axial/*",))], "must be columns of tables.*Got 'axial/liver'; leave it out"),
        ([Missing(("image_1/liver",))], "Got 'axial/liver'"),
        (
            [Missing(("labs/*",)), Missing(("labs/crp",))],
            "'labs/crp' must be under one rule of Missing. Got two",
        ),
        ([Missing(("labs/*", "labs/crp"))], "'labs/crp' must be under one rule"),
        ([by_driver("labs/nothing")], "In the 'driver' of Missing: Feature 'labs/nothing'"),
        ([by_driver("labs/*")], r"'driver' of Missing must be one feature. Got 'labs/\*', 4 features; name"),
        ([by_driver("axial/liver")], "'driver' of Missing must be a column of a table. Got 'axial/liver'"),
        ([by_driver("labs/alt")], "must always be observed. Got 'labs/alt', which a rule hides; choose"),
        ([by_driver("history/bmi"), Missing(("history/bmi",))], "must always be observed. Got 'history/bmi'"),
        (
            [by_driver("history/age")],
            "'history/age' must have a normal margin.*'mar'.*Got 'truncated_normal'",
        ),
        ([Missing(("history/*",), "mnar")], "'history/age' must have a normal margin.*'mnar'"),
    ],
)
def test_bad_sets_of_rules_are_refused(missing, message):
    with pytest.raises(ValueError, match=message):
        resolve(missing, MODALITIES, MARGINS)
    with pytest.raises(ValueError, match=message):
        hidden(missing, draw(4), margins=MARGINS)


def test_a_margin_that_decides_nothing_is_free():
    assert set(resolve([Missing(("history/*",))], MODALITIES, MARGINS)) == set(MODALITIES[1].features)


def test_latents_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"'latents' must have shape \[n, 9\]. Got \(4, 3\)"):
        hidden([], np.zeros((4, 3)))
