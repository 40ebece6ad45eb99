"""Models by name: with options, of installed packages, of a user's own."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from benchmark import bench, models, store, suite, suite_file
from benchmark.models import registry
from benchmark.models.plan import COMPACT, TrainingPlan
from benchmark.recall import look_up, network_key

SHAPES = {"a": (3,), "b": (2,)}
OWN = '''
from torch import nn
from benchmark.models.plain import plain
from benchmark.models.plan import TrainingPlan
from benchmark.models.unimodal import UnimodalNetwork

class Mine(UnimodalNetwork):
    """My own network.

    It is mine."""
    plan = TrainingPlan(learning_rate=0.5, schedule="constant", weight_decay=0.0)

class Bare(UnimodalNetwork):
    __doc__ = None

class Wrong(nn.Module):
    def __init__(self, shapes, *, n_classes):
        super().__init__()

def other_names(shapes, *, n_classes):
    return UnimodalNetwork({name + "!": shape for name, shape in shapes.items()}, n_classes=n_classes)

constant = 3
plain_one = plain(lambda: nn.Bilinear(3, 2, 2))
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_networks"
    sys.modules.pop("own_networks", None)


@pytest.fixture
def installed(monkeypatch):
    def install(*points):
        registry._registered.cache_clear()
        monkeypatch.setattr(
            "synthetic.plugins.entry_points", lambda group: EntryPoints(points).select(group=group)
        )

    yield install
    registry._registered.cache_clear()


def test_there_is_a_model_of_each_kind():
    assert models.names() == (
        "oracle", "hybrid", "hybrid-s1", "early", "late", "attention", "healnet", "contrastive", "distilled",
        "unimodal",
    )  # fmt: skip
    assert len({models.describe(name) for name in models.names()}) == len(models.names())


@pytest.mark.parametrize(
    ("given", "name", "options"),
    [
        ("hybrid", "hybrid", {"architecture": "compact"}),
        (" contrastive( tokens = False,dropout='random') ", "contrastive(dropout=random, tokens=False)",
         {"dropout": "random", "tokens": False}),
        ("unimodal(modality='CT scan')", "unimodal(modality='CT scan')", {"modality": "CT scan"}),
    ],
)  # fmt: skip
def test_options_are_read_and_shown_in_one_way(given, name, options):
    found = models.get(given)
    assert (found.name, found.options) == (name, options)
    assert models.full_name(name) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hybird", r"model 'hybird' is unknown. Did you mean 'hybrid'\?"),
        ("xyz", "'xyz' is unknown. There are oracle, hybrid, hybrid-s1, early"),
        ("contrastive(token=True)", r"contrastive option 'token' is unknown. Did you mean 'tokens'\?"),
        ("late(n=3)", "'late' takes no options. Got 'n'"),
        ("late(", r"model 'late\(' must be written as name, name\(option=value, …\) or module:Class"),
        ("late(3)", r"options of model 'late\(3\)' must be written as option=value"),
        ("oracle(a=1)", "'oracle' is not built from shapes and takes no options"),
        ("no_such_module:Class", "module 'no_such_module' of model .* cannot be imported"),
        ("benchmark.models:Absent", "'benchmark.models' has no 'Absent'"),
    ],
)
def test_what_is_no_model_is_told(name, words):
    with pytest.raises(ValueError, match=words):
        models.check_name(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("oracle", "'oracle' is not built from shapes"),
        ("unimodal(modality=c)", "modality 'c' is unknown. There are a, b"),
        (
            "contrastive(dropout=some)",
            "'dropout' of model 'contrastive' must be one of improved, random",
        ),
        ("contrastive(tokens=1)", "'tokens' of model 'contrastive' must be True or False. Got 1"),
        ("healnet(n_rounds=0)", "'n_rounds' of model 'healnet' must be at least 1. Got 0"),
        ("attention(n_layers=0)", "'n_layers' of model 'attention' must be at least 1. Got 0"),
        ("hybrid(architecture=s2)", "'architecture' of a hybrid network must be compact or s1. Got 's2'"),
    ],
)
def test_options_out_of_range_are_told_when_it_is_built(name, words):
    with pytest.raises(ValueError, match=words):
        models.build(name, SHAPES)


def test_a_network_of_ones_own(own):
    assert models.plan(f"{own}:Mine").learning_rate == 0.5
    assert models.plan(f"{own}:Bare") == COMPACT
    assert models.describe(f"{own}:Mine") == "My own network."
    assert models.describe(f"{own}:Bare") == "a network of your own"
    network = models.build(f"{own}:Mine(modality=b)", SHAPES)
    assert (type(network).__name__, network.modality) == ("Mine", "b")
    assert models.build(f"{own}:plain_one", SHAPES).groups == {"a": slice(0, 3), "b": slice(3, 5)}
    assert not models.is_built_in(f"{own}:Mine")
    assert models.others(f"{own}:Mine") == ()
    with pytest.raises(ValueError, match=r"must be a torch.nn.Module with .*PlainNetwork. Got Wrong"):
        models.build(f"{own}:Wrong", SHAPES)
    with pytest.raises(ValueError, match=r"must be those of its data, \['a', 'b'\]. Got \['a!', 'b!'\]"):
        models.build(f"{own}:other_names", SHAPES)
    with pytest.raises(ValueError, match=r"must be a class that is built as Class\(shapes, n_classes=…\)"):
        models.get(f"{own}:constant")


def test_networks_of_installed_packages_are_found(own, installed, caplog):
    group = registry.ENTRY_POINT_GROUP
    installed(
        EntryPoint("theirs", f"{own}:Mine", group),
        EntryPoint("broken", f"{own}:Absent", group),
        EntryPoint("unrelated", f"{own}:Mine", "another.group"),
    )
    assert models.names()[-1] == "theirs"
    assert isinstance(models.plan("theirs"), TrainingPlan)
    assert not models.is_built_in("theirs")
    assert "The model 'broken' of" in caplog.text
    installed(EntryPoint("late", f"{own}:Mine", group))
    assert models.names().count("late") == 1
    assert f"The model 'late' of {own}:Mine is left out: the name is that of a model" in caplog.text


def test_a_model_stays_valid_when_anothers_file_changes():
    root = Path(store.__file__).parents[1]
    for name in models.names():
        others = models.others(name)
        assert all((root / file).is_file() for file in others)
        shared = {"architecture", "base", "encoders", "attention_layers", "patterns", "plan"}
        assert not {f"benchmark/models/{file}.py" for file in shared} & set(others)
        assert "benchmark/models/registry.py" in others
        own = models.get(name).network.__module__ if name != "oracle" else "benchmark.models.oracle"
        assert f"{own.replace('.', '/')}.py" not in others
    assert "benchmark/models/unimodal.py" in models.others("late")
    assert "benchmark/models/unimodal.py" not in models.others("distilled")  # its teachers
    assert models.others("contrastive(tokens=False)") == models.others("contrastive")


SMALL = suite.Suite(
    "small", "d", ("paper-F2",), ("contrastive( tokens=False )", "contrastive(tokens=False)"),
    n_seeds=1, n_patients=400, methods=("gradient",),
)  # fmt: skip


def test_a_plan_has_each_model_once_under_its_full_name():
    assert {job.stage.model for job in suite.plan(SMALL)} == {"contrastive(tokens=False)"}
    with pytest.raises(ValueError, match="Did you mean 'contrastive'"):
        suite.plan(SMALL, model_names=("contrastve(tokens=False)",))
    assert suite_file._model("unimodal( modality = axial )") == "unimodal(modality=axial)"
    assert suite_file._model("no_such_module:Class( a = 1 )") == "no_such_module:Class(a=1)"  # not imported
    with pytest.raises(ValueError, match="Did you mean 'late'"):
        suite_file._model("lat")
    with pytest.raises(ValueError, match="'no_such_module' of model"):
        suite.plan(SMALL, model_names=("no_such_module:Class",))
    jobs = suite.plan(SMALL, model_names=("contrastive", "contrastive(tokens=True)"))
    assert {job.stage.model for job in jobs} == {"contrastive"}
    jobs = suite.plan(SMALL, model_names=("contrastive", "contrastive(tokens=False)"))
    assert len({network_key(job.stage) for job in jobs}) == 2


def test_results_and_weights_of_a_network_of_ones_own_are_never_recalled(own, tmp_path, monkeypatch):
    jobs = suite.plan(SMALL, model_names=(f"{own}:Mine", "late"))
    asked = []
    folder = store.Store(tmp_path)
    monkeypatch.setattr(folder, "load", lambda job, _key: asked.append(job.stage.model))
    assert all(result is None for *_, result in look_up(jobs, folder))
    assert set(asked) == {"late"}
    for name in ("load_cached", "save_cached"):
        monkeypatch.setattr(bench, name, lambda *_, **__: pytest.fail("the cache was used"))
    monkeypatch.setattr(bench, "fit", lambda name, _train, seed, **_: [name, seed])
    dataset = bench.synthetic.generate(jobs[0].stage.load_scenario(), seed=0, n=200)
    network, _, recalled = bench._trained(jobs[0].stage, dataset.train)
    assert network == [f"{own}:Mine", 0]
    assert not recalled
