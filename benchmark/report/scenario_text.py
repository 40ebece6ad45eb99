"""A scenario for people who read: how its patients come about, five of them, and every truth, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.report.scenario_words import LARGEST_ZERO, facts, features_read, shown_subsets, subset_text
from synthetic.clinical import VARIABLES, raw_tables
from synthetic.clinical import Table as ClinicalTable
from synthetic.names import printable
from synthetic.scenario import Scenario
from synthetic.truth import MEANINGS
from synthetic.types import Dataset, Truth

SPLIT = "explain"
"""Where the patients that are shown come from: the samples that methods get."""
N_SHOWN = 5
GAP = "–"

_N_COLUMNS = 12  # rows of the patients' table that one clinical table gets; generic columns, fewer
_N_PAIRS = 10
# Columns no wider than a number and its error, so that nine estimands fit into 80 columns.
_HEADS = {
    "shapley": "Shapley",
    "permutation": "permu-\ntation",
    "sage": "SAGE",
    "interaction": "inter-\naction",
    "information": "infor-\nmation",
    "bayes_accuracy": "Bayes\naccuracy",
}


def scenario_text(scenario: Scenario, dataset: Dataset, truths: Mapping[str, Truth]) -> Group:
    """Return what there is to say of a scenario, for a terminal of 80 columns or more, or a file.

    Args:
        scenario: the data-generating process.
        dataset: a draw from it; five patients of its split for explanations are shown.
        truths: estimand → Truth, from ``synthetic.truths`` or the dataset itself.

    Example:
        >>> import synthetic
        >>> from rich.console import Console
        >>> scenario = synthetic.scenario("graded")
        >>> dataset = synthetic.generate(scenario, seed=0, n=200)
        >>> Console(width=80).print(scenario_text(scenario, dataset, dataset.truth))  # doctest: +ELLIPSIS
        graded
        weights 4 : 3 : 2 : 1 over the four modalities
        ...
    """
    found = dict(truths.items())
    parts: list[RenderableType] = [
        _text(scenario.name, style="bold"),
        _text(scenario.description),
        "",
        _facts(scenario, dataset),
        *_section("The first five patients", "of generic tables, the first columns"),
        _patients(scenario, dataset),
        *_section("Truths", "shares; ± standard error unless exact; none: all values 0"),
        _values(found, [modality.name for modality in scenario.modalities], shares=True),
        *_section("The same before normalising", "units below"),
        _values(found, [modality.name for modality in scenario.modalities], shares=False),
        *_section("What the columns are, and how they were found"),
        _meanings(found),
    ]
    parts += _interactions(found)
    parts += _subsets(found)
    return Group(*parts)


def _text(text: str, **looks: Any) -> Text:
    """Return a text as it stands: no markup, and nothing that would steer a terminal."""
    return Text(printable(text), **looks)


def _section(title: str, note: str = "") -> list[RenderableType]:
    line = _text(title, style="bold")
    return ["", line.append(f"  {note}", style="not bold dim") if note else line]


def _facts(scenario: Scenario, dataset: Dataset) -> Table:
    grid = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(style="dim", min_width=10, max_width=20, overflow="fold")
    grid.add_column(overflow="fold")
    before = ""
    for name, line in facts(scenario, dataset):
        grid.add_row(_text(name if name != before else ""), _text(line))
        before = name
    return grid


def _patients(scenario: Scenario, dataset: Dataset) -> Table:
    """Return the clinical tables on their side, a row a column of theirs, with F and the label."""
    slices, read = scenario.decision.slices, features_read(scenario.decision)
    latents = dataset.latents[SPLIT][:N_SHOWN]
    hidden = dataset.missing.get(SPLIT)
    tables = {name: table for name, table in scenario.tables.items() if isinstance(table, ClinicalTable)}
    frames = raw_tables(
        tables,
        {name: latents[:, slices[name]].double().numpy() for name in tables},
        None if hidden is None else {name: hidden[:N_SHOWN, slices[name]].numpy() for name in tables},
    )
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column(_text("• read by F"), overflow="fold")
    for place in range(len(latents)):
        shown.add_column(_text(f"{place + 1}"), justify="right", no_wrap=True)
    gaps = {name.rsplit("/", 1)[0] for name in scenario.missing_rules}
    for name, table in tables.items():
        frame, n = frames[name], len(table.latents)
        n_rows = min(n, _n_rows(table, n_tables=len(tables), has_gaps=name in gaps))
        if n_rows > 1:
            shown.add_row(_text(f"{name}  {n_rows} of {n} columns" if n_rows < n else name, style="dim"))
        for latent, label in zip(table.latents[:n_rows], frame.columns, strict=False):
            mark = "•" if f"{name}/{latent}" in read else " "
            decimals = VARIABLES[latent].decimals if table.variables else 2
            cells = [_cell(value, decimals) for value in frame[label]]
            shown.add_row(
                _text(f"{mark} {label}" if n_rows > 1 else f"{mark} {name}/{label}"), *map(_text, cells)
            )
    shown.add_section()
    values = scenario.decision(latents.double()).tolist()
    labels = dataset.explain.labels
    shown.add_row(_text("F"), *(_text(f"{value:.2f}") for value in values))
    if labels is not None:
        shown.add_row(_text("label"), *(_text(f"{label}") for label in labels[:N_SHOWN].tolist()))
    return shown


def _n_rows(table: ClinicalTable, *, n_tables: int, has_gaps: bool) -> int:
    if table.variables or has_gaps:
        return _N_COLUMNS
    return 3 if n_tables <= 4 else 1  # standard normal numbers: a few show all that there is to see


def _cell(value: Any, decimals: int) -> str:
    if pd.isna(value):
        return GAP
    return (
        value if isinstance(value, str) else f"{round(float(value), decimals) + 0.0:.{decimals}f}"
    )  # never -0.00


def _values(truths: Mapping[str, Truth], modalities: list[str], *, shares: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column(_text("modality"), overflow="fold", min_width=8)
    for estimand in truths:
        head = _HEADS.get(estimand, estimand.replace("_", "\n"))
        table.add_column(_text(head, justify="right"), justify="right", no_wrap=True, vertical="top")
    for name in modalities:
        cells = []
        for truth in truths.values():
            if shares and not truth.informative:
                cells.append(_text("none", style="dim"))
            elif shares:
                cells.append(_number(truth.modalities[name], truth.standard_error[name]))
            else:
                cells.append(_number(truth.raw.get(name, 0.0), truth.raw_standard_error.get(name, 0.0)))
        table.add_row(_text(name), *cells)
    return table


def _number(value: float, error: float = 0.0) -> Text:
    """Return three decimals, with the standard error on a line of its own where it is not 0."""
    if error <= LARGEST_ZERO * max(1.0, abs(value)):  # rounding of an exact value
        error = 0.0
    if abs(value) < LARGEST_ZERO and not error:
        return _text("0", style="dim")
    text = _text(_plain(value))
    return text.append(f"\n{_error(error)}", style="dim") if error else text


def _error(error: float) -> str:
    """Return ± and four decimals without the leading 0, which all of them have: the columns are narrow."""
    return f"±{error:.4f}".replace("±0.", "±.") if 5e-5 <= error < 1 else f"±{error:.0e}"


def _plain(value: float) -> str:
    value = 0.0 if abs(value) < LARGEST_ZERO else value
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.4g}"


def _meanings(truths: Mapping[str, Truth]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for estimand, truth in truths.items():
        meaning = _text(MEANINGS.get(estimand, ""))
        how = f"{truth.method}; before normalising: {truth.unit}" if truth.unit else truth.method
        table.add_row(_text(estimand), meaning.append(f"\n{how}", style="dim"))
    return table


def _interactions(truths: Mapping[str, Truth]) -> list[RenderableType]:
    truth = truths.get("interaction")
    if truth is None:
        return []
    heading = _section("Interactions", f"pairwise Shapley interactions, {truth.unit}")
    real = {
        pair: value
        for pair, value in truth.pairs.items()
        if abs(value) > max(5 * truth.pairs_standard_error.get(pair, 0.0), LARGEST_ZERO)
    }
    if not real:
        return [*heading, _text("none: no two modalities do more, or less, together than alone")]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for pair in sorted(real, key=lambda pair: -abs(real[pair]))[:_N_PAIRS]:
        sign = "more together than alone" if real[pair] > 0 else "less together than alone"
        table.add_row(
            _text(" × ".join(pair)), _signed(real[pair], truth.pairs_standard_error.get(pair, 0.0)), sign
        )
    if len(real) > _N_PAIRS:
        table.add_row(_text(f"… {len(real) - _N_PAIRS} weaker pairs", style="dim"))
    if "synergy" in truth.summary:
        synergy = _signed(truth.summary["synergy"], truth.summary.get("synergy_standard_error", 0.0))
        table.add_row(
            _text("what no modality explains alone"), synergy, _text("less what several explain alike")
        )
    return [*heading, table]


def _signed(value: float, error: float) -> Text:
    return _text(f"{value:+.3f}").append(f" {_error(error)}" if error else "", style="dim")


def _subsets(truths: Mapping[str, Truth]) -> list[RenderableType]:
    """Return what each set of modalities allows at best, and how the information of two divides."""
    columns = {
        head: truths[estimand].subsets[quantity]
        for estimand, quantity, head in (
            ("bayes_accuracy", "accuracy", "accuracy"),
            ("bayes_accuracy", "auroc", "AUROC"),
            ("information", "information", "bits"),
            ("shapley", "explained variance", "Var F"),
        )
        if estimand in truths and quantity in truths[estimand].subsets
    }
    if not columns:
        return []
    first = next(iter(columns.values()))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(_text("known"), overflow="fold")
    for head in columns:
        table.add_column(_text(head), justify="right", no_wrap=True)
    for names in shown_subsets(first):
        cells = [_text(_plain(values[names])) for values in columns.values()]
        table.add_row(_text(subset_text(names, first.players)), *cells)
    silent = [name for name in first.modalities if name not in first.players]
    parts = [
        *_section("At best", "of a model that knows these modalities alone"),
        table,
        *([_text(f"Adding nothing: {', '.join(silent)}.")] if silent else []),
    ]
    return [*parts, *_information(truths)]


def _information(truths: Mapping[str, Truth]) -> list[RenderableType]:
    parts = truths["information"].summary if "information" in truths else {}
    if "synergistic" not in parts:
        return []
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for name in ("redundant", *(name for name in parts if name.startswith("unique ")), "synergistic", "all"):
        label = {"redundant": "in both", "synergistic": "in the two together only", "all": "in all"}.get(
            name, name.replace("unique ", "in ", 1) + " alone"
        )
        table.add_row(_text(label), _text(_plain(parts[name])))
    return [
        *_section("Information about the label", "bits; parts by minimum mutual information"),
        table,
    ]
