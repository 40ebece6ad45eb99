"""What a check found: for a terminal, a pull request, a CI system, a program. Computes nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from xml.etree import ElementTree as ET  # writes only

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.regression import Comparison, Finding, Verdict
from benchmark.regression.compared import NO_RESULT, Lost
from benchmark.regression.values import TOLERANCE
from benchmark.report.markdown import escape, table
from benchmark.store import FAILURES
from synthetic.names import printable

_WORSE: Verdict = "worse, within the margin"
_ORDER: tuple[Verdict, ...] = ("fell", _WORSE, "unclear", "improved", "unchanged")
_STYLES = {"fell": "bold red", _WORSE: "red", "unclear": "yellow", "improved": "green", "unchanged": "dim"}
_METRICS = {"rmse": "RMSE", "rbo": "RBO"}
_MOST_LINES = 20
_SHOWN = 5e-5  # less is 0 in four digits


def headline(found: Comparison, *, gate: bool = True) -> str:
    """Return one line: how many of what, and, of a gate, whether it is passed."""
    counts = {verdict.replace(",", ""): len(found.of(verdict)) for verdict in _ORDER}
    failed = [it for it in found.lost if _status(it) in FAILURES]
    counts["failed"] = sum(len(it.places) for it in failed)
    counts["missing"] = sum(max(len(it.places), 1) for it in found.lost if it not in failed)
    counts["with other values"] = len(found.value_changes)
    told = ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "nothing was compared"
    return f"Accuracy gate {'passed' if found.passed else 'FAILED'}: {told}" if gate else told


def rules_line(found: Comparison) -> str:
    """Return what counted as a fall, in words."""
    rules = found.rules
    relative = (
        f"or {rules.relative_margin:.0%} of the method's own, whichever is less"
        if math.isfinite(rules.relative_margin)
        else "whatever the method's own"
    )
    strict = "; strict: so does that, and other values under the same version" if rules.strict else ""
    fell = (
        f"A metric fell if it is worse by more than the margin (RMSE {rules.rmse_margin:g} {relative}; RBO "
        f"{rules.rbo_margin:g}) and beyond noise over seeds (one-sided t and rank tests, Holm's correction "
        f"over {len(found.findings)} tests, {rules.confidence:.0%} confidence); that fails the check."
    )
    lines = (
        fell,
        f"Worse, within the margin: beyond noise, and no more than that{strict}.",
        "Unclear: too few seeds to say that it did not.",
        f"Values changed: by more than {TOLERANCE:g} of the largest of a result, or in sign, or model calls.",
    )
    return " ".join(lines)


def terminal_report(found: Comparison, *, everything: bool = False, gate: bool = True) -> RenderableType:
    """Return what a person at a terminal needs: what moved, and why the check failed.

    Args:
        found: the comparison.
        everything: show what is unchanged, too.
        gate: whether there is something to pass.
    """
    parts: list[RenderableType] = []
    shown = [it for it in _sorted(found) if everything or it.verdict != "unchanged"]
    if shown:
        grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
        for head in ("verdict", "method", "model", "metric"):
            grid.add_column(head, overflow="fold")
        for head in ("before", "now", "worse by", "at least", "at most"):
            grid.add_column(head, justify="right")
        grid.add_column("moved most", overflow="fold")
        for it in shown:
            grid.add_row(*(Text(printable(cell)) for cell in _cells(it)), style=_STYLES[it.verdict])
        parts.append(grid)
    for title, lines in _lists(found, gate=gate):
        parts.append(Text(f"{title}:", style="bold"))
        parts += [Text(printable(f"  {line}")) for line in _cut(lines)]
    style = ("bold green" if found.passed else "bold red") if gate else "bold"
    parts.append(Text(headline(found, gate=gate), style=style))
    return Group(*parts)


def markdown_report(found: Comparison) -> str:
    """Return what a reviewer of a pull request needs, as Markdown."""
    parts = [f"## {headline(found)}"]
    moved = [it for it in _sorted(found) if it.verdict != "unchanged"]
    if moved:
        parts.append(_markdown(moved))
    parts += [
        f"**{title}**\n\n" + "\n".join(f"- {escape(line)}" for line in _cut(lines))
        for title, lines in _lists(found)
    ]
    same = found.of("unchanged")
    if same:
        body = _markdown(list(same))
        parts.append(f"<details><summary>{len(same)} unchanged</summary>\n\n{body}\n\n</details>")
    parts.append(rules_line(found))
    return "\n\n".join(parts) + "\n"


def markdown_refusal(error: str) -> str:
    """Return why there was no check, as Markdown for a pull request."""
    return f"## Accuracy gate FAILED: nothing was compared\n\n{escape(error)}\n"


def junit_refusal(error: str) -> str:
    """Return why there was no check, as JUnit XML: one test case, which is an error."""
    counts = {"tests": "1", "failures": "0", "errors": "1"}
    suites = ET.Element("testsuites", counts)
    suite = ET.SubElement(suites, "testsuite", {"name": "plumbline check", **counts})
    case = ET.SubElement(suite, "testcase", {"classname": "plumbline.check", "name": "comparison"})
    ET.SubElement(case, "error", {"message": _xml(error)})
    return _document(suites)


def junit_report(found: Comparison) -> str:
    """Return the findings as JUnit XML: one test case a model, method and metric, and one a changed value.

    What fails the check fails there.
    """
    strict = found.rules.strict
    bad = {"fell", _WORSE} if strict else {"fell"}
    unannounced = found.unannounced if strict else ()
    failures = sum(it.verdict in bad for it in found.findings) + len(found.missing) + len(unannounced)
    tests = len(found.findings) + len(found.missing) + len(found.value_changes)
    counts = {"tests": str(tests), "failures": str(failures)}
    suites = ET.Element("testsuites", counts)
    suite = ET.SubElement(suites, "testsuite", {"name": "plumbline check", "errors": "0", **counts})
    for it in found.findings:
        case = ET.SubElement(
            suite,
            "testcase",
            {"classname": _xml(f"plumbline.{it.model}"), "name": _xml(f"{it.method} {_METRICS[it.metric]}")},
        )
        if it.verdict in bad:
            ET.SubElement(case, "failure", {"message": _xml(_sentence(it))})
        else:
            ET.SubElement(case, "system-out").text = _xml(f"{it.verdict}: {_sentence(it)}")
    for line in found.missing:
        case = ET.SubElement(suite, "testcase", {"classname": "plumbline.missing", "name": _xml(line)})
        ET.SubElement(case, "failure", {"message": _xml(f"missing: {line}")})
    for change in found.value_changes:
        names = {"classname": _xml(f"plumbline.values.{change.model}"), "name": _xml(change.method)}
        case = ET.SubElement(suite, "testcase", names)
        if change in unannounced:
            ET.SubElement(case, "failure", {"message": _xml(f"values changed: {change}")})
        else:
            ET.SubElement(case, "system-out").text = _xml(f"values changed: {change}")
    return _document(suites)


def _document(suites: ET.Element) -> str:
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def as_document(found: Comparison) -> dict[str, object]:
    """Return the findings as a JSON-ready document; numbers that do not exist are null."""
    return {
        "passed": found.passed,
        "rules": asdict(found.rules),
        "findings": [
            {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in asdict(it).items()
            }
            for it in _sorted(found)
        ],
        "missing": list(found.missing),
        "values": [asdict(change) | {"told": str(change)} for change in found.value_changes],
        "differences": list(found.differences),
        "versions": [
            {"method": name, "baseline": there, "run": here} for name, there, here in found.versions
        ],
        "new": list(found.new),
    }


def moves_table(moves: pd.DataFrame, *, most: int = 10) -> Table:
    """Return the cells that moved most, from ``regression.moves``."""
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for head in ("method", "model", "scenario", "seed"):
        grid.add_column(head, overflow="fold")
    for head in ("RMSE before", "now", "RBO before", "now"):
        grid.add_column(head, justify="right")
    for row in moves.head(most).to_dict(orient="records"):
        names = (str(row[name]) for name in ("method", "model", "case", "seed"))
        numbers = (_number(row[name]) for name in ("rmse_before", "rmse_now", "rbo_before", "rbo_now"))
        grid.add_row(*(Text(printable(cell)) for cell in (*names, *numbers)))
    return grid


def _sorted(found: Comparison) -> list[Finding]:
    return sorted(found.findings, key=lambda it: (_ORDER.index(it.verdict), -abs(it.drop)))


def _cells(it: Finding) -> list[str]:
    numbers = (_number(value) for value in (it.baseline, it.run))
    drops = (_number(value, sign="+") for value in (it.drop, it.low, it.high))
    return [it.verdict, it.method, it.model, _METRICS[it.metric], *numbers, *drops, _most(it)]


def _markdown(findings: list[Finding]) -> str:
    head = ["verdict", "method", "model", "metric", "before", "now", "worse by", "at least", "at most"]
    rows = [[escape(cell) for cell in _cells(it)] for it in findings]
    return table([*head, "moved most"], rows)


def _most(it: Finding) -> str:
    where = it.case + ("" if it.seed is None else f", seed {it.seed}")
    return f"{where}: {_number(it.case_drop, sign='+')}" if abs(it.case_drop) >= _SHOWN else "–"


def _sentence(it: Finding) -> str:
    drop, low, high = (_number(value, sign="+") for value in (it.drop, it.low, it.high))
    before, now = _number(it.baseline), _number(it.run)
    return (
        f"{_METRICS[it.metric]} of {it.method} on {it.model} went from {before} to {now}, "
        f"worse by {drop} ({low} to {high}); most on {_most(it)}"
    )


def _lists(found: Comparison, *, gate: bool = True) -> list[tuple[str, list[str]]]:
    """Return what else there is to say, by title; without a gate, there is nothing to mend."""
    lists = [
        ("Missing or failed", list(found.missing)),
        ("What to do", _advice(found) if gate else []),
        ("Values changed", list(map(str, found.value_changes))),
        ("Version changed", [f"{name}: {there} → {here}" for name, there, here in found.versions]),
        ("Not in the baseline" if gate else "Only now", list(found.new)),
        ("Differs besides", list(found.differences)),
    ]
    return [(title, lines) for title, lines in lists if lines]


_ADVICE = {
    "failed": "failed: {repeat} does it again and shows the traceback",
    "timeout": "timeout: give it longer (plumbline run --timeout), or explain fewer samples (--explained)",
    "over-budget": "over-budget: let it ask for more of the model (plumbline run --budget)",
    "skipped": "skipped: the method says nothing about this model; if that is right, update the baseline",
    NO_RESULT: "no result: run the suite and methods of the baseline; if they are gone for good, update it",
    "the network learnt": "the network learnt too little to count: see that it is trained as before",
    "targets": "another target is another question: if it is meant, update the baseline",
    "no score": "no score: there is no such truth in this scenario any more; see its definition",
}
"""How a reason begins → what to do."""


def _status(it: Lost) -> str:
    return it.reason.partition(":")[0]


def _advice(found: Comparison) -> list[str]:
    repeat = f"'{found.repeat}'" if found.repeat else "'plumbline repeat', with a file of the run's results/,"
    return [
        line.replace("{repeat}", repeat)
        for begin, line in _ADVICE.items()
        if any(it.reason.startswith(begin) for it in found.lost)
    ]


def _cut(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"and {rest} more"] if rest > 0 else [])]


def _number(value: float, *, sign: str = "") -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:{sign}.4f}" if abs(value) >= _SHOWN else "0"


def _xml(text: str) -> str:
    """Return a text that XML 1.0 can hold; ElementTree escapes its signs, but knows no forbidden ones."""
    return re.sub("[\ufffe\uffff]", lambda sign: f"\\u{ord(sign[0]):04x}", printable(text))
