"""Networks that a method has trained: on what, whence they are recalled, and what they are counted as."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import methods
import synthetic
from benchmark import bench, metering, models, run, suite
from benchmark.bench import NO_LIMITS, Limits, set_up
from benchmark.estimate import Timings, estimate
from benchmark.executors import InProcessExecutor
from benchmark.models import registry
from benchmark.models.plan import TrainingPlan
from benchmark.recall import network_key
from benchmark.retraining import Retraining
from benchmark.store import Store
from benchmark.training import input_shapes
from methods.api import Method
from synthetic.cache import load as load_cached

NAMES = ("single_modality", "leave_one_out")
QUICK = TrainingPlan(1e-2, "one_cycle", weight_decay=1e-2, max_epochs=1, min_steps=1)
N, N_EXPLAINED = 400, 40
ALL = ("axial", "coronal", "clinical_a", "clinical_b")


def train_by(plan, monkeypatch):
    quick = replace(models.get("hybrid"), plan=plan)
    monkeypatch.setitem(registry._registered(), "hybrid", quick)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path / "cache"))
    train_by(QUICK, monkeypatch)


def plan(names=NAMES, model="hybrid", own=(), scenario="paper-F4"):
    return suite.plan(
        suite.get("catalogue"),
        own_scenarios=[synthetic.scenario(scenario)],
        model_names=(model,),
        method_names=names,
        own_names=tuple(method.name for method in own),
        n_patients=N,
        n_explained=N_EXPLAINED,
    )


def execute(jobs, folder, own=(), limits=NO_LIMITS):
    with InProcessExecutor() as executor:
        results = run.run(jobs, Store(folder), executor, own_methods=own, limits=limits)
    return {result.job["method"]: result for result in results}


@pytest.fixture
def fits(monkeypatch):
    """Note what is trained on, and train nothing."""
    found = []

    def fit(name, train, seed, **_):
        found.append((name, train, seed))
        network = models.build(name, input_shapes(train)).eval()
        return network.requires_grad_(requires_grad=False)

    monkeypatch.setattr(bench, "fit", fit)
    return found


def test_what_is_trained_on_is_the_training_split_of_some_modalities(tmp_path, fits):
    jobs = plan()
    results = execute(jobs, tmp_path / "run")
    assert {results[name].status for name in NAMES} == {"done"}
    # The stage's own network is that of all modalities, and is not trained twice.
    alone = [(name,) for name in ALL]
    without = [tuple(other for other in ALL if other != name) for name in ALL]
    assert [train.modalities for _, train, _ in fits] == [ALL, *alone, *without]
    split = synthetic.generate(synthetic.scenario("paper-F4"), seed=0, n=N).train
    for model, train, seed in fits:
        assert (model, seed) == ("hybrid", jobs[0].stage.train_seed)
        assert torch.equal(train.labels, split.labels)
        for name, value in train.inputs.items():
            assert torch.equal(value, split.inputs[name])


def test_trained_anew_on_all_modalities_the_network_is_the_same():
    """So a method that compares two of one recipe may be given the stage's own as that of all."""
    stage = plan()[0].stage
    own = set_up(stage)
    anew, _, recalled = bench._trained(stage, own.train, own.model.modalities)
    assert not recalled
    for one, other in zip(own.model.state_dict().values(), anew.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def slow_to_train(key, *, folder):
    """Recall a network, and say that its training took a thousand seconds."""
    found = load_cached(key, folder=folder)
    return found and (found[0], found[1] | {"seconds": "1000"})


def test_with_a_cache_or_without_and_apart_or_not_the_numbers_are_the_same(tmp_path, monkeypatch):
    jobs = plan()
    first = execute(jobs, tmp_path / "first", limits=Limits(apart=True))
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "0")
    without = execute(jobs, tmp_path / "without")
    monkeypatch.delenv("PLUMBLINE_CACHE_LIMIT")
    with monkeypatch.context() as patch:
        patch.setattr(bench, "fit", lambda *_args, **_options: pytest.fail("trained again"))
        patch.setattr(bench, "load_cached", slow_to_train)
        again = execute(jobs, tmp_path / "again")
    for name in NAMES:
        assert first[name].status == "done", first[name].error
        assert first[name].importances == without[name].importances == again[name].importances
        assert len(set(first[name].importances.values())) > 1
        # A network that is recalled costs what its training took.
        assert again[name].seconds > 1000 > first[name].seconds


def test_networks_of_other_modalities_have_other_names():
    stage = plan()[0].stage
    keys = [network_key(stage), *(network_key(stage, names) for names in (ALL, ALL[:1], ALL[1:], ALL[:2]))]
    assert len(set(keys)) == len(keys)
    assert network_key(replace(stage, train_seed=1), ALL[:1]) not in keys


@pytest.mark.parametrize("limits", [NO_LIMITS, Limits(apart=True)])
def test_on_the_true_decision_function_there_is_nothing_to_train(tmp_path, fits, limits):
    results = execute(plan((*NAMES, "gradient"), "oracle"), tmp_path / "run", limits=limits)
    for name in NAMES:
        assert results[name].status == "skipped"
        assert results[name].error == "trains networks anew, and this model cannot be trained"
        assert not results[name].importances
    assert results["gradient"].status == "done"
    assert fits == []


def test_the_training_split_is_kept_only_where_it_is_needed(monkeypatch, fits, tmp_path):
    kept = []
    real = run.set_up

    def watched(*args, **options):
        kept.append(real(*args, **options))
        return kept[-1]

    monkeypatch.setattr(run, "set_up", watched)
    execute(plan(("gradient",)), tmp_path / "a")
    execute(plan(("gradient", "leave_one_out")), tmp_path / "b")
    assert kept[0].train is None
    assert len(kept[1].train) == N * 5 // 8


def test_what_is_asked_of_all_networks_is_counted(tmp_path, fits):
    results = execute(plan(), tmp_path / "run")
    assert results["single_modality"].model_calls == 4 * N_EXPLAINED
    assert results["leave_one_out"].model_calls == 5 * N_EXPLAINED
    tight = execute(plan(), tmp_path / "tight", limits=Limits(budget=4 * N_EXPLAINED))
    assert tight["single_modality"].status == "done"
    assert tight["leave_one_out"].status == "over-budget"
    assert "its budget is 160" in tight["leave_one_out"].error


def retraining():
    own = set_up(plan()[0].stage)
    metered = metering.meter(own.model)
    return own, Retraining(own.stage, own.model, own.train, metered, fit=bench._trained)


def test_modalities_are_named_in_any_order_and_checked(fits):
    _, retrain = retraining()
    assert retrain(["clinical_a", "axial"]).modalities == ("axial", "clinical_a")
    retrain(["axial", "clinical_a"])
    assert len(fits) == 2  # the stage's own, and this one
    with pytest.raises(ValueError, match=r"modality 'clinical' is unknown"):
        retrain(["clinical"])
    for wrong in ([], ["axial", "axial"]):
        with pytest.raises(ValueError, match="must be one or more distinct names of axial, coronal"):
            retrain(wrong)


def test_a_network_is_trained_whatever_the_method_is_doing():
    _, retrain = retraining()
    with torch.no_grad():
        first = retrain(["clinical_a"])
    with torch.inference_mode():
        second = retrain(["clinical_b"])
    for network, name in ((first, "clinical_a"), (second, "clinical_b")):
        features = network.encode({name: torch.randn(3, 10)}).requires_grad_()
        network.classify(features).sum().backward()
        assert features.grad is not None


def test_a_method_of_ones_own_may_train(tmp_path, fits):
    def widths(model, samples, rng, *, retrain):
        return {name: retrain([name]).groups[name].stop for name in model.modalities}

    own = Method("widths", widths, "leave_one_out", needs_training=True)
    both = Method(
        "both", lambda parts: parts["widths"].modalities, "leave_one_out", components=(own,), version="2"
    )
    for limits in (NO_LIMITS, Limits(apart=True)):
        results = execute(plan((), own=(own, both)), tmp_path / str(limits.apart), (own, both), limits)
        assert results["widths"].importances == dict.fromkeys(ALL, 10)
        assert results["both"].importances == results["widths"].importances


def test_they_run_where_they_are_named():
    assert not {*NAMES} & {*suite.choose_methods(())}
    assert {*NAMES} <= {*methods.names()}
    assert suite.choose_methods(("leave_one_out",)) == ("leave_one_out",)
    assert not {*NAMES} & {job.method for job in suite.plan(suite.get("full"))}


def test_the_estimate_counts_a_training_a_modality():
    def work(name, model):
        pairs = [(job, methods.get(name)) for job in plan((name,), model) if job.method == name]
        return estimate([(pairs[0][0].stage, pairs, model != models.ORACLE, 0)], Timings()).seconds

    trains = work("leave_one_out", "hybrid")
    assert trains["methods"] == pytest.approx(4 * trains["networks"])
    assert work("leave_one_out", "oracle")["methods"] == 0


@pytest.mark.slow
def test_what_training_finds_of_a_redundant_table(tmp_path, monkeypatch):
    """Alone the table says nearly what the image says; beside it, it is not missed."""
    train_by(replace(QUICK, max_epochs=8, min_steps=200), monkeypatch)
    scenario = synthetic.scenario("redundancy")
    jobs = [replace(job, n_explained=1000) for job in plan(scenario="redundancy")]
    jobs = [replace(job, stage=replace(job.stage, n_patients=6000)) for job in jobs]
    results = execute(jobs, tmp_path / "run")
    truths = synthetic.truths(scenario)
    for name in NAMES:
        truth = truths[methods.get(name).estimand].raw
        found = results[name].importances
        gap = np.array([found[modality] - truth[modality] for modality in truth])
        assert np.abs(gap).max() < 0.08, (name, found)
    assert results["single_modality"].importances["clinical_a"] > 0.15
    assert results["leave_one_out"].importances["clinical_a"] < 0.04
