"""The ``plumbline export`` command: figures and tables of runs for a paper."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from benchmark.terminal import terminal
from synthetic.cache import replacing
from synthetic.names import check_known, printable

if TYPE_CHECKING:
    from benchmark.report.export import Item

Made = TypeVar("Made")

FORMATS = ("pdf", "svg", "png")
_DPI_RANGE = (50, 1200)

MOST_MODELS = 4
"""Models whose own figures are drawn unless all are asked for; tables are written of each."""


def export(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs, their rows together", metavar="RUN…")],
    *,
    out: Annotated[Path, typer.Option(help="folder to write to")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="pdf, svg or png; again for several; pdf by default")
    ] = None,
    dpi: Annotated[int, typer.Option(help="pixels an inch of PNG files")] = 300,
    all_models: Annotated[
        bool,
        typer.Option("--all-models", help=f"figures of all models, not of the first {MOST_MODELS}"),
    ] = False,
) -> None:
    """Write the figures and LaTeX tables of runs for a paper: all that there is data for.

    Of many models, the first have figures of their own; tables are of all.

    The same runs give the same bytes. Files of the same names are replaced.
    """
    chosen = list(dict.fromkeys(formats or ["pdf"]))
    for name in chosen:
        check_known("format", name, FORMATS)
    if not _DPI_RANGE[0] <= dpi <= _DPI_RANGE[1]:
        raise ValueError(f"The option --dpi must be from {_DPI_RANGE[0]} to {_DPI_RANGE[1]}. Got {dpi}.")
    from benchmark import findings  # noqa: PLC0415 - drawing takes a second to load
    from benchmark.report import latex  # noqa: PLC0415
    from benchmark.report.export import figures, tables  # noqa: PLC0415
    from benchmark.report.figure import save  # noqa: PLC0415

    found = findings.read(runs)
    command = shlex.join(["plumbline", *sys.argv[1:]])
    out.mkdir(parents=True, exist_ok=True)
    left_out: list[str] = []
    n_figures = 0
    for name, make in _there(figures(found, most_models=None if all_models else MOST_MODELS), left_out):
        picture = make()
        n_figures += 1
        for suffix in chosen:
            save(picture, out / f"{name}.{suffix}", dpi=dpi)
    written = []
    for name, make in _there(tables(found, made_by=command), left_out):
        _write(out / f"{name}.tex", make())
        written.append(f"{name}.tex")
    if written:
        _write(out / "tables.tex", latex.document(written, made_by=command))
    console = terminal()
    told = f"{n_figures} figures ({', '.join(chosen)}) and {len(written)} LaTeX tables: {out}"
    console.print(printable(told), markup=False, soft_wrap=True)
    for line in left_out:
        console.print(printable(f"Left out: {line}"), markup=False, soft_wrap=True)


def _there(items: Iterable[Item[Made]], left_out: list[str]) -> Iterator[tuple[str, Callable[[], Made]]]:
    """Return what can be made, under names of its own; the rest is noted."""
    taken: set[str] = set()
    for item in items:
        if item.make is None:
            left_out.append(f"{item.name}: {item.reason}.")
            continue
        name, number = item.name, 1
        # The second part of one model's figure may have the name of another model's.
        while name.casefold() in taken:
            number += 1
            name = f"{item.name}-{number}"
        taken.add(name.casefold())
        yield name, item.make


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
