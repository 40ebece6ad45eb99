"""Tables for a paper: LaTeX with booktabs, which shows names as they stand, whatever they hold."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from benchmark.report.standing import NO_RANK, has_rank
from benchmark.store import CONTROL
from synthetic.names import printable

MOST_COLUMNS = 12
"""Columns of numbers beside the names of methods that the width of a page has room for."""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    # After the end of a row, brackets and stars would be its options; two hyphens would be a dash.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "-": "{-}",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "…": r"\ldots{}",
}
_COMMA = "{,}"
# Two commas would be a German opening quote; one alone is itself.
_SIGNS = re.compile("|".join(map(re.escape, _ESCAPES)) + "|,(?=,)")

_PREAMBLE = r"\documentclass{article}"
_NONE = "--"
_DAGGER = r"$^{\dagger}$"

_BOARD = {
    "rmse": ("RMSE", 3, True),
    "skill": ("Skill", 3, False),
    "rbo": ("RBO", 3, False),
    "rbo_chance": ("Chance RBO", 3, None),
    "rbo_corrected": ("RBO corr.", 3, False),
    "rmse_oracle": ("RMSE oracle", 3, True),
    "model_calls": ("Model calls", 0, True),
}
"""Column of a leaderboard → its head, places after the point, and whether less is better; None: neither."""


def escape(text: object) -> str:
    r"""Return a text such that LaTeX sets it as it stands, on one line.

    Example:
        >>> print(escape("a_1 & 50%"))
        a\_1 \& 50\%
    """
    line = printable(str(text)).replace("\n", " ").replace("\t", " ")
    return _SIGNS.sub(lambda sign: _ESCAPES.get(sign[0], _COMMA), line)


def leaderboard_latex(board: pd.DataFrame, *, made_by: str, caption: str, label: str) -> str:
    """Return a leaderboard of one model as a table; the best of each column in bold, controls below a line.

    Methods without a rank have a dagger and are never the best; nor is an RBO of uninformative cases alone.

    Args:
        board: one row a method, in the order of the rows: ``method``, ``targets``, some of the columns
            ``rmse`` (with ``low`` and ``high`` where there are intervals), ``skill``, ``rbo``,
            ``rbo_chance``, ``rbo_corrected``, ``rmse_oracle`` and ``model_calls``; what
            `standing.has_rank` reads.
        made_by: the command.
        caption: LaTeX already; names in it went through `escape`.
        label: of the table.
    """
    board = board.reset_index(drop=True)
    is_control = (board["targets"] == CONTROL).to_numpy()
    columns = {key: spec for key, spec in _BOARD.items() if key in board and _has_any(board[key])}
    out = ~has_rank(board)
    names = _marked(board["method"], out & ~is_control)
    heads, cells = ["Method", "Targets"], [names, list(map(escape, board["targets"]))]
    for key, (head, places, least) in columns.items():
        heads.append(escape(head))
        blank = (
            board["rbo_corrected"].isna().to_numpy() if key == "rbo" and "rbo_corrected" in board else False
        )
        out_here = out | blank | (least is None)
        cells.append(_bold_best(board[key].to_numpy(float), places, least=bool(least), out=out_here))
        if key == "rmse" and {"low", "high"} <= set(board) and _has_any(board["low"]):
            heads.append(r"95\,\% interval")
            ends = zip(board["low"], board["high"], strict=True)
            cells.append([_interval(low, high) for low, high in ends])
    rows = list(zip(*cells, strict=True))
    return _snippet(
        [
            _table(
                heads,
                _halves(rows, is_control),
                n_names=2,
                caption=caption,
                label=label,
                note=_note(out & ~is_control),
            )
        ],
        made_by,
    )


def matrix_latex(
    values: pd.DataFrame,
    *,
    made_by: str,
    caption: str,
    label: str,
    controls: Iterable[str] = (),
    without_rank: Iterable[str] = (),
    targets: Mapping[str, str] | None = None,
    best: Literal["column", "row"] = "column",
) -> str:
    r"""Return a table of numbers of which less is better; the best in bold.

    More than `MOST_COLUMNS` columns become several tables, "(1 of 3)" and so on.

    Args:
        values: names as index and columns, in their order.
        made_by: the command.
        caption: LaTeX already; names in it went through `escape`.
        label: of the first table; further ones have ``:2`` and so on behind it, as no name of a model has.
        controls: rows that stand below a line and are never the best.
        without_rank: rows that have a dagger and are never the best.
        targets: row → the column that is underlined, as the one that it is about.
        best: of each column, or of each row.
    """
    known = set(controls)
    is_control = np.array([str(name) in known for name in values.index])
    unranked = set(without_rank) - known
    is_marked = np.array([str(name) in unranked for name in values.index])
    texts = _texts(values, is_control | is_marked, best)
    names = _marked(values.index, is_marked)
    for row, name in enumerate(values.index if targets else ()):
        for column in np.flatnonzero(values.columns == (targets or {}).get(str(name))):
            texts[row][column] = rf"\underline{{{texts[row][column]}}}"
    n_tables = -(-values.shape[1] // MOST_COLUMNS)
    tables = []
    for place in range(n_tables):
        part = slice(place * MOST_COLUMNS, (place + 1) * MOST_COLUMNS)
        rows = [[name, *line[part]] for name, line in zip(names, texts, strict=True)]
        tables.append(
            _table(
                ["", *(rf"\rotatebox{{90}}{{{escape(name)}}}" for name in values.columns[part])],
                _halves(rows, is_control),
                n_names=1,
                caption=f"{caption} ({place + 1} of {n_tables})" if n_tables > 1 else caption,
                label=f"{label}:{place + 1}" if place else label,
                note=_note(is_marked),
            )
        )
    return _snippet(tables, made_by)


def document(files: Sequence[str], *, made_by: str) -> str:
    """Return a whole document that shows the tables of files beside it; it compiles as it stands."""
    lines = [
        *_comment(made_by),
        _PREAMBLE,
        r"\usepackage[T1]{fontenc}",
        r"\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}",
        r"\usepackage[a4paper,margin=15mm]{geometry}",
        r"\usepackage{booktabs,graphicx,textcomp}",
        r"\begin{document}",
        *(rf"\input{{{name}}}" + "\n" + r"\clearpage" for name in files),
        r"\end{document}",
    ]
    return "\n".join(lines) + "\n"


def _comment(made_by: str) -> list[str]:
    """Return what a file begins with: nothing in it can end the line."""
    return [f"% Made by: {printable(made_by).replace(chr(10), ' ')}"]


def _snippet(tables: Sequence[str], made_by: str) -> str:
    needs = [
        r"% Needs \usepackage{booktabs,graphicx,textcomp}.",
        "% Names beyond Latin letters need XeLaTeX or LuaLaTeX.",
        "% Bold: the best, and what looks the same at the places shown.",
    ]
    return "\n".join([*_comment(made_by), *needs, *tables])


def _table(
    heads: Sequence[str],
    parts: Sequence[Sequence[Sequence[str]]],
    *,
    n_names: int,
    caption: str,
    label: str,
    note: str = "",
) -> str:
    """Return a float with one tabular; `parts` are rows between lines, `note` what stands below."""
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{caption}}}\label{{{label}}}",
        rf"\begin{{tabular}}{{@{{}}{'l' * n_names}{'r' * (len(heads) - n_names)}@{{}}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
    ]
    for rows in parts:
        if rows:
            lines.append(r"\midrule")
            lines += [" & ".join(row) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *filter(None, [note]), r"\end{table}", ""])


def _marked(names: Iterable[object], is_marked: np.ndarray) -> list[str]:
    """Return names as LaTeX, with a dagger behind those that are marked."""
    return [escape(name) + _DAGGER * bool(mark) for name, mark in zip(names, is_marked, strict=True)]


def _note(is_marked: np.ndarray) -> str:
    """Return what the dagger means; empty where there is none."""
    return rf"\par\smallskip {_DAGGER} {escape(NO_RANK)}." if is_marked.any() else ""


def _halves(rows: Sequence[Sequence[str]], is_control: np.ndarray) -> list[list[Sequence[str]]]:
    """Return the rows of methods, and those of controls."""
    return [[row for row, out in zip(rows, is_control, strict=True) if out == kind] for kind in (False, True)]


def _texts(values: pd.DataFrame, is_control: np.ndarray, best: Literal["column", "row"]) -> list[list[str]]:
    """Return the numbers of a table as text, row by row, the best in bold."""
    numbers = values.to_numpy(float)
    if best == "row":
        nobody = np.zeros(numbers.shape[1], dtype=bool)
        return [_bold_best(row, 3, least=True, out=nobody) for row in numbers]
    columns = [_bold_best(column, 3, least=True, out=is_control) for column in numbers.T]
    return [list(row) for row in zip(*columns, strict=True)]


def _bold_best(values: np.ndarray, places: int, *, least: bool, out: np.ndarray) -> list[str]:
    """Return numbers as text; in bold the best, and those that look the same."""
    texts = [_number(value, places) for value in values]
    running = values[~out & np.isfinite(values)]
    if not running.size:
        return texts
    best = _number(float(running.min() if least else running.max()), places)
    return [
        rf"\textbf{{{text}}}" if text == best and not kept_out else text
        for text, kept_out in zip(texts, out, strict=True)
    ]


def _has_any(values: pd.Series) -> bool:
    return bool(np.isfinite(values.to_numpy(float)).any())


def _number(value: float, places: int) -> str:
    if not np.isfinite(value):
        return _NONE
    text = f"{abs(value):,.{places}f}".replace(",", r"\,")
    return f"$-${text}" if value < 0 and float(f"{value:.{places}f}") else text


def _interval(low: float, high: float) -> str:
    return f"{_number(low, 3)}--{_number(high, 3)}" if np.isfinite(low) and np.isfinite(high) else _NONE
