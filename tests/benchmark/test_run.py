import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import methods
import synthetic
from benchmark import bench, models, run, sandbox, suite
from benchmark.executors import InProcessExecutor
from benchmark.models import HybridNetwork
from benchmark.store import Store
from methods.api import Attribution, Method, NotApplicableError


def few(model_names=("oracle",), method_names=("gradient",), own=(), n_seeds=1):
    """Plan two cases with few patients."""
    jobs = suite.plan(
        suite.get("smoke"),
        model_names=model_names,
        method_names=method_names,
        own_names=tuple(method.name for method in own),
        n_patients=400,
        n_explained=40,
        n_seeds=n_seeds,
    )
    return [job for job in jobs if job.stage.scenario in {"paper-F2", "paper-F4"}]


def execute(jobs, folder, own=(), on_cached=lambda _n: None, on_result=lambda _result, _path: None):
    with InProcessExecutor() as executor:
        return run.run(
            jobs, Store(folder), executor, own_methods=own, on_cached=on_cached, on_result=on_result
        )


def test_one_result_a_job_in_the_order_of_the_plan(tmp_path):
    jobs = few()
    results = execute(jobs, tmp_path)
    assert [result.job for result in results] == [job.as_dict() for job in jobs]
    assert {result.status for result in results} == {"done"}
    assert len(list(tmp_path.rglob("*.json"))) == len(jobs)


def test_what_is_there_is_not_made_again(tmp_path, monkeypatch):
    jobs = few()
    first = execute(jobs, tmp_path)
    monkeypatch.setattr(run, "set_up", lambda *_: pytest.fail("made again"))
    counts = []
    again = execute(jobs, tmp_path, on_cached=counts.append, on_result=lambda *_: pytest.fail("made again"))
    assert again == first
    assert counts == [len(jobs)]


def test_only_what_is_missing_is_made(tmp_path):
    jobs = few()
    first = execute(jobs, tmp_path)
    victim = min(tmp_path.rglob("*gradient*.json"))
    victim.unlink()
    made = []
    again = execute(
        jobs,
        tmp_path,
        on_cached=made.append,
        on_result=lambda result, path: made.append((result.status, path)),
    )
    assert made == [len(jobs) - 1, ("done", victim)]
    assert [result.importances for result in again] == [result.importances for result in first]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (lambda model: 1 / 0, "ZeroDivisionError"),
        (lambda model: {name: float("nan") for name in model.modalities}, "must return finite importances"),
        (lambda model: np.ones((3, 3)), "must return local attributions of shape"),
        (lambda model: {"liver": 1.0}, "one value for each of the modalities"),
    ],
    ids=["raises", "nan", "shape", "names"],
)
def test_a_bad_method_costs_its_own_result_only(tmp_path, raw, message):
    bad = Method(name="bad", function=lambda model, samples, rng: raw(model), estimand="gradient")
    results = execute(few(own=[bad]), tmp_path, own=[bad])
    failed = [result for result in results if result.status == "failed"]
    assert {result.job["method"] for result in failed} == {"bad"}
    assert len(failed) == 2
    assert message in failed[0].error
    assert not failed[0].importances


def test_data_that_cannot_be_had_fails_its_jobs_with_the_reason(tmp_path, monkeypatch):
    jobs = few()
    real = bench.synthetic.generate

    def generate(scenario, **options):
        if scenario.name == "paper-F2":
            raise ValueError("the disc is on fire")
        return real(scenario, **options)

    monkeypatch.setattr(bench.synthetic, "generate", generate)
    results = execute(jobs, tmp_path)
    assert {result.status for result in results if result.job["scenario"] == "paper-F2"} == {"failed"}
    assert "on fire" in next(result for result in results if result.status == "failed").error
    assert {result.status for result in results if result.job["scenario"] == "paper-F4"} == {"done"}


def test_a_combination_uses_the_components_results_whatever_else_runs(tmp_path):
    alone = execute(few(method_names=("mean_of_methods",)), tmp_path / "alone")
    beside = execute(few(method_names=methods.names()), tmp_path / "beside")

    def shares(results):
        return [result.importances for result in results if result.job["method"] == "mean_of_methods"]

    assert shares(alone) == shares(beside)
    by_name = {result.job["method"]: result for result in beside if result.job["scenario"] == "paper-F4"}
    parts = ("gradient", "permutation", "lime", "kernel_shap")
    assert by_name["mean_of_methods"].model_calls == sum(by_name[name].model_calls for name in parts)
    expected = methods.get("mean_of_methods").function(
        {name: Attribution(by_name[name].importances) for name in parts}
    )
    assert by_name["mean_of_methods"].importances == pytest.approx(expected)


def test_a_method_gets_no_truth_no_latents_no_decision_and_no_test_labels(tmp_path):
    seen = {}

    def spy(model, samples, rng):
        seen["model"] = [name for name in dir(model) if not name.startswith("__")]
        seen["labels"] = samples.labels
        seen["n"] = len(samples)
        return dict.fromkeys(model.modalities, 1.0)

    spying = Method(name="spy", function=spy, estimand="gradient")
    execute(few(own=[spying]), tmp_path, own=[spying])
    assert seen["labels"] is None
    assert seen["n"] == 40
    public = {name for name in seen["model"] if not name.startswith("_")}
    assert public == {
        "check_budget",
        "classify",
        "encode",
        "encode_modality",
        "groups",
        "modalities",
        "model_calls",
        "n_classified",
        "n_encoded",
    }


def test_the_explained_samples_are_neither_training_nor_test_samples(tmp_path, monkeypatch):
    taken = {}

    def grab(model, samples, rng):
        taken["table"] = samples.inputs["clinical_a"]
        return dict.fromkeys(model.modalities, 1.0)

    grabbing = Method(name="grab", function=grab, estimand="gradient")
    jobs = few(model_names=("hybrid",), own=[grabbing])
    monkeypatch.setattr(
        bench, "fit", lambda name, train, **_: HybridNetwork(bench.input_shapes(train)).eval()
    )
    execute(jobs[-5:], tmp_path, own=[grabbing])
    dataset = bench.synthetic.generate(jobs[-1].stage.load_scenario(), seed=0, n=400)
    rows = {tuple(row) for row in taken["table"].tolist()}
    for split, expected in (("train", False), ("test", False), ("explain", True)):
        other = {tuple(row) for row in getattr(dataset, split).inputs["clinical_a"].tolist()}
        assert bool(rows & other) == expected


def test_a_trained_network_is_recalled_from_the_cache_with_the_same_outputs(tmp_path, monkeypatch):
    jobs = suite.plan(
        suite.get("catalogue"),
        own_scenarios=[synthetic.scenario("three-classes")],
        model_names=("hybrid",),
        method_names=("gradient",),
        n_patients=400,
        n_explained=40,
    )
    first = execute(jobs, tmp_path / "first")
    monkeypatch.setattr(bench, "fit", lambda *_args, **_options: pytest.fail("trained again"))
    again = execute(jobs, tmp_path / "again")
    assert [result.status for result in again] == ["done"] * len(jobs)
    assert [result.importances for result in again] == [result.importances for result in first]


def test_the_controls_say_what_they_should(tmp_path):
    results = {(result.job["scenario"], result.job["method"]): result for result in execute(few(), tmp_path)}
    truth = results["paper-F4", "truth"]
    assert truth.importances == truth.truth["gradient"]
    assert set(results["paper-F4", "uniform"].importances.values()) == {0.25}
    assert results["paper-F4", "random"].importances != results["paper-F2", "random"].importances


def test_an_edited_function_of_ones_own_is_never_taken_for_its_old_self(tmp_path):
    for share in (0.2, 0.8):
        own = Method(
            name="own",
            function=lambda model, samples, rng, share=share: dict.fromkeys(model.modalities, share),
            estimand="gradient",
        )
        results = execute(few(own=[own]), tmp_path, own=[own])
        mine = [result for result in results if result.job["method"] == "own"]
        assert {value for result in mine for value in result.importances.values()} == {share}


def test_what_a_method_does_to_global_state_stays_with_it(tmp_path):
    def rude(model, samples, rng):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        for value in samples.inputs.values():
            value.zero_()
        return dict.fromkeys(model.modalities, 1.0)

    own = Method(name="rude", function=rude, estimand="gradient")
    names = ("gradient", "lime")
    alone = execute(few(method_names=names), tmp_path / "alone")
    beside = execute(few(method_names=names, own=[own]), tmp_path / "beside", own=[own])
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    kept = [result for result in beside if result.job["method"] in names]
    assert [result.importances for result in kept] == [
        result.importances for result in alone if result.job["method"] in names
    ]


def test_a_method_that_exits_costs_its_own_result_only(tmp_path):
    own = Method(name="quits", function=lambda *_: sys.exit(0), estimand="gradient")
    results = execute(few(own=[own]), tmp_path, own=[own])
    assert {result.job["method"] for result in results if result.status == "failed"} == {"quits"}


def test_what_a_method_sums_up_is_kept_where_no_two_modalities_interact(tmp_path):
    """The truth of interactions has no shares there: it is where a method may find some that are not."""
    results = execute(few(method_names=("intershap", "lime")), tmp_path)
    (found,) = [
        result
        for result in results
        if (result.job["scenario"], result.job["method"]) == ("paper-F4", "intershap")
    ]
    assert "interaction" not in found.truth
    assert found.summary["synergy"] > 0.01
    assert found.summary_truth["synergy"] == pytest.approx(0, abs=1e-9)
    assert found.summary_truth["synergy_standard_error"] >= 0
    assert not any(result.summary for result in results if result.job["method"] != "intershap")


def test_results_are_stored_while_the_run_goes_on(tmp_path):
    def interrupt(model, samples, rng):
        if len(list(tmp_path.rglob("*.json"))) > 2:
            raise KeyboardInterrupt
        return dict.fromkeys(model.modalities, 1.0)

    own = Method(name="late", function=interrupt, estimand="gradient")
    with pytest.raises(KeyboardInterrupt):
        execute(few(own=[own]), tmp_path, own=[own])
    n_of_the_first_case = len(few(own=[own])) // 2
    assert len(list(tmp_path.rglob("*.json"))) == n_of_the_first_case


@pytest.mark.parametrize("name", ["gradient", "truth", "uniform"])
def test_a_name_that_is_taken_is_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' is taken by a built-in method or control"):
        suite.plan(suite.get("smoke"), own_names=(name,))


def slopes_of_pixels(model, samples, rng):
    """Say something of everything: modalities, columns, pairs and pixels."""
    del rng
    inputs = {name: value[:30].clone().requires_grad_() for name, value in samples.inputs.items()}
    with torch.enable_grad():
        logits = model.classify(model.encode(inputs))
        slopes = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), list(inputs.values()))
    found = {name: slope.abs() for name, slope in zip(inputs, slopes, strict=True)}
    names = model.modalities
    return Attribution(
        {name: float(slope.sum()) for name, slope in found.items()},
        features={name: slope.mean(0).numpy() for name, slope in found.items() if slope.ndim == 2},
        pixels={name: slope[:, 0].numpy() for name, slope in found.items() if slope.ndim == 4},
        interactions={(a, b): 1.0 for i, a in enumerate(names) for b in names[i + 1 :]},
        standard_error=dict.fromkeys(names, 0.1),
        summary={"synergy": 0.5},
    )


@pytest.fixture
def untrained(monkeypatch):
    """Whether a network is trained does not matter here."""

    def fit(name, train, seed, **_):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return HybridNetwork(bench.input_shapes(train)).eval().requires_grad_(requires_grad=False)

    monkeypatch.setattr(bench, "fit", fit)
    monkeypatch.setattr(bench, "load_cached", lambda *_args, **_options: None)
    monkeypatch.setattr(bench, "save_cached", lambda *_args, **_options: None)


@pytest.mark.slow
@pytest.mark.usefixtures("untrained")
def test_what_is_finer_than_a_modality_is_scored_alike_wherever_the_method_runs(tmp_path):
    own = (Method("mine", slopes_of_pixels, "pixels"),)
    jobs = suite.plan(
        suite.get("smoke"),
        own_scenarios=(synthetic.scenario("product"), synthetic.scenario("paper-F7")),
        model_names=("oracle", "hybrid"),
        method_names=("permutation",),
        own_names=("mine",),
        own_drawers=("mine",),
        n_patients=400,
        n_explained=40,
        n_seeds=1,
    )
    here, apart = (
        run.run(
            jobs,
            Store(tmp_path / str(place)),
            InProcessExecutor(),
            own_methods=own,
            limits=bench.Limits(apart=place),
        )
        for place in (False, sandbox.is_available())
    )
    found = {(it.job["scenario"], it.job["model"], it.job["method"]): it for it in here}
    for one, other in zip(here, apart, strict=True):
        assert replace(one, seconds=0) == replace(other, seconds=0)
        assert one.status == "done", one.error
    mine = found["paper-F7", "hybrid", "mine"]
    assert set(mine.pixels) == set(mine.maps) == {"axial", "coronal"}
    assert mine.pixels["axial"]["n_maps"] == 30
    assert found["paper-F7", "hybrid", "true_mask"].pixels["axial"]["average_precision"] == 1
    assert not {"mine", "true_mask"} & {method for _, model, method in found if model == "oracle"}
    assert mine.importances_se == dict.fromkeys(mine.importances, 0.1)
    assert mine.feature_truth == {}  # F7 reads images alone
    product = found["product", "hybrid", "mine"]
    assert set(product.features) == {"clinical_a", "clinical_b"}
    assert len(product.interactions) == 6
    assert any(value for *_, value, _ in product.pair_truth)
    assert Store(tmp_path / "False").load(jobs[0], here[0].key) == here[0]


@pytest.mark.skipif(not sandbox.is_available(), reason="needs fork")
def test_a_built_in_method_that_comes_to_nothing_is_run_once(tmp_path, monkeypatch):
    note = tmp_path / "note"

    def fail(model, samples, rng, **options):
        with note.open("a") as file:
            file.write("ran\n")
        raise ZeroDivisionError("on purpose")

    def decline(model, samples, rng, **options):
        with note.open("a") as file:
            file.write("ran\n")
        raise NotApplicableError("on purpose")

    monkeypatch.setattr(bench, "is_built_in", lambda method: True)
    jobs = few(method_names=("gradient", "lime", "deeplift"))
    tasks, _ = run._divide(jobs, Store(tmp_path / "run"), (), None, bench.Limits(apart=True))
    broken = {"lime": fail, "deeplift": decline}

    def swap(job, key, method):
        function = broken.get(job.method)
        return job, key, method if function is None else replace(method, function=function)

    swapped = [replace(task, jobs=tuple(swap(*entry) for entry in task.jobs)) for task in tasks]
    results = [result for task in swapped for result in run.execute(task).results]
    found = {result.job["method"]: result for result in results}
    assert {name: result.status for name, result in found.items() if result.status != "done"} == {
        "lime": "failed",
        "deeplift": "skipped",
    }
    assert "ZeroDivisionError: on purpose" in found["lime"].error
    assert "in fail" in found["lime"].error  # the traceback
    assert found["deeplift"].error == "on purpose"
    assert note.read_text().count("ran") == 2 * len(tasks)


@pytest.mark.usefixtures("untrained")
def test_columns_of_embeddings_are_no_clinical_features(tmp_path, monkeypatch):
    """``late`` has as many features of a table as the table has columns, and they are not the columns."""

    def fit(name, train, seed, **_):
        del seed
        network = models.build(name, bench.input_shapes(train))
        return network.eval().requires_grad_(requires_grad=False)

    monkeypatch.setattr(bench, "fit", fit)
    found = execute(few(("hybrid", "late"), ("gradient", "modality_contribution")), tmp_path)
    told = {(it.job["model"], it.job["method"]): set(it.features) for it in found if it.targets != "control"}
    tables = {"clinical_a", "clinical_b"}
    assert told["hybrid", "gradient"] == told["hybrid", "modality_contribution"] == tables
    assert told["late", "gradient"] == set()
    assert told["late", "modality_contribution"] == tables  # it masks the inputs
