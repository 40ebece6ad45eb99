"""The ``plumbline run`` and ``plumbline repeat`` commands."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import methods
from benchmark import session
from benchmark import suite as suites
from benchmark.bench import Limits, describe, no_result, set_up
from benchmark.diagnosis import DIAGNOSIS
from benchmark.dry_run import dry_run, dry_run_text
from benchmark.events import LOG, Event, repeat_command
from benchmark.executors import default_workers
from benchmark.outcome import Outcome, show, write
from benchmark.progress import progress
from benchmark.report.reasons import reasons
from benchmark.report_command import write_report
from benchmark.request import Request
from benchmark.store import CONTROL, FAILURES, read_result
from benchmark.streams import output_aside
from benchmark.suite import Job, is_own_function
from benchmark.terminal import find_own_modules, terminal
from synthetic.cache_limit import cache_limit
from synthetic.names import printable
from synthetic.settings import own_settings

EXIT_FAILED = 1


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
    estimand: Annotated[
        str | None, typer.Option(help="the truth that your own functions target; gradient by default")
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
    cluster: Annotated[
        str | None,
        typer.Option(help="a Dask scheduler (tcp://HOST:PORT) or local:N, instead of --workers"),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="seconds after which a method is ended and has failed; 6 hours by default"),
    ] = None,
    budget: Annotated[
        int | None, typer.Option(help="model calls after which a method is ended and counted as failed")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for results; results/runs/… by default")] = None,
    report: Annotated[
        bool, typer.Option("--report", help="write report.html as well, as 'plumbline report' does")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="print the outcome as one JSON document instead of tables")
    ] = False,
) -> None:
    """Run a suite: generate, train, attribute, score; print a leaderboard and say where the files are.

    Results that are already in the output folder are not made again. Exit code 0: all done; 1: a result
    failed, timed out or went over its budget; 2: wrong input, or the run could not go on; 130: interrupted.
    """
    document = output_aside() if as_json else None  # first: a user's modules may print
    find_own_modules()
    start = time.perf_counter()
    cache_limit()  # a mistake in it is told now, not by every result
    _check_together(workers=workers, cluster=cluster, dry=dry, as_json=as_json)
    request = Request.from_options(
        suite=suite,
        images=images,
        features=features,
        image_size=image_size,
        data_root=data_root,
        scenarios=scenario or (),
        models=model,
        methods=method if estimand is None else suites.targeting(estimand, method or ()),
        n_seeds=seeds,
        n_patients=patients,
        n_explained=explained,
        out=out,
        limits=Limits(apart=True, timeout=timeout, budget=budget),
    )
    console = terminal(quiet=quiet or as_json)
    n_workers = default_workers() if workers is None else workers
    outlook = None
    if dry or not quiet:  # a large run takes a while to look through
        outlook = dry_run(request.jobs(), request.folder, own_methods=request.own_methods, workers=n_workers)
    if dry and outlook:
        console.print(dry_run_text(outlook))
        return
    command = shlex.join(["plumbline", *sys.argv[1:]])
    files: dict[str, Path] = {}
    n_printed = 0
    with progress(quiet=quiet, expected=outlook and outlook.seconds) as watch:

        def remember(event: Event) -> None:
            nonlocal n_printed
            n_printed += event.kind == "printed"
            if event.result is not None and event.path is not None:
                files[event.result.key] = event.path
            watch(event)

        outcome = session.run(request, workers=n_workers, cluster=cluster, command=command, watch=remember)
    folder = write(outcome, request, command=command)  # first: a terminal may be gone, or show no more
    show(outcome, request, console)
    seconds = time.perf_counter() - start
    console.print(printable(f"Files: {folder}"), markup=False, soft_wrap=True)
    console.print(f"{len(outcome.results)} results in {seconds:.0f} s", style="dim")
    if n_printed:
        told = f"What methods, models and libraries printed is in {folder / LOG}, under 'printed'."
        console.print(printable(told), markup=False, soft_wrap=True, style="dim")
    if document is not None:
        typer.echo(_as_json(outcome, folder, files, seconds), file=document)
        document.flush()
    if report:
        written = write_report([folder])
        console.print(printable(f"Report: {written.file}"), markup=False, soft_wrap=True)
    if _say_what_is_missing(outcome, request, files, console):
        raise typer.Exit(EXIT_FAILED)


def _check_together(*, workers: int | None, cluster: str | None, dry: bool, as_json: bool) -> None:
    """Raise a ValueError where two options exclude each other."""
    if workers is not None and cluster is not None:
        raise ValueError(
            f"A run must have either --workers or --cluster. Got {workers} and {cluster!r}: leave one out."
        )
    if dry and as_json:
        raise ValueError("A run must have either --dry-run or --json: a dry run has no outcome. Got both.")


def _say_what_is_missing(outcome: Outcome, request: Request, files: dict[str, Path], console: Console) -> int:
    """Say why results failed, and against what a user's own functions were scored; return how many failed."""
    own = request.own_names
    silent = [name for name in own if methods.get(name).estimand == "gradient" and "estimand=" not in name]
    if silent:
        told = f"{', '.join(silent)}: scored against the gradient truth. Another is named by --estimand."
        console.print(printable(told), markup=False, soft_wrap=True, style="dim")
    for line in reasons(outcome.results, own=own, asked=request.method_names, files=files):
        typer.echo(printable(line), err=True)
    n_failed = sum(result.status in FAILURES for result in outcome.results)
    if n_failed:
        typer.echo(f"{n_failed} of {len(outcome.results)} results failed.", err=True)
    return n_failed


def _as_json(outcome: Outcome, folder: Path, files: dict[str, Path], seconds: float) -> str:
    """Return what came of a run as one JSON document; numbers that do not exist are null."""
    board, drawn = outcome.leaderboard.astype(object), outcome.pixels.astype(object)
    document = {
        "folder": str(folder),
        "seconds": round(seconds, 1),
        "n_results": len(outcome.results),
        "statuses": dict(Counter(result.status for result in outcome.results)),
        "leaderboard": board.where(board.notna(), None).to_dict(orient="records"),
        "pixels": drawn.where(drawn.notna(), None).to_dict(orient="records"),
        "failures": [
            {
                **{name: result.job[name] for name in ("scenario", "model", "method", "data_seed")},
                "status": result.status,
                "error": result.reason,
                "file": str(files[result.key]),
                "repeat": repeat_command(files[result.key]),
            }
            for result in outcome.results
            if result.status in FAILURES
        ],
    }
    return json.dumps(document, indent=1)


def repeat(
    file: Annotated[Path, typer.Argument(help="a result, from the folder results/ of a run")],
    *,
    data_root: Annotated[Path | None, typer.Option(help="folder with the OrganMNIST files")] = None,
) -> None:
    """Do the job of a result again, in this process, and show what came then and what comes now.

    Exit code 0: it is done, with the numbers that it had, or had none; 1: it failed, or the numbers differ.
    """
    find_own_modules()
    try:
        earlier = read_result(file)
    except OSError as error:
        raise ValueError(f"The result {file} cannot be read: {error}.") from error
    except ValueError as error:
        raise ValueError(
            f"The file {file} must hold a result as a run wrote it. Got {error}. Results lie in the folder "
            "'results' of a run."
        ) from error
    if earlier is None:
        raise ValueError(
            f"The result {file} was written by another version of Plumbline, and cannot be repeated."
        )
    job = Job.from_dict(earlier.job)
    without = earlier.targets in (CONTROL, DIAGNOSIS)
    if not (without or is_own_function(job.method) or _base(job) in methods.names()):
        raise ValueError(
            f"The method {job.method!r} was handed to benchmark.evaluate, and no name leads to it. Repeat it "
            "there, or run it as --method module:function."
        )
    method = None if without else methods.get(job.method)
    with own_settings(threads=1):
        try:
            bench = set_up(job.stage, None if data_root is None else str(data_root))
            again = bench.run(job, earlier.key, method)
        except Exception as error:  # noqa: BLE001 - what failed then may fail again
            again = no_result(job, earlier.key, method, "failed", describe(error))
    numbers = ("importances", "importances_se", "features", "interactions", "pixels", "maps", "diagnosis")
    console, same = terminal(), all(getattr(again, it) == getattr(earlier, it) for it in numbers)
    for when, result in (("then", earlier), ("now", again)):
        found = {f"{image} AP": scores["average_precision"] for image, scores in result.pixels.items()}
        values = ", ".join(f"{name} {value:.6g}" for name, value in (result.importances or found).items())
        console.print(f"{when:>4}: {result.status}  {values}", soft_wrap=True, markup=False)
    if again.error:
        Console(stderr=True).print(again.error.rstrip(), soft_wrap=True, markup=False, highlight=False)
    if again.status in FAILURES or (earlier.status == "done" and not same):
        raise typer.Exit(EXIT_FAILED)


def _base(job: Job) -> str:
    return job.method.partition("(")[0]
