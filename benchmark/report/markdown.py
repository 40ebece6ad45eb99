"""Markdown that shows names as they stand, whatever they hold."""

from __future__ import annotations

import re

from synthetic.names import printable


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table of cells that are Markdown already: names in them went through `escape`."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_SIGNS = re.compile(r"[\\`*\[\]<>|$~&]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown would take for its own; inside a word, an underscore stands for itself."""


def escape(text: str) -> str:
    """Return a text such that Markdown shows it as it stands, in one line; names are their authors' own."""
    line = printable(text).replace("\n", " ")
    return _SIGNS.sub(lambda sign: _ENTITIES.get(sign[0], f"\\{sign[0]}"), line)


def code(text: str) -> str:
    """Return a text as a code span, which ends only with more backticks than the text has in a row."""
    line = printable(text).replace("\n", " ")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"
