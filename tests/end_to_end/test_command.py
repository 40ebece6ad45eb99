"""The command as a user types it, in processes of its own."""

import json
import re
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from rich.console import Console

import benchmark
import methods
import synthetic
from benchmark import sandbox, session
from benchmark.__main__ import main
from benchmark.outcome import show, write
from benchmark.request import Request

SMALL = ("--patients", "400", "--explained", "30", "--seeds", "1")
PUBLISHED = ("gradient", "permutation", "lime", "kernel_shap", "mean_of_methods", "modality_contribution")
SIX = [word for name in PUBLISHED for word in ("--method", name)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


def from_a_shell(*words, cwd):
    """Run the command in a process that has loaded nothing before; the others come from the fork server."""
    return subprocess.run(  # noqa: S603 - the project's own command
        [sys.executable, "-W", "error", "-m", "benchmark", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def smoke(folder):
    """Run the smallest suite once for the tests below."""
    return from_a_shell("run", "smoke", *SMALL, *SIX, "--workers", "1", "--out", "one", cwd=folder)


def test_a_run_ends_with_the_leaderboard_and_says_where_the_files_are(smoke, folder):
    assert smoke.returncode == 0, smoke.stderr
    for name in PUBLISHED:
        assert name in smoke.stdout
    assert "chance level" in smoke.stdout.lower()
    assert "p = 1 − 1/n = 0.75 for n = 4" in smoke.stdout
    assert "Files: one" in smoke.stdout
    assert {path.name for path in (folder / "one").iterdir()} == {
        ".lock",
        "log.jsonl",
        "results",
        "scores.csv",
        "importances.csv",
        "parts.csv",
        "leaderboard.md",
        "manifest.json",
        "importances-oracle.png",
        "importances-oracle.svg",
    }


def test_it_is_quiet_where_there_is_no_terminal(smoke):
    # On a slow machine, a line of progress every half minute.
    assert all(re.fullmatch(r"\d+ of \d+ results .*", line) for line in smoke.stderr.splitlines())
    assert "\x1b" not in smoke.stdout


def test_the_methods_are_right_on_the_true_decision_function(smoke, folder):
    scores = pd.read_csv(folder / "one" / "scores.csv")
    assert set(scores["status"]) == {"done"}
    assert set(scores["model"]) == {"oracle"}
    pooled = (scores["rmse"] ** 2).groupby(scores["method"]).mean() ** 0.5
    for name in ("gradient", "permutation", "kernel_shap", "modality_contribution"):
        assert pooled[name] < 0.05, name
    assert pooled["truth"] == 0
    assert pooled["uniform"] == pytest.approx(0.363, abs=0.001)


def test_a_second_run_makes_nothing_again_and_says_the_same(plumbline, smoke, folder):
    files = [path for path in (folder / "one").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files if path.name != "log.jsonl"}  # it goes on
    again = plumbline("run", "smoke", *SMALL, *SIX, "--workers", "1", "--out", "one", cwd=folder)
    assert again.returncode == 0
    assert {path: path.read_bytes() for path in before} == before
    lines = [text.stdout.splitlines()[:-1] for text in (smoke, again)]  # the last line tells the time
    assert lines[0] == lines[1]


@pytest.mark.slow
def test_two_workers_give_the_same_numbers(plumbline, smoke, folder):
    two = plumbline("run", "smoke", *SMALL, *SIX, "--workers", "2", "--out", "two", cwd=folder)
    assert two.returncode == 0, two.stderr
    assert (folder / "two" / "importances.csv").read_text() == (
        folder / "one" / "importances.csv"
    ).read_text()
    tables = [pd.read_csv(folder / name / "scores.csv").drop(columns="seconds") for name in ("one", "two")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_the_manifest_holds_what_repeats_the_run(smoke, folder):
    manifest = json.loads((folder / "one" / "manifest.json").read_text())
    assert manifest["suite"] == "smoke"
    assert manifest["versions"]["torch"]
    assert "run smoke" in manifest["command"]


def test_your_own_function_runs_beside_the_known_methods_and_its_failure_is_told(plumbline, folder):
    (folder / "mine.py").write_text(
        "def good(model, samples, rng):\n"
        "    return {name: 1.0 for name in model.modalities}\n"
        "def bad(model, samples, rng):\n"
        "    raise RuntimeError('boom <b>')\n"
    )
    done = plumbline(
        "run", "smoke", *SMALL, "--method", "mine:good", "--method", "mine:bad", "--method", "gradient",
        "--workers", "2", "--out", "own", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 1
    assert "8 results failed" in done.stderr
    assert "RuntimeError: boom" in done.stderr
    assert "mine:good" in done.stdout
    assert "Traceback" not in done.stderr
    scores = pd.read_csv(folder / "own" / "scores.csv")
    assert set(scores.loc[scores["status"] == "failed", "method"]) == {"mine:bad"}
    assert set(scores["method"]) == {"mine:good", "mine:bad", "gradient", "truth", "random", "uniform"}
    assert "mine:bad" in (folder / "own" / "leaderboard.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "papr"), "Did you mean 'paper'?"),
        (("run", "smoke", "--method", "gradeint"), "Did you mean 'gradient'?"),
        (("run", "smoke", "--model", "hybird"), "Did you mean 'hybrid'?"),
        (("run", "smoke", "--method", "nowhere:fn"), "cannot be imported"),
        (
            ("run", "smoke", "--images", "cats"),
            "image source 'cats' is unknown. There are phantom, organ",
        ),
        (("run", "smoke", "--features", "pca"), "'features' of phantom images must be 'anatomy'"),
        (("run", "smoke", "--patients", "5"), "at least 16 in each split"),
        (("run", "smoke", "--image-size", "30"), "28"),
        (("run", "smoke", "--seeds", "0"), "at least 1"),
        (("run", "smoke", "--workers", "0"), "workers must be at least 1"),
        (("run", "smoke", "--out", "/dev/null/x"), "cannot be written"),
        (("list", "cats"), "takes one of scenarios, methods, models, suites"),
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_code_2(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["plumbline", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    shown = capsys.readouterr()
    assert stop.value.code == 2
    assert shown.err.startswith("Error: ")
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("scenarios", "paper-F7"),
        ("methods", "modality_contribution"),
        ("models", "hybrid-s1"),
        ("suites", "smoke"),
    ],
)
def test_list(what, expected, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plumbline", "list", what])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    assert expected in capsys.readouterr().out


def test_an_error_reaches_the_shell(folder):
    done = from_a_shell("run", "papr", cwd=folder)
    assert done.returncode == 2
    assert done.stderr == "Error: The suite 'papr' is unknown. Did you mean 'paper'?\n"


@pytest.mark.slow
def test_trained_networks_give_the_same_numbers_with_one_worker_or_two(plumbline, folder, monkeypatch):
    texts = []
    for workers in ("1", "2"):
        monkeypatch.setenv("PLUMBLINE_CACHE", str(folder / f"cache-{workers}"))  # each trains its own
        out = f"trained-{workers}"
        done = plumbline(
            *("run", "paper", *SMALL, "--scenario", "paper-F4"),
            *("--model", "hybrid", "--method", "gradient", "--method", "lime"),
            *("--workers", workers, "--out", out),
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        texts.append((folder / out / "importances.csv").read_text())
    assert texts[0] == texts[1]


def test_an_interrupted_run_says_so_and_goes_on_from_there(plumbline, folder):
    (folder / "slow.py").write_text(
        "import time\n"
        "def slow(model, samples, rng):\n"
        "    time.sleep(2)\n"
        "    return {name: 1.0 for name in model.modalities}\n"
    )
    words = [*SMALL, "--method", "gradient", "--method", "slow:slow", "--workers", "1", "--out", "stopped"]
    with subprocess.Popen(  # noqa: S603 - the project's own command
        [sys.executable, "-m", "benchmark", "run", "smoke", *words],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        deadline = time.monotonic() + 60
        while len(list(folder.glob("stopped/results/*.json"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert errors.splitlines()[-1].startswith("Interrupted. Results so far are kept")
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("stopped/results/*gradient*.json")}
    assert kept
    words = (*SMALL, "--method", "gradient", "--workers", "1", "--out", "stopped")
    again = plumbline("run", "smoke", *words, cwd=folder)
    assert again.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize(
    "name",
    ["x[/]y$|", *(pytest.param(it, marks=pytest.mark.slow) for it in ("p$a_{b$", "<script>", "a|b"))],
)
def test_any_name_can_be_shown(name, tmp_path, capsys):
    own = methods.Method(
        name=name,
        function=lambda model, samples, rng: dict.fromkeys(model.modalities, 1),
        estimand="gradient",
    )
    request = Request.from_options(
        suite="smoke", methods=["gradient"], n_patients=300, n_explained=20, out=tmp_path, own_methods=[own]
    )
    outcome = session.run(request)
    console = Console(width=80)
    show(outcome, request, console)
    assert "…" not in capsys.readouterr().out
    write(outcome, request, command="test")
    assert (tmp_path / "importances-oracle.svg").stat().st_size > 10_000
    assert "<script>" not in (tmp_path / "leaderboard.md").read_text()


def test_a_function_that_cannot_travel_is_refused_before_the_work(tmp_path):
    lock = threading.Lock()
    with pytest.raises(ValueError, match="cannot be sent to worker processes"):
        benchmark.evaluate(lambda *_: lock, workers=2, out=tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_a_run_in_which_everything_fails_says_why(plumbline, folder):
    (folder / "broken.py").write_text("def bad(model, samples, rng):\n    raise RuntimeError('no')\n")
    done = plumbline("run", "smoke", *SMALL, "--method", "broken:missing", "--out", "broken", cwd=folder)
    assert done.returncode == 2
    assert "has no 'missing'" in done.stderr


MINE = """
name = "mine"
description = "a liver value in image and table"
n = 300

[tables]
labs = ["sex", "alt", "crp"]

[[terms]]
features = "axial/liver_attenuation"

[[terms]]
features = ["labs/alt", "labs/crp"]

[[correlations]]
between = ["axial/liver_attenuation", "labs/alt"]
value = -0.4
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE, encoding="utf-8")
    return tmp_path


def test_an_own_scenario_is_shown_as_text_and_picture(plumbline, mine):
    done = plumbline("show", "mine.toml", cwd=mine)
    assert done.returncode == 0, done.stderr
    for words in ("alt [U/L]", "liver_attenuation", "Shapley", "AUROC", "results/show/mine.png"):
        assert words in done.stdout
    assert (mine / "results" / "show" / "mine.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_an_own_scenario_is_run_by_workers_and_in_process_alike(plumbline, mine):
    words = ("run", "smoke", "--scenario", "mine.toml", "--scenario", "xor", *SMALL, "--method", "gradient")
    for workers in ("1", "2"):
        done = plumbline(*words, "--workers", workers, "--out", workers, cwd=mine)
        assert done.returncode == 0, done.stderr
    first, second = (pd.read_csv(mine / name / "scores.csv").drop(columns="seconds") for name in "12")
    pd.testing.assert_frame_equal(first, second)
    assert set(first["scenario"]) == {"mine", "xor"}
    # Exclusive-or has no information in one modality, so nothing is scored against that truth.
    assert "information" in set(first.loc[first["scenario"] == "mine", "estimand"])
    assert "information" not in set(first.loc[first["scenario"] == "xor", "estimand"])


@pytest.mark.slow
def test_all_truths_of_some_scenarios_in_one_table(plumbline, mine):
    for name, workers in (("one.csv", "1"), ("two.csv", "2")):
        done = plumbline("truths", "graded", "xor", "--fresh", "--workers", workers, "--out", name, cwd=mine)
        assert done.returncode == 0, done.stderr
    assert (mine / "one.csv").read_bytes() == (mine / "two.csv").read_bytes()
    table = pd.read_csv(mine / "one.csv")
    graded = table[(table["scenario"] == "graded") & (table["what"] == "modality")]
    shares = graded[graded["estimand"] == "gradient"].set_index("name")["share"]
    assert dict(shares) == pytest.approx({"axial": 0.4, "coronal": 0.3, "clinical_a": 0.2, "clinical_b": 0.1})
    assert set(graded["estimand"]) == set(synthetic.ESTIMANDS)
    assert table.loc[table["what"] == "modality", "standard_error"].max() <= 0.002
    pair = table[(table["scenario"] == "xor") & (table["name"] == "axial × clinical_a")]
    assert pair["raw"].item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "xro"), "Did you mean 'xor'"),
        (("show", "redundancy", "--images", "organamnist"), "needs rendered images"),
        (("show", "nothing.toml"), "nothing.toml"),
        (("truths", "grade"), "Did you mean 'graded'"),
        (("run", "smoke", "--scenario", "fatty"), "Did you mean 'fatty-liver'"),
    ],
)
def test_a_scenario_that_is_not_there_is_named(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["plumbline", *words])
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


KILLER = """
import os
from pathlib import Path

def kills_its_worker(model, samples, rng):
    # Once a process of its own, the parent is the worker.
    os.kill(os.getppid(), 9)
    os._exit(1)

def kills_its_worker_once(model, samples, rng):
    note = Path("killed-once")
    if not note.exists():
        note.touch()
        os.kill(os.getppid(), 9)
        os._exit(1)
    return dict.fromkeys(model.modalities, 1.0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sandbox.is_available(), reason="needs fork")
def test_a_worker_that_is_killed_once_costs_nothing(plumbline, tmp_path):
    (tmp_path / "mine.py").write_text(KILLER)
    words = ("run", "smoke", *SMALL, "--workers", "2", "--method", "gradient")
    done = plumbline(*words, "--method", "mine:kills_its_worker_once", "--out", "killed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "killed-once").exists()
    scores = pd.read_csv(tmp_path / "killed" / "scores.csv")
    assert set(scores["status"]) == {"done"}
    assert set(scores["scenario"]) == {f"paper-F{case}" for case in range(8)}


@pytest.mark.slow
@pytest.mark.skipif(not sandbox.is_available(), reason="needs fork")
def test_a_task_that_kills_every_worker_fails_alone(plumbline, tmp_path):
    (tmp_path / "mine.py").write_text(KILLER)
    words = ("run", "smoke", "--scenario", "paper-F4", *SMALL, "--workers", "2")
    done = plumbline(*words, "--method", "mine:kills_its_worker", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "worker process died" in done.stderr


def test_the_cache_is_looked_after(plumbline, mine, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CACHE", str(mine / "cache"))
    assert plumbline("truths", "graded", "--workers", "1", cwd=mine).returncode == 0
    shown = plumbline("cache", "info", cwd=mine)
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"truths\s+9\s", shown.stdout)
    assert plumbline("cache", "verify", cwd=mine).returncode == 0
    damaged = min((mine / "cache" / "truths").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-3])
    told = plumbline("cache", "verify", cwd=mine)
    assert told.returncode == 1
    assert damaged.name in told.stdout.replace("\n", "")
    assert "Removed 1 files" in plumbline("cache", "clear", "--damaged", cwd=mine).stdout
    assert "Removed 8 files" in plumbline("cache", "clear", "truths", "--yes", cwd=mine).stdout
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "much")
    wrong = plumbline("run", "smoke", *SMALL, cwd=mine)
    assert wrong.returncode == 2
    assert "PLUMBLINE_CACHE_LIMIT" in wrong.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("show",),
        ("list",),
        ("show", "--bogus"),
        ("nosuch",),
        ("show", "xor", "--seed", "x"),
        ("cache", "wash"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_code_2(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["plumbline", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "Usage" in told
    assert "Traceback" not in told
