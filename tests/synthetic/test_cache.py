from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

import platformdirs
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from synthetic import cache

TENSORS = {"weight": torch.arange(12.0).reshape(3, 4), "rows": torch.tensor([3, 1, 2])}


@pytest.fixture(autouse=True)
def _default_limit(monkeypatch):
    monkeypatch.delenv("PLUMBLINE_CACHE_LIMIT", raising=False)


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Return a folder that the limit holds for."""
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path / "cache"))
    return cache.cache_folder() / "models"


@pytest.fixture
def stored(tmp_path):
    assert cache.save("entry", TENSORS, {"kind": "pca"}, folder=tmp_path)
    return tmp_path / "entry.safetensors"


def test_an_entry_comes_back_as_it_was_saved(stored):
    entry = cache.load("entry", folder=stored.parent)
    assert entry is not None
    tensors, metadata = entry
    assert metadata == {"kind": "pca"}
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0)


def test_an_entry_is_a_plain_safetensors_file_with_the_usual_rights(stored):
    assert set(safetensors.torch.load_file(stored)) == set(TENSORS)
    plain = stored.parent / "plain"
    plain.touch()
    assert stored.stat().st_mode == plain.stat().st_mode


def test_a_transposed_tensor_survives(tmp_path):
    assert cache.save("entry", {"weight": TENSORS["weight"].T}, folder=tmp_path)
    entry = cache.load("entry", folder=tmp_path)
    assert entry is not None
    torch.testing.assert_close(entry[0]["weight"], TENSORS["weight"].T, rtol=0, atol=0)


def test_a_missing_entry_is_none_and_says_nothing(tmp_path, caplog):
    assert cache.load("entry", folder=tmp_path / "nowhere") is None
    assert not caplog.records


def flip(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda raw: b"", id="empty"),
        pytest.param(lambda raw: raw[: len(raw) // 2], id="truncated"),
        pytest.param(lambda raw: flip(raw, len(raw) - 5), id="bit-in-a-tensor"),
        pytest.param(lambda raw: flip(raw, 3), id="bit-in-the-length"),
        pytest.param(lambda raw: raw.replace(b'"pca"', b'"pcb"'), id="metadata"),
        pytest.param(lambda raw: b"\x80\x04\x95" + raw, id="not-safetensors"),
        pytest.param(lambda raw: safetensors.torch.save(TENSORS), id="no-checksum"),
    ],
)
def test_a_damaged_entry_is_reported_and_counts_as_absent(stored, caplog, damage):
    raw = stored.read_bytes()
    damaged = damage(raw)
    assert damaged != raw
    stored.write_bytes(damaged)
    assert cache.load("entry", folder=stored.parent) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "is damaged" in record.getMessage()
    assert str(stored) in record.getMessage()
    # Saving again mends it.
    assert cache.save("entry", TENSORS, folder=stored.parent)
    assert cache.load("entry", folder=stored.parent) is not None


def test_every_byte_counts(stored):
    raw = stored.read_bytes()
    # Spaces that pad the header to eight bytes carry nothing; everything else must be noticed.
    for place in range(len(raw)):
        if raw[place : place + 1] == b" ":
            continue
        stored.write_bytes(flip(raw, place))
        assert cache.load("entry", folder=stored.parent) is None, place


@st.composite
def edits(draw):
    """Draw what cuts, doubles, inserts or replaces a piece anywhere, the header included."""
    start, length = draw(st.floats(0, 1)), draw(st.integers(0, 40))
    piece = draw(
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from(
                [b'"I32"', b'"F64"', b'"F4"', b'"BOOL"', b"null", b"[", b"{", b"\\ud800", b"1e999"]
            ),
        )
    )
    how = draw(st.sampled_from(["replace", "insert", "cut", "double", "end"]))

    def edit(raw: bytes) -> bytes:
        first = int(start * len(raw))
        last = min(first + length, len(raw))
        return {
            "replace": raw[:first] + piece + raw[first + len(piece) :],
            "insert": raw[:first] + piece + raw[first:],
            "cut": raw[:first] + raw[last:],
            "double": raw[:last] + raw[first:],
            "end": raw[:first],
        }[how]

    return edit


@given(st.lists(edits(), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([lambda raw: raw[:8] + raw[8:].replace(b'"F32"', b'"I32"')])
@example([lambda raw: raw[:8] + raw[8:].replace(b"[3,4]", b"[4,3]")])
@example([lambda raw: raw[:8] + raw[8:].replace(b"[3,4]", b"[2,6]")])
@example([lambda raw: reheaded(raw, lambda header: header | {"__metadata__": None})])
@example([lambda raw: reheaded(raw, lambda header: header | {"__metadata__": {"sha256": "0" * 64}})])
@example([lambda raw: reheaded(raw, lambda header: header | {"rows": header["weight"]})])
@example([lambda raw: reheaded(raw, lambda header: [header])])
@example([lambda raw: reheaded(raw, lambda header: dict(reversed(header.items())))])
def test_whatever_happens_to_the_bytes_an_entry_is_the_original_or_absent(tmp_path, several):
    cache.save("entry", TENSORS, {"kind": "pca"}, folder=tmp_path)
    path = tmp_path / "entry.safetensors"
    raw = path.read_bytes()
    for edit in several:
        raw = edit(raw)
    path.write_bytes(raw)
    entry = cache.load("entry", folder=tmp_path)
    if entry is not None:
        tensors, metadata = entry
        assert metadata == {"kind": "pca"}
        assert list(map(type, metadata.values())) == [str]
        assert set(tensors) == set(TENSORS)
        for name, tensor in TENSORS.items():
            assert tensors[name].dtype == tensor.dtype
            assert torch.equal(tensors[name], tensor)


def reheaded(raw, change):
    size = int.from_bytes(raw[:8], "little")
    header = json.dumps(change(json.loads(raw[8 : 8 + size]))).encode()
    return len(header).to_bytes(8, "little") + header + raw[8 + size :]


def test_a_lack_of_memory_says_nothing_about_an_entry(stored, monkeypatch, caplog):
    def fail(raw):
        raise MemoryError

    monkeypatch.setattr(safetensors.torch, "load", fail)
    with pytest.raises(MemoryError):
        cache.load("entry", folder=stored.parent)
    assert not caplog.records


def test_loading_an_entry_is_a_use_of_it_and_loading_a_damaged_one_is_not(stored):
    long_ago = stored.stat().st_mtime - 1000
    os.utime(stored, (long_ago, long_ago))
    assert cache.load("entry", folder=stored.parent) is not None
    assert stored.stat().st_mtime > long_ago + 900
    stored.write_bytes(flip(stored.read_bytes(), 3))
    os.utime(stored, (long_ago, long_ago))
    assert cache.load("entry", folder=stored.parent) is None
    assert stored.stat().st_mtime == pytest.approx(long_ago, abs=1)


@pytest.mark.parametrize("evicted", [True, False])
def test_an_entry_is_read_where_its_use_cannot_be_noted(stored, monkeypatch, caplog, evicted):
    def fail(path):
        # What another process does between reading and noting, or a folder that can only be read.
        if evicted:
            Path(path).unlink()
            raise FileNotFoundError(path)
        raise PermissionError(path)

    monkeypatch.setattr(os, "utime", fail)
    assert cache.load("entry", folder=stored.parent) is not None
    assert not caplog.records


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="no rights bind this user")
def test_a_folder_that_can_only_be_read_is_read(stored, caplog):
    stored.parent.chmod(0o500)
    try:
        assert cache.load("entry", folder=stored.parent) is not None
        assert not caplog.records
        assert not cache.save("other", TENSORS, folder=stored.parent)
    finally:
        stored.parent.chmod(0o700)
    assert "cannot be written" in caplog.text


def test_without_a_cache_nothing_is_read_kept_or_removed(models, monkeypatch, caplog):
    assert cache.save("entry", TENSORS, folder=models)
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "0")
    assert cache.load("entry", folder=models) is None
    assert not cache.save("other", TENSORS, folder=models)
    assert [path.name for path in models.iterdir()] == ["entry.safetensors"]
    assert not caplog.records


def test_an_entry_larger_than_the_limit_is_not_kept_and_drives_nothing_out(models, monkeypatch, caplog):
    key = cache.content_key("old")
    assert cache.save(key, {}, folder=models)
    os.utime(models / f"{key}.safetensors", (0, 0))
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "1 kB")
    assert not cache.save("large", {"all": torch.zeros(1000)}, folder=models)
    assert [path.stem for path in models.iterdir()] == [key]
    assert "PLUMBLINE_CACHE_LIMIT" in caplog.text


def test_a_limit_that_is_no_size_is_said_before_anything_is_computed(models, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "5")
    with pytest.raises(ValueError, match="PLUMBLINE_CACHE_LIMIT must be a size"):
        cache.load("entry", folder=models)
    with pytest.raises(ValueError, match="PLUMBLINE_CACHE_LIMIT must be a size"):
        cache.save("entry", TENSORS, folder=models)


@pytest.mark.parametrize("name", ["mine", "models"])
def test_the_limit_does_not_hold_for_a_folder_of_the_callers_own(models, tmp_path, monkeypatch, name):
    keys = [cache.content_key(i) for i in range(3)]
    monkeypatch.setenv("PLUMBLINE_CACHE_LIMIT", "1 B")
    for key in keys:
        assert cache.save(key, TENSORS, folder=tmp_path / name)
        os.utime(tmp_path / name / f"{key}.safetensors", (0, 0))
    assert all(cache.load(key, folder=tmp_path / name) for key in keys)


def test_an_entry_that_cannot_be_read_is_reported(tmp_path, caplog):
    (tmp_path / "entry.safetensors").mkdir()
    assert cache.load("entry", folder=tmp_path) is None
    assert "cannot be read" in caplog.text


def test_a_folder_that_cannot_be_written_is_reported_once_and_does_not_stop_the_work(tmp_path, caplog):
    (tmp_path / "file").touch()
    for name in ("one", "other"):
        for _ in range(3):
            assert not cache.save("entry", TENSORS, folder=tmp_path / "file" / name)
    assert len(caplog.records) == 2
    for record, name in zip(caplog.records, ("one", "other"), strict=True):
        assert f"{name} cannot be written" in record.getMessage()
        assert "PLUMBLINE_CACHE" in record.getMessage()


def test_the_checksum_has_a_reserved_name(tmp_path):
    with pytest.raises(ValueError, match="reserved name 'sha256'"):
        cache.save("entry", TENSORS, {"sha256": "0"}, folder=tmp_path)


def test_writers_at_once_leave_one_whole_entry(tmp_path):
    start = threading.Barrier(4)
    seen: list[float] = []

    def write(value: float) -> None:
        start.wait()
        for _ in range(10):
            cache.save("entry", {"all": torch.full((20_000,), value)}, folder=tmp_path)
            entry = cache.load("entry", folder=tmp_path)
            assert entry is not None
            assert entry[0]["all"].unique().numel() == 1
            seen.append(float(entry[0]["all"][0]))

    threads = [threading.Thread(target=write, args=(float(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A failed assertion in a thread ends that thread early (and pytest reports it).
    assert len(seen) == 40
    assert os.listdir(tmp_path) == ["entry.safetensors"]  # noqa: PTH208 - no temporary file stays


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with cache.replacing(path) as file:
            file.write(b"new")
            raise RuntimeError("no more paper")

    with pytest.raises(RuntimeError, match="no more paper"):
        fail()
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    with cache.replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_nothing_appears_under_the_name_before_the_end(tmp_path):
    path = tmp_path / "file"
    with cache.replacing(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
    assert path.exists()


parts = st.lists(st.one_of(st.text(), st.binary(), st.integers(), st.floats(allow_nan=False)), max_size=4)


@given(parts, parts)
def test_keys_tell_parts_apart(one, other):
    same = [(type(part), repr(part)) for part in one] == [(type(part), repr(part)) for part in other]
    assert (cache.content_key(*one) == cache.content_key(*other)) == same


def test_a_key_is_a_fixed_file_name():
    # Pinned: a change here throws away everybody's cache, and needs no more than a conscious decision.
    assert cache.content_key("features", 1, b"\0") == "0cfd00ca0273677ca43ff723dd066921"


def test_the_checksum_ignores_the_order_and_nothing_else():
    base = cache.checksum(TENSORS, {"kind": "pca"})
    assert cache.checksum(dict(reversed(TENSORS.items())), {"kind": "pca"}) == base
    others = [
        cache.checksum(TENSORS, {}),
        cache.checksum({**TENSORS, "weight": TENSORS["weight"].reshape(4, 3)}, {"kind": "pca"}),
        cache.checksum({**TENSORS, "weight": TENSORS["weight"].to(torch.int32)}, {"kind": "pca"}),
        cache.checksum({"weights": TENSORS["weight"], "rows": TENSORS["rows"]}, {"kind": "pca"}),
    ]
    assert len({base, *others}) == 5


def test_the_folder_is_the_environments_or_the_systems(monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CACHE", "/somewhere/else")
    assert cache.cache_folder() == Path("/somewhere/else")
    monkeypatch.delenv("PLUMBLINE_CACHE")
    assert cache.cache_folder() == Path(platformdirs.user_cache_dir("plumbline"))
