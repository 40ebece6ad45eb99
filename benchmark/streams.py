"""Standard output and errors that cannot stop the work: closed, full, broken, or unable to show a letter."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


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
