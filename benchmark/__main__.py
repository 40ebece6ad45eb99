"""The ``plumbline`` command."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any, NamedTuple, cast

import typer
from rich.console import Console
from rich.logging import RichHandler
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from benchmark.streams import make_lenient

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130


class Place(NamedTuple):
    """Where a command lies, and its line in the list of commands: the first of its own help."""

    module: str
    name: str
    about: str


COMMANDS = {
    "list": Place("list_command", "list_names", "List what there is, with a line on each."),
    "run": Place(
        "run_command",
        "run",
        "Run a suite: generate, train, attribute, score; print a leaderboard and say where the files are.",
    ),
    "repeat": Place(
        "run_command",
        "repeat",
        "Do the job of a result again, in this process, and show what came then and what comes now.",
    ),
    "report": Place(
        "report_command",
        "report",
        "Write one HTML page that says which method to believe, and how surely: it needs nothing but itself.",
    ),
    "check-method": Place(
        "check_command",
        "check_method",
        "Check a method on small random networks: what it returns, and what it leaves behind.",
    ),
    "check-model": Place(
        "check_command",
        "check_model",
        "Check a model of your own on random inputs: whether methods can explain it, and a run can train it.",
    ),
    "show": Place(
        "scenario_commands",
        "show",
        "Show a scenario: patients, decision function and every truth, as text and as one picture.",
    ),
    "truths": Place(
        "scenario_commands",
        "truths",
        "Work out every truth of scenarios, with standard errors, and write them as one table.",
    ),
    "export": Place(
        "export_command",
        "export",
        "Write the figures and LaTeX tables of runs for a paper: all that there is data for.",
    ),
    "cache": Place("cache_command", "app", "Look after the cache of features, networks and truths."),
    "check": Place(
        "gate_commands",
        "check",
        "Compare a run with a baseline, and fail if a method became less accurate beyond noise.",
    ),
    "compare": Place(
        "gate_commands",
        "compare_runs",
        "Say what got better, worse and neither from one run to another, beyond noise, and what moved most.",
    ),
    "baseline": Place("gate_commands", "app", "The numbers that a check compares with."),
}


class Commands(TyperGroup):
    """The commands, each loaded when it is called: most load torch, and a list or a typo needs none of it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: TyperCommand(name, help=place.about) for name, place in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name of the command that is called, the command itself, and its arguments."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(str(name)), rest


def load(name: str) -> Any:
    """Return a command as click calls it.

    Args:
        name: of the command, in ``COMMANDS``.
    """
    place = COMMANDS[name]
    found = getattr(import_module(f"benchmark.{place.module}"), place.name)
    around = typer.Typer()
    around.callback()(plumbline)  # a group, whatever stands in it
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name)
    else:
        around.command(name)(found)
    return cast("TyperGroup", get_command(around)).commands[name]


def plumbline() -> None:
    """Which multimodal importance method should you believe? A benchmark with known answers."""


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.callback()(plumbline)


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
        from synthetic.names import printable  # noqa: PLC0415 - a command that raised these has loaded it

        typer.echo(printable(f"Error: {error}"), err=True)
        code = EXIT_USAGE
    if code == EXIT_INTERRUPTED:
        typer.echo("Interrupted. Results so far are kept; the same command goes on from here.", err=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    raise SystemExit(code)


if __name__ == "__main__":
    main()
