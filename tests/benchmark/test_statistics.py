"""What a table of scores tells: hand-worked values, scipy, and laws."""

import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark import statistics
from benchmark.statistics import GridError
from benchmark.statistics.intervals import UNSEEN
from benchmark.table import leaderboard

METHODS = ("alpha", "beta", "gamma")


def make_table(rmse, rbo=None, *, methods=None, model="hybrid", targets="gradient"):
    """Return a table of scores from values [methods, scenarios, seeds]."""
    rmse = np.asarray(rmse, dtype=float)
    rbo = np.clip(1 - rmse, 0, 1) if rbo is None else np.asarray(rbo, dtype=float)
    names = methods or [f"m{i}" for i in range(len(rmse))]
    return pd.DataFrame(
        [
            {
                "scenario": f"case-{s}",
                "images": "phantom",
                "features": "anatomy",
                "model": model,
                "method": names[m],
                "method_version": "1",
                "targets": targets,
                "estimand": targets,
                "data_seed": k,
                "train_seed": k,
                "method_seed": k,
                "status": "done",
                "rmse": rmse[m, s, k],
                "rmse_uniform": 0.4,
                "rbo": rbo[m, s, k],
                "rbo_p90": rbo[m, s, k],
                "rbo_chance": 0.75,
                "learnt": 1.0,
                "informative": 1.0,
                "model_calls": 1,
                "seconds": 1.0,
                "n_clipped": 0,
                "all_zero": 0,
                "n_modalities": 4,
            }
            for m, s, k in np.ndindex(rmse.shape)
        ]
    )


def noisy(shape=(3, 8, 3), seed=0):
    rng = np.random.default_rng(seed)
    level = 0.1 * np.arange(1, shape[0] + 1)[:, None, None] * (1 + rng.random((1, shape[1], 1)))
    return level * np.exp(0.2 * rng.standard_normal(shape))


# ---- the grid


def test_a_grid_has_every_cell_in_its_place():
    values = noisy()
    table = make_table(values).sample(frac=1, random_state=1)
    cells = statistics.grid(table)
    order = [int(name[1:]) for name in cells.methods]
    cases = [int(case[0].split("-")[1]) for case in cells.cases]
    np.testing.assert_allclose(cells.rmse, values[np.ix_(order, cases)])
    assert cells.seeds == ((0, 0, 0), (1, 1, 1), (2, 2, 2))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda table, place: table.drop(index=place), "missing"),
        (lambda table, place: put(table, place, status="failed", rmse=np.nan), "failed"),
        (lambda table, place: put(table, place, status="timeout", rmse=np.nan), "timeout"),
        (lambda table, place: put(table, place, status="skipped", rmse=np.nan), "skipped"),
        (lambda table, place: put(table, place, learnt=0.5), "the network learnt 50%, less than 80%"),
    ],
)
def test_a_gap_is_refused_and_named(spoil, reason):
    table = make_table(noisy())
    place = table.index[(table.method == "m1") & (table.scenario == "case-3") & (table.data_seed == 2)]
    with pytest.raises(GridError, match=r"1 of 72 cells are empty: m1 on case-3 phantom anatomy, seed 2/2/2"):
        statistics.grid(spoil(table, place))
    with pytest.raises(GridError, match=reason):
        statistics.intervals(spoil(table, place))


def put(table, place, **values):
    table = table.copy()
    for name, value in values.items():
        table.loc[place, name] = value
    return table


def test_a_gap_is_treated_as_told():
    values = noisy()
    table = make_table(values)
    holed = table[~((table.method == "m1") & (table.scenario == "case-3") & (table.data_seed == 2))]
    dropped = statistics.grid(holed, gaps="drop-case")
    assert np.isnan(dropped.rmse[:, 3, 2]).all()
    assert np.isnan(dropped.rmse).sum() == 3
    assert statistics.grid(holed, gaps="drop-method").methods == ("m0", "m2")
    assert [str(gap) for gap in dropped.dropped] == ["m1 on case-3 phantom anatomy, seed 2/2/2: missing"]
    # A scenario that is lost altogether is no scenario.
    lost = table[~((table.method == "m1") & (table.scenario == "case-3"))]
    assert len(statistics.grid(lost, gaps="drop-case").cases) == 7
    value = statistics.intervals(holed, gaps="drop-case").set_index(["method", "metric"]).value
    squares = np.where(np.isnan(dropped.rmse), np.nan, values**2)
    assert value["m0", "rmse"] == pytest.approx(np.sqrt(np.nanmean(squares[0], axis=1).mean()))


def test_nothing_left_is_refused():
    table = make_table(noisy())
    one_each = table[table.method != table.data_seed.map("m{}".format)]
    with pytest.raises(GridError, match="a method must be complete to stay"):
        statistics.grid(one_each, gaps="drop-method")
    with pytest.raises(GridError, match="a scenario and seed must be complete to stay"):
        statistics.grid(one_each, gaps="drop-case")
    with pytest.raises(ValueError, match="Did you mean 'drop-case'"):
        statistics.grid(table, gaps="drop-cases")


def test_tables_that_are_no_grid_are_refused():
    table = make_table(noisy())
    with pytest.raises(GridError, match="Got two of 'm0' on 'case-0', seed 0"):
        statistics.grid(pd.concat([table, table.head(1)]))
    both = pd.concat([table, table.assign(model="late")])
    with pytest.raises(GridError, match="several models, hybrid, late: say which"):
        statistics.grid(both)
    assert statistics.grid(both, model="late").model == "late"
    with pytest.raises(GridError, match="must have results"):
        statistics.grid(table.head(0))
    with pytest.raises(GridError, match="Got controls"):
        statistics.grid(table.assign(targets="control"))


def test_a_method_of_pixels_alone_is_no_gap():
    table = make_table(noisy(), methods=METHODS)
    pixels = table[table.method == "beta"].assign(method="saliency", targets="pixels", rmse=np.nan)
    assert statistics.grid(pd.concat([table, pixels])).methods == METHODS


def test_a_truth_that_a_scenario_lacks_is_a_gap_of_its_own():
    table = make_table(noisy())
    other = table.index[(table.method == "m2") & (table.scenario == "case-1")]
    with pytest.raises(GridError, match="no truth of what it targets"):
        statistics.grid(put(table, other, estimand="shapley"))


# ---- intervals


def test_the_variance_over_seeds_is_that_worked_by_hand():
    # s² = 2 in both scenarios: V = (2/2 + 2/2) / 2² = 1/2; Satterthwaite: (1/2)² / (2 · (1/4)²) = 2.
    assert statistics.seed_variance(np.array([[0.0, 2.0], [4.0, 6.0]])) == pytest.approx((0.5, 2.0))
    # All noise in one of two scenarios: one degree of freedom.
    assert statistics.seed_variance(np.array([[0.0, 2.0], [4.0, 4.0]])) == pytest.approx((0.25, 1.0))
    # Pooled with a step that was not seen: (0 + 0 + 3) / (1 + 1 + 1) / 2 seeds / 2 scenarios.
    assert statistics.seed_variance(np.array([[1.0, 1.0], [1.0, 1.0]]), unseen=3.0) == pytest.approx(
        (0.25, 3.0)
    )


def test_an_interval_of_one_scenario_is_students():
    values = np.array([[0.2, 0.5, 0.3, 0.9]])
    low, high = stats.ttest_1samp(values[0], 0).confidence_interval(0.9)
    assert statistics.seed_interval(values, confidence=0.9) == pytest.approx((0.475, low, high))


def test_a_missing_seed_leaves_the_others():
    values = np.array([[0.0, 2.0, np.nan], [4.0, 6.0, 5.0], [np.nan, np.nan, np.nan]])
    variance, _ = statistics.seed_variance(values)
    assert variance == pytest.approx((2 / 2 + 1 / 3) / 4)
    assert statistics.seed_interval(values).value == pytest.approx(3.0)


def test_a_mean_of_results_weighs_scenarios_by_their_seeds():
    values = np.array([[0.0, 2.0, np.nan], [4.0, 6.0, 5.0], [np.nan, np.nan, np.nan]])
    # (2/5)² · 2/2 and (3/5)² · 1/3, with one and two degrees of freedom.
    found = statistics.seed_variance(values, mean_of="results")
    assert found == pytest.approx((0.16 + 0.12, 0.28**2 / (0.16**2 / 1 + 0.12**2 / 2)))
    assert statistics.seed_variance(values, mean_of="results", unseen=3.0) == pytest.approx(
        ((2 + 2 + 3) / 4 * (0.16 / 2 + 0.36 / 3), 4)
    )
    assert statistics.seed_interval(values, mean_of="results").value == pytest.approx(np.nanmean(values))
    # One seed: as variable as the others, s² = 2, or in proportion to its size, 2 / 1² · 5².
    lone = np.array([[0.0, 2.0], [5.0, np.nan]])
    assert statistics.seed_variance(lone).variance == pytest.approx((2 / 2 + 2) / 4)
    assert statistics.seed_variance(lone, squared=True).variance == pytest.approx((2 / 2 + 50) / 4)
    rng = np.random.default_rng(0)
    assert statistics.scenario_interval(values, rng=rng, mean_of="results").value == pytest.approx(3.4)
    with pytest.raises(ValueError, match="Did you mean 'results'"):
        statistics.seed_variance(values, mean_of="result")


def test_with_as_many_seeds_everywhere_both_means_are_one():
    values = noisy((1, 8, 3))[0]
    assert statistics.seed_variance(values, mean_of="results") == pytest.approx(
        statistics.seed_variance(values)
    )
    one, other = (
        statistics.scenario_interval(values, rng=np.random.default_rng(1), mean_of=mean_of)
        for mean_of in ("results", "scenarios")
    )
    assert one == pytest.approx(other)


def test_one_seed_has_no_interval_over_seeds():
    rows = statistics.intervals(make_table(noisy((2, 5, 1))))
    assert rows[["low", "high"]].isna().all().all()
    assert rows["value"].notna().all()
    assert statistics.intervals(make_table(noisy((2, 5, 1))), over="scenarios")["low"].notna().all()


def test_intervals_are_around_the_leaderboards_values():
    table = make_table(noisy(), methods=METHODS)
    board = leaderboard(table).set_index("method")
    for over in ("seeds", "scenarios"):
        rows = statistics.intervals(table, over=over, n_resamples=200)
        assert ((rows.low <= rows.value) & (rows.value <= rows.high)).all()
        for row in rows.itertuples():
            assert row.value == pytest.approx(board.loc[row.method, row.metric])


def test_an_rbo_that_never_moved_is_not_certain():
    rows = statistics.intervals(make_table(noisy(), np.ones((3, 8, 3))))
    rbo = rows[rows.metric == "rbo"].iloc[0]
    # (0.02 / 17) / 24, times 1 + 7 · 0.05 for eight scenarios, with 17 degrees of freedom
    reach = stats.t.ppf(0.975, 17) * np.sqrt(1.35 * UNSEEN / 17 / 24)
    assert (rbo.value, rbo.low, rbo.high) == pytest.approx((1.0, 1 - reach, 1.0))


def test_intervals_are_the_same_at_each_call_and_wider_over_scenarios():
    table = make_table(noisy())
    first, again = (statistics.intervals(table, over="scenarios", n_resamples=300) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    other = statistics.intervals(table, over="scenarios", n_resamples=300, seed=1)
    assert (first.low != other.low).any()
    narrow = statistics.intervals(table)
    assert (first.high - first.low > narrow.high - narrow.low).all()


def test_arguments_of_intervals_are_checked():
    table = make_table(noisy())
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\). Got 95"):
        statistics.intervals(table, confidence=95)
    with pytest.raises(ValueError, match="Did you mean 'seeds'"):
        statistics.intervals(table, over="seed")


@pytest.mark.parametrize("single", [(), (6,), (0, 1), (0, 1, 5, 7), (2, 3, 4, 6)])
def test_the_interval_over_seeds_covers_as_often_as_it_says(single):
    rng = np.random.default_rng(3)
    level = 0.1 * np.array([1.0, 1.2, 0.3, 0.5, 0.5, 0.8, 0.2, 0.9])[:, None]
    gone = np.zeros((8, 3), dtype=bool)
    gone[list(single), 1:] = True  # one seed of the worst scenarios, or of the easiest
    squares = level**2 * (1 + 0.2**2)
    truth = np.sqrt((squares * ~gone).sum() / (~gone).sum())
    n, hits = 800, 0
    for _ in range(n):
        # Scenarios share a twentieth of the variance with the same seed.
        drawn = np.sqrt(0.95) * rng.standard_normal((8, 3)) + np.sqrt(0.05) * rng.standard_normal(3)
        values = np.where(gone, np.nan, (level * (1 + 0.2 * drawn)) ** 2)
        found = statistics.seed_interval(values, squared=True, mean_of="results")
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / n <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("share_lost", [0.0, 0.2])
def test_the_interval_over_scenarios_covers_as_often_as_it_says(share_lost):
    rng = np.random.default_rng(4)
    n, hits = 1500, 0
    for _ in range(n):
        values = 1 + 0.3 * rng.standard_normal((8, 1)) + 0.1 * rng.standard_normal((8, 3))
        values[:, 1:][rng.random((8, 2)) < share_lost] = np.nan
        found = statistics.scenario_interval(values, rng=rng, mean_of="results", n_resamples=400)
        hits += found.low <= 1.0 <= found.high
    assert 0.93 <= hits / n <= 0.97


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(24)))
def test_the_order_of_scenarios_and_seeds_does_not_matter(seed, order):
    values = noisy((1, 8, 3), seed)[0]
    shuffled = values[[place % 8 for place in order[:24] if place < 8]][:, [2, 0, 1]]
    assert statistics.seed_interval(shuffled, squared=True) == pytest.approx(
        statistics.seed_interval(values, squared=True)
    )


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.text(min_size=1), min_size=3, max_size=3, unique=True))
def test_neither_the_order_of_rows_nor_names_matter(random, names):
    table = make_table(noisy(), methods=METHODS)
    order = list(range(len(table)))
    random.shuffle(order)
    renamed = table.iloc[order].assign(
        method=lambda frame: frame["method"].map(dict(zip(METHODS, names, strict=True)))
    )
    back = dict(zip(names, METHODS, strict=True))
    before, after = statistics.intervals(table), statistics.intervals(renamed)
    merged = before.merge(after.assign(method=after["method"].map(back)), on=["method", "metric"])
    assert len(merged) == len(before)
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(merged[f"{name}_x"], merged[f"{name}_y"])
    ranks = statistics.average_ranks(statistics.grid(renamed)).rename(index=back)
    pd.testing.assert_series_equal(ranks, statistics.average_ranks(statistics.grid(table)))
    w = [statistics.rank_stability(frame).kendall_w for frame in (table, renamed)]
    assert w[0] == pytest.approx(w[1])


# ---- comparisons


def test_holms_correction_is_that_worked_by_hand():
    # 0.01·3; max(0.03, 0.03·2) = 0.06; max(0.06, 0.04·1) = 0.06
    assert statistics.holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert statistics.holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_raw_values_and_bonferronis(p):
    corrected = statistics.holm(p)
    assert (corrected >= np.array(p) - 1e-12).all()
    assert (corrected <= np.minimum(np.array(p) * len(p), 1) + 1e-12).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()


def test_the_signed_rank_test_is_scipys_where_nothing_is_tied():
    rng = np.random.default_rng(0)
    for n in (5, 8, 12, 38, 50, 60):
        values = rng.standard_normal(n) + 0.4
        method = "exact" if n <= 50 else "approx"
        expected = stats.wilcoxon(values, method=method).pvalue
        assert statistics.signed_rank_test(values) == pytest.approx(expected)


@pytest.mark.parametrize("n", range(1, 13))
def test_the_signed_rank_test_counts_what_all_signs_give(n):
    values = np.random.default_rng(n).integers(-4, 5, n).astype(float)  # many ties
    nonzero = values[values != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    sums = np.array([signs @ ranks for signs in itertools.product((0, 1), repeat=len(ranks))])
    far = np.abs(sums - ranks.sum() / 2) >= abs(ranks[nonzero > 0].sum() - ranks.sum() / 2)
    assert statistics.signed_rank_test(values) == far.mean()


def test_exact_signed_ranks_count_sums_instead_of_signs():
    values = np.random.default_rng(0).standard_normal(16)
    tracemalloc.start()
    found = statistics.signed_rank_test(values)
    assert tracemalloc.get_traced_memory()[1] < 2**16  # a byte for each of the 2¹⁶ signs would be more
    tracemalloc.stop()
    assert found == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


def test_the_signed_rank_test_is_exact_with_ties():
    # Ranks 1.5, 1.5, 3 and sums of signs 0, 1.5, 1.5, 3, 3, 4.5, 4.5, 6: only 0 and 6 are as far out as 6.
    assert statistics.signed_rank_test([1.0, 1.0, 2.0, 0.0]) == pytest.approx(2 / 8)
    assert statistics.signed_rank_test([0.0, 0.0]) == 1.0


def test_paired_tests_are_scipys():
    values = noisy()
    pair = make_table(values[:2])
    squares = (values**2).mean(2)
    found = statistics.compare_methods(pair, test="t").iloc[0]
    assert found.p == pytest.approx(stats.ttest_rel(squares[0], squares[1]).pvalue)
    assert (found.better, found.worse) == ("m0", "m1")
    pooled = np.sqrt(squares.mean(1))
    assert found.difference == pytest.approx(pooled[0] - pooled[1])
    found = statistics.compare_methods(pair, test="wilcoxon").iloc[0]
    assert found.p == pytest.approx(stats.wilcoxon(squares[0] - squares[1]).pvalue)
    one = statistics.compare_methods(make_table(values[:2, :1]), test="seeds").iloc[0]
    expected = stats.ttest_rel(values[0, 0] ** 2, values[1, 0] ** 2).pvalue
    assert one.p == pytest.approx(expected)


def test_a_higher_rbo_is_better():
    rbo = np.stack([np.full((8, 3), 0.8), np.full((8, 3), 0.9)])
    rbo += 0.01 * np.random.default_rng(0).random(rbo.shape)
    found = statistics.compare_methods(make_table(noisy((2, 8, 3)), rbo), metric="rbo").iloc[0]
    assert (found.better, found.worse) == ("m1", "m0")
    assert found.difference == pytest.approx(0.1, abs=0.01)


def test_equal_methods_do_not_differ():
    values = noisy((1, 8, 3))
    table = make_table(np.concatenate([values, values]))
    for test in ("wilcoxon", "t", "seeds"):
        assert statistics.compare_methods(table, test=test)["p"].tolist() == [1.0]


def test_tests_without_noise_are_refused():
    with pytest.raises(ValueError, match="'seeds' must have two seeds or more"):
        statistics.compare_methods(make_table(noisy((2, 8, 1))), test="seeds")
    with pytest.raises(ValueError, match="'t' must have two scenarios or more"):
        statistics.compare_methods(make_table(noisy((2, 1, 3))), test="t")


def test_friedman_and_ranks_are_scipys():
    values = noisy((4, 8, 3), seed=5)
    values[3] = values[2] * np.exp(0.5 * np.random.default_rng(1).standard_normal((8, 3)))
    cells = statistics.grid(make_table(values))
    squares = (values**2).mean(2)
    expected = stats.friedmanchisquare(*squares)
    found = statistics.friedman(cells)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    ranks = stats.rankdata(squares, axis=0).mean(1)
    np.testing.assert_allclose(statistics.average_ranks(cells).sort_index(), ranks)
    # Kendall's W of scenarios as judges is Friedman's statistic over s (m − 1).
    w = statistics.kendall_w(stats.rankdata(squares, axis=0))
    assert w == pytest.approx(expected.statistic / (8 * 3))


def test_friedman_needs_three_methods_and_knows_full_ties():
    with pytest.raises(ValueError, match=r"three methods and two scenarios or more\. Got 2 and 8"):
        statistics.friedman(statistics.grid(make_table(noisy((2, 8, 3)))))
    same = np.repeat(noisy((1, 8, 3)), 3, axis=0)
    assert statistics.friedman(statistics.grid(make_table(same))) == (0.0, 1.0, 3, 8)


def test_groups_hold_what_cannot_be_told_apart():
    rng = np.random.default_rng(1)
    base = 0.1 * (1 + rng.random((8, 1)))
    values = np.stack([base * f * np.exp(0.05 * rng.standard_normal((8, 3))) for f in (1, 1, 2, 2)])
    found = statistics.critical_difference(make_table(values), test="t")
    assert {frozenset(group) for group in found.groups} == {frozenset(("m0", "m1")), frozenset(("m2", "m3"))}
    assert found.friedman.p < 0.01
    assert found.ranks.iloc[0] < 2
    assert len(found.pairs) == 6


# ---- stability and decomposition


def test_kendalls_w_is_that_worked_by_hand():
    # Sums 4, 5, 9 around 6: 12 · (4 + 1 + 9) / (3² · (3³ − 3)) = 168 / 216
    assert statistics.kendall_w([[1, 1, 2], [2, 2, 1], [3, 3, 3]]) == pytest.approx(168 / 216)
    assert statistics.kendall_w([[1.5, 1.5], [1.5, 1.5]]) == 1.0


def test_rank_stability_is_that_of_pooled_scores():
    values = np.stack([np.full((4, 3), level) for level in (0.1, 0.2, 0.3)])
    found = statistics.rank_stability(make_table(values))
    assert (found.kendall_w, found.mean_tau) == (1.0, pytest.approx(1.0))
    values[:, :, 2] = values[::-1, :, 2]
    found = statistics.rank_stability(make_table(values))
    assert found.mean_tau == pytest.approx((1 - 1 - 1) / 3)
    assert found.ranks.loc["m0"].tolist() == [1.0, 1.0, 3.0]
    with pytest.raises(ValueError, match="two seeds"):
        statistics.rank_stability(make_table(noisy((3, 8, 1))))


def test_the_shares_of_the_error_are_those_worked_by_hand():
    network, oracle = np.full((2, 2, 3), 0.2), np.full((2, 2, 3), 0.1)
    oracle[1] = 0.3  # the network's error cancels some of the method's
    table = pd.concat([make_table(network), make_table(oracle, model="oracle")], ignore_index=True)
    found = statistics.error_shares(table).set_index("method")
    assert found.loc["m0", ["mse", "mse_oracle", "added"]].tolist() == pytest.approx([0.04, 0.01, 0.03])
    assert found.loc["m0", ["share_method", "share_model"]].tolist() == pytest.approx([0.25, 0.75])
    assert found.loc["m1", ["added", "share_method"]].tolist() == pytest.approx([-0.05, 1.0])


def test_shares_need_both_and_leave_out_what_the_network_lacks():
    network, oracle = make_table(noisy()), make_table(noisy(seed=1), model="oracle")
    for alone, message in ((network, "rows of the oracle"), (oracle, "rows of a network")):
        with pytest.raises(GridError, match=message):
            statistics.error_shares(alone)
    low = (network.scenario == "case-2") & (network.data_seed == 1)
    table = pd.concat([put(network, network.index[low], learnt=0.1), oracle], ignore_index=True)
    with pytest.raises(GridError, match="learnt 10%"):
        statistics.error_shares(table)
    found = statistics.error_shares(table, gaps="drop-case").set_index("method")
    both = [noisy(), noisy(seed=1)]
    for values in both:
        values[:, 2, 1] = np.nan
    expected = np.nanmean(both[1] ** 2, axis=(1, 2)) / np.nanmean(both[0] ** 2, axis=(1, 2))
    np.testing.assert_allclose(found["share_method"], np.minimum(expected, 1))


def test_a_metric_that_no_scenario_has_has_no_interval():
    # Where every truth is one tie, there is no corrected RBO: a value that is missing, and no warning.
    table = make_table(noisy((2, 3, 1))).assign(informative=0.0)
    found = statistics.intervals(table, over="scenarios").set_index("metric")
    assert found.loc["rbo_corrected", ["value", "low", "high"]].isna().all().all()
    assert found.loc["rmse", "low"].notna().all()
