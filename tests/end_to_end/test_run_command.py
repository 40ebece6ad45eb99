"""What ``plumbline run`` and ``plumbline repeat`` tell of results that went wrong, or that programs read."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from benchmark import __main__ as command

SMALL = ("--scenario", "paper-F2", "--patients", "400", "--explained", "40", "--workers", "1")
MINE = """
import methods

def fails(model, samples, rng):
    raise KeyError("no <such> thing")

def greedy(model, samples, rng):
    try:
        while True:
            model.encode(samples.inputs)
    except Exception:
        return {name: 1.0 for name in model.modalities}  # as if nothing had happened

def choosy(model, samples, rng):
    raise methods.NotApplicableError("needs a network with layers")

class NeedsImageError(methods.NotApplicableError):
    pass

def picky(model, samples, rng):
    raise NeedsImageError("needs an image")

def chatty(model, samples, rng):
    import os, sys, warnings
    print("hello from a method")
    sys.stderr.write("and from its errors\\n")
    warnings.warn("and a warning")
    os.system("echo and from a program")
    return {name: 1.0 for name in model.modalities}

def steady(model, samples, rng):
    return {name: float(len(name)) for name in model.modalities}

def drifting(model, samples, rng):
    import time
    return {name: place + time.time() % 1 for place, name in enumerate(model.modalities)}
"""


@pytest.fixture
def plumbline(tmp_path, monkeypatch, capsys):
    """Return a function that gives a command from a folder with a user's own methods."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)

    def give(*words):
        monkeypatch.setattr(sys, "argv", ["plumbline", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            command.main()
        told = capsys.readouterr()
        return end.value.code, told.out, told.err

    return give


def run(plumbline, *methods, more=()):
    asked = [word for name in methods for word in ("--method", name)]
    return plumbline("run", "smoke", *SMALL, *asked, "--out", "run", "--json", *more)


def test_the_outcome_is_one_json_document(plumbline, tmp_path):
    code, out, err = run(plumbline, "gradient", "mine:fails")
    assert code == 1
    found = json.loads(out)
    assert found["statuses"] == {"done": 4, "failed": 1}
    assert found["folder"] == "run"
    board = {row["method"]: row for row in found["leaderboard"]}
    assert board["gradient"]["rmse"] < 0.05
    assert board["mine:fails"]["rmse"] is None
    (failure,) = found["failures"]
    assert failure["error"] == "KeyError: 'no <such> thing'"
    assert failure["repeat"] in err
    assert (tmp_path / failure["file"]).is_file()


def test_a_failure_is_repeated_by_the_command_that_it_names(plumbline):
    _, out, _ = run(plumbline, "mine:fails", "gradient")
    (failure,) = json.loads(out)["failures"]
    code, out, err = plumbline(*failure["repeat"].split()[1:])
    assert code == 1
    assert "then: failed" in out
    assert "now: failed" in out
    assert "KeyError: 'no <such> thing'" in err
    assert "in fails" in err  # its traceback


def results(tmp_path, method):
    return next((tmp_path / "run" / "results").glob(f"*{method}*.json"))


def test_a_result_comes_out_the_same_again(plumbline, tmp_path):
    run(plumbline, "gradient")
    for method in ("gradient", "random"):
        code, out, err = plumbline("repeat", results(tmp_path, method))
        assert (code, err) == (0, "")
        then, now = (line.split(":", 1)[1] for line in out.strip().splitlines())
        assert then == now


def test_a_result_that_does_not_come_out_the_same_is_told(plumbline, tmp_path):
    run(plumbline, "mine:drifting")
    code, out, _ = plumbline("repeat", results(tmp_path, "drifting"))
    assert code == 1
    assert "now: done" in out


def test_a_method_over_its_budget_has_failed_whatever_it_says(plumbline, tmp_path):
    code, out, _ = run(plumbline, "mine:greedy", "mine:steady", "gradient", more=("--budget", "1000"))
    assert code == 1
    found = json.loads(out)
    assert found["statuses"] == {"done": 5, "over-budget": 1}
    assert "its budget is 1,000" in found["failures"][0]["error"]
    assert "over-budget" in (tmp_path / "run" / "leaderboard.md").read_text()


def test_a_method_that_does_not_apply_is_skipped_and_no_failure(plumbline, tmp_path):
    code, out, err = run(plumbline, "mine:choosy", "gradient")
    assert code == 0
    assert "mine:choosy applies to nothing here: needs a network with layers." in err
    assert json.loads(out)["statuses"] == {"done": 4, "skipped": 1}
    assert json.loads(results(tmp_path, "choosy").read_text())["error"] == "needs a network with layers"
    assert "Skipped: not applicable" in (tmp_path / "run" / "leaderboard.md").read_text()
    scores = pd.read_csv(tmp_path / "run" / "scores.csv")
    assert set(scores.loc[scores["method"] == "mine:choosy", "status"]) == {"skipped"}


def test_a_reason_of_a_users_own_is_a_reason_too(plumbline):
    code, out, _ = run(plumbline, "mine:picky", "gradient")
    assert (code, json.loads(out)["statuses"]) == (0, {"done": 4, "skipped": 1})


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_a_method_prints_goes_into_the_log(tmp_path, workers):
    (tmp_path / "mine.py").write_text(MINE)
    own = ("--method", "mine:chatty", "--method", "gradient", "--out", "run")
    done = subprocess.run(  # noqa: S603 - the project's own command, with a standard output of its own
        [sys.executable, "-m", "benchmark", "run", "smoke", *SMALL, *own, "--workers", str(workers)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (printed,) = (line for line in lines if line["event"] == "printed")
    said = ("hello from a method", "and from its errors", "and a warning", "and from a program")
    for words in said:
        assert printed["text"].count(words + "\n") == 1
        assert words not in done.stdout + done.stderr
    assert (printed["scenario"], printed["model"], printed["data_seed"]) == ("paper-F2", "oracle", 0)
    board = (tmp_path / "run" / "leaderboard.md").read_text(encoding="utf-8")
    for text in (done.stdout, board):
        assert "mine:chatty (yours)" in text
        assert "gradient (yours)" not in text
    assert "log.jsonl, under 'printed'" in " ".join(done.stdout.split())
    assert lines[-1]["event"] == "end"


@pytest.mark.slow
def test_what_a_method_prints_is_no_part_of_the_document(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    words = ("run", "smoke", *SMALL, "--method", "mine:chatty", "--method", "gradient", "--json")
    done = subprocess.run(  # noqa: S603 - the project's own command, with a standard output of its own
        [sys.executable, "-m", "benchmark", *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["statuses"] == {"done": 5}


@pytest.mark.slow
def test_nothing_stands_beside_the_document(tmp_path):
    noisy = "import atexit, os\nos.write(1, b'at import')\natexit.register(os.write, 1, b'at exit')\n"
    (tmp_path / "mine.py").write_text(noisy + MINE)
    words = ("run", "smoke", *SMALL, "--method", "mine:steady", "--method", "gradient", "--json")
    done = subprocess.run(  # noqa: S603 - the project's own command, with a standard output of its own
        [sys.executable, "-m", "benchmark", *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["statuses"] == {"done": 5}


def test_components_share_one_budget(plumbline):
    # Each of the four stays below it: kernel SHAP alone asks for 40 · 8,700 calls.
    code, out, _ = run(plumbline, "mean_of_methods", more=("--budget", "380000"))
    assert (code, json.loads(out)["statuses"]) == (1, {"over-budget": 1, "done": 3})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "smoke", "--dry-run", "--json"), "a dry run has no outcome"),
        (("repeat", "nowhere.json"), "cannot be read"),
        (("repeat", "mine.py"), "must hold a result as a run wrote it"),
        (("run", "smoke", "--workers", "2", "--cluster", "local:2"), "either --workers or --cluster"),
        (("run", "smoke", "--budget", "0"), "must be at least one model call"),
        (("run", "smoke", "--cluster", "nowhere"), "must be the address of a Dask scheduler"),
    ],
)
def test_wrong_input_is_one_clear_line(plumbline, words, message):
    code, _, err = plumbline(*words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_a_result_that_was_changed_by_hand_is_not_repeated(plumbline, tmp_path):
    run(plumbline, "gradient")
    path = results(tmp_path, "gradient")
    path.write_text(path.read_text().replace('"data_seed": 0', '"data_seed": 1'))
    code, _, err = plumbline("repeat", path)
    assert code == 2
    assert "checksum" in err


def test_the_log_tells_of_both_runs(plumbline, tmp_path):
    run(plumbline, "gradient")
    run(plumbline, "gradient", "mine:fails")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines if line["event"] != "result"] == [
        *("begin", "prepare", "cached", "end"),
        *("begin", "prepare", "cached", "end"),
    ]
    assert [line["n"] for line in lines if line["event"] == "cached"] == [0, 4]
    assert sum("repeat" in line for line in lines) == 1


def test_a_run_about_missing_modalities_tells_regrets_and_keeps_both_tables(plumbline, tmp_path):
    models = [f"unimodal(modality={name})" for name in ("clinical_a", "clinical_b")]  # quick to train
    asked = [word for name in models for word in ("--model", name)]
    words = ("run", "missing", *SMALL, "--seeds", 1, "--method", "gradient", *asked, "--out", "out")
    code, out, _ = plumbline(*words)
    assert code == 0
    assert "Regret when modalities are missing" in out
    assert "RBO" not in out
    assert "ignore a modality" not in out  # a network of one modality ignores the others by design
    missing, balance = (
        pd.read_csv(tmp_path / "out" / f"{name}.csv", keep_default_na=False)
        for name in ("missing", "balance")
    )
    assert len(missing) == 2 * 2**4
    assert list(missing["available"][:2]) == ["", "axial"]
    assert len(balance) == 2 * 4
    blind = balance[(balance["model"] == models[1]) & (balance["modality"] == "clinical_a")].iloc[0]
    assert (blind["drop"], blind["flag"]) == (0, "ignored")
    account = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "### paper-F2" in account
    assert "## Balance" not in account
    code, out, _ = plumbline("repeat", next((tmp_path / "out" / "results").glob("*diagnosis*")))
    assert code == 0


def test_a_run_writes_its_report_where_asked(plumbline, tmp_path):
    code, out, _ = plumbline("run", "smoke", *SMALL, "--method", "gradient", "--out", "run", "--report")
    assert code == 0
    assert "Report: run/report.html" in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "gradient" in page
    assert page.count("<!doctype html>") + page.count("<!DOCTYPE html>") == 1
