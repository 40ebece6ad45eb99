"""The project works with the least versions that it declares, and with those that it is tested with."""

import re
import subprocess
import sys
import tomllib
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = [Requirement(line) for line in PROJECT["dependencies"]]
_DEPEND_ON_TORCH = ("medmnist",)
SMALL = ("--patients", "400", "--explained", "40", "--workers", "1")
TRAINED = (
    "--scenario",
    "paper-F2",
    "--model",
    "late",
    "--seeds",
    "1",
    "--method",
    "kernel_shap",
    "--method",
    "grad_cam",
)


def least(requirement):
    """Return the version that a requirement begins with."""
    (version,) = (it.version for it in requirement.specifier if it.operator == ">=")
    return version


def test_what_the_tests_run_with_is_what_is_declared():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {name.lower(): version for name, version in pinned.items()}
    others = [Requirement(line) for extra in PROJECT["optional-dependencies"].values() for line in extra]
    for it in (*NEEDED, *(it for it in others if it.name != "plumbline")):
        assert it.specifier.contains(pinned[it.name.lower()]), it
    assert all(least(it) for it in NEEDED)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Return what runs the command in an environment of the least versions; torch is the one that is here.

    PyPI's older builds of torch for Linux are gigabytes large.
    """
    if not find_spec("pip"):
        pytest.skip("needs pip to install with")
    folder = tmp_path_factory.mktemp("least")
    venv.create(folder / "venv", with_pip=False)
    bin_folder = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    python = str(bin_folder / "python")
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    with_torch = [f"{it.name}=={least(it)}" for it in NEEDED if it.name in _DEPEND_ON_TORCH]
    others = [f"{it.name}=={least(it)}" for it in NEEDED if it.name not in (*_DEPEND_ON_TORCH, "torch")]
    for asked in (others, ["--no-deps", *with_torch]):
        done = subprocess.run([*install, *asked], capture_output=True, text=True, check=False)  # noqa: S603
        if re.search(r"(?i)connection|resolution|timed? ?out", done.stderr) and done.returncode:
            pytest.skip(f"needs a package index to install from: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stderr
    # Torch, and what depends on it, is seen from here, after them.
    told = subprocess.run(  # noqa: S603
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    here = [str(ROOT), *(path for path in sys.path if path.endswith(("site-packages", "dist-packages")))]
    (Path(told.stdout.strip()) / "seen.pth").write_text("\n".join(here) + "\n", encoding="utf-8")

    def run(*words):
        return subprocess.run(  # noqa: S603 - the project's own command, in the other environment
            [python, "-W", "ignore", "-m", "benchmark", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    said = subprocess.run(  # noqa: S603
        [
            python,
            "-c",
            "import numpy, pandas, scipy, matplotlib; print(numpy.__version__, pandas.__version__)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    versions = {it.name: least(it) for it in NEEDED}
    for name, found in zip(("numpy", "pandas"), said.stdout.split(), strict=True):
        assert Requirement(f"{name}=={versions[name]}").specifier.contains(found)
    return run


@pytest.mark.slow
def test_every_command_works_with_the_least_versions(command):
    for words in (
        ("--help",),
        ("run", "--help"),
        ("baseline", "update", "--help"),
        ("list", "models"),
        ("show", "graded"),
        ("check-method", "gradient"),
        ("check-model", "late", "--scenario", "paper-F4"),
        ("run", "smoke", "--scenario", "xor", *SMALL, "--out", "oracle", "--report"),
        ("run", "paper", *TRAINED, *SMALL, "--out", "trained"),
        ("run", "smoke", "--scenario", "xor", "--dry-run"),
        ("report", "oracle", "trained", "--out", "both.html"),
        ("export", "trained", "--out", "paper", "--format", "pdf", "--format", "svg"),
        ("baseline", "update", "oracle", "--baseline", "base", "--reason", "first"),
        ("check", "oracle", "--baseline", "base", "--strict"),
        ("compare", "oracle", "oracle"),
        ("truths", "xor", "--out", "truths.csv"),
        ("cache", "info"),
    ):
        done = command(*words)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
