"""The ``plumbline`` command."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

import methods
import synthetic
from benchmark import (
    cache_command,
    check_command,
    export_command,
    gate_commands,
    models,
    report_command,
    run_command,
    scenario_commands,
)
from benchmark import suite as suites
from benchmark.streams import make_lenient
from benchmark.terminal import terminal
from synthetic.names import printable

app = typer.Typer(
    help="Which multimodal importance method should you believe? A benchmark with known answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130


@app.command("list")
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


app.command("run")(run_command.run)
app.command("repeat")(run_command.repeat)
app.command("report")(report_command.report)
app.command("check-method")(check_command.check_method)
app.command("show")(scenario_commands.show)
app.command("truths")(scenario_commands.truths)
app.command("export")(export_command.export)
app.add_typer(cache_command.app, name="cache")
app.command("check")(gate_commands.check)
app.command("compare")(gate_commands.compare_runs)
app.add_typer(gate_commands.app, name="baseline")


# Typer may bring a click of its own, whose exceptions are not those of the package click.
_USAGE_ERROR: type[Exception] = next(
    base  # pyright: ignore[reportAssignmentType]
    for base in typer.BadParameter.__mro__
    if base.__name__ == "ClickException"
)


def main() -> None:
    """Run the command; wrong input is one clear line and exit code 2, never a traceback."""
    make_lenient()
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_time=False, show_path=False)],
    )
    try:
        code = app(standalone_mode=False) or 0  # an interrupted command comes back as 130
    except _USAGE_ERROR as error:
        error.show()  # pyright: ignore[reportAttributeAccessIssue]
        code = EXIT_USAGE
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except (ValueError, OSError) as error:
        typer.echo(printable(f"Error: {error}"), err=True)
        code = EXIT_USAGE
    if code == EXIT_INTERRUPTED:
        typer.echo("Interrupted. Results so far are kept; the same command goes on from here.", err=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    raise SystemExit(code)


if __name__ == "__main__":
    main()
