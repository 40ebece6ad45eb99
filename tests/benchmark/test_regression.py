"""A run against a baseline: what fails, what passes, what is refused, and what is told of it."""

import importlib.util
import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark import __main__ as command
from benchmark import baseline, regression
from benchmark.regression import Rules, noise
from benchmark.report import verdict
from benchmark.terminal import terminal

ROOT = Path(__file__).parents[2]
NASTY = 'a"<b>&|*_x_*`[l](u)\x1b[31m\n\uffff]]>'


def make_table(rmse, rbo=None, *, methods=None, first_seed=0, model="oracle"):
    """Return a table of scores from values [methods, scenarios, seeds]."""
    rmse = np.asarray(rmse, dtype=float)
    rbo = np.ones_like(rmse) if rbo is None else np.asarray(rbo, dtype=float)
    names = methods or [f"m{i}" for i in range(len(rmse))]
    seeds = ("data_seed", "train_seed", "method_seed")
    return pd.DataFrame(
        [
            {
                "scenario": f"case-{s}",
                "images": "phantom",
                "features": "anatomy",
                "model": model,
                "method": names[m],
                "method_version": "1",
                "targets": "gradient",
                "estimand": "gradient",
                **dict.fromkeys(seeds, first_seed + k),
                "status": "done",
                "rmse": rmse[m, s, k],
                "rmse_uniform": 0.4,
                "rbo": rbo[m, s, k],
                "rbo_chance": 0.75,
                "learnt": 1.0,
                "informative": 1.0,
                "n_modalities": 4,
            }
            for m, s, k in np.ndindex(rmse.shape)
        ]
    )


def values(shape=(3, 8, 3), seed=0):
    rng = np.random.default_rng(seed)
    level = np.random.default_rng(99).uniform(0.05, 0.3, shape[:2])[..., None]
    return level * np.exp(0.05 * rng.standard_normal(shape))


def where(table, **facts):
    chosen = np.ones(len(table), dtype=bool)
    for name, value in facts.items():
        chosen &= (table[name] == value).to_numpy()
    return table.index[chosen]


def put(table, place, **changes):
    table = table.copy()
    for name, value in changes.items():
        table.loc[place, name] = value
    return table


def verdicts(found):
    return {(it.method, it.metric): it.verdict for it in found.findings}


# ---- verdicts


def test_equal_numbers_pass_without_noise():
    table = make_table(values())
    found = regression.compare(table, table)
    assert found.passed
    assert set(verdicts(found).values()) == {"unchanged"}
    assert all(it.paired and it.drop == it.low == it.high == 0 for it in found.findings)


def test_rounding_of_another_machine_passes():
    table = make_table(values())
    shaken = table.assign(rmse=table["rmse"] * (1 + 1e-6), rbo=table["rbo"] * (1 - 1e-6))
    assert set(verdicts(regression.compare(shaken, table)).values()) == {"unchanged"}


@pytest.mark.parametrize("first_seed", [0, 3])
def test_a_fall_is_found_and_named(first_seed):
    before = values()
    now = values(seed=1) if first_seed else before.copy()
    now[1] += 0.05
    found = regression.compare(make_table(now, first_seed=first_seed), make_table(before))
    assert not found.passed
    assert {key for key, it in verdicts(found).items() if it == "fell"} == {("m1", "rmse")}
    fallen = found.of("fell")[0]
    assert fallen.drop == pytest.approx(np.sqrt((now[1] ** 2).mean()) - np.sqrt((before[1] ** 2).mean()))
    assert fallen.low < fallen.drop < fallen.high
    assert fallen.paired == (first_seed == 0)


def test_a_fall_of_the_order_is_found():
    table = make_table(values(), 1 - 0.01 * np.random.default_rng(0).random((3, 8, 3)))
    worse = put(table, where(table, method="m2", scenario="case-4"), rbo=0.1)
    found = regression.compare(worse, table)
    assert [(it.method, it.metric) for it in found.of("fell")] == [("m2", "rbo")]
    assert found.of("fell")[0].case == "case-4 on phantom"
    assert found.of("fell")[0].case_drop == pytest.approx(0.9, abs=0.02)


def test_a_gain_is_told_and_passes():
    table = make_table(values())
    found = regression.compare(put(table, where(table, method="m0"), rmse=0.001), table)
    assert found.passed
    assert verdicts(found)["m0", "rmse"] == "improved"


def test_a_small_change_passes_unless_the_margin_says_no():
    before = values()
    now = before.copy()
    now[1] += 0.004
    run, there = make_table(now), make_table(before)
    found = regression.compare(run, there)
    assert found.passed
    assert verdicts(found)["m1", "rmse"] == "worse, within the margin"
    assert not regression.compare(run, there, Rules(strict=True)).passed
    assert verdicts(regression.compare(run, there, Rules(rmse_margin=0.001)))["m1", "rmse"] == "fell"


def test_what_noise_hides_is_unclear_and_passes():
    rng = np.random.default_rng(0)
    wild = [0.2 * np.exp(0.8 * rng.standard_normal((3, 8, 3))) for _ in range(2)]
    found = regression.compare(make_table(wild[0], first_seed=3), make_table(wild[1]))
    assert found.passed
    assert set(verdicts(found).values()) >= {"unclear"}


def test_the_test_is_students_for_one_scenario_and_unshared_seeds(monkeypatch):
    monkeypatch.setattr(noise, "UNSEEN", 0.0)
    here, there = [0.7, 0.8, 0.75], [0.9, 0.85, 0.95, 0.8]
    run = make_table(np.full((1, 1, 3), 0.1), np.array(here)[None, None], first_seed=10)
    before = make_table(np.full((1, 1, 4), 0.1), np.array(there)[None, None])
    it = next(it for it in regression.compare(run, before).findings if it.metric == "rbo")
    expected = stats.ttest_ind(there, here, alternative="greater")
    assert it.p == pytest.approx(2 * expected.pvalue)  # Holm: the smaller of two
    # Corrected bounds: 97.5 % one-sided each, over two tests.
    low, high = stats.ttest_ind(there, here).confidence_interval(0.95)
    assert (it.low, it.high) == pytest.approx((low, high))


def test_shared_seeds_are_paired(monkeypatch):
    monkeypatch.setattr(noise, "UNSEEN", 0.0)
    here, there = np.array([0.7, 0.8, 0.75]), np.array([0.8, 0.88, 0.88])
    run, before = (make_table(np.full((1, 1, 3), 0.1), part[None, None]) for part in (here, there))
    it = next(it for it in regression.compare(run, before).findings if it.metric == "rbo")
    assert it.paired
    assert it.seed == "2"
    assert it.p == pytest.approx(2 * stats.ttest_rel(there, here, alternative="greater").pvalue)


def test_a_single_seed_borrows_the_noise_of_a_baseline_of_several():
    before = values((3, 8, 5))
    now = before[:, :, :1].copy()
    now[0] += 0.06
    found = regression.compare(make_table(now), make_table(before))
    assert {it.method for it in found.of("fell")} == {"m0"}
    same = regression.compare(make_table(before[:, :, :1]), make_table(before))
    assert all(it.drop == it.high == 0 for it in same.findings)


def test_a_single_seed_that_is_the_same_needs_no_noise():
    before = values((2, 8, 1))
    now = before.copy()
    now[1] += 0.05
    found = regression.compare(make_table(now), make_table(before))
    assert {it.method for it in found.of("fell")} == {"m1"}
    assert regression.compare(make_table(before), make_table(before)).passed


def test_single_seeds_that_differ_are_refused_unless_told():
    run, before = make_table(values((2, 8, 1)), first_seed=1), make_table(values((2, 8, 1)))
    with pytest.raises(ValueError, match="Noise over seeds must be known"):
        regression.compare(run, before)
    found = regression.compare(run, before, noise_must_be_known=False)
    assert set(verdicts(found).values()) == {"unclear"}
    json.dumps(verdict.as_document(found), allow_nan=False)


def test_changes_that_do_not_hurt_are_named():
    table = make_table(values())
    run = pd.concat([table, table[table["method"] == "m0"].assign(method="own")])
    run = put(run.reset_index(drop=True), where(run.reset_index(), method="m1"), method_version="2")
    found = regression.compare(run, table)
    assert found.passed
    assert found.new == ("own",)
    assert found.versions == (("m1", "1", "2"),)


# ---- what is missing, what cannot be compared


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda t: t.drop(index=where(t, method="m1")), "m1 on oracle: no result"),
        (
            lambda t: t.drop(index=where(t, method="m1", scenario="case-2", data_seed=1)),
            "m1 on oracle, case-2 on phantom, seed 1: no result",
        ),
        (
            lambda t: put(
                t, where(t, method="m1", scenario="case-2", data_seed=1), status="timeout", rmse=np.nan
            ),
            "m1 on oracle, case-2 on phantom, seed 1: timeout",
        ),
        (
            lambda t: put(t, where(t, method="m1", scenario="case-2", data_seed=1), learnt=0.3),
            "m1 on oracle, case-2 on phantom, seed 1: the network learnt 30%, less than 80%",
        ),
        (
            lambda t: put(t, where(t, method="m1"), targets="shapley", estimand="shapley"),
            "m1 on oracle: targets shapley, but gradient before",
        ),
    ],
)
def test_what_is_missing_fails(spoil, line):
    table = make_table(values())
    found = regression.compare(spoil(table), table)
    assert not found.passed
    assert found.missing == (line,)
    assert not found.of("fell")


def test_other_scenarios_are_refused():
    table = make_table(values())
    fewer = table[table["scenario"] != "case-3"]
    with pytest.raises(ValueError, match="the run lacks case-3 on phantom: run the suite"):
        regression.compare(fewer, table)
    with pytest.raises(ValueError, match="the run has besides case-3 on phantom"):
        regression.compare(table, fewer)
    with pytest.raises(ValueError, match="Got none of 'oracle'"):
        regression.compare(table.assign(model="hybrid"), table)
    with pytest.raises(ValueError, match="same scenarios"):
        regression.compare(table.assign(images="organamnist"), table)


@pytest.mark.parametrize("column", ["rmse_uniform", "rbo_chance", "n_modalities"])
def test_another_truth_is_refused(column):
    table = make_table(values())
    place = where(table, scenario="case-5")
    with pytest.raises(ValueError, match="gradient truth of case-5 on phantom differs"):
        regression.compare(put(table, place, **{column: table[column].iloc[0] * 1.25}), table)


def test_rules_are_checked():
    with pytest.raises(ValueError, match=r"'rmse_margin' must be in \[0, 1\)"):
        Rules(rmse_margin=-0.1)
    with pytest.raises(ValueError, match="'relative_margin' must not be negative"):
        Rules(relative_margin=float("nan"))
    with pytest.raises(ValueError, match=r"'confidence' must be in \[0.5, 1\)"):
        Rules(confidence=95)


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.text(min_size=1), min_size=3, max_size=3, unique=True))
def test_neither_the_order_of_rows_nor_names_matter(random, names):
    before = values()
    now = before.copy()
    now[1] += 0.05
    rename = dict(zip(("m0", "m1", "m2"), names, strict=True))
    tables = []
    for part in (now, before):
        table = make_table(part)
        order = list(range(len(table)))
        random.shuffle(order)
        tables.append(table.iloc[order].assign(method=lambda frame: frame["method"].map(rename)))
    plain = regression.compare(make_table(now), make_table(before))
    found = regression.compare(*tables)
    expected = {(rename[it.method], it.metric): it for it in plain.findings}
    for it in found.findings:
        other = expected[it.method, it.metric]
        assert it.verdict == other.verdict
        assert (it.drop, it.low, it.high) == pytest.approx((other.drop, other.low, other.high), abs=1e-12)


def test_moves_come_largest_first():
    table = make_table(values())
    place = where(table, method="m2", scenario="case-6", data_seed=1)
    (first,) = regression.moves(put(table, place, rbo=0.2), table).itertuples(index=False)
    assert (first.method, first.case, first.seed) == ("m2", "case-6 on phantom", "1")
    assert (first.rbo_before, first.rbo_now) == (1.0, 0.2)
    assert not len(regression.moves(table, table))
    others = table.assign(data_seed=table["data_seed"] + 5, rmse=1.1 * table["rmse"])
    unshared = regression.moves(others, table)
    assert set(unshared["seed"]) == {"all"}
    assert len(unshared) == 24


# ---- what is told


def nasty():
    table = make_table(values(), methods=[NASTY, "m1", "m2"])
    worse = put(table, where(table, method=NASTY), rmse=0.6, method_version=NASTY)
    return worse.drop(index=where(table, method="m1")), table


def test_junit_holds_any_name():
    found = regression.compare(*nasty())
    root = ET.fromstring(verdict.junit_report(found))  # noqa: S314 - our own
    assert root.attrib == {"tests": "5", "failures": "2"}
    names = [case.attrib["name"] for case in root.iter("testcase")]
    assert any("<b>&|*_x_*" in name and "\\x1b[31m" in name for name in names)
    failed = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert len(failed) == 2
    assert "went from" in failed[0].find("failure").attrib["message"]


def test_markdown_and_terminal_show_any_name_as_it_stands(capsys):
    found = regression.compare(*nasty())
    text = verdict.markdown_report(found)
    assert text.startswith("## Accuracy gate FAILED: 1 fell, 3 unchanged, 1 missing")
    assert "\x1b" not in text
    assert "<b>" not in text
    row = next(line for line in text.splitlines() if line.startswith("| fell"))
    assert row.replace("\\|", "").count("|") == 11
    terminal().print(verdict.terminal_report(found))
    shown = capsys.readouterr().out
    assert "\x1b[31m" not in shown
    assert "<b>" in shown


def test_long_lists_are_cut():
    table = make_table(values((30, 8, 1)))
    run = table.drop(index=where(table, data_seed=0, scenario="case-1")[1:])
    assert "and 9 more" in verdict.markdown_report(regression.compare(run, table))


# ---- the commands


def plumbline(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["plumbline", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def folder(tmp_path):
    table = make_table(values())
    for name, frame in {
        "run": table,
        "worse": put(table, where(table, method="m1"), rmse=0.5),
        "holed": table.drop(index=where(table, method="m1")),
        "other": table[table["scenario"] != "case-0"],
    }.items():
        (tmp_path / name).mkdir()
        frame.to_csv(tmp_path / name / "scores.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    ("run", "code", "told"),
    [("run", 0, "passed"), ("worse", 1, "FAILED: 1 fell"), ("holed", 1, "1 missing")],
)
def test_check_exits_with_the_verdict(monkeypatch, capsys, folder, run, code, told):
    files = folder / "junit.xml", folder / "summary.md"
    words = ("--baseline", folder / "run", "--junit", files[0], "--summary", files[1])
    found, out, _ = plumbline(monkeypatch, capsys, "check", folder / run, *words)
    assert found == code
    assert told in out
    assert ET.parse(files[0]).getroot().tag == "testsuites"  # noqa: S314 - our own
    assert told in files[1].read_text(encoding="utf-8")
    found, out, _ = plumbline(
        monkeypatch, capsys, "check", folder / run / "scores.csv", "--baseline", folder / "run", "--json"
    )
    assert found == code
    assert json.loads(out)["passed"] is (code == 0)


@pytest.mark.parametrize(
    ("run", "more", "told"),
    [
        ("other", (), "must have the same scenarios"),
        ("nowhere", (), "There are no scores at"),
        ("run", ("--rmse-margin", "2"), "must be in [0, 1)"),
        ("run", ("--junit", "/nowhere/junit.xml"), "/nowhere"),
    ],
)
def test_check_refuses_wrong_input(monkeypatch, capsys, folder, run, more, told):
    words = ("--baseline", folder / "run", *more)
    code, _, err = plumbline(monkeypatch, capsys, "check", folder / run, *words)
    assert code == 2
    assert told in err
    assert "Traceback" not in err


def test_check_needs_a_baseline(monkeypatch, capsys, folder):
    code, _, err = plumbline(monkeypatch, capsys, "check", folder / "run")
    assert code == 2
    assert "--baseline" in err


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda text: text.replace("rbo_chance", "chance"), "It lacks rbo_chance"),
        (lambda text: "", "cannot be read"),
        (lambda text: text.replace("0.4,", "high,"), "must hold numbers"),
    ],
)
def test_a_damaged_table_is_named(monkeypatch, capsys, folder, spoil, told):
    path = folder / "run" / "scores.csv"
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    code, _, err = plumbline(monkeypatch, capsys, "check", path, "--baseline", folder / "worse")
    assert code == 2
    assert told in err


def test_other_settings_are_refused(monkeypatch, capsys, folder):
    facts = {"scenario": "case-0", "images": "phantom", "features": "anatomy", "model": "oracle"}
    for run, n in (("run", 500), ("worse", 2000)):
        manifest = {"settings": [{**facts, "n_patients": n, "n_explained": 100}]}
        (folder / run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    words = ("check", folder / "worse", "--baseline", folder / "run")
    code, _, err = plumbline(monkeypatch, capsys, *words)
    assert code == 2
    assert "its n_patients differs, 500 in the baseline, 2000 in the run" in err
    (folder / "run" / "manifest.json").write_text("{", encoding="utf-8")
    assert "cannot be read" in plumbline(monkeypatch, capsys, *words)[2]


def test_a_baseline_is_written_the_same_each_time_and_passes(monkeypatch, capsys, folder):
    target = folder / "baseline"
    words = ("baseline", "update", folder / "run", "--baseline", target, "--reason", "first numbers")
    assert plumbline(monkeypatch, capsys, *words)[0] == 0
    files = {path.name: path.read_bytes() for path in target.iterdir()}
    assert set(files) == {"scores.csv", "manifest.json"}
    code, out, _ = plumbline(monkeypatch, capsys, *words)
    assert code == 0
    assert "Against the baseline so far: Accuracy gate passed: 6 unchanged" in out
    assert {path.name: path.read_bytes() for path in target.iterdir()} == files
    assert json.loads(files["manifest.json"])["reason"] == "first numbers"
    assert plumbline(monkeypatch, capsys, "check", folder / "run", "--baseline", target)[0] == 0
    assert plumbline(monkeypatch, capsys, "check", folder / "worse", "--baseline", target)[0] == 1


def test_a_baseline_needs_a_reason_and_a_complete_run(monkeypatch, capsys, folder):
    words = ("baseline", "update", folder / "run", "--baseline", folder / "b", "--reason")
    assert "reason" in plumbline(monkeypatch, capsys, *words, " ")[2]
    table = make_table(values())
    broken = put(table, where(table, method="m1", scenario="case-0"), status="failed", rmse=np.nan)
    broken.to_csv(folder / "run" / "scores.csv", index=False)
    code, _, err = plumbline(monkeypatch, capsys, *words, "why")
    assert code == 2
    assert "3 results failed, the first m1 on case-0" in err
    assert not (folder / "b").exists()


def test_names_that_look_like_nothing_are_names(folder):
    table = make_table(values(), methods=["NA", "null", "1"])
    table.to_csv(folder / "run" / "scores.csv", index=False)
    found = baseline.read(folder / "run").table
    assert set(found["method"]) == {"NA", "null", "1"}
    assert set(found["method_version"]) == {"1"}


def test_compare_tells_what_changed(monkeypatch, capsys, folder):
    words = ("compare", folder / "run", folder / "worse")
    code, out, _ = plumbline(monkeypatch, capsys, *words)
    assert code == 0
    assert "1 fell, 5 unchanged" in out
    assert "What moved most" in out
    document = json.loads(plumbline(monkeypatch, capsys, *words, "--json", "--most", "2")[1])
    assert len(document["moves"]) == 2
    assert document["moves"][0]["method"] == "m1"
    assert document["findings"][0]["verdict"] == "fell"
    _, out, _ = plumbline(monkeypatch, capsys, "compare", folder / "run", folder / "run")
    assert "No score of any scenario and seed moved." in out
    # Scenarios that only one of them has are left out.
    assert plumbline(monkeypatch, capsys, "compare", folder / "other", folder / "run")[0] == 0
    code, _, err = plumbline(monkeypatch, capsys, *words, "--most", "-1")
    assert code == 2
    assert "--most" in err


def test_the_committed_baseline_is_one():
    found = baseline.read(ROOT / "results" / "baseline")
    assert found.manifest["reason"]
    assert regression.compare(found.table, found.table).passed
    assert found.table["rmse"].notna().all()


# ---- the project's own methods, spoilt


@pytest.mark.slow
def test_mutations_that_hurt_are_caught_and_others_pass():
    spec = importlib.util.spec_from_file_location("gate", ROOT / "results" / "reference" / "gate.py")
    gate = importlib.util.module_from_spec(spec)
    sys.modules["gate"] = gate
    try:
        spec.loader.exec_module(gate)
        rows = gate.mutations(n_patients=800)
    finally:
        del sys.modules["gate"]
    assert len(rows) >= 10
    assert sum(row["harmful"] for row in rows) >= 10
    for row in rows:
        assert row["fell"] == row["harmful"], row
        assert not row["others_fell"], row
