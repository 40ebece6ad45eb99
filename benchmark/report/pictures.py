"""Matplotlib as this project uses it, whatever a user's environment says of it.

A notebook's back end that is not installed here, a style of the user's own, or text set by TeX would end a
command, or give other pictures. Pictures are drawn without a back end, and with matplotlib's own settings.
Modules of this package take matplotlib from here: whoever imports it first must know of the back end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

if "matplotlib" in sys.modules:
    import matplotlib as mpl
else:
    # With a back end in the environment that it does not know, matplotlib refuses to be imported.
    _named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if _named is not None:
            os.environ["MPLBACKEND"] = _named
    if _named is not None:
        with suppress(ValueError, ImportError):
            mpl.rcParams["backend"] = _named  # the user's own pictures are drawn as ever

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure

__all__ = ["Axes", "Figure", "FigureCanvasAgg", "SubFigure", "own_style", "to_rgb"]


@contextmanager
def own_style(settings: dict[str, Any] | None = None) -> Iterator[None]:
    """Draw, or save, with matplotlib's default settings; the user's are as before afterwards.

    Args:
        settings: others than the default ones.
    """
    with style.context("default", after_reset=True):
        mpl.rcParams.update(settings or {})  # pyright: ignore[reportArgumentType, reportCallIssue]
        yield
