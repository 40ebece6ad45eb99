"""Labelled vectors are matched by their labels, never by their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def labelled(name: str, values: Any) -> pd.Series | pd.DataFrame | None:
    """Return values as a Series of one vector or a DataFrame of one a row; None if they have no labels.

    Labelled are a Series, a DataFrame, a mapping from label to number, and a list of vectors of which some
    are labelled; its rows are put into the order of the first.

    Raises:
        ValueError: if the rows of a list do not have the same labels, or labels stand deeper than in a list
            of vectors, where numpy would drop them.
    """
    if isinstance(values, (pd.Series, pd.DataFrame)):
        return values
    if isinstance(values, Mapping):
        return pd.Series(dict(values))
    if not _holds_labels(values):
        return None
    deep = next((row for row in values if isinstance(row, pd.DataFrame) or _holds_labels(row)), None)
    if deep is not None or getattr(values, "ndim", 1) != 1:
        told = "" if deep is None else f" of a {type(deep).__name__}"
        raise ValueError(
            f"The {name!r} must be a table of labelled vectors, one a row, to be matched by labels. Got a "
            f"{type(values).__name__}{told} with labels further in; pass one DataFrame, or arrays in the "
            "same order."
        )
    rows = [row if isinstance(row, pd.Series) else pd.Series(row) for row in values]
    first = f"{name}[0]"
    matched = [matching(f"{name}[{place}]", row, first, rows[0]) for place, row in enumerate(rows)]
    if len({len(row) for row in rows}) > 1:
        return None
    return pd.DataFrame([np.asarray(row) for row in matched], columns=rows[0].index)


def matching(name: str, values: Any, other_name: str, other: Any) -> Any:
    """Return values in the order of another's labels; unchanged where either has none.

    A Series or frame that numbers its items 0, 1, 2, … and shares no other labels with the other counts as
    having none. Rows of two frames are matched likewise, unless one of them has a single row for all.

    Args:
        name: of the values, for the message.
        values: what to put in order.
        other_name: of the other.
        other: in whose order.

    Raises:
        ValueError: if labels are missing, left over or there twice.

    Example:
        >>> truth = pd.Series({"axial": 0.7, "labs": 0.3})
        >>> matching("estimate", {"labs": 0.1, "axial": 0.9}, "truth", truth).tolist()
        [0.9, 0.1]
    """
    mine, theirs = labelled(name, values), labelled(other_name, other)
    if mine is None or theirs is None:
        return values if mine is None else mine
    columns = _places(name, _columns(mine), other_name, _columns(theirs), "label")
    if columns is not None:
        mine = mine.iloc[columns] if isinstance(mine, pd.Series) else mine.iloc[:, columns]
    if isinstance(mine, pd.DataFrame) and isinstance(theirs, pd.DataFrame) and len(mine) > 1 < len(theirs):
        rows = None
        if not mine.index.equals(theirs.index):  # rows of one table may well bear a name twice
            rows = _places(name, mine.index, other_name, theirs.index, "row")
        mine = mine if rows is None else mine.iloc[rows]
    return mine


def aligned(first_name: str, first: Any, /, **others: Any) -> list[Any]:
    """Return the others, each matched with the first and with all others before it: see `matching`.

    None stays None.
    """
    matched = {first_name: first}
    for name, values in others.items():
        found = values
        for other_name, other in matched.items():
            if found is not None and other is not None:
                found = matching(name, found, other_name, other)
        matched[name] = found
    return list(matched.values())[1:]


def _holds_labels(values: object) -> bool:
    """Return whether a sequence holds anything with labels, at any depth; not what is itself labelled."""
    if isinstance(values, np.ndarray):
        items = values.flat if values.dtype == object else ()
    else:
        items = values if isinstance(values, Sequence) and not isinstance(values, (str, bytes)) else ()
    return any(isinstance(it, (pd.Series, pd.DataFrame, Mapping)) or _holds_labels(it) for it in items)


def _columns(values: pd.Series | pd.DataFrame) -> pd.Index:
    return values.index if isinstance(values, pd.Series) else values.columns


def _places(
    name: str, mine: pd.Index, other_name: str, theirs: pd.Index, what: str
) -> NDArray[np.int64] | None:
    """Return where each of their labels stands among mine; None where places say it."""
    for whose, labels in ((name, mine), (other_name, theirs)):
        if not labels.is_unique:
            twice = labels[labels.duplicated()][0]
            raise ValueError(
                f"The {whose!r} must have each {what} once to be matched with others. Got {twice!r} twice; "
                "rename it, or pass plain lists in the same order."
            )
    places = mine.get_indexer(theirs)
    if len(mine) == len(theirs) and (places >= 0).all():
        return places
    if _is_numbering(mine) or _is_numbering(theirs):
        return None
    missing, extra = list(theirs[places < 0]), list(mine[theirs.get_indexer(mine) < 0])
    told = [f"{word} {_few(names)}" for word, names in (("without", missing), ("with", extra)) if names]
    raise ValueError(
        f"The {name!r} must have the {what}s of the {other_name!r}, {_few(list(theirs))}. Got them "
        f"{' and '.join(told)}; rename what is the same, or pass plain lists in the same order."
    )


def _is_numbering(labels: pd.Index) -> bool:
    """Return whether labels are those that pandas gives where none were given."""
    return isinstance(labels, pd.RangeIndex) and labels.start == 0 and labels.step == 1


def _few(names: list[object]) -> str:
    told = ", ".join(map(repr, names[:_TOLD]))
    return told + (f" and {len(names) - _TOLD} more" if len(names) > _TOLD else "")


_TOLD = 6
