"""Scenarios as TOML files: read with every mistake named by its place, written so that people can read it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from synthetic.cache import replacing
from synthetic.clinical import PAPER_TABLES, Table
from synthetic.decision import Function, Term
from synthetic.images import FeatureKind, Source
from synthetic.labels import Labels
from synthetic.margins import NORMAL, Family, Margin
from synthetic.missing import Mechanism, Missing
from synthetic.scenario import Scenario
from synthetic.toml_entry import Entry, Reader, one_of, parse, read_text

_MOST_FACTORS = 50  # of one product; bounds the recursion
_WIDTH = 100


def load_scenario(path: Path | str) -> Scenario:
    """Return the scenario of a TOML file.

    Raises:
        ValueError: if the file cannot be read, or holds no valid scenario; the message says where.
    """
    path = Path(path)
    return from_toml(read_text(path, "scenario"), origin=str(path))


def save_scenario(scenario: Scenario, path: Path | str) -> None:
    """Write a scenario to a TOML file, whole or not at all.

    Raises:
        OSError: if the folder is missing or cannot be written.
        ValueError: see `to_toml`.
    """
    raw = to_toml(scenario).encode()
    with replacing(Path(path)) as file:
        file.write(raw)


def from_toml(text: str, *, origin: str = "the TOML text") -> Scenario:
    """Return the scenario that a TOML text describes; `to_toml` is the inverse.

    Args:
        text: fields of `Scenario`, `Term`, `Table`, `Labels` and `Missing` by their names; those with a
            default may be left out.
        origin: where the text comes from, for messages.

    Raises:
        ValueError: naming origin, place, rule and value of the first mistake.

    Example:
        >>> found = from_toml('''
        ... name = "liver-and-lab"
        ... description = "the liver's attenuation times a laboratory value"
        ... [tables]
        ... labs = ["alt", "crp"]
        ... [[terms]]
        ... features = "axial/liver_attenuation"
        ... times = { features = "labs/alt", function = "tanh" }
        ... ''')
        >>> print(found.decision)
        (axial/liver_attenuation)·tanh(labs/alt)
    """
    node = parse(text, origin)
    entries = node.entries(_SCENARIO, required=("name", "description", "terms"))
    values = {name: _SCENARIO[name](entry) for name, entry in entries.items()}
    with node.placed():
        return Scenario(**values)


def to_toml(scenario: Scenario) -> str:
    """Return a scenario as TOML: what differs from the defaults, always in the same words.

    Raises:
        ValueError: if a text has characters that no UTF-8 file can hold.

    Example:
        >>> print(to_toml(Scenario("one-organ", "the liver", (Term(("axial/liver_size",), "tanh"),), n=400)))
        name = "one-organ"
        description = "the liver"
        n = 400
        <BLANKLINE>
        [[terms]]
        features = ["axial/liver_size"]
        function = "tanh"
        <BLANKLINE>
    """
    head = _changed(scenario, "name", "description", "expected", "source", "image_size", "features", "n")
    sections = [_lines(head)]
    if scenario.labels != Labels():
        sections.append(["[labels]", *_lines(_labels_entries(scenario.labels))])
    if list(scenario.tables.items()) != list(PAPER_TABLES.items()):
        tables = {name: _table_entry(table) for name, table in scenario.tables.items()}
        sections.append(["[tables]", *_lines(tables)])
    sections += [["[[terms]]", *_term_lines(term, "terms")] for term in scenario.terms]
    sections += [
        ["[[correlations]]", *_lines({"between": pair, "value": float(value)})]
        for pair, value in scenario.correlations.items()
    ]
    sections += [["[[missing]]", *_lines(_missing_entries(rule))] for rule in scenario.missing]
    text = "\n\n".join("\n".join(lines) for lines in sections) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The texts of scenario {scenario.name!r} must be writable as UTF-8. "
            f"Got {text[error.start : error.end]!r}; leave it out."
        ) from None
    return text


def _read(node: Entry, make: Callable[..., Any], readers: Mapping[str, Reader], *required: str) -> Any:
    """Return what a class makes of a table, each entry read in its own way."""
    values = {name: readers[name](entry) for name, entry in node.entries(readers, required=required).items()}
    with node.placed():
        return make(**values)


def _read_term(node: Entry, depth: int = 1) -> Term:
    if depth > _MOST_FACTORS:
        raise node.wrong(f"left out: a product has at most {_MOST_FACTORS} factors")
    return _read(node, Term, {**_TERM, "times": lambda entry: _read_term(entry, depth + 1)}, "features")


def _read_table(node: Entry) -> Table:
    with node.placed():
        if isinstance(node.value, list):
            return Table(variables=node.names())
        if not isinstance(node.value, dict):
            return Table(node.count())
    return _read(node, _make_table, _TABLE)


def _make_table(
    columns: int = 0,
    variables: tuple[str, ...] = (),
    margin: Family = "normal",
    parameters: tuple[float, ...] = (),
) -> Table:
    return Table(columns, variables, Margin(margin, parameters))


def _make_labels(prevalence: float | None = None, **rest: Any) -> Labels:
    if prevalence is None:
        return Labels(**rest)
    if "shares" in rest or not 0 < prevalence < 1:
        raise ValueError(
            "The 'prevalence' must lie in (0, 1), ends excluded, and stand in the place of 'shares'. "
            f"Got {prevalence!r}{' and shares' * ('shares' in rest)}."
        )
    return Labels(shares=(1 - prevalence, prevalence), **rest)


def _read_correlations(node: Entry) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for item in node.items():
        entries = item.entries(("between", "value"), required=("between", "value"))
        pair = entries["between"].names()
        if len(pair) != 2:
            raise entries["between"].wrong("two names")
        if pair in found:
            raise entries["between"].wrong("a pair that is given once")
        found[pair[0], pair[1]] = entries["value"].number()
    return found


_TERM: Mapping[str, Reader] = {
    "features": Entry.names,
    "function": one_of(get_args(Function)),
    "weight": Entry.number,
    "coefficients": Entry.number_or_numbers,
    "offset": Entry.number,
}
_TABLE: Mapping[str, Reader] = {
    "columns": Entry.count,
    "variables": Entry.names,
    "margin": one_of(get_args(Family)),
    "parameters": Entry.numbers,
}
_LABELS: Mapping[str, Reader] = {
    "shares": Entry.numbers,
    "prevalence": Entry.number,
    "noise": Entry.number,
    "thresholds": Entry.numbers,
}
_MISSING: Mapping[str, Reader] = {
    "features": Entry.names,
    "mechanism": one_of(get_args(Mechanism)),
    "rate": Entry.number,
    "driver": Entry.text,
    "strength": Entry.number,
}
_SCENARIO: Mapping[str, Reader] = {
    "name": Entry.text,
    "description": Entry.text,
    "expected": Entry.text,
    "source": one_of(get_args(Source)),
    "image_size": Entry.count,
    "features": one_of(get_args(FeatureKind)),
    "n": Entry.count,
    "labels": lambda node: _read(node, _make_labels, _LABELS),
    "tables": lambda node: {name: _read_table(entry) for name, entry in node.entries().items()},
    "terms": lambda node: tuple(_read_term(item) for item in node.items()),
    "correlations": _read_correlations,
    "missing": lambda node: tuple(_read(item, Missing, _MISSING, "features") for item in node.items()),
}


def _changed(value: Any, *names: str) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, or have none."""
    defaults = {entry.name: entry.default for entry in fields(value)}
    return {name: getattr(value, name) for name in names if getattr(value, name) != defaults[name]}


def _term_lines(term: Term, place: str) -> list[str]:
    """Return the lines of a term: its factor in one line if there is room, else in a table of its own."""
    lines = _lines(_changed(term, "features", "function", "weight", "coefficients", "offset"))
    if term.times is None:
        return lines
    inline = f"times = {_inline(_term_entries(term.times))}"
    if len(inline) <= _WIDTH:
        return [*lines, inline]
    return [*lines, f"[{place}.times]", *_term_lines(term.times, f"{place}.times")]


def _term_entries(term: Term) -> dict[str, Any]:
    entries = _changed(term, "features", "function", "weight", "coefficients", "offset")
    return entries if term.times is None else {**entries, "times": _term_entries(term.times)}


def _table_entry(table: Table | int) -> Any:
    if isinstance(table, int):
        return table
    if table.variables:
        return table.variables
    if table.margin == NORMAL:
        return table.columns
    entry = {"columns": table.columns, "margin": table.margin.family}
    return entry | ({"parameters": table.margin.parameters} if table.margin.parameters else {})


def _labels_entries(labels: Labels) -> dict[str, Any]:
    entries = _changed(labels, "shares", "noise", "thresholds")
    if len(labels.shares) == 2 and "shares" in entries and labels.shares[0] == 1 - labels.shares[1]:
        entries = {"prevalence": labels.shares[1]} | entries
        del entries["shares"]
    return entries


def _missing_entries(rule: Missing) -> dict[str, Any]:
    entries = _changed(rule, "features", "mechanism", "rate", "driver", "strength")
    return {"features": rule.features, "mechanism": rule.mechanism, "rate": rule.rate} | entries


def _lines(entries: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, value in entries.items():
        line = f"{_key(key)} = {_inline(value)}"
        if len(line) > _WIDTH and isinstance(value, tuple):
            rows = [""]
            for item in map(_inline, value):
                if len(rows[-1]) + len(item) > _WIDTH - 6:
                    rows.append("")
                rows[-1] += f"{' ' * bool(rows[-1])}{item},"
            line = "\n".join([f"{_key(key)} = [", *(f"    {row}" for row in rows), "]"])
        lines.append(line)
    return lines


def _inline(value: Any) -> str:
    """Return a value as TOML in one line."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_inline(entry)}' for key, entry in value.items())} }}"
    return repr(int(value) if isinstance(value, int) else float(value))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _inline(name)
