"""The ``plumbline check``, ``compare`` and ``baseline`` commands: what a change did to accuracy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from benchmark import baseline as baselines
from benchmark.baseline import Scored
from benchmark.differences import differences, other_versions
from benchmark.events import repeat_command
from benchmark.regression import Comparison, Rules, ValueChange, compare, moves, shared, value_changes
from benchmark.regression.moves import seeds_shared
from benchmark.report.verdict import (
    as_document,
    headline,
    junit_refusal,
    junit_report,
    markdown_refusal,
    markdown_report,
    moves_table,
    terminal_report,
)
from benchmark.statistics.grid import CASE, SEEDS
from benchmark.store import RESULTS, file_words, read_result
from benchmark.terminal import terminal
from synthetic.cache import replacing
from synthetic.names import printable

EXIT_FELL = 1

_RMSE = Rules.rmse_margin
_RBO = Rules.rbo_margin
_RELATIVE = Rules.relative_margin
_BEYOND_ROUNDING = 0.001

app = typer.Typer(help="The numbers that a check compares with.", no_args_is_help=True)

RunPath = Annotated[Path, typer.Argument(help="a run's folder, or its scores.csv")]


def check(
    run: RunPath,
    *,
    baseline: Annotated[
        Path, typer.Option(help="folder of the baseline ('plumbline baseline update'), or a scores.csv")
    ],
    rmse_margin: Annotated[float, typer.Option(help="pooled RMSE may rise by so much")] = _RMSE,
    relative_margin: Annotated[
        float,
        typer.Option(help="and by no more than this part of its own; inf for no such limit"),
    ] = _RELATIVE,
    rbo_margin: Annotated[float, typer.Option(help="mean RBO may fall by so much")] = _RBO,
    confidence: Annotated[
        float, typer.Option(help="1 − the chance that the whole check fails when nothing changed")
    ] = Rules.confidence,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="fail as well where a method is worse within the margin, or returns other values under the "
            "same version",
        ),
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="write JUnit XML for a CI system there")] = None,
    summary: Annotated[Path | None, typer.Option(help="write Markdown for a pull request there")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="print the findings as one JSON document instead of a table")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="show what is unchanged, too")] = False,
) -> None:
    """Compare a run with a baseline, and fail if a method became less accurate beyond noise.

    Exit code 0: nothing fell; 1: a method's accuracy fell, or results are missing or failed; 2: the two
    cannot be compared, or wrong input. What --junit and --summary ask for is written in every case.
    """
    try:
        rules = Rules(rmse_margin, rbo_margin, confidence, relative_margin, strict)
        found = _checked(run, baseline, rules)
    except ValueError as error:
        if junit is not None:
            _write(junit, junit_refusal(str(error)))
        if summary is not None:
            _write(summary, markdown_refusal(str(error)))
        raise
    if junit is not None:
        _write(junit, junit_report(found))
    if summary is not None:
        _write(summary, markdown_report(found))
    if as_json:
        typer.echo(json.dumps(as_document(found), indent=1))
    else:
        terminal().print(terminal_report(found, everything=everything))
    if not found.passed:
        raise typer.Exit(EXIT_FELL)


def _checked(run: Path, baseline: Path, rules: Rules) -> Comparison:
    there = baselines.read(baseline, side="baseline")
    here = baselines.read(run)
    baselines.check_settings(here, there)
    found = compare(here.table, there.table, rules)
    file = _first_failed(found, here.path.with_name(RESULTS))
    return replace(
        found,
        repeat="" if file is None else repeat_command(file),
        value_changes=_value_changes(here, there),
        differences=(*_blind(here, there), *other_versions(there, here)),
    )


def _first_failed(found: Comparison, folder: Path) -> Path | None:
    """Return the file of the first result that failed, of those that the report names; None if it is gone."""
    for lost in found.lost:
        if not (lost.places and lost.reason.startswith("failed")):
            continue
        case, seeds = lost.places[0]
        told: dict[str, object] = dict(
            zip(("model", "method", *CASE, *SEEDS), (*lost.key, *case, *seeds), strict=True)
        )
        for file in sorted(folder.glob(f"{file_words(told)}.*.json")):
            try:
                result = read_result(file)
            except (OSError, ValueError):
                continue
            if result is not None and result.status == "failed" and told.items() <= result.job.items():
                return file
    return None


def _value_changes(here: Scored, there: Scored) -> tuple[ValueChange, ...]:
    if here.raw_values is None or there.raw_values is None:
        return ()
    return value_changes(here.raw_values, there.raw_values)


def _blind(
    here: Scored, there: Scored, names: tuple[str, str] = ("the run", "the baseline")
) -> Iterator[str]:
    """Say where raw values are not compared, and what to do."""
    for side, name in ((there, names[1]), (here, names[0])):
        if side.raw_values is None:
            yield (
                f"raw values are not compared: {name} has no importances.csv with them; make it again with "
                "this version"
            )
            return
    if not seeds_shared(here.table, there.table):
        yield "raw values are not compared: the two have no seed in common"


def compare_runs(
    before: RunPath,
    now: RunPath,
    *,
    rmse_margin: Annotated[
        float, typer.Option(help="smaller changes of RMSE do not count")
    ] = _BEYOND_ROUNDING,
    relative_margin: Annotated[
        float,
        typer.Option(help="nor below this part of the method's own, if that is less"),
    ] = _RELATIVE,
    rbo_margin: Annotated[float, typer.Option(help="smaller changes of RBO do not count")] = _BEYOND_ROUNDING,
    confidence: Annotated[float, typer.Option(help="of all verdicts together")] = Rules.confidence,
    as_json: Annotated[
        bool, typer.Option("--json", help="print one JSON document instead of tables")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="show what is unchanged, too")] = False,
    most: Annotated[int, typer.Option(help="how many of the cells that moved most to show")] = 10,
) -> None:
    """Say what got better, worse and neither from one run to another, beyond noise, and what moved most.

    Scenarios and models that only one of them has are left out, and named; so is whatever else differs: the
    number of patients, seeds, versions. Exit code 0, whatever changed; 2: wrong
    input.
    """
    if most < 0:
        raise ValueError(f"The number of cells to show (--most) must not be negative. Got {most}.")
    sides = [baselines.read(path) for path in (now, before)]
    here, there = shared(sides[0].table, sides[1].table)
    rules = Rules(rmse_margin, rbo_margin, confidence, relative_margin)
    names = ("the run now", "the run before")
    found = compare(here, there, rules, noise_must_be_known=False, truths_must_agree=False)
    found = replace(
        found,
        value_changes=_value_changes(*sides),
        differences=(
            *found.differences,
            *differences(sides[1], sides[0]),
            *_blind(sides[0], sides[1], names),
        ),
    )
    changes = moves(here, there)
    if as_json:
        document = {
            **{name: value for name, value in as_document(found).items() if name != "passed"},
            "moves": changes.head(most).to_dict(orient="records"),
        }
        typer.echo(json.dumps(document, indent=1))
        return
    # Methods that only one side has stand among the differences.
    known = {*sides[0].table["method"]}
    found = replace(found, lost=tuple(it for it in found.lost if it.places or it.key[1] in known), new=())
    console = terminal()
    console.print(terminal_report(found, everything=everything, gate=False))
    if most and len(changes):
        console.print(Text("What moved most", style="bold"))
        console.print(moves_table(changes, most=most))
    elif most and found.findings:
        console.print(Text("No score of any scenario and seed moved."))


@app.command("update")
def update(
    run: RunPath,
    *,
    baseline: Annotated[Path, typer.Option(help="folder of the baseline")] = Path("results/baseline"),
    reason: Annotated[str, typer.Option(help="why these numbers are right; kept in its manifest")],
) -> None:
    """Take a run's scores as the baseline, and say what changes by it.

    Exit code 0: written; 2: the run is incomplete, or wrong input.
    """
    here = baselines.read(run)
    console = terminal()
    if (baseline / "scores.csv").exists():
        try:
            old, new = shared(baselines.read(baseline, side="baseline").table, here.table)
            found = compare(new, old, noise_must_be_known=False)
            console.print(Text(printable("Against the baseline so far: " + headline(found))))
        except ValueError as error:  # an unreadable or different baseline is one that is to be replaced
            console.print(Text(printable(f"The baseline so far is no help: {error}")))
    rows = baselines.update(here, baseline, reason=reason)
    console.print(
        Text(printable(f"Baseline of {len(rows)} scores, {rows['method'].nunique()} methods: {baseline}")),
        soft_wrap=True,
    )


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode(errors="backslashreplace"))
