"""Findings → one HTML page that needs nothing but itself. Nothing is computed here."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

import jinja2
from markupsafe import Markup, escape

from benchmark import models
from benchmark.findings import ALL, OWN, Findings
from benchmark.findings.answer import shown as error
from benchmark.findings.answer import signed
from benchmark.report import sections
from benchmark.report.choices import choices_note
from benchmark.report.fine_text import SYNERGY_LEGEND
from benchmark.report.slots import Slot
from benchmark.report.text import chance_note
from benchmark.statistics import MARGIN
from benchmark.store import CONTROL
from benchmark.table import FIDELITY_GATE
from synthetic.names import printable

MOST_PICTURE_BYTES = 2_500_000
"""Room for pictures, so that a page stays below 6 MB: what is beyond is named, not shown."""

_MODEL_NAMES = {models.ORACLE: "oracle (the true decision function)"}
_TRUTH_NAMES = {OWN: "the truth that each method targets"}
_COLUMNS: Mapping[str, str] = {
    "rank": "rank",
    "method": "method",
    "model": "model",
    "rmse": "RMSE ↓",
    "skill": "skill ↑",
    "rbo": "RBO ↑",
    "rbo_corrected": "RBO corr. ↑",
    "rmse_oracle": "on oracle",
    "n_scenarios": "scenarios",
    "model_calls": "calls",
    "seconds": "seconds",
    "n_failed": "failed",
    "n_skipped": "skipped",
}
_HIGHER_FIRST = ("skill", "rbo", "rbo_corrected", "n_scenarios", "n_failed", "n_skipped")
_DATA = (
    *("model", "method", "rank", "rmse", "low", "high", "rmse_uniform", "skill", "rbo", "rbo_corrected"),
    *("rbo_chance", "rmse_oracle", "n_scenarios", "model_calls", "seconds", "n_failed", "n_skipped"),
)


def render(findings: Findings, *, figures: Sequence[Slot] = (), left_out: Sequence[str] = ()) -> str:
    """Return the page.

    Args:
        findings: from ``benchmark.findings.read``.
        figures: from ``benchmark.report.slots.draw``; their SVG is trusted markup.
        left_out: which figures are not there, a line each.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchmark.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        {"error": error, "signed": signed, "number": _number, "share": _share, "count": _count, "name": _name}
    )
    page = environment.get_template("report.html.j2")
    facts = {
        "found": findings,
        "board": sections.board_of(findings, _board_row),
        "columns": _columns(findings),
        "higher_first": _HIGHER_FIRST,
        "most": _most(findings),
        "filters": _filters(findings),
        "data": script_json(_board_data(findings)),
        "chance_note": chance_note(findings.scores) if len(findings.scores) else "",
        "choices_note": choices_note(findings.targets),
        "gate": FIDELITY_GATE,
        "margin": f"{MARGIN:g}",
        "style": _source(environment, "report.css"),
        "script": _source(environment, "report.js"),
        "figures": [slot._replace(svg=Markup(slot.svg)) for slot in figures],  # noqa: S704 - our own drawing
        "left_out": left_out,
        "view": sections.view(findings),
        "pictures": _pictures(findings),
        "synergy_legend": SYNERGY_LEGEND,
    }
    return page.render(**facts)


def _harmless(value: object) -> object:
    """Return what a page shows of a text: what steers a reader's screen as an escape."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def script_json(content: object) -> Markup:
    r"""Return JSON that stands inside ``<script type="application/json">`` without ending it.

    Example:
        >>> print(script_json({"name": "</script>"}))
        {"name":"\u003c/script\u003e"}
    """
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - what could end the element is escaped above


def _source(environment: jinja2.Environment, name: str) -> Markup:
    assert environment.loader is not None  # noqa: S101 - made above
    return Markup(environment.loader.get_source(environment, name)[0])  # noqa: S704 - the project's own


def _columns(findings: Findings) -> dict[str, str]:
    """Return the columns of the leaderboard: without those that say the same in every row."""
    rows = findings.boards.rows
    needless = {name for name in ("n_failed", "n_skipped") if not rows[name].any()}
    if len(findings.boards.main_models) == 1:  # the filter says whose it is
        needless.add("model")
    if models.ORACLE not in findings.boards.models or len(findings.boards.models) == 1:
        needless.add("rmse_oracle")
    return {key: head for key, head in _COLUMNS.items() if key not in needless}


def _board_row(row: Mapping[str, object]) -> dict[str, str]:
    """Return the cells of a row as they are shown; an empty one where there is no number."""
    return {
        **{key: str(row[key]) for key in ("model", "method", "targets")},
        **{key: _blank(row[key], error) for key in ("rmse", "low", "high", "rmse_uniform", "rmse_oracle")},
        **{key: _blank(row[key], _share) for key in ("skill", "rbo", "rbo_corrected", "rbo_chance")},
        **{key: _blank(row[key], _count) for key in ("rank", "n_scenarios", "model_calls")},
        **{key: _count(row[key]) for key in ("n_failed", "n_skipped")},
        "seconds": _blank(row["seconds"], _number),
    }


def _blank(value: object, show: Callable[[float], str]) -> str:
    return "" if value is None or math.isnan(value) else show(value)


def _name(name: object) -> Markup:
    """Return a name that breaks after its signs, where it is longer than its column."""
    return Markup(re.sub(r"([_(=,])(?=.)", r"\1<wbr>", str(escape(printable(str(name))))))  # noqa: S704 - escaped


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value + 0.0:.3f}".replace("-0.000", "0.000")


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _count(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.0f}"


def _most(findings: Findings) -> str:
    """Return the right end of the axis of errors: where equal shares stand, or the largest error."""
    rows = findings.boards.rows
    values = rows[["rmse", "rmse_uniform"]].to_numpy(float)
    finite = values[values == values]  # noqa: PLR0124 - NaN is not itself
    # Lengths are shares of it: errors that all round to 0 must not make it 0.
    return f"{max(finite.max(), 0.001):.3f}" if len(finite) else "1"


def _filters(findings: Findings) -> list[dict[str, object]]:
    """Return the filters that offer a choice: name, label, and pairs of value and text."""
    boards = findings.boards
    shown = "all networks" if models.ORACLE not in boards.main_models else "oracle"
    lists = {
        "truth": ("against", [_TRUTH_NAMES.get(name, f"{name} truth") for name in boards.truths]),
        "family": ("scenarios", ["all families" if name == ALL else name for name in boards.families]),
        "images": ("images", ["all sources" if name == ALL else name for name in boards.images]),
    }
    found: list[dict[str, object]] = [
        {"name": name, "label": label, "options": [(str(at), text) for at, text in enumerate(texts)]}
        for name, (label, texts) in lists.items()
        if len(texts) > 1
    ]
    if len(boards.models) > 1:
        names = [(str(at), _MODEL_NAMES.get(name, name)) for at, name in enumerate(boards.models)]
        found.append({"name": "model", "label": "model", "options": [("all", shown), *names]})
    return found


def _board_data(findings: Findings) -> dict[str, object]:
    """Return every board as the script reads it: cells as they are shown, joined; names by their places."""
    boards, targets = findings.boards, findings.targets
    method_at = {name: str(at) for at, name in enumerate(targets)}
    model_at = {name: str(at) for at, name in enumerate(boards.models)}
    place = {
        name: {level: at for at, level in enumerate(levels)}
        for name, levels in (
            ("truth", boards.truths),
            ("family", boards.families),
            ("images", boards.images),
        )
    }
    lines: dict[str, list[str]] = {}
    for row in boards.sorted_rows().to_dict(orient="records"):
        key = ".".join(str(place[name][row[name]]) for name in place)
        cells = _board_row(row) | {"model": model_at[row["model"]], "method": method_at[row["method"]]}
        lines.setdefault(key, []).append("|".join(cells[name] for name in _DATA))
    return {
        "columns": _DATA,
        "models": [*map(printable, boards.models)],
        "methods": [
            [printable(name), printable(target), target == CONTROL] for name, target in targets.items()
        ],
        "omitted": bool(boards.omitted),
        "shown": [at for at, name in enumerate(boards.models) if name in boards.main_models],
        "boards": lines,
    }


def _pictures(findings: Findings) -> list[dict[str, str]]:
    """Return the runs' pictures of maps, inside the page while there is room."""
    found, room = [], MOST_PICTURE_BYTES
    for run in findings.runs:
        for path in run.pictures:
            data = base64.b64encode(path.read_bytes()).decode()
            fits = len(data) <= room
            room -= len(data) if fits else 0
            found.append(
                {
                    "title": sections.title_of(run),
                    "model": path.stem.removeprefix("pixels-"),
                    "path": path.as_posix(),
                    "data": f"data:image/png;base64,{data}" if fits else "",
                }
            )
    return found
