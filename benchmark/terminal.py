"""What the commands share: where they print to, and where they find a user's own modules."""

from __future__ import annotations

import sys
from pathlib import Path

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


def find_own_modules() -> None:
    """Let a user's own modules be imported from the folder in which the command is given.

    Last, so that nothing there can take the place of an installed package.
    """
    sys.path.append(str(Path.cwd()))
