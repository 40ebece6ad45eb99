"""What a gate sees: errors in proportion, raw values, failures with their reasons, what else differs."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import benchmark
import methods
from benchmark import __main__ as command
from benchmark import baseline, models, regression, session
from benchmark.models import pretrained
from benchmark.regression import Rules, noise
from benchmark.regression.values import COLUMNS
from benchmark.request import Request
from benchmark.store import FAILURES, one_line, read_result
from benchmark.suite import SUITES, plan

SEEDS = ("data_seed", "train_seed", "method_seed")
NAMES = ("axial", "coronal", "clinical_a", "clinical_b")


def make_scores(rmse, *, first_seed=0, version="1", calls=1000):
    """Return a table of scores from errors [methods, scenarios, seeds]."""
    return pd.DataFrame(
        [
            {
                "scenario": f"case-{s}",
                "images": "phantom",
                "features": "anatomy",
                "model": "oracle",
                "method": f"m{m}",
                "method_version": version,
                "targets": "gradient",
                "estimand": "gradient",
                **dict.fromkeys(SEEDS, first_seed + k),
                "status": "done",
                "rmse": rmse[m, s, k],
                "rmse_uniform": 0.4,
                "rbo": 1.0,
                "rbo_chance": 0.75,
                "learnt": 1.0,
                "informative": 1.0,
                "n_modalities": 4,
                "model_calls": calls,
                "error": "",
            }
            for m, s, k in np.ndindex(rmse.shape)
        ]
    )


def make_values(scores, change=lambda value, signed: (value, signed), *, methods=("m0",)):
    """Return raw values of each result, drawn from its seed, and changed in some methods."""
    rows = []
    for row in scores.to_dict(orient="records"):
        rng = np.random.default_rng([row["data_seed"], int(row["scenario"][-1])])
        value, signed = rng.uniform(0.1, 1, 4), rng.uniform(-0.05, 0.05, 4)
        if row["method"] in methods:
            value, signed = change(value, signed)
        keys = {name: row[name] for name in (*COLUMNS[:-3], "method_version", "model_calls")}
        rows += [
            {**keys, "modality": name, "value": v, "signed": s}
            for name, v, s in zip(NAMES, value, signed, strict=True)
        ]
    return pd.DataFrame(rows)


def errors(shape=(3, 8, 3), *, level=0.004, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    levels = level * np.random.default_rng(9).uniform(0.5, 1.5, shape[:2])[..., None]
    return levels * np.exp(spread * rng.standard_normal(shape))


def plumbline(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["plumbline", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


# ---- a margin in proportion to the method's own error


@pytest.mark.parametrize("level", [0.0008, 0.004, 0.02, 0.2])
@pytest.mark.parametrize("factor", [1.5, 2.0])
def test_a_rise_of_half_of_any_error_fails(level, factor):
    before = errors(level=level)
    now = before.copy()
    now[1] *= factor
    found = regression.compare(make_scores(now), make_scores(before))
    assert {(it.method, it.metric) for it in found.of("fell")} == {("m1", "rmse")}
    assert not found.passed


def test_the_doubled_error_of_a_modality_times_1_10_fails():
    # RMSE 0.0040 → 0.0080, three seeds, interval +0.0024 … +0.0056: it was "unchanged".
    before = errors((1, 8, 3), spread=0.2)
    before *= 0.0040 / np.sqrt((before**2).mean())
    fell = regression.compare(make_scores(2 * before), make_scores(before)).of("fell")
    assert [round(it.drop, 4) for it in fell] == [0.004]
    assert fell[0].margin == pytest.approx(0.001)
    old_margin = Rules(relative_margin=np.inf)
    found = regression.compare(make_scores(2 * before), make_scores(before), old_margin)
    assert [it.verdict for it in found.findings if it.metric == "rmse"] == ["worse, within the margin"]


@pytest.mark.parametrize("level", [0.0, 1e-6, 5e-5])
def test_what_is_near_no_error_may_move_by_rounding(level):
    before = errors(level=level)
    for now in (before + 5e-7, 2 * before):
        found = regression.compare(make_scores(now), make_scores(before), Rules(strict=True))
        assert found.passed, found.findings


def test_a_single_seed_with_rounding_needs_no_noise_either():
    before = errors((3, 8, 3))
    found = regression.compare(make_scores(before[:, :, :1] * (1 + 1e-6)), make_scores(before))
    assert {it.verdict for it in found.findings} == {"unchanged"}


def test_with_a_single_seed_the_relative_margin_does_not_hold():
    before = errors((2, 8, 1))
    found = regression.compare(make_scores(2 * before), make_scores(before))
    assert {it.verdict for it in found.findings if it.metric == "rmse"} == {"worse, within the margin"}
    assert found.passed


@pytest.mark.parametrize("n_seeds", [1, 3])
@pytest.mark.parametrize("margin", [0.0, 0.01])
def test_equal_numbers_are_unchanged_with_nine_digits(n_seeds, margin):
    before = errors(level=0.1)
    there = make_scores(np.vectorize(lambda value: float(f"{value:.9g}"))(before))
    rules = Rules(rmse_margin=margin, rbo_margin=margin)
    found = regression.compare(make_scores(before[:, :, :n_seeds]), there, rules)
    assert {it.verdict for it in found.findings} == {"unchanged"}


def test_a_scenario_with_one_seed_left_adds_no_noise_of_its_seeds():
    before = errors((1, 8, 3), level=0.1, spread=0.5)
    now = before + 0.0002 + 1e-5 * np.random.default_rng(0).standard_normal(before.shape)
    run = make_scores(now)
    left = run[(run["scenario"] != "case-0") | (run["data_seed"] == 0)]
    widths = []
    for table in (run, left):
        (found,) = (
            it for it in regression.compare(table, make_scores(before)).findings if it.metric == "rmse"
        )
        widths.append(found.high - found.low)
        assert found.verdict == "worse, within the margin"
    assert widths[1] < 2 * widths[0]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.few(1)
def test_nothing_falls_more_often_than_promised(shared):
    # Heavy-tailed errors, a scenario that holds most of them: the t test alone would err twice as often.
    alarms, n = 0, 60
    for turn in range(n):
        run, before = (errors((4, 8, 3), spread=0.8, seed=2 * turn + side) for side in (0, 1))
        for part in (run, before):
            part[:, 0] *= 10
        there = make_scores(before, first_seed=0 if shared else 3)
        alarms += not regression.compare(make_scores(run), there).passed
    assert alarms <= stats.binom.ppf(0.99, n, 0.05)


def test_ranks_are_wilcoxons():
    rng = np.random.default_rng(0)
    here, there = ([rng.random(5) for _ in range(3)] for _ in range(2))
    steps = np.concatenate(here) - np.concatenate(there)
    assert noise._ranked([here, there], paired=True)[0] == stats.wilcoxon(steps, alternative="greater").pvalue
    one = noise._ranked([here[:1], there[:1]], paired=False)
    expected = [
        stats.mannwhitneyu(here[0], there[0], alternative=way, method="asymptotic").pvalue
        for way in ("greater", "less")
    ]
    assert one == pytest.approx(
        expected, abs=0.12
    )  # scipy's continuity correction is towards 0.5 on both sides
    assert noise._ranked([[np.ones(3)], [np.ones(3)]], paired=True) == (1.0, 1.0)
    assert noise._ranked([[np.ones(3)], [np.ones(3)]], paired=False) == (1.0, 1.0)


# ---- raw values


CHANGES = {
    "signs flipped before absolute values": (lambda v, s: (v, -s), "all signs flipped in 24"),
    "signs flipped after": (lambda v, s: (-v, s), "all signs flipped in 24"),
    "logits for probabilities": (lambda v, s: (4 * v, 4 * s), "sizes × 4"),
    "another method": (lambda v, s: (v[::-1] ** 2, s), "24 of 24 results"),
    "one modality × 1.001": (lambda v, s: (v * [1.001, 1, 1, 1], s), "24 of 24 results"),
}


@pytest.mark.parametrize("label", CHANGES)
def test_changed_values_are_told_and_strictly_fail(label):
    change, told = CHANGES[label]
    scores = make_scores(errors())
    (found,) = regression.value_changes(make_values(scores, change), make_values(scores))
    assert (found.method, found.n, found.n_changed) == ("m0", 24, 24)
    assert told in str(found)
    same = regression.compare(scores, scores)
    for strict in (False, True):
        seen = regression.Comparison(
            *(same.findings, (), (), (), Rules(strict=strict)), value_changes=(found,)
        )
        assert seen.passed is not strict


def test_rounding_is_no_change():
    scores = make_scores(errors())
    shaken = make_values(scores, lambda v, s: (v * (1 + 1e-6), s + 1e-6))
    assert regression.value_changes(shaken, make_values(scores)) == ()


def test_fewer_model_calls_are_told():
    few, many = (make_scores(errors(), calls=n) for n in (100, 1000))
    found = regression.value_changes(make_values(few), make_values(many))
    assert [it.calls for it in found] == [(1000.0, 100.0)] * 3
    assert "model calls 1,000 → 100" in str(found[0])


@pytest.mark.parametrize(
    ("lose", "told"),
    [
        (lambda rows: rows.assign(signed=np.nan), "no longer returns local attributions in 24 of 24"),
        (lambda rows: rows.assign(modality=rows["modality"] + "!"), "other modalities in 24 of 24"),
        (lambda rows: rows[rows["modality"] != "axial"], "other modalities in 24 of 24"),
        (lambda rows: rows.iloc[:0], "no raw values now in 24 of 24"),
        (lambda rows: rows.iloc[4:], "no raw values now in 1 of 24"),
    ],
)
def test_what_is_known_on_one_side_only_is_a_change(lose, told):
    scores = make_scores(errors())
    there = make_values(scores).assign(targets="gradient", estimand="gradient", status="done")
    mine = there["method"] == "m0"
    here = pd.concat([lose(there[mine]), there[~mine]])
    sides = [baseline.raw_values(table, scores) for table in (here, there)]
    (found,) = regression.value_changes(*sides)
    assert found.method == "m0"
    assert told in str(found)
    assert found.same_version
    assert len(regression.value_changes(*sides[::-1])) == 1


def test_model_calls_known_on_one_side_are_told_unless_a_table_never_held_them():
    here, there = make_values(make_scores(errors(), calls=np.nan)), make_values(make_scores(errors()))
    found = regression.value_changes(here, there)
    assert ["model calls unknown now in 24 of 24" in str(it) for it in found] == [True] * 3
    assert regression.value_changes(there, there.drop(columns="model_calls")) == ()


def test_another_version_announces_other_values():
    scores = make_scores(errors())
    run = make_values(scores, lambda v, s: (2 * v, s)).assign(method_version="2")
    (found,) = regression.value_changes(run, make_values(scores))
    assert not found.same_version
    assert "its version changed" in str(found)


def flipped(model, samples, rng):
    return -np.asarray(methods.get("gradient").function(model, samples, rng))


class _Reversed:
    """A model with its two classes exchanged: what explains class 1 of it explains class 0."""

    def __init__(self, model):
        self.model, self.modalities, self.groups = model, model.modalities, model.groups

    def encode(self, inputs):
        return self.model.encode(inputs)

    def classify(self, features):
        return self.model.classify(features).flip(1)


def other_class(model, samples, rng):
    return methods.get("gradient").function(_Reversed(model), samples, rng)


def other_method(model, samples, rng):
    return methods.get("input_x_gradient").function(model, samples, rng)


def few_samples(model, samples, rng):
    return methods.get("gradient").function(model, samples.take(slice(0, 30)), rng)


@pytest.fixture(scope="module")
def gradient_run(tmp_path_factory):
    own = [
        methods.as_method(function, estimand="gradient")
        for function in (flipped, other_class, other_method, few_samples)
    ]
    request = Request.from_options(
        suite="smoke",
        scenarios=["paper-F4", "graded"],
        methods=["gradient"],
        n_patients=600,
        out=tmp_path_factory.mktemp("run"),
        own_methods=own,
    )
    return session.run(request)


@pytest.mark.parametrize("name", ["flipped", "other_class", "other_method", "few_samples"])
def test_what_scores_do_not_see_shows_in_values(gradient_run, name):
    values = baseline.raw_values(gradient_run.importances, gradient_run.scores)
    there = values[values["method"] == "gradient"]
    here = values[values["method"] == name].assign(method="gradient")
    assert regression.value_changes(there, there) == ()
    (found,) = regression.value_changes(here, there)
    assert found.n_changed == found.n == 2
    assert found.n_flipped == (2 if name in ("flipped", "other_class") else 0)
    if name == "few_samples":
        assert found.calls[0] > found.calls[1]


# ---- a baseline keeps what is needed


@pytest.fixture
def folder(tmp_path):
    scores = make_scores(errors())
    for name, change in {"run": lambda v, s: (v, s), "flipped": lambda v, s: (v, -s)}.items():
        (tmp_path / name).mkdir()
        scores.to_csv(tmp_path / name / "scores.csv", index=False)
        values = make_values(scores, change).drop(columns="model_calls")
        values = values.assign(estimand="gradient", targets="gradient", status="done")
        values.to_csv(tmp_path / name / "importances.csv", index=False)
    return tmp_path


def test_a_check_holds_values_to_the_baseline(monkeypatch, capsys, folder):
    words = ("baseline", "update", folder / "run", "--baseline", folder / "b", "--reason", "first")
    assert plumbline(monkeypatch, capsys, *words)[0] == 0
    first = {path.name: path.read_bytes() for path in (folder / "b").iterdir()}
    assert set(first) == {"scores.csv", "importances.csv", "manifest.json"}
    plumbline(monkeypatch, capsys, *words)
    assert {path.name: path.read_bytes() for path in (folder / "b").iterdir()} == first
    check = ("--baseline", folder / "b", "--summary", folder / "summary.md", "--junit", folder / "j.xml")
    code, out, _ = plumbline(monkeypatch, capsys, "check", folder / "run", *check, "--strict")
    assert (code, "with other values" in out) == (0, False)
    code, out, _ = plumbline(monkeypatch, capsys, "check", folder / "flipped", *check)
    assert (code, "1 with other values" in out) == (0, True)
    assert "Values changed" in (folder / "summary.md").read_text(encoding="utf-8")
    assert plumbline(monkeypatch, capsys, "check", folder / "flipped", *check, "--strict")[0] == 1
    assert '<failure message="values changed' in (folder / "j.xml").read_text(encoding="utf-8")
    (folder / "b" / "importances.csv").unlink()
    assert "raw values are not compared" in plumbline(monkeypatch, capsys, "check", folder / "run", *check)[1]


# ---- failures, with reasons; what is written in every case


def test_failures_come_with_their_reasons_once_each(monkeypatch, capsys, folder):
    table = make_scores(errors())
    bad = table["method"] == "m1"
    table.loc[bad, ["status", "error", "rmse"]] = ["failed", "ZeroDivisionError: division by zero", np.nan]
    late = (table["method"] == "m2") & (table["scenario"] == "case-3")
    table.loc[late, ["status", "error", "rmse"]] = ["timeout", "It took longer than 3 s.", np.nan]
    own = table[bad].assign(method="mine", error="KeyError: 'x'")
    (folder / "bad").mkdir()
    pd.concat([table, own]).to_csv(folder / "bad" / "scores.csv", index=False)
    words = ("--baseline", folder / "run", "--summary", folder / "s.md")
    code, out, _ = plumbline(monkeypatch, capsys, "check", folder / "bad", *words)
    assert code == 1
    out, text = " ".join(out.split()), (folder / "s.md").read_text(encoding="utf-8")
    assert "m1 on oracle: 24 × failed: ZeroDivisionError: division by zero (first case-0 on phantom" in out
    assert "m2 on oracle: 3 × timeout: It took longer than 3 s. (first case-3" in out
    assert "mine on oracle: 24 × failed: KeyError: 'x'" in out  # which no baseline knows
    assert "51 failed" in out
    assert out.count("ZeroDivisionError") == 1
    assert "plumbline repeat" in text
    assert "--timeout" in text


@pytest.mark.parametrize("status", [*FAILURES, "skipped"])
def test_every_status_says_what_to_do(monkeypatch, capsys, folder, status):
    table = make_scores(errors())
    table.loc[table["method"] == "m1", ["status", "rmse"]] = [status, np.nan]
    table.to_csv(folder / "flipped" / "scores.csv", index=False)
    out = plumbline(monkeypatch, capsys, "check", folder / "flipped", "--baseline", folder / "run")[1]
    assert "What to do" in out
    assert f"{status}:" in out


def test_failures_that_differ_in_digits_are_one_line():
    there = make_scores(errors())
    bad = there.index[there["method"] == "m1"]
    run = there.copy()
    run.loc[bad, ["status", "rmse"]] = ["failed", np.nan]
    for place in bad:
        run.loc[place, "error"] = f"KeyError: 'x{place}' at {hex(2**40 + place)}"
    (line,) = regression.compare(run, there).missing
    assert line.startswith(f"m1 on oracle: 24 × failed: KeyError: 'x{bad[0]}' at")
    assert line.endswith("; others differ in digits)")
    run.loc[bad[-1], "error"] = "ValueError: another kind"
    assert len(regression.compare(run, there).missing) == 2


def raises(model, samples, rng):
    raise RuntimeError(f"broken at {rng.integers(1_000_000)}")


def test_the_advice_names_the_file_of_the_first_failure(monkeypatch, capsys, tmp_path):
    request = Request.from_options(
        suite="smoke",
        scenarios=["paper-F4", "graded"],
        methods=["gradient"],
        n_patients=300,
        out=tmp_path / "run",
        own_methods=[methods.as_method(raises, estimand="gradient")],
    )
    outcome = session.run(request)
    outcome.scores.to_csv(tmp_path / "run" / "scores.csv", index=False)
    good = outcome.scores[outcome.scores["status"] == "done"]
    (tmp_path / "b").mkdir()
    good.to_csv(tmp_path / "b" / "scores.csv", index=False)
    words = ("check", tmp_path / "run", "--baseline", tmp_path / "b", "--summary", tmp_path / "s.md")
    assert plumbline(monkeypatch, capsys, *words)[0] == 1
    text = (tmp_path / "s.md").read_text(encoding="utf-8").replace("\\", "")
    (named,) = re.findall(r"'plumbline repeat (\S+\.json)' does it again", text)
    assert read_result(Path(named)).status == "failed"


def _no_run(folder):
    return folder / "nowhere"


def _empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def _interrupted(folder):
    (folder / "half" / "results").mkdir(parents=True)
    (folder / "half" / "results" / "one.json").write_text("{}")
    lines = [{"event": "begin", "n": 9}, {"event": "stop", "reason": "KeyboardInterrupt"}]
    (folder / "half" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "half"


def _killed(folder):
    (_interrupted(folder) / "log.jsonl").write_text('{"event": "begin", "n": 9}\n{"event": "res')
    return folder / "half"


def _no_rows(folder):
    path = _empty(folder)
    make_scores(errors()).iloc[:0].to_csv(path / "scores.csv", index=False)
    return path


def _no_bytes(folder):
    path = _empty(folder)
    (path / "scores.csv").write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_no_run, "Name a run's folder"),
        (_empty, "Name a run's folder"),
        (_interrupted, "it stopped: KeyboardInterrupt); 1 results are there. The same command again goes on"),
        (_killed, "it did not come to its end"),
        (_no_rows, "must hold results. Got none. Make the run again"),
        (_no_bytes, "the file is empty. Make the run again"),
    ],
)
def test_a_run_that_is_none_says_what_to_do_and_the_summary_is_written(
    monkeypatch, capsys, folder, make, told
):
    files = folder / "s.md", folder / "j.xml"
    words = ("--baseline", folder / "run", "--summary", files[0], "--junit", files[1])
    code, _, err = plumbline(monkeypatch, capsys, "check", make(folder), *words)
    assert code == 2
    assert told in " ".join(err.split())
    text = files[0].read_text(encoding="utf-8")
    assert text.startswith("## Accuracy gate FAILED: nothing was compared")
    assert 'errors="1"' in files[1].read_text(encoding="utf-8")


@pytest.mark.parametrize("events", [("begin",), ("end", "begin", "result"), ("end", "begin", "stop")])
@pytest.mark.parametrize("name", ["", "scores.csv"])
def test_scores_of_an_earlier_run_do_not_pass_for_one_that_was_killed(folder, events, name):
    log = folder / "run" / "log.jsonl"
    log.write_text("".join(json.dumps({"event": event}) + "\n" for event in events))
    with pytest.raises(ValueError, match=r"of an earlier run: .* The same command again goes on"):
        baseline.read(folder / "run" / name)
    with log.open("a") as file:
        file.write('{"event": "begin"}\n{"event": "end"}\n')
    assert len(baseline.read(folder / "run" / name).table)


def test_a_missing_baseline_names_the_command_that_makes_it(monkeypatch, capsys, folder):
    words = ("check", folder / "run", "--baseline", folder / "none", "--summary", folder / "s.md")
    code, _, err = plumbline(monkeypatch, capsys, *words)
    assert code == 2
    assert "plumbline baseline update RUN --baseline" in " ".join(err.split())
    assert "baseline update" in (folder / "s.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ('Traceback …:\n  File "a.py", line 1, in f\n    1 / 0\n    ~~^~~\nE: no\n', "E: no"),
        ('Traceback …:\n  File "a.py", line 1, in f\nValueError: one\n  two\n', "ValueError: one two"),
        ("Its budget is 5.", "Its budget is 5."),
        ("", ""),
        ('Tr\n  File "a", line 1\n\nA: b\n\nDuring …:\n\nTr\n  File "c", line 2, in g\n    x\nC: d', "C: d"),
    ],
)  # fmt: skip
def test_an_error_is_one_line(error, line):
    assert one_line(error) == line
    assert len(one_line("x" * 5000)) == 300


# ---- compare says what differs besides


def test_compare_says_what_differs_besides_scores(monkeypatch, capsys, folder):
    case = {"scenario": "case-0", "images": "phantom", "features": "anatomy", "model": "oracle"}
    facts = {"n_patients": 16_000, "n_explained": 2000, "image_size": 28, "definition": ""}
    other = {"n_patients": 300, "n_explained": 200, "image_size": 64, "definition": "name = 'x'"}
    for name, it, torch in (("run", facts, "2.13.0"), ("flipped", other, "2.14.0")):
        document = {"settings": [{**case, **it}], "versions": {"torch": torch}}
        (folder / name / "manifest.json").write_text(json.dumps(document))
    table = pd.read_csv(folder / "flipped" / "scores.csv")
    table = table.assign(data_seed=table["data_seed"] + 1)
    table.loc[table["scenario"] == "case-0", "rmse_uniform"] = 0.2  # another truth: told, not refused
    table[table["method"] != "m2"].to_csv(folder / "flipped" / "scores.csv", index=False)
    code, out, _ = plumbline(monkeypatch, capsys, "compare", folder / "run", folder / "flipped")
    assert code == 0
    out = " ".join(out.split())
    for line in (
        "n_patients: 16,000 before, 300 now (case-0 on phantom, oracle)",
        "n_explained: 2,000 before, 200 now",
        "image_size: 28 before, 64 now",
        "definition: one before, another now",
        "data_seed: 0, 1, 2 before, 1, 2, 3 now",
        "only before: method m2",
        "torch: 2.13.0 before, 2.14.0 now",
        "gradient truth of case-0 on phantom differs",
    ):
        assert line in out, line
    same = plumbline(monkeypatch, capsys, "compare", folder / "run", folder / "run")[1]
    assert "Differs besides" not in same


@pytest.mark.parametrize("with_values", [True, False])
def test_compare_tells_before_and_now_and_gives_no_advice(monkeypatch, capsys, folder, with_values):
    for name, method in (("run", "m0"), ("flipped", "m2")):
        table = pd.read_csv(folder / name / "scores.csv")
        table[table["method"] != method].to_csv(folder / name / "scores.csv", index=False)
        if not with_values:
            (folder / name / "importances.csv").unlink()
    code, out, _ = plumbline(monkeypatch, capsys, "compare", folder / "run", folder / "flipped")
    assert code == 0
    for word in ("baseline", "What to do", "Missing", "missing"):
        assert word not in out
    assert out.count("only before: method m2") == out.count("only now: method m0") == 1
    assert ("the run before has no importances.csv" in " ".join(out.split())) is not with_values


# ---- a network that comes with its weights


def test_the_gate_explains_a_network_that_nobody_trains():
    jobs = plan(SUITES["gate"])
    names = Counter((job.stage.model, job.stage.scenario) for job in jobs)
    networks = {key for key in names if key[0] != "oracle"}
    assert networks == {("hybrid(weights=graded)", "graded")}
    weights = models.weights("hybrid(weights=graded)")
    assert weights.about["data_seed"] not in {str(job.stage.data_seed) for job in jobs}
    assert weights.path.stat().st_size < 400_000


def test_a_network_with_weights_is_equal_to_the_bit_and_is_not_trained(monkeypatch):
    monkeypatch.setattr(benchmark.bench, "fit", lambda *_, **__: pytest.fail("it was trained"))
    (stage,) = {
        job.stage for job in plan(SUITES["gate"], n_seeds=1, n_patients=400) if job.stage.model != "oracle"
    }
    bench = benchmark.bench.set_up(stage, with_diagnosis=False)
    assert bench.learnt.accuracy > 0.85
    assert bench.train is None  # what trains networks anew does not apply
    kept = pretrained.safetensors.torch.load_file(models.weights(stage.model).path)
    assert sum(value.numel() for value in bench.model.parameters()) == 94_924
    assert all(bool((value == kept[name]).all()) for name, value in bench.model.state_dict().items())


def test_weights_are_part_of_the_key(monkeypatch, tmp_path):
    from benchmark.store import model_fingerprint  # noqa: PLC0415

    before = model_fingerprint("hybrid(weights=graded)")
    assert before != model_fingerprint("hybrid")
    monkeypatch.setattr(pretrained.Weights, "digest", "another file")
    assert model_fingerprint("hybrid(weights=graded)") != before


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hybrid(weights=grade)", "Did you mean 'graded'"),
        ("late(weights=graded)", "must go to the network that they were trained as, 'hybrid'"),
        ("hybrid-s1(weights=graded)", "must go to the network"),
    ],
)
def test_weights_that_do_not_fit_are_refused(name, told):
    with pytest.raises(ValueError, match=told):
        models.get(name)


def test_weights_go_with_their_scenario():
    with pytest.raises(ValueError, match="the scenario that its weights were trained on, graded on phantom"):
        plan(SUITES["smoke"], model_names=("hybrid(weights=graded)",))
    with pytest.raises(ValueError, match="The weights 'graded' must be those of hybrid"):
        models.build("hybrid(weights=graded)", {"one": (1, 28, 28), "table": (5,)})


def test_the_committed_baseline_holds_values_of_every_score():
    found = baseline.read(Path(__file__).parents[2] / "results" / "baseline")
    keys = ["model", "method", "scenario", *SEEDS]
    assert found.raw_values is not None
    assert len(found.raw_values[keys].drop_duplicates()) == len(found.table)
    assert found.raw_values["value"].notna().all()
    assert set(found.table["model"]) == {"oracle", "hybrid(weights=graded)"}
