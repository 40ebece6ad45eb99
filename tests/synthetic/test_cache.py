from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import platformdirs
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthetic import cache

TENSORS = {"weight": torch.arange(12.0).reshape(3, 4), "rows": torch.tensor([3, 1, 2])}


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


def test_an_entry_that_cannot_be_read_is_reported(tmp_path, caplog):
    (tmp_path / "entry.safetensors").mkdir()
    assert cache.load("entry", folder=tmp_path) is None
    assert "cannot be read" in caplog.text


def test_a_folder_that_cannot_be_written_is_reported_and_does_not_stop_the_work(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert not cache.save("entry", TENSORS, folder=tmp_path / "file" / "folder")
    assert "cannot be written" in caplog.text
    assert "PLUMBLINE_CACHE" in caplog.text


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
