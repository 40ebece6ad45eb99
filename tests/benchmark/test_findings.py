"""What runs tell, read from their folders: against the tables of one run, and worked by hand."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import synthetic
from benchmark import findings, statistics, table
from benchmark.findings import ALL, OWN, tables
from benchmark.findings import boards as boards_module
from benchmark.findings import contest as contest_module
from benchmark.findings.answer import answer, shown, signed, warnings
from benchmark.findings.boards import work_out
from benchmark.findings.cells import balanced
from benchmark.findings.contest import hold
from benchmark.findings.fusion import by_modality, by_number, by_subset
from benchmark.findings.networks import agree
from benchmark.report.summary import summary_markdown
from benchmark.statistics.grid import CASE, SEEDS
from benchmark.store import Result, Store

TRUTHS = ("gradient", "shapley")


# ---- boards


@pytest.mark.parametrize("estimand", [None, *TRUTHS])
@pytest.mark.parametrize("family", [ALL, "published", "interactions", "own"])
def test_every_board_is_the_leaderboard_of_its_rows(runs, estimand, family):
    scores = runs.scores()
    scores.loc[(scores["method"] == "beta") & (scores["scenario"] == "xor"), "rbo"] = 0.2
    rows = scores[[family in (ALL, synthetic.family(name)) for name in scores["scenario"]]]
    expected = table.leaderboard(rows, estimand=estimand).set_index("method")
    found = work_out(scores).board(truth=estimand or OWN, family=family).set_index("method")
    assert list(found.index) == list(expected.index)
    same = ["rmse", "rmse_sd", "skill", "rbo", "rbo_corrected", "rbo_p90", "rmse_oracle"]
    same += ["model_calls", "seconds", "n_failed", "n_skipped"]
    pd.testing.assert_frame_equal(
        found[same].astype(float), expected[same].astype(float), check_exact=False, rtol=1e-12
    )


def test_a_board_of_one_image_source_is_the_leaderboard_of_its_rows(runs):
    scans = runs.scores(seed=1).assign(images="organamnist", features="pca")
    scores = pd.concat([runs.scores(), scans], ignore_index=True)
    boards = work_out(scores)
    assert boards.images == (ALL, "phantom", "organamnist")
    for family in (ALL, "published"):
        rows = scans[[family in (ALL, synthetic.family(name)) for name in scans["scenario"]]]
        found = boards.board(images="organamnist", family=family)
        np.testing.assert_allclose(found["rmse"], table.leaderboard(rows)["rmse"], rtol=1e-12)


def test_intervals_of_a_board_are_those_of_the_statistics(runs):
    scores = runs.scores()
    expected = statistics.intervals(scores, model="net").query("metric == 'rmse'").set_index("method")
    found = work_out(scores).board().set_index("method").loc[expected.index]
    np.testing.assert_allclose(found[["low", "high"]], expected[["low", "high"]], rtol=1e-12)
    assert (found["low"] < found["rmse"]).all()


def test_one_seed_has_intervals_over_scenarios(runs):
    scores = runs.scores(n_seeds=1)
    boards = work_out(scores)
    assert boards.over == "scenarios"
    expected = statistics.intervals(scores, over="scenarios", model="net").query("metric == 'rmse'")
    found = boards.board().set_index("method").loc[expected["method"]]
    np.testing.assert_allclose(found[["low", "high"]], expected[["low", "high"]], rtol=1e-12)


def test_a_method_with_fewer_scores_has_no_rank_and_stands_behind(runs):
    scores = runs.scores()
    scores = scores[~((scores["method"] == "alpha") & (scores["scenario"] == "xor"))]
    board = work_out(scores).board()
    assert list(board["method"]) == ["beta", "gamma", "alpha", "uniform"]
    assert board["rank"].tolist()[:2] == [1, 2]
    assert board["rank"].isna().tolist() == [False, False, True, True]
    assert board["n_scenarios"].tolist() == [3, 3, 2, 3]


def test_what_failed_is_counted_where_it_failed(runs):
    scores = runs.scores()
    bad = (scores["method"] == "alpha") & (scores["scenario"] == "xor") & (scores["model"] == "net")
    scores.loc[bad & (scores["data_seed"] == 1), "status"] = "timeout"
    boards = work_out(scores)
    row = boards.board().set_index("method").loc["alpha"]
    assert (row["n_failed"], row["n_skipped"], row["n_results"]) == (1, 0, 8)
    assert np.isnan(row["rank"])
    assert boards.board(family="published")["n_failed"].sum() == 0
    assert boards.board(model="oracle")["n_failed"].sum() == 0


def test_networks_below_the_gate_do_not_count(runs):
    scores = runs.scores()
    low = (scores["model"] == "net") & (scores["scenario"] == "xor")
    scores.loc[low, "learnt"] = 0.5
    board = work_out(scores).board()
    assert set(board["n_scenarios"]) == {2}
    np.testing.assert_allclose(
        board.set_index("method").loc["alpha", "rmse"],
        table.leaderboard(scores).set_index("method").loc["alpha", "rmse"],
    )


def test_too_many_filters_are_left_out_and_named(runs):
    scores = runs.scores()
    n_rows = len(TRUTHS) + 1
    boards = work_out(scores, most_rows=n_rows * 2 * len(runs.targets))
    assert boards.omitted == "families of scenarios are not told apart"
    assert set(boards.rows["family"]) == {ALL}
    assert work_out(scores).omitted == ""


def test_too_many_intervals_are_left_out_of_filtered_boards_alone(runs, monkeypatch):
    monkeypatch.setitem(boards_module._MOST_INTERVALS, "seeds", 3)
    boards = work_out(runs.scores())
    assert boards.board()["low"].notna().all()
    assert boards.board(family="interactions")["low"].isna().any()
    assert boards.omitted == "some filtered boards have no intervals"


# ---- the answer


def test_the_answer_names_no_winner_where_groups_overlap(runs, tmp_path):
    found = findings.read([runs.write(tmp_path / "run", runs.scores(noise=0.8))])
    answer = found.answer[0]
    assert not answer.is_alone
    assert "no single method stands apart" in answer.headline
    assert "least error" not in answer.headline


def test_the_answer_names_a_winner_where_all_others_can_be_told_from_it(runs, tmp_path):
    scores = runs.scores(noise=0.01)
    answer = findings.read([runs.write(tmp_path / "run", scores)]).answer[0]
    assert answer.is_alone
    assert answer.first == "alpha"
    pairs = statistics.compare_methods(scores, model="net")
    assert pairs[pairs["better"] == "alpha"]["differs"].all()
    interval = statistics.intervals(scores, model="net").query("metric == 'rmse' and method == 'alpha'")
    for name in ("value", "low", "high"):
        assert shown(interval[name].iloc[0]) in answer.headline
    assert "over 3 seeds" in answer.headline
    assert "cannot be decided: with 3 scenarios" in " ".join(answer.details)


def test_the_answer_of_one_seed_says_so(runs, tmp_path):
    scores = runs.scores(n_seeds=1, cases=[f"case-{k}" for k in range(12)], noise=0.01)
    answer = findings.read([runs.write(tmp_path / "run", scores)]).answer[0]
    assert "over 12 scenarios (Wilcoxon's tests" in answer.headline
    assert any("There is one seed" in line for line in answer.details)


def test_the_answer_of_one_seed_and_scenario_is_unsure(runs, tmp_path):
    scores = runs.scores(n_seeds=1, cases=["xor"])
    answer = findings.read([runs.write(tmp_path / "run", scores)]).answer[0]
    assert "nothing says how surely" in answer.headline


def test_methods_with_gaps_are_not_compared_and_named(runs, tmp_path):
    scores = runs.scores()
    scores = scores[~((scores["method"] == "gamma") & (scores["scenario"] == "xor"))]
    found = findings.read([runs.write(tmp_path / "run", scores)])
    contest = found.contests["net"]
    assert contest.methods == ("alpha", "beta")
    assert contest.left_out == {"gamma": "6 of 9 scores"}
    assert "gamma (6 of 9 scores)" in " ".join(found.answer[0].details)
    assert contest.groups is None
    assert "2 methods" in contest.no_groups


def of_net(scores):
    """Return the contest and the answer of the model 'net'."""
    contest = hold(scores, "net")
    return contest, answer(contest, work_out(scores).board(model="net"))


def lacking(scores, places):
    """Return scores in which methods failed on scenarios."""
    failed = [pair in places for pair in zip(scores["method"], scores["scenario"], strict=True)]
    return scores.assign(
        status=np.where(failed, "failed", scores["status"]), rmse=scores["rmse"].mask(failed)
    )


EIGHT = tuple(f"case-{k}" for k in range(8))


def test_methods_without_a_cell_in_common_are_not_compared(runs, tmp_path):
    parts = (runs.scores(cases=EIGHT[:2]), runs.scores(cases=EIGHT[2:4]))
    folders = [
        runs.write(tmp_path / name, rows[rows["method"] == name])
        for name, rows in zip(("alpha", "beta"), parts, strict=True)
    ]
    found = findings.read(folders)
    contest = found.contests["net"]
    assert (contest.methods, contest.groups) == ((), None)
    assert "half of the 6 that alpha has" in contest.no_groups
    assert contest.no_groups in found.answer[0].headline
    assert found.boards.board()["low"].notna().all()


def test_methods_with_one_cell_in_common_are_compared_on_it(runs):
    scores = runs.scores(cases=EIGHT[:2])
    alpha = (scores["method"] == "alpha") & (scores["scenario"] == "case-0") & (scores["data_seed"] < 2)
    beta = (scores["method"] == "beta") & (scores["data_seed"] == 0)
    contest, told = of_net(scores[alpha | beta])
    assert contest.methods == ("alpha", "beta")
    assert (contest.n_scenarios, contest.n_seeds, contest.pairs, contest.scenario_pairs) == (1, 1, None, None)
    assert "of 1 scenario (1 of 3 cases), alpha stands first" in told.headline
    assert "nothing says how surely" in told.headline
    assert any("one scenario with one seed" in line for line in told.details)


def test_scenarios_and_seeds_are_those_that_are_compared(runs):
    scores = lacking(runs.scores(cases=EIGHT), {("alpha", "case-0"), ("beta", "case-1"), ("gamma", "case-2")})
    contest, told = of_net(scores)
    assert contest.methods == ("alpha", "beta", "gamma")
    assert (contest.n_scenarios, contest.n_seeds) == (5, 3)
    assert set(contest.intervals["n_scenarios"]) == {5}
    assert "of 5 scenarios (15 of 24 cases)" in told.headline
    assert any(line.startswith("9 of 24 cases") and line.endswith("a method has.") for line in told.details)
    # On the oracle, each failed likewise.
    assert set(contest.parts["method"]) == {"alpha", "beta", "gamma"}


def test_one_estimator_makes_intervals_and_leaderboards(runs):
    scores = runs.scores(cases=EIGHT[:2], methods={"alpha": "gradient", "beta": "shapley"})
    first = scores["scenario"] == "case-0"
    scores.loc[first & (scores["data_seed"] > 0), "learnt"] = 0.1
    alpha = scores["method"] == "alpha"
    scores["rmse"] = np.select([first & alpha, first, alpha], [0.3, 0.2, 0.12], 0.14) * (
        1 + 0.01 * scores["data_seed"]
    )
    contest, told = of_net(scores)
    board = work_out(scores).board(model="net")
    # Pooled, beta is first; on the scenario with three seeds, alpha.
    assert (board["method"][0], contest.methods[0]) == ("beta", "alpha")
    # Their intervals are of the same means: of results, not of scenarios.
    assert ((board["low"] < board["rmse"]) & (board["rmse"] < board["high"])).all()
    assert (contest.n_scenarios, contest.n_seeds) == (1, 3)
    assert "of 1 scenario (3 of 4 cases)" in told.headline
    assert any("leaderboard pools all" in line and "beta first" in line for line in told.details)
    rows = scores[(scores["model"] == "net") & (scores["learnt"] > 0.5)]
    mine = table.own_truth(contest.choice.rows(rows))
    pooled = mine.groupby("method")["rmse"].apply(lambda it: np.sqrt((it**2).mean()))
    assert contest.intervals.set_index("method")["value"].to_dict() == pytest.approx(pooled.to_dict())


def test_a_complete_contest_has_the_numbers_of_the_board(runs):
    scores = runs.scores(cases=EIGHT)
    scores.loc[(scores["scenario"] == "case-3"), "learnt"] = 0.1
    contest, told = of_net(scores)
    board = work_out(scores).board(model="net").set_index("method").loc[list(contest.methods)]
    expected = contest.intervals.set_index("method")
    np.testing.assert_allclose(board[["rmse", "low", "high"]], expected[["value", "low", "high"]], rtol=1e-12)
    assert "of these 7 scenarios" in told.headline


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_ranks_that_contradict_the_mean_leave_no_winner(runs, n_seeds):
    cases = [f"case-{k}" for k in range(20)]
    scores = runs.scores(cases=cases, n_seeds=n_seeds, noise=0.0)
    k = pd.Series({case: place for place, case in enumerate(cases)})[scores["scenario"]].to_numpy()
    level = {"alpha": 0.2 + 1e-4 * k, "beta": np.where(k < 19, 0.1 + 1e-3 * k, 0.9), "gamma": 0.95}
    for name, values in level.items():
        scores["rmse"] = np.where(scores["method"] == name, values, scores["rmse"])
    scores["rmse"] *= 1 + 0.001 * scores["data_seed"]
    contest, told = of_net(scores)
    assert contest.methods == ("alpha", "beta", "gamma")
    assert contest.groups.ranks["beta"] < contest.groups.ranks["alpha"]
    assert not contest.undecided(contest.scenario_pairs)
    assert contest.contrary == ("beta",)
    said = " ".join(told.details) if n_seeds > 1 else told.headline
    assert "mean and ranks disagree on beta" in said
    assert "errs less by ranks and more in the mean" in said
    assert "It holds" not in " ".join(told.details)
    assert told.is_alone == (n_seeds > 1)


def test_no_order_is_said_to_hold_that_seeds_leave_open(runs):
    scores = runs.scores(cases=EIGHT, methods={"alpha": "gradient", "beta": "shapley"})
    shift = 0.03 * (scores["data_seed"] - 1)
    scores["rmse"] = np.sqrt(np.where(scores["method"] == "alpha", 0.04 - shift, 0.044 + shift))
    contest, told = of_net(scores)
    assert contest.undecided(contest.pairs) == ("beta",)
    assert contest.undecided(contest.scenario_pairs) == ()
    assert "no single method stands apart" in told.headline
    assert "On other scenarios like these, every other method is worse than alpha" in told.details[-1]
    assert "It holds" not in told.details[-1]


def test_the_order_holds_where_both_tests_say_so(runs):
    scores = runs.scores(cases=EIGHT, methods={"alpha": "gradient", "beta": "shapley"}, noise=0.01)
    told = of_net(scores)[1]
    assert "alpha has an RMSE of" in told.headline
    assert "beta is worse over 3 seeds (a paired t test, level 0.05)" in told.headline
    assert told.details[-1].startswith("It holds on other scenarios like these, too (Wilcoxon's test over 8")
    assert "pairs" not in told.details[-1]


def errors_of(runs, levels, *, cases=EIGHT, n_seeds=3, spread=0.0):
    """Return scores of methods with an error each, that seeds spread about it, each method in its own way."""
    scores = runs.scores(cases=cases, methods=dict.fromkeys(levels, "gradient"), n_seeds=n_seeds)
    rng = np.random.default_rng(1)
    level = scores["method"].map(levels).to_numpy(float)
    return scores.assign(rmse=level * np.exp(spread * rng.standard_normal(len(scores))))


@pytest.mark.parametrize(
    ("levels", "spread", "words"),
    [
        # 0.2 ± 40 % beside 0.1 ± 40 %: a great difference that few seeds do not find is not equality
        ({"first": 0.1, "other": 0.13}, 0.8, "not decided"),
        ({"first": 0.0019, "other": 0.084}, 1.2, "not decided"),
        ({"first": 0.1, "other": 0.1002}, 0.01, "within 0.01 of the best"),
        ({"first": 0.01, "other": 0.0102}, 0.05, "within 0.01 of the best"),
        ({"first": 0.1, "other": 0.2}, 0.01, "worse"),
        ({"first": 0.001, "other": 0.004}, 0.01, "worse, within 0.01 of the best"),
        ({"first": 0.1, "other": 0.1}, 0.0, "within 0.01 of the best"),
    ],
)
def test_each_method_stands_in_one_of_four_ways_to_the_best(runs, levels, spread, words):
    contest, told = of_net(errors_of(runs, levels, spread=spread))
    ((name, found),) = contest.standings(contest.pairs).items()
    assert found.words == words
    assert found.low <= found.difference <= found.high
    assert found.difference >= 0
    text = " ".join((told.headline, *told.details))
    assert "told from" not in text
    assert "told apart" not in text
    if words == "not decided":
        assert f"of {name} it is not decided whether it errs more" in told.headline
        assert f"{name} +" in text
        assert found.high > 0.01
    elif words.startswith("within"):
        assert f"{name} is within 0.01 of it over" in told.headline
        assert found.high < 0.01
    else:
        assert f"{name} is worse" in told.headline
    assert told.is_alone == words.startswith("worse")


def test_no_low_power_is_called_equality_whatever_varies(runs):
    for n_seeds in (1, 2):
        scores = errors_of(
            runs, {"first": 0.05, "b": 0.08, "c": 0.3}, cases=EIGHT[:4], n_seeds=n_seeds, spread=1
        )
        contest, told = of_net(scores)
        assert not contest.equal(contest.main_pairs)
        assert "within" not in told.headline
        assert set(contest.undecided(contest.main_pairs)) == set(contest.methods[1:])


def test_the_differences_stand_in_the_report_with_their_intervals(runs, tmp_path):
    scores = errors_of(runs, {"first": 0.1, "near": 0.1002, "far": 0.3}, spread=0.01)
    found = findings.read([runs.write(tmp_path / "run", scores)])
    contest = found.contests["net"]
    it = contest.standings(contest.pairs)["near"]
    assert signed(it.difference).startswith("+0.00")
    text = summary_markdown(found)
    assert (
        f"| {signed(it.difference)} | {signed(it.low)} to {signed(it.high)} | within 0.01 of the best |"
        in text
    )
    assert "| worse |" in text


def test_one_complete_method_is_compared_where_the_others_were_scored(runs):
    scores = runs.scores(cases=EIGHT)
    contest, told = of_net(lacking(scores, {("beta", "case-0"), ("gamma", "case-0")}))
    assert contest.methods == ("alpha", "beta", "gamma")
    assert "7 scenarios (21 of 24 cases)" in told.headline
    few = lacking(scores, {(name, case) for name in ("beta", "gamma") for case in EIGHT[:5]})
    contest, told = of_net(few)
    assert not contest.methods
    assert "alone was scored" not in told.headline
    assert "half of the 24 that alpha has" in told.headline


def test_a_scenario_that_one_method_alone_has_leaves_the_others_compared(runs):
    scores = runs.scores(cases=EIGHT)
    scores = scores[(scores["method"] == "gamma") | (scores["scenario"] != "case-7")]
    contest, told = of_net(scores)
    assert (contest.methods, contest.left_out) == (("alpha", "beta", "gamma"), {})
    assert "7 scenarios (21 of 24 cases)" in told.headline
    assert any(line.endswith("and has gamma first.") for line in told.details)  # it alone has a rank there


def test_a_method_alone_is_said_to_be_and_has_no_order(runs):
    scores = runs.scores(cases=EIGHT)
    contest, told = of_net(lacking(scores, {(name, case) for name in ("beta", "gamma") for case in EIGHT}))
    assert "alpha alone was scored" in told.headline
    assert contest.left_out == {"beta": "0 of 24 scores", "gamma": "0 of 24 scores"}
    assert "other scenarios" not in " ".join(told.details)


def test_many_methods_on_many_scenarios_are_told_apart(runs):
    methods = {f"method-{k}": TRUTHS[k % 2] for k in range(22)}
    cases = [f"case-{k}" for k in range(14)]
    contest, told = of_net(runs.scores(models=["net"], methods=methods, cases=cases, n_seeds=1))
    assert (contest.no_groups, len(contest.scenario_pairs)) == ("", 231)
    assert "nothing says how surely" not in told.headline


def test_tests_that_take_too_long_are_said_to(runs, monkeypatch):
    monkeypatch.setattr(contest_module, "_MOST_PAIRS", 2)
    contest, told = of_net(runs.scores(cases=EIGHT))
    assert "3 methods take too long" in contest.no_groups
    assert told.details[-1] == (
        f"Whether the order holds on other scenarios is not known: {contest.no_groups}."
    )


@pytest.mark.parametrize(
    ("column", "values", "over"),
    [
        ("data_seed", {"case-0": [0], "case-1": [1]}, "scenarios"),
        ("data_seed", {"case-0": [0, 1], "case-1": [7, 8]}, "seeds"),
        ("train_seed", {"case-0": [0, 1], "case-1": [0, 1]}, "seeds"),
        ("data_seed", {"case-0": [0, 1], "case-1": [0], "case-2": [0]}, "scenarios"),
    ],
)
def test_boards_and_contests_know_the_same_seeds(runs, column, values, over):
    frame = runs.scores(cases=list(values), n_seeds=1)
    parts = [
        frame[frame["scenario"] == case].assign(**{column: seed})
        for case, seeds in values.items()
        for seed in seeds
    ]
    scores = pd.concat(parts, ignore_index=True)
    scores["rmse"] *= np.exp(0.1 * np.random.default_rng(0).standard_normal(len(scores)))
    contest, _ = of_net(scores)
    assert work_out(scores).over == contest.over == over
    assert contest.n_seeds == (2 if over == "seeds" else 1)
    assert contest.n_scenarios == len(values)
    assert contest.intervals[["low", "high"]].notna().all(axis=None)


def test_cells_are_balanced_such_that_most_stay():
    def cells(sizes):
        rows = [(f"s{i}", "ct", "x", k, k, 0) for i, n in enumerate(sizes) for k in reversed(range(n))]
        return pd.DataFrame(rows, columns=[*CASE, *SEEDS])

    for sizes in ([3, 3, 2], [3, 1, 1, 1], [2, 1], [1, 1], [5], [4, 3, 3, 3]):
        kept, n_seeds = balanced(cells(sizes))
        most = max(k * sum(size >= k for size in sizes) for k in range(1, 6))
        assert len(kept) == most
        assert set(kept.groupby("scenario").size()) == {n_seeds}
        assert kept["data_seed"].max() == n_seeds - 1
    assert balanced(cells([3, 3, 2]))[1] == 3
    assert balanced(cells([]))[1] == 0


def test_one_is_not_many_and_none_is_no_place(runs):
    contest, told = of_net(runs.scores(cases=EIGHT[:1]))
    assert "networks of this scenario, " in told.headline
    assert "not known: that takes two or more" in told.details[-1]
    controls = runs.scores(methods={"uniform": "control"})
    contest, told = of_net(controls)
    assert contest.no_groups.startswith("no method was run")
    assert "on the trained net networks: no method was run" in told.headline
    assert "0 scenarios" not in told.headline


def test_warnings_name_what_tells_networks_apart(runs):
    scores = pd.concat([runs.scores(), runs.scores().assign(images="organamnist")])
    low = (scores["scenario"] == "xor") & (scores["images"] == "organamnist") & (scores["data_seed"] == 1)
    told = warnings(table.fidelity(scores.assign(learnt=np.where(low, 0.1, 0.9))), {})
    assert told == ("1 of 18 networks learnt too little and do not count: net on xor (organamnist).",)
    (told,) = warnings(
        table.fidelity(runs.scores(models=[f"net{k}" for k in range(9)]).assign(learnt=0.1)), {}
    )
    assert told.endswith("do not count: net0 on paper-F0, net0 on xor, net0 on mine and 24 more.")
    scores = runs.scores()
    told = warnings(table.fidelity(scores.assign(learnt=np.where(scores["scenario"] == "xor", 0.1, 0.9))), {})
    assert told[0].endswith("do not count: net on xor.")


def test_nothing_that_counts_has_an_answer_that_says_so(runs, tmp_path):
    scores = runs.scores()
    scores.loc[scores["model"] == "net", "learnt"] = 0.1
    found = findings.read([runs.write(tmp_path / "run", scores)])
    assert "Nothing can be said" in found.answer[0].headline
    assert "9 of 9 networks learnt too little" in found.warnings[0]


def test_the_oracle_alone_makes_the_answer(runs, tmp_path):
    found = findings.read([runs.write(tmp_path / "run", runs.scores(models=["oracle"]))])
    assert list(found.contests) == ["oracle"]
    assert "true decision functions" in found.answer[0].headline
    assert not len(found.error_shares)


def test_groups_and_parts_are_those_of_the_statistics(runs, tmp_path):
    scores = runs.scores()
    found = findings.read([runs.write(tmp_path / "run", scores)])
    expected = statistics.critical_difference(scores, model="net")
    pd.testing.assert_series_equal(found.groups["net"].ranks, expected.ranks)
    pd.testing.assert_frame_equal(found.groups["net"].pairs, expected.pairs)
    pd.testing.assert_frame_equal(found.error_shares, statistics.error_shares(scores, model="net"))


def test_networks_without_an_oracle_have_no_parts_of_the_error(runs, tmp_path):
    found = findings.read([runs.write(tmp_path / "run", runs.scores(models=["net"]))])
    assert not len(found.error_shares)
    assert "true decision function" in found.contests["net"].no_parts


def test_estimands_and_heat_are_those_of_the_tables(runs, tmp_path):
    scores = runs.scores()
    found = findings.read([runs.write(tmp_path / "run", scores)])
    pd.testing.assert_frame_equal(found.estimands, table.by_estimand(scores))
    own = scores[(scores["method"] == "beta") & (scores["estimand"] == "shapley")]
    own = own[(own["model"] == "net") & (own["scenario"] == "xor")]
    assert found.heat.loc[("net", "beta"), "xor"] == pytest.approx(np.sqrt((own["rmse"] ** 2).mean()))


def test_shown_numbers():
    assert [shown(value) for value in (0.25, 0.00042, 0.0, float("nan"))] == ["0.250", "0.0004", "0", "–"]


# ---- reading


def test_several_runs_are_reported_together(runs, tmp_path):
    first = runs.write(tmp_path / "a", runs.scores(cases=["paper-F0"]), manifest={"command": "one"})
    second = runs.write(tmp_path / "b", runs.scores(cases=["xor"], seed=1))
    both = findings.read([first, second])
    assert [run.command for run in both.runs] == ["one", ""]
    together = pd.concat([runs.scores(cases=["paper-F0"]), runs.scores(cases=["xor"], seed=1)])
    expected = table.leaderboard(together.reset_index(drop=True))
    np.testing.assert_allclose(both.boards.board()["rmse"], expected["rmse"], rtol=1e-12)


def importances_of(scores):
    keys = ["scenario", "images", "features", "model", "method", "estimand"]
    rows = scores[[*keys, "data_seed", "train_seed", "method_seed", "status"]]
    rows = rows.merge(pd.DataFrame({"modality": ["a", "b"], "truth": [0.75, 0.25]}), how="cross")
    return rows.assign(estimate=np.random.default_rng(0).random(len(rows)))


def test_runs_of_different_methods_share_their_controls(runs, tmp_path):
    scores = runs.scores()
    parts = [scores[scores["method"].isin(names)] for names in (["alpha", "uniform"], ["beta", "uniform"])]
    whole = pd.concat([parts[0], parts[1][parts[1]["method"] == "beta"]], ignore_index=True)
    importances = importances_of(whole)
    folders = [
        runs.write(
            tmp_path / name,
            rows.assign(seconds=0.1 * (1 + k)),
            importances=importances[importances["method"].isin(rows["method"])],
            missing=runs.missing(),
            balance=runs.balance(),
        )
        for k, (name, rows) in enumerate(zip("ab", parts, strict=True))
    ]
    both = findings.read(folders)
    one = findings.read([runs.write(tmp_path / "one", whole, importances=importances)])
    same = ["method", "rmse", "low", "high", "rank", "n_results"]
    pd.testing.assert_frame_equal(both.boards.board()[same], one.boards.board()[same])
    pd.testing.assert_frame_equal(both.shares, one.shares)
    assert len(both.scores) == len(whole)
    assert len(both.missing) == len(runs.missing())
    assert len(both.balance) == len(runs.balance())
    # A run with itself is that run.
    assert len(findings.read([folders[0], folders[0]]).scores) == len(parts[0])


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("rmse", 0.5, r"with rmse 0\.\d+ and 0\.5"),
        ("learnt", 0.9, r"with learnt 0\.95 and 0\.9"),
        ("status", "failed", "with status 'done' and 'failed'"),
        ("method_version", "2", "with method_version '1' and '2'"),
    ],
)
def test_runs_that_say_different_things_of_a_cell_are_refused(runs, tmp_path, column, value, told):
    scores = runs.scores()
    other = scores.copy()
    here = (scores["method"] == "uniform") & (scores["scenario"] == "xor") & (scores["model"] == "net")
    other.loc[here, column] = value
    folders = [runs.write(tmp_path / name, rows) for name, rows in (("a", scores), ("b", other))]
    with pytest.raises(
        ValueError,
        match=rf"must say the same where they share .*uniform on xor, net, seed 0 in .*a.*b, {told}: ",
    ):
        findings.read(folders)


def test_one_run_that_says_something_twice_is_refused(runs, tmp_path):
    scores = runs.scores()
    with pytest.raises(
        ValueError, match=r"must say the same .*alpha on paper-F0, oracle, seed 0 in .*a and in"
    ):
        findings.read([runs.write(tmp_path / "a", pd.concat([scores, scores[:1]]))])


def test_runs_of_unlike_size_are_reported_with_a_warning(runs, tmp_path):
    place = {"scenario": "xor", "images": "phantom", "features": "anatomy", "model": "net"}
    folders = [
        runs.write(
            tmp_path / name,
            runs.scores(cases=["xor"], methods={name: "gradient"}),
            manifest={"settings": [{**place, "n_patients": n, "n_explained": 500}]},
        )
        for name, n in (("a", 16000), ("b", 300))
    ]
    (told,) = findings.read(folders).warnings
    assert told.startswith("These runs differ in the number of patients: 16000 and 300 for xor on net.")
    assert not findings.read(folders[:1]).warnings


def test_a_cell_done_in_one_run_and_failed_in_another_is_refused(runs, tmp_path):
    scores = runs.scores(cases=["xor"])
    again = lacking(scores, {("beta", "xor")})
    again = again[again["status"] == "failed"].drop_duplicates(["model", "data_seed"]).assign(estimand="")
    folders = [
        runs.write(tmp_path / name, rows)
        for name, rows in (("a", scores[scores["method"] != "gamma"]), ("b", again))
    ]
    with pytest.raises(
        ValueError,
        match=r"must say the same where.*beta on xor, oracle, seed 0 in .*a and in .*b, with status",
    ):
        findings.read(folders)
    both = pd.concat([scores[scores["method"] == "alpha"], again])  # of one run, and no other's
    assert len(findings.read([runs.write(tmp_path / "c", both)]).scores) == len(both)
    others = runs.write(tmp_path / "d", scores[scores["method"] == "gamma"])
    assert len(findings.read([tmp_path / "c", others]).runs) == 2


def test_tables_with_a_header_alone_are_empty(runs, tmp_path):
    run = runs.write(tmp_path / "run", runs.scores(), balance=runs.balance()[:0], missing=runs.missing()[:0])
    found = findings.read([run])
    assert (len(found.balance), len(found.missing)) == (0, 0)
    assert found.balance["drop"].dtype == float
    other = runs.write(tmp_path / "other", runs.scores(cases=["xor-2"]), balance=runs.balance())
    assert len(findings.read([run, other]).balance) == len(runs.balance())


def test_a_folder_without_scores_is_refused(tmp_path):
    with pytest.raises(ValueError, match="There are no scores at"):
        findings.read([tmp_path])
    with pytest.raises(ValueError, match="Got none"):
        findings.read([])


def test_a_table_without_columns_or_with_text_for_numbers_is_refused(runs, tmp_path):
    run = runs.write(tmp_path / "run", runs.scores().drop(columns="rmse"))
    with pytest.raises(ValueError, match="it lacks rmse"):
        findings.read([run])
    runs.write(run, runs.scores().assign(rmse="much"))
    with pytest.raises(ValueError, match=r"'rmse' of .* must hold numbers"):
        findings.read([run])


def test_names_are_text_whatever_they_look_like(runs, tmp_path):
    scores = runs.scores(methods={"NA": "gradient", "1e5": "gradient", "": "gradient"})
    found = findings.read([runs.write(tmp_path / "run", scores)])
    assert set(found.scores["method"]) == {"NA", "1e5", ""}


def test_a_run_of_pixels_alone_can_be_read():
    found = findings.read([tables.Path("results/reference/pixels")])
    assert not len(found.scores)
    assert found.answer == ()
    assert len(found.pixels) == 11


def test_committed_tables_cut_down_can_be_read():
    found = findings.read([tables.Path("results/reference/smoke-24-seeds")])
    assert found.answer[0].is_alone
    assert found.boards.board()["seconds"].isna().all()


def test_reasons_of_failures_are_looked_up_in_the_results(runs, tmp_path):
    scores = runs.scores(models=["oracle"], cases=["xor"], n_seeds=1)
    bad = scores["method"] == "alpha"
    scores.loc[bad, "status"] = "failed"
    scores.loc[bad, "rmse"] = np.nan
    run = runs.write(tmp_path / "run", scores)
    keys = ["scenario", "images", "features", "model", "method", "data_seed", "train_seed", "method_seed"]
    job = scores[bad].iloc[0][keys].to_dict()
    error = "Traceback:\n  File x\nValueError: the sky fell\n"
    result = Result(
        {**job, "data_seed": 0, "train_seed": 0, "method_seed": 0},
        "k",
        "failed",
        "1",
        "gradient",
        error=error,
    )
    Store(run).save(result)
    found = findings.read([run]).failures
    assert found[["method", "status", "reason"]].to_numpy().tolist() == [
        ["alpha", "failed", "ValueError: the sky fell"]
    ]
    (run / "results").rename(run / "gone")
    assert findings.read([run]).failures["reason"].tolist() == [""]


def test_what_is_scored_with_a_flag_is_told_and_counts(runs, tmp_path):
    scores = runs.scores(models=["oracle"], cases=["xor"], n_seeds=1)
    scores["flags"] = np.where(scores["method"] == "alpha", "misses 40% of the difference", "")
    scores.loc[scores["method"] == "beta", "status"] = "skipped"
    found = findings.read([runs.write(tmp_path / "run", scores)])
    assert found.failures[["method", "status", "reason"]].to_numpy().tolist() == [
        ["alpha", "flagged", "misses 40% of the difference"],
        ["beta", "skipped", ""],
    ]
    assert any(it.startswith("1 result is scored though") for it in found.warnings)
    assert not any("missing" in it for it in found.warnings)
    assert "alpha" in set(found.boards.board()["method"])


def test_shares_are_means_over_seeds_of_networks_that_count(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_ROWS_AT_A_TIME", 5)  # parts that end anywhere
    scores = runs.scores(models=["net"], cases=["xor"], methods={"alpha": "gradient"})
    scores.loc[scores["data_seed"] == 2, "learnt"] = 0.1
    keys = ["scenario", "images", "features", "model", "method", "estimand", "data_seed", "train_seed"]
    rng = np.random.default_rng(0)
    rows = scores[[*keys, "status"]].merge(pd.DataFrame({"modality": ["a", "b"]}), how="cross")
    rows = rows.assign(truth=np.where(rows["modality"] == "a", 0.75, 0.25), estimate=rng.random(len(rows)))
    found = findings.read([runs.write(tmp_path / "run", scores, importances=rows)]).shares
    assert found["modality"].tolist() == ["a", "b"]
    mine = rows[(rows["estimand"] == "gradient") & (rows["data_seed"] < 2) & (rows["modality"] == "a")]
    assert found["mean"][0] == pytest.approx(mine["estimate"].mean())
    assert found["sd"][0] == pytest.approx(mine["estimate"].std())
    assert found["truth"].tolist() == pytest.approx([0.75, 0.25])


def test_missing_modalities_are_averaged_over_subsets_and_seeds(runs, tmp_path):
    run = runs.write(tmp_path / "run", runs.scores(), missing=runs.missing(), balance=runs.balance())
    found = findings.read([run])
    by_n = by_number(found.missing).set_index("n_available")
    assert by_n["accuracy"].tolist() == pytest.approx([0.5, 0.7, 0.86])
    assert by_n["n_networks"].tolist() == [2, 2, 2]
    unknown = found.missing.assign(best_accuracy=np.where(found.missing["data_seed"] == 0, 0.9, np.nan))
    assert by_number(unknown)["best_accuracy"].isna().all()  # a mean of some would be of others
    # Another scenario with one seed weighs as much as this one with two.
    more = runs.missing()
    more = more[more["data_seed"] == 0].assign(scenario="paper-F1", accuracy=1.0)
    both = by_number(pd.concat([found.missing, more])).set_index("n_available")
    assert both["accuracy"].tolist() == pytest.approx([0.75, 0.85, 0.93])
    assert both["n_networks"].tolist() == [3, 3, 3]
    subsets = by_subset(found.missing)
    assert list(subsets.index.get_level_values("available")) == ["", "a", "NA", "a + NA"]
    assert subsets.loc[("paper-F0", "a + NA"), ["best possible", "net"]].tolist() == pytest.approx(
        [0.9, 0.86]
    )
    balance = by_modality(found.balance)
    assert balance[["modality", "n_ignored", "n_leaned_on", "n_networks"]].to_numpy().tolist() == [
        ["a", 0, 1, 2],
        ["b", 1, 0, 2],
    ]


def test_a_name_of_somebody_elses_module_is_not_imported(runs, tmp_path):
    scores = runs.scores(
        methods={"this.module:runs": "gradient", "permutation(unit=modality)": "permutation"}
    )
    scores["targets"] = "gradient"
    found = findings.read([runs.write(tmp_path / "run", scores)])
    assert list(found.citations.values()) == [("permutation(unit=modality)",)]


def test_wilcoxon_is_not_asked_what_it_cannot_tell():
    # With n scenarios, the least p is 2 / 2**n: less than the level only if that times the pairs is.
    differences = np.arange(1.0, 4.0)
    assert statistics.signed_rank_test(differences) == stats.wilcoxon(differences).pvalue == 2 / 2**3


# ---- size

_MEASURE = """
import resource, sys
from pathlib import Path
from benchmark import findings
from benchmark.report import page, slots
found = findings.read([Path(sys.argv[1])])
figures, left_out = slots.draw(found)
text = page.render(found, figures=figures, left_out=left_out)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(peak, len(text.encode()))
"""


@pytest.mark.slow
def test_a_hundred_thousand_results_are_a_page_of_six_megabytes_made_in_a_gigabyte(runs, tmp_path):
    methods = {f"method-{k}": TRUTHS[k % 2] for k in range(40)}
    truths = (*TRUTHS, *(f"truth-{k}" for k in range(7)))
    models = ("oracle", *(f"network-{k}" for k in range(8)))
    part = runs.scores(models=models, methods=methods, cases=synthetic.scenarios(), n_seeds=1)
    part = part[part["estimand"] == TRUTHS[0]]
    with (tmp_path / "scores.csv").open("w") as file:
        for seed in range(8):
            for truth in truths:
                rows = part.assign(estimand=truth, data_seed=seed, train_seed=seed, method_seed=seed)
                rows["rmse"] *= np.exp(0.1 * np.random.default_rng(seed).standard_normal(len(rows)))
                rows.to_csv(file, index=False, header=not file.tell())
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    megabytes, size = map(float, done.stdout.split())
    assert (megabytes < 1024, size < 6e6) == (True, True), done.stdout


# ---- networks


def on_networks(runs, errors, *, cases=("paper-F0", "xor"), n_seeds=2):
    """Return scores where a method has the error that is given for it and a network, on every cell."""
    names = dict.fromkeys(method for method, _ in errors)
    models = dict.fromkeys(model for _, model in errors)
    scores = runs.scores(
        models=["oracle", *models], methods=dict.fromkeys(names, "gradient"), cases=cases, n_seeds=n_seeds
    )
    given = [errors.get(key, 0.01) for key in zip(scores["method"], scores["model"], strict=True)]
    return scores.assign(rmse=given)


THREE = {
    **{("alpha", name): 0.1 for name in ("net", "other", "third")},
    **{("beta", name): error for name, error in (("net", 0.2), ("other", 0.05), ("third", 0.3))},
    **{("gamma", name): 0.4 for name in ("net", "other", "third")},
}


def test_agreement_of_networks_by_hand(runs):
    found = agree(on_networks(runs, THREE), ["net", "other", "third"])
    assert list(found.errors.index) == ["alpha", "beta", "gamma"]
    assert list(found.errors) == ["net", "other", "third", "oracle"]
    assert found.errors.loc["beta"].tolist() == pytest.approx([0.2, 0.05, 0.3, 0.01])
    assert found.ranks.to_numpy().tolist() == [[1, 2, 1], [2, 1, 2], [3, 3, 3]]
    # Sums of ranks 4, 5 and 9 about 6: W = 12 · 14 / (9 · 24).
    assert found.kendall_w == pytest.approx(12 * 14 / (9 * 24))
    assert found.firsts == {"alpha": 2, "beta": 1}
    assert (found.n_scenarios, found.n_seeds, found.left_out) == (2, 2, {})
    assert found.sentence == (
        "Least error on 3 networks: alpha on 2, beta on 1. On the same 2 scenarios they agree on the order "
        "of 3 methods with a Kendall's W of 0.78 (1: one order on all). The network matters most for beta: "
        "RMSE 0.050 on other, 0.300 on third."
    )


def test_networks_are_compared_on_the_scenarios_that_all_of_them_have_results_on(runs):
    scores = on_networks(runs, THREE, cases=("paper-F0", "xor", "mine", "case-3"))
    easy = scores["scenario"] == "paper-F0"
    scores.loc[~easy & (scores["model"] == "third"), "learnt"] = 0.1
    scores.loc[(scores["scenario"] == "xor") & (scores["model"] == "net"), ["learnt", "rmse"]] = 0.2
    here = scores["model"].isin(["net", "other"])
    scores.loc[here & (scores["method"] == "gamma") & (scores["scenario"] != "mine"), "status"] = "failed"
    scores.loc[(scores["model"] == "oracle") & (scores["scenario"] == "mine"), "status"] = "failed"
    found = agree(scores, ["net", "other", "third"])
    assert found.left_out == {"third": "2 of 6", "gamma": "2 of 6"}
    assert (found.n_scenarios, found.n_seeds) == (3, 2)
    assert list(found.errors) == ["net", "other"]  # the oracle lacks a scenario
    assert found.errors.loc["beta"].tolist() == pytest.approx([0.2, 0.05])
    assert list(found.ranks.index) == ["alpha", "beta"]
    assert found.sentence.endswith("Not compared: third, gamma.")


def test_one_failure_of_each_method_leaves_the_other_scenarios_to_compare(runs):
    scores = on_networks(runs, THREE, cases=("paper-F0", "xor", "mine", "case-3", "case-4", "case-5"))
    for method, case in (("alpha", "xor"), ("beta", "mine"), ("gamma", "case-3")):
        lost = (scores["method"] == method) & (scores["scenario"] == case) & (scores["model"] == "net")
        scores.loc[lost, "status"] = "failed"
    found = agree(scores, ["net", "other", "third"])
    assert (len(found.errors), found.n_scenarios, found.left_out) == (3, 3, {})


def test_methods_that_tie_everywhere_are_first_together(runs):
    errors = {(method, name): 0.1 for method in ("alpha", "beta") for name in ("net", "other")}
    assert agree(on_networks(runs, errors), ["net", "other"]).sentence == (
        "Least error on 2 networks: alpha on all, beta on all. On the same 2 scenarios they agree on the "
        "order of 2 methods with a Kendall's W of 1.00 (1: one order on all)."
    )


@pytest.mark.parametrize(
    ("networks", "change", "reason"),
    [
        (["net"], {}, "there are no two networks"),
        (["net", "other"], {"learnt": 0.1}, "no two of them have results on enough of the same scenarios"),
        (["net", "other"], {"status": "failed"}, "no two methods have results on all of them"),
    ],
)
def test_without_two_networks_and_methods_there_is_no_agreement(runs, networks, change, reason):
    scores = on_networks(runs, THREE)
    here = scores["model"] == "net" if "learnt" in change else scores["method"] != "alpha"
    scores.loc[here, list(change)] = list(change.values())
    found = agree(scores, networks)
    assert (found.reason, found.sentence, len(found.errors)) == (reason, "", 0)
