"""Whatever the project reads, damaged or made to harm: no traceback, no wrong number, no code that is run.

Every input goes through the entry that a user's input takes: the command, in this process, or the reader that
the command calls. Mutations are drawn by hypothesis, always the same ones; those that somebody once thought
of stand in lists and are all tried. The thorough part draws more of them (``-m slow``).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import pickle
import re
import shutil
import struct
import sys
import tracemalloc
import unicodedata
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import medmnist as published
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import synthetic
from benchmark import models, sandbox
from benchmark.__main__ import main
from benchmark.report import figure
from benchmark.store import Store
from benchmark.suite_file import load_suite
from synthetic import cache, medmnist
from synthetic.features import latent_features
from synthetic.names import printable

Edit = Callable[[bytes], bytes]

SMALL = ("--patients", "300", "--explained", "20", "--seeds", "1", "--workers", "1")

HOSTILE = (
    *("", " ", ".", "..", "../../evil", "/tmp/evil", "a/b", "~", "~root", "-x", "--out", "CON", "x.toml"),  # noqa: S108
    *(
        "; touch pwned",
        "$(touch pwned)",
        "`touch pwned`",
        "| touch pwned",
        "&& touch pwned",
        "%s%n",
        "*",
        "?",
    ),
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;", "]]>", "<!--", "--><script>"),
    *(
        "[red]x",
        "[/]",
        "[/red]",
        "[link=http://x]y",
        "{braces}",
        "{0.__class__}",
        "a|b",
        "**b**",
        "_b_",
        "`b",
    ),
    *(
        "[x](http://x)",
        "![x](y)",
        "# head",
        "| --- |",
        "$a_{b$",
        r"$\frac{$",
        "=HYPERLINK(1)",
        "\\",
        '"',
        "'''",
    ),
    *("x\ny", "\r\n", "a\tb", "a\x00b", "\x1b[31mred", "\x1b]0;title\x07", "\x08\x7f\x9b31m", "\ufeffx"),
    *("\u202eevil", "\u2066x\u2069", "\u2028x", "😀", "👩\u200d👩\u200d👧", "é", "é" * 90, "ﷺ", "a" * 3000),
    *(
        "__import__('os').system('touch pwned')",
        "os:system",
        "!!python/object:os.system",
        "cos\nsystem\n(S'x'",
    ),
)
"""Texts that a shell, terminal, HTML, Markdown, TeX, path, format or spreadsheet takes for its own."""


KEEN = (
    *(
        "<script>alert(1)</script>",
        "<script>",
        "[/]",
        "a|b",
        "`b",
        "`x`",
        "$a_{b$",
        "\x1b[31mred",
        "\x1b[31m",
    ),
    *("../../evil", "x\ny", "x\udcff", "{[]:1}", "__import__('os').system('touch pwned')"),
)
"""What is tried in every run; of the costly tests, the thorough part alone tries the rest."""


def keen(texts: Collection[str], always: Collection[str] = ()) -> list[Any]:
    """Return texts to try: those that are named, or else those of ``KEEN``, in every run."""
    assert set(always) <= set(texts), always
    always = always or KEEN
    return [
        pytest.param(text, id=str(place), marks=() if text in always else pytest.mark.slow)
        for place, text in enumerate(texts)
    ]


def few(values: Iterable[Any], n_always: int) -> list[Any]:
    """Return values to try: all but the first few in the thorough part alone."""
    return [
        pytest.param(value, id=str(place), marks=() if place < n_always else pytest.mark.slow)
        for place, value in enumerate(values)
    ]


def drawn(n: int) -> Callable[[Any], Any]:
    """Draw n mutations, the same in every run."""
    return settings(
        max_examples=n,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


class Told(NamedTuple):
    """How the command ended, and what it said."""

    code: int
    out: str
    err: str


def plumbline(*words: str, cwd: Path) -> Told:
    """Give a command in this process, as a shell does where output goes to files in UTF-8.

    What `main` lets through, but SystemExit, a user would see as a traceback: it fails the test as it is.
    """
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    argv, path = sys.argv, list(sys.path)
    sys.argv = ["plumbline", *words]
    try:
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            quiet(),
            pytest.raises(SystemExit) as ended,
        ):
            main()
    finally:
        sys.argv, sys.path[:] = argv, path
    code = ended.value.code
    told = Told(
        code if isinstance(code, int) else 1,
        *(stream.buffer.getvalue().decode() for stream in (out, err)),  # pyright: ignore[reportAttributeAccessIssue]
    )
    check_manners(told)
    return told


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let warnings of the libraries pass: that a number overflows is no traceback."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_manners(told: Told) -> None:
    """Check what holds of every command, whatever its input."""
    assert told.code in (0, 1, 2), told
    assert "Traceback" not in told.err + told.out, told.err
    for stream in (told.out, told.err):
        steering = {
            sign
            for sign in stream
            if unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp") and sign not in "\n\t\u200c\u200d"
        }
        assert not steering, (steering, stream)
    if told.code == 2:
        assert told.err.startswith(("Error: ", "Usage: ")), told
    if told.err.startswith("Error: "):
        assert told.err.count("\n") == 1, told.err


def files_in(folder: Path) -> set[Path]:
    """Return everything below a folder."""
    return set(folder.rglob("*"))


@pytest.fixture
def world(tmp_path, monkeypatch) -> Iterator[Path]:
    """Yield a working folder inside an otherwise empty one, and check that nothing came to lie beside it."""
    work = tmp_path / "outer" / "work"
    work.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "outer" / "home"))
    monkeypatch.delenv("PLUMBLINE_DATA", raising=False)
    yield work
    beside = {path for path in files_in(tmp_path) if not path.is_relative_to(work)}
    assert beside == {work.parent}
    assert not list(tmp_path.rglob("pwned"))


# --- mutations of bytes -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ByteEdit:
    """What flips, cuts, doubles, inserts or overwrites something anywhere."""

    how: str
    place: float
    length: int
    piece: bytes
    bit: int

    def __call__(self, raw: bytes) -> bytes:
        first = min(int(self.place * len(raw)), max(len(raw) - 1, 0))
        before, after, last = raw[:first], raw[first:], raw[first + self.length :]
        return {
            "flip": lambda: before + bytes([raw[first] ^ 1 << self.bit]) + after[1:] if raw else b"x",
            "cut": lambda: before + last,
            "end": lambda: before,
            "double": lambda: before + after[: self.length] + after,
            "insert": lambda: before + self.piece + after,
            "overwrite": lambda: before + self.piece + after[len(self.piece) :],
            "zero": lambda: before + bytes(self.length) + last,
        }[self.how]()


def byte_edits() -> st.SearchStrategy[Edit]:
    return st.builds(
        ByteEdit,
        how=st.sampled_from(("flip", "cut", "end", "double", "insert", "overwrite", "zero")),
        place=st.floats(0, 1),
        length=st.integers(1, 64),
        piece=st.one_of(st.binary(min_size=1, max_size=16), st.sampled_from(PIECES)),
        bit=st.integers(0, 7),
    )


PIECES = (
    *(b"NaN", b"-Infinity", b"1e999", b"-1", b"true", b"null", b"[", b"{", b'"', b"\\ud800", b"\xff", b"\0"),
    *(b"9" * 30, b'"F64"', b'"I32"', b'"BOOL"', b"[0,0]", b"\xef\xbb\xbf", b"PK\x03\x04", b"\x93NUMPY"),
)


# --- stored results -----------------------------------------------------------------------------------------

RUN = ("run", "smoke", *SMALL, "--scenario", "paper-F4", "--scenario", "xor", "--out", "out")
METHODS = ("--method", "gradient", "--method", "permutation")
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        -1,
        0,
        1,
        7,
        0.5,
        1e308,
        -1e-300,
        10**30,
        math.nan,
        math.inf,
        -math.inf,
        "",
        "x",
        "1",
    ),
    *([], {}, [[]], {"x": 1}, "\ud800", "../../evil", "<script>", "done", "failed", "gradient", "0" * 32),
)


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value but the whole."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        yield (*path, key)
        yield from places(entry, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@dataclass(frozen=True)
class JsonEdit:
    """What changes a value, a name or the order in a JSON text, and nothing else."""

    how: str
    place: float
    other: float
    odd: Any
    factor: float

    def __call__(self, raw: bytes) -> bytes:
        content = json.loads(raw)
        paths = list(places(content))
        if self.how == "nudge":  # a number that stays a number: nothing but a checksum can tell
            paths = [path for path in paths if type(at(content, path)) in (int, float)]
        path, other = (paths[min(int(it * len(paths)), len(paths) - 1)] for it in (self.place, self.other))
        parent, key = at(content, path[:-1]), path[-1]
        getattr(self, f"_{self.how}")(content, parent, key, other)
        text = json.dumps(content, indent=1)
        if self.how == "twice":
            text = text.replace("{", f"{{{json.dumps(str(key))}: {json.dumps(self.odd)},", 1)
        return text.encode()

    def _odd(self, _content: Any, parent: Any, key: Any, _other: Any) -> None:
        parent[key] = self.odd

    def _nudge(self, _content: Any, parent: Any, key: Any, _other: Any) -> None:
        parent[key] = type(parent[key])(parent[key] * self.factor) + (self.factor == 0)

    def _drop(self, _content: Any, parent: Any, key: Any, _other: Any) -> None:
        del parent[key]

    def _rename(self, _content: Any, parent: Any, key: Any, _other: Any) -> None:
        if isinstance(parent, list):
            parent.append(parent.pop(key))
        else:
            parent[f"{key}_"] = parent.pop(key)

    def _swap(self, content: Any, parent: Any, key: Any, other: Any) -> None:
        first, second = parent[key], at(content, other)
        at(content, other[:-1])[other[-1]] = json.loads(json.dumps(first))  # copies: one may hold the other
        parent[key] = json.loads(json.dumps(second))

    def _extra(self, _content: Any, parent: Any, _key: Any, _other: Any) -> None:
        if isinstance(parent, list):
            parent.append(self.odd)
        else:
            parent["extra"] = self.odd

    def _turn(self, _content: Any, parent: Any, _key: Any, _other: Any) -> None:
        if isinstance(parent, list):
            parent.reverse()
            return
        turned = dict(reversed(parent.items()))
        parent.clear()
        parent.update(turned)

    def _twice(self, _content: Any, _parent: Any, _key: Any, _other: Any) -> None:
        """Leave the content: the name is written twice."""


def json_edits() -> st.SearchStrategy[Edit]:
    return st.builds(
        JsonEdit,
        how=st.sampled_from(
            ("odd", "odd", "nudge", "nudge", "drop", "rename", "swap", "extra", "twice", "turn")
        ),
        place=st.floats(0, 1),
        other=st.floats(0, 1),
        odd=st.sampled_from(ODD),
        factor=st.sampled_from((1 + 1e-12, 1.001, 2.0, -1.0, 0.0, 1e300)),
    )


def changing(**values: Any) -> Edit:
    """Return an edit that sets fields of a result."""
    return lambda raw: json.dumps({**json.loads(raw), **values}).encode()


def deep_change(*path: str, value: object) -> Edit:
    """Return an edit that sets one value further down, under the first name that there is for ``*``."""

    def edit(raw: bytes) -> bytes:
        content = json.loads(raw)
        parent: Any = content
        for key in path[:-1]:
            parent = parent[next(iter(parent)) if key == "*" else key]
        parent[next(iter(parent)) if path[-1] == "*" else path[-1]] = value
        return json.dumps(content).encode()

    return edit


WRONG_RESULTS: dict[str, Edit] = {
    "empty": lambda raw: b"",
    "null": lambda raw: b"null",
    "list": lambda raw: b"[" + raw + b"]",
    "cut": lambda raw: raw[:-20],
    "nested": lambda raw: b"[" * 200_000,
    "nested-inside": lambda raw: raw.replace(b'"error"', b'"x": ' + b'{"a":' * 100_000 + b'1, "error"', 1),
    "utf-16": lambda raw: raw.decode().encode("utf-16"),
    "not-utf-8": lambda raw: raw.replace(b'"error"', b'"err\xff"'),
    "bom": lambda raw: b"\xef\xbb\xbf" + raw,
    "long": lambda raw: raw.replace(b'"error": ""', b'"error": "' + b"x" * 10_000_000 + b'"'),
    "long-name": lambda raw: raw.replace(b'"axial"', b'"' + b"a" * 10_000_000 + b'"', 1),
    "surrogate": lambda raw: raw.replace(b'"error": ""', b'"error": "\\ud800"'),
    "twice": lambda raw: raw.replace(b"{", b'{"model_calls": 1,', 1),
    "twice-at-the-end": lambda raw: raw.rstrip()[:-1] + b',"model_calls": 1}',
    "status": changing(status="failed"),
    "status-unknown": changing(status="well"),
    "schema": changing(schema=99),
    "schema-text": changing(schema="1"),
    "no-truth": changing(truth={}),
    "truth-list": changing(truth=[]),
    "calls-negative": changing(model_calls=-5),
    "calls-huge": changing(model_calls=10**4000),
    "calls-true": changing(model_calls=True),
    "calls-nan": changing(model_calls=math.nan),
    "seconds": changing(seconds=math.inf),
    "accuracy": deep_change("fidelity", "accuracy", value=7),
    "accuracy-low": deep_change("fidelity", "accuracy", value=0.51),
    "accuracy-text": deep_change("fidelity", "accuracy", value="high"),
    "ceiling": deep_change("fidelity", "ceiling", value=0.5),
    "shares": deep_change("truth", "gradient", "*", value=0.9),
    "share-negative": deep_change("truth", "gradient", "*", value=-1.0),
    "share-nan": deep_change("truth", "gradient", "*", value=math.nan),
    "error-nan": deep_change("truth_se", "gradient", "*", value=math.nan),
    "error-large": deep_change("truth_se", "gradient", "*", value=1.0),
    "importance": deep_change("importances", "*", value=0.123),
    "importance-infinite": deep_change("importances", "*", value=math.inf),
    "importance-true": deep_change("importances", "*", value=True),
    "importance-text": deep_change("importances", "*", value="1"),
    "importance-more": deep_change("importances", "evil", value=1.0),
    "importances-of-others": changing(importances={"a": 1.0}),
    "importances-none": changing(importances={}),
    "method": deep_change("job", "method", value="random"),
    "scenario": deep_change("job", "scenario", value="../../evil"),
    "seed": deep_change("job", "data_seed", value=10**20),
    "targets": changing(targets="control"),
    "targets-unknown": changing(targets="<script>"),
    "version": changing(method_version="[/]"),
    "extra": changing(extra="field"),
    "checksum-none": changing(sha256=None, checksum=None),
    "checksum": changing(sha256="0" * 64, checksum="0" * 64),
}


@dataclass(frozen=True)
class Undisturbed:
    """A run's folder as it was left, and what the same command has to make of it whatever became of it."""

    work: Path
    files: dict[str, bytes]
    tables: tuple[str, str]
    meanings: dict[str, object]

    def restore(self) -> None:
        shutil.rmtree(self.work / "out")
        for name, raw in self.files.items():
            path = self.work / "out" / "results" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)


def tables(folder: Path) -> tuple[str, str]:
    """Return the tables of a run without the times, which no two runs share."""
    scores = pd.read_csv(folder / "scores.csv").drop(columns="seconds")
    return scores.to_csv(), (folder / "importances.csv").read_text()


def meaning(raw: bytes) -> object:
    """Return what a result says but for its time, and the checksum over it."""
    content = json.loads(raw)
    return {key: value for key, value in content.items() if key not in ("seconds", "sha256", "checksum")}


def run_fast(patch: pytest.MonkeyPatch, work: Path) -> None:
    """Make runs fast, with a cache of their own: no pictures, no processes, hardly any training."""
    patch.setenv("PLUMBLINE_CACHE", str(work / "cache"))
    patch.setattr(sandbox, "is_available", lambda: False)
    patch.setattr(figure, "draw_importances", lambda *_, **__: None)
    patch.setattr(figure, "save", lambda _picture, path, **_options: path.touch())
    # A network that learnt hardly anything is as good: its numbers are its own.
    plan = replace(models.plan("hybrid"), max_epochs=1, min_steps=2)
    patch.setattr(models, "plan", lambda _name: plan)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> Undisturbed:
    """Run two scenarios once."""
    work = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        run_fast(patch, work)
        assert plumbline(*RUN, *METHODS, cwd=work).code == 0
    files = {path.name: path.read_bytes() for path in (work / "out" / "results").iterdir()}
    assert len(files) == 10
    meanings = {name: meaning(raw) for name, raw in files.items()}
    return Undisturbed(work, files, tables(work / "out"), meanings)


@pytest.fixture
def undisturbed(first_run, monkeypatch) -> Undisturbed:
    run_fast(monkeypatch, first_run.work)
    return first_run


def beside(undisturbed: Undisturbed, folder: Path) -> set[Path]:
    """Return what lies beside a run's folder and the cache."""
    own = (folder, undisturbed.work / "cache")
    return {path for path in files_in(undisturbed.work.parent) if not any(map(path.is_relative_to, own))}


def check_results(undisturbed: Undisturbed, edits: dict[str, Edit]) -> None:
    """Check that the same command gives the same tables and files, whatever became of its results."""
    undisturbed.restore()
    folder = undisturbed.work / "out"
    for name, edit in edits.items():
        (folder / "results" / name).write_bytes(edit(undisturbed.files[name]))
    before = beside(undisturbed, folder)
    told = plumbline(*RUN, *METHODS, cwd=undisturbed.work)
    assert told.code == 0, told.err
    assert tables(folder) == undisturbed.tables
    found = {path.name: meaning(path.read_bytes()) for path in (folder / "results").iterdir()}
    assert found == undisturbed.meanings
    assert before == beside(undisturbed, folder)


@pytest.mark.parametrize("names", few((list(WRONG_RESULTS)[start::9] for start in range(9)), 1))
@pytest.mark.few(1)
def test_a_wrong_result_is_made_again(undisturbed, names):
    check_results(
        undisturbed, {file: WRONG_RESULTS[n] for file, n in zip(undisturbed.files, names, strict=False)}
    )


@pytest.mark.parametrize("name", WRONG_RESULTS)
@pytest.mark.few(1)
def test_a_wrong_result_is_no_result(undisturbed, tmp_path, name):
    for file, raw in undisturbed.files.items():
        changed = WRONG_RESULTS[name](raw)
        assert changed != raw
        assert loaded(tmp_path, file, raw, changed) in (None, meaning(raw))


def loaded(folder: Path, file: str, raw: bytes, changed: bytes) -> object:
    """Return what the store makes of a changed file that lies where the true one belongs."""
    store = Store(folder)
    content = json.loads(raw)
    (folder / "results" / file).write_bytes(changed)

    class Job:
        def as_dict(self):
            return content["job"]

    found = store.load(Job(), content["key"])  # pyright: ignore[reportArgumentType]
    return None if found is None else {"schema": content["schema"], **meaning_of(found)}


def meaning_of(result: Any) -> dict[str, object]:
    """Return what a result says, in the types of JSON."""
    return {name: getattr(result, name) for name in result.__dataclass_fields__ if name != "seconds"}


def all_files(edits: st.SearchStrategy[Edit]) -> st.SearchStrategy[list[Edit]]:
    return st.lists(edits, min_size=10, max_size=10)


def check_drawn_results(undisturbed: Undisturbed, edits: list[Edit]) -> None:
    chosen = dict(zip(sorted(undisturbed.files), edits, strict=True))
    assume(any(edit(undisturbed.files[name]) != undisturbed.files[name] for name, edit in chosen.items()))
    check_results(undisturbed, chosen)


@pytest.mark.slow
@drawn(8)
@given(all_files(st.one_of(json_edits(), json_edits(), byte_edits())))
def test_mutated_results_change_no_table(undisturbed, edits):
    check_drawn_results(undisturbed, edits)


@pytest.mark.slow
@drawn(400)
@given(all_files(st.one_of(json_edits(), json_edits(), byte_edits())))
def test_many_mutated_results_change_no_table(undisturbed, edits):
    check_drawn_results(undisturbed, edits)


@pytest.mark.parametrize("shift", [1, 3])
@pytest.mark.few(1)
def test_results_in_each_others_place_change_no_table(undisturbed, shift):
    names = sorted(undisturbed.files)
    others = dict(zip(names, names[shift:] + names[:shift], strict=True))
    check_results(
        undisturbed, {name: lambda _, o=other: undisturbed.files[o] for name, other in others.items()}
    )


@drawn(6)
@given(all_files(st.one_of(json_edits(), byte_edits())))
def test_mutated_results_mislead_no_dry_run(undisturbed, edits):
    undisturbed.restore()
    folder = undisturbed.work / "out" / "results"
    for (name, raw), edit in zip(undisturbed.files.items(), edits, strict=True):
        (folder / name).write_bytes(edit(raw))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    told = plumbline(*RUN, *METHODS, "--method", "lime", "--dry-run", cwd=undisturbed.work)
    assert told.code == 0, told.err
    assert before == {path: path.read_bytes() for path in folder.iterdir()}
    assert not re.search(r"\b(nan|inf)\b|\s-\d", told.out), told.out


@pytest.mark.parametrize("name", WRONG_RESULTS)
@pytest.mark.few(1)
def test_a_wrong_result_misleads_no_dry_run(undisturbed, name):
    undisturbed.restore()
    for file, raw in undisturbed.files.items():
        (undisturbed.work / "out" / "results" / file).write_bytes(WRONG_RESULTS[name](raw))
    told = plumbline(*RUN, *METHODS, "--method", "lime", "--dry-run", cwd=undisturbed.work)
    assert told.code == 0, told.err
    assert not re.search(r"\b(nan|inf)\b|\s-\d", told.out), told.out


@pytest.mark.parametrize(
    "text", few(["\\ud800", "[/]", "\\x1b[31m", "", "\\udcff x", "\\u202e", "\\n\\n", "<script>"], 4)
)
@pytest.mark.few(2)
def test_whatever_a_method_raises_costs_its_own_result_only(world, text):
    (world / "raising.py").write_text(
        f'def bad(model, samples, rng):\n    raise RuntimeError("{text}")\n', encoding="utf-8"
    )
    sys.modules.pop("raising", None)
    words = ("--scenario", "paper-F4", "--method", "gradient", "--method", "raising:bad")
    told = plumbline("run", "smoke", *SMALL, *words, "--out", "out", cwd=world)
    assert told.code == 1, told
    states = {
        content["job"]["method"]: content["status"]
        for content in (json.loads(path.read_bytes()) for path in world.glob("out/results/*.json"))
    }
    assert states.pop("raising:bad") == "failed"
    assert set(states.values()) == {"done"}


# --- cache entries ------------------------------------------------------------------------------------------


def header_edit(change: Callable[[dict[str, Any]], object]) -> Edit:
    """Return an edit of the header of a safetensors file, which promises what follows."""

    def edit(raw: bytes) -> bytes:
        size = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + size])
        change(header)
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + raw[8 + size :]

    return edit


def of_tensor(**values: Any) -> Edit:
    def change(header: dict[str, Any]) -> None:
        name = next((name for name in header if name != "__metadata__"), None)
        if name is None:
            header["x"] = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **values}
        else:
            header[name].update(values)

    return header_edit(change)


def of_metadata(change: Callable[[dict[str, Any]], object]) -> Edit:
    return header_edit(lambda header: change(header["__metadata__"]))


WRONG_ENTRIES: dict[str, Edit] = {
    "empty": lambda raw: b"",
    "short": lambda raw: raw[:7],
    "cut": lambda raw: raw[:-1],
    "longer": lambda raw: raw + b"\0",
    "size-huge": lambda raw: b"\xff" * 8 + raw[8:],
    "size-zero": lambda raw: bytes(8) + raw[8:],
    "pickle": lambda raw: pickle.dumps({"x": 1}),
    "nested": lambda raw: struct.pack("<Q", 100_000) + b"[" * 100_000 + raw[8:],
    "nested-metadata": lambda raw: raw[:8] + b'{"a":' * 20_000 + raw[8:],
    "dtype": of_tensor(dtype="F64"),
    "dtype-unknown": of_tensor(dtype="EVIL"),
    "dtype-odd": of_tensor(dtype="F8_E4M3"),
    "shape-huge": of_tensor(shape=[2**62, 2**62]),
    "shape-huge-empty": of_tensor(shape=[2**62, 0], data_offsets=[0, 0]),
    "shape-negative": of_tensor(shape=[-1]),
    "shape-float": of_tensor(shape=[1.5]),
    "offsets-huge": of_tensor(data_offsets=[0, 2**63]),
    "offsets-back": of_tensor(data_offsets=[8, 0]),
    "no-metadata": header_edit(lambda header: header.pop("__metadata__")),
    "metadata-number": of_metadata(lambda metadata: metadata.update(sha256=1)),
    "no-checksum": of_metadata(lambda metadata: metadata.pop("sha256")),
    "no-key": of_metadata(lambda metadata: metadata.pop("key", None)),
    "another-key": of_metadata(lambda metadata: metadata.update(key="0" * 32)),
    "another-text": of_metadata(lambda metadata: metadata.update(stage="x", truth="{}", kind="x")),
}


def resealed(change: Callable[[dict[str, Any], dict[str, str]], object]) -> Edit:
    """Return an edit that puts the right checksum on changed content, as no accident does."""

    def edit(raw: bytes) -> bytes:
        tensors = safetensors.torch.load(raw)
        metadata = dict(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"])
        del metadata["sha256"]
        change(tensors, metadata)
        return safetensors.torch.save(tensors, {**metadata, "sha256": cache.checksum(tensors, metadata)})

    return edit


def of_truth(**values: Any) -> Edit:
    def change(_tensors: dict[str, Any], metadata: dict[str, str]) -> None:
        metadata["truth"] = json.dumps({**json.loads(metadata["truth"]), **values})

    return resealed(change)


RESEALED_TRUTHS: dict[str, Edit] = {
    "no-text": resealed(lambda _, metadata: metadata.pop("truth")),
    "no-json": resealed(lambda _, metadata: metadata.update(truth="{")),
    "list": resealed(lambda _, metadata: metadata.update(truth="[]")),
    "nested": resealed(lambda _, metadata: metadata.update(truth="[" * 100_000)),
    "no-tensors": resealed(lambda tensors, _: tensors.clear()),
    "tensors-longer": resealed(lambda tensors, _: tensors.update({name: torch.ones(3) for name in tensors})),
    "estimand": of_truth(estimand="evil"),
    "shares": of_truth(modalities={"axial": 0.5}),
    "shares-text": of_truth(modalities={"axial": "x"}),
    "shares-nan": of_truth(modalities={"axial": math.nan}),
    "error": of_truth(standard_error={}),
    "pairs": of_truth(pairs=7),
    "extra": of_truth(extra=1),
}


@dataclass(frozen=True)
class Kept:
    """A cache with entries of every kind, each as bytes, and what the command makes with it."""

    work: Path
    files: dict[str, bytes]
    tables: tuple[str, str]
    truths: bytes

    def restore(self) -> None:
        for name, raw in self.files.items():
            (self.work / "cache" / name).write_bytes(raw)

    def forget_results(self) -> None:
        shutil.rmtree(self.work / "out", ignore_errors=True)


NETWORKS = (
    *("run", "paper", *SMALL, "--scenario", "paper-F4", "--scenario", "paper-F5", "--method", "gradient"),
    *("--model", "oracle", "--model", "hybrid", "--out", "out"),
)
TRUTHS = ("truths", "paper-F4", "graded", "--workers", "1", "--out", "truths.csv")


@pytest.fixture(scope="module")
def first_cache(tmp_path_factory) -> Kept:
    """Fill a cache: two networks, truths of three scenarios, features of two sets of images."""
    work = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        run_fast(patch, work)
        assert plumbline(*NETWORKS, cwd=work).code == 0
        assert plumbline(*TRUTHS, cwd=work).code == 0
        for seed in (0, 1):
            latent_features(pictures(seed), kind="pca", n_features=3)
    files = {
        str(path.relative_to(work / "cache")): path.read_bytes()
        for path in sorted((work / "cache").rglob("*.safetensors"))
    }
    kinds = [name.split("/")[0] for name in files]
    n_truths = 3 * len(synthetic.ESTIMANDS)
    assert (kinds.count("models"), kinds.count("features"), kinds.count("truths")) == (2, 2, n_truths)
    return Kept(work, files, tables(work / "out"), (work / "truths.csv").read_bytes())


@pytest.fixture
def kept(first_cache, monkeypatch) -> Iterator[Kept]:
    run_fast(monkeypatch, first_cache.work)
    yield first_cache
    first_cache.restore()


def pictures(seed: int) -> dict[str, np.ndarray]:
    return {"train": np.random.default_rng(seed).integers(0, 256, (40, 8, 8), dtype=np.uint8)}


def same(found: Any, raw: bytes) -> bool:
    """Return whether an entry that was loaded holds what was saved, bit for bit."""
    tensors = safetensors.torch.load(raw)
    return found[0].keys() == tensors.keys() and all(
        tensor.dtype == found[0][name].dtype and torch.equal(tensor, found[0][name])
        for name, tensor in tensors.items()
    )


def check_entry(kept: Kept, name: str, changed: bytes) -> None:
    """Check that an entry is what was saved under its name, or absent, and that `verify` agrees."""
    path = kept.work / "cache" / name
    path.write_bytes(changed)
    try:
        found = cache.load(path.stem, folder=path.parent)
        assert found is None or same(found, kept.files[name])
        told = plumbline("cache", "verify", cwd=kept.work)
        assert told.code == (found is None), told
    finally:
        path.write_bytes(kept.files[name])


@pytest.mark.parametrize("wrong", WRONG_ENTRIES)
def test_a_wrong_entry_is_absent(kept, wrong):
    for kind in ("models", "features", "truths"):
        name = next(name for name in kept.files if name.startswith(kind))
        changed = WRONG_ENTRIES[wrong](kept.files[name])
        assert changed != kept.files[name]
        check_entry(kept, name, changed)


def test_an_entry_under_another_name_is_absent(kept):
    names = list(kept.files)
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        path = kept.work / "cache" / name
        path.write_bytes(kept.files[other])
        assert cache.load(path.stem, folder=path.parent) is None
        path.write_bytes(kept.files[name])


def test_networks_in_each_others_place_are_trained_anew(kept):
    first, second = (name for name in kept.files if name.startswith("models"))
    for name, other in ((first, second), (second, first)):
        (kept.work / "cache" / name).write_bytes(kept.files[other])
    kept.forget_results()
    assert plumbline(*NETWORKS, cwd=kept.work).code == 0
    assert tables(kept.work / "out") == kept.tables
    for name in (first, second):
        assert cache.load(Path(name).stem, folder=kept.work / "cache" / "models") is not None
    kept.restore()


@drawn(60)
@given(st.data(), byte_edits())
def test_a_mutated_entry_is_the_one_that_was_saved_or_absent(kept, data, edit):
    name = data.draw(st.sampled_from(sorted(kept.files)))
    changed = edit(kept.files[name])
    assume(changed != kept.files[name])
    check_entry(kept, name, changed)


@pytest.mark.slow
@drawn(3000)
@given(st.data(), st.lists(byte_edits(), min_size=1, max_size=3))
def test_many_mutated_entries_are_those_that_were_saved_or_absent(kept, data, edits):
    name = data.draw(st.sampled_from(sorted(kept.files)))
    changed = kept.files[name]
    for edit in edits:
        changed = edit(changed)
    assume(changed != kept.files[name])
    check_entry(kept, name, changed)


def check_truths(kept: Kept, edits: list[Edit]) -> None:
    names = [name for name in kept.files if name.startswith("truths")]
    for name, edit in zip(names, edits, strict=False):
        (kept.work / "cache" / name).write_bytes(edit(kept.files[name]))
    told = plumbline(*TRUTHS, cwd=kept.work)
    assert told.code == 0, told
    assert (kept.work / "truths.csv").read_bytes() == kept.truths
    kept.restore()


@drawn(2)
@given(st.lists(byte_edits(), min_size=24, max_size=24))
def test_mutated_truths_are_worked_out_anew(kept, edits):
    check_truths(kept, edits)


@pytest.mark.slow
@drawn(40)
@given(st.lists(byte_edits(), min_size=24, max_size=24))
def test_many_mutated_truths_are_worked_out_anew(kept, edits):
    check_truths(kept, edits)


@pytest.mark.parametrize("wrong", few(RESEALED_TRUTHS, 5))
def test_a_truth_that_cannot_be_read_is_worked_out_anew(kept, wrong):
    check_truths(kept, [RESEALED_TRUTHS[wrong]] * 3)


@pytest.mark.slow
@drawn(12)
@given(st.lists(byte_edits(), min_size=4, max_size=4))
def test_mutated_networks_are_trained_anew(kept, edits):
    networks = [name for name in kept.files if name.startswith("models")]
    for name, edit in zip(networks, edits, strict=False):
        (kept.work / "cache" / name).write_bytes(edit(kept.files[name]))
    kept.forget_results()
    assert plumbline(*NETWORKS, cwd=kept.work).code == 0
    assert tables(kept.work / "out") == kept.tables
    kept.restore()


@pytest.mark.parametrize("wrong", ["cut", "shape-huge", "another-key", "pickle", "swap"])
def test_wrong_features_are_fitted_anew(kept, wrong):
    names = [name for name in kept.files if name.startswith("features")]
    expected = [latent_features(pictures(seed), kind="pca", n_features=3) for seed in (0, 1)]
    assert all(fit.cached for fit in expected)
    for name, other in zip(names, names[::-1], strict=True):
        changed = kept.files[other] if wrong == "swap" else WRONG_ENTRIES[wrong](kept.files[name])
        (kept.work / "cache" / name).write_bytes(changed)
    for seed, before in enumerate(expected):
        fit = latent_features(pictures(seed), kind="pca", n_features=3)
        assert not fit.cached
        assert np.array_equal(fit.values["train"], before.values["train"])  # noqa: PD011 - no frame
    kept.restore()


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\nb", "\udcff", "[red]", "x" * 200, "é😀", "\u202e"])
def test_foreign_names_in_the_cache_are_shown_and_left_alone(world, monkeypatch, name):
    monkeypatch.setenv("PLUMBLINE_CACHE", str(world / "cache"))
    (world / "cache" / "truths").mkdir(parents=True)
    foreign = world / "cache" / "truths" / name
    foreign.write_text("not the cache's")
    for words in (("info",), ("verify",), ("clear", "--yes")):
        assert plumbline("cache", *words, cwd=world).code == 0
    assert foreign.read_text() == "not the cache's"


# --- suites and scenarios -----------------------------------------------------------------------------------


class Raw(str):
    """TOML that is written as it stands."""

    __slots__ = ()


def toml(value: object) -> str:
    """Return a value as TOML in one line; what JSON escapes, TOML escapes alike."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(key)} = {toml(entry)}' for key, entry in value.items())}}}"
    return repr(value)


def toml_text(content: dict[str, Any]) -> str:
    return "".join(f"{toml(key)} = {toml(value)}\n" for key, value in content.items())


SCENARIO: dict[str, Any] = {
    "name": "mine",
    "description": "a liver value in image and table",
    "expected": "nothing",
    "source": "phantom",
    "image_size": 28,
    "features": "anatomy",
    "n": 300,
    "labels": {"shares": [0.5, 0.5], "noise": 0.01},
    "tables": {
        "labs": ["sex", "alt"],
        "more": {"columns": 2, "margin": "student_t", "parameters": [5.0]},
        "n": 2,
    },
    "terms": [
        {
            "features": "axial/liver_size",
            "weight": 2.0,
            "times": {"features": "labs/alt", "function": "tanh"},
        },
        {"features": ["more/*", "n/0"], "function": "identity", "offset": 0.5},
    ],
    "correlations": [{"between": ["axial/liver_size", "labs/alt"], "value": -0.4}],
    "missing": [{"features": "n/1", "mechanism": "mcar", "rate": 0.2}],
}
SUITE: dict[str, Any] = {
    "name": "own",
    "description": "two and a file",
    "scenarios": ["xor", "missing-m*", "mine.toml"],
    "models": ["oracle"],
    "methods": ["gradient", "permutation(unit=modality)"],
    "images": ["phantom"],
    "seeds": 2,
    "patients": 300,
    "explained": 20,
    "image_size": 28,
    "features": "anatomy",
}
ODD_TOML: tuple[Any, ...] = (
    *(
        True,
        False,
        -1,
        0,
        1,
        7,
        2**63 - 1,
        2**63,
        -(2**70),
        10**30,
        0.0,
        -0.0,
        1e308,
        5e-324,
        math.nan,
        math.inf,
    ),
    *([], {}, [[]], [{}], ["", ""], [1, "x"], {"": 1}, {"x": {"y": {"z": 1}}}, ["xor"] * 300),
    *map(Raw, ("9" * 5000, "0x" + "f" * 9000, "-inf", "1979-05-27T07:32:00Z", "07:32:00", "1e99999")),
    *map(
        Raw, ("[" * 300 + "]" * 300, "[" * 60_000, "{a=" * 300 + "1" + "}" * 300, '"""\n\\u0000"""', "'\x01'")
    ),
    *HOSTILE,
)
LINES = (
    *(
        "name = 'twice'",
        "terms.x = 1",
        "[terms]",
        "[[name]]",
        "[labels.x]",
        "x = 1",
        "[[terms]]",
        "tables.a.b = 1",
    ),
    *(
        "a." * 3000 + "a = 1",
        "name." * 3000 + "a = 1",
        "[" + "a." * 3000 + "a]",
        "tables.x." + "y." * 3000 + "z = 1",
    ),
    *(
        '"\\u001b[31m" = 1',
        '"" = 1',
        "tables.'<script>' = 'x'",
        'tables."a\\nb" = 1.5',
        'labels."\\u202e" = 1',
    ),
    *(
        "\x00",
        "\x1b",
        "=",
        "]",
        '"',
        "'''",
        "# \x7f",
        "\ufeff",
        "'" + "k" * 100_000 + "' = 1",
        "[x",
        "a = {",
        "\r",
    ),
)


@st.composite
def toml_mutations(draw, base: dict[str, Any]) -> bytes:
    """Draw a TOML text that was sound before one to three of its values, names or lines were changed."""
    content: Any = json.loads(json.dumps(base))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(content)) or [("name",)]))
        parent, key = at(content, path[:-1]), path[-1]
        how = draw(st.sampled_from(("odd", "odd", "odd", "drop", "name", "copy")))
        odd = draw(st.one_of(st.sampled_from(ODD_TOML), texts, st.integers(), st.floats()))
        if how == "odd":
            parent[key] = odd
        elif how == "drop":
            del parent[key]
        elif how == "name" and isinstance(parent, dict):
            parent[draw(st.one_of(st.sampled_from(HOSTILE), texts))] = parent.pop(key)
        elif isinstance(parent, list):
            parent.append(parent[key])
        else:
            parent["copy"] = parent[key]
    text = toml_text(content) + draw(st.sampled_from(("", "", "", *LINES)))
    raw = text.encode()
    return draw(byte_edits())(raw) if draw(st.integers(0, 5)) == 0 else raw


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def check_scenario(world: Path, raw: bytes) -> None:
    path = world / "mine.toml"
    path.write_bytes(raw)
    before = files_in(world)
    try:
        known = bool(synthetic.load_scenario(path))
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017 - either may happen
        known = False
    told = plumbline("run", "smoke", "--scenario", "mine.toml", "--dry-run", cwd=world)
    assert told.code == (0 if known else 2), told
    assert files_in(world) == before


def check_suite(world: Path, raw: bytes) -> None:
    path = world / "own.toml"
    path.write_bytes(raw)
    (world / "mine.toml").write_text(toml_text(SCENARIO), encoding="utf-8")
    before = files_in(world)
    try:
        known = bool(load_suite(path))
    except ValueError as error:
        assert str(world) in str(error)  # noqa: PT017 - either may happen; it may be the scenario's file
        known = False
    told = plumbline("run", "own.toml", "--dry-run", cwd=world)
    # A suite may be sound, and name a function of one's own that is not there, or too many jobs.
    assert told.code in ((0, 2) if known else (2,)), told
    assert files_in(world) == before


def test_the_scenario_and_the_suite_that_are_mutated_are_sound(world):
    check_scenario(world, toml_text(SCENARIO).encode())
    check_suite(world, toml_text(SUITE).encode())
    assert plumbline("run", "own.toml", "--dry-run", cwd=world).code == 0


@drawn(75)
@given(toml_mutations(SCENARIO))
def test_a_mutated_scenario_is_read_or_refused_in_one_line(world, raw):
    check_scenario(world, raw)


@drawn(75)
@given(toml_mutations(SUITE))
def test_a_mutated_suite_is_read_or_refused_in_one_line(world, raw):
    check_suite(world, raw)


@pytest.mark.slow
@drawn(2500)
@given(toml_mutations(SCENARIO))
def test_many_mutated_scenarios_are_read_or_refused_in_one_line(world, raw):
    check_scenario(world, raw)


@pytest.mark.slow
@drawn(2500)
@given(toml_mutations(SUITE))
def test_many_mutated_suites_are_read_or_refused_in_one_line(world, raw):
    check_suite(world, raw)


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_a_line_too_many_is_refused_in_one_line(world, line):
    check_scenario(world, f"{toml_text(SCENARIO)}{line}\n".encode())
    check_suite(world, f"{toml_text(SUITE)}{line}\n".encode())


@pytest.mark.slow
@drawn(300)
@given(toml_mutations(SCENARIO))
def test_a_mutated_scenario_that_can_be_read_is_run_and_shown(world, raw):
    path = world / "mine.toml"
    path.write_bytes(raw)
    try:
        scenario = synthetic.load_scenario(path)
    except ValueError:
        assume(False)
        return
    assume(scenario.source == "phantom")
    assume(sum(len(modality.latents) for modality in scenario.modalities) < 100)
    before = files_in(world)
    words = ("--scenario", "mine.toml", "--method", "gradient", "--method", "permutation", "--out", "out")
    plumbline("run", "smoke", *SMALL, *words, cwd=world)
    plumbline("show", "mine.toml", "--out", "out/shown.svg", cwd=world)
    assert {path for path in files_in(world) - before if not path.is_relative_to(world / "out")} == set()
    shutil.rmtree(world / "out", ignore_errors=True)


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", keen(HOSTILE))
def test_the_names_of_scenarios_and_suites_lead_nowhere(world, name):
    check_scenario(world, toml_text({**SCENARIO, "name": name}).encode())
    check_suite(world, toml_text({**SUITE, "name": name}).encode())
    check_suite(world, toml_text({**SUITE, "scenarios": [name]}).encode())


@pytest.mark.parametrize("name", keen(HOSTILE))
@pytest.mark.parametrize(
    "option", ["suite", "--scenario", "--images", "--features", "--model", "--method", "--data-root"]
)
def test_an_option_that_means_nothing_is_refused(world, option, name):
    words = [name] if option == "suite" else ["smoke", f"{option}={name}"]
    told = plumbline("run", *words, *SMALL, "--dry-run", cwd=world)
    assert told.code == 2 or option == "--data-root" or name == "" or name in ("os:system", "--out"), told
    assert not files_in(world)


METHOD_OPTIONS = (
    *("{[]:1}", "{[]}", "(" * 5000, "-" * 50_000 + "1", "[" * 400 + "]" * 400, "0x" + "f" * 9000, "9" * 5000),
    *("1e999", "nan", "'\\ud800'", "b'x'", "None", "__import__('os').system('touch pwned')", "().__class__"),
    *("<script>", "[red]", "[/]", "a|b", "`x`", "\x1b[31m", "\u202e", "$(touch pwned)", "x\ny", "{x}", "*x*"),
)


@pytest.mark.parametrize("option", keen(METHOD_OPTIONS))
def test_the_options_of_a_method_are_never_run_and_never_interpreted(world, option):
    method = f"lime(n_points={option})"
    plumbline("run", "smoke", *SMALL, "--method", method, "--dry-run", cwd=world)
    check_suite(world, toml_text({**SUITE, "methods": [method]}).encode())
    words = ("--scenario", "paper-F4", "--method", "gradient", "--method", method, "--out", "out")
    told = plumbline("run", "smoke", *SMALL, *words, cwd=world)
    if (world / "out" / "leaderboard.md").exists():
        check_documents(world / "out")
    assert told.code in (1, 2)


def check_documents(folder: Path) -> None:
    """Check that no name became markup: in the Markdown, in its tables, and in the pictures."""
    text = (folder / "leaderboard.md").read_text(encoding="utf-8")
    spans = re.sub(r"\\.", "", text)
    spans = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", spans, flags=re.DOTALL)
    assert "<" not in spans
    assert "`" not in spans
    assert "](" not in spans
    for block in text.split("\n\n"):
        rows = [row for row in block.splitlines() if row.startswith("|")]
        cells = [len(re.findall(r"(?<!\\)\|", row.replace("\\\\", ""))) for row in rows]
        assert len(set(cells)) <= 1, block
        assert len(rows) in (0, len(block.splitlines())), block
    for picture in folder.glob("*.svg"):
        tree = ET.parse(picture)  # noqa: S314 - of this run's own making; no doctype of others
        names = {element.tag.rpartition("}")[2] for element in tree.iter()}
        assert not names & {"script", "foreignObject", "image", "a"}, names
        assert not any(key.startswith("on") for element in tree.iter() for key in element.attrib)
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["command"]


def named(table: str, text: str) -> bytes:
    return toml_text(
        {
            "name": "mine",
            "description": text,
            "expected": text,
            "n": 300,
            "tables": {table: 2, "b": 2},
            "terms": [{"features": "axial/*"}, {"features": f"{table}/0"}],
            "missing": [{"features": "b/0", "rate": 0.1}],
        }
    ).encode()


TABLES = [name for name in HOSTILE if name and "/" not in name]


@pytest.mark.parametrize("name", keen(TABLES, ["[red]x", "\x1b[31mred", "a|b"]))
@pytest.mark.few(1)
def test_the_names_of_tables_are_shown_as_they_are(world, name):
    (world / "mine.toml").write_bytes(named(name, name))
    words = ("--scenario", "mine.toml", "--method", "gradient", "--out", "out")
    told = plumbline("run", "smoke", *SMALL, *words, cwd=world)
    if told.code == 2:  # a pattern of names, perhaps
        assert not (world / "out").exists()
        return
    assert told.code == 0, told
    assert {path.name for path in world.iterdir()} == {"mine.toml", "out"}
    check_documents(world / "out")
    shares = pd.read_csv(world / "out" / "importances.csv", keep_default_na=False, lineterminator="\n")
    assert set(shares["modality"]) == {"axial", "coronal", name, "b"}


SHOWN = [
    "<script>alert(1)</script>",
    "[/]",
    "[red]x",
    "\x1b[31mred",
    "$a_{b$",
    "😀\u202e",
    "a" * 3000,
    "x\ny",
]


@pytest.mark.parametrize("name", few(SHOWN, 3))
@pytest.mark.few(1)
def test_texts_of_a_scenario_are_shown_as_they_are(world, name):
    (world / "mine.toml").write_bytes(named(name.replace("/", ""), name))
    told = plumbline("show", "mine.toml", "--out", "shown.svg", cwd=world)
    assert told.code == 0, told
    if len(name) < 50:
        assert printable(name) in told.out
    tree = ET.parse(world / "shown.svg")  # noqa: S314 - of this run's own making
    assert not [element for element in tree.iter() if element.tag.endswith("}script")]
    assert {path.name for path in world.iterdir()} == {"mine.toml", "shown.svg"}


OUTS = [name for name in HOSTILE if name not in ("", "~root") and not name.startswith(("/", "-"))] + [
    "x\udcff"
]


@pytest.mark.parametrize("name", keen(OUTS, ["../../evil", "x\udcff", "[/]", "`b"]))
@pytest.mark.few(2)
def test_the_output_goes_where_it_was_asked_to_go_and_nowhere_else(tmp_path, name):
    work = tmp_path / "1" / "2" / "work"
    work.mkdir(parents=True)
    words = ("--scenario", "paper-F4", "--method", "gradient", f"--out={name}")
    told = plumbline("run", "smoke", *SMALL, *words, cwd=work)
    if told.code == 2:
        assert "\0" in name or len(name.encode()) > 255, told
        assert files_in(tmp_path) == {tmp_path / "1", tmp_path / "1" / "2", work}
        return
    assert told.code == 0, told
    asked = Path(os.path.normpath(work / name))
    strays = {path for path in files_in(tmp_path) if not path.is_relative_to(asked)}
    assert strays == {path for path in (work, *work.parents, *asked.parents) if path != tmp_path} & strays
    assert (asked / "scores.csv").exists()
    assert printable(f"Files: {Path(name)}\n").expandtabs() in told.out
    check_documents(asked)


PICTURES = (
    "",
    "x",
    "x.",
    "x.exe",
    "x.pgf",
    "x.svgz",
    "x.raw",
    "x.png/y",
    ".png",
    "x.PNG",
    "x[/].svg",
    "\x1b.pdf",
    "a\0.png",
)


@pytest.mark.parametrize("name", few(PICTURES, 3))
def test_a_picture_has_a_name_that_can_be_drawn_or_is_refused(world, name):
    told = plumbline("show", "paper-F4", f"--out={name}", cwd=world)
    drawable = name.lower().endswith((".png", ".svg", ".pdf")) and "\0" not in name and name != ".png"
    assert told.code == (0 if drawable else 2), told
    assert [path for path in files_in(world) if path.is_file()] == ([world / name] if drawable else [])
    assert drawable or not told.out


# --- real scans ---------------------------------------------------------------------------------------------

COUNTS = {"train": 12, "val": 4, "test": 6}


class Payload:
    """What creates a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def scans_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for split, n in COUNTS.items():
        made[f"{split}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        made[f"{split}_labels"] = rng.integers(0, 11, (n, 1), dtype=np.uint8)
    return made


def member(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, raw in members.items():
            made.writestr(name, raw)
    return file.getvalue()


def promising(header: str) -> bytes:
    """Return an npy file with a header of one's own and hardly anything behind it."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(784)


def scans_members() -> dict[str, bytes]:
    return {f"{name}.npy": member(array) for name, array in scans_arrays().items()}


def npy(**values: object) -> bytes:
    return promising(repr({"descr": "|u1", "fortran_order": False, "shape": (12, 28, 28), **values}))


TRAIN = "train_images.npy"


def wrong_members(canary: Path) -> dict[str, dict[str, bytes]]:
    """Return archives that are no scans, by what is wrong with them."""
    good = scans_members()
    payload = pickle.dumps(Payload(canary))
    objects = np.array([Payload(canary)] * 12, dtype=object)
    images = scans_arrays()["train_images"]
    return {
        "objects": {**good, TRAIN: member(objects)},
        "objects-shape": {**good, TRAIN: member(np.array([Payload(canary)] * 12 * 784).reshape(12, 28, 28))},
        "object-header": {**good, TRAIN: npy(descr="|O") + payload},
        "object-field": {**good, TRAIN: npy(descr=[("x", "|O")]) + payload},
        "pickle": {**good, TRAIN: payload},
        "pickle-0": {**good, TRAIN: pickle.dumps(Payload(canary), protocol=0)},
        "no-npy": {**good, TRAIN: b"hello"},
        "empty": {**good, TRAIN: b""},
        "no-suffix": {name.removesuffix(".npy"): raw for name, raw in good.items()},
        "bomb": {**good, TRAIN: npy(shape=(2**40, 28, 28))},
        "bomb-64": {**good, TRAIN: npy(shape=(2**63, 2**63))},
        "bomb-zeros": {**good, TRAIN: npy() + bytes(300_000_000)},
        "negative": {**good, TRAIN: npy(shape=(-12, 28, 28))},
        "shape-float": {**good, TRAIN: npy(shape=(12.0, 28, 28))},
        "shape-text": {**good, TRAIN: npy(shape="(12, 28, 28)")},
        "shape-true": {**good, TRAIN: npy(shape=(True, 28, 28))},
        "code": {**good, TRAIN: promising(f"open({str(canary)!r}, 'w')")},
        "code-shape": {
            **good,
            TRAIN: promising(
                f"{{'descr': '|u1', 'fortran_order': False, 'shape': open({str(canary)!r}, 'w')}}"
            ),
        },
        "header-nested": {**good, TRAIN: promising("(" * 9000)},
        "header-minus": {**good, TRAIN: promising("-" * 9000 + "1")},
        "header-long": {**good, TRAIN: promising("[" + "1," * 30_000 + "]")},
        "version": {**good, TRAIN: b"\x93NUMPY\x09\x09" + good[TRAIN][8:]},
        "int16": {**good, TRAIN: member(images.astype(np.int16))},
        "float": {**good, TRAIN: member(images / 255)},
        "bool": {**good, TRAIN: member(images > 9)},
        "text": {**good, TRAIN: member(images.astype(str))},
        "date": {**good, TRAIN: npy(descr="<M8[s]")},
        "fields": {**good, TRAIN: npy(descr=[("x", "|u1")])},
        "flat": {**good, TRAIN: member(images.ravel())},
        "fewer": {**good, TRAIN: member(images[:-1])},
        "scalar": {**good, TRAIN: member(np.uint8(1))},
        "short": {**good, TRAIN: good[TRAIN][:-1]},
        "long": {**good, TRAIN: good[TRAIN] + b"\0"},
        "lacks": {name: raw for name, raw in good.items() if name != TRAIN},
        "slip": {**good, "../../evil.npy": good[TRAIN], "/tmp/evil.npy": b"x", TRAIN: b""},  # noqa: S108
        "slip-only": {f"../{name}": raw for name, raw in good.items()},
        "nothing": {},
    }


WRONG_SCANS = tuple(wrong_members(Path("canary")))


def flipped_at(raw: bytes, needle: bytes, offset: int, value: int) -> bytes:
    """Return bytes with one of them set, counted from the first place of a needle."""
    place = raw.index(needle) + offset
    return raw[:place] + bytes([value]) + raw[place + 1 :]


@dataclass(frozen=True)
class Official:
    """A small file that passes for the published one, a folder to lay others into, and a canary."""

    raw: bytes
    path: Path
    canary: Path
    info: medmnist.FileInfo

    def read(self, raw: bytes) -> medmnist.Scans | None:
        """Return what the reader below the md5 check makes of bytes; None where it refuses them."""
        self.path.write_bytes(raw)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return medmnist.read_scans(self.path, self.info)
        except medmnist.DataError as error:
            assert str(self.path) in str(error)  # noqa: PT017 - either may happen
            return None
        finally:
            assert not self.canary.exists()
            assert {path.name for path in self.path.parent.iterdir()} == {self.path.name}


@pytest.fixture
def official(world, monkeypatch) -> Official:
    raw = archive(scans_members())
    (world / "data").mkdir()
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
    info = medmnist._info("organamnist", 28)
    return Official(raw, world / "data" / "organamnist.npz", world / "canary", info)


def equal_scans(found: medmnist.Scans) -> bool:
    made = scans_arrays()
    return all(
        np.array_equal(found.images[split], made[f"{split}_images"])
        and np.array_equal(found.labels[split], made[f"{split}_labels"][:, 0])
        for split in COUNTS
    )


def test_the_payload_that_must_not_be_unpickled_works(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "canary"))).close()  # noqa: S301 - the point
    assert (tmp_path / "canary").exists()


def test_the_archive_that_is_mutated_is_sound(official):
    found = official.read(official.raw)
    assert found is not None
    assert equal_scans(found)


@pytest.mark.parametrize(
    "compression",
    [
        zipfile.ZIP_DEFLATED,
        pytest.param(zipfile.ZIP_BZIP2, marks=pytest.mark.slow),
        pytest.param(zipfile.ZIP_LZMA, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("wrong", few(WRONG_SCANS, 8))
def test_an_archive_that_holds_anything_else_is_refused_below_the_md5_check(official, wrong, compression):
    if wrong == "bomb-zeros" and compression != zipfile.ZIP_DEFLATED:
        pytest.skip("takes seconds to make")
    raw = archive(wrong_members(official.canary)[wrong], compression)
    tracemalloc.start()
    try:
        assert official.read(raw) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            lambda raw: flipped_at(raw, b"PK\x01\x02", 16, raw[raw.index(b"PK\x01\x02") + 16] ^ 1), id="crc"
        ),
        pytest.param(lambda raw: flipped_at(raw, b"PK\x01\x02", 8, 1), id="encrypted"),
        pytest.param(lambda raw: flipped_at(raw, b"PK\x01\x02", 10, 99), id="compression"),
        pytest.param(lambda raw: flipped_at(raw, b"PK\x01\x02", 10, 14), id="lzma"),
        pytest.param(lambda raw: flipped_at(raw, b"PK\x01\x02", 10, 12), id="bzip2"),
        pytest.param(lambda raw: flipped_at(raw, b"PK\x01\x02", 27, 255), id="size"),
        pytest.param(lambda raw: flipped_at(raw, b"PK\x01\x02", 45, 255), id="offset"),
        pytest.param(lambda raw: raw.replace(b"train_images.npy", b"../../../evl.npy"), id="renamed"),
    ],
)
def test_a_damaged_archive_holds_the_same_scans_or_is_refused(official, damage):
    changed = damage(official.raw)
    assert changed != official.raw
    found = official.read(changed)
    assert found is None or equal_scans(found)


def check_scans(official: Official, edits: list[Edit]) -> None:
    changed = official.raw
    for edit in edits:
        changed = edit(changed)
    assume(changed != official.raw)
    found = official.read(changed)
    assert found is None or equal_scans(found)


@drawn(150)
@given(st.lists(byte_edits(), min_size=1, max_size=2))
def test_a_mutated_archive_holds_the_same_scans_or_is_refused(official, edits):
    check_scans(official, edits)


@pytest.mark.slow
@drawn(10_000)
@given(st.lists(byte_edits(), min_size=1, max_size=3))
def test_many_mutated_archives_hold_the_same_scans_or_are_refused(official, edits):
    check_scans(official, edits)


@drawn(20)
@given(byte_edits())
def test_the_command_refuses_a_mutated_archive_by_its_md5(official, edit):
    changed = edit(official.raw)
    assume(changed != official.raw)
    official.path.write_bytes(changed)
    words = ("--images", "organamnist", "--features", "pca", "--data-root", "data")
    told = plumbline("show", "paper-F4", *words, cwd=official.path.parents[1])
    assert told.code == 2, told
    assert "organamnist.npz" in told.err
    assert not official.canary.exists()


@pytest.mark.parametrize("wrong", ["objects", "pickle", "code", "bomb"])
def test_the_command_runs_no_code_of_an_archive_with_the_right_md5(official, monkeypatch, wrong):
    raw = archive(wrong_members(official.canary)[wrong])
    monkeypatch.setitem(
        published.INFO["organamnist"], "MD5", hashlib.md5(raw, usedforsecurity=False).hexdigest()
    )
    official.path.write_bytes(raw)
    words = ("--images", "organamnist", "--features", "pca", "--data-root", "data")
    told = plumbline("show", "paper-F4", *words, cwd=official.path.parents[1])
    assert told.code == 2, told
    assert not official.canary.exists()
