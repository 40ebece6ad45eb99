"""What comes of a run: its results, the tables made of them, and the files and lines that show them."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportReturnType=false

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from benchmark import diagnosis_table, fine_table, table
from benchmark.manifest import manifest
from benchmark.maps import EDGES, MAP_CONTROLS
from benchmark.report.choices import choices_note
from benchmark.report.diagnosis_text import diagnosis_markdown, flags_note, missing_table
from benchmark.report.fine_text import fine_markdown, pixels_table
from benchmark.report.text import chance_note, leaderboard_markdown, leaderboard_table
from benchmark.request import Request
from benchmark.store import CONTROL, Result, file_word, write_json
from synthetic.cache import replacing
from synthetic.names import printable

logger = logging.getLogger(__name__)

_DPI = 220  # of a picture as wide as a page of paper


@dataclass(frozen=True)
class Outcome:
    """What came of a run: its results, and the tables made of them."""

    results: list[Result]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row a result and estimand."""
        return table.scores(self.results)

    @cached_property
    def importances(self) -> pd.DataFrame:
        """One row a result, estimand and modality."""
        return table.importances(self.results)

    @cached_property
    def shares(self) -> pd.DataFrame:
        """One row a model, scenario, method and modality."""
        return table.shares(self.results)

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """One row a method, best first."""
        return table.leaderboard(self.scores)

    @cached_property
    def parts(self) -> pd.DataFrame:
        """One row a result, part (clinical features, pairs of modalities) and estimand."""
        return fine_table.parts(self.results)

    @cached_property
    def pixels(self) -> pd.DataFrame:
        """One row a model and method that draws maps, best first."""
        return fine_table.pixels_board(fine_table.pixels(self.results))

    @cached_property
    def missing(self) -> pd.DataFrame:
        """One row a network and set of available modalities."""
        return diagnosis_table.missing(self.results)

    @cached_property
    def balance(self) -> pd.DataFrame:
        """One row a network and modality."""
        return diagnosis_table.balance(self.results)

    @cached_property
    def fidelity(self) -> pd.DataFrame:
        """One row a trained network."""
        return table.fidelity(self.scores)


def write(outcome: Outcome, request: Request, *, command: str) -> Path:
    """Write tables, leaderboard, picture and manifest into the run's folder and return it.

    Raises:
        ValueError: if they cannot be written: the disc is full, or the folder is gone or read-only.
    """
    try:
        _write(outcome, request, command)
    except OSError as error:
        raise ValueError(
            f"The tables in {request.folder} cannot be written ({error}). The results are kept: make room, "
            "or mend the folder, and the same command goes on."
        ) from error
    return request.folder


def _write(outcome: Outcome, request: Request, command: str) -> None:
    folder = request.folder
    # Of the tables scores come last: where they are, the others are of the same run.
    (folder / "scores.csv").unlink(missing_ok=True)
    _write_text(folder / "importances.csv", outcome.importances.to_csv(index=False))
    _write_text(
        folder / "leaderboard.md",
        leaderboard_markdown(
            outcome.leaderboard,
            outcome.scores,
            outcome.shares,
            table.case_errors(outcome.scores),
            outcome.fidelity,
            table.by_estimand(outcome.scores),
            title=request.title,
            command=command,
            own=request.own_names,
            finer=[
                *fine_markdown(
                    outcome.pixels,
                    fine_table.parts_board(outcome.parts, part=fine_table.FEATURES),
                    fine_table.parts_board(outcome.parts, part=fine_table.PAIRS),
                    fine_table.synergy_board(outcome.parts),
                ),
                *diagnosis_markdown(
                    outcome.missing,
                    outcome.balance,
                    diagnosis_table.noticed(outcome.importances, outcome.balance),
                    in_full=request.suite.shows == "missing",
                ),
            ],
        ),
    )
    for name, frame in (
        ("parts", outcome.parts),
        ("pixels", fine_table.pixels(outcome.results)),
        ("missing", outcome.missing),
        ("balance", outcome.balance),
    ):
        if len(frame):
            _write_text(folder / f"{name}.csv", frame.to_csv(index=False))
    write_json(folder / "manifest.json", manifest(request, command))
    _write_text(folder / "scores.csv", outcome.scores.to_csv(index=False))
    try:
        _draw(outcome, request)
    except Exception as error:  # noqa: BLE001 - settings of a user's own may break matplotlib anywhere
        told = f"{type(error).__name__}: {error}"
        logger.warning("The pictures cannot be drawn (%s). The tables are there.", told)


def _draw(outcome: Outcome, request: Request) -> None:
    from benchmark.report import figure  # noqa: PLC0415 - matplotlib is slow to load, and typos come first
    from benchmark.report.map_figure import draw_maps  # noqa: PLC0415

    folder = request.folder
    labels = {name: str(scenario.decision) for name, scenario in request.scenarios().items()}
    board = outcome.leaderboard
    shown = list(dict.fromkeys(board.loc[board["targets"] != CONTROL, "method"]))
    for model, rows in outcome.shares.groupby("model"):
        picture = figure.draw_importances(
            rows, title=f"{request.title}, {model}", methods=shown, labels=labels
        )
        for suffix in ("png", "svg"):
            figure.save(picture, folder / f"importances-{file_word(str(model))}.{suffix}", dpi=_DPI)
    drawers = [] if outcome.pixels.empty else list(outcome.pixels["method"])
    for model, maps in fine_table.maps(outcome.results).items():
        methods = dict.fromkeys((*drawers, *(name for drawn in maps.values() for name in drawn)))
        shown = [name for name in methods if name not in MAP_CONTROLS]
        picture = draw_maps(maps, title=f"{request.title}, {model}", methods=[*shown, EDGES])
        if picture is not None:
            for suffix in ("png", "svg"):
                figure.save(picture, folder / f"pixels-{file_word(model)}.{suffix}")


def show(outcome: Outcome, request: Request, console: Console) -> None:
    """Print what the run is about: importances, maps of pixels, or networks without some modalities."""
    shows = request.suite.shows
    board = outcome.leaderboard
    # Where methods draw maps alone, the other controls have nothing to stand beside.
    if shows == "importances" or (shows == "pixels" and (board["targets"] != CONTROL).any()):
        console.print(leaderboard_table(board, title=request.title, own=request.own_names))
        for note in (chance_note(outcome.scores), choices_note(board["method"])):
            if note:
                console.print(note, style="dim", soft_wrap=True)
    if len(outcome.pixels):
        console.print(pixels_table(outcome.pixels, own=request.own_names))
    if shows == "missing" and len(outcome.missing):
        console.print(missing_table(outcome.missing))
    networks = outcome.fidelity
    if len(networks):
        n_low = int((~networks["counts"]).sum())
        least, mean = networks["accuracy"].min(), networks["accuracy"].mean()
        note = f"Networks: test accuracy {least:.3f} at least, {mean:.3f} on average"
        console.print(
            note
            + (
                f"; {n_low} learnt less than {table.FIDELITY_GATE:.0%} of what there is and do not count."
                if n_low
                else "."
            ),
            style="dim",
            soft_wrap=True,
        )
    if note := flags_note(outcome.balance):
        console.print(Text(printable(note)), style="dim", soft_wrap=True)


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode(errors="backslashreplace"))
