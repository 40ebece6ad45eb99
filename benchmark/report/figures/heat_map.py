"""Where each method fails: its error in every scenario."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from benchmark.report.figures.cells import draw_table
from benchmark.report.figures.drawing import title
from benchmark.report.pictures import own_style


@own_style()
def draw_heat_map(errors: pd.DataFrame, *, heading: str = "", width: float | None = None) -> Figure:
    """Return a figure of the RMSE of methods (rows) in scenarios (columns), as numbers on tinted cells.

    Args:
        errors: methods × scenarios, of one model: rows of ``table.case_errors``, or of its like for each
            method's own truth. Drawn in the order that they have.
        heading: of the figure; none in a paper.
        width: inches; None for what the columns need.

    Raises:
        ValueError: if there are no rows or columns, or methods are not unique.
    """
    check_errors(errors, "heat map")
    figure = draw_table(errors, width=width)
    title(figure, heading)
    return figure


def check_errors(errors: pd.DataFrame, what: str) -> None:
    """Raise a ValueError unless errors have a row a method, and columns."""
    if errors.empty:
        raise ValueError(f"A {what} must have a row and a column. Got {errors.shape}: leave the figure out.")
    if errors.index.nlevels > 1 or not errors.index.is_unique:
        raise ValueError(
            f"A {what} must have one row a method, of one model. Select the model's rows: errors.loc[model]."
        )
