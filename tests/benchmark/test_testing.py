"""Accuracy as one line of a test, and the pytest plug-in that sets its defaults."""

import subprocess
import sys
from pathlib import Path

import pytest

import methods
from benchmark import pytest_plugin, testing
from benchmark.testing import assert_accuracy

pytest_plugins = ("pytester",)
FEW = {"scenarios": ["paper-F4"], "n_patients": 300}


def even(model, samples, rng):
    return dict.fromkeys(model.modalities, 1.0)


def first_alone(model, samples, rng):
    return {name: float(place == 0) for place, name in enumerate(model.modalities)}


def guess(model, samples, rng):
    return {name: float(rng.random()) for name in model.modalities}


def test_an_accurate_method_passes_in_silence(capsys):
    assert assert_accuracy("gradient", **FEW, rmse=0.02, rbo=0.99) is None
    assert assert_accuracy(methods.as_method(even), scenarios=["paper-F6"], n_patients=300, rmse=0.01) is None
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_method_that_is_not_accurate_fails_with_figures_and_the_worst_scenarios():
    # One-hot truth against equal shares: √(0.75² + 3 · 0.25²)/2 = 0.4330 on F0; on F6, all is right.
    with pytest.raises(AssertionError) as failure:
        assert_accuracy(even, scenarios=["paper-F0", "paper-F6"], n_patients=300, rmse=0.1, rbo=0.9)
    text = str(failure.value)
    assert "even is less accurate than it should be on suite smoke" in text
    assert "pooled RMSE on oracle: 0.3062, must be at most 0.1; worst on\n    paper-F0  0.4330\n" in text
    assert "mean RBO on oracle: 0.8770, must be at least 0.9; worst on\n    paper-F0  0.7539\n" in text
    assert text.index("paper-F0") < text.index("paper-F6")


def test_only_the_figure_that_is_missed_is_told():
    with pytest.raises(AssertionError) as failure:
        assert_accuracy(first_alone, **FEW, rmse=0.1, rbo=0.1)
    assert "RMSE" in str(failure.value)
    assert "RBO" not in str(failure.value)


def test_the_verdict_is_the_same_each_time():
    told = []
    for _ in range(2):
        with pytest.raises(AssertionError) as failure:
            assert_accuracy(guess, **FEW, rmse=0.0)
        told.append(str(failure.value))
    assert told[0] == told[1]


def test_a_method_that_fails_or_does_not_apply_fails_the_test():
    def broken(model, samples, rng):
        raise KeyError("no such thing")

    def choosy(model, samples, rng):
        raise methods.NotApplicableError("needs a network")

    for method, told in ((broken, "failed in 2 of 2"), (choosy, "was skipped in 2 of 2")):
        with pytest.raises(AssertionError, match=told) as failure:
            assert_accuracy(method, **FEW, n_seeds=2, rmse=0.5)
        assert "paper-F4, oracle, seed 0" in str(failure.value)
    assert "needs a network" in str(failure.value)


def test_an_estimand_decides_the_truth():
    # The total effect of F4 is that of its gradient: half each.
    assert_accuracy("modality_contribution", **FEW, rmse=0.1)
    with pytest.raises(ValueError, match="Did you mean 'shapley'"):
        assert_accuracy(even, estimand="shaply", rmse=0.1)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="give 'rmse', 'rbo' or both"):
        assert_accuracy(even)
    with pytest.raises(ValueError, match=r"The 'rbo' must be in \[0, 1\]. Got 93"):
        assert_accuracy(even, rbo=93)
    with pytest.raises(ValueError, match="Did you mean 'smoke'"):
        assert_accuracy(even, "smok", rmse=0.1)
    with pytest.raises(ValueError, match="Did you mean 'gradient'"):
        assert_accuracy("gradien", rmse=0.1)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(testing.tempfile, "tempdir", str(tmp_path))
    assert_accuracy("gradient", **FEW, rmse=0.1)
    assert list(tmp_path.iterdir()) == []


PLUGIN = ("-p", "benchmark.pytest_plugin")


def test_options_set_what_a_test_leaves_open(pytester):
    pytester.makepyfile("""
        from benchmark import pytest_plugin, testing

        def test_defaults(monkeypatch):
            asked = {}
            def refuse(**options):
                asked.update(options)
                raise InterruptedError
            monkeypatch.setattr(testing.Request, "from_options", refuse)
            for options, expected in (({}, ("paper", 2)), ({"suite": "full", "n_seeds": 1}, ("full", 1))):
                try:
                    testing.assert_accuracy("gradient", rmse=0.1, **options)
                except InterruptedError:
                    pass
                assert (asked["suite"], asked["n_seeds"]) == expected
    """)
    options = ("--plumbline-suite", "paper", "--plumbline-seeds", "2", "-p", "no:cacheprovider")
    result = pytester.runpytest_inprocess(*PLUGIN, *options)
    result.assert_outcomes(passed=1)
    assert (pytest_plugin.chosen_suite(), pytest_plugin.chosen_seeds()) == (None, None)


def test_options_are_in_the_help(pytester):
    result = pytester.runpytest_inprocess(*PLUGIN, "--help")
    result.stdout.fnmatch_lines(["*--plumbline-suite=NAME*", "*--plumbline-seeds=N*"])


def test_the_plugin_loads_nothing():
    code = (
        "import sys; import benchmark.pytest_plugin; "
        "print([name for name in ('torch', 'numpy', 'pandas', 'typer') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_plugin_is_loaded_where_it_is_named_alone():
    # A package of the name `benchmark` may be another's: pytest must not look for it at every start.
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert "pytest11" not in text
