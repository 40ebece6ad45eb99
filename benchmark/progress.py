"""How far a run is: a bar on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmark.events import Event

SECONDS_BETWEEN_LINES = 30.0


class Counts:
    """Results so far, by what became of them."""

    def __init__(self) -> None:
        self.n_jobs = 0
        self._counts: dict[str, int] = {}

    def add(self, event: Event) -> int:
        """Count an event and return how many results it brought."""
        if event.kind == "begin":
            self.n_jobs = event.n
        if event.kind not in ("cached", "result"):
            return 0
        name = "cached" if event.result is None else event.result.status
        self._counts[name] = self._counts.get(name, 0) + event.n
        return event.n

    @property
    def n_made(self) -> int:
        """Results that this run made."""
        return sum(n for name, n in self._counts.items() if name != "cached")

    @property
    def n_left(self) -> int:
        """Results that are still to come."""
        return self.n_jobs - sum(self._counts.values())

    def __str__(self) -> str:
        return ", ".join(f"{n} {name}" for name, n in self._counts.items() if n)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[Event], None]]:
    """Show how far a run is, on standard error.

    Args:
        quiet: show nothing.
    """
    if quiet:
        yield lambda _event: None
    elif Console(stderr=True).is_terminal:
        with bar() as shown:
            yield _on_bar(shown)
    else:
        yield Lines(sys.stderr)


def bar() -> Progress:
    """Return a bar with elapsed and remaining time that shows itself on a terminal only."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _on_bar(shown: Progress) -> Callable[[Event], None]:
    counts, task = Counts(), shown.add_task("preparing", total=None)

    def watch(event: Event) -> None:
        n = counts.add(event)
        if event.kind != "stop":
            shown.update(task, total=counts.n_jobs, advance=n, description=str(counts) or "preparing data")

    return watch


class Lines:
    """A line of plain text now and then, for logs of batch systems; short runs stay silent.

    Args:
        out: where lines go.
        seconds: between lines.
        clock: seconds from anywhere, never back.
    """

    def __init__(
        self,
        out: TextIO,
        *,
        seconds: float = SECONDS_BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._seconds = seconds
        self._clock = clock
        self._counts = Counts()
        self._start = self._last = clock()

    def __call__(self, event: Event) -> None:
        """Take notice of an event, and tell how far the run is if it is time."""
        self._counts.add(event)
        if event.kind == "cached":
            self._start = self._clock()  # data are ready: from here the work is measured
        now = self._clock()
        if event.kind != "result" or now - self._last < self._seconds:
            return
        self._last = now
        counts = self._counts
        left = (now - self._start) / counts.n_made * counts.n_left
        done = counts.n_jobs - counts.n_left
        self._out.write(f"{done} of {counts.n_jobs} results ({counts}), about {duration_text(left)} left\n")
        self._out.flush()


def duration_text(seconds: float) -> str:
    """Return a time in the unit that suits it, no more precise than an estimate is."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 10 else f"{hours:,.0f} h"
