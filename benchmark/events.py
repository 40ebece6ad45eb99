"""What happens in a run, told to whoever watches, and kept as a log beside the results."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from benchmark.store import FAILURES, Result

logger = logging.getLogger(__name__)

LOG = "log.jsonl"
"""Name of the log in a run's folder."""


@dataclass(frozen=True)
class Event:
    """Something that happened in a run.

    Attributes:
        kind: ``begin`` (n jobs), ``prepare`` (data are looked for), ``cached`` (n results were there),
            ``result`` (one more), ``printed`` (by methods, models and libraries, meanwhile), ``stop`` (before
            its end) or ``end`` (n results in all).
        n: number of jobs or results.
        result: what came of a job.
        path: file of the result.
        facts: more, by name; what JSON can hold.
    """

    kind: Literal["begin", "prepare", "cached", "result", "printed", "stop", "end"]
    n: int = 0
    result: Result | None = None
    path: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def repeat_command(path: Path) -> str:
    """Return the one command that repeats the job of a result.

    Args:
        path: file of the result.
    """
    return shlex.join(["plumbline", "repeat", str(path)])


def last_line(path: Path) -> dict[str, Any] | None:
    """Return the last event of a log as it was written, empty if it cannot be read; None without a log."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError, RecursionError):
        return {} if path.is_file() else None
    return found if isinstance(found, dict) else {}


class Log:
    """A file with a line of JSON an event and its time in UTC; a later run into the folder goes on with it.

    A log is a help, no result: where it cannot be written, that is said once, and the run goes on.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = None
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            self._give_up(error)

    def write(self, event: Event) -> None:
        """Add an event."""
        if self._file is None:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "event": event.kind, "n": event.n, **event.facts}
        if event.result is not None and event.path is not None:
            result = event.result
            line |= {"status": result.status, "file": event.path.name, "seconds": result.seconds}
            line |= {name: result.job[name] for name in ("scenario", "model", "method", "data_seed")}
            if result.error:
                line["error"] = result.reason
            if result.status in FAILURES:
                line["repeat"] = repeat_command(event.path)
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:  # what was buffered does not fit on the disc
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._file = None
        logger.warning("The log %s cannot be written (%s). Going on without it.", self._path, error)
