"""Which truth each method tracks, whatever it claims to estimate."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from benchmark.report.figures.cells import draw_table
from benchmark.report.figures.drawing import note, title
from benchmark.report.figures.heat_map import check_errors
from benchmark.report.pictures import own_style


@own_style()
def draw_estimands(
    errors: pd.DataFrame, targets: Mapping[str, str], *, heading: str = "", width: float | None = None
) -> Figure:
    """Return a figure of the RMSE of methods (rows) against every truth (columns); targets have a frame.

    Args:
        errors: methods × estimands, of one model: rows of ``table.by_estimand``. Drawn in their order.
        targets: method → the estimand that it targets.
        heading: of the figure; none in a paper.
        width: inches; None for what the columns need.

    Raises:
        ValueError: if there are no rows or columns, or methods are not unique.
    """
    check_errors(errors, "map of estimands")
    framed = pd.DataFrame(
        [[targets.get(str(name)) == estimand for estimand in errors.columns] for name in errors.index],
        index=errors.index,
        columns=errors.columns,
    )
    figure = draw_table(errors, width=width, outlined=framed)
    note(figure, "Pooled RMSE. Framed: the truth that the method targets.")
    title(figure, heading)
    return figure
