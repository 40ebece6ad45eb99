"""The ``plumbline check-method`` and ``check-model`` commands: whether what a user wrote keeps the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

import methods
import synthetic
from benchmark.models import checks as models
from benchmark.streams import Heard, heard
from benchmark.terminal import find_own_modules, terminal
from benchmark.training import input_shapes
from methods.checks import CHECKS, Finding, run_checks
from synthetic.names import printable

EXIT_FAILED = 1
_STYLES = {"ok": "green", "failed": "bold red", "skipped": "yellow"}
_SAMPLES = 160
"""Patients that are drawn to see how large a scenario's inputs are."""


def check_method(
    method: Annotated[
        str,
        typer.Argument(
            help="a name ('plumbline list methods'), with options if wanted, or your own function "
            "('package.module:function')"
        ),
    ],
) -> None:
    """Check a method on small random networks: what it returns, and what it leaves behind.

    Exit code 0: it keeps every rule that applies to it; 1: it breaks one; 2: there is no such method.
    """
    find_own_modules()
    with heard() as printed:
        found = list(run_checks(methods.get(method)))
    _show(found, printed, n=len(CHECKS))


def check_model(
    model: Annotated[
        str,
        typer.Argument(
            help="a name ('plumbline list models'), with options if wanted, or your own class, or what "
            "benchmark.models.plain.plain returns ('package.module:Class')"
        ),
    ],
    *,
    scenario: Annotated[
        str | None,
        typer.Option(help="check it on inputs of this scenario's shapes, instead of five kinds of inputs"),
    ] = None,
) -> None:
    """Check a model of your own on random inputs: whether methods can explain it, and a run can train it.

    Exit code 0: it keeps every rule that applies to it; 1: it breaks one; 2: there is no such model.
    """
    find_own_modules()
    if scenario is None:
        given = models.candidate(model)
    else:
        chosen = synthetic.scenario(scenario)
        shapes = input_shapes(synthetic.generate(chosen, seed=0, n=_SAMPLES).explain)
        given = models.candidate(model, shapes=shapes, n_classes=chosen.labels.n_classes)
    with heard() as printed:
        found = list(models.run_checks(given))
    _show(found, printed, n=len(models.CHECKS))


def _show(found: Sequence[Finding], printed: Heard, *, n: int) -> None:
    """Print what came of checks; raise an Exit if one failed.

    Args:
        found: those that were run.
        printed: what was printed meanwhile.
        n: how many there are.
    """
    table = Table(box=None, pad_edge=False, show_header=False)
    for it in found:
        name = it.check.removeprefix("check_").replace("_", " ")
        # Text: what a method says may hold brackets, which are no markup.
        table.add_row(name, Text(it.status, _STYLES[it.status]), Text(printable(it.reason or it.rule)))
    console = terminal()
    console.print(table)
    counts = {status: sum(it.status == status for it in found) for status in _STYLES}
    left = f"; {n - len(found)} not run, since they begin with what raised here" if len(found) < n else ""
    if lines := [line for line in printed.text.splitlines() if line.strip()]:
        told = f"It printed {len(lines)} lines, the last of them: {lines[-1].strip()[:200]}"
        console.print(printable(told), markup=False, style="dim")
    console.print(", ".join(f"{count} {status}" for status, count in counts.items() if count) + left)
    if counts["failed"]:
        raise typer.Exit(EXIT_FAILED)
