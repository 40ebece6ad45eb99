"""The ``plumbline check-method`` command: whether a method keeps the rules that every method keeps."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import methods
from benchmark.terminal import find_own_modules
from methods.checks import run_checks

EXIT_FAILED = 1
_STYLES = {"ok": "green", "failed": "bold red", "skipped": "yellow"}


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
    found = list(run_checks(methods.get(method)))
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in found:
        name = finding.check.removeprefix("check_").replace("_", " ")
        # Text: what a method says may hold brackets, which are no markup.
        table.add_row(
            name, Text(finding.status, _STYLES[finding.status]), Text(finding.reason or finding.rule)
        )
    console = _console()
    console.print(table)
    counts = {status: sum(finding.status == status for finding in found) for status in _STYLES}
    console.print(", ".join(f"{n} {status}" for status, n in counts.items() if n))
    if counts["failed"]:
        raise typer.Exit(EXIT_FAILED)


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = 110
    return console
