from importlib.metadata import EntryPoint

import numpy as np
import pytest

import methods
from benchmark.controls import CONTROLS
from benchmark.diagnosis import DIAGNOSIS
from benchmark.maps import MAP_CONTROLS
from methods import Method, as_method, registry

MODULE = """
import numpy as np
from methods import Method

def by_spread(model, samples, rng):
    return {name: float(value.std()) for name, value in samples.inputs.items()}

def with_options(model, samples, rng, *, power=1):
    return {name: float(value.std()) ** power for name, value in samples.inputs.items()}

declared = Method(name="declared", function=by_spread, estimand="shapley")
constant = 3
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Return the name of a user's module in a folder of its own."""
    name = f"own_methods_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def installed(monkeypatch):
    """Return a function that makes the registry find the given entry points."""

    def install(*points):
        monkeypatch.setattr(
            "synthetic.plugins.entry_points", lambda group: [p for p in points if p.group == group]
        )
        registry._registered.cache_clear()

    yield install
    registry._registered.cache_clear()


def test_the_built_in_methods():
    assert methods.names() == (
        "gradient",
        "permutation",
        "lime",
        "kernel_shap",
        "mean_of_methods",
        "modality_contribution",
        "input_x_gradient",
        "smoothgrad",
        "integrated_gradients",
        "gradient_shap",
        "deeplift",
        "deeplift_shap",
        "lrp",
        "feature_ablation",
        "shapley_sampling",
        "ablation",
        "ablation_loss",
        "ablation_variance",
        "modality_shapley",
        "modality_shap",
        "modality_sage",
        "modality_interactions",
        "intershap",
        "dime",
        "emap",
        "decision_information",
        "unimodal_information",
        "unimodal_accuracy",
        "calibrated_gradient",
        "calibrated_permutation",
        "calibrated_total_effect",
        "calibrated_shapley",
        "calibrated_sage",
        "saliency",
        "pixel_integrated_gradients",
        "grad_cam",
        "occlusion",
        "patch_shap",
        "pattern",
        "single_modality",
        "leave_one_out",
    )
    for name in methods.names():
        method = methods.get(name)
        assert method.name == name
        assert method.citation
        assert method.estimand in methods.TARGETS


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("lime", "lime", {}),
        ("lime()", "lime", {}),
        (" lime ( n_points = 10 ) ", "lime(n_points=10)", {"n_points": 10}),
        ("lime(ridge=0.5,n_points=10)", "lime(n_points=10, ridge=0.5)", {"n_points": 10, "ridge": 0.5}),
        ("lime(kernel_width=1e-1)", "lime(kernel_width=0.1)", {"kernel_width": 0.1}),
        ("permutation(unit=modality)", "permutation(unit=modality)", {"unit": "modality"}),
        ("permutation(unit='modality')", "permutation(unit=modality)", {"unit": "modality"}),
        ("kernel_shap(n_coalitions=None)", "kernel_shap", {}),  # as it is anyway
        ("kernel_shap(aggregation=mean_absolute)", "kernel_shap", {}),
        ("permutation(unit=modality, n_repeats=10)", "permutation(unit=modality)", {"unit": "modality"}),
        (
            "permutation(n_repeats=10.0)",
            "permutation(n_repeats=10.0)",
            {"n_repeats": 10.0},
        ),  # no number of times
        ("lime(ridge=-1.5)", "lime(ridge=-1.5)", {"ridge": -1.5}),
        ("lime(n_points=(1, 2))", "lime(n_points=(1, 2))", {"n_points": (1, 2)}),
        (
            "lime(n_points={'a': [1, 2]}, ridge=1)",
            "lime(n_points={'a': [1, 2]}, ridge=1)",
            {"n_points": {"a": [1, 2]}, "ridge": 1},
        ),
        ("lime(ridge='a,b')", "lime(ridge='a,b')", {"ridge": "a,b"}),
        ("lime(ridge='a=b)(')", "lime(ridge='a=b)(')", {"ridge": "a=b)("}),
        ('lime(ridge="1")', "lime(ridge='1')", {"ridge": "1"}),
        ("lime(ridge='None')", "lime(ridge='None')", {"ridge": "None"}),
        ("lime(ridge='')", "lime(ridge='')", {"ridge": ""}),
        ("lime(n_points=10,)", "lime(n_points=10)", {"n_points": 10}),
    ],
)
def test_options_are_read_and_shown_in_the_name(text, name, options):
    method = methods.get(text)
    assert method.name == name
    assert dict(method.options) == options
    again = methods.get(method.name)
    assert again.name == method.name
    assert again.options == method.options
    assert {key: type(value) for key, value in again.options.items()} == {
        key: type(value) for key, value in method.options.items()
    }


def test_aggregation_is_an_option_of_every_method():
    method = methods.get("kernel_shap(aggregation=absolute_mean)")
    assert method.aggregation == "absolute_mean"
    assert dict(method.options) == {}
    assert methods.get("kernel_shap").aggregation == "mean_absolute"
    with pytest.raises(ValueError, match=r"'aggregation' .* mean_absolute, absolute_mean. Got 'median'"):
        methods.get("kernel_shap(aggregation=median)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gradeint", "'gradeint' is unknown. Did you mean 'gradient'?"),
        ("kernelshap", "Did you mean 'kernel_shap'?"),
        ("xyzzy", "'xyzzy' is unknown. There are gradient, permutation, lime"),
        ("", "must be written as name, name"),
        ("lime(n_points=10", "must be written as name, name"),
        ("lime(n_points=10) x", "must be written as name, name"),
        ("lime(10)", "options of method 'lime(10)' must be written as option=value. Got '10'"),
        ("lime(n points=10)", "must be written as option=value. Got 'n points=10'"),
        ("lime(**{'n_points': 1})", "must be written as option=value. Got \"**{'n_points': 1}\""),
        ("lime(n_points=10)(ridge=1)", "must be written as option=value. Got 'n_points=10)(ridge=1'"),
        ("lime(n_points=10, n_points=20)", "The option 'n_points' of method"),
        ("lime(n_points={[]: 1})", "option 'n_points' of method 'lime(n_points={[]: 1})' must be a number"),
        ("lime(n_points=10 + 5)", "must be a number, a word, a text in quotes"),
        ("lime(n_points=os.cpu_count())", "Got 'os.cpu_count()'; put a text in quotes"),
        ("lime(n_points=half-way)", "Got 'half - way'; put a text in quotes"),
        ("lime(n_points=2d)", "must be written as option=value. Got 'n_points=2d'"),
        ("lime(n_points=" + "(" * 500 + ")" * 500 + ")", "must be written as option=value"),
        ("lime(points=10)", "The lime option 'points' is unknown. Did you mean 'n_points'"),
        ("lime(n_point=10)", "'n_point' is unknown. Did you mean 'n_points'?"),
        ("gradient(unit=modality)", "The gradient option 'unit' is unknown. There are aggregation."),
        ("mean_of_methods(n_points=10)", "The mean_of_methods option 'n_points' is unknown"),
        ("lime(model=1)", "'model' is unknown"),
    ],
)
def test_a_wrong_name_or_option_is_an_error_that_says_what_is_right(text, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below
        methods.get(text)
    assert message in str(error.value)


def test_a_function_of_ones_own_is_found_by_its_module(own_module, network, samples, rng):
    method = methods.get(f"{own_module}:by_spread")
    assert method.name == f"{own_module}:by_spread"
    assert method.estimand == "gradient"
    result = method.attribute(network, samples, rng).modalities
    assert result == pytest.approx({name: float(value.std()) for name, value in samples.inputs.items()})


def test_a_function_of_ones_own_has_options(own_module, network, samples, rng):
    method = methods.get(f"{own_module}:with_options(power=0)")
    assert method.name == f"{own_module}:with_options(power=0)"
    assert set(method.attribute(network, samples, rng).modalities.values()) == {1.0}
    with pytest.raises(ValueError, match=r"'pover' is unknown. Did you mean 'power'"):
        methods.get(f"{own_module}:with_options(pover=0)")


def test_a_method_of_ones_own_keeps_what_it_declares(own_module):
    method = methods.get(f"{own_module}:declared")
    assert (method.name, method.estimand) == (f"{own_module}:declared", "shapley")


def test_what_is_not_there_is_named(own_module):
    with pytest.raises(
        ValueError, match=r"module 'no_such_module' of method .* cannot be imported .*install"
    ):
        methods.get("no_such_module:function")
    with pytest.raises(ValueError, match=f"'{own_module}' has no 'absent'"):
        methods.get(f"{own_module}:absent")
    with pytest.raises(ValueError, match=r"must be a function \(model, samples, rng\).* Got 3"):
        methods.get(f"{own_module}:constant")


def test_a_bare_function_becomes_a_method(network, samples, rng):
    def sizes(model, samples, rng):
        del rng
        assert samples.labels is None
        return np.ones(max(columns.stop for columns in model.groups.values()))

    sizes.version = 7
    method = as_method(sizes)
    assert (method.name, method.estimand, method.version) == ("sizes", "gradient", "7")
    assert as_method(sizes, name="other", estimand="shapley").estimand == "shapley"
    assert as_method(sizes, name="other").name == "other"
    expected = {"axial": 10, "clinical": 3, "coronal": 10, "history": 2}
    assert method.attribute(network, samples, rng).modalities == expected


def test_a_callable_object_is_named_after_its_class():
    class Sizes:
        def __call__(self, model, samples, rng):
            raise NotImplementedError

    assert as_method(Sizes()).name == "Sizes"


def test_a_method_stays_as_it_is():
    method = Method(name="mine", function=len, estimand="shapley")
    assert as_method(method) is method


@pytest.mark.parametrize("wrong", [3, None, "gradient", np.ones(2)])
def test_what_is_no_function_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be a function \(model, samples, rng\)"):
        as_method(wrong)


def test_methods_of_installed_packages_are_found(own_module, installed):
    installed(
        EntryPoint("spread", f"{own_module}:by_spread", registry.ENTRY_POINT_GROUP),
        EntryPoint("unrelated", f"{own_module}:by_spread", "another.group"),
    )
    assert methods.names()[-1] == "spread"
    assert "unrelated" not in methods.names()
    assert methods.get("spread").name == "spread"
    with pytest.raises(ValueError, match=r"Did you mean 'spread'?"):
        methods.get("spraed")


def test_an_installed_method_may_not_take_a_name(own_module, installed, caplog):
    installed(EntryPoint("lime", f"{own_module}:by_spread", registry.ENTRY_POINT_GROUP))
    usual = methods.get("lime").function
    assert methods.names().count("lime") == 1
    assert methods.get("lime").function is usual
    assert "The method 'lime' of" in caplog.text
    assert "the name is that of a method of the project's own" in caplog.text


@pytest.mark.parametrize("name", [*registry.RESERVED, "a(b)", "a:b", "a/b", "a b", "two"])
def test_a_name_that_nobody_could_use_is_left_out(name, own_module, installed, caplog):
    group = registry.ENTRY_POINT_GROUP
    points = [EntryPoint(name, f"{own_module}:by_spread", group) for _ in range(2)]
    installed(*points, EntryPoint("spread", f"{own_module}:by_spread", group))
    assert "spread" in methods.names()
    assert (name in methods.names()) == (name == "two")  # of two packages, the first is kept
    assert f"The method {name!r} of" in caplog.text


def test_what_is_reserved_is_what_the_harness_puts_beside_methods():
    assert set(registry.RESERVED) == {*CONTROLS, *MAP_CONTROLS, DIAGNOSIS}


@pytest.mark.parametrize("code", ["import a_package_that_nobody_has", "raise SystemExit(3)", "x = 1 / 0"])
def test_a_broken_package_is_left_out_with_a_warning(tmp_path, monkeypatch, installed, caplog, code):
    name = f"broken_package_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    installed(EntryPoint("broken", f"{name}:METHOD", registry.ENTRY_POINT_GROUP))
    assert "broken" not in methods.names()
    assert "gradient" in methods.names()
    assert f"The method 'broken' of {name}:METHOD is left out" in caplog.text
