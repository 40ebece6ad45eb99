"""The ``plumbline list`` command."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

import methods
import synthetic
from benchmark import models
from benchmark import suite as suites
from benchmark.terminal import terminal


def list_names(
    what: Annotated[str, typer.Argument(help="scenarios, methods, models or suites")],
) -> None:
    """List what there is, with a line on each."""
    rows = {
        "scenarios": lambda: [
            (name, synthetic.describe(name), synthetic.scenario(name).expected)
            for name in synthetic.scenarios()
        ],
        "methods": lambda: [
            (name, _about_method(methods.get(name)), methods.get(name).citation) for name in methods.names()
        ],
        "models": lambda: [(name, "", models.describe(name)) for name in models.names()],
        "suites": lambda: [(name, "", suite.description) for name, suite in suites.SUITES.items()],
    }
    if what not in rows:
        raise ValueError(f"'plumbline list' takes one of {', '.join(rows)}. Got {what!r}.")
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in rows[what]():
        table.add_row(*row)
    terminal().print(table)


def _about_method(method: methods.Method) -> str:
    return f"targets {method.estimand}{', trains networks' if method.trains else ''}"
