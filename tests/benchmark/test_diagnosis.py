from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import synthetic
from benchmark import bench, diagnosis, diagnosis_table, models, performance
from benchmark.diagnosis import DIAGNOSIS
from benchmark.models.base import FusionNetwork
from benchmark.report.diagnosis_text import diagnosis_markdown, flags_note, missing_table
from benchmark.store import Store, job_key, read_result
from benchmark.suite import Job, Stage
from synthetic.types import Samples

NONE = pd.DataFrame()
NETWORKS = [name for name in models.names() if name not in (models.ORACLE, "hybrid-s1")]


class TrueClassifier(FusionNetwork):
    """Says 1 where the sum of all columns is above 0, as sure as it is told to be."""

    def __init__(self, shapes, *, n_classes=2, scale=1.0):
        super().__init__(
            shapes, {name: math.prod(shape) for name, shape in shapes.items()}, n_classes=n_classes
        )
        self.scale = scale

    def encode_modality(self, name, value):
        return value.flatten(1)

    def classify(self, features):
        return nn.functional.pad(self.scale * features.sum(1, keepdim=True), (1, 0))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def sums():
    """Three tables, F their weighted sum: closed forms of every truth."""
    n, weights = 20_000, {"a": 1.0, "b": 0.5, "c": 0.0}
    scenario = synthetic.Scenario(
        "sums",
        "two tables add",
        (synthetic.Term(("a/*",)), synthetic.Term(("b/*",), weight=weights["b"])),
        tables=dict.fromkeys(weights, 4),
    )
    truth = synthetic.truths(scenario)
    inputs = {
        name: weight * torch.randn(n, 4, generator=torch.Generator().manual_seed(place))
        for place, (name, weight) in enumerate(weights.items())
    }
    labels = (sum(value.sum(1) for value in inputs.values()) >= 0).long()
    return TrueClassifier(dict.fromkeys(weights, (4,))).eval(), Samples(inputs, labels), truth


def test_the_true_classifier_without_some_modalities_is_the_bayes_classifier(sums, rng):
    network, test, truth = sums
    for row in diagnosis.diagnose(network, test, truth, rng)["available"]:
        for name in ("accuracy", "auroc"):
            assert row[name] == pytest.approx(row[f"best_{name}"], abs=4 * 0.5 / math.sqrt(len(test)))
        # A sum that knows nothing of what is missing is too sure of itself.
        assert row["log_loss"] >= row["best_log_loss"] - 0.01


def test_the_log_loss_of_the_right_posterior_is_the_conditional_entropy(sums, rng):
    _, test, truth = sums

    # P(Y = 1 | a) = Φ(4^½ · a̅ / σ_b): probit, as a logit.
    class Posterior(TrueClassifier):
        def classify(self, features):
            known = features[:, :4].sum(1) / (0.5 * math.sqrt(4))
            chance = torch.special.ndtr(known.double()).clamp(1e-12, 1 - 1e-12)
            return torch.stack([(1 - chance).log(), chance.log()], dim=1)

    rows = diagnosis.diagnose(Posterior(network_shapes(test)).eval(), test, truth, rng)["available"]
    found = next(row for row in rows if row["modalities"] == ["a"])
    assert found["log_loss"] == pytest.approx(found["best_log_loss"], abs=0.02)
    assert 0.2 < found["best_log_loss"] < 0.6


def network_shapes(samples):
    return {name: tuple(value.shape[1:]) for name, value in samples.inputs.items()}


def test_what_the_true_classifier_loses_by_permuting_is_the_permutation_truth(sums, rng):
    network, test, truth = sums
    rows = diagnosis.diagnose(network, test, truth, rng)["reliance"]
    assert [row["modality"] for row in rows] == ["a", "b", "c"]
    for row in rows:
        assert row["drop"] == pytest.approx(row["true_drop"], abs=4 * row["drop_se"] + 1e-12)
    assert rows[0]["true_drop"] > rows[1]["true_drop"] > rows[2]["true_drop"] == 0
    assert rows[2]["drop"] == rows[2]["drop_se"] == 0


def test_the_conditional_entropy_falls_from_the_labels_own_to_that_of_the_noise():
    scenario = synthetic.scenario("label-noise")
    entropy = synthetic.truths(scenario)["information"].subsets["conditional entropy"]
    noise = scenario.labels.noise
    assert entropy[()] == pytest.approx(1)
    assert entropy[[it.name for it in scenario.modalities]] == pytest.approx(
        -noise * math.log2(noise) - (1 - noise) * math.log2(1 - noise), abs=1e-9
    )
    rare = synthetic.truths(synthetic.scenario("imbalance"))["information"].subsets["conditional entropy"]
    assert rare[()] == pytest.approx(-0.05 * math.log2(0.05) - 0.95 * math.log2(0.95))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_set_of_modalities_is_what_the_network_says_when_told_so(name):
    shapes = {"scan": (1, 28, 28), "labs": (3,), "history": (2,)}
    torch.manual_seed(0)
    network = models.build(name, shapes).eval()
    inputs = {it: torch.rand(40, *shape) for it, shape in shapes.items()}
    test = Samples(inputs, torch.arange(40) % 2)
    rows = diagnosis.diagnose(network, test, {}, np.random.default_rng(0))["available"]
    assert [row["modalities"] for row in rows] == [
        list(names) for names in chain.from_iterable(combinations(shapes, size) for size in range(4))
    ]
    for row in rows:
        absent = {it: torch.full((40,), it in row["modalities"]) for it in shapes}
        changed = {
            it: value if it in row["modalities"] else 9 * torch.rand_like(value)
            for it, value in inputs.items()
        }
        with torch.no_grad():
            expected = performance.performance(network(changed, absent), test.labels)
        assert row["accuracy"] == pytest.approx(expected.accuracy, abs=1 / 40)  # a tie may turn by rounding
        assert row["log_loss"] == pytest.approx(expected.log_loss, rel=1e-4)
        assert row["best_accuracy"] is None


def test_performance_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)], [math.log(3), 0.0], [0.0, 0.0]])
    found = performance.performance(logits, torch.tensor([1, 0, 0, 1]))
    assert found.accuracy == 0.5  # a tie goes to class 0
    assert (
        found.auroc == 0.625
    )  # of 2 × 2 pairs two and a half are in order: 1-0 tie, 1-0 right, ½-¾ not, ½-¼
    assert found.log_loss == pytest.approx((2 * math.log2(4 / 3) + 2 + 1) / 4)


def test_samples_without_labels_or_classes_are_refused(sums, rng):
    network, test, truth = sums
    with pytest.raises(ValueError, match=r"must carry labels\. Got none"):
        diagnosis.diagnose(network, test.without_labels(), truth, rng)
    one = Samples(test.inputs, torch.zeros_like(test.labels))
    with pytest.raises(ValueError, match=r"each of the 2 classes. Got 20,000 samples of the classes \[0\]"):
        diagnosis.diagnose(network, one, truth, rng)


def test_of_many_modalities_the_smallest_and_largest_sets_are_looked_at():
    names = tuple(f"table_{place}" for place in range(diagnosis.MOST_ENUMERATED + 1))
    assert {len(found) for found in diagnosis.sets_of(names)} == {0, 1, len(names) - 1, len(names)}
    assert len(diagnosis.sets_of(names)) == 2 + 2 * len(names)
    assert len(diagnosis.sets_of(names[:-1])) == 2 ** (len(names) - 1)


@pytest.fixture(scope="module")
def stage():
    scenario = synthetic.scenario("paper-F5")
    return Stage("paper-F5", "phantom", scenario.features, 28, 400, "unimodal(modality=clinical_a)", 0, 0)


@pytest.fixture(scope="module")
def result(stage):
    job = Job(stage, DIAGNOSIS, 0, 100)
    return bench.set_up(stage).run(job, job_key(job, None), None)


def test_the_result_of_a_diagnosis_survives_the_way_to_disc(result, stage, tmp_path):
    assert (result.status, result.targets) == ("done", DIAGNOSIS)
    assert read_result(Store(tmp_path).save(result)) == result
    path = Store(tmp_path).save(replace(result, diagnosis={}))
    with pytest.raises(ValueError, match="or none"):
        read_result(path)


def test_a_network_that_cannot_be_diagnosed_costs_its_diagnosis_alone(stage, monkeypatch):
    def fail(*args):
        raise RuntimeError("no way")

    monkeypatch.setattr(bench, "diagnose", fail)
    found = bench.set_up(stage)
    result = found.run(Job(stage, DIAGNOSIS, 0, 100), "key", None)
    assert result.status == "failed"
    assert "no way" in result.error
    assert found.run(Job(stage, "truth", 0, 100), "key", None).status == "done"


def test_a_network_that_cannot_be_told_what_is_missing_is_diagnosed_as_far_as_it_goes(rng):
    class Bare:
        modalities, groups = ("a", "b"), {"a": slice(0, 1), "b": slice(1, 2)}

        def encode(self, inputs):
            return torch.cat([inputs["a"], inputs["b"]], 1)

        def classify(self, features):
            return nn.functional.pad(features[:, :1], (1, 0))

    value = torch.linspace(-1, 1, 40)[:, None]
    test = Samples({"a": value, "b": value}, (value[:, 0] > 0).long())
    found = diagnosis.diagnose(Bare(), test, {}, rng)
    assert found["available"] == []
    lost = {row["modality"]: row["drop"] for row in found["reliance"]}
    assert 0.3 < lost["a"] < 0.7
    assert lost["b"] == 0


def test_no_method_finds_the_diagnosis(stage):
    from methods.registry import as_method  # noqa: PLC0415

    def looks(model, samples, rng):
        import gc  # noqa: PLC0415

        for thing in gc.get_objects():
            if isinstance(thing, bench.Bench):
                return dict.fromkeys(model.modalities, 1.0 if thing.diagnosis else 2.0)
        return dict.fromkeys(model.modalities, 3.0)

    found = bench.set_up(stage)
    said = found.run(
        Job(stage, "looks", 0, 100), "key", as_method(looks, estimand="gradient"), bench.Limits(apart=True)
    )
    assert set(said.importances.values()) <= {2.0, 3.0}
    assert found.diagnosis


def made(
    result, model, scenario="s", *, seed=0, regrets=(0.0, 0.1, 0.3, 0.5), drops=(0.2, 0.1), true=(0.2, 0.1)
):
    """Return a result of two modalities with given regrets (all, a alone, b alone, none) and drops."""
    sets = (["a", "b"], ["a"], ["b"], [])
    rows = [
        {
            "modalities": names,
            "accuracy": 0.9 - regret,
            "best_accuracy": 0.9,
            "auroc": 0.9 - regret,
            "best_auroc": None,
            "log_loss": 0.4 + regret,
            "best_log_loss": 0.4,
        }
        for names, regret in zip(sets, regrets, strict=True)
    ]
    reliance = [
        {"modality": name, "drop": drop, "drop_se": 0.005, "true_drop": it}
        for name, drop, it in zip(("a", "b"), drops, true, strict=True)
    ]
    job = {**result.job, "model": model, "scenario": scenario, "data_seed": seed, "train_seed": seed}
    only = model.partition("=")[2].rstrip(")") if model.startswith("unimodal") else ""
    found = {"n_test": 60, "only": only, "available": rows, "reliance": reliance}
    return replace(result, job=job, diagnosis=found)


def test_regrets_by_hand(result):
    frame = diagnosis_table.missing([made(result, "late"), made(result, "late", seed=1, regrets=(0.2,) * 4)])
    assert list(frame["available"][:4]) == ["a + b", "a", "b", ""]
    assert list(frame["regret_accuracy"][:4]) == pytest.approx([0, 0.1, 0.3, 0.5])
    assert list(frame["regret_log_loss"][:4]) == pytest.approx([0, 0.1, 0.3, 0.5])
    assert frame["regret_auroc"].isna().all()
    board = diagnosis_table.missing_board(frame).iloc[0]
    assert board["accuracy_all"] == pytest.approx(0.1)
    assert board["accuracy_one"] == board["accuracy_all_but_one"] == pytest.approx(0.2)
    # At a rate of ¼: 9/16 · 0 + 3/16 · (0.1 + 0.3) + 1/16 · 0.5 of the first seed, 0.2 of the second.
    assert board["accuracy_missing_25"] == pytest.approx((0.10625 + 0.2) / 2)
    assert board["accuracy_missing_50"] == pytest.approx((0.225 + 0.2) / 2)
    assert board["n_networks"] == 2


def test_scenarios_weigh_the_same_whatever_their_number_of_seeds(result):
    frame = diagnosis_table.missing(
        [
            made(result, "late", "one", regrets=(0.0,) * 4),
            *(made(result, "late", "two", seed=seed, regrets=(0.3,) * 4) for seed in range(3)),
        ]
    )
    assert diagnosis_table.missing_board(frame).loc[0, "accuracy_all"] == pytest.approx(0.15)


def test_networks_of_one_modality_count_with_their_own_alone(result):
    frame = diagnosis_table.missing(
        [
            made(result, "unimodal(modality=a)", regrets=(0.9, 0.1, 0.9, 0.9)),
            made(result, "unimodal(modality=b)", regrets=(0.9, 0.9, 0.2, 0.9)),
            made(result, "late"),
        ]
    )
    board = diagnosis_table.missing_board(frame).set_index("model")
    assert list(board.index) == ["unimodal", "late"]
    assert board.loc["unimodal", "accuracy_one"] == pytest.approx(0.15)
    assert np.isnan(board.loc["unimodal", ["accuracy_all", "accuracy_missing_50"]].astype(float)).all()


def test_networks_of_one_modality_are_one_model_where_every_modality_has_one(result):
    names = ("unimodal(modality=a)", "unimodal(modality=b)", "late")
    frame = diagnosis_table.missing(
        [
            *(made(result, name) for name in names),
            *(made(result, name, "other", seed=seed) for name in names[1:] for seed in range(2)),
            made(result, "unimodal(modality=b)"),
            made(result, "unimodal(modality=a)", "other", seed=2),
        ]
    )
    # One of them twice: as it is written by default, and with its modality.
    frame.loc[frame.index[-8:-4], "model"] = "unimodal"
    other = made(result, "unimodal(modality=a)")
    mine = diagnosis_table.missing([other]).assign(model="mine:Tiny(modality=a)")
    rows = diagnosis_table.compared(pd.concat([frame, mine]))
    alone = rows[rows["only"] != ""]
    assert alone[["scenario", "model", "available", "data_seed"]].to_numpy().tolist() == [
        ["s", "unimodal", "a", 0],
        ["s", "unimodal", "b", 0],
        ["other", "unimodal(modality=b)", "b", 0],
        ["other", "unimodal(modality=b)", "b", 1],
        ["other", "unimodal(modality=a)", "a", 2],
        ["s", "mine:Tiny(modality=a)", "a", 0],
    ]
    assert len(rows[rows["model"] == "late"]) == 3 * 4
    board = diagnosis_table.missing_board(frame).set_index("model")
    assert np.isnan(board.loc["unimodal(modality=b)", "accuracy_one"])
    assert board.loc["unimodal", "accuracy_one"] == pytest.approx((0.1 + 0.3) / 2)


def test_balance_and_flags_by_hand(result):
    frame = diagnosis_table.balance(
        [
            made(result, "late", drops=(0.01, 0.3), true=(0.3, 0.1)),
            made(result, "hybrid", drops=(0.15, -0.01), true=(0.3, 0.1)),
            made(result, "early", drops=(0.15, 0.5), true=(None, None)),
        ]
    )
    assert list(frame["flag"]) == ["ignored", "leaned on", "", "ignored", "", ""]
    assert list(frame["share_network"][:4]) == pytest.approx([1 / 31, 30 / 31, 1, 0])
    assert list(frame["share_data"][:4]) == pytest.approx([0.75, 0.25, 0.75, 0.25])
    assert list(frame["alone"][:2]) == pytest.approx([0.8, 0.6])
    networks = diagnosis_table.networks(frame)
    assert list(networks["ignored"]) == ["a", "b", ""]
    assert networks.loc[0, "even_data"] == pytest.approx(0.8112781)  # the entropy of ¾ and ¼ in bits
    assert networks.loc[1, "even_network"] == 0
    assert np.isnan(networks.loc[2, "even_data"])
    note = flags_note(frame)
    assert "ignore a modality: late on s (a), hybrid on s (b)." in note
    assert "lean too much on a modality: late on s (b)." in note
    assert flags_note(frame[frame["model"] == "early"]) == flags_note(NONE) == ""


def test_a_small_loss_is_no_collapse_where_noise_could_be_behind_it():
    assert diagnosis_table.flag(0.01, 0.03, 0.2) == ""
    assert diagnosis_table.flag(0.0, 0.001, 0.01) == ""  # worth too little to speak of
    assert diagnosis_table.flag(0.1, 0.03, 0.0) == ""


def importances(balance, method, shares):
    """Return what a method says of modalities a and b of one network, as the table of importances has it."""
    names = [*diagnosis_table.NETWORK, "modality"]
    return balance[names].assign(method=method, targets="gradient", status="done", estimate=shares)


def test_what_is_unknown_is_never_taken_for_the_best(result):
    found = made(result, "late")
    for row in found.diagnosis["available"]:
        row["best_accuracy"] = row["best_log_loss"] = None  # no truth
    frame = diagnosis_table.missing([found, made(result, "late", "other")])
    board = diagnosis_table.missing_board(frame).iloc[0]
    assert board["n_scenarios"] == 2
    assert board.filter(regex="accuracy|log_loss").astype(float).isna().all()
    text = "\n".join(diagnosis_markdown(diagnosis_table.missing([found]), NONE, NONE, in_full=True))
    assert "| a + b | – | 0.900 (–) |" in text


def test_networks_of_one_modality_make_a_board_of_their_own(result):
    frame = diagnosis_table.missing([made(result, "unimodal(modality=a)")])
    board = diagnosis_table.missing_board(frame)
    assert list(board["model"]) == ["unimodal(modality=a)"]
    # The other modality has none: a mean over the first alone would say something else than for other models.
    assert np.isnan(board.loc[0, "accuracy_one"])
    assert missing_table(frame).row_count == 1


def test_a_network_without_an_answer_for_one_set_keeps_the_rest(sums, rng):
    class Mean(TrueClassifier):
        def classify(self, features):
            n = self.seen(features).sum(1, keepdim=True)
            return nn.functional.pad(features.sum(1, keepdim=True) / n, (1, 0))

    _, test, truth = sums
    found = diagnosis.diagnose(Mean(network_shapes(test)).eval(), test, truth, rng)
    unknown = [row["modalities"] for row in found["available"] if row["accuracy"] is None]
    assert unknown == [[], ["c"]]  # c is all zeros
    assert len(found["reliance"]) == 3


def test_a_network_whose_columns_depend_on_each_other_is_told_what_is_missing(rng):
    class Blend(TrueClassifier):
        def encode(self, inputs, present=None):
            values = self.blanked(inputs, present)
            return torch.cat([values["a"] + values["b"], values["b"]], 1)

    value = torch.linspace(-1, 1, 60)[:, None]
    test = Samples({"a": value, "b": value.flip(0)}, (value[:, 0] > 0).long())
    rows = diagnosis.diagnose(Blend({"a": (1,), "b": (1,)}).eval(), test, {}, rng)["available"]
    alone = {row["modalities"][0]: row["accuracy"] for row in rows if len(row["modalities"]) == 1}
    assert alone == {"a": 1.0, "b": 0.0}


def test_who_notices_what_networks_make_of_modalities(result):
    frame = diagnosis_table.balance(
        [made(result, "late", drops=(0.01, 0.3), true=(0.3, 0.1)), made(result, "unimodal(modality=b)")]
    )
    late = frame[frame["model"] == "late"]
    said = pd.concat(
        [
            importances(late, "half", (0.2, 0.2)),
            importances(late, "honest", (0.0, 1.0)),
            importances(late, "honest", (9.0, 9.0)),  # against another truth: the same result
            importances(late, "random", (0.0, 1.0)).assign(targets="control"),
            importances(late, "broken", (0.0, 1.0)).assign(status="failed"),
        ]
    )
    found = diagnosis_table.noticed(said, frame)
    assert list(zip(found["method"], found["flag"], found["noticed"], strict=True)) == [
        ("honest", "ignored", 1),
        ("half", "ignored", 1),
        ("honest", "leaned on", 1),
        ("half", "leaned on", 0),
    ]
    assert diagnosis_table.noticed(said, frame[frame["flag"] == ""]).empty
    assert diagnosis_table.noticed(NONE, NONE).empty
    silent = diagnosis_table.balance([made(result, "late", drops=(0.0, -0.01), true=(0.3, 0.1))])
    assert list(silent["flag"]) == ["ignored", "ignored"]
    assert diagnosis_table.noticed(said, silent).empty  # of nothing there are no shares


def test_the_account_of_diagnoses_holds_every_number_and_shows_names_as_they_are(result):
    found = [made(result, "late", "a|b"), made(result, "mine:<b>", "a|b", regrets=(0.0, 0.2, 0.2, 0.2))]
    missing, balance = diagnosis_table.missing(found), diagnosis_table.balance(found)
    short = "\n".join(diagnosis_markdown(missing, balance, NONE, in_full=False))
    assert "| late | 1 | 0.000 | 0.200 |" in short
    assert "mine:&lt;b&gt;" in short
    assert "available |" not in short
    full = "\n".join(diagnosis_markdown(missing, balance, NONE, in_full=True))
    assert r"### a\|b" in full
    assert "| a + b | 0.900 | 0.900 (0.00) | 0.900 (0.00) |" in full
    assert "| none | 0.900 | 0.400 (0.50) | 0.700 (0.20) |" in full
    assert missing_table(missing).row_count == 2
    collapsed = diagnosis_table.balance([made(result, "late", "x", drops=(0.0, 0.3), true=(0.3, 0.3))])
    told = diagnosis_table.noticed(
        pd.concat(
            [importances(collapsed, "honest", (0.1, 0.9)), importances(collapsed, "blind", (0.4, 0.6))]
        ),
        collapsed,
    )
    text = "\n".join(diagnosis_markdown(NONE, collapsed, told, in_full=False))
    assert "| x | late | 1.00 | 0.00 | ignored: a |" in text
    assert "| x | late | a | 0.000 ± 0.005 | 0.300 | 0.800 | 0.900 | ignored |" in text
    assert "| honest | ignored | 100% of 1 | 0.100 | 0.000 | 0.500 |" in text
    assert "| blind | ignored | 0% of 1 | 0.400 | 0.000 | 0.500 |" in text
    assert diagnosis_markdown(NONE, NONE, NONE, in_full=True) == []
