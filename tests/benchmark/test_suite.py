import tracemalloc
from dataclasses import replace
from itertools import pairwise, product

import pytest

import methods
import synthetic
from benchmark import suite
from benchmark.controls import CONTROLS
from benchmark.diagnosis import DIAGNOSIS
from benchmark.maps import MAP_CONTROLS

DRAWERS = ("saliency", "grad_cam", "pattern")


def test_the_paper_suite_is_eight_cases_on_oracle_and_network_with_three_seeds():
    jobs = suite.plan(suite.get("paper"))
    assert {job.stage.scenario for job in jobs} == {f"paper-F{case}" for case in range(8)}
    assert {job.stage.model for job in jobs} == {"oracle", "hybrid"}
    assert {job.stage.data_seed for job in jobs} == {0, 1, 2}
    per_oracle, per_network = (
        sum(job.stage.model == model for job in jobs) / 24 for model in ("oracle", "hybrid")
    )
    n_drawers = len(DRAWERS)  # on networks alone: the oracle sees no images
    assert per_oracle == len(suite.get("paper").methods) - n_drawers + len(CONTROLS)
    assert per_network == per_oracle + n_drawers + len(MAP_CONTROLS) + 1  # the diagnosis
    assert per_oracle > len(CONTROLS) + 6
    assert len(set(jobs)) == len(jobs)


@pytest.mark.parametrize(
    ("name", "model_names", "n_seeds", "n_patients"),
    [("smoke", ["oracle"], 1, 2000), ("paper", ["oracle", "hybrid"], 3, 16_000)],
)
def test_the_jobs_of_the_built_in_suites_in_their_order(name, model_names, n_seeds, n_patients):
    expected = [
        suite.Job(
            suite.Stage(
                scenario=f"paper-F{case}",
                images="phantom",
                features="anatomy",
                image_size=28,
                n_patients=n_patients,
                model=model,
                data_seed=seed,
                train_seed=seed,
                definition="",
            ),
            method=method,
            method_seed=seed,
            n_explained=2000,
        )
        for seed, case, model, method in product(
            range(n_seeds),
            range(8),
            model_names,
            (*suite.get(name).methods, *CONTROLS, *MAP_CONTROLS, DIAGNOSIS),
        )
        if model != "oracle" or method not in (*MAP_CONTROLS, *DRAWERS, DIAGNOSIS)
    ]
    assert suite.plan(suite.get(name)) == expected


def test_a_hundred_thousand_jobs_are_planned_in_little_memory():
    chosen = replace(suite.get("full"), methods=("gradient",))
    n_seeds = -(-100_000 // len(suite.plan(chosen, n_seeds=1)))
    jobs = suite.plan(chosen, n_seeds=n_seeds)
    assert len(set(jobs)) == len(jobs) >= 100_000
    del jobs
    tracemalloc.start()
    suite.plan(chosen, n_seeds=n_seeds // 10)
    assert tracemalloc.get_traced_memory()[1] < 50e6  # of a tenth of the jobs
    tracemalloc.stop()


def test_a_method_runs_once_however_it_is_spelt():
    names = (
        "lime( ridge=2 , n_points=9 )",
        "lime(n_points=9, ridge=2)",
        "permutation(n_repeats=10)",
        "permutation",
    )
    jobs = suite.plan(suite.get("smoke"), method_names=names, n_seeds=1)
    found = dict.fromkeys(job.method for job in jobs)
    assert [name for name in found if name not in CONTROLS] == ["lime(n_points=9, ridge=2)", "permutation"]


def test_a_function_of_ones_own_runs_once_however_it_is_spelt(tmp_path, monkeypatch):
    (tmp_path / "norms_of_mine.py").write_text("def norm(model, samples, rng, n=10):\n    return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    names = ("norms_of_mine:norm(n=10)", "norms_of_mine:norm", "norms_of_mine:norm( n = 9 )")
    jobs = suite.plan(suite.get("smoke"), method_names=names, n_seeds=1)
    found = [job.method for job in jobs if job.stage == jobs[0].stage and job.method not in CONTROLS]
    assert found == ["norms_of_mine:norm", "norms_of_mine:norm(n=9)"]
    assert [methods.get(name).name for name in found] == found


def test_a_run_without_end_is_refused():
    with pytest.raises(ValueError, match=r"at most 1,000,000 jobs. Got .*: 8 scenarios × 1 models × 4 meth"):
        suite.plan(suite.get("smoke"), method_names=("gradient",), n_seeds=10**9)


def test_jobs_of_a_stage_are_neighbours_so_that_they_share_its_work():
    stages = [job.stage for job in suite.plan(suite.get("paper"))]
    changes = sum(first != second for first, second in pairwise(stages))
    assert changes == len(set(stages)) - 1


def test_controls_always_run():
    jobs = suite.plan(suite.get("smoke"), method_names=("gradient",))
    assert {job.method for job in jobs} == {"gradient", *CONTROLS}


def test_a_method_named_twice_runs_once():
    once = suite.plan(suite.get("smoke"), method_names=("gradient",))
    assert suite.plan(suite.get("smoke"), method_names=("gradient", "gradient")) == once


def test_real_scans_use_every_patient_unless_told_otherwise():
    job = suite.plan(suite.get("paper"), images="organamnist")[0]
    assert job.stage.n_patients is None
    assert job.stage.features == "autoencoder"
    assert suite.plan(suite.get("paper"), images="organamnist", n_patients=99)[0].stage.n_patients == 99


def test_phantoms_use_the_scenarios_own_number():
    assert suite.plan(suite.get("paper"))[0].stage.n_patients == synthetic.scenario("paper-F0").n


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: suite.get("papr"), "Did you mean 'paper'"),
        (lambda: suite.get("xyz"), "There are smoke, paper, catalogue, pixels, missing, collapse, full"),
        (lambda: suite.plan(suite.get("smoke"), n_seeds=0), "number of seeds must be at least 1. Got 0"),
        (
            lambda: suite.plan(suite.get("smoke"), n_explained=1),
            "must be at least 2. Got 1",
        ),
        (lambda: suite.plan(suite.get("smoke"), model_names=("hybird",)), "Did you mean 'hybrid'"),
        (lambda: suite.plan(suite.get("smoke"), method_names=("lyme",)), "Did you mean 'lime'"),
        (lambda: suite.plan(suite.get("smoke"), features="pca"), "'features' of phantom images"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_catalogue_is_every_scenario_that_works_on_the_images():
    for images in ("phantom", "organamnist"):
        jobs = suite.plan(suite.get("catalogue"), images=images, method_names=("gradient",))
        assert {job.stage.scenario for job in jobs} == set(synthetic.scenarios(images))


def test_a_scenario_has_its_own_size_and_number_of_patients():
    stages = {job.stage.scenario: job.stage for job in suite.plan(suite.get("catalogue"))}
    assert (stages["size-64"].image_size, stages["small-sample"].n_patients) == (64, 500)
    assert stages["lesion"].features == "lesion"


def test_an_own_scenario_travels_with_its_stage():
    mine = synthetic.Scenario(
        "mine",
        "one term",
        (synthetic.Term(("labs/alt",)),),
        tables={"labs": synthetic.Table(variables=("alt", "ast"))},
        n=200,
    )
    jobs = suite.plan(suite.get("smoke"), own_scenarios=[mine], method_names=("gradient",))
    assert {job.stage.scenario for job in jobs} == {"mine"}
    assert jobs[0].stage.load_scenario() == mine
    known = suite.plan(suite.get("smoke"), own_scenarios=[synthetic.scenario("xor")])
    assert known[0].stage.definition == ""
    assert known[0].stage.load_scenario() == synthetic.scenario("xor")
    with pytest.raises(ValueError, match="distinct names"):
        suite.plan(suite.get("smoke"), own_scenarios=[mine, mine])


def test_a_changed_scenario_of_the_catalogue_is_not_taken_for_the_known_one():
    changed = replace(synthetic.scenario("xor"), n=300)
    stage = suite.plan(suite.get("smoke"), own_scenarios=[changed])[0].stage
    assert stage.definition
    assert stage.load_scenario() == changed


MIXED = suite.Suite(
    "mixed",
    "phantoms and scans, two methods",
    ("paper-F0", "lesion"),
    ("oracle",),
    n_seeds=2,
    n_patients=3000,
    images=("phantom", "organamnist"),
    methods=("gradient", "lime(n_points=9)"),
    n_explained=50,
)


def test_a_suite_may_have_several_image_sources():
    jobs = suite.plan(MIXED)
    stages = list(dict.fromkeys(job.stage for job in jobs))
    assert [(it.data_seed, it.images, it.scenario, it.features) for it in stages] == [
        (seed, *rest)
        for seed in (0, 1)
        for rest in (
            ("phantom", "paper-F0", "anatomy"),
            ("phantom", "lesion", "lesion"),
            ("organamnist", "paper-F0", "autoencoder"),
        )
    ]
    assert {it.n_patients for it in stages} == {3000}
    assert {job.method for job in jobs} == {"gradient", "lime(n_points=9)", *CONTROLS}
    assert {job.n_explained for job in jobs} == {50}


def test_what_is_asked_for_counts_instead_of_what_the_suite_says():
    chosen = replace(MIXED, image_size=64, features="pca", images=("organamnist",))
    assert {it.stage.features for it in suite.plan(chosen)} == {"pca"}
    assert {it.stage.image_size for it in suite.plan(chosen)} == {64}
    jobs = suite.plan(chosen, images="phantom", image_size=28, method_names=("gradient",), n_explained=9)
    assert {job.stage.image_size for job in jobs} == {28}
    assert {job.stage.features for job in jobs} == {"anatomy", "lesion"}  # pca is of the suite's own images
    assert {(job.stage.scenario, job.stage.n_patients) for job in jobs} == {
        (name, synthetic.scenario(name).n) for name in ("paper-F0", "lesion")
    }
    assert {job.method for job in jobs} == {"gradient", *CONTROLS}
    assert {job.n_explained for job in jobs} == {9}


def test_scenarios_from_files_have_their_own_images_and_come_once():
    mine = replace(synthetic.scenario("xor", source="organamnist", features="pca"), name="mine", n=900)
    chosen = replace(MIXED, scenarios=("a/mine.toml", "paper-F0"), files={"a/mine.toml": mine})
    stages = {job.stage for job in suite.plan(replace(chosen, n_patients=None), n_seeds=1)}
    assert {(it.scenario, it.images, it.n_patients) for it in stages} == {
        ("mine", "organamnist", 900),
        ("paper-F0", "phantom", 16_000),
        ("paper-F0", "organamnist", None),
    }
    (own,) = {it for it in stages if it.scenario == "mine"}
    assert own.load_scenario() == mine
    assert {job.stage.n_patients for job in suite.plan(replace(chosen, images=("phantom",)))} == {3000}
    clash = replace(chosen, files={"a/mine.toml": replace(mine, name="paper-F0")})
    with pytest.raises(ValueError, match=r"distinct names. Got \['paper-F0', 'paper-F0'\]"):
        suite.plan(clash)


def test_own_functions_run_beside_the_methods_that_are_named_or_all():
    everyone = tuple(name for name in methods.names() if not methods.get(name).trains)
    assert suite.choose_methods(()) == everyone
    assert suite.choose_methods(("mine:f",)) == (*everyone, "mine:f")
    assert suite.choose_methods(("mine:f(x=1)", "lime(n_points=9)")) == ("lime(n_points=9)", "mine:f(x=1)")


def test_a_run_without_scenarios_is_refused():
    chosen = replace(suite.get("smoke"), scenarios=("lesion",))
    with pytest.raises(ValueError, match=r"scenario that works on organamnist images. Got lesion; choose"):
        suite.plan(chosen, images="organamnist")


def test_where_a_method_targets_pixels_there_are_controls_of_maps():
    def methods_of(**options):
        jobs = suite.plan(suite.get("paper"), method_names=("gradient",), n_seeds=1, **options)
        return {(job.stage.model, job.method) for job in jobs if job.stage.scenario == "paper-F0"}

    plain, drawn = methods_of(), methods_of(own_names=("mine",), own_drawers=("mine",))
    assert {name for _, name in plain} == {"gradient", *CONTROLS, DIAGNOSIS}
    assert ("oracle", DIAGNOSIS) not in plain
    assert drawn - plain == {
        ("hybrid", "mine"),
        *(("hybrid", name) for name in MAP_CONTROLS),
    }
    on_scans = methods_of(own_names=("mine",), own_drawers=("mine",), images="organamnist")
    assert {name for model, name in on_scans if model == "hybrid"} == {
        *("gradient", "mine", "scan", DIAGNOSIS),
        *CONTROLS,
    }
    for taken in ("edges", DIAGNOSIS):
        with pytest.raises(ValueError, match=rf"'{taken}' is taken"):
            methods_of(own_names=(taken,))
