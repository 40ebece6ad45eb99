import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmark import score, table
from benchmark.report import text
from benchmark.report.latex import leaderboard_latex
from benchmark.report.text import leaderboard_markdown, leaderboard_table
from benchmark.store import Result

NAMES = ("a", "b", "c", "d")
JOB = {
    "scenario": "paper-F0",
    "images": "phantom",
    "features": "anatomy",
    "model": "hybrid",
    "method": "m",
    "data_seed": 0,
    "train_seed": 0,
    "method_seed": 0,
}


def result(
    method, importances, *, truth=(1, 0, 0, 0), accuracy=0.97, status="done", targets="gradient", **job
):
    return Result(
        job={**JOB, "method": method, **job},
        key="k",
        status=status,
        method_version="1",
        targets=targets,
        truth={"gradient": dict(zip(NAMES, truth, strict=True))},
        truth_se={"gradient": dict.fromkeys(NAMES, 0.0)},
        importances=dict(zip(NAMES, importances, strict=True)) if importances else {},
        fidelity={"accuracy": accuracy, "auroc": 0.99, "r2": 0.9},
        model_calls=10,
        seconds=1.0,
        error="" if status == "done" else "ValueError: no",
    )


def test_scores_are_those_of_the_score_module():
    row = table.scores([result("m", (2, 1, 1, 0))]).iloc[0]
    truth, estimate = [1, 0, 0, 0], [0.5, 0.25, 0.25, 0]
    assert row["rmse"] == pytest.approx(score.rmse(truth, estimate))
    assert row["rmse_uniform"] == pytest.approx(0.4330127)
    assert row["rbo"] == pytest.approx(score.rbo(truth, estimate))
    assert row["rbo_p90"] == pytest.approx(score.rbo(truth, estimate, p=0.9))
    assert row["rbo_average_overlap"] == pytest.approx(score.rbo(truth, estimate, p=1.0))
    assert row["rbo_w"] == pytest.approx(score.rbo_w(truth, estimate))
    assert row["rbo_a"] == pytest.approx(score.rbo_a(truth, estimate))
    assert row["rbo_chance"] == pytest.approx(score.rbo_chance(truth))
    assert row["kendall_tau_b"] == pytest.approx(score.kendall_tau_b(truth, estimate))
    assert (row["accuracy"], row["model_calls"], row["n_modalities"]) == (0.97, 10, 4)


def test_the_columns_are_the_documented_ones_in_order():
    columns = list(table.scores([result("m", (1, 0, 0, 0))]))
    documented = [
        "scenario",
        "images",
        "features",
        "model",
        "method",
        "method_version",
        "targets",
        "estimand",
        "data_seed",
        "train_seed",
        "method_seed",
        "status",
        "rmse",
        "rmse_uniform",
        "rbo",
        "rbo_p90",
        "rbo_average_overlap",
        "rbo_w",
        "rbo_a",
        "rbo_chance",
        "kendall_tau_b",
        "accuracy",
        "auroc",
        "r2",
        "model_calls",
        "seconds",
    ]
    assert columns[: len(documented)] == documented


def test_clipped_and_empty_estimates_are_flagged():
    rows = table.scores([result("m", (1, -1, 0, 0)), result("z", (0, 0, 0, 0))])
    assert list(rows["n_clipped"]) == [1, 0]
    assert list(rows["all_zero"]) == [0, 1]


def test_what_is_flagged_counts_and_is_told():
    flagged = replace(result("m", (1, 0, 0, 0)), flags=["completeness missed by 78.0%"])
    rows = table.scores([flagged, result("m", (1, 0, 0, 0), data_seed=1), result("z", (1, 0, 0, 0))])
    assert list(rows["flags"]) == ["completeness missed by 78.0%", "", ""]
    assert list(table.flagged(rows)["data_seed"]) == [0]
    board = table.leaderboard(rows).set_index("method")
    assert board["n_flagged"].to_dict() == {"m": 1, "z": 0}
    assert board.loc["m", "rmse"] == 0
    (heading, lines) = text._flagged(rows)
    assert heading.startswith("## Flagged: scored")
    assert "m: 1 of 2 results" in lines
    assert "completeness missed by 78.0%" in lines
    assert text._flagged(rows.drop(columns="flags")) == []  # a table from before there were any


def test_a_failure_has_a_row_but_no_score():
    rows = table.scores([result("m", (1, 0, 0, 0)), result("bad", None, status="failed")])
    assert list(rows["status"]) == ["done", "failed"]
    assert np.isnan(rows["rmse"][1])
    board = table.leaderboard(rows)
    assert dict(zip(board["method"], board["n_failed"], strict=True)) == {"m": 0, "bad": 1}
    assert list(board["method"]) == ["m", "bad"]  # what has no score stands last


def test_a_task_that_failed_before_there_was_a_truth_still_has_rows():
    failed = Result(
        job=JOB, key="k", status="failed", method_version="1", targets="gradient", error="no data"
    )
    assert list(table.scores([failed])["status"]) == ["failed"]
    assert len(table.importances([failed])) == 0


def test_pooled_rmse_is_the_root_of_the_mean_square_over_cases():
    results = [
        result("m", (1, 0, 0, 0)),
        result("m", (1, 1, 1, 1), scenario="paper-F1", truth=(0, 1, 0, 0)),
    ]
    board = table.leaderboard(table.scores(results))
    # one perfect case, one uniform guess at a one-hot truth: sqrt((0 + 0.1875) / 2)
    assert board["rmse"][0] == pytest.approx(np.sqrt(0.1875 / 2))
    assert board["skill"][0] == pytest.approx(1 - np.sqrt(0.5))


def test_networks_of_low_fidelity_do_not_count_and_are_listed():
    good, bad = result("m", (1, 0, 0, 0)), result("m", (0, 0, 0, 1), accuracy=0.6, data_seed=1, train_seed=1)
    rows = table.scores([good, bad])
    assert table.leaderboard(rows)["rmse"][0] == 0
    assert list(table.fidelity(rows)["counts"]) == [True, False]


def test_the_oracle_stands_beside_the_networks_and_decides_only_where_there_are_none():
    on_oracle = result("m", (1, 1, 1, 1), model="oracle", accuracy=1.0)
    board = table.leaderboard(table.scores([result("m", (1, 0, 0, 0)), on_oracle]))
    assert board["rmse"][0] == 0
    assert board["rmse_oracle"][0] == pytest.approx(0.4330127)
    assert table.leaderboard(table.scores([on_oracle]))["rmse"][0] == pytest.approx(0.4330127)


def test_controls_stand_below_the_methods():
    rows = table.scores(
        [
            result("truth", (1, 0, 0, 0), targets="control"),
            result("m", (0, 1, 0, 0)),
            result("n", (1, 1, 0, 0)),
        ]
    )
    assert list(table.leaderboard(rows)["method"]) == ["n", "m", "truth"]


def test_a_truth_that_is_one_tie_is_left_out_of_the_corrected_mean():
    tied = result("m", (0, 0, 0, 1), truth=(0.25,) * 4, scenario="paper-F6")
    wrong = result("m", (0, 0, 0, 1))
    rows = table.scores([tied, wrong])
    chance = score.rbo_chance([1, 0, 0, 0])
    expected = (score.rbo([1, 0, 0, 0], [0, 0, 0, 1]) - chance) / (1 - chance)
    assert table.leaderboard(rows)["rbo_corrected"][0] == pytest.approx(expected)
    assert list(rows["informative"]) == [0, 1]


def test_every_row_has_the_chance_of_its_own_truths():
    tied = result("tied", (0, 0, 0, 1), truth=(0.25,) * 4, scenario="paper-F6")
    ordered = [result(name, (0, 0, 0, 1)) for name in ("tied", "ordered")]
    board = table.leaderboard(table.scores([tied, *ordered])).set_index("method")
    chance = score.rbo_chance([1, 0, 0, 0])
    assert board.loc["ordered", "rbo_chance"] == pytest.approx(chance)
    assert board.loc["tied", "rbo_chance"] == pytest.approx((chance + 1) / 2)


@pytest.mark.parametrize("show", ["terminal", "markdown", "latex"])
def test_every_leaderboard_shows_the_chance_of_each_row(show):
    rows = table.scores(
        [result("low", (0, 0, 0, 1)), result("high", (1, 0, 0, 0), truth=(0.4, 0.3, 0.2, 0.1))]
    )
    board = table.leaderboard(rows)
    if show == "terminal":
        console = Console(width=80, file=io.StringIO())
        console.print(leaderboard_table(board, title=""))
        text = console.file.getvalue()
    elif show == "latex":
        text = leaderboard_latex(board, made_by="", caption="", label="")
    else:
        frames = (
            rows,
            table.shares([]),
            table.case_errors(rows),
            table.fidelity(rows),
            table.by_estimand(rows),
        )
        text = leaderboard_markdown(board, *frames, title="", command="")
    lines = {row["method"]: f"{row['rbo_chance']:.3f}" for row in board.to_dict(orient="records")}
    assert len(set(lines.values())) == 2
    for method, chance in lines.items():
        assert any(method in line and chance in line for line in text.splitlines())


def test_importances_are_normalised_and_long():
    rows = table.importances([result("m", (3, 1, 0, 0))])
    assert list(rows["estimate"]) == [0.75, 0.25, 0, 0]
    assert list(rows["truth"]) == [1, 0, 0, 0]
    assert list(rows["modality"]) == list(NAMES)


def test_known_bad_methods_rank_last():
    rng = np.random.default_rng(0)
    cases = {"paper-F0": (1, 0, 0, 0), "paper-F4": (0.5, 0.5, 0, 0), "paper-F7": (0.9, 0.1, 0, 0)}
    results = []
    for scenario, truth in cases.items():
        for seed in range(5):
            t = np.array(truth)
            noisy = t + 0.03 * rng.random(4)
            named = {
                "good": noisy,
                "constant": np.ones(4),
                "random": rng.dirichlet(np.ones(4)),
                "shuffled": rng.permutation(noisy),
                "sign-flipped": -noisy,
                "reversed": noisy.max() - noisy,
            }
            results += [
                result(name, tuple(values), truth=truth, scenario=scenario, data_seed=seed)
                for name, values in named.items()
            ]
    board = table.leaderboard(table.scores(results))
    assert board["method"][0] == "good"
    assert board["rbo_corrected"][1:].max() < 0.5 < board["rbo_corrected"][0]
    assert isinstance(board, pd.DataFrame)


def test_a_method_that_failed_somewhere_stands_behind_those_that_did_not():
    quitter = [result("quitter", (1, 0, 0, 0)), result("quitter", None, status="failed", scenario="paper-F1")]
    honest = [result("honest", (8, 1, 1, 0)), result("honest", (8, 1, 1, 0), scenario="paper-F1")]
    board = table.leaderboard(table.scores([*quitter, *honest]))
    assert list(board["method"]) == ["honest", "quitter"]
    assert board["rmse"][1] == 0


def test_the_case_tables_count_what_the_leaderboard_counts():
    good, bad = result("m", (1, 0, 0, 0)), result("m", (0, 0, 0, 1), accuracy=0.6, data_seed=1, train_seed=1)
    shares = table.shares([good, bad])
    assert list(shares["mean"]) == [1, 0, 0, 0]
    assert table.case_errors(table.scores([good, bad])).loc[("hybrid", "m"), "paper-F0"] == 0


def test_the_case_tables_pool_over_seeds():
    right, uniform = result("m", (1, 0, 0, 0)), result("m", (1, 1, 1, 1), data_seed=1)
    errors = table.case_errors(table.scores([right, uniform]))
    assert errors.loc[("hybrid", "m"), "paper-F0"] == pytest.approx(np.sqrt(0.1875 / 2))
    row = table.shares([right, uniform]).iloc[0]
    assert (row["truth"], row["mean"], row["sd"]) == pytest.approx((1, 0.625, np.std([1, 0.25], ddof=1)))


def test_models_are_not_mixed():
    rows = table.scores([result("m", (1, 0, 0, 0)), result("m", (1, 1, 1, 1), model="hybrid-s1")])
    board = table.leaderboard(rows)
    assert dict(zip(board["model"], board["rmse"], strict=True)) == pytest.approx(
        {"hybrid": 0, "hybrid-s1": 0.4330127}
    )


def two_truths(method, importances, targets, **job):
    one = result(method, importances, truth=(0.4, 0.3, 0.2, 0.1), targets=targets, **job)
    shapley = dict(zip(NAMES, (0.7, 0.1, 0.1, 0.1), strict=True))
    return replace(
        one,
        truth={**one.truth, "shapley": shapley},
        truth_se={**one.truth_se, "shapley": dict.fromkeys(NAMES, 0.0)},
    )


def test_a_method_is_ranked_on_the_truth_that_it_targets():
    results = [
        two_truths("slopes", (0.4, 0.3, 0.2, 0.1), "gradient"),
        two_truths("shares", (0.7, 0.1, 0.1, 0.1), "shapley"),
        two_truths("confused", (0.7, 0.1, 0.1, 0.1), "gradient"),
    ]
    scores = table.scores(results)
    board = table.leaderboard(scores).set_index("method")
    assert board.loc["slopes", "rmse"] == board.loc["shares", "rmse"] == 0
    apart = score.rmse([0.4, 0.3, 0.2, 0.1], [0.7, 0.1, 0.1, 0.1])
    assert board.loc["confused", "rmse"] == pytest.approx(apart)
    assert board.loc["shares", "rmse_gradient"] == pytest.approx(apart)
    assert table.leaderboard(scores, estimand="shapley").iloc[0]["method"] == "shares"
    against = table.by_estimand(scores).loc["hybrid"]
    assert against.loc["slopes", "gradient"] == against.loc["shares", "shapley"] == 0
    assert against.loc["slopes", "shapley"] == pytest.approx(apart)


def test_the_telling_control_tells_every_truth():
    scores = table.scores([two_truths("truth", (0.4, 0.3, 0.2, 0.1), "control")])
    assert list(scores["estimand"]) == ["gradient", "shapley"]
    assert list(scores["rmse"]) == [0, 0]


@pytest.mark.parametrize(
    ("learnt", "counts"),
    [
        ({"accuracy": 0.91}, True),
        ({"accuracy": 0.89}, False),
        ({"accuracy": 0.83, "ceiling": 0.85}, True),  # label noise: little is left to learn
        ({"accuracy": 0.77, "ceiling": 0.85}, False),
        ({"accuracy": 0.96, "chance": 0.95}, False),  # rare illness: calling everybody healthy is no skill
        ({"accuracy": 0.995, "chance": 0.95}, True),
    ],
)
def test_a_network_counts_by_the_share_of_what_can_be_learnt(learnt, counts):
    one = replace(result("m", (1, 0, 0, 0)), fidelity={"auroc": 0.9, "r2": 0.9, **learnt})
    assert list(table.fidelity(table.scores([one]))["counts"]) == [counts]


def test_one_scenario_on_two_image_sources_is_two_cases():
    results = [
        result("m", (1, 0, 0, 0), images="phantom"),
        result("m", (0, 1, 0, 0), images="organamnist"),
    ]
    assert set(table.shares(results)["scenario"]) == {"paper-F0 on phantom", "paper-F0 on organamnist"}
    errors = table.case_errors(table.scores(results))
    assert errors["paper-F0 on phantom"].item() == 0
    assert errors["paper-F0 on organamnist"].item() > 0.5


def test_one_scenario_with_two_kinds_of_features_is_two_cases():
    results = [
        result("m", (1, 0, 0, 0), images="organamnist", features="autoencoder"),
        result("m", (0, 1, 0, 0), images="organamnist", features="pca"),
        result("m", (1, 1, 0, 0), images="phantom"),
    ]
    errors = table.case_errors(table.scores(results))
    assert errors["paper-F0 on organamnist (autoencoder)"].item() == 0
    assert errors["paper-F0 on organamnist (pca)"].item() > 0.5
    assert 0 < errors["paper-F0 on phantom"].item() < 0.5
    assert list(table.by_images(table.scores(results[1:2]))["scenario"]) == ["paper-F0"]
    assert set(table.shares(results)["scenario"]) == set(errors.columns)
