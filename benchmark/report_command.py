"""The ``plumbline report`` command: runs → one page that says which method to believe."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.text import Text

from benchmark.terminal import terminal
from synthetic.cache import replacing
from synthetic.names import printable

_NAME = "report.html"
_OF_A_RUN = ("scores", "importances", "parts", "pixels", "missing", "balance", "leaderboard")
"""Names of a run's own tables, which a file beside a page never takes."""


def report(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs; several are reported together")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="the page's file; report.html in the first run's folder by default")
    ] = None,
) -> None:
    """Write one HTML page that says which method to believe, and how surely: it needs nothing but itself.

    Beside it stand the same answer as Markdown (.md) and the leaderboard as CSV. Exit code 0: written; 2:
    wrong input, or runs that say different things of the same result.
    """
    start = time.perf_counter()
    written = write_report(runs, out)
    console = terminal()
    for line in written.lines:
        console.print(Text(printable(line)), soft_wrap=True)
    size = written.file.stat().st_size / 1e6
    console.print(Text(printable(f"Report: {written.file} ({size:.1f} MB)")), soft_wrap=True)
    console.print(f"{written.n_scores:,} scores in {time.perf_counter() - start:.0f} s", style="dim")


class Written(NamedTuple):
    """What became of a report: its file, what there is to say of it in lines, and the scores behind it."""

    file: Path
    lines: tuple[str, ...]
    n_scores: int


def write_report(runs: Sequence[Path], out: Path | None = None) -> Written:
    """Write the page, and beside it the answer as Markdown and the leaderboard as CSV.

    Args:
        runs: folders of runs.
        out: the page's file or folder; None for the first run's folder.

    Files of an earlier report are replaced; whatever else has the names of the files beside the page is not.

    Raises:
        ValueError: if a run cannot be read, two contradict each other, the file's name is none of a page, or
            what stands beside it is not a report's.
    """
    from benchmark import findings  # noqa: PLC0415 - drawing takes a second to load
    from benchmark.report import page, slots  # noqa: PLC0415
    from benchmark.report.summary import board_csv, summary_markdown  # noqa: PLC0415

    file = _file(runs, out)
    _check_beside(file)
    found = findings.read(runs)
    figures, left_out = slots.draw(found)
    _write(file, page.render(found, figures=figures, left_out=left_out))
    _write(file.with_suffix(".md"), summary_markdown(found))
    _write(file.with_suffix(".csv"), board_csv(found))
    across = [found.agreement.sentence] if found.agreement.sentence else []
    lines = (*found.warnings, *across, *(it.headline for it in found.answer), *left_out)
    return Written(file, lines, len(found.scores))


def _file(runs: Sequence[Path], out: Path | None) -> Path:
    """Return where the page goes; a folder takes a report.html."""
    if out is None:
        first = runs[0]
        return (first.parent if first.name == "scores.csv" else first) / _NAME
    if out.is_dir():
        return out / _NAME
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"The page's file (--out) must end in .html. Got {printable(str(out))!r}.")
    return out


def _check_beside(file: Path) -> None:
    """Raise a ValueError if the page's .md or .csv would replace what no report wrote."""
    from benchmark.report.summary import FIRST_LINES  # noqa: PLC0415 - drawing takes a second to load

    if file.stem.casefold() in _OF_A_RUN:
        raise ValueError(
            f"The page's file (--out) must not have the name of a run's table, since {file.stem}.csv and "
            f"{file.stem}.md are written beside it. Got {printable(str(file))!r}: choose another name, such "
            f"as {_NAME}."
        )
    for suffix, first in FIRST_LINES.items():
        beside = file.with_suffix(suffix)
        if os.path.lexists(beside) and not _starts_with(beside, first):
            raise ValueError(
                f"What stands beside the page must be of an earlier report, since it is replaced. Got "
                f"{printable(str(beside))!r}, which no report wrote: move it, or choose another name (--out)."
            )


def _starts_with(file: Path, text: str) -> bool:
    """Return whether a file begins with a text; what cannot be read does not."""
    start = text.encode()
    try:
        with file.open("rb") as opened:
            return opened.read(len(start)) == start
    except OSError:
        return False


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as target:
        target.write(text.encode(errors="backslashreplace"))
