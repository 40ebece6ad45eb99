"""The ``plumbline`` command."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

import methods
import synthetic
from benchmark import cache_command, executors, models, session
from benchmark import suite as suites
from benchmark.dry_run import dry_run, dry_run_text
from benchmark.executors import default_workers
from benchmark.truth_table import truth_table
from synthetic.cache import replacing
from synthetic.cache_limit import cache_limit

app = typer.Typer(
    help="Which multimodal importance method should you believe? A benchmark with known answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(cache_command.app, name="cache")

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
N_SHOWN = 400
"""Patients that `plumbline show` draws: enough for the histogram of F, drawn in a moment."""


@app.command("list")
def list_names(
    what: Annotated[str, typer.Argument(help="scenarios, methods, models or suites")],
) -> None:
    """List what there is, with a line on each."""
    rows = {
        "scenarios": lambda: [
            (name, synthetic.describe(name), synthetic.scenario(name).expected)
            for name in synthetic.scenarios()
        ],
        "methods": lambda: [
            (name, f"targets {methods.get(name).estimand}", methods.get(name).citation)
            for name in methods.names()
        ],
        "models": lambda: [(name, "", models.describe(name)) for name in models.names()],
        "suites": lambda: [(name, "", suite.description) for name, suite in suites.SUITES.items()],
    }
    if what not in rows:
        raise ValueError(f"'plumbline list' takes one of {', '.join(rows)}. Got {what!r}.")
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in rows[what]():
        table.add_row(*row)
    _console().print(table)


@app.command("run")
def run(
    suite: Annotated[
        str, typer.Argument(help="name of a suite ('plumbline list suites') or TOML file")
    ] = "paper",
    *,
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="a scenario by name, or a TOML file, instead of the suite's; may be repeated"),
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="phantom, organamnist or organ-ac; the suite's by default")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="latent features of real scans: autoencoder or pca")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="pixels a side: 28, 64, 128 or 224; the scenario's own by default")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="folder with the OrganMNIST files")] = None,
    model: Annotated[list[str] | None, typer.Option(help="instead of the suite's; may be repeated")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="a method by name, with options if wanted ('lime(n_points=1000)'), runs instead of all; "
            "your own function ('package.module:function') runs beside them; may be repeated"
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="repetitions, instead of the suite's number")] = None,
    patients: Annotated[int | None, typer.Option(help="patients a scenario, in all splits together")] = None,
    explained: Annotated[
        int | None, typer.Option(help="samples that a method gets, instead of the suite's number")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="say what there is to do, and do nothing")] = False,
    workers: Annotated[
        int | None, typer.Option(help="processes of one thread each; the processors by default")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="seconds after which a method is ended and counted as failed")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for results; results/runs/… by default")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
) -> None:
    """Run a suite: generate, train, attribute, score; print a leaderboard and say where the files are.

    Results that are already in the output folder are not made again. Exit code 0: all done; 1: a result
    failed; 2: wrong input; 130: interrupted.
    """
    # A user's own module lies in the folder from which the command is given: last, so that nothing there can
    # take the place of an installed package.
    sys.path.append(str(Path.cwd()))
    start = time.perf_counter()
    cache_limit()  # a mistake in it is told now, not by every result
    request = session.Request.from_options(
        suite=suite,
        images=images,
        features=features,
        image_size=image_size,
        data_root=data_root,
        scenarios=scenario or (),
        models=model,
        methods=method,
        n_seeds=seeds,
        n_patients=patients,
        n_explained=explained,
        out=out,
        apart=True,
        timeout=timeout,
    )
    console = _console(quiet=quiet)
    n_workers = default_workers() if workers is None else workers
    jobs = request.jobs()
    if dry:
        found = dry_run(jobs, request.folder, own_methods=request.own_methods, workers=n_workers)
        console.print(dry_run_text(found))
        return
    with _progress(len(jobs), quiet=quiet) as report:
        outcome = session.run(request, workers=n_workers, report=report)
    session.show(outcome, request, console)
    written = session.write(outcome, request, command=_command())
    console.print(f"Files: {written}", soft_wrap=True)
    console.print(f"{len(jobs)} results in {time.perf_counter() - start:.0f} s", style="dim")
    failed = [result for result in outcome.results if result.status != "done"]
    if failed:
        first = failed[0]
        reason = first.error.strip().splitlines()[-1]
        typer.echo(
            f"{len(failed)} results failed. The first: {first.job['method']} on {first.job['scenario']}, "
            f"{first.job['model']}: {reason}\nThe tracebacks are in {written / 'results'}.",
            err=True,
        )
        raise typer.Exit(EXIT_FAILED)


@app.command("show")
def show(
    scenario: Annotated[str, typer.Argument(help="name of a scenario, or a TOML file")],
    *,
    images: Annotated[str, typer.Option(help="phantom, organamnist or organ-ac")] = "phantom",
    features: Annotated[str | None, typer.Option(help="latent features of real scans")] = None,
    image_size: Annotated[int | None, typer.Option(help="pixels a side")] = None,
    data_root: Annotated[Path | None, typer.Option(help="folder with the OrganMNIST files")] = None,
    seed: Annotated[int, typer.Option(help="data seed of the patients that are shown")] = 0,
    out: Annotated[Path | None, typer.Option(help="picture; results/show/SCENARIO.png by default")] = None,
) -> None:
    """Show a scenario: patients, decision function and every truth, as text and as one picture."""
    from benchmark.report.figure import save  # noqa: PLC0415 - drawing takes a second to load
    from benchmark.report.scenario_figure import draw_scenario  # noqa: PLC0415
    from benchmark.report.scenario_text import scenario_text  # noqa: PLC0415

    chosen = session.find_scenario(scenario, images, features, image_size)
    n = N_SHOWN if chosen.n is None or chosen.n > N_SHOWN else None
    dataset = synthetic.generate(chosen, seed=seed, n=n, data_root=data_root)
    console = _console()
    console.print(scenario_text(chosen, dataset, dataset.truth))
    words = [
        chosen.name,
        *([chosen.source] if images != "phantom" else []),
        *([f"seed-{seed}"] if seed else []),
    ]
    words += [str(image_size)] if image_size else []
    path = out or Path("results") / "show" / f"{'-'.join(words)}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(draw_scenario(chosen, dataset, dataset.truth), path)
    console.print(f"Picture: {path}", soft_wrap=True)


@app.command("truths")
def truths(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="names or TOML files; the whole catalogue by default")
    ] = None,
    *,
    images: Annotated[str, typer.Option(help="phantom, organamnist or organ-ac")] = "phantom",
    features: Annotated[str | None, typer.Option(help="latent features of real scans")] = None,
    data_root: Annotated[Path | None, typer.Option(help="folder with the OrganMNIST files")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="recall nothing from the cache")] = False,
    workers: Annotated[
        int | None, typer.Option(help="processes of one thread each; the processors by default")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="CSV file; results/truths.csv by default, with names where some are given"),
    ] = None,
) -> None:
    """Work out every truth of scenarios, with standard errors, and write them as one table."""
    start = time.perf_counter()
    names = scenarios or synthetic.scenarios(session.check_source(images))
    chosen = [session.find_scenario(name, images, features, None) for name in names]
    with (
        executors.local(default_workers() if workers is None else workers) as executor,
        _bar(len(chosen)) as advance,
    ):
        table = truth_table(chosen, executor, data_root=data_root, fresh=fresh, report=advance)
    if out is None:
        words = [
            "truths",
            *(it.name for it in chosen[:3] if scenarios),
            *([images] if images != "phantom" else []),
        ]
        out = Path("results") / f"{'-'.join(words)}.csv"
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as file:
        file.write(table.to_csv(index=False).encode())
    seconds = time.perf_counter() - start
    largest = table.loc[table["what"] == "modality", "standard_error"].max()
    _console().print(
        f"Scenarios: {len(chosen)}; largest standard error of a share {largest:.4f}, {seconds:.0f} s: {out}",
        soft_wrap=True,
    )


@contextmanager
def _bar(n: int) -> Iterator[Callable[[str], None]]:
    """Show a bar over scenarios on a terminal; elsewhere stay quiet."""
    with _terminal_bar(quiet=False) as bar:
        task = bar.add_task("truths", total=n)
        yield lambda name: bar.update(task, advance=1, description=name)


@contextmanager
def _progress(n_jobs: int, *, quiet: bool) -> Iterator[session.Report]:
    """Show a bar of results on a terminal; elsewhere stay quiet."""
    with _terminal_bar(quiet=quiet) as bar:
        task = bar.add_task("preparing", total=n_jobs)
        counts = {"cached": 0, "done": 0, "failed": 0, "timeout": 0}

        def report(what: str, n: int) -> None:
            if what in counts:
                counts[what] += n
                text = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
                bar.update(task, advance=n, description=text or "running")
            else:
                bar.update(task, description=what)

        yield report


def _terminal_bar(*, quiet: bool) -> Progress:
    """Return a bar with elapsed and remaining time that shows itself on a terminal only."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )


def _console(*, quiet: bool = False) -> Console:
    console = Console(quiet=quiet)
    if not console.is_terminal:
        console.width = 110
    return console


def _command() -> str:
    return shlex.join(["plumbline", *sys.argv[1:]])


# Typer may bring a click of its own, whose exceptions are not those of the package click.
_USAGE_ERROR: type[Exception] = next(
    base  # pyright: ignore[reportAssignmentType]
    for base in typer.BadParameter.__mro__
    if base.__name__ == "ClickException"
)


def main() -> None:
    """Run the command; wrong input is one clear line and exit code 2, never a traceback."""
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_time=False, show_path=False)],
    )
    try:
        code = app(standalone_mode=False) or 0  # an interrupted command comes back as 130
    except _USAGE_ERROR as error:
        error.show()  # pyright: ignore[reportAttributeAccessIssue]
        code = EXIT_USAGE
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except (ValueError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        code = EXIT_USAGE
    if code == EXIT_INTERRUPTED:
        typer.echo("Interrupted. Results so far are kept; the same command goes on from here.", err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
