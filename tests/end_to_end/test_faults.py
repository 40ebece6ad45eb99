"""What a run survives: kills, full and read-only discs, two runs in one folder, wrong clocks, damaged files.

After whatever happened, the same command must end with the tables of a run that nothing happened to, having
made nothing again that was there.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import synthetic
from synthetic import cache_upkeep

resource = pytest.importorskip("resource", reason="needs the limits of Unix")

SMALL = ("--patients", "400", "--explained", "60", "--seeds", "1")
TWO = ("run", "smoke", "--scenario", "paper-F2", "--scenario", "paper-F4", *SMALL, "--out", "out")
QUICK = (*TWO, "--method", "gradient", "--method", "permutation", "--workers", "1")
N_RESULTS = 10  # two scenarios, two methods and three controls
FOUR = ("run", "smoke", *(word for case in (1, 2, 4, 5) for word in ("--scenario", f"paper-F{case}")), *SMALL,
        "--method", "kernel_shap", "--workers", "2", "--out", "out")  # fmt: skip
NETWORKS = ("run", "paper", "--model", "hybrid", "--scenario", "paper-F4", "--scenario", "paper-F5", *SMALL,
            "--method", "gradient", "--method", "permutation", "--out", "out")  # fmt: skip
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount a small disc"
)


# What there is, and what it says.


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the bytes and the time of writing of every result."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (folder / "out" / "results").glob("*.json")
    }


def leftovers(folder: Path) -> dict[str, int]:
    """Return the temporary files of writes that were cut off, with their sizes."""
    return {str(path): path.stat().st_size for path in folder.rglob("*.part")}


def without(column: str, rows: list[list[str]]) -> list[list[str]]:
    place = rows[0].index(column)
    assert all(len(row) > place for row in rows)
    return [row[:place] + row[place + 1 :] for row in rows]


def tables(folder: Path) -> dict[str, object]:
    """Return the text of every table; what was measured with a clock is left out."""
    out = folder / "out"
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        scores = without("seconds", list(csv.reader(file)))
    pages = (out / "leaderboard.md").read_text(encoding="utf-8").split("\n\n")
    (place,) = (i for i, page in enumerate(pages) if page.startswith("| method | targets |"))
    pages[place] = without(
        "seconds", [[cell.strip() for cell in line.split("|")] for line in pages[place].splitlines()]
    )
    pages = [page for page in pages if not str(page).startswith("Made by")]  # the options differ
    return {
        "scores": scores,
        "importances": (out / "importances.csv").read_bytes(),
        "leaderboard": pages,
        "results": sorted(name for name in contents(folder) if "waits" not in name),
    }


def check_goes_on(folder: Path, run: Callable[[], subprocess.CompletedProcess[str]], expected: dict) -> None:
    """Check that every result is whole, and that a run keeps it, adds what is missing, and says the same."""
    before, torn = contents(folder), leftovers(folder)
    for name, (raw, _) in before.items():
        assert json.loads(raw)["status"] == "done", name
    again = run()
    assert again.returncode == 0, again.stderr
    after = contents(folder)
    assert {name: after.get(name) for name in before} == before
    assert tables(folder) == expected
    assert leftovers(folder).items() <= torn.items()


def check_told(done: subprocess.CompletedProcess[str], *reasons: str) -> None:
    """Check for exit code 2 and one error that says what, why, and what to do."""
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    error = done.stderr[done.stderr.index("Error: ") :]
    assert error.count("\n") == 1
    for reason in ("out", *reasons):
        assert reason in error
    assert re.search(r"--out|the same command goes on", error), error


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


class Undisturbed:
    """What commands say, and how long they take, if nothing happens: each is run once.

    Args:
        plumbline: runs a command.
        new_folder: returns an empty folder.
    """

    def __init__(self, plumbline, new_folder: Callable[[], Path]) -> None:
        self._plumbline = plumbline
        self._new_folder = new_folder
        self._known: dict[tuple[str, ...], tuple[dict[str, object], float]] = {}

    def __call__(self, *words: str) -> tuple[dict[str, object], float]:
        """Return the tables of a command, and its seconds with an empty cache."""
        if words not in self._known:
            folder = self._new_folder()
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PLUMBLINE_CACHE", str(folder / "cache"))
                start = time.monotonic()
                done = self._plumbline(*words, cwd=folder)
            assert done.returncode == 0, done.stderr
            self._known[words] = tables(folder), time.monotonic() - start
        return self._known[words]


@pytest.fixture(scope="module")
def undisturbed(plumbline, tmp_path_factory):
    return Undisturbed(plumbline, lambda: tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# Kills.


def moment(number: int, n: int, seconds: float) -> float:
    """Return a random moment, of n that are spread over the seconds; consecutive numbers lie apart."""
    place = random.Random(n).sample(range(n), n)[number]  # noqa: S311
    return (place + random.Random(number).random()) / n * seconds  # noqa: S311


def kill_and_go_on(plumbline, folder: Path, words: tuple[str, ...], after: float, expected: dict) -> None:
    running = plumbline.start(*words, cwd=folder)
    time.sleep(after)
    running.kill()
    assert running.wait().returncode in (-signal.SIGKILL, 0)
    check_goes_on(folder, lambda: plumbline(*words, cwd=folder), expected)


def some(n: int, n_always: int) -> list:
    """Return the numbers below n; all but the first few for the slow tests."""
    return [pytest.param(i, marks=pytest.mark.slow if i >= n_always else ()) for i in range(n)]


@pytest.mark.parametrize("number", some(20, 1))
def test_a_run_killed_at_any_moment_goes_on_from_there(number, plumbline, undisturbed, tmp_path, empty_cache):
    expected, seconds = undisturbed(*QUICK)
    kill_and_go_on(plumbline, tmp_path, QUICK, moment(number, 20, seconds), expected)


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_all_the_same(plumbline, undisturbed, tmp_path, empty_cache):
    expected, seconds = undisturbed(*QUICK)
    for number in range(8):
        running = plumbline.start(*QUICK, cwd=tmp_path)
        time.sleep(moment(number, 8, seconds / 2))
        running.kill()
        running.wait()
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)


HALF_WRITTEN = """
import os, pathlib, signal

def opened(path, mode="r", *rest, _open=pathlib.Path.open, **options):
    file = _open(path, mode, *rest, **options)
    if {name!r} in path.name and mode[0] in "wx":
        file.write(b"{{" if "b" in mode else "{{")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return file

pathlib.Path.open = opened
"""
WRITTEN = """
import os, pathlib, signal

def replaced(path, target, _replace=pathlib.Path.replace):
    if {name!r} in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return _replace(path, target)

pathlib.Path.replace = replaced
"""


@pytest.mark.parametrize(
    "prelude", [HALF_WRITTEN, pytest.param(WRITTEN, marks=pytest.mark.slow)], ids=["half", "unnamed"]
)
@pytest.mark.parametrize(
    "name",
    [
        "paper-F4.oracle.0.permutation",
        "scores.csv",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("importances-oracle.png", "manifest")),
    ],
)
@pytest.mark.slow
def test_a_run_killed_while_it_writes_leaves_whole_files_only(
    name, prelude, plumbline, undisturbed, tmp_path
):
    expected, _ = undisturbed(*QUICK)
    running = plumbline.start(*QUICK, cwd=tmp_path, prelude=prelude.format(name=name))
    assert running.wait().returncode == -signal.SIGKILL
    (torn,) = leftovers(tmp_path)
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)
    if Path(torn).parent.name == "results":  # where nobody else writes, the next run tidies up
        assert not leftovers(tmp_path)


@pytest.mark.parametrize("prelude", [HALF_WRITTEN, WRITTEN], ids=["half", "unnamed"])
@pytest.mark.slow
def test_a_run_killed_while_it_writes_to_the_cache_leaves_it_sound(
    prelude, plumbline, undisturbed, tmp_path, empty_cache
):
    expected, _ = undisturbed(*QUICK)
    running = plumbline.start(*QUICK, cwd=tmp_path, prelude=prelude.format(name=".safetensors"))
    assert running.wait().returncode == -signal.SIGKILL
    assert not contents(tmp_path)
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)
    found = cache_upkeep.verify(empty_cache)
    assert found.n_sound
    assert not found.damaged
    assert len(found.leftovers) == 1  # which `plumbline cache clear` removes after a day


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
def test_training_killed_at_any_moment_starts_again_and_ends_the_same(
    number, plumbline, undisturbed, tmp_path, empty_cache
):
    words = (*NETWORKS, "--workers", "1")
    expected, seconds = undisturbed(*words)
    kill_and_go_on(plumbline, tmp_path, words, moment(number, 2, seconds), expected)
    assert not cache_upkeep.verify(empty_cache).damaged


def processes_below(pid: int) -> set[int]:
    """Return the workers of a run: its children that were started to do work."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            status = (place / "stat").read_text(encoding="utf-8")
            words = (place / "cmdline").read_text(encoding="utf-8")
        except OSError:
            continue  # it has ended
        if int(status.rpartition(")")[2].split()[1]) == pid and "popen_loky" in words:
            found.add(int(place.name))
    return found


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="needs /proc to find the workers"
)


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("number", range(2))
def test_a_run_with_two_workers_killed_at_any_moment_leaves_nobody_and_goes_on(
    number, plumbline, undisturbed, tmp_path, empty_cache
):
    expected, seconds = undisturbed(*FOUR)
    running = plumbline.start(*FOUR, cwd=tmp_path)
    wait_for(lambda: processes_below(running.pid))  # or there would be nobody to be left
    time.sleep(moment(number, 2, 0.6 * seconds))
    workers = processes_below(running.pid)
    assert workers
    running.kill()
    assert running.wait().returncode in (-signal.SIGKILL, 0)
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 20)
    check_goes_on(tmp_path, lambda: plumbline(*FOUR, cwd=tmp_path), expected)


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("number", range(3))
def test_a_worker_killed_at_any_moment_costs_time_only(number, plumbline, undisturbed, tmp_path, empty_cache):
    expected, seconds = undisturbed(*FOUR)
    running = plumbline.start(*FOUR, cwd=tmp_path)
    wait_for(lambda: processes_below(running.pid))
    time.sleep(moment(number, 3, 0.6 * seconds))
    workers = sorted(processes_below(running.pid))
    if workers:
        os.kill(random.Random(number).choice(workers), signal.SIGKILL)  # noqa: S311
    done = running.wait()
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path) == expected
    assert not leftovers(tmp_path)


# Discs.


class Disc:
    """A small disc of its own.

    Args:
        folder: where it is mounted.
        size: as ``mount`` takes it.
    """

    def __init__(self, folder: Path, size: str) -> None:
        folder.mkdir()
        self.folder = folder
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))

    def remount(self, option: str) -> None:
        """Change its size or what may be done with it."""
        self._mount("-o", f"remount,{option}", str(self.folder))

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)  # noqa: S603, S607

    @staticmethod
    def _mount(*words: str) -> None:
        done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
        if done.returncode:
            raise OSError(done.stderr)


@pytest.fixture
def disc() -> Iterator[Callable[[Path, str], Disc]]:
    """Return a function that makes a small disc."""
    made = []

    def make(folder: Path, size: str) -> Disc:
        try:
            made.append(Disc(folder, size))
        except OSError as error:
            pytest.skip(f"a small disc cannot be mounted here ({error})")
        return made[-1]

    yield make
    for each in made:
        each.unmount()


# A tmpfs gives whole pages, and a result takes one: the first is too small for the results, the second for
# the tables, the third for the pictures.
@needs_root
@pytest.mark.parametrize(
    "pages", [4, *(pytest.param(N_RESULTS + more, marks=pytest.mark.slow) for more in (2, 30))]
)
@pytest.mark.slow
def test_a_full_disc_ends_the_run_with_a_reason_and_loses_nothing(
    pages, plumbline, undisturbed, tmp_path, disc
):
    expected, _ = undisturbed(*QUICK)
    small = disc(tmp_path / "out", f"{4 * pages}k")
    check_told(plumbline(*QUICK, cwd=tmp_path), "No space left on device")
    assert contents(tmp_path)
    assert not leftovers(tmp_path)
    check_told(plumbline(*QUICK, cwd=tmp_path), "No space left on device")
    small.remount("size=20m")
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)


@pytest.mark.parametrize(
    "size", [pytest.param(1000, id="results", marks=pytest.mark.slow), pytest.param(10_000, id="tables")]
)
@pytest.mark.slow
def test_a_file_that_may_not_grow_ends_the_run_with_a_reason_and_loses_nothing(
    size, plumbline, undisturbed, tmp_path
):
    expected, _ = undisturbed(*QUICK)
    limit = f"import resource; resource.setrlimit({resource.RLIMIT_FSIZE}, ({size}, {size}))"
    check_told(plumbline.start(*QUICK, cwd=tmp_path, prelude=limit).wait(), "File too large")
    assert not leftovers(tmp_path)
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)


@pytest.mark.slow
@needs_root
def test_a_full_cache_is_told_and_does_not_stop_the_run(plumbline, undisturbed, tmp_path, disc, empty_cache):
    expected, _ = undisturbed(*QUICK)
    small = disc(empty_cache, "12k")
    done = plumbline(*QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = "".join(done.stderr.split())
    assert told.count("WARNING") == 1, done.stderr
    assert f"Thecachefolder{empty_cache}/truthscannotbewritten(" in told
    assert "Nospaceleftondevice" in told
    assert "PLUMBLINE_CACHE" in told
    assert tables(tmp_path) == expected
    assert not leftovers(empty_cache)
    assert cache_upkeep.verify(empty_cache).n_sound == 3
    small.remount("size=20m")
    shutil.rmtree(tmp_path / "out")
    mended = plumbline(*QUICK, cwd=tmp_path)
    assert (mended.returncode, mended.stderr) == (0, "")
    assert tables(tmp_path) == expected
    assert cache_upkeep.verify(empty_cache).n_sound > 3


@pytest.fixture
def protect() -> Iterator[Callable[[Path], Callable[[], None]]]:
    """Return a function that makes a folder read-only, for root as well, and returns what ends that."""
    held = []

    def protected(folder: Path) -> Callable[[], None]:
        for words in (("--bind", str(folder), str(folder)), ("-o", "remount,bind,ro", str(folder))):
            done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
            if done.returncode:
                pytest.skip(f"a folder cannot be made read-only here ({done.stderr})")
            held.append(folder)
        held.pop()
        return release

    def release() -> None:
        subprocess.run(["umount", "--lazy", str(held.pop())], check=True)  # noqa: S603, S607

    yield protected
    while held:
        release()


@needs_root
def test_a_folder_that_is_read_only_is_told_before_the_work(plumbline, undisturbed, tmp_path, protect):
    expected, _ = undisturbed(*QUICK)
    (tmp_path / "out").mkdir()
    release = protect(tmp_path / "out")
    check_told(plumbline(*QUICK, cwd=tmp_path), "Read-only file system", "--out")
    assert not list((tmp_path / "out").iterdir())
    release()
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)


@pytest.mark.parametrize("name", ["out", "out/results"])
@pytest.mark.few(1)
def test_a_file_in_the_place_of_the_folder_is_told_before_the_work_and_stays(name, plumbline, tmp_path):
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("dear to somebody")
    check_told(plumbline(*QUICK, cwd=tmp_path), "cannot be written", "--out")
    assert place.read_text() == "dear to somebody"


WAITS = """
import pathlib, time

def waits(model, samples, rng):
    if pathlib.Path("begun").exists():
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
    pathlib.Path("begun").touch()
    return dict.fromkeys(model.modalities, 1.0)
"""


# A method that is deep in its work does not notice at once that its run was killed.
OUTLIVES = "from benchmark import sandbox; sandbox._end_with_parent = lambda parent: None"


@pytest.fixture
def halfway(plumbline, tmp_path):
    """Return a run that has stored the results of its first scenario, and waits for a file ``go``."""
    (tmp_path / "mine.py").write_text(WAITS, encoding="utf-8")
    running = plumbline.start(*QUICK, "--method", "mine:waits", cwd=tmp_path, prelude=OUTLIVES)
    wait_for(lambda: len(list((tmp_path / "out" / "results").glob("paper-F2*.json"))) == N_RESULTS // 2 + 1)
    yield running
    (tmp_path / "go").touch()


@needs_root
@pytest.mark.few(1)
def test_a_folder_that_becomes_read_only_is_told_and_loses_nothing(
    plumbline, undisturbed, tmp_path, halfway, protect
):
    expected, _ = undisturbed(*QUICK)
    release = protect(tmp_path / "out" / "results")
    (tmp_path / "go").touch()
    check_told(halfway.wait(), "Read-only file system")
    release()
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)


@pytest.mark.slow
def test_a_folder_that_is_removed_is_told_and_made_again_by_the_same_command(
    plumbline, undisturbed, tmp_path, halfway
):
    expected, _ = undisturbed(*QUICK)
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "go").touch()
    check_told(halfway.wait(), "No such file or directory")
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)


# Two runs in one folder.


@pytest.mark.few(1)
def test_a_second_run_in_a_folder_ends_at_once_and_disturbs_nothing(
    plumbline, undisturbed, tmp_path, halfway
):
    expected, _ = undisturbed(*QUICK)
    before = contents(tmp_path)
    second = plumbline(*QUICK, cwd=tmp_path)
    check_told(second, "--out")
    assert contents(tmp_path) == before
    (tmp_path / "go").touch()
    first = halfway.wait()
    assert first.returncode == 0, first.stderr
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)


@pytest.mark.slow
def test_a_run_that_was_killed_leaves_its_folder_to_the_next(plumbline, undisturbed, tmp_path, halfway):
    expected, _ = undisturbed(*QUICK)
    time.sleep(0.5)  # until the method of the second scenario is at work
    halfway.kill()
    halfway.wait()
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)


# Clocks.

YEARS_AGO = """
import time
time.time = lambda _time=time.time: _time() - 3e8
time.time_ns = lambda _time=time.time_ns: _time() - 300_000_000_000_000_000
"""
BACK_AGAIN_AND_AGAIN = """
import itertools, time
steps = itertools.count()
time.time = lambda _time=time.time: _time() - 3600 * next(steps)
time.time_ns = lambda _time=time.time_ns: _time() - 3_600_000_000_000 * next(steps)
"""


def check_times(folder: Path, done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Check that a run took no negative time, and return it."""
    assert done.returncode == 0, done.stderr
    assert not re.search(r"(?<![\w.-])[-−]\d", done.stdout), done.stdout
    with (folder / "out" / "scores.csv").open(newline="", encoding="utf-8") as file:
        assert min(float(row["seconds"]) for row in csv.DictReader(file)) >= 0
    return done


@pytest.mark.slow
@pytest.mark.parametrize("stamp", [0, 4_102_444_800], ids=["1970", "2100"])
def test_files_of_another_age_and_a_clock_that_went_back_change_nothing(
    stamp, plumbline, undisturbed, tmp_path, empty_cache, monkeypatch
):
    expected, _ = undisturbed(*QUICK)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return plumbline.start(*words, cwd=tmp_path, prelude=YEARS_AGO).wait()

    def entries() -> dict[Path, tuple[int, bytes]]:
        return {path: (path.stat().st_ino, path.read_bytes()) for path in empty_cache.rglob("*.safetensors")}

    assert plumbline(*QUICK, cwd=tmp_path).returncode == 0
    # What is missing is made from the cache, and what is there is kept.
    for path in (tmp_path / "out" / "results").glob("paper-F4*.json"):
        path.unlink()
    for path in tmp_path.rglob("*"):
        os.utime(path, (stamp, stamp))
    before = entries()
    assert len(before) == 2 * len(synthetic.ESTIMANDS)
    check_goes_on(tmp_path, lambda: check_times(tmp_path, run(*QUICK)), expected)
    assert entries() == before
    # What was used at no time that can be, goes where there is no room.
    for path in before:
        os.utime(path, (stamp, stamp))
    shown = run("cache", "info")
    assert shown.returncode == 0, shown.stderr
    assert time.strftime("%Y", time.gmtime(stamp + 1)) in shown.stdout or "1969" in shown.stdout
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "1 kB")
    words = ("run", "smoke", "--scenario", "paper-F5", *SMALL, "--method", "gradient", "--workers", "1")
    other = run(*words, "--out", "other")
    assert other.returncode == 0, other.stderr
    assert not any(path.exists() for path in before)
    assert cache_upkeep.verify(empty_cache).n_sound


@pytest.mark.slow
def test_a_clock_that_goes_back_all_the_time_changes_nothing(plumbline, undisturbed, tmp_path, empty_cache):
    expected, _ = undisturbed(*QUICK)
    done = plumbline.start(*QUICK, cwd=tmp_path, prelude=BACK_AGAIN_AND_AGAIN).wait()
    check_times(tmp_path, done)
    assert tables(tmp_path) == expected


# Damage.

DAMAGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "cut": lambda raw, other: raw[: len(raw) // 2],
    "empty": lambda raw, other: b"",
    "zeros": lambda raw, other: bytes(len(raw)),
    "nan": lambda raw, other: re.sub(rb'("importances": \{\s*"axial": )[^,]*', rb"\1NaN", raw),
    "digit": lambda raw, other: re.sub(rb'("importances": \{\s*"axial": )[^,]*', rb"\g<1>0.123", raw),
    "text": lambda raw, other: raw.replace(b'"gradient"', b'"gradi\xff\xfe"'),
    "deep": lambda raw, other: b"[" * 100_000,
    "another": lambda raw, other: other,
}


@pytest.mark.slow
def test_damaged_results_are_told_and_made_again(plumbline, undisturbed, tmp_path):
    expected, _ = undisturbed(*QUICK)
    assert plumbline(*QUICK, cwd=tmp_path).returncode == 0
    places = sorted((tmp_path / "out" / "results").glob("*.json"))
    other = places[-1].read_bytes()
    damaged = dict(zip(DAMAGES, places, strict=False))
    for how, place in damaged.items():
        raw = place.read_bytes()
        place.write_bytes(DAMAGES[how](raw, other))
        assert place.read_bytes() != raw, how
    sound = {
        name: held
        for name, held in contents(tmp_path).items()
        if tmp_path / "out" / "results" / name not in damaged.values()
    }
    assert len(sound) == N_RESULTS - len(DAMAGES)
    done = plumbline(*QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path) == expected
    assert {name: contents(tmp_path)[name] for name in sound} == sound
    told = "".join(done.stderr.split())
    assert [how for how, place in damaged.items() if place.name not in told] == []
    assert not any(name in told for name in sound)
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)
    assert plumbline(*QUICK, cwd=tmp_path).stderr == ""


@pytest.mark.slow
def test_a_folder_in_the_place_of_a_result_is_told(plumbline, undisturbed, tmp_path):
    expected, _ = undisturbed(*QUICK)
    assert plumbline(*QUICK, cwd=tmp_path).returncode == 0
    place = min((tmp_path / "out" / "results").glob("*.json"))
    place.unlink()
    place.mkdir()
    check_told(plumbline(*QUICK, cwd=tmp_path), "directory")
    place.rmdir()
    check_goes_on(tmp_path, lambda: plumbline(*QUICK, cwd=tmp_path), expected)
