"""Values of a TOML text that know where they stand, so that every mistake can be named by its place."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthetic.names import check_known, printable, shortened

_LARGEST_FILE = 2**20


def read_text(path: Path, what: str) -> str:
    """Return the text of a file that a user wrote.

    Args:
        path: of the file.
        what: what it should hold, for messages: ``"scenario"``.

    Raises:
        ValueError: if it cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"The {what} file {path} cannot be read: {error.strerror or error}.") from None
    if len(raw) > _LARGEST_FILE:
        raise ValueError(f"The {what} file {path} must have at most {_LARGEST_FILE:,} bytes. Got more.")
    try:
        return raw.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The {what} file {path} must be UTF-8. Got byte 0x{raw[error.start]:02x} at offset "
            f"{error.start}; save it as UTF-8."
        ) from None


def parse(text: str, origin: str) -> Entry:
    """Return a TOML text as an entry that holds all others.

    Args:
        text: the TOML.
        origin: where it comes from, for messages.

    Raises:
        ValueError: if it is not TOML; the message says where.
    """
    try:
        return Entry(tomllib.loads(text), origin)
    except RecursionError:
        raise ValueError(f"In {origin}: arrays and tables must not nest so deeply.") from None
    except ValueError as error:
        raise ValueError(f"In {origin}: this is not TOML: {error}.") from None


def one_of(known: Sequence[str]) -> Reader:
    """Return a reader of texts that must be among those known."""

    def read(entry: Entry) -> str:
        with entry.placed():
            check_known("value", entry.text(), known)
        return entry.value

    return read


class _PlacedError(ValueError):
    """A mistake whose message says where it is."""


@dataclass(frozen=True)
class Entry:
    """A value of the text, and where it stands.

    Attributes:
        value: what `tomllib` made of it.
        origin: where the text comes from.
        place: e.g. ``"terms[1].function"``; empty for the whole.
    """

    value: Any
    origin: str
    place: str = ""

    def wrong(self, rule: str) -> ValueError:
        """Return the error that says what the value must be."""
        kind = _KINDS.get(type(self.value), "a date or time")
        if isinstance(self.value, int) and self.value.bit_length() > 64:
            shown = f"of {self.value.bit_length()} bits"  # Python refuses to print the longest
        else:
            shown = repr(self.value) if isinstance(self.value, str) else str(self.value)
            shown = shown if len(shown) <= 60 else shown[:60] + "…"
        return _PlacedError(f"In {self.origin}: {self.place!r} must be {rule}. Got {kind}, {shown}.")

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Put the place before the message of a ValueError that has none yet."""
        try:
            yield
        except _PlacedError:
            raise
        except ValueError as error:
            place = f", {self.place}" if self.place else ""
            raise _PlacedError(f"In {self.origin}{place}: {error}") from None

    def entries(
        self, known: Iterable[str] | None = None, *, required: Sequence[str] = ()
    ) -> dict[str, Entry]:
        """Return what a table holds, by key.

        Args:
            known: keys that may be there; None for any.
            required: keys that must be there.
        """
        if not isinstance(self.value, dict):
            raise self.wrong("a table")
        prefix = f"{self.place}." if self.place else ""
        for key in self.value if known is not None else ():
            with self.placed():
                check_known("key", key, known or ())
        for key in required:
            if key not in self.value:
                raise _PlacedError(f"In {self.origin}: {prefix + key!r} must be given. Got none; add it.")
        return {key: Entry(value, self.origin, f"{prefix}{_shown(key)}") for key, value in self.value.items()}

    def items(self) -> list[Entry]:
        """Return what an array holds."""
        if not isinstance(self.value, list):
            double = f", each under [[{self.place}]]" if isinstance(self.value, dict) else ""
            raise self.wrong(f"an array{double}")
        return [Entry(value, self.origin, f"{self.place}[{i}]") for i, value in enumerate(self.value)]

    def text(self) -> str:
        """Return the value, a string."""
        if not isinstance(self.value, str):
            raise self.wrong("text in quotes")
        return self.value

    def number(self) -> float:
        """Return the value, a finite number; whole ones count."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        if not abs(self.value) <= sys.float_info.max:  # as it says of NaN and of whole numbers of any length
            raise self.wrong("a finite number")
        return float(self.value)

    def count(self) -> int:
        """Return the value, a whole number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.wrong("a whole number")
        if self.value.bit_length() > 63:
            raise self.wrong("a whole number of 64 bits")
        return self.value

    def numbers(self) -> tuple[float, ...]:
        """Return the finite numbers of an array."""
        return tuple(item.number() for item in self.items())

    def number_or_numbers(self) -> float | tuple[float, ...]:
        """Return a finite number, or those of an array."""
        return self.numbers() if isinstance(self.value, list) else self.number()

    def names(self) -> tuple[str, ...]:
        """Return the texts of an array; one text alone stands for an array of it."""
        if isinstance(self.value, str):
            return (self.value,)
        return tuple(item.text() for item in self.items())


def _shown(key: str) -> str:
    """Return a key as messages show it: in one line, and not for ever."""
    return shortened(printable(key).replace("\n", "\\n"), 60)


_KINDS: Mapping[type, str] = {
    str: "text",
    bool: "a truth value",
    int: "a whole number",
    float: "a number",
    list: "an array",
    dict: "a table",
}


Reader = Callable[[Entry], Any]
"""What makes a value of an entry, or raises a ValueError that says what is wrong with it and where."""
