"""What a method can get hold of, if it tries: nothing but a model and samples.

The spies here look for the answers themselves, by value: a truth's shares, a patient's latents, labels.
They are told what to look for as text, so that they do not find their own knowledge.
"""

import gc
import json
import sys
import tempfile
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import synthetic
from benchmark import bench, door, run, sandbox, suite
from benchmark.bench import Limits
from benchmark.diagnosis import DIAGNOSIS
from benchmark.executors import InProcessExecutor
from benchmark.maps import TrueMaps
from benchmark.models import HybridNetwork
from benchmark.store import Result, Store
from methods.api import Method
from synthetic.images import ImageDraw
from synthetic.pixels import PixelTruth
from synthetic.truth import Truths
from synthetic.types import Dataset, Truth

SCENARIO = "graded"
N, N_EXPLAINED = 400, 40
SPLITS = ("train", "explain", "test")
ANSWERS = (Truth, Truths, Dataset, Result, ImageDraw, PixelTruth, TrueMaps)

_NO_DATA = (type, types.ModuleType, str, bytes, int, float)

needs_fork = pytest.mark.skipif(not sandbox.is_available(), reason="needs fork")


def named(split, what):
    """Return what a split's answers are called: those of the samples that methods get, by themselves."""
    return what if split == "explain" else f"{split} {what}"


class Spy:
    """Look at objects one by one, and note which answers they hold."""

    def __init__(self):
        dataset = synthetic.generate(synthetic.scenario(SCENARIO), seed=1, n=N)
        self.shares = {
            json.dumps([f"{value:.9g}" for value in dataset.truth[name].modalities.values()]): name
            for name in ("gradient", "permutation")
        }
        # Of images: a table's columns are seen by the network as they are.
        self.latents = {
            repr(dataset.latents[split][:3, 0].tolist()): named(split, "latents") for split in SPLITS
        }
        self.labels = {
            repr(getattr(dataset, split).labels[:N_EXPLAINED].tolist()): named(split, "labels")
            for split in SPLITS
        }

    def look(self, things):
        return sorted(set(filter(None, map(self._name, things))))

    def _name(self, thing):
        kind = type(thing)
        if kind in ANSWERS:
            return kind.__name__ if vars(thing) else None
        if kind is synthetic.DecisionFunction:
            return "DecisionFunction"
        if kind is dict and len(thing) == 4 and all(type(value) is float for value in thing.values()):
            return self.shares.get(json.dumps([f"{value:.9g}" for value in thing.values()]))
        # issubclass: some lazy objects warn where they are asked what they are.
        if issubclass(kind, torch.Tensor):
            return self._name_of_array(thing)
        if kind is np.ndarray and thing.dtype.kind in "fi":
            return self._name_of_array(torch.from_numpy(thing.astype(thing.dtype.newbyteorder("="))))
        return None

    def _name_of_array(self, values):
        if values.is_floating_point() and values.ndim == 2 and len(values) >= 3:
            rows = values[:3].detach()
            columns = (repr(rows[:, column].tolist()) for column in range(rows.shape[1]))
            return next((self.latents[column] for column in columns if column in self.latents), None)
        if values.dtype == torch.int64 and values.ndim == 1 and len(values) >= N_EXPLAINED:
            return self.labels.get(repr(values[:N_EXPLAINED].tolist()))
        return None


def everything_alive():
    """Yield all that the garbage collector knows, and what that holds without its knowing."""
    found = gc.get_objects()
    known = set(map(id, found))
    for thing in found:
        yield thing
        yield from unknown_parts(thing, known)


def unknown_parts(thing, known):
    # The collector does not list arrays, nor dicts and tuples of plain values and arrays.
    for part in gc.get_referents(thing):
        if type(part) in (np.ndarray, dict, tuple) and id(part) not in known:
            yield part
            yield from unknown_parts(part, known)


def on_the_stack():
    """Yield what the callers hold in their variables, and what those hold."""
    frame = sys._getframe()
    while frame is not None:
        for value in frame.f_locals.values():
            yield from handed_over([value], deep=6)
        frame = frame.f_back


def handed_over(things, *, deep=30):
    """Yield whatever data leads on to: attributes, slots, items, closures, bound objects, bases of views.

    Classes and modules are no data: through them, everything that can be imported is there for anybody.
    """
    seen, level = {}, list(things)
    for _ in range(deep):
        following = []
        for thing in level:
            if id(thing) in seen or issubclass(type(thing), _NO_DATA):
                continue
            seen[id(thing)] = thing
            yield thing
            following += parts_of(thing)
        level = following


def parts_of(thing):
    found = [*getattr(thing, "__dict__", {}).values()]
    for cls in type(thing).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            mangled = f"_{cls.__name__.lstrip('_')}{slot}" if slot.startswith("__") else slot
            found.append(getattr(thing, mangled, None))
    if isinstance(thing, dict | types.MappingProxyType):
        found += [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        found += thing
    if isinstance(thing, types.FunctionType):
        found += [cell.cell_contents for cell in thing.__closure__ or ()]
        found += [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]
    found += [getattr(thing, name, None) for name in ("__self__", "__func__", "__wrapped__")]
    if isinstance(thing, torch.Tensor):
        found.append(thing._base)
        # The whole memory behind a view, in the dtype of the view.
        found.append(torch.empty(0, dtype=thing.dtype).set_(thing.untyped_storage()))
    return found


@contextmanager
def only_what_is_new():
    """Keep what other tests left in this process out of sight: millions of objects take minutes to see."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@cache
def spied(model_name, *, apart, needs_labels=False, needs_training=False, beside="gradient", forgetting=True):
    """Run a spy through the harness, after all else, and return what it found where."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder, only_what_is_new():
        # Whether a network is trained does not matter here.
        patch.setattr(bench, "fit", lambda name, train, **_: HybridNetwork(bench.input_shapes(train)).eval())
        patch.setattr(bench, "load_cached", lambda *_args, **_options: None)
        patch.setattr(bench, "save_cached", lambda *_args, **_options: None)
        if not forgetting:
            patch.setattr(bench, "forget", lambda _answers: None)
        # In a thread, the stack is that of the harness alone: pytest's leads to everything that tests hold.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(
                spy_on,
                model_name,
                Path(folder),
                apart=apart,
                needs_labels=needs_labels,
                needs_training=needs_training,
                beside=beside,
            ).result()


def spy_on(model_name, folder, *, apart, needs_labels, needs_training, beside):
    spy, note = Spy(), folder / "found.json"

    def method(model, samples, rng, **given):
        if given:
            given["network"] = given["retrain"](model.modalities[:2])
        found = {
            "handed over": spy.look(handed_over([model, samples, rng, *given.values()])),
            "stack": spy.look(on_the_stack()),
            "alive": spy.look(everything_alive()),
        }
        note.write_text(json.dumps(found), encoding="utf-8")
        return dict.fromkeys(model.modalities, 1.0)

    own = Method("spy", method, "gradient", needs_labels=needs_labels, needs_training=needs_training)
    chosen = suite.plan(
        suite.get("smoke"),
        own_scenarios=(synthetic.scenario(SCENARIO),),
        model_names=(model_name,),
        method_names=(beside,),
        own_names=("spy",),
        n_patients=N,
        n_explained=N_EXPLAINED,
        n_seeds=2,
    )
    # The spy comes last in each stage; what it notes is of the second, after the first's results.
    jobs = sorted(chosen, key=lambda job: (job.stage.data_seed, job.method == "spy"))
    with InProcessExecutor() as executor:
        results = run.run(jobs, Store(folder), executor, own_methods=[own], limits=Limits(apart=apart))
    assert {result.status for result in results} == {"done"}, [result.error for result in results]
    # What was forgotten there is still here.
    assert all(result.truth["gradient"] for result in results if result.targets != DIAGNOSIS)
    return json.loads(note.read_text(encoding="utf-8"))


@pytest.mark.parametrize("apart", [pytest.param(True, marks=needs_fork), False])
def test_nothing_that_a_method_is_handed_leads_to_an_answer(apart):
    assert spied("hybrid", apart=apart)["handed over"] == []


@pytest.mark.parametrize("apart", [pytest.param(True, marks=needs_fork), False])
def test_the_oracle_is_the_decision_function_and_reads_latents(apart):
    found = spied("oracle", apart=apart)
    assert found["handed over"] == ["DecisionFunction", "latents"]


@needs_fork
def test_in_a_process_of_its_own_no_answer_is_left_anywhere():
    found = spied("hybrid", apart=True)
    assert found == {"handed over": [], "stack": [], "alive": []}


@needs_fork
def test_on_the_oracle_nothing_is_left_but_what_it_is():
    found = spied("oracle", apart=True)
    assert set(found["stack"]) <= {"DecisionFunction", "latents"}
    assert found["alive"] == ["DecisionFunction", "latents"]


@needs_fork
def test_labels_are_there_for_those_only_who_declare_them():
    found = spied("hybrid", apart=True, needs_labels=True)
    assert found["handed over"] == ["labels"]
    assert found["alive"] == ["labels"]


@needs_fork
@pytest.mark.parametrize("needs_labels", [False, True])
def test_training_samples_are_there_for_those_only_who_declare_that_they_train(needs_labels):
    found = spied("hybrid", apart=True, needs_training=True, needs_labels=needs_labels)
    expected = ["labels", "train labels"] if needs_labels else ["train labels"]
    assert found["handed over"] == expected
    assert found["alive"] == expected
    assert set(found["stack"]) <= set(expected)


@needs_fork
def test_beside_a_method_that_trains_no_training_samples_are_left_for_others():
    assert spied("hybrid", apart=True, beside="leave_one_out") == {
        "handed over": [],
        "stack": [],
        "alive": [],
    }
    # They are in the harness's own process, for the method that trains.
    kept = spied("hybrid", apart=False, beside="leave_one_out")
    assert kept["handed over"] == []
    assert "train labels" in kept["stack"]


def test_in_the_harness_own_process_training_leads_to_training_samples_alone():
    assert spied("hybrid", apart=False, needs_training=True)["handed over"] == ["train labels"]


@needs_fork
def test_the_spy_finds_what_is_not_forgotten():
    found = spied("hybrid", apart=True, forgetting=False)
    assert {"ImageDraw", "Result", "latents", "gradient", "permutation"} <= set(found["alive"])
    assert {"train latents", "test latents"} <= set(found["alive"])
    assert {"Result", "gradient", "permutation"} <= set(found["stack"])


def test_in_the_harness_own_process_a_method_can_walk_up_the_stack():
    """No Python can prevent it: why the command runs methods apart."""
    found = spied("hybrid", apart=False)
    assert {"Truth", "labels", "gradient"} <= set(found["stack"])


def test_a_method_that_declares_labels_gets_a_copy_of_those_of_its_samples():
    scenario = synthetic.scenario("paper-F4")
    dataset = synthetic.generate(scenario, seed=0, n=N)
    part = dataset.explain.take(slice(0, 7)).as_float()
    assert part.labels._base is None
    assert part.labels.untyped_storage().nbytes() == 7 * 8
    part.labels.fill_(9)
    assert int(dataset.explain.labels.max()) == 1


def test_what_is_forgotten_is_forgotten_in_the_copy_alone():
    # Called here, `forget` would empty this very process.
    if not sandbox.is_available():
        pytest.skip("needs fork")
    dataset = synthetic.generate(synthetic.scenario(SCENARIO), seed=0, n=N)
    truth = dataset.truth["gradient"]
    answers = door.find_answers()

    def forget():
        door.forget(answers)
        return [len(vars(truth)), len(vars(dataset))]

    assert sandbox.apart(forget) == [0, 0]
    assert truth.modalities["axial"] > 0
    assert len(dataset.train)


def test_answers_that_are_looked_for_are_not_kept():
    truth = synthetic.truths(synthetic.scenario("paper-F4"))["gradient"]
    found = door.find_answers()
    assert any(reference() is truth for reference in found)
    place = next(reference for reference in found if reference() is truth)
    del truth
    gc.collect()
    assert place() is None
