from dataclasses import replace
from itertools import pairwise

import pytest

import methods
import synthetic
from benchmark import suite
from benchmark.controls import CONTROLS


def test_the_paper_suite_is_eight_cases_on_oracle_and_network_with_three_seeds():
    jobs = suite.plan(suite.get("paper"))
    assert {job.stage.scenario for job in jobs} == {f"paper-F{case}" for case in range(8)}
    assert {job.stage.model for job in jobs} == {"oracle", "hybrid"}
    assert {job.stage.data_seed for job in jobs} == {0, 1, 2}
    per_stage = len(methods.names()) + len(CONTROLS)
    assert len(jobs) == 8 * 2 * 3 * per_stage
    assert len(set(jobs)) == len(jobs)


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
        (lambda: suite.get("xyz"), "There are smoke, paper, catalogue, full"),
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
