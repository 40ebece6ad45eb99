"""What README.md and CONTRIBUTING.md show must run as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import benchmark
import synthetic
from benchmark import __main__ as command
from benchmark import session
from benchmark.models.checks import check_model

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGE = (ROOT / "synthetic" / "README.md").read_text(encoding="utf-8")


def blocks(text, language):
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def test_there_is_something_to_test():
    assert len(blocks(README, "python")) == 4
    assert len(blocks(CONTRIBUTING, "python")) == 2
    assert len(commands()) >= 6


def test_your_own_method_in_ten_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = blocks(README, "python")[0]
    scope = {}
    exec(code, scope)  # noqa: S102 - the README's own text
    shown = capsys.readouterr().out
    assert "gradient_times_input" in shown
    assert "kernel_shap" in shown
    body = code[code.index("def ") : code.index("benchmark.evaluate")]
    assert len(body.strip().splitlines()) <= 10


def test_the_python_tour():
    scope = {}
    code = blocks(README, "python")[3]
    exec(code, scope)  # noqa: S102 - the README's own text
    assert dict(scope["dataset"].truth["gradient"].modalities) == {
        "axial": 0.25,
        "coronal": 0.25,
        "clinical_a": 0.25,
        "clinical_b": 0.25,
    }
    assert str(dict(scope["dataset"].truth["gradient"].modalities)) in code


def test_accuracy_as_a_line_of_a_test():
    scope = {}
    exec(blocks(README, "python")[1], scope)  # noqa: S102 - the README's own text
    scope["test_my_method_is_accurate"]()


def test_the_recipe_for_slurm_is_python():
    compile(blocks(README, "python")[2], "README.md", "exec")  # there is no Slurm here


def test_a_scenario_of_your_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(blocks(CONTRIBUTING, "python")[0], scope)  # noqa: S102 - the document's own text
    truth = scope["synthetic"].truths(scope["mine"])["shapley"].modalities
    assert truth["axial"] > truth["labs"] > 0
    assert truth["coronal"] == 0
    assert synthetic.load_scenario("mine.toml") == scope["mine"]


def test_a_network_without_a_fusion_layer():
    scope = {}
    exec(blocks(CONTRIBUTING, "python")[1], scope)  # noqa: S102 - the document's own text
    shapes = {
        **dict.fromkeys(("axial", "coronal"), (1, 28, 28)),
        **dict.fromkeys(("clinical_a", "clinical_b"), (10,)),
    }
    check_model(scope["network"], shapes=shapes)


def test_the_toml_of_the_page_on_truths_is_a_scenario():
    (text,) = blocks(PAGE, "toml")
    mine = synthetic.from_toml(text)
    assert mine.named_correlations["axial/liver_attenuation", "labs/alt"] == -0.4
    assert synthetic.truths(mine)["total_effect"].modalities["labs"] > 0.1


def test_the_suite_of_the_readme_runs_dry(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.toml").write_text(blocks(PAGE, "toml")[0], encoding="utf-8")
    (tmp_path / "my-suite.toml").write_text(blocks(README, "toml")[0], encoding="utf-8")
    (line,) = [line for line in README.splitlines() if "--dry-run  " in line]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # of another folder
    monkeypatch.setattr(sys, "argv", shlex.split(line.split("#")[0]))
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 0
    n_jobs = 5 * 2 * (2 * (2 + 3) + 1)  # scenarios, seeds, models, methods and controls, and the diagnosis
    assert f"{n_jobs} in 20 stages" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_the_workflow_for_a_ci_holds_a_method_to_its_baseline(tmp_path, monkeypatch, capsys):
    (text,) = blocks(README, "yaml")
    steps = yaml.safe_load(text)["jobs"]["accuracy"]["steps"]
    given = [shlex.split(step["run"], comments=True) for step in steps if "run" in step]
    run, check = (words for words in given if words[0] == "plumbline")
    (tmp_path / "mine.py").write_text(blocks(README, "python")[0].partition("benchmark.evaluate")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    for words in (
        run,
        ["plumbline", "baseline", "update", "run", *check[3:5], "--reason", "first one"],
        check,
    ):
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            command.main()
        assert ended.value.code == 0, capsys.readouterr()
    assert (tmp_path / "junit.xml").is_file()
    assert "2 " in (tmp_path / "summary.md").read_text()


def test_the_tables_of_the_documents_are_those_of_the_scores_that_are_committed():
    script = ROOT / "results" / "reference" / "readme.py"
    found = subprocess.run(  # noqa: S603 - the project's own
        [sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, f"run 'python {script.relative_to(ROOT)}':\n{found.stdout}{found.stderr}"


def test_every_row_of_the_leaderboard_has_a_chance_of_its_own():
    block = README.partition("<!-- leaderboard -->")[2].partition("<!-- /leaderboard -->")[0]
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in block.splitlines()
        if line.startswith("|")
    ]
    own = pd.read_csv(ROOT / "results" / "reference" / "paper-phantom" / "scores.csv")
    own = own[(own["model"] == "hybrid") & (own["estimand"] == own["targets"].replace("control", "gradient"))]
    chance = own.groupby("method")["rbo_chance"].mean()
    assert len({row[head.index("chance RBO")] for row in rows}) > 1
    for row in rows:
        assert row[head.index("chance RBO")] == f"{chance[row[0]]:.3f}", row[0]


def test_the_page_on_truths_names_them_all():
    for estimand in synthetic.ESTIMANDS:
        assert f"| `{estimand}` |" in PAGE


def test_every_picture_is_there():
    methods = (ROOT / "methods" / "README.md").read_text(encoding="utf-8")
    for folder, text in ((ROOT, README), (ROOT / "synthetic", PAGE), (ROOT / "methods", methods)):
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            assert (folder / name).is_file(), name


def commands():
    text = README + PAGE
    lines = [line.split("#")[0].strip() for block in blocks(text, "sh") for line in block.splitlines()]
    asked = [line for line in lines if line.startswith("plumbline run") and "--dry-run" not in line]
    through_make = re.findall(r'make benchmark ARGS="([^"]+)"', README + CONTRIBUTING)
    return asked + [f"plumbline run paper {options}" for options in through_make]


@pytest.mark.parametrize("line", commands())
def test_the_commands_are_understood(line, tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text(blocks(PAGE, "toml")[0], encoding="utf-8")
    (tmp_path / "mine.py").write_text("def gradient_times_input(model, samples, rng): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # of another folder
    asked = []

    def stop(request, **_options):
        asked.append(request.jobs())
        raise ValueError("far enough")

    monkeypatch.setattr(session, "run", stop)
    names = {"DIR": str(tmp_path), "NAME": "hybrid" if "--model NAME" in line else "gradient"}
    words = [names.get(word, word) for word in shlex.split(line)]
    monkeypatch.setattr(sys, "argv", [*words, "--quiet"])  # else it would look through what is there
    with pytest.raises(SystemExit):
        command.main()
    assert len(asked) == 1
    assert asked[0]


def test_every_public_name_of_the_design_is_there():
    assert callable(benchmark.evaluate)
    assert callable(benchmark.score.rbo)
    assert callable(benchmark.score.rmse)


def test_the_files_that_the_documents_point_to_exist():
    for text in (README, CONTRIBUTING):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in target:
                assert (ROOT / target).exists(), target
