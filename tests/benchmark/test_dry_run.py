import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

import synthetic
from benchmark import bench, models, run, suite
from benchmark.dry_run import dry_run, dry_run_text
from benchmark.estimate import Timings, estimate
from benchmark.executors import InProcessExecutor
from benchmark.recall import look_up, network_key
from benchmark.store import Store
from benchmark.training import input_shapes
from methods.api import Method
from synthetic import ESTIMANDS

SMALL = suite.Suite(
    "small", "d", ("paper-F4",), ("oracle", "hybrid"), n_seeds=2, n_patients=400, methods=("gradient",)
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and networks that are kept untrained."""
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        bench,
        "fit",
        lambda name, train, **_: (
            models.build(name, input_shapes(train)).eval().requires_grad_(requires_grad=False)
        ),
    )
    return tmp_path / "cache"


def done(jobs, folder):
    with InProcessExecutor() as executor:
        return run.run(jobs, Store(folder), executor)


def rendered(found):
    console = Console(width=80, file=io.StringIO())
    console.print(dry_run_text(found))
    return console.file.getvalue()


def test_nothing_is_there_yet_and_nothing_is_written(tmp_path, cache, monkeypatch):
    for place, name in ((run, "set_up"), (bench, "fit")):
        monkeypatch.setattr(place, name, lambda *_, **__: pytest.fail("work was done"))
    monkeypatch.setattr("synthetic.images.draw", lambda *_, **__: pytest.fail("images were drawn"))
    jobs = suite.plan(SMALL, n_explained=40)
    found = dry_run(jobs, tmp_path / "run")
    assert (found.n_jobs, found.n_present, len(found.stages)) == (len(jobs), 0, 4)
    assert [outlook.network for outlook in found.stages] == ["none", "missing"] * 2
    assert (found.n_kept, found.n_to_train) == (0, 2)
    assert {outlook.n_truths for outlook in found.stages} == {0}
    assert all(found.work.seconds.values())
    assert (found.work.n_measured, found.work.n_assumed) == (0, 4)
    assert list(tmp_path.iterdir()) == []


def test_it_finds_what_a_run_left(tmp_path, cache):
    jobs = suite.plan(SMALL, n_explained=40)
    done([job for job in jobs if job.stage.data_seed == 0], tmp_path / "run")
    found = dry_run(jobs, tmp_path / "run", workers=2)
    assert [outlook.n_present for outlook in found.stages] == [4, 5, 0, 0]  # a network has a diagnosis
    assert [outlook.network for outlook in found.stages] == ["none", "kept", "none", "missing"]
    assert {outlook.n_truths for outlook in found.stages} == {len(ESTIMANDS)}
    assert found.work.seconds["truths"] == 0
    assert (found.work.n_measured, found.work.n_assumed) == (2, 0)
    done(jobs, tmp_path / "run")
    found = dry_run(jobs, tmp_path / "run")
    assert (found.n_present, found.n_kept, found.n_to_train) == (len(jobs), 2, 0)
    assert (found.work.total, found.seconds) == (0, 0)
    assert "Nothing is left to do." in rendered(found)


def test_it_agrees_with_the_run_on_what_is_missing(tmp_path, cache):
    jobs = suite.plan(SMALL, model_names=("oracle",), n_explained=40)
    done(jobs, tmp_path / "run")
    for name in ("*gradient*", "*uniform*"):
        min((tmp_path / "run").rglob(name)).unlink()
    broken = max((tmp_path / "run").rglob("*truth*"))
    broken.write_text("{")
    counts = {}
    n_present = dry_run(jobs, tmp_path / "run").n_present
    with InProcessExecutor() as executor:
        run.run(jobs, Store(tmp_path / "run"), executor, on_cached=lambda n: counts.setdefault("cached", n))
    assert counts["cached"] == n_present == len(jobs) - 3


def test_a_cache_without_room_keeps_no_networks(tmp_path, cache, monkeypatch):
    jobs = suite.plan(SMALL, model_names=("hybrid",), n_explained=40)
    done(jobs, tmp_path / "run")
    assert dry_run(jobs, tmp_path / "other").n_kept == 2
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "0")
    assert dry_run(jobs, tmp_path / "other").n_kept == 0


def test_networks_of_different_stages_have_different_names():
    stages = {job.stage for job in suite.plan(SMALL, model_names=("hybrid", "hybrid-s1"))}
    assert len({network_key(stage) for stage in stages}) == len(stages) == 4


def test_results_of_own_functions_are_never_there(tmp_path, cache):
    own = Method("mine", lambda model, samples, rng: dict.fromkeys(model.modalities, 1.0), "gradient")
    jobs = suite.plan(SMALL, model_names=("oracle",), own_names=("mine",), n_explained=40, n_seeds=1)
    with InProcessExecutor() as executor:
        run.run(jobs, Store(tmp_path), executor, own_methods=[own])
    there = {job.method: result for job, _, _, result in look_up(jobs, Store(tmp_path), [own])}
    assert there["mine"] is None
    assert there["gradient"] is not None
    assert dry_run(jobs, tmp_path, own_methods=[own]).n_present == len(jobs) - 1


def test_real_scans_are_not_read(tmp_path, cache):
    jobs = suite.plan(SMALL, images=("organamnist", "phantom"), model_names=("oracle", "hybrid-s1"))
    found = dry_run(jobs, tmp_path)
    assert {(it.stage.images, it.n_truths) for it in found.stages} == {("organamnist", None), ("phantom", 0)}
    text = rendered(found)
    assert "organamnist" in text
    assert "?" in text
    assert "without their download" in text


@pytest.mark.parametrize("workers", [1, 3])
def test_the_text_fits_80_columns(tmp_path, cache, workers):
    scenario = replace(synthetic.scenario("xor"), name="a-name-that-is-longer-than-most-others-" + "x" * 40)
    long = replace(SMALL, files={"x.toml": scenario}, scenarios=("x.toml", "paper-F4"), n_seeds=120)
    text = rendered(dry_run(suite.plan(long), tmp_path, workers=workers))
    assert max(map(len, text.splitlines())) <= 80
    for words in ("Results: 2,160 in 480 stages; 0 are there, 2,160 to make.", "0 are there, 240 to train"):
        assert words in text
    assert "Basis: 0 of 480 method times from earlier results" in text
    assert ("of work for 3 workers" in text) == (workers == 3)


def test_the_number_of_workers_is_checked(tmp_path):
    with pytest.raises(ValueError, match=r"must be at least 1. Got 0"):
        dry_run([], tmp_path, workers=0)


def test_a_method_takes_what_it_took_on_the_same_scenario_or_else_on_others(tmp_path):
    jobs = [job.as_dict() for job in suite.plan(suite.get("smoke"), method_names=("gradient",))]
    first, second, third = (job for job in jobs[:12] if job["method"] == "gradient")
    timings = Timings()
    assert timings.seconds(first) is None
    timings.add(first, 2.0)
    timings.add(first, 4.0)
    timings.add({**second, "n_explained": 200}, 0.9)
    assert timings.seconds(first) == pytest.approx(3.0)
    assert timings.seconds({**first, "n_explained": 1000}) == pytest.approx(1.5)
    assert timings.seconds(second) == pytest.approx(9.0)
    assert timings.seconds(third) == pytest.approx(5.0)
    assert timings.seconds({**third, "model": "hybrid"}) is None
    assert timings.seconds({**first, "method": "lime"}) is None


def test_damaged_results_say_nothing_of_time(tmp_path):
    (job,) = suite.plan(suite.get("smoke"), method_names=("gradient",))[:1]
    changes = (
        {"seconds": "x"},
        {"seconds": float("nan")},
        {"status": "failed"},
        {"job": {}},
        {"job": 3},
        {"job": {**job.as_dict(), "n_explained": 0}},
    )
    sound = {"status": "done", "seconds": 9.0, "job": job.as_dict()}
    texts = ["", "[]", "{}", "null", '{"status": "done"}', *(json.dumps(sound | it) for it in changes)]
    for place, text in enumerate(texts):
        (tmp_path / f"{place}.json").write_text(text)
    timings = Timings()
    timings.add_folder(tmp_path)
    assert timings.seconds(job.as_dict()) is None
    (tmp_path / "sound.json").write_text(json.dumps(sound))
    timings.add_folder(tmp_path)
    assert timings.seconds(job.as_dict()) == pytest.approx(9.0)


def left(jobs, *, trains=False, n_truths=0):
    found = {}
    for job, _, method, _ in look_up(jobs, None):
        found.setdefault(job.stage, []).append((job, method))
    return [(stage, pairs, trains, n_truths) for stage, pairs in found.items()]


def test_what_a_combination_shares_with_others_is_counted_once():
    def seconds(*names):
        jobs = suite.plan(suite.get("smoke"), method_names=names)
        return estimate(left(jobs), Timings()).seconds["methods"]

    parts = ("gradient", "permutation", "lime", "kernel_shap")
    assert seconds("mean_of_methods", *parts) == pytest.approx(seconds(*parts))
    assert seconds("mean_of_methods") == pytest.approx(seconds(*parts))


def test_patients_are_drawn_once_for_stages_in_a_row_and_truths_once_a_scenario():
    jobs = suite.plan(suite.get("paper"), method_names=("gradient",))
    one, four = (estimate(left(jobs, n_truths=8), Timings(), workers=n) for n in (1, 4))
    only = estimate(left(jobs[:4], n_truths=8), Timings())
    n_draws, n_stages, n_scenarios = 3, 48, 8
    stage = (one.seconds["patients"] - n_draws * only.seconds["patients"]) / (n_stages - n_draws)
    assert stage > 0
    assert four.seconds["patients"] > one.seconds["patients"]
    assert one.seconds["truths"] == pytest.approx(n_scenarios * only.seconds["truths"])
    assert one.longest <= one.total


def test_larger_images_and_more_patients_take_longer():
    def work(**changes):
        jobs = suite.plan(SMALL, model_names=("hybrid",), **changes)
        return estimate(left(jobs, trains=True), Timings()).seconds

    few, many, large = work(), work(n_patients=40_000), work(image_size=64)
    for other in (many, large):
        assert other["networks"] > few["networks"]
        assert other["patients"] > few["patients"]
