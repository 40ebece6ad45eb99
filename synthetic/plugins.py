"""What installed packages add: objects behind entry points; what is no use is left out, with a warning."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection
from contextlib import redirect_stdout
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


def plugged_in(
    what: str, *, group: str, taken: Collection[str], make: Callable[[object, str], T]
) -> dict[str, T]:
    """Return name → object of the entry points of a group.

    Another's package must not stop the rest: one whose name is taken or cannot be typed, or that does not
    load, is left out, with a warning that names the package.

    Args:
        what: what the objects are, for the warning.
        group: of entry points.
        taken: names that are the project's own.
        make: makes what is kept of an object and its name; raises where it is none.
    """
    found: dict[str, T] = {}
    for point in entry_points(group=group):
        try:
            if point.name in taken or point.name in found:
                owner = "of the project's own" if point.name in taken else "of another package"
                raise ValueError(f"the name is that of a {what} {owner}; its package must rename it")  # noqa: TRY301
            if (
                not point.name
                or any(sign in point.name for sign in "():, /\\")
                or not point.name.isprintable()
            ):
                raise ValueError("a name must be one word without brackets, colons, commas or slashes")  # noqa: TRY301
            with redirect_stdout(sys.stderr):  # what it prints is no part of what a command prints
                found[point.name] = make(point.load(), point.name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a package may raise anything
            told = str(error) or type(error).__name__
            logger.warning("The %s %r of %s is left out: %s", what, point.name, _origin(point), told)
    return found


def _origin(point: EntryPoint) -> str:
    package = getattr(point.dist, "name", None)
    return f"{package} ({point.value})" if package else point.value
