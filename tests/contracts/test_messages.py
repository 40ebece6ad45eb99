"""What users are told when something is wrong: a message of each kind, in one file that people read.

``messages.md`` is made here. Where a message changes, the file is written anew and the test fails once: read
the message as somebody who has never seen the code, then commit the file.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import benchmark
import methods
import synthetic
from benchmark import __main__ as command
from benchmark import metering, models, sandbox, score
from benchmark.models.checks import check_model
from methods.checks.network import case, usual
from synthetic import Scenario, Term
from synthetic.types import Samples

FILE = Path(__file__).with_name("messages.md")
LONGEST = 600  # letters: a message is read once

MINE = """
import methods

def bare(model, samples, rng):
    return {name: 1.0 for name in model.modalities}

def divides(model, samples, rng):
    return {name: 1 / 0 for name in model.modalities}
"""


class Net(torch.nn.Module):
    """A small fusion network that can be spoilt."""

    def __init__(self, **parts: object) -> None:
        super().__init__()
        given = usual()
        self.inner = given.model
        self.modalities, self.groups = given.model.modalities, dict(given.model.groups)
        for name, part in parts.items():
            setattr(self, name, part)

    def encode(self, inputs):
        return self.inner.encode(inputs)

    def classify(self, features):
        return self.inner.classify(features)


def explained(model=None, samples=None, method="gradient"):
    given = usual()
    found = methods.get(method) if isinstance(method, str) else methods.as_method(method)
    found.attribute(model or given.model, samples or given.samples, np.random.default_rng(0))


def returned(value):
    def answer(model, samples, rng):
        return value(model) if callable(value) else value

    explained(method=answer)


def asked(name):
    """Let a method ask the model for what it has not."""

    def curious(model, samples, rng):
        getattr(model, name)()

    explained(metering.meter(usual().model), method=curious)


def inputs_with(value):
    inputs = dict(usual().samples.inputs)
    inputs["clinical"] = value(inputs["clinical"])
    return Samples(inputs)


def noisy(features):
    return usual().model.classify(features) + torch.rand(2)


def of_the_batch(features):
    return usual().model.classify(features - features.mean(0))


def evaluated(function, **options):
    benchmark.evaluate(function, scenarios=[small()], n_seeds=1, out=Path("evaluated"), **options)


def tables():
    return case({"a": (3,), "b": (2,)}, n=24)


def small(**parts):
    base = synthetic.scenario("xor")
    return replace(base, n=400, **parts)


def kinds() -> dict[str, dict[str, Callable[[], object] | tuple[str, ...]]]:
    """Return heading → what a user does → how it is done: in Python, or words of the command."""
    model = usual().model
    return {
        "A model that cannot be explained": {
            "a class without `encode`": lambda: explained(model=object()),
            "a network that draws at random": lambda: explained(model=Net(classify=noisy)),
            "statistics of the batch": lambda: explained(model=Net(classify=of_the_batch)),
            "features of three axes": lambda: explained(model=Net(encode=lambda i: model.encode(i)[:, None])),
            "a tuple instead of logits": lambda: explained(model=Net(classify=lambda f: (f, f))),
            "probabilities instead of logits": lambda: explained(
                model=Net(classify=lambda f: model.classify(f).softmax(1))
            ),
            "groups that do not cover the features": lambda: explained(
                model=Net(groups={**model.groups, "history": slice(0, 2)})
            ),
            "NaN from the network": lambda: explained(
                model=Net(classify=lambda f: model.classify(f) * torch.nan)
            ),
            "an error inside the network": lambda: explained(model=Net(encode=lambda i: i["scan"])),
        },
        "Samples that cannot be explained": {
            "NaN in a table": lambda: inputs_with(lambda it: it * torch.nan),
            "an array instead of a tensor": lambda: inputs_with(lambda it: it.numpy()),
            "tables of different lengths": lambda: inputs_with(lambda it: it[:3]),
            "whole numbers as an image": lambda: Samples({"scan": torch.ones(2, 1, 8, 8, dtype=torch.long)}),
            "a modality that the model does not have": lambda: explained(
                samples=Samples({"other": torch.ones(4, 2)})
            ),
        },
        "What a method returns": {
            "a modality is missing": lambda: returned({"axial": 1.0}),
            "NaN": lambda: returned(lambda it: dict.fromkeys(it.modalities, float("nan"))),
            "a masked value": lambda: returned(lambda it: np.ma.masked_equal(np.ones(64), 1)),
            "text": lambda: returned(lambda it: dict.fromkeys(it.modalities, "much")),
            "too few values": lambda: returned(np.ones(3)),
            "nothing": lambda: returned(None),
        },
        "What a method asks of the model, in a run": {
            "its mode": lambda: asked("eval"),
            "its gradients": lambda: asked("zero_grad"),
            "its weights": lambda: asked("parameters"),
        },
        "Names and options": {
            "a method with a typo": lambda: methods.get("gradeint"),
            "an option with a typo": lambda: methods.get("lime(n_point=100)"),
            "an option with a wrong value": lambda: explained(method="kernel_shap(n_coalitions=1)"),
            "a scenario with a typo": lambda: synthetic.scenario("xro"),
            "an unknown group of scenarios": lambda: synthetic.scenarios("foo"),
            "a model with a typo": lambda: models.get("hybird"),
            "a command with a typo": ("rnu",),
            "a suite with a typo": ("run", "smok"),
            "a module that is not there": ("run", "smoke", "--method", "absent:fn"),
            "a function that is not there": ("run", "smoke", "--method", "mine:absent"),
            "an estimand with a typo": ("run", "smoke", "--method", "mine:bare", "--estimand", "shaply"),
            "an estimand without a function of one's own": ("run", "smoke", "--estimand", "shapley"),
        },
        "Scenarios and suites of one's own": {
            "a feature that no image has": lambda: Scenario("s", "d", (Term(("axial/nothing",)),)),
            "a file that is not there": ("show", "absent.toml"),
            "a correlation that cannot be": lambda: synthetic.truths(
                Scenario(
                    "s",
                    "d",
                    (Term(("clinical_a/0",)), Term(("clinical_b/0",))),
                    correlations={("clinical_a/0", "clinical_b/0"): 1.5},
                )
            ),
            "a suite without scenarios": ("run", "empty.toml"),
        },
        "Scores": {
            "labels that do not match": lambda: score.rmse(
                pd.Series({"axial": 0.5, "labs": 0.5}), pd.Series({"axial": 0.5, "notes": 0.5})
            ),
            "shares of different lengths": lambda: score.rbo([0.5, 0.5], [0.2, 0.3, 0.5]),
        },
        "Runs": {
            "two options that exclude each other": ("run", "smoke", "--workers", "2", "--cluster", "local:2"),
            "no workers": ("run", "smoke", "--workers", "0", "--out", "none"),
            "a method that always fails, in Python": lambda: evaluated(divides),
            "a method that takes too long": lambda: sandbox.apart(lambda: time.sleep(60), timeout=0.2),
            "a method that ends its process": lambda: sandbox.apart(lambda: os._exit(3)),
            "a method that is killed": lambda: sandbox.apart(lambda: os.kill(os.getpid(), signal.SIGKILL)),
            "a method that asks for too much": lambda: explained(
                metering.meter(usual().model, budget=100), method="kernel_shap"
            ),
            "a method that needs an image": lambda: explained(tables().model, tables().samples, "grad_cam"),
            "a result that is none": ("repeat", "mine.py"),
            "a folder without a run": ("report", "absent"),
        },
        "The gate": {
            "no baseline": ("check", "scores.csv", "--baseline", "absent"),
            "a run that is not there": ("check", "absent", "--baseline", "."),
            "no reason": ("baseline", "update", "scores.csv", "--baseline", "new", "--reason", " "),
        },
        "Networks of one's own": {
            "a class that is no network": lambda: check_model(dict, shapes={"a": (3,)}),
            "weights that are never trained": lambda: check_model(Idle, shapes={"a": (3,)}),
            "the oracle": lambda: models.get("oracle"),
        },
    }


class Idle(torch.nn.Module):
    def __init__(self, shapes, *, n_classes=2):
        super().__init__()
        self.modalities, self.groups = ("a",), {"a": slice(0, 3)}
        self.head, self.idle = torch.nn.Linear(3, n_classes), torch.nn.Linear(2, 2)

    def encode(self, inputs):
        return inputs["a"]

    def classify(self, features):
        return self.head(features)


def divides(model, samples, rng):
    return dict.fromkeys(model.modalities, 1 / 0)


def told(action, capsys, monkeypatch) -> str:
    """Return what a user is told, as one paragraph."""
    capsys.readouterr()
    if isinstance(action, tuple):
        monkeypatch.setattr(sys, "argv", ["plumbline", *action])
        with pytest.raises(SystemExit) as end:
            command.main()
        assert end.value.code == 2, action
        text = capsys.readouterr().err
    else:
        with pytest.raises(Exception) as error:  # noqa: PT011 - which one is not the matter here
            action()
        assert type(error.value).__module__ != "torch" or isinstance(
            error.value, (ValueError, AttributeError)
        )
        text = str(error.value).partition("\n\nTraceback")[0]
        if isinstance(error.value, methods.NotApplicableError):
            text = f"Skipped: {text}."
    text = re.sub(r"(?s)^\s*Usage: .*? for help\.", "", text)
    text = re.sub(r"0x[0-9a-f]+", "0x…", " ".join(text.split()))
    return re.sub(r"(?<![\w.])/(?:[\w.-]+/)+", "…/", text)


@pytest.fixture
def folder(tmp_path, monkeypatch, pytestconfig):
    scores = pytestconfig.rootpath / "results" / "baseline" / "scores.csv"
    (tmp_path / "scores.csv").write_bytes(scores.read_bytes())
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "empty.toml").write_text('name = "empty"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)


def lines(capsys, monkeypatch) -> Iterator[str]:
    yield "# What users are told when something is wrong\n\nMade by `tests/contracts/test_messages.py`.\n"
    for heading, cases in kinds().items():
        yield f"\n## {heading}\n\n"
        for what, action in cases.items():
            done = f" (`plumbline {' '.join(action)}`)" if isinstance(action, tuple) else ""
            yield f"- *{what}*{done}: {told(action, capsys, monkeypatch)}\n"


def test_the_messages_are_those_that_were_read(folder, capsys, monkeypatch):
    text = "".join(lines(capsys, monkeypatch))
    before = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    if text != before:
        FILE.write_text(text, encoding="utf-8")
    assert text == before, "messages.md is written anew: read it, and commit it"


def test_there_are_forty_and_each_can_be_read_at_once():
    messages = re.findall(r"^- \*(.*?)\*.*?: (.*)$", FILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(messages) >= 40
    for what, message in messages:
        assert len(message) <= LONGEST, what
        assert "Traceback" not in message, what
        assert message.endswith((".", "?", ")", "…", "!")), what
