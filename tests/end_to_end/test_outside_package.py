"""A method in a package of its own, installed beside the project, under the group ``plumbline.methods``."""

import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec("pip") and find_spec("setuptools")), reason="needs pip and setuptools to install with"
    ),
]

PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "outside-methods"
version = "1.0"

[project.entry-points."plumbline.methods"]
outside = "outside_methods:METHOD"
outside_bare = "outside_methods:largest_step"
outside_broken = "outside_methods.broken:METHOD"
outside_quits = "outside_methods.quits:METHOD"
outside_absent = "outside_methods:not_there"

[tool.setuptools]
packages = ["outside_methods"]
"""

MODULE = '''
"""An importance method that nobody asked the project about."""

import torch
from methods import Method


def largest_step(model, samples, rng):
    """Return by how much the probability moves when a fusion feature is set to its mean."""
    features = model.encode(samples.inputs)
    before = model.classify(features).softmax(1)[:, 1]
    moved = []
    for column in range(features.shape[1]):
        changed = features.clone()
        changed[:, column] = features[:, column].mean()
        moved.append((before - model.classify(changed).softmax(1)[:, 1]).abs())
    return torch.stack(moved, dim=1)


METHOD = Method("any name", largest_step, "total_effect", citation="nobody, nowhere")
'''


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return the interpreter of a fresh environment in which the package is installed, without a network."""
    folder = tmp_path_factory.mktemp("outside")
    package = folder / "project" / "outside_methods"
    package.mkdir(parents=True)
    (package.parent / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (package / "__init__.py").write_text(MODULE, encoding="utf-8")
    (package / "broken.py").write_text("import a_package_that_nobody_has\n", encoding="utf-8")
    (package / "quits.py").write_text("raise SystemExit('not on this machine')\n", encoding="utf-8")
    venv.create(folder / "venv", with_pip=False)
    bin_folder = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    interpreter = str(bin_folder / "python")
    # What is installed here is seen there, this tree before any other copy of the project.
    (site,) = {
        Path(path) for path in _ask(interpreter, "import sysconfig; print(sysconfig.get_path('purelib'))")
    }
    here = [str(ROOT), *(path for path in sys.path if path.endswith(("site-packages", "dist-packages")))]
    (site / "seen.pth").write_text("\n".join(here) + "\n", encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - this interpreter's pip, for the other one
        [
            *(sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-index"),
            *("--no-deps", "--no-build-isolation", "--disable-pip-version-check", str(package.parent)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return interpreter


def _ask(interpreter, code):
    done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.split()


def plumbline(python, *words, cwd):
    return subprocess.run(  # noqa: S603 - the project's own command, in the other environment
        [python, "-m", "benchmark", *words], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


def test_an_installed_method_is_listed_and_a_broken_one_is_left_out_with_a_warning(python, tmp_path):
    done = plumbline(python, "list", "methods", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "targets total_effect" in rows["outside"]
    assert "nobody, nowhere" in rows["outside"]
    assert "targets gradient" in rows["outside_bare"]
    assert "kernel_shap" in rows
    told = " ".join(done.stderr.split())
    for name, reason in (
        ("outside_broken", "a_package_that_nobody_has"),
        ("outside_quits", "not on this machine"),
        ("outside_absent", "not_there"),
    ):
        assert name not in rows
        assert f"The method '{name}' of outside_methods" in told
        assert reason in told


def test_an_installed_method_is_run_and_checked_like_any_other(python, tmp_path):
    done = plumbline(
        *(python, "run", "smoke", "--scenario", "paper-F0", "--scenario", "paper-F4", "--patients", "400"),
        *(
            "--explained",
            "60",
            "--method",
            "outside",
            "--method",
            "gradient",
            "--workers",
            "2",
            "--out",
            "out",
        ),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert set(scores["status"]) == {"done"}
    assert set(scores.loc[scores["method"] == "outside", "targets"]) == {"total_effect"}
    (rmse,) = scores.loc[
        (scores["method"] == "outside")
        & (scores["estimand"] == "total_effect")
        & (scores["scenario"] == "paper-F4"),
        "rmse",
    ]
    assert rmse < 0.1
    checked = plumbline(python, "check-method", "outside", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
