"""What is finer than a modality, and synergy: pixels, clinical features, pairs."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from benchmark.fine_table import FEATURES, PAIRS
from benchmark.report.markdown import escape
from benchmark.report.markdown import table as markdown
from benchmark.report.text import marked, number
from benchmark.store import CONTROL
from synthetic.names import printable

_PIXEL_COLUMNS = {
    "model": "model",
    "method": "method",
    "average_precision": "AP ↑",
    "ap_corrected": "AP corr. ↑",
    "relevance_rank": "rank acc. ↑",
    "relevance_mass": "mass acc. ↑",
    "rank_correlation": "rank corr. ↑",
    "mask_share": "chance",
    "n_cases": "cases",
    "model_calls": "model calls",
    "seconds": "seconds",
}
_PART_COLUMNS = {
    "model": "model",
    "method": "method",
    "targets": "targets",
    "against": "against",
    "rmse": "RMSE ↓",
    "skill": "skill ↑",
    "rbo": "RBO ↑",
    "rbo_chance": "chance RBO",
    "rbo_corrected": "RBO corr. ↑",
}
_PIXEL_LEGEND = (
    "Means over the first 100 patients, the images in which F reads, scenarios and seeds. A pixel is in "
    "the mask if a latent feature that F reads there can be told from noise. AP: average precision of "
    "finding the mask's pixels by the size of their relevance; AP corr. = (AP − chance) / (1 − chance). "
    "Mass acc.: share of the relevance that lies in the mask; rank acc.: share of the K most relevant "
    "pixels that do, K the size of the mask (Arras et al. 2022); chance of these three is the share of "
    "the pixels that the mask holds. Rank corr.: Spearman's with the true relevance, chance 0. Below "
    "stand controls: a map that does not beat *edges* (Sobel) and *scan* (grey values) says nothing about "
    "the model. The mask says where the information is, not where a network must look for it."
)
_PART_LEGENDS = {
    FEATURES: "Shares of the columns of all tables among themselves, scored as modalities are, against the "
    "truth that the method targets where it has a value for single features, else against that of gradients. "
    "*vs …*: pooled RMSE against each such truth.",
    PAIRS: "Shares of the absolute interactions of every two modalities, where there are any.",
}

SYNERGY_LEGEND = (
    "Share of the variance of F that no modality explains alone (less what several explain alike: it may be "
    "negative), and what methods say of it. It is 0 for a sum, 1 for an exclusive or. InterSHAP says its own "
    "score, a ratio of mean interactions of a probability, which is not 0 for every sum. Means over seeds."
)


def fine_markdown(
    pixels: pd.DataFrame,
    features: pd.DataFrame,
    pairs: pd.DataFrame,
    synergy: pd.DataFrame | None = None,
) -> list[str]:
    """Return the sections on what is finer than a modality; none where no method says anything of it.

    Args:
        pixels: from ``fine_table.pixels_board``.
        features: from ``fine_table.parts_board``, of clinical features.
        pairs: the same of pairs of modalities.
        synergy: from ``fine_table.synergy_board``.
    """
    sections = []
    if len(pixels):
        sections += ["## Pixels: where in the images", _table(pixels, _PIXEL_COLUMNS), _PIXEL_LEGEND]
    for part, board, heading in (
        (FEATURES, features, "## Clinical features"),
        (PAIRS, pairs, "## Pairs of modalities"),
    ):
        if len(board):
            columns = _PART_COLUMNS | {name: name for name in board if str(name).startswith("vs ")}
            sections += [heading, _table(board, columns), _PART_LEGENDS[part]]
    if synergy is not None and len(synergy):
        columns = {name: name for name in synergy}
        sections += ["## Synergy", _table(synergy, columns), SYNERGY_LEGEND]
    return sections


def pixels_table(board: pd.DataFrame, *, own: Collection[str] = ()) -> Table:
    """Return the scores of maps for a terminal; controls stand below a line.

    Args:
        board: from ``fine_table.pixels_board``.
        own: names of the user's own methods, which are marked.
    """
    columns = {key: head for key, head in _PIXEL_COLUMNS.items() if key not in ("relevance_mass", "n_cases")}
    if len(set(board["model"])) == 1:
        del columns["model"]
    table = Table(
        title=Text("Pixels"), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1), pad_edge=False
    )
    for key, head in columns.items():
        is_name = key in ("model", "method")
        table.add_column(
            head.removesuffix(" ↑"),
            justify="left" if is_name else "right",
            no_wrap=not is_name,
            overflow="fold",
        )
    is_control = list(board["targets"] == CONTROL)
    for place, cells in enumerate(_cells(marked(board, own), columns)):
        last_method = not is_control[place] and place + 1 < len(board) and is_control[place + 1]
        style = "dim" if is_control[place] else "bold" if board["method"].iloc[place] in own else ""
        table.add_row(*(Text(printable(cell)) for cell in cells), style=style, end_section=last_method)
    return table


def _table(board: pd.DataFrame, columns: dict[str, str]) -> str:
    return markdown([*columns.values()], [[*map(escape, cells)] for cells in _cells(board, columns)])


def _cells(board: pd.DataFrame, columns: dict[str, str]) -> list[list[str]]:
    return [[_shown(name, row[name]) for name in columns] for row in board.to_dict(orient="records")]


def _shown(column: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if column in ("model_calls", "n_cases"):
        return f"{value:,.0f}"
    return number(float(value), 2 if column == "seconds" else 3)  # pyright: ignore[reportArgumentType]
