from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from synthetic import cache, cache_upkeep

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def _default_limit(monkeypatch):
    monkeypatch.delenv("PLUMBLINE_CACHE_LIMIT", raising=False)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def store(folder, kind, name, *, age=0.0):
    key = cache.content_key(name)
    assert cache.save(key, {"all": torch.arange(100.0)}, {"name": name}, folder=folder / kind)
    return aged(folder / kind / f"{key}.safetensors", age)


def aged(path, age):
    used = time.time() - age
    os.utime(path, (used, used))
    return path


def leave(folder, kind, name, *, age):
    """Lay down what a save that was interrupted so many seconds ago leaves behind."""
    path = folder / kind / f".{cache.content_key(name)}.safetensors.1234-0123abcd.part"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    return aged(path, age)


def flip(path, place):
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


def tree(folder):
    return {
        path: path.readlink() if path.is_symlink() else path.is_dir() or path.read_bytes()
        for path in folder.rglob("*")
    }


# info


def test_info_counts_kind_by_kind(folder, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "5 GB")
    paths = [store(folder, "models", f"model {i}", age=HOUR * i) for i in (1, 2, 3)]
    truth = store(folder, "truths", "truth", age=DAY)
    leave(folder, "models", "left", age=0)
    (folder / "truths" / "notes.txt").write_text("mine")
    found = cache_upkeep.info(folder)
    features, models, truths = found.kinds
    assert features == cache_upkeep.KindInfo("features", 0, 0, None, None)
    assert (models.kind, models.n_entries) == ("models", 3)
    assert models.n_bytes == sum(path.stat().st_size for path in paths)
    assert models.oldest_use == datetime.fromtimestamp(paths[2].stat().st_mtime, UTC)
    assert models.newest_use == datetime.fromtimestamp(paths[0].stat().st_mtime, UTC)
    assert truths.oldest_use == truths.newest_use
    assert found.n_entries == 4
    assert found.n_bytes == models.n_bytes + truth.stat().st_size
    assert found.limit == 5_000_000_000
    assert (found.n_leftovers, found.n_leftover_bytes) == (1, 4)
    assert found.foreign == (folder / "truths" / "notes.txt",)


def test_an_absent_folder_is_an_empty_cache(folder):
    assert cache_upkeep.info(folder).n_entries == 0
    assert cache_upkeep.verify(folder) == cache_upkeep.Verification(0, (), (), (), ())
    assert cache_upkeep.clear(folder) == cache_upkeep.Clearance(0, 0, ())
    assert not folder.exists()


def test_a_file_in_the_place_of_the_cache_is_an_error(folder):
    folder.write_text("")
    for look in (cache_upkeep.info, cache_upkeep.verify, cache_upkeep.clear):
        with pytest.raises(NotADirectoryError):
            look(folder)


@pytest.mark.parametrize("used", [-(10**9), 10**10])
def test_any_time_that_a_file_may_carry_is_told(folder, used):
    path = store(folder, "models", "model")
    os.utime(path, (used, used))
    if path.stat().st_mtime != used:
        pytest.skip("this file system does not keep such times")
    models = cache_upkeep.info(folder).kinds[1]
    assert models.newest_use == datetime.fromtimestamp(max(used, 0), UTC)


def test_looking_is_no_use(folder):
    path = store(folder, "models", "model", age=DAY)
    before = path.stat().st_mtime_ns
    cache_upkeep.info(folder)
    cache_upkeep.verify(folder)
    cache_upkeep.clear(folder, damaged_only=True)
    assert path.stat().st_mtime_ns == before


# verify


def test_verify_finds_every_damage_and_says_what_it_is(folder):
    sound = store(folder, "features", "sound")
    damage = {
        "flipped": lambda path: flip(path, -1),
        "flipped in the header": lambda path: flip(path, 30),
        "truncated": lambda path: path.write_bytes(path.read_bytes()[:-7]),
        "empty": lambda path: path.write_bytes(b""),
        "another's": lambda path: path.write_bytes(sound.read_bytes() + b" "),
    }
    paths = {name: store(folder, "models", name) for name in damage}
    assert cache_upkeep.verify(folder).n_sound == 6
    for name, path in paths.items():
        damage[name](path)
    found = cache_upkeep.verify(folder)
    assert found.n_sound == 1
    assert {fault.path for fault in found.damaged} == set(paths.values())
    reasons = {fault.path: fault.reason for fault in found.damaged}
    assert reasons[paths["flipped"]].startswith("checksum ")
    assert "SafetensorError" in reasons[paths["truncated"]]


def test_verify_tells_leftovers_and_foreign_files_apart(folder):
    store(folder, "models", "model")
    left = leave(folder, "models", "left", age=0)
    foreign = folder / "models" / "notes.txt"
    foreign.write_text("mine")
    found = cache_upkeep.verify(folder)
    assert found == cache_upkeep.Verification(1, (), (), (left,), (foreign,))


def test_an_entry_that_cannot_be_read_is_not_called_damaged_and_stays(folder, monkeypatch):
    path = store(folder, "models", "model")

    def fail(path):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        found = cache_upkeep.verify(folder)
        cleared = cache_upkeep.clear(folder, damaged_only=True)
    assert not found.damaged
    assert [fault.path for fault in found.unreadable] == [path]
    assert (cleared.n_files, [fault.path for fault in cleared.left]) == (0, [path])
    assert "Input/output error" in cleared.left[0].reason
    assert path.exists()


def test_an_entry_evicted_while_it_is_looked_at_is_no_news(folder, monkeypatch):
    store(folder, "models", "model")

    def fail(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert cache_upkeep.verify(folder) == cache_upkeep.Verification(0, (), (), (), ())
    assert cache_upkeep.clear(folder, damaged_only=True) == cache_upkeep.Clearance(0, 0, ())


# clear


def test_clear_removes_entries_and_says_how_many(folder):
    paths = [store(folder, kind, f"{kind} {i}") for kind in ("features", "models") for i in range(2)]
    n_bytes = sum(path.stat().st_size for path in paths)
    assert cache_upkeep.clear(folder) == cache_upkeep.Clearance(4, n_bytes, ())
    assert set(tree(folder)) == {folder / "features", folder / "models"}  # folders stay
    assert cache_upkeep.info(folder).n_entries == 0


@pytest.mark.parametrize("kinds", [["models"], ("models", "models"), "models"])
def test_clear_keeps_to_the_kinds(folder, kinds):
    kept = store(folder, "features", "kept")
    store(folder, "models", "gone")
    assert cache_upkeep.clear(folder, kinds).n_files == 1
    assert cache_upkeep.info(folder).n_entries == 1
    assert kept.exists()


def test_clear_without_a_kind_does_nothing(folder):
    store(folder, "models", "model")
    assert cache_upkeep.clear(folder, []) == cache_upkeep.Clearance(0, 0, ())


@pytest.mark.parametrize("kind", ["model", "..", "", "models/"])
def test_an_unknown_kind_is_refused_before_anything_goes(folder, kind):
    path = store(folder, "models", "model")
    with pytest.raises(ValueError, match="must be among features, models, truths"):
        cache_upkeep.clear(folder, ["models", kind])
    assert path.exists()


def test_clearing_the_damaged_leaves_the_sound(folder):
    sound, damaged = store(folder, "models", "sound"), store(folder, "models", "damaged")
    flip(damaged, -1)
    size = damaged.stat().st_size
    assert cache_upkeep.clear(folder, damaged_only=True) == cache_upkeep.Clearance(1, size, ())
    assert sound.exists()
    assert not damaged.exists()


def test_an_entry_mended_while_it_is_looked_at_stays(folder, monkeypatch):
    path = store(folder, "models", "model", age=HOUR)
    whole = path.read_bytes()
    flip(path, -1)
    read = Path.read_bytes

    def read_then_mend(path):
        raw = read(path)
        path.write_bytes(whole)
        return raw

    monkeypatch.setattr(Path, "read_bytes", read_then_mend)
    (left,) = cache_upkeep.clear(folder, damaged_only=True).left
    assert left == cache_upkeep.Fault(path, "was used meanwhile")
    assert read(path) == whole


@pytest.mark.parametrize("damaged_only", [True, False])
def test_leftovers_go_after_a_day(folder, damaged_only):
    young = leave(folder, "models", "young", age=23 * HOUR)
    old = leave(folder, "models", "old", age=25 * HOUR)
    ahead = leave(folder, "models", "ahead", age=-25 * HOUR)
    cleared = cache_upkeep.clear(folder, damaged_only=damaged_only)
    assert (cleared.n_files, cleared.n_bytes) == (2, 8)
    assert cleared.left == (cache_upkeep.Fault(young, "may still be being written"),)
    assert young.exists()
    assert not old.exists()
    assert not ahead.exists()


@pytest.mark.parametrize("damaged_only", [True, False])
def test_what_the_cache_did_not_write_survives(folder, tmp_path, damaged_only):
    entry = store(folder, "models", "entry")
    flip(entry, -1)
    name = entry.name
    outside = tmp_path / "outside"
    kept = store(tmp_path, "outside", "kept")
    flip(kept, -1)
    others = [
        folder / name,
        folder / "pictures" / name,
        folder / "models" / "below" / name,
        folder / "models" / "notes.txt",
        folder / "models" / f"{name}.bak",
        folder / "models" / name.upper(),
        folder / "models" / f"0{name}",
        folder / "models" / f"{name}\n",
        folder / "models" / ".safetensors",
        folder / "models" / f"{name}.1234-0123abcd.part",
        folder / "models" / f".{name}.1234.part",
        folder / "models" / ".notes.txt.1234-0123abcd.part",  # what is written beside entries by others
    ]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
        aged(path, 100 * DAY)
    (folder / "models" / f"{'0' * 32}.safetensors").symlink_to(kept)
    (folder / "models" / f"{'1' * 32}.safetensors").mkdir()
    (folder / "models" / f"{'2' * 32}.safetensors").symlink_to(tmp_path / "nowhere")
    (folder / "models" / f".{'3' * 32}.safetensors.1234-0123abcd.part").symlink_to(kept)
    (folder / "models" / "link").symlink_to(outside)
    (folder / "truths").symlink_to(outside)
    before = tree(tmp_path)
    cleared = cache_upkeep.clear(folder, damaged_only=damaged_only)
    assert (cleared.n_files, cleared.n_bytes) == (1, len(before.pop(entry)))
    assert tree(tmp_path) == before
    # Everything that stayed is named, but for what lies beside the folders of the kinds, or deeper.
    named = {path for path in before if path.parent == folder / "models"} | {folder / "truths"}
    assert {fault.path for fault in cleared.left} == named
    assert {fault.reason for fault in cleared.left} == {"is no file of the cache"}


def test_a_cache_that_is_itself_reached_by_a_link_is_cleared(folder, tmp_path):
    path = store(folder, "models", "model")
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert cache_upkeep.verify(link).n_sound == 1
    assert cache_upkeep.clear(link).n_files == 1
    assert not path.exists()


def test_what_cannot_be_removed_is_left_and_named(folder, monkeypatch):
    first, second = sorted(store(folder, "models", name) for name in ("a", "b"))
    unlink = Path.unlink

    def deny(path, missing_ok=False):  # noqa: FBT002 - the signature of Path.unlink
        if path == first:
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", deny)
    cleared = cache_upkeep.clear(folder)
    assert cleared.n_files == 1
    (left,) = cleared.left
    assert left.path == first
    assert "Permission denied" in left.reason
    assert first.exists()
    assert not second.exists()
