"""The ``plumbline show`` and ``plumbline truths`` commands: a scenario, and what is true of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

import synthetic
from benchmark import executors
from benchmark.executors import default_workers
from benchmark.progress import bar
from benchmark.request import check_source, find_scenario
from benchmark.terminal import terminal
from benchmark.truth_table import truth_table
from synthetic.cache import replacing
from synthetic.names import printable

N_SHOWN = 400
"""Patients that `plumbline show` draws: enough for the histogram of F, drawn in a moment."""


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
    from benchmark.report.figure import check_format, save  # noqa: PLC0415 - drawing takes a second to load
    from benchmark.report.scenario_figure import draw_scenario  # noqa: PLC0415
    from benchmark.report.scenario_text import scenario_text  # noqa: PLC0415

    chosen = find_scenario(scenario, images, features, image_size)
    words = [
        chosen.name,
        *([chosen.source] if images != "phantom" else []),
        *([f"seed-{seed}"] if seed else []),
    ]
    words += [str(image_size)] if image_size else []
    path = out or Path("results") / "show" / f"{'-'.join(words)}.png"
    check_format(path)
    n = N_SHOWN if chosen.n is None or chosen.n > N_SHOWN else None
    dataset = synthetic.generate(chosen, seed=seed, n=n, data_root=data_root)
    console = terminal()
    console.print(scenario_text(chosen, dataset, dataset.truth))
    path.parent.mkdir(parents=True, exist_ok=True)
    save(draw_scenario(chosen, dataset, dataset.truth), path)
    console.print(printable(f"Picture: {path}"), markup=False, soft_wrap=True)


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
    names = scenarios or synthetic.scenarios(check_source(images))
    chosen = [find_scenario(name, images, features, None) for name in names]
    with (
        executors.local(default_workers() if workers is None else workers) as executor,
        bar() as shown,
    ):
        task = shown.add_task("truths", total=len(chosen))
        table = truth_table(
            chosen,
            executor,
            data_root=data_root,
            fresh=fresh,
            report=lambda name: shown.update(task, advance=1, description=name),
        )
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
    terminal().print(
        printable(
            f"Scenarios: {len(chosen)}; largest standard error of a share {largest:.4f}, "
            f"{seconds:.0f} s: {out}"
        ),
        markup=False,
        soft_wrap=True,
    )
