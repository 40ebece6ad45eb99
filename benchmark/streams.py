"""Standard output and errors that cannot stop the work: closed, full, broken, or unable to show a letter.

And what others print, kept from the terminal.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO

_MOST_KEPT = 20_000  # bytes of what is printed


@dataclass
class Heard:
    """What was printed in a block, once the block has ended; of much, the end."""

    text: str = ""


_listening = threading.Lock()


@contextmanager
def heard() -> Iterator[Heard]:
    """Keep what the block prints from the terminal: Python's prints and warnings, and those of libraries.

    Standard output and errors are those of the process. Of several threads, one at a time is listened to.
    """
    found = Heard()
    if not _listening.acquire(blocking=False):
        yield found
        return
    try:
        with tempfile.TemporaryFile() as file, _printed_to(file.fileno()):
            yield found
            flush()
            start = max(0, file.seek(0, os.SEEK_END) - _MOST_KEPT)
            file.seek(start)
            cut = f"({start:,} bytes before are left out) … " if start else ""
            found.text = cut + file.read().decode(errors="replace")
    finally:
        _listening.release()


@contextmanager
def _printed_to(number: int) -> Iterator[None]:
    """Let what the process prints go to an open file."""
    flush()
    before = os.dup(1), os.dup(2)
    try:
        os.dup2(number, 1)
        os.dup2(number, 2)
        yield
    finally:
        flush()
        for there, own in zip(before, (1, 2), strict=True):
            os.dup2(there, own)
            os.close(there)


def flush() -> None:
    """Write what still waits in this process's standard streams; it may have none."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


def output_aside() -> TextIO:
    """Return where standard output goes; whatever else is printed goes to standard errors from now on.

    For commands whose output programs read: modules of a user's own, and libraries, may print at any time.
    """
    own = sys.stdout
    try:
        if own.fileno() != 1:
            return own
        stream = os.fdopen(os.dup(1), "w", encoding=own.encoding, errors="replace")
    except (AttributeError, OSError, ValueError):  # a notebook's, or none
        return own
    flush()
    os.dup2(2, 1)
    return Lenient(stream)  # pyright: ignore[reportReturnType]


def own_errors() -> TextIO:
    """Return a stream to where standard errors go now, also while they are listened to."""
    try:
        stream = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding=sys.stderr.encoding, errors="replace")
    except (AttributeError, OSError, ValueError):  # a notebook's, or none
        return sys.stderr
    return Lenient(stream)  # pyright: ignore[reportReturnType]


class Lenient(io.TextIOBase):
    """A stream of text that says what it can.

    Letters that the stream's encoding lacks become question marks. Once nobody reads, or the disc is full, it
    falls silent: results are in files, and no word is worth one.

    Args:
        stream: where words go; None where there is none.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Encoding of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What becomes of letters that it lacks."""
        return "replace"

    def write(self, text: str) -> int:
        """Write text as far as it can be shown; return its length."""
        if self._stream is not None:
            shown = text.encode(self.encoding, "replace").decode(self.encoding) if text else text
            try:
                self._stream.write(shown)
            except (OSError, ValueError):
                self._fall_silent()
        return len(text)

    def flush(self) -> None:
        """Write what is still waiting."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._fall_silent()

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the number of the open file."""
        if self._stream is None:
            raise io.UnsupportedOperation("There is no stream.")
        return self._stream.fileno()

    def writable(self) -> bool:
        """Return True: what cannot be written is let go."""
        return True

    def _fall_silent(self) -> None:
        """Let go of the stream; what waits in it goes nowhere, lest the interpreter complain in the end."""
        stream, self._stream = self._stream, None
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # pyright: ignore[reportOptionalMemberAccess]
            os.close(nowhere)
        except (OSError, ValueError, AttributeError):
            return


def make_lenient() -> None:
    """Let this process's standard streams be lenient, and its first three files be taken.

    A process that was started without one of them would have its first file in its place, and what is printed
    would go there.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(number)
    sys.stdout, sys.stderr = Lenient(sys.stdout), Lenient(sys.stderr)  # pyright: ignore[reportAttributeAccessIssue]
