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
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmark.events import Event
from benchmark.streams import own_errors

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


class Outlook:
    """How long a run still takes: what was expected at first, what results tell the more there are.

    Args:
        expected: seconds that the whole run was to take; None where nobody knows.
        clock: seconds from anywhere, never back.
    """

    def __init__(self, expected: float | None, clock: Callable[[], float]) -> None:
        self._expected = expected
        self._clock = clock
        self._start = clock()

    def begin(self) -> None:
        """Begin to count: data are ready, from here the work is measured."""
        self._start = self._clock()

    def seconds_left(self, counts: Counts) -> float:
        """Return about how many seconds are left."""
        elapsed = self._clock() - self._start
        share = counts.n_made / max(1, counts.n_made + counts.n_left)
        if not share:
            return max(0.0, (self._expected or 0.0) - elapsed)
        measured = elapsed / share
        expected = measured if self._expected is None else max(self._expected, elapsed)
        return max(0.0, (1 - share) * expected + share * measured - elapsed)


@contextmanager
def progress(*, quiet: bool = False, expected: float | None = None) -> Iterator[Callable[[Event], None]]:
    """Show how far a run is, on standard error.

    Args:
        quiet: show nothing.
        expected: seconds that the run was estimated to take.
    """
    if quiet:
        yield lambda _event: None
    elif Console(stderr=True).is_terminal:
        with bar(TextColumn("{task.fields[left]}")) as shown:
            yield _on_bar(shown, Outlook(expected, time.monotonic))
    else:
        yield Lines(sys.stderr, expected=expected)


def bar(remaining: ProgressColumn | None = None) -> Progress:
    """Return a bar with elapsed and remaining time that shows itself on a terminal only.

    Args:
        remaining: shows what is left; None for what the speed so far tells.
    """
    console = Console(file=own_errors())
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        remaining or TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _on_bar(shown: Progress, outlook: Outlook) -> Callable[[Event], None]:
    counts, task = Counts(), shown.add_task("preparing", total=None, left="")

    def watch(event: Event) -> None:
        n = counts.add(event)
        if event.kind == "cached":
            outlook.begin()
        if event.kind != "stop":
            left = f"about {duration_text(outlook.seconds_left(counts))} left" if counts.n_left else ""
            told = str(counts) or "preparing data"
            shown.update(task, total=counts.n_jobs, advance=n, description=told, left=left)

    return watch


class Lines:
    """A line of plain text now and then, for logs of batch systems; short runs stay silent.

    Args:
        out: where lines go.
        expected: seconds that the run was estimated to take.
        seconds: between lines.
        clock: seconds from anywhere, never back.
    """

    def __init__(
        self,
        out: TextIO,
        *,
        expected: float | None = None,
        seconds: float = SECONDS_BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._seconds = seconds
        self._clock = clock
        self._counts = Counts()
        self._last = clock()
        self._outlook = Outlook(expected, clock)

    def __call__(self, event: Event) -> None:
        """Take notice of an event, and tell how far the run is if it is time."""
        self._counts.add(event)
        if event.kind == "cached":
            self._outlook.begin()
        now = self._clock()
        if event.kind != "result" or now - self._last < self._seconds:
            return
        self._last = now
        counts = self._counts
        left = self._outlook.seconds_left(counts)
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
