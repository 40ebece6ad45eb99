from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("synthetic", "methods", "benchmark")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_the_one_of_this_tree(name):
    # The names are common ones: an installed package of the same name must not take its place.
    package = importlib.import_module(name)
    assert Path(package.__file__).resolve() == (ROOT / name / "__init__.py").resolve()
    assert (ROOT / name / "py.typed").is_file()


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("synthetic", "scenarios describe scenario generate Scenario DecisionFunction Term"),
        ("synthetic", "Dataset Samples Modality Truth"),
        ("methods", "names get as_method Method Attribution FusionModel SeparableModel"),
        ("benchmark", "evaluate score"),
        ("benchmark.score", "rbo rmse"),
    ],
)
def test_public_names_are_there(module, names):
    loaded = importlib.import_module(module)
    for name in names.split():
        assert hasattr(loaded, name), f"{module}.{name}"
        if module in PACKAGES:
            assert name in loaded.__all__


def lint_imports(root):
    command = shutil.which("lint-imports", path=sysconfig.get_path("scripts")) or shutil.which("lint-imports")
    if command is None:
        pytest.skip("import-linter is not installed; install the extra 'check'")
    return subprocess.run(  # noqa: S603 - the tool found above
        [command, "--no-cache", "--no-logo"], cwd=root, capture_output=True, text=True, check=False
    )


def test_imports_go_one_way():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("synthetic/types.py", "import methods"),
        ("synthetic/types.py", "from benchmark import score"),
        ("methods/api.py", "import benchmark.score"),
        ("benchmark/score.py", "import torch"),
        ("benchmark/score.py", "from synthetic import types"),
        ("methods/lime.py", "import methods.gradient"),
    ],
)
def test_the_check_of_imports_can_fail(tmp_path, file, line):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path in ROOT.glob("*/*.py"):
        if path.parent.name in {"synthetic", "methods", "benchmark"}:
            (tmp_path / path.parent.name).mkdir(exist_ok=True)
            (tmp_path / path.parent.name / path.name).touch()
    assert lint_imports(tmp_path).returncode == 0
    (tmp_path / file).write_text(f"{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "1 broken" in result.stdout


def test_importing_the_generator_does_not_load_the_harness():
    unwanted = {"methods", "benchmark", "medmnist", "sklearn"}
    code = f"import sys, synthetic; print(sorted({unwanted} & set(sys.modules)))"
    result = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
