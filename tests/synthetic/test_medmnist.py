from __future__ import annotations

import hashlib
import http.server
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import medmnist as published
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic import medmnist
from synthetic.medmnist import DataError

COUNTS = {"train": 12, "val": 4, "test": 6}


def arrays(counts=COUNTS, size=28) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for split, n in counts.items():
        made[f"{split}_images"] = rng.integers(0, 256, (n, size, size), dtype=np.uint8)
        made[f"{split}_labels"] = rng.integers(0, 11, (n, 1), dtype=np.uint8)
    return made


@pytest.fixture
def good(tmp_path, monkeypatch) -> bytes:
    """Return a small file that passes for the official one, in a world without any other file or network."""
    path = tmp_path / "made.npz"
    np.savez_compressed(path, **arrays())
    raw = path.read_bytes()
    path.unlink()
    monkeypatch.delenv("PLUMBLINE_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setitem(
        published.INFO,
        "organamnist",
        {
            "MD5": hashlib.md5(raw, usedforsecurity=False).hexdigest(),
            "url": "http://127.0.0.1:9/organamnist.npz",  # nobody listens on the discard port
            "n_samples": COUNTS,
        },
    )
    return raw


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def test_a_good_file_is_read(good, root):
    (root / "organamnist.npz").write_bytes(good)
    scans = medmnist.load(data_root=root)
    expected = arrays()
    assert scans.flag == "organamnist"
    assert scans.path == root / "organamnist.npz"
    assert scans.md5 == hashlib.md5(good, usedforsecurity=False).hexdigest()
    for split, n in COUNTS.items():
        assert scans.images[split].dtype == np.uint8
        np.testing.assert_array_equal(scans.images[split], expected[f"{split}_images"])
        assert scans.labels[split].shape == (n,)
        np.testing.assert_array_equal(scans.labels[split], expected[f"{split}_labels"][:, 0])


def flipped(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]


FAULTS = {
    "empty": (lambda raw: b"", r"is empty \(0 bytes\)"),
    "html": (lambda raw: b"<!DOCTYPE html>\n<html><body>Sign in", "is an HTML page, probably a proxy"),
    "bare-html": (lambda raw: b"\n <HTML><body>Sign in", "is an HTML page"),
    "truncated": (lambda raw: raw[:1234], r"is truncated: 1,234"),
    "bit-flip": (flipped, "is damaged or another version: its md5 is [0-9a-f]{32}"),
    "text": (lambda raw: b"hello there", r"is not an npz archive \(it begins with b'hello th'\)"),
    "too-long": (lambda raw: raw + b"\0", "is damaged or another version"),
}


@pytest.fixture
def tempting(good, tmp_path, monkeypatch) -> bytes:
    """Put a good copy further down the search, and a download behind it that fails the test."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "organamnist.npz").write_bytes(good)
    monkeypatch.setenv("PLUMBLINE_DATA", str(tmp_path / "other"))
    monkeypatch.setattr(medmnist, "_fetch", lambda *_, **__: pytest.fail("tried a download"))
    return good


@pytest.mark.parametrize(("damage", "message"), FAULTS.values(), ids=FAULTS)
def test_a_bad_file_is_diagnosed_kept_and_never_replaced(tempting, root, damage, message):
    bad = damage(tempting)
    path = root / "organamnist.npz"
    path.write_bytes(bad)
    with pytest.raises(DataError, match=message) as caught:
        medmnist.load(data_root=root)
    assert str(path) in str(caught.value)
    assert hashlib.md5(tempting, usedforsecurity=False).hexdigest() in str(caught.value)
    assert "Remove the file and run again" in str(caught.value)
    assert path.read_bytes() == bad


def test_a_folder_of_that_name_is_an_error(good, root):
    (root / "organamnist.npz").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        medmnist.load(data_root=root)


CONTENTS = {
    "missing": (lambda made: made.pop("val_labels"), "lacks an array: val_labels"),
    "shape": (
        lambda made: made.update(test_images=made["test_images"][:, :, :27]),
        r"'test_images' must be uint8 with shape \(6, 28, 28\). Got uint8 with shape \(6, 28, 27\)",
    ),
    "count": (
        lambda made: made.update(train_images=made["train_images"][:-1]),
        r"'train_images' must be .* \(12, 28, 28\). Got uint8 with shape \(11, 28, 28\)",
    ),
    "dtype": (
        lambda made: made.update(val_images=made["val_images"] / 255),
        "'val_images' must be uint8 .* Got float64",
    ),
    "labels": (
        lambda made: made.update(train_labels=made["train_labels"][:, 0]),
        r"'train_labels' must be .* \(12, 1\). Got uint8 with shape \(12,\)",
    ),
    "pickle": (
        lambda made: made.update(test_labels=np.array([object()] * 6)),
        "cannot be read as an npz archive: Object arrays cannot be loaded",
    ),
}


@pytest.mark.parametrize(("change", "message"), CONTENTS.values(), ids=CONTENTS)
def test_contents_are_checked_apart_from_the_md5(good, root, change, message):
    made = arrays()
    change(made)
    path = root / "organamnist.npz"
    np.savez(path, **made)
    with pytest.raises(DataError, match=message) as caught:
        medmnist.read_scans(path, medmnist._info("organamnist", 28))
    assert str(path) in str(caught.value)


def test_contents_of_a_damaged_archive_are_an_error_too(good, root):
    path = root / "organamnist.npz"
    for start in range(40, len(good), 997):
        path.write_bytes(good[:start] + bytes(16) + good[start + 16 :])
        with pytest.raises(DataError):
            medmnist.load(data_root=root)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))  # one array, no archive
    with pytest.raises(DataError, match="cannot be read as an npz archive"):
        medmnist.read_scans(path, medmnist._info("organamnist", 28))
    path.write_bytes(good[:-300])
    with pytest.raises(DataError, match="cannot be read as an npz archive"):
        medmnist.read_scans(path, medmnist._info("organamnist", 28))


def test_places_are_searched_in_order(good, root, tmp_path, monkeypatch):
    places = [root, tmp_path / "environment", tmp_path / "home" / ".medmnist"]
    monkeypatch.setenv("PLUMBLINE_DATA", str(places[1]))
    for place in reversed(places):
        place.mkdir(parents=True, exist_ok=True)
        (place / "organamnist.npz").write_bytes(good)
        assert medmnist.load(data_root=root).path.parent == place


def test_a_data_root_without_the_file_is_reported(good, root, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PLUMBLINE_DATA", str(tmp_path))
    (tmp_path / "organamnist.npz").write_bytes(good)
    assert medmnist.load(data_root=root).path == tmp_path / "organamnist.npz"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{root} has no organamnist.npz" in record.getMessage()


def test_without_data_root_nothing_is_reported(good, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PLUMBLINE_DATA", str(tmp_path))
    (tmp_path / "organamnist.npz").write_bytes(good)
    medmnist.load()
    assert not caplog.records


@pytest.mark.parametrize("download", [False, True])
def test_a_missing_file_names_every_place(good, root, tmp_path, monkeypatch, download):
    monkeypatch.setenv("PLUMBLINE_DATA", str(tmp_path / "environment"))
    with pytest.raises(DataError) as caught:
        medmnist.load(data_root=root, download=download)
    message = str(caught.value)
    for place in (root, tmp_path / "environment", tmp_path / "home" / ".medmnist"):
        assert str(place) in message
    assert "http://127.0.0.1:9/organamnist.npz" in message
    assert ("Downloading is switched off" in message) != download
    assert ("download failed" in message) == download
    assert not (root / "organamnist.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"flag": "pathmnist"}, "'flag' must be one of organamnist, .* Got 'pathmnist'"),
     ({"size": 32}, "'size' must be one of 28, 64, 128, 224 pixels. Got 32")],
)  # fmt: skip
def test_unknown_files_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        medmnist.load(**arguments)


def test_published_facts_are_the_packages():
    info = medmnist._info("organamnist", 28)
    assert info.md5 == "68e3f8846a6bd62f0c9bf841c0d9eacc"
    assert info.n_samples == {"train": 34561, "val": 6491, "test": 17778}
    larger = medmnist._info("organcmnist", 64)
    assert larger.file_name == "organcmnist_64.npz"
    assert larger.file_name in larger.url
    assert larger.md5 != medmnist._info("organcmnist", 28).md5


def test_torchvision_is_never_imported_and_medmnist_only_when_needed():
    code = (
        "import sys; from synthetic import medmnist; assert 'medmnist' not in sys.modules; "
        "medmnist._info('organamnist', 28); assert 'medmnist' in sys.modules; "
        "assert 'torchvision' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers like the real server (/good), like a proxy, like a broken line, and like a dead one."""

    def __init__(self, *args, raw, released, **kwargs):
        self.raw, self.released = raw, released
        super().__init__(*args, **kwargs)

    def do_GET(self):
        what = self.path.split("/")[1]
        body = {"good": self.raw, "flip": flipped(self.raw)}.get(what, b"<html>Please sign in</html>")
        if what == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.raw) if what == "short" else len(body)))
        self.end_headers()
        if what == "stall":
            self.released.wait(5)
        elif what == "short":
            self.wfile.write(self.raw[: len(self.raw) // 2])
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        """Stay silent."""


@pytest.fixture
def server(good):
    released = threading.Event()
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, raw=good, released=released))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    released.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def serve(server, monkeypatch):
    def choose(what: str) -> str:
        url = f"{server}/{what}/organamnist.npz"
        monkeypatch.setitem(published.INFO["organamnist"], "url", url)
        return url

    return choose


def test_a_missing_file_is_downloaded_once(good, root, serve, capsys):
    serve("good")
    scans = medmnist.load(data_root=root)
    assert [each.name for each in root.iterdir()] == ["organamnist.npz"]
    assert scans.path.read_bytes() == good
    assert len(scans.images["train"]) == COUNTS["train"]
    assert capsys.readouterr().err == ""  # no terminal, no progress
    serve("missing")
    assert medmnist.load(data_root=root).path == scans.path


def test_progress_is_shown_on_a_terminal(good, root, serve, capsys, monkeypatch):
    serve("good")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    medmnist.load(data_root=root)
    total = f"{len(good) / 1e6:.1f}"
    assert capsys.readouterr().err.endswith(f"\rorganamnist.npz: {total} of {total} MB\n")


@pytest.mark.parametrize(
    ("what", "message"),
    [("html", "is an HTML page"), ("short", r"is truncated: [\d,]+ of [\d,]+ bytes"),
     ("flip", "is damaged or another version"), ("missing", "404"), ("stall", "timed out")],
)  # fmt: skip
def test_a_download_that_goes_wrong_leaves_nothing(root, serve, monkeypatch, what, message):
    monkeypatch.setattr(medmnist, "TIMEOUT", 0.3)
    url = serve(what)
    with pytest.raises(DataError, match=message) as caught:
        medmnist.load(data_root=root)
    assert url in str(caught.value)
    assert "by hand" in str(caught.value)
    assert list(root.iterdir()) == []


def test_downloads_at_once_do_not_disturb_each_other(good, root, serve):
    serve("good")
    with ThreadPoolExecutor(6) as pool:
        loaded = list(pool.map(lambda _: medmnist.load(data_root=root), range(6)))
    assert len(loaded) == 6
    assert [each.name for each in root.iterdir()] == ["organamnist.npz"]
    assert (root / "organamnist.npz").read_bytes() == good


def test_a_place_that_cannot_be_written_is_passed_over(root, tmp_path, serve, monkeypatch):
    serve("good")
    (tmp_path / "file").touch()
    monkeypatch.setenv("PLUMBLINE_DATA", str(root))
    assert medmnist.load(data_root=tmp_path / "file").path.parent == root


def test_a_place_without_the_right_to_write_is_passed_over(root, tmp_path, serve, monkeypatch):
    serve("good")
    monkeypatch.setenv("PLUMBLINE_DATA", str(tmp_path / "environment"))
    # Asked instead of set: the tests may run as a user to whom no folder is closed.
    monkeypatch.setattr(medmnist.os, "access", lambda folder, _: folder != root)
    assert medmnist.load(data_root=root).path.parent == tmp_path / "environment"


def test_no_place_can_be_written(tmp_path, serve, monkeypatch):
    serve("good")
    (tmp_path / "home").touch()
    (tmp_path / "file").touch()
    monkeypatch.setenv("PLUMBLINE_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match="None of them can be written"):
        medmnist.load()


@given(n=st.integers(2, 300), seed=st.integers(0, 2**32))
def test_halves_are_disjoint_and_complete(n, seed):
    first, second = medmnist.pair_halves(n, np.random.default_rng(seed))
    assert len(first) == len(second) == n // 2
    both = np.concatenate([first, second])
    assert len(set(both)) == len(both)
    assert both.min() >= 0
    assert both.max() < n
    again = medmnist.pair_halves(n, np.random.default_rng(seed))
    np.testing.assert_array_equal(first, again[0])


def test_halves_are_in_random_order():
    first, second = medmnist.pair_halves(1000, np.random.default_rng(0))
    for half in (first, second):
        assert abs(np.corrcoef(half, np.arange(500))[0, 1]) < 0.2
    assert first.max() > 900  # not simply the first 500 rows
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


@given(n_a=st.integers(1, 200), n_c=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_pairs_across_use_each_row_once(n_a, n_c, seed):
    a, c = medmnist.pair_across(n_a, n_c, np.random.default_rng(seed))
    assert len(a) == len(c) == min(n_a, n_c)
    for rows, n in ((a, n_a), (c, n_c)):
        assert len(set(rows)) == len(rows)
        assert set(rows) <= set(range(n))


def test_pairs_across_are_random_and_reach_the_whole_larger_set():
    a, c = medmnist.pair_across(2000, 500, np.random.default_rng(0))
    assert a.max() > 1900
    assert abs(np.corrcoef(a, c)[0, 1]) < 0.2


def test_pairs_of_nothing_are_refused():
    with pytest.raises(ValueError, match=r"at least 2.* Got 1"):
        medmnist.pair_halves(1, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"at least 1\. Got 0 and 3"):
        medmnist.pair_across(0, 3, np.random.default_rng(0))


@pytest.mark.real_data
def test_the_real_file_is_complete(real_data_root):
    scans = medmnist.load(data_root=real_data_root, download=False)
    assert {split: value.shape for split, value in scans.images.items()} == {
        "train": (34561, 28, 28), "val": (6491, 28, 28), "test": (17778, 28, 28)
    }  # fmt: skip
    assert set(np.unique(scans.labels["train"])) == set(range(11))


@pytest.mark.real_data
def test_one_bit_or_one_byte_of_the_real_file_is_noticed(real_data_root, tmp_path):
    raw = (real_data_root / "organamnist.npz").read_bytes()
    path = tmp_path / "organamnist.npz"
    path.write_bytes(flipped(raw))
    with pytest.raises(DataError, match="is damaged or another version"):
        medmnist.load(data_root=tmp_path, download=False)
    path.write_bytes(raw[:-1])
    with pytest.raises(DataError, match="is truncated: 38,247,707 of 38,247,708 bytes"):
        medmnist.load(data_root=tmp_path, download=False)
