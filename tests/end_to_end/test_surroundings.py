"""Where the command runs decides nothing: homes, terminals, encodings, back ends and closed streams.

Every row runs the same small suite in another environment. The tables must be written, with the same numbers,
and the exit code must be that of a run in which all was done.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

RUN = (
    "run",
    "smoke",
    "--scenario",
    "paper-F4",
    "--scenario",
    "xor",
    "--patients",
    "300",
    "--explained",
    "20",
)
RUN += ("--seeds", "1", "--method", "gradient", "--method", "ablation", "--workers", "1", "--out", "out")

NOBODY = """
import os, pwd
def nobody(*_):
    raise KeyError("getpwuid(): uid not found: 4711")
pwd.getpwuid = pwd.getpwnam = nobody
os.environ.pop("HOME", None)
for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
    os.environ.pop(name, None)
"""

ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "no home": {"HOME": None},
    "no home, nobody in passwd": {"HOME": None, "PYTHONPATH": "nobody"},
    "a home that is not there": {"HOME": "/nonexistent/home"},
    "a cache that cannot be written": {"PLUMBLINE_CACHE": "/proc/nothing"},
    "a cache in an unknown home": {"PLUMBLINE_CACHE": "~nobody-of-that-name/cache"},
    "scans in an unknown home": {"PLUMBLINE_DATA": "~nobody-of-that-name/scans"},
    **{
        f"encoding {name}": {"PYTHONIOENCODING": name, "PYTHONUTF8": "0"}
        for name in ("ascii", "cp1252", "latin-1", "cp437", "shift_jis", "utf-16", "ascii:strict")
    },
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    **{
        f"back end {name}": {"MPLBACKEND": name}
        for name in (
            "module://matplotlib_inline.backend_inline",
            "module://nothing.here",
            "TkAgg",
            "nonsense",
        )
    },
    "typeset by TeX": {"MATPLOTLIBRC": "usetex"},
    "a style of the user's": {"MATPLOTLIBRC": "style"},
    "a broken matplotlibrc": {"MATPLOTLIBRC": "broken"},
    "a matplotlibrc that is no text": {"MATPLOTLIBRC": "bytes"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "no assertions, no docstrings": {"PYTHONOPTIMIZE": "2"},
    "a dumb terminal": {"TERM": "dumb", "COLUMNS": "20"},
    "colour in any case": {"FORCE_COLOR": "1"},
    "a width of nothing": {"COLUMNS": "0"},
    "a width of nonsense": {"COLUMNS": "wide"},
}

STREAMS = {
    "only the first line is read": "{} | head -1",
    "nobody reads": "{} | true",
    "no output": "{} >&-",
    "no errors": "{} 2>&-",
    "neither": "{} >&- 2>&-",
    "no input": "{} <&-",
    "none of the three": "{} <&- >&- 2>&-",
    "a full disc": "{} > /dev/full",
    "a full disc for errors": "{} 2> /dev/full",
    "many open files": "ulimit -n 4096; {python} -c 'import os, sys; "
    "[os.set_inheritable(os.open(os.devnull, 0), True) for _ in range(1100)]; "
    "os.execv(sys.argv[1], sys.argv[1:])' {}",
}


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> pd.DataFrame:
    return _scores(tmp_path_factory.mktemp("usual"), {}, "{}")


def _scores(folder: Path, changed: dict[str, str | None], line: str) -> pd.DataFrame:
    (folder / "nobody").mkdir(exist_ok=True)
    (folder / "nobody" / "sitecustomize.py").write_text(NOBODY)
    for name, text in (
        ("usetex", "text.usetex: True\n"),
        ("style", "figure.figsize: 1, 1\nfont.size: 40\naxes.grid: True\nsavefig.bbox: standard\n"),
        ("broken", "no such: thing\nfigure.figsize: wide\n"),
    ):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "matplotlibrc").write_text(text)
    (folder / "bytes").mkdir(exist_ok=True)
    (folder / "bytes" / "matplotlibrc").write_bytes(b"\xff\xfe\x00")
    environment = {**os.environ, "PLUMBLINE_CACHE": str(folder / "cache")}
    for name, value in changed.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = str(folder / value) if (folder / value).exists() else value
    if "HOME" in changed:
        environment.pop("PLUMBLINE_CACHE")
    words = shlex.join([sys.executable, "-m", "benchmark", *RUN])
    line = line.replace("{python}", shlex.quote(sys.executable)).replace("{}", words)
    done = subprocess.run(  # noqa: S603 - a line that is written above
        ["/bin/bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=200,
        check=False,
    )
    told = f"exit code {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, told
    assert "Traceback" not in done.stderr, told
    for name in ("leaderboard.md", "manifest.json", "importances-oracle.png", "scores.csv"):
        assert (folder / "out" / name).is_file(), told
    assert not (folder / "~").exists(), "a folder named ~"
    return pd.read_csv(folder / "out" / "scores.csv").drop(columns="seconds")


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_surroundings_change_no_number(name, tmp_path, usual):
    pd.testing.assert_frame_equal(_scores(tmp_path, ENVIRONMENTS[name], "{}"), usual)


@pytest.mark.slow
@pytest.mark.parametrize("name", STREAMS)
def test_no_word_is_worth_a_result(name, tmp_path, usual):
    pd.testing.assert_frame_equal(_scores(tmp_path, {}, STREAMS[name]), usual)
