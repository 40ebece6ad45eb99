import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import methods
from benchmark import models, store, suite
from benchmark.store import Result, Store


@pytest.fixture
def job():
    return suite.plan(suite.get("smoke"), method_names=("gradient",))[0]


@pytest.fixture
def result(job):
    key = store.job_key(job, methods.get("gradient"))
    return Result(
        job=job.as_dict(),
        key=key,
        status="done",
        method_version="1",
        targets="gradient",
        truth={"gradient": {"a": 1.0}},
        truth_se={"gradient": {"a": 0.0}},
        importances={"a": 0.5},
        fidelity={"accuracy": 1.0},
    )


def test_a_saved_result_comes_back(tmp_path, job, result):
    place = Store(tmp_path)
    place.save(result)
    assert place.load(job, result.key) == result


def test_another_key_finds_nothing(tmp_path, job, result):
    place = Store(tmp_path)
    place.save(result)
    assert place.load(job, "0" * 32) is None
    # Keys that share the part which stands in the file's name must not be taken for each other either.
    assert place.load(job, result.key[:12] + "0" * 20) is None


def test_a_failure_is_stored_but_never_taken_for_a_result(tmp_path, job, result):
    place = Store(tmp_path)
    place.save(replace(result, status="failed", importances={}, error="ValueError: no"))
    assert place.load(job, result.key) is None
    assert "ValueError: no" in next(place.results.glob("*.json")).read_text()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": 1}', '{"schema": 99}', "null", "\0\0"])
def test_a_damaged_file_counts_as_absent(tmp_path, job, result, damage):
    place = Store(tmp_path)
    place.save(result)
    next(place.results.glob("*.json")).write_text(damage)
    assert place.load(job, result.key) is None


def test_the_names_of_methods_cannot_leave_the_folder(tmp_path, job, result):
    place = Store(tmp_path / "run")
    for name in ("../../evil", "a/b", "x:y", "<script>", "a" * 500, "$(rm -rf)"):
        place.save(replace(result, job={**result.job, "method": name}))
    assert {path.parent for path in tmp_path.rglob("*.json")} == {place.results}


def test_an_unwritable_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        ValueError, match=r"output folder .* cannot be written .* Choose another one with --out"
    ):
        Store(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_clear_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="cannot be written"):
        Store(tmp_path / "run")


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    store.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        store.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_the_key_changes_with_everything_that_decides_the_numbers(job, monkeypatch):
    method = methods.get("lime")
    base = store.job_key(job, method)
    assert store.job_key(job, method) == base
    assert store.job_key(replace(job, method_seed=1), method) != base
    assert store.job_key(replace(job, n_explained=7), method) != base
    assert store.job_key(replace(job, stage=replace(job.stage, data_seed=1)), method) != base
    assert store.job_key(job, replace(method, version="2")) != base
    assert store.job_key(job, replace(method, options={"n_points": 10})) != base
    assert store.job_key(job, replace(method, aggregation="absolute_mean")) != base
    monkeypatch.setattr(store, "source_fingerprint", lambda *_, **__: "other source")
    assert store.job_key(job, method) != base


def test_a_model_is_known_by_its_own_file_and_not_by_those_of_others(monkeypatch):
    seen = []

    def spy(*places, without=()):
        seen.append((places, without))
        return "source"

    monkeypatch.setattr(store, "source_fingerprint", spy)
    store.model_fingerprint("hybrid")
    store.model_fingerprint("oracle")
    (places, of_hybrid), (_, of_oracle) = seen
    assert "benchmark/models" in places
    assert "benchmark/models/oracle.py" in of_hybrid
    assert "benchmark/models/hybrid.py" not in of_hybrid
    assert "benchmark/models/hybrid.py" in of_oracle
    for name in models.names():
        for file in models.others(name):
            assert (Path(store.__file__).parents[1] / file).is_file()
