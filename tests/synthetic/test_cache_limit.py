from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from synthetic import cache, cache_limit

ROOT = Path(__file__).parents[2]
HOUR = 3600.0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PLUMBLINE_CACHE_LIMIT", raising=False)
    return cache.cache_folder()


def put(folder, name, *, age, kind="models", n_bytes=1000):
    """Lay down a file of an entry's name and return its path; its bytes do not matter to the limit."""
    path = folder / kind / f"{cache.content_key(name)}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(n_bytes))
    used = time.time() - age
    os.utime(path, (time.time(), used))  # read just now: the time of access must not count
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 10_000_000_000),
        ("5 GB", 5_000_000_000),
        ("500MB", 500_000_000),
        (" 1.5 gb ", 1_500_000_000),
        ("0.1 TB", 100_000_000_000),
        ("2 KiB", 2048),
        ("1 TiB", 1 << 40),
        ("17 B", 17),
        ("0", 0),
        ("0 GB", 0),
        ("none", None),
        ("None", None),
    ],
)
def test_a_limit_is_a_size(monkeypatch, text, expected):
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", text)
    assert cache_limit.cache_limit() == expected


def test_the_limit_is_ten_gigabytes_where_none_is_set(folder):
    assert cache_limit.cache_limit() == 10_000_000_000


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "-1 GB",
        "1e9",
        "1,5 GB",
        "5 G",
        "GB",
        "5 GB or so",
        "inf",
        "nan",
        "no",
        "00",
        ".5 GB",
        "5. GB",
        "٥ GB",
        "5 \u212aB",  # a kelvin sign, which is no K
        "1_000 B",
        "9" * 16 + " B",
    ],
)
def test_anything_else_is_refused_with_what_to_do(monkeypatch, text):
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", text)
    with pytest.raises(ValueError, match="must be a size with a unit") as caught:
        cache_limit.cache_limit()
    message = str(caught.value)
    assert message.startswith("The environment variable PLUMBLINE_CACHE_LIMIT")
    assert message.endswith(f"Got {text!r}. Correct it, or unset it for the default of 10 GB.")


def test_what_was_used_longest_ago_goes_first_whatever_its_kind(folder):
    ages = {"a": 5, "b": 9, "c": 7, "d": 3, "e": 8}
    kinds = dict(zip(ages, ["models", "truths", "features", "models", "truths"], strict=True))
    paths = {name: put(folder, name, age=HOUR * age, kind=kinds[name]) for name, age in ages.items()}
    assert cache_limit.evict(folder, 5000) == 0
    assert cache_limit.evict(folder, 4999) == 1
    assert not paths["b"].exists()
    assert cache_limit.evict(folder, 2500) == 2
    assert {name for name, path in paths.items() if path.exists()} == {"a", "d"}


def test_saving_evicts_and_loading_protects(folder, monkeypatch):
    models = folder / "models"
    keys = [cache.content_key(i) for i in range(4)]
    for i, key in enumerate(keys[:3]):
        assert cache.save(key, {"all": torch.zeros(1000)}, folder=models)
        past = time.time() - HOUR * (10 - i)
        os.utime(models / f"{key}.safetensors", (past, past))
    assert cache.load(keys[0], folder=models) is not None  # the oldest is now the last used
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "14 kB")  # room for three entries of a good 4 kB
    assert cache.save(keys[3], {"all": torch.ones(1000)}, folder=models)
    assert {path.stem for path in models.iterdir()} == {keys[0], keys[2], keys[3]}


def test_what_was_used_within_a_minute_stays_even_above_the_limit(folder):
    young = [put(folder, i, age=age) for i, age in enumerate([0, 50, -50])]
    old = put(folder, "old", age=70)
    assert cache_limit.evict(folder, 0) == 1
    assert all(path.exists() for path in young)
    assert not old.exists()


@pytest.mark.parametrize("grace", [60.0, 0.0])
def test_the_entry_just_saved_stays_whatever_its_time(folder, monkeypatch, grace):
    monkeypatch.setattr(cache_limit, "GRACE_SECONDS", grace)
    old = put(folder, "old", age=HOUR)
    saved = put(folder, "saved", age=3 * HOUR)  # a file server whose clock is behind
    assert cache_limit.evict(folder, 0, saved=saved) == 1
    assert saved.exists()
    assert not old.exists()


def test_after_the_clock_was_put_back_stale_entries_go_before_used_ones(folder):
    stale = [put(folder, f"stale {i}", age=-1000 * HOUR - i) for i in range(2)]
    used = [put(folder, f"used {i}", age=HOUR + i) for i in range(2)]
    saved = put(folder, "saved", age=0)
    # Of the stale ones, too, the one used first goes first.
    for limit, gone in [(4000, stale[0]), (3000, stale[1]), (2000, used[1]), (1000, used[0])]:
        assert cache_limit.evict(folder, limit, saved=saved) == 1
        assert not gone.exists()
    assert saved.exists()


def test_an_entry_used_since_it_was_measured_stays(folder, monkeypatch):
    first, second, third = (put(folder, name, age=age * HOUR) for name, age in [("a", 3), ("b", 2), ("c", 1)])
    measured = cache_limit.list_files(folder)
    os.utime(first)
    monkeypatch.setattr(cache_limit, "list_files", lambda folder: measured)
    assert cache_limit.evict(folder, 2000) == 1
    assert first.exists()
    assert third.exists()
    assert not second.exists()


def test_an_entry_that_another_process_evicted_counts_as_gone(folder, monkeypatch, caplog):
    first, second = put(folder, "a", age=2 * HOUR), put(folder, "b", age=HOUR)
    measured = cache_limit.list_files(folder)
    first.unlink()
    monkeypatch.setattr(cache_limit, "list_files", lambda folder: measured)
    assert cache_limit.evict(folder, 1000) == 0
    assert second.exists()  # the room is there already
    assert not caplog.records


def test_entries_that_cannot_be_removed_are_a_warning(folder, monkeypatch, caplog):
    paths = [put(folder, i, age=HOUR * (9 - i)) for i in range(3)]
    unlink = Path.unlink

    def deny(path, missing_ok=False):  # noqa: FBT002 - the signature of Path.unlink
        if path == paths[0]:
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", deny)
    assert cache_limit.evict(folder, 2000) == 1
    assert [path.exists() for path in paths] == [True, False, True]
    (record,) = caplog.records
    assert "cannot be kept to its limit" in record.getMessage()


def test_a_cache_that_cannot_be_listed_is_a_warning(folder, caplog):
    folder.write_text("")
    assert cache_limit.evict(folder, 0) == 0
    assert "cannot be kept to its limit" in caplog.text


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="no rights bind this user")
def test_a_folder_that_can_only_be_read_is_a_warning(folder, caplog):
    old = put(folder, "old", age=HOUR)
    old.parent.chmod(0o500)
    try:
        assert cache_limit.evict(folder, 0) == 0
    finally:
        old.parent.chmod(0o700)
    assert old.exists()
    assert "cannot be kept to its limit" in caplog.text


def test_nothing_but_entries_is_measured_or_evicted(folder, tmp_path):
    entry = put(folder, "entry", age=HOUR)
    name = entry.name
    outside = put(tmp_path, "outside", age=HOUR, kind="elsewhere")
    others = [
        folder / name,
        folder / "pictures" / name,
        folder / "models" / "below" / name,
        folder / "models" / f"copy of {name}",
        folder / "models" / f"{name}.bak",
        folder / "models" / f"{name.upper()}",
        folder / "models" / f".{name}.1234-0123abcd.part",
    ]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(10**5))
        os.utime(path, (0, 0))
    (folder / "models" / f"{'0' * 32}.safetensors").symlink_to(outside)
    (folder / "models" / f"{'1' * 32}.safetensors").mkdir()
    (folder / "truths").symlink_to(outside.parent)  # a folder of entries, but elsewhere
    assert cache_limit.evict(folder, 1000) == 0
    assert cache_limit.evict(folder, 0) == 1
    assert not entry.exists()
    assert outside.exists()
    assert all(path.exists() for path in others)
    assert sorted(path.name[:2] for path in (folder / "models").iterdir() if path not in others) == [
        "00",
        "11",
        "be",
    ]


def test_what_the_cache_did_not_write_is_never_removed(folder):
    path = put(folder, "entry", age=HOUR).with_name("notes.txt")
    path.write_text("mine")
    (foreign,) = (file for file in cache_limit.list_files(folder) if file.path == path)
    with pytest.raises(ValueError, match="must be the cache's own"):
        cache_limit.remove(foreign)
    assert path.exists()


def test_the_cache_is_not_measured_at_every_save(folder, monkeypatch):
    measured = []
    monkeypatch.setattr(cache_limit, "evict", lambda folder, limit, saved: measured.append(saved))
    monkeypatch.setattr(cache_limit, "_not_measured", {})

    def n_measured(n_saves, n_bytes, limit):
        measured.clear()
        for _ in range(n_saves):
            cache_limit.evict_at_times(folder / "models" / "entry", n_bytes, limit)
        return len(measured)

    assert n_measured(1, 1, 10**9) == 1  # a process's first: short ones count, too
    assert n_measured(255, 1, 10**9) == 0
    assert n_measured(1, 1, 10**9) == 1
    assert n_measured(10, 10**6, 10**9) == 0  # 1 % of the limit, and not more
    assert n_measured(1, 10**6, 10**9) == 1


WORKER = """
import logging, random, sys
from pathlib import Path
import torch
from synthetic import cache, cache_limit, cache_upkeep

seen = []
handler = logging.Handler()
handler.emit = lambda record: seen.append(record.getMessage())
logging.getLogger().addHandler(handler)
cache_limit.GRACE_SECONDS = 0.0
draws = random.Random(int(sys.argv[1]))
hits = misses = 0
for step in range(80):
    value = draws.randrange(12)
    folder = cache.cache_folder() / cache_limit.KINDS[value % 3]
    key = cache.content_key("entry", value)
    entry = cache.load(key, folder=folder)
    if entry is None:
        misses += 1
        assert cache.save(key, {"all": torch.full((1000,), float(value))}, {"n": str(value)}, folder=folder)
    else:
        hits += 1
        assert entry[1] == {"n": str(value)}
        assert torch.equal(entry[0]["all"], torch.full((1000,), float(value)))
    if step % 20 == 19 and sys.argv[1] == "0":
        found = cache_upkeep.verify(cache.cache_folder())
        assert not found.damaged and not found.unreadable and not found.foreign, found
        assert cache_upkeep.info(cache.cache_folder()).n_entries <= 12
        cache_upkeep.clear(cache.cache_folder(), ["models"])
assert not seen, seen
assert hits and misses > 12, (hits, misses)  # both happen, and entries come back after they were evicted
"""


@pytest.mark.slow
def test_processes_that_save_load_and_evict_at_once_see_sound_entries_or_none(folder, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "20 kB")  # room for four of the twelve entries
    workers = [
        subprocess.Popen(  # noqa: S603 - this interpreter
            [sys.executable, "-c", WORKER, str(i)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for i in range(3)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors
    files = cache_limit.list_files(folder)
    assert {file.what for file in files} == {"entry"}
    # The last to save measured after its save; two others may have added an entry each since.
    assert sum(file.n_bytes for file in files) <= 20_000 + 2 * 4_500
