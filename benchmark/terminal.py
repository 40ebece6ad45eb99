"""Where commands print to."""

from __future__ import annotations

from rich.console import Console


def terminal(*, quiet: bool = False) -> Console:
    """Return standard output: as wide as the terminal, or wide enough for every table where there is none.

    Args:
        quiet: print nothing.
    """
    console = Console(quiet=quiet)
    if not console.is_terminal:
        console.width = 110
    return console
