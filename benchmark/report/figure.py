"""Pictures as files: whole or not at all, the same picture the same bytes."""

from __future__ import annotations

from pathlib import Path

from benchmark.report.figures.drawing import any_script, name_shown
from benchmark.report.figures.truth_and_estimate import MOST_METHODS, draw_importances
from benchmark.report.palette import PALETTE
from benchmark.report.pictures import Figure, own_style
from synthetic.cache import replacing
from synthetic.names import printable

__all__ = ["COLOURS", "MOST_METHODS", "check_format", "draw_importances", "name_shown", "save"]

COLOURS = PALETTE.series


def save(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write a figure whole or not at all, in the format of the path's suffix, without a date in it.

    Args:
        figure: any.
        path: of the file; its folder is there.
        dpi: pixels an inch, where there are pixels.

    Raises:
        ValueError: if the suffix is none that can be drawn.
    """
    check_format(path)
    # A fixed salt: the same picture is the same file. Journals refuse the fonts that PDF has by default.
    with (
        own_style({"svg.hashsalt": "plumbline", "pdf.fonttype": 42}),
        any_script(),
        replacing(path) as file,
    ):
        metadata = _METADATA[path.suffix.lower()]
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=dpi, metadata=metadata)


_METADATA = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    **dict.fromkeys((".eps", ".ps", ".jpg", ".jpeg", ".webp")),
}
"""What a picture is to leave out, by its suffix: the time, and versions of programs."""


def check_format(path: Path) -> None:
    """Raise a ValueError unless the suffix of a picture's path is one that can be drawn."""
    if path.suffix.lower() not in _METADATA:
        raise ValueError(
            f"The name of a picture must end in {', '.join(_METADATA)}. Got {printable(path.name)!r}."
        )
