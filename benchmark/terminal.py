"""What the commands share: where they print to, and where they find a user's own modules."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, ConsoleRenderable, Group, RenderHook
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_WIDTH = 110
"""Columns where there is no terminal to ask: wide enough for every table."""
_NARROWEST = 12
"""Columns that are enough for text, which may be broken; numbers may not."""


def terminal(*, quiet: bool = False, file: IO[str] | None = None, width: int = _WIDTH) -> Console:
    """Return standard output: as wide as the terminal, or wide enough for every table where there is none.

    Tables that are wider than it lose columns, and say which: a number is shown whole or not at all.

    Args:
        quiet: print nothing.
        file: where to print to instead.
        width: columns where there is no terminal.
    """
    console = Console(quiet=quiet, file=file)
    if not console.is_terminal:
        console.width = width
    console.push_render_hook(_Fitting())
    return console


class _Fitting(RenderHook):
    """Puts every table that is printed into a `Fitted`."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Return what is printed, with tables that fit."""
        return [_fitting(it) for it in renderables]


def _fitting(shown: ConsoleRenderable) -> ConsoleRenderable:
    if isinstance(shown, Table):
        return Fitted(shown)
    if isinstance(shown, Group):
        return Group(*(it if isinstance(it, str) else _fitting(it) for it in shown.renderables))  # pyright: ignore[reportArgumentType]
    return shown


class Fitted:
    """A table without those of its last columns that have no room; a line says what they are.

    Columns of numbers stand to the right, and keep the width of their longest number. Text may be broken.

    Args:
        table: any.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table | Text]:
        """Yield what there is room for."""
        columns = [
            replace(it, no_wrap=True, max_width=None) if it.justify == "right" else it
            for it in self._table.columns
        ]
        n = len(columns)
        while n > 1 and self._needed(console, options, columns[:n]) > options.max_width:
            n -= 1
        yield self._of(columns[:n])
        if n < len(columns):
            heads = [str(it.header).replace("-\n", "").replace("\n", " ") for it in columns[n:]]
            told = f": {', '.join(filter(None, heads))}" if any(heads) else ""
            yield Text(f"Not shown, for want of width{told}.", style="dim")

    def _of(self, columns: Sequence[Column]) -> Table:
        table = copy.copy(self._table)
        table.columns = list(columns)
        return table

    def _needed(self, console: Console, options: ConsoleOptions, columns: Sequence[Column]) -> int:
        """Return how wide the terminal must be for columns."""
        wide = options.update(width=10_000)
        table = self._of([replace(it, no_wrap=True, max_width=None) for it in columns])
        table.title = None
        needed = Measurement.get(console, wide, table).maximum
        for it in columns:
            if it.justify != "right":
                longest = max(map(_width, (it.header, *it.cells)))
                needed -= max(0, longest - max(_NARROWEST, it.min_width or 0))
        return needed


def _width(cell: object) -> int:
    return max((cell_len(line) for line in str(cell).splitlines()), default=0)


def find_own_modules() -> None:
    """Let a user's own modules be imported from the folder in which the command is given.

    Last, so that nothing there can take the place of an installed package.
    """
    sys.path.append(str(Path.cwd()))
