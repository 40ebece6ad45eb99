"""``plumbline export``: figures and tables of runs, whole and repeatable, and what was left out."""

import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmark import __main__ as command
from benchmark import export_command, findings
from benchmark.report.export import figures, file_name, rbo_note, tables
from benchmark.report.sections import in_order

SCORES = Path(__file__).parents[2] / "results" / "reference" / "paper-phantom" / "scores.csv"
METHODS = ("gradient", "modality_shapley", "calibrated_gradient", "truth", "uniform", "random")
HOSTILE = "<script>$x_1$&%#\\"


@pytest.fixture(scope="session")
def scores():
    frame = pd.read_csv(SCORES)
    frame = frame[
        frame["method"].isin(METHODS) & frame["scenario"].isin(["paper-F0", "paper-F4", "paper-F7"])
    ]
    return frame.assign(method=frame["method"].replace("gradient", HOSTILE))


def write_run(folder, scores, **tables):
    folder.mkdir()
    for name, frame in {"scores": scores, **tables}.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def missing():
    rows = []
    for seed, size in itertools.product(range(2), range(3)):
        for subset in itertools.combinations(("ct", "ehr"), size):
            values = {f"{kind}{name}": 0.1 * size for kind in ("", "best_", "regret_") for name in _METRICS}
            rows.append(
                {
                    "scenario": "paper-F0",
                    "images": "phantom",
                    "features": "anatomy",
                    "model": "hybrid",
                    "data_seed": seed,
                    "train_seed": seed,
                    "available": " + ".join(subset),
                    "n_available": size,
                    "n_modalities": 2,
                    **values,
                }
            )
    return pd.DataFrame(rows)


_METRICS = ("accuracy", "auroc", "log_loss")


def balance(n_scenarios=1):
    rows = itertools.product(range(n_scenarios), ("ct", "ehr"))
    return pd.DataFrame(
        [
            {
                "scenario": f"case-{case}",
                "images": "phantom",
                "features": "anatomy",
                "model": "hybrid",
                "data_seed": 0,
                "train_seed": 0,
                "modality": name,
                "share_data": 0.5,
                "share_network": 0.4,
                "drop": 0.1,
                "drop_se": 0.01,
                "true_drop": 0.1,
                "alone": np.nan,
                "best_alone": 0.9,
                "flag": "",
            }
            for case, name in rows
        ]
    )


def importances(scores):
    done = scores[scores["estimand"] == "gradient"]
    keys = [
        "scenario",
        "images",
        "features",
        "model",
        "method",
        "estimand",
        "data_seed",
        "train_seed",
        "status",
    ]
    return pd.concat(
        done[keys].assign(modality=name, truth=0.5, truth_se=0.0, estimate=0.4) for name in ("ct", "ehr")
    )


def export(patch, *arguments):
    """Return the exit code of the command, as a user gives it."""
    patch.setattr(sys, "argv", ["plumbline", "export", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


def test_what_there_is_data_for_is_written_and_the_rest_is_named(tmp_path, scores, monkeypatch, capsys):
    run = write_run(tmp_path / "run", scores)
    assert export(monkeypatch, run, "--out", tmp_path / "paper") == 0
    names = {path.name for path in (tmp_path / "paper").iterdir()}
    drawn = {"intervals", "critical-difference", "error-parts", "cost", "heat-map", "estimands"}
    written = {"leaderboard", "estimands", "heat-map"}
    assert names == {
        *(f"{name}-hybrid.pdf" for name in drawn),
        *(f"{name}-hybrid.tex" for name in written),
        "tables.tex",
    }
    told = capsys.readouterr().out
    assert "6 figures (pdf) and 3 LaTeX tables" in told
    assert "Left out: missing-accuracy, missing-regret: no run has a missing.csv" in told
    assert "Left out: importances-hybrid: no run has an importances.csv with hybrid" in told
    document = (tmp_path / "paper" / "tables.tex").read_text()
    assert [f"\\input{{{name}-hybrid.tex}}" in document for name in written] == [True] * 3
    assert document.startswith("% Made by: plumbline export ")


def test_no_rbo_without_its_p_n_and_chance(tmp_path, scores, monkeypatch):
    run = write_run(tmp_path / "run", scores)
    found = findings.read([run])
    board = found.boards.board(model="hybrid")
    told = rbo_note(found.scores, board)
    own = scores[(scores["estimand"] == scores["targets"]) & (scores["model"] == "hybrid")]
    chance = own.groupby("method")["rbo_chance"].mean()
    assert f"{chance.min():.3f}" in told
    assert "p = 1 − 1/n = 0.75, n = 4 modalities" in told
    drawn = {item.name: item.make for item in figures(found)}
    assert told in drawn["intervals-hybrid"]().get_supxlabel().replace("\n", " ")
    assert "n = 4 modalities" in next(tables(found, made_by="m")).make()


def test_all_of_a_whole_run(tmp_path, scores, monkeypatch, capsys):
    run = write_run(
        tmp_path / "run", scores, missing=missing(), balance=balance(13), importances=importances(scores)
    )
    assert export(monkeypatch, run, "--out", tmp_path / "paper", "--format", "svg") == 0
    names = {path.name for path in (tmp_path / "paper").iterdir()}
    assert {"missing-accuracy.svg", "missing-regret.svg", "missing.tex", "importances-hybrid.svg"} <= names
    assert {"balance-1.svg", "balance-2.svg"} <= names
    told = capsys.readouterr().out
    assert "Left out: balance-alone: balance.csv has no value in 'alone'." in told
    assert told.count("Left out") == 1


def test_the_oracle_alone_has_no_parts(tmp_path, scores, monkeypatch, capsys):
    run = write_run(tmp_path / "run", scores[scores["model"] == "oracle"])
    assert export(monkeypatch, run, "--out", tmp_path / "paper") == 0
    assert "Left out: error-parts-oracle: on the true decision function" in capsys.readouterr().out
    assert (tmp_path / "paper" / "intervals-oracle.pdf").is_file()
    assert not (tmp_path / "paper" / "error-parts-oracle.pdf").exists()


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(tmp_path, scores, monkeypatch):
    run = write_run(tmp_path / "run", scores)
    found = []
    for _ in range(2):
        export(monkeypatch, run, "--out", tmp_path / "paper")
        found.append({path.name: path.read_bytes() for path in (tmp_path / "paper").iterdir()})
    assert found[0] == found[1]
    assert len(found[0]) == 10


def test_runs_of_two_networks_have_files_each(tmp_path, scores, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", lambda _figure, file, **_options: file.write(b"drawn"))
    networks = scores[scores["model"] == "hybrid"]
    first = write_run(tmp_path / "a", networks)
    second = write_run(tmp_path / "b", networks.assign(model="late(x=1)"))
    third = write_run(tmp_path / "c", networks.assign(model="late[x=1]"))
    assert export(monkeypatch, first, second, third, "--out", tmp_path / "paper") == 0
    names = {path.name for path in (tmp_path / "paper").iterdir()}
    assert {"cost-hybrid.pdf", "cost-late-x-1.pdf", "cost-late-x-1-2.pdf"} <= names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "pfd"], "Did you mean 'pdf'?"),
        (["--dpi", "10"], "The option --dpi must be from 50 to 1200. Got 10."),
    ],
)
def test_wrong_input_is_one_line(tmp_path, scores, monkeypatch, capsys, arguments, message):
    run = write_run(tmp_path / "run", scores)
    assert export(monkeypatch, run, "--out", tmp_path / "paper", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "paper").exists()


def test_no_run_is_said(tmp_path, monkeypatch, capsys):
    assert export(monkeypatch, tmp_path / "nowhere", "--out", tmp_path / "paper") == 2
    assert "There are no scores at" in capsys.readouterr().err
    assert not (tmp_path / "paper").exists()


def test_a_full_disc_leaves_no_half_of_a_file(tmp_path, scores, monkeypatch, capsys):
    run = write_run(tmp_path / "run", scores)

    def fill(_figure, file, **_options):
        file.write(b"%PDF")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fill)
    assert export(monkeypatch, run, "--out", tmp_path / "paper") == 2
    assert "No space left" in capsys.readouterr().err
    assert not list((tmp_path / "paper").iterdir())


def test_the_best_is_never_of_fewer_cases_and_rows_are_those_of_a_page(tmp_path, scores):
    rows = scores[scores["model"] == "hybrid"].copy()
    gone = (rows["method"] == "modality_shapley") & (rows["scenario"] == "paper-F0")
    rows.loc[gone, "status"] = "failed"
    rows.loc[gone, ["rmse", "rbo"]] = np.nan
    # Its own truth is in no table: no leaderboard has it, but maps of estimands do.
    other = rows["method"] == "calibrated_gradient"
    rows.loc[other, "targets"] = "mine"
    found = findings.read([write_run(tmp_path / "run", rows)])
    made = {item.name: item.make() for item in tables(found, made_by="m") if item.make}
    for text in made.values():
        for line in text.splitlines():
            if line.startswith((r"modality\_shapley", r"calibrated\_gradient")):
                assert "dagger" in line
                assert "textbf" not in line
    assert r"calibrated\_gradient" in made["estimands-hybrid"]
    drawn = {item.name: item.make for item in figures(found)}
    names = [label.get_text() for label in drawn["estimands-hybrid"]().axes[0].get_yticklabels()]
    assert names == [
        name for name in in_order(found, "hybrid") if name in found.estimands.loc["hybrid"].index
    ]


def test_no_label_is_there_twice(tmp_path, scores):
    networks = scores[scores["model"] == "hybrid"]
    rows = pd.concat([networks.assign(model=name) for name in ("a b", "a-b", "A.b-2", "a-b-2")])
    found = findings.read([write_run(tmp_path / "run", rows)])
    items = [item for item in tables(found, made_by="m") if item.make]
    labels = [label for item in items for label in re.findall(r"\\label\{(.*?)\}", item.make())]
    assert len(labels) == len(set(labels)) == 12
    assert "tab:estimands-a-b-2" in labels


def test_of_many_models_the_first_have_figures(tmp_path, scores, monkeypatch, capsys):
    monkeypatch.setattr(Figure, "savefig", lambda _figure, file, **_options: file.write(b"drawn"))
    monkeypatch.setattr(export_command, "MOST_MODELS", 1)
    networks = scores[(scores["model"] == "hybrid") & (scores["data_seed"] == 0)]
    run = write_run(tmp_path / "run", pd.concat([networks, networks.assign(model="late")]))
    assert export(monkeypatch, run, "--out", tmp_path / "paper") == 0
    names = {path.name for path in (tmp_path / "paper").iterdir()}
    assert {"cost-hybrid.pdf", "leaderboard-hybrid.tex", "leaderboard-late.tex"} <= names
    assert "cost-late.pdf" not in names
    told = capsys.readouterr().out
    assert "Left out: figures of late: figures are drawn of the first 1 models; --all-models draws" in told
    assert export(monkeypatch, run, "--out", tmp_path / "all", "--all-models") == 0
    assert (tmp_path / "all" / "cost-late.pdf").is_file()


def test_regrets_without_a_number_are_left_out(tmp_path, scores):
    lacking = missing().assign(regret_log_loss=np.nan)
    found = findings.read([write_run(tmp_path / "run", scores, missing=lacking)])
    for items in (figures(found), tables(found, made_by="m")):
        reasons = [item.reason for item in items if item.name.startswith("missing") and item.make is None]
        assert reasons == ["missing.csv has no value in 'regret_log_loss'"]


def test_names_of_models_become_names_of_files():
    assert file_name("../etc/passwd") == "etc-passwd"
    assert file_name("my.module:Net(width=3)") == "my.module-Net-width-3"
    assert file_name("<>") == "model"
