"""CONTRIBUTING's way to a method of one's own, step by step, from a folder that has nothing else."""

import re
import subprocess
import sys

import pandas as pd
import pytest

from benchmark import __main__ as command

FIVE_LINES = """\
def spread_of_evidence(model, samples, rng):
    features = model.encode(samples.inputs).detach().requires_grad_()
    probability = model.classify(features).softmax(1)[:, 1].sum()
    (slopes,) = torch.autograd.grad(probability, features)
    return slopes * features.std(0, correction=0)
"""

MINE = f"import torch\n\n\n{FIVE_LINES}"

BAD = """
def by_position(model, samples, rng):
    return {name: 1.0 + place for place, name in enumerate(model.modalities)}


def by_position_of_three(model, samples, rng):
    raise_if = __import__("methods").NotApplicableError
    raise raise_if("needs three modalities [at least]")
"""

NETWORK = """
from torch import nn

from benchmark.models.plain import plain


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scan = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(28, 2))

    def forward(self, axial, coronal, first, second):
        return self.head(torch.cat([self.scan(axial), self.scan(coronal), first, second], 1))


network = plain(Net)
"""

SMALL = ("--scenario", "paper-F4", "--patients", "400", "--explained", "60")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(MINE + BAD + NETWORK, encoding="utf-8")
    return folder


def python(*words, cwd):
    return subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-W", "error", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def plumbline(*words, cwd):
    return python("-m", "benchmark", *words, cwd=cwd)


def statuses(text):
    """Return check → status of the table; what a line says in its third column may go on below it."""
    return dict(re.findall(r"^(\S[a-z ]*?)  +(ok|failed|skipped)  ", text, re.MULTILINE))


def test_it_is_five_lines():
    assert len(FIVE_LINES.splitlines()) == 5


@pytest.mark.slow
def test_first_it_is_scored_in_python(folder):
    code = (
        "import benchmark, mine; from pathlib import Path; folder = Path('evaluated'); "
        "board = benchmark.evaluate(mine.spread_of_evidence, scenarios=['paper-F4'], out=folder); "
        "print(sorted(board['method']))"
    )
    done = python("-c", code, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "'kernel_shap'" in done.stdout
    scores = pd.read_csv(folder / "evaluated" / "scores.csv")
    assert set(scores["status"]) == {"done"}
    mine = scores[(scores["method"] == "spread_of_evidence") & (scores["estimand"] == "gradient")]
    assert mine["rmse"].max() < 0.05


@pytest.mark.slow
def test_then_it_is_run_by_the_command(folder):
    done = plumbline(
        "run", "smoke", *SMALL, "--method", "mine:spread_of_evidence", "--out", "run", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "mine:spread_of_evidence" in done.stdout
    assert "kernel_shap" in done.stdout  # it runs beside all others
    assert set(pd.read_csv(folder / "run" / "scores.csv")["status"]) == {"done"}


def test_then_it_is_checked(folder):
    done = plumbline("check-method", "mine:spread_of_evidence", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    found = statuses(done.stdout)
    assert set(found.values()) == {"ok"}
    assert found["same seed"] == "ok"
    assert f"{len(found)} ok" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_check_that_fails_says_what_to_do(folder):
    done = plumbline("check-method", "mine:by_position", cwd=folder)
    assert done.returncode == 1
    found = statuses(done.stdout)
    assert {name for name, status in found.items() if status == "failed"} == {
        "ignored modality",
        "order of modalities",
    }
    said = " ".join(done.stdout.split())
    assert "Method 'mine:by_position' must say the same of a model whose modalities stand in" in said
    assert done.stdout.splitlines()[-1].strip() == f"{len(found) - 2} ok, 2 failed"


def test_a_plain_network_is_checked_on_what_it_takes(folder):
    done = plumbline("check-model", "mine:network", "--scenario", "paper-F4", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(statuses(done.stdout).values()) == {"ok"}
    done = plumbline("check-model", "mine:network", cwd=folder)
    assert done.returncode == 1
    assert "check it on inputs of other shapes (--scenario NAME)" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_a_method_that_never_applies_fails_nothing(folder):
    done = plumbline("check-method", "mine:by_position_of_three", cwd=folder)
    assert done.returncode == 0
    assert "needs three modalities [at least]" in " ".join(done.stdout.split())
    assert "skipped" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("gradeint",), "Did you mean 'gradient'?"),
        (("mine:absent",), "The module 'mine' has no 'absent'"),
        (("lime(points=3)",), "Did you mean 'n_points'?"),
        ((), "Missing argument"),
    ],
)
def test_what_is_no_method_is_wrong_usage(folder, words, message, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["plumbline", "check-method", *words])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
