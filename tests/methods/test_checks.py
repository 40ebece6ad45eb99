"""Every check lets a sound method pass, and every broken one is caught by the check that is meant for it."""

import ast
import random
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

import methods
from methods import Attribution, Method, NotApplicableError, as_method, checks
from methods.checks import CheckError, invariances, kinds, network, parametrize_with_checks, rules, run_checks
from methods.evaluation import fusion_features, probabilities

NAMES = [check.__name__ for check in checks.CHECKS]


def sound(model, samples, rng):
    """Gradient importance: quick, without chance, and right about every kind of model."""
    found = methods.get("gradient").attribute(model, samples, rng)
    return dict(found.modalities)


def failed(candidate):
    return {found.check: found.reason for found in run_checks(candidate) if found.status == "failed"}


# Methods that break one rule each: sound, but for one fault. The name of the check stands in the table below.


def of_all_samples(model, samples):
    features, target = fusion_features(model, samples)
    return features, probabilities(model, features).gather(1, target[:, None])[:, 0]


def returns_what_is_not_finite(model, samples, rng):
    usual = "history" in model.modalities
    return Attribution(sound(model, samples, rng), features={"history": np.full(2, np.inf)} if usual else {})


def speaks_of_others(model, samples, rng):
    usual = "history" in model.modalities
    return Attribution(sound(model, samples, rng), features={"liver": np.ones(3)} if usual else {})


def finds_nothing(model, samples, rng):
    return dict.fromkeys(model.modalities, 0.0)


def gives_everyone_something(model, samples, rng):
    found = sound(model, samples, rng)
    return {name: value + 0.1 * sum(found.values()) for name, value in found.items()}


def parts(model):
    """Return the network's pieces that a method has where it is not shielded by the harness."""
    return [module for module in getattr(model, "modules", list)() if module is not model]


def updates_statistics(model, samples, rng):
    found = sound(model, samples, rng)
    for layer in parts(model):
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_mean += 1
    return found


def leaves_training_mode(model, samples, rng):
    found = sound(model, samples, rng)
    for layer in parts(model):
        layer.train()
    return found


def leaves_gradients(model, samples, rng):
    found = sound(model, samples, rng)
    if any(weight.requires_grad for layer in parts(model) for weight in layer.parameters()):
        model.classify(model.encode(samples.inputs)).sum().backward()
    return found


def freezes_parameters(model, samples, rng):
    found = sound(model, samples, rng)
    for layer in parts(model):
        layer.requires_grad_(requires_grad=False)
    return found


def leaves_a_hook(model, samples, rng):
    found = sound(model, samples, rng)
    for layer in parts(model):
        layer.register_forward_hook(lambda *_: None)
    return found


def leaves_a_hook_on_everything(model, samples, rng):
    found = sound(model, samples, rng)
    torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    return found


def nearly(model, samples, rng, chance):
    return {name: value * (1 + 1e-3 * chance) for name, value in sound(model, samples, rng).items()}


def draws_from_torch(model, samples, rng):
    return nearly(model, samples, rng, float(torch.rand(())))


def draws_from_numpy(model, samples, rng):
    return nearly(model, samples, rng, np.random.random())  # noqa: NPY002 - the fault


def draws_from_python(model, samples, rng):
    return nearly(model, samples, rng, random.random())  # noqa: S311 - the fault


def draws_from_torch_and_hides_it(model, samples, rng):
    with torch.random.fork_rng(devices=[]):
        return nearly(model, samples, rng, float(torch.rand(())))


def draws_from_nowhere(model, samples, rng):
    return nearly(model, samples, rng, np.random.default_rng().random())


def draws_a_lot(model, samples, rng):
    power = rng.uniform(0.2, 4)
    return {name: value**power for name, value in sound(model, samples, rng).items()}


def counts_positions(model, samples, rng):
    return {name: i * value for i, (name, value) in enumerate(sound(model, samples, rng).items(), 1)}


def believes_names(model, samples, rng):
    return {
        name: value * (3 if name.startswith(("a", "i")) else 1)
        for name, value in sound(model, samples, rng).items()
    }


def believes_the_order_of_inputs(model, samples, rng):
    return dict(zip(samples.inputs, sound(model, samples, rng).values(), strict=True))


def explains_the_first_ones_only(model, samples, rng):
    return sound(model, samples.take(slice(0, 5)), rng)


def grows_with_the_number_of_samples(model, samples, rng):
    return {name: value ** (1 + len(samples) / 64) for name, value in sound(model, samples, rng).items()}


def needs_a_module(model, samples, rng):
    if len(model.modalities) < 16:
        model.eval()
    return sound(model, samples, rng)


def needs_undeclared_labels(model, samples, rng):
    assert samples.labels.dtype == torch.int64
    return sound(model, samples, rng)


def fails_at_five_modalities(model, samples, rng):
    if len(model.modalities) == 5:
        raise KeyError("fifth")
    return sound(model, samples, rng)


def enumerates_subsets(model, samples, rng):
    features, _ = of_all_samples(model, samples)
    for _ in range(2 ** len(model.modalities)):
        model.classify(features)
    return sound(model, samples, rng)


def knows_three_classes(model, samples, rng):
    if model.classify(model.encode(samples.inputs)).shape[1] > 3:
        raise IndexError("index 3 is out of bounds")
    return sound(model, samples, rng)


def knows_one_size(model, samples, rng):
    if any(value.shape[-1] == 64 for value in samples.inputs.values()):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    return sound(model, samples, rng)


def needs_an_image(model, samples, rng):
    if all(value.ndim == 2 for value in samples.inputs.values()):
        raise StopIteration
    return sound(model, samples, rng)


def needs_a_table(model, samples, rng):
    if len(samples.inputs) > 1 and all(value.ndim == 4 for value in samples.inputs.values()):
        raise StopIteration
    return sound(model, samples, rng)


def divides_by_a_spread(model, samples, rng):
    spread = of_all_samples(model, samples)[1].numpy()
    with np.errstate(all="ignore"):
        scale = ((spread - spread.mean()) ** 2).sum() / np.float64(len(spread) - 1)
    return {name: value / scale for name, value in sound(model, samples, rng).items()}


# The same for methods that say where in an image the information is, and nothing of modalities.


def slopes(model, samples):
    leaves = {name: value.clone().requires_grad_() for name, value in samples.inputs.items()}
    odds = model.classify(model.encode(leaves)).diff(dim=1)[:, 0]
    found = torch.autograd.grad(odds.sum(), tuple(leaves.values()), allow_unused=True, materialize_grads=True)
    return {
        name: value[:, 0].abs().numpy() for name, value in zip(leaves, found, strict=True) if value.ndim == 4
    }


def pixels(model, samples, rng):
    maps = slopes(model, samples)
    if not maps:
        raise NotApplicableError("needs an image")
    return Attribution(pixels=maps)


def shows_nothing(model, samples, rng):
    return Attribution(pixels={name: 0 * maps for name, maps in slopes(model, samples).items()})


def scales_each_image(model, samples, rng):
    return Attribution(
        pixels={
            name: maps / maps.max() if maps.any() else np.ones_like(maps)
            for name, maps in slopes(model, samples).items()
        }
    )


CALLS = count()


def speckles(model, samples, rng):
    # Not drawn: one pair of draws in twenty is the same in single precision.
    factor = 1 + 1e-6 * (next(CALLS) % 2)
    return Attribution(pixels={name: values * factor for name, values in slopes(model, samples).items()})


def speckles_from_numpy(model, samples, rng):
    factor = 1 + 1e-6 * np.random.random()  # noqa: NPY002 - the fault
    return Attribution(pixels={name: values * factor for name, values in slopes(model, samples).items()})


def drowns_in_noise(model, samples, rng):
    return Attribution(
        pixels={
            name: values * rng.exponential(size=values.shape)
            for name, values in slopes(model, samples).items()
        }
    )


def counts_columns(model, samples, rng):
    maps = slopes(model, samples)
    return Attribution(
        pixels={
            name: value[:, ::-1] if model.groups[name].start % 4 else value for name, value in maps.items()
        }
    )


def forgets_an_image_by_its_name(model, samples, rng):
    maps = slopes(model, samples)
    return Attribution(
        pixels={name: value for name, value in maps.items() if not name.startswith("z")} or maps
    )


def turns_with_the_inputs(model, samples, rng):
    maps = slopes(model, samples)
    if list(samples.inputs) == list(model.modalities):
        return Attribution(pixels=maps)
    return Attribution(pixels={name: value.transpose(0, 2, 1) for name, value in maps.items()})


def shows_the_first_patient_everywhere(model, samples, rng):
    return Attribution(
        pixels={
            name: np.repeat(value[:1], len(value), axis=0) for name, value in slopes(model, samples).items()
        }
    )


def turns_with_the_number_of_samples(model, samples, rng):
    maps = slopes(model, samples)
    return Attribution(
        pixels={name: value[:, ::-1] if len(value) > 64 else value for name, value in maps.items()}
    )


def turns_with_the_model(model, samples, rng):
    maps = slopes(model, samples)
    return Attribution(
        pixels={name: value if parts(model) else value[:, ::-1] for name, value in maps.items()}
    )


def of_pixels(function):
    """Return the method of a function that shows pixels; a model of tables alone has none."""

    def applied(model, samples, rng):
        if all(value.ndim == 2 for value in samples.inputs.values()):
            raise NotApplicableError("needs an image")
        return function(model, samples, rng)

    return Method(function.__name__, applied, methods.PIXELS)


BROKEN_MAPS = [
    (shows_nothing, "something_matters"),
    (scales_each_image, "ignored_modality"),
    (speckles, "same_seed"),
    (speckles_from_numpy, "draws_from_rng_alone"),
    (drowns_in_noise, "other_seeds"),
    (counts_columns, "order_of_modalities"),
    (forgets_an_image_by_its_name, "names_of_modalities"),
    (turns_with_the_inputs, "order_of_inputs"),
    (shows_the_first_patient_everywhere, "order_of_samples"),
    (turns_with_the_number_of_samples, "number_of_samples"),
    (turns_with_the_model, "protocol_is_enough"),
]


BROKEN = [
    (Method("mistaken", sound, "gradeint"), "estimand_is_known"),
    (finds_nothing, "something_matters"),
    (gives_everyone_something, "ignored_modality"),
    (updates_statistics, "weights_untouched"),
    (leaves_training_mode, "mode_untouched"),
    (leaves_gradients, "no_gradients_left"),
    (freezes_parameters, "no_gradients_left"),
    (leaves_a_hook, "no_hooks_left"),
    (leaves_a_hook_on_everything, "no_hooks_left"),
    (draws_from_torch, "draws_from_rng_alone"),
    (draws_from_numpy, "draws_from_rng_alone"),
    (draws_from_python, "draws_from_rng_alone"),
    (draws_from_torch_and_hides_it, "draws_from_rng_alone"),
    (draws_from_nowhere, "same_seed"),
    (draws_a_lot, "other_seeds"),
    (counts_positions, "order_of_modalities"),
    (believes_names, "names_of_modalities"),
    (believes_the_order_of_inputs, "order_of_inputs"),
    (explains_the_first_ones_only, "order_of_samples"),
    (grows_with_the_number_of_samples, "number_of_samples"),
    (needs_a_module, "protocol_is_enough"),
    (Method("idle", sound, "gradient", needs_labels=True), "labels"),
    (fails_at_five_modalities, "number_of_modalities"),
    (enumerates_subsets, "sixteen_modalities"),
    (knows_three_classes, "number_of_classes"),
    (knows_one_size, "image_sizes"),
    (needs_an_image, "tables_only"),
    (needs_a_table, "images_only"),
    (divides_by_a_spread, "one_sample"),
]


def name_of(candidate):
    return candidate if isinstance(candidate, str) else as_method(candidate).name


# That a check catches what it is meant for is looked at with the slow tests, but for every third.
THINNED = [
    pytest.param(*pair, marks=() if place % 3 == 0 else pytest.mark.slow, id=name_of(pair[0]))
    for place, pair in enumerate(BROKEN)
]


@pytest.mark.parametrize(("candidate", "check"), THINNED)
def test_a_broken_method_is_caught_by_the_check_that_is_meant_for_it_and_by_no_other(candidate, check):
    found = failed(candidate)
    assert list(found) == [f"check_{check}"]
    sentence = found[f"check_{check}"]
    assert sentence.startswith(f"Method '{name_of(candidate)}' must ")
    assert sentence.endswith(".")
    assert sentence.count(". ") >= 2  # the rule, what was found, what to do
    assert "\n" not in sentence


@pytest.mark.parametrize("function", [returns_what_is_not_finite, speaks_of_others])
def test_what_the_contract_refuses_is_told_by_the_check_of_values(function):
    assert "must give features of the model's modalities, finite" in failed(function)["check_finite_values"]


@pytest.mark.parametrize(
    ("function", "check"), BROKEN_MAPS, ids=[function.__name__ for function, _ in BROKEN_MAPS]
)
@pytest.mark.few(5)
def test_broken_maps_are_caught_by_the_check_that_is_meant_for_them(function, check):
    found = failed(of_pixels(function))
    assert f"check_{check}" in found
    sentence = found[f"check_{check}"]
    assert sentence.startswith(f"Method '{function.__name__}' must ")
    assert sentence.count(". ") >= 2


def test_a_method_that_shows_pixels_alone_passes_every_check():
    found = {finding.check: finding for finding in run_checks(Method("maps", pixels, methods.PIXELS))}
    assert [name for name, finding in found.items() if finding.status != "ok"] == ["check_tables_only"]
    assert found["check_tables_only"].reason == "a model of tables only: needs an image"


def test_every_check_has_a_method_that_it_catches():
    # What is not finite is refused by the contract wherever a method runs, see above.
    assert {f"check_{check}" for _, check in BROKEN} | {"check_finite_values"} == set(NAMES)


def test_no_check_is_forgotten():
    defined = {
        name for module in (rules, invariances, kinds) for name in vars(module) if name.startswith("check_")
    }
    assert defined - {"check_finite"} == set(NAMES)


def test_a_sound_method_passes_every_check():
    assert failed(sound) == {}
    assert [found.check for found in run_checks(sound)] == NAMES
    assert {found.status for found in run_checks(sound)} == {"ok"}


def test_a_method_that_always_raises_is_told_so_once():
    def broken(model, samples, rng):
        return dict.fromkeys(model.modalities, 1 / 0)

    found = list(run_checks(broken))
    assert [(it.check, it.status) for it in found] == [
        ("check_estimand_is_known", "ok"),
        ("check_finite_values", "failed"),
    ]
    assert "It raised ZeroDivisionError: division by zero (test_checks.py, line " in found[-1].reason


def test_a_method_that_raises_on_some_models_is_checked_on_the_others():
    def two_classes_at_most(model, samples, rng):
        if model.classify(model.encode(samples.inputs)).shape[1] > 2:
            raise KeyError("of three")
        return sound(model, samples, rng)

    assert [it.check for it in run_checks(two_classes_at_most)] == NAMES
    assert list(failed(two_classes_at_most)) == ["check_number_of_classes"]


def test_labels_that_were_not_declared_are_told_as_such():
    # No check can run the method then, and this one says why.
    found = failed(needs_undeclared_labels)
    assert "needs_labels=True" in found["check_labels"]
    assert failed(Method("declared", needs_undeclared_labels, "gradient", needs_labels=True)) == {
        "check_labels": "Method 'declared' must use the labels that it declares. With every label turned "
        "round it returned the same. Take needs_labels=True out."
    }


def test_every_check_says_in_a_line_what_it_checks():
    for check in checks.CHECKS:
        line = check.__doc__.partition("\n")[0]
        assert line.endswith(".")
        assert len(line) < 105


def test_a_check_raises_an_assertion_error_with_its_cause():
    def raises(model, samples, rng):
        raise KeyError("axial")

    with pytest.raises(CheckError, match=r"'raises' must explain .* It raised KeyError: 'axial' \(") as error:
        rules.check_finite_values(as_method(raises))
    assert isinstance(error.value, AssertionError)
    assert isinstance(error.value.__cause__, KeyError)


# A method that does not apply


def two_at_most(model, samples, rng):
    if len(model.modalities) > 2:
        raise NotApplicableError("two modalities at most")
    return sound(model, samples, rng)


def test_what_does_not_apply_is_skipped_with_its_reason():
    found = {finding.check: finding for finding in run_checks(two_at_most)}
    assert {finding.status for finding in found.values()} == {"ok", "skipped"}
    assert found["check_images_only"].status == "ok"
    assert found["check_same_seed"].reason == "two modalities at most"
    assert found["check_number_of_modalities"].reason == (
        "a model of 5 modalities: two modalities at most; a model of 12 modalities: two modalities at most"
    )


def test_what_does_not_apply_here_hides_no_failure_there():
    def picky(model, samples, rng):
        if len(model.modalities) == 1:
            raise NotApplicableError("one modality has it all")
        return fails_at_five_modalities(model, samples, rng)

    assert "check_number_of_modalities" in failed(picky)


@pytest.mark.parametrize("estimand", ["information", "bayes_accuracy", "leave_one_out"])
def test_what_the_model_ignores_may_still_tell_of_the_patients(estimand):
    found = {
        finding.check: finding for finding in run_checks(Method("m", gives_everyone_something, estimand))
    }
    assert found["check_ignored_modality"].status == "skipped"
    assert estimand in found["check_ignored_modality"].reason


@pytest.mark.parametrize("error", [NotApplicableError("needs two"), ValueError("needs two samples")])
def test_one_sample_may_be_refused(error):
    def needs_two(model, samples, rng):
        if len(samples) == 1:
            raise error
        return sound(model, samples, rng)

    assert failed(needs_two) == {}


@pytest.mark.parametrize("error", [ValueError(), IndexError("index 1 is out of bounds"), SystemExit(2)])
def test_one_sample_may_not_be_met_unprepared(error):
    def needs_two(model, samples, rng):
        if len(samples) == 1:
            raise error
        return sound(model, samples, rng)

    assert list(failed(needs_two)) == ["check_one_sample"]


# What the checks leave behind


def test_global_state_is_as_it_was_whatever_a_method_did():
    def rude(model, samples, rng):
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)
        np.seterr(divide="ignore")
        torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
        raise RuntimeError("and fails")

    def state():
        settings = (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), np.geterr())
        return (settings, invariances._draws(), [len(hooks) for hooks in rules._global_hooks()])

    before = state()
    for _finding in run_checks(rude):
        assert state()[:2] == before[:2]
    # Hooks are looked for by one check alone, which removes them.
    for hooks in rules._global_hooks():
        hooks.clear()


def test_the_checks_share_no_model(rng):
    first = network.case({"a": (3,)}, n=5)
    first.model.head[0].weight += 1
    first.samples.inputs["a"].zero_()
    again = network.case({"a": (3,)}, n=5)
    assert not torch.equal(again.model.head[0].weight, first.model.head[0].weight)
    assert again.samples.inputs["a"].abs().sum() > 0


# The network


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_network_is_worth_explaining(n_classes):
    given = network.case({"axial": (1, 28, 28), "table": (3,)}, n=200, n_classes=n_classes)
    assert isinstance(given.model, methods.SeparableModel)
    assert not given.model.training
    probability = given.model(given.samples.inputs).softmax(1)
    assert probability.min() < 0.1
    assert probability.max() > 0.9
    assert len(given.samples.labels.unique()) == n_classes
    features = given.model.encode(given.samples.inputs)
    assert features.std(0).min() > 0.5
    assert features.std(0).max() < 2


def test_a_rearranged_network_says_the_same():
    given = network.case({"axial": (1, 28, 28), "table": (3,), "more": (2,)}, n=9)
    moved = network.Rearranged(given.model, {"more": "x", "axial": "y", "table": "z"})
    inputs = {
        new: given.samples.inputs[old] for new, old in zip("zxy", ("table", "more", "axial"), strict=True)
    }
    assert moved.modalities == ("x", "y", "z")
    assert torch.equal(moved(inputs), given.model(given.samples.inputs))
    features = moved.encode(inputs)
    for name, value in inputs.items():
        assert torch.equal(features[:, moved.groups[name]], moved.encode_modality(name, value))


def test_a_bare_model_shows_the_protocol_alone():
    given = network.case({"axial": (1, 28, 28), "table": (3,)}, n=9)
    bare = network.Bare(given.model, limit=20)
    assert isinstance(bare, methods.FusionModel)
    assert not isinstance(bare, methods.SeparableModel)
    assert torch.equal(bare.classify(bare.encode(given.samples.inputs)), given.model(given.samples.inputs))
    assert bare.model_calls == 9
    bare.encode(given.samples.inputs)
    with pytest.raises(methods.BudgetError, match="More than 20 samples"):
        bare.encode(given.samples.inputs)


# pytest


def test_one_test_a_check_and_method():
    mark = parametrize_with_checks([sound, "lime(n_points=1000)", Method("own", sound, "shapley")])
    assert mark.args[0] == ("method", "check")
    ids = [parameter.id for parameter in mark.args[1]]
    assert ids[0] == "sound-check_estimand_is_known"
    assert ids == [f"{name}-{check}" for name in ("sound", "lime(n_points=1000)", "own") for check in NAMES]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["gradeint"],), "Did you mean 'gradient'"),
        (([3],), "must be a function"),
        ((["gradient"], {"check_same_sed": "why"}), "Did you mean 'check_same_seed'"),
    ],
)
def test_what_cannot_be_checked_is_named(arguments, message):
    candidates, *expected = arguments
    with pytest.raises(ValueError, match=message):
        parametrize_with_checks(candidates, expected_failures=expected[0] if expected else None)
    if not expected:
        with pytest.raises(ValueError, match=message):
            list(run_checks(candidates[0]))


OWN_TESTS = """
import methods
from methods.checks import parametrize_with_checks

def sound(model, samples, rng):
    return dict(methods.get("gradient").attribute(model, samples, rng).modalities)

def no_images(model, samples, rng):
    if all(value.ndim == 4 for value in samples.inputs.values()):
        raise methods.NotApplicableError("needs a table")
    return sound(model, samples, rng)

def counts(model, samples, rng):
    return {name: i * value for i, (name, value) in enumerate(sound(model, samples, rng).items(), 1)}

@parametrize_with_checks([sound, no_images])
def test_mine(method, check):
    check(method)

@parametrize_with_checks([counts])
def test_counts(method, check):
    check(method)

@parametrize_with_checks([counts], expected_failures={"check_order_of_modalities": "known"})
def test_known(method, check):
    check(method)

@parametrize_with_checks([sound], expected_failures={"check_same_seed": "passes all the same"})
def test_wrongly_known(method, check):
    check(method)
"""


@pytest.mark.slow
def test_the_checks_in_somebodys_own_tests(tmp_path):
    (tmp_path / "test_own.py").write_text(OWN_TESTS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rsxf", "-p", "no:cacheprovider", "test_own.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stdout.splitlines()[-1]
    n = len(NAMES)
    # no_images is skipped for images only, and where one modality is an image alone.
    assert f"2 failed, {5 * n - 5} passed, 2 skipped, 1 xfailed" in last, done.stdout
    assert "FAILED test_own.py::test_counts[counts-check_order_of_modalities]" in done.stdout
    assert (
        "Method 'counts' must say the same of a model whose modalities stand in another order" in done.stdout
    )
    assert "[XPASS(strict)] passes all the same" in done.stdout
    assert "'no_images' does not apply: a model of images only: needs a table" in done.stdout


def test_pytest_is_loaded_by_who_asks_for_it_only():
    for file in Path(checks.__file__).parent.glob("*.py"):
        for node in ast.parse(file.read_bytes()).body:
            assert "pytest" not in ast.unparse(node) or not isinstance(node, ast.Import | ast.ImportFrom)
