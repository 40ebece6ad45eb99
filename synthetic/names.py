"""Names that a user types, and what to say when there is no such name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raise a ValueError unless the name is known; it offers the closest one, or lists them all.

    Args:
        what: what the name stands for, e.g. ``"scenario"``.
        name: what was asked for.
        known: what there is.

    Example:
        >>> check_known("suite", "papr", ["smoke", "paper"])
        Traceback (most recent call last):
        ...
        ValueError: The suite 'papr' is unknown. Did you mean 'paper'?
    """
    known = list(known)
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(known)}."
    raise ValueError(f"The {what} {name!r} is unknown. {hint}")
