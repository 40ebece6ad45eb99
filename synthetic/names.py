"""Names that a user types or a file holds: what to say when there is no such name, and how to show any."""

from __future__ import annotations

import difflib
import unicodedata
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
    raise ValueError(f"The {what} {shortened(name, 80)!r} is unknown. {hint}")


def printable(text: str) -> str:
    r"""Return a text that can be shown and written anywhere: what steers a terminal is shown as an escape.

    Names and descriptions may come from files of others. Control characters but line breaks and tabs, marks
    that turn the direction of writing, and halves of surrogate pairs, which no file can hold, are escaped.

    Example:
        >>> print(printable("a\x1b[31mb – ü"))
        a\x1b[31mb – ü
    """
    if text.isprintable():  # nearly always
        return text
    return "".join(
        sign.encode("unicode_escape").decode()
        if unicodedata.category(sign) in _STEERING and sign not in _HARMLESS
        else sign
        for sign in text
    )


_STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")
_HARMLESS = "\n\t\u200c\u200d"  # the last two join the parts of an emoji, or of a word


def shortened(text: str, length: int) -> str:
    """Return a text cut to a length, with an ellipsis where it was longer.

    Example:
        >>> shortened("clinical", 5)
        'clin…'
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"
