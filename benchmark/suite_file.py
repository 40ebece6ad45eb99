"""Suites as TOML files: read with every mistake named by its place, written so that people can read it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

import methods
import synthetic
from benchmark import models
from benchmark import suite as suites
from benchmark.suite import Shows, Suite
from synthetic import Scenario
from synthetic import images as sources
from synthetic.images import FeatureKind, Source
from synthetic.names import check_known
from synthetic.phantom import SIZES
from synthetic.toml_entry import Entry, Reader, one_of, parse, read_text

_MOST_SEEDS = 10_000
_MOST_PATIENTS = 10_000_000  # as many as a scenario may have
_NAME = re.compile(r"\w[\w.-]{0,79}")
_OWN_FUNCTION = re.compile(r"\s*\w[\w.]*:\w+\s*(\(.*\))?\s*", re.DOTALL)
_WIDTH = 100
_FILE = ".toml"
"""What the path of a scenario ends in; everything else is a name or a pattern of names."""


def find_suite(given: str | Path) -> Suite:
    """Return a built-in suite by name, or the suite of a TOML file.

    Args:
        given: a name, or a path that ends in ``.toml``.

    Raises:
        ValueError: if there is no suite of that name, or the file holds none.
    """
    return load_suite(given) if str(given).endswith(_FILE) else suites.get(str(given))


def load_suite(path: Path | str) -> Suite:
    """Return the suite of a TOML file; paths of scenarios in it are relative to its folder.

    Raises:
        ValueError: if the file cannot be read, or holds no valid suite; the message says where.
    """
    path = Path(path)
    return suite_from_toml(read_text(path, "suite"), origin=str(path), folder=path.parent)


def suite_from_toml(text: str, *, origin: str = "the TOML text", folder: Path | str | None = None) -> Suite:
    """Return the suite that a TOML text describes; `suite_to_toml` is the inverse.

    Keys: ``name``, ``scenarios`` (names of the catalogue, patterns such as ``"missing-*"``, paths of TOML
    files) and ``models`` must be there; ``description``, ``images``, ``methods``, ``seeds``, ``patients``,
    ``explained``, ``image_size``, ``features`` and ``shows`` may. A pattern stands for the scenarios that
    work on the images and are not named already. Of a method that is a function of one's own, only the way in
    which it is written is checked: reading a file runs no code of others.

    Args:
        text: the TOML.
        origin: where the text comes from, for messages.
        folder: what paths of scenarios are relative to; None for the working folder.

    Raises:
        ValueError: naming origin, place, rule and value of the first mistake.

    Example:
        >>> found = suite_from_toml('''
        ... name = "gaps"
        ... scenarios = ["paper-F6", "missing-*"]
        ... models = ["oracle", "hybrid"]
        ... methods = ["gradient", "lime(n_points=1000)"]
        ... seeds = 5
        ... ''')
        >>> found.scenarios[0], found.n_seeds
        ('paper-F6', 5)
    """
    node = parse(text, origin)
    entries = node.entries(_READERS, required=("name", "scenarios", "models"))
    read = {_ATTRIBUTES.get(key, key): _READERS[key](entry) for key, entry in entries.items()}
    found = Suite(**{"description": "", **read, "scenarios": ()})
    _check_images(found, entries)
    scenarios = _find_scenarios(found, entries["scenarios"], Path() if folder is None else Path(folder))
    files = {path: scenario for path, scenario in scenarios.items() if path.endswith(_FILE)}
    found = replace(found, scenarios=tuple(scenarios), files=files)
    if len(files) == len(scenarios):
        for key in ("images", "image_size", "features"):
            if key in entries:
                raise entries[key].wrong("left out where every scenario is a file, which has its own")
    if found.name in suites.SUITES and found != suites.SUITES[found.name]:
        raise entries["name"].wrong("no name of a built-in suite that says something else; choose another")
    return found


def suite_to_toml(suite: Suite) -> str:
    """Return a suite as TOML: what differs from the defaults, always in the same words.

    Raises:
        ValueError: if a text has characters that no UTF-8 file can hold.

    Example:
        >>> print(suite_to_toml(Suite("two", "a table with gaps", ("missing-mar", "xor"), ("oracle",))))
        name = "two"
        description = "a table with gaps"
        scenarios = ["missing-mar", "xor"]
        models = ["oracle"]
        <BLANKLINE>
    """
    keys = {attribute: key for key, attribute in _ATTRIBUTES.items()}
    lines = []
    for entry in fields(suite):
        value = getattr(suite, entry.name)
        if entry.name != "files" and value not in (entry.default, ""):
            lines.append(_line(keys.get(entry.name, entry.name), value))
    text = "\n".join(lines) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The texts of suite {suite.name!r} must be writable as UTF-8. "
            f"Got {text[error.start : error.end]!r}; leave it out."
        ) from None
    return text


def _check_images(suite: Suite, entries: Mapping[str, Entry]) -> None:
    """Raise a ValueError for features or a number of patients that a suite's images cannot have."""
    if suite.features is not None:
        with entries["features"].placed():
            for source in suite.images:
                sources.modalities(source, suite.features)
    if suite.n_patients is not None and "phantom" in suite.images:
        with entries["patients"].placed():
            _check_phantoms(suite.n_patients)


def _find_scenarios(suite: Suite, entry: Entry, folder: Path) -> dict[str, Scenario]:
    """Return the scenarios that an entry names, by name or path, each checked on all images of the suite."""
    found: dict[str, Scenario] = {}
    for item in _distinct(entry):
        with item.placed():
            for key, scenario in _find(suite, item.value, folder).items():
                if any(scenario.name == other.name for name, other in found.items() if name != key):
                    raise ValueError(
                        f"The scenarios of a suite must have distinct names. Got {scenario.name!r} again; "
                        "drop it, or rename the one that is a file."
                    )
                found.setdefault(key, scenario)
    return found


def _find(suite: Suite, given: str, folder: Path) -> dict[str, Scenario]:
    """Return the scenarios that a name, a pattern of names or a path stands for."""
    if given.endswith(_FILE):
        scenario = synthetic.load_scenario(folder / given)
        if scenario.source == "phantom":
            _check_phantoms(scenario.n if suite.n_patients is None else suite.n_patients)
        return {given: scenario}
    possible = {source: synthetic.scenarios(source) for source in suite.images}
    if any(sign in given for sign in "*?["):
        works = [name for name in synthetic.scenarios() if any(name in it for it in possible.values())]
        names = [name for name in works if fnmatchcase(name, given)]
        if not names:
            raise ValueError(
                f"The pattern {given!r} must match a scenario that works on {' or '.join(suite.images)} "
                "images. Got no match; 'plumbline list scenarios' shows them all."
            )
    else:
        check_known("scenario", given, synthetic.scenarios())
        names = [given]
    found = {}
    for name in names:
        # Where it works on none of the images, the first says what it needs.
        works_on: tuple[Source, ...] = tuple(it for it in suite.images if name in possible[it])
        for source in works_on or suite.images[:1]:
            found[name] = synthetic.scenario(
                name, source=source, image_size=suite.image_size, features=suite.features
            )
    return found


def _check_phantoms(n: int | None) -> None:
    """Raise a ValueError for a number of patients that phantoms cannot have; nothing is drawn."""
    sources.prepare("phantom", size=SIZES[0], kind="anatomy", n=n)


def _distinct(entry: Entry, identity: Callable[[str], str] = str) -> list[Entry]:
    """Return the texts of an array, or one text alone; at least one, and none twice."""
    items = [entry] if isinstance(entry.value, str) else entry.items()
    if not items:
        raise entry.wrong("an array of at least one name")
    seen: set[str] = set()
    for item in items:
        name = item.text()
        with item.placed():
            name = identity(name)
        if name in seen:
            raise item.wrong("a name that is given once; drop the other")
        seen.add(name)
    return items


def _names(identity: Callable[[str], str]) -> Reader:
    """Return a reader of an array of names, each checked by a function that says what it stands for."""
    return lambda entry: tuple(item.value for item in _distinct(entry, identity))


def _count(least: int, most: int) -> Reader:
    """Return a reader of whole numbers in a range."""

    def read(entry: Entry) -> int:
        value = entry.count()
        if not least <= value <= most:
            raise entry.wrong(f"from {least} to {most:,}")
        return value

    return read


def _read_name(entry: Entry) -> str:
    if not _NAME.fullmatch(entry.text()):
        raise entry.wrong(
            "1 to 80 letters, digits, '.', '_' and '-', the first no '.' or '-': folders are named after it"
        )
    return entry.value


def _read_image_size(entry: Entry) -> int:
    if entry.count() not in SIZES:
        raise entry.wrong(f"one of {', '.join(map(str, SIZES))}")
    return entry.value


def _source(name: str) -> str:
    check_known("image source", name, get_args(Source))
    return name


def _model(name: str) -> str:
    try:
        return models.full_name(name)
    except (TypeError, RecursionError, MemoryError) as error:  # from values that Python cannot make
        raise ValueError(f"The options of model {name[:80]!r} cannot be read: {error}.") from None


def _method(name: str) -> str:
    """Return the full name of a method, or what a function of one's own is written as."""
    if suites.is_own_function(name):
        if not _OWN_FUNCTION.fullmatch(name):
            raise ValueError(
                "A function of your own must be written as module:function or "
                f"module:function(option=value, …). Got {name!r}."
            )
        return name
    try:
        return methods.get(name).name
    except (TypeError, RecursionError, MemoryError) as error:  # from values that Python cannot make
        raise ValueError(f"The options of method {name[:80]!r} cannot be read: {error}.") from None


def _line(key: str, value: object) -> str:
    """Return a key and its text, number or array of texts as TOML."""
    if not isinstance(value, tuple):
        return f"{key} = {_inline(value)}"
    items = [_inline(item) for item in value]
    line = f"{key} = [{', '.join(items)}]"
    return line if len(line) <= _WIDTH else "\n".join([f"{key} = [", *(f"    {it}," for it in items), "]"])


def _inline(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_READERS: Mapping[str, Reader] = {
    "name": _read_name,
    "description": Entry.text,
    "scenarios": _names(str),
    "models": _names(_model),
    "seeds": _count(1, _MOST_SEEDS),
    "patients": _count(1, _MOST_PATIENTS),
    "images": _names(_source),
    "methods": _names(_method),
    "explained": _count(2, _MOST_PATIENTS),
    "image_size": _read_image_size,
    "features": one_of(get_args(FeatureKind)),
    "shows": one_of(get_args(Shows)),
}
_ATTRIBUTES: Mapping[str, str] = {"seeds": "n_seeds", "patients": "n_patients", "explained": "n_explained"}
"""Key of the file → attribute of `Suite`, where they differ."""
