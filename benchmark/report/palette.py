"""The colours of every picture, and the CSS custom properties that stand for them on a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for, each one once: a page swaps them for its own, light or dark.

    Attributes:
        ink: text, and what is measured.
        muted: what explains, such as captions and lines of reference.
        line: axes, bars of the truth, whatever stands behind.
        paper: the ground.
        series: methods, models or modalities. Okabe & Ito (2008), "Color Universal Design", told apart with
            any kind of colour vision; brown in place of their yellow, which paper swallows.
        good: what is best.
        bad: what needs attention.
    """

    ink: str = "#1a1a1a"
    muted: str = "#5a5a5a"
    line: str = "#cfcfcf"
    paper: str = "#ffffff"
    series: tuple[str, ...] = (
        "#0072b2",
        "#e69f00",
        "#009e73",
        "#d55e00",
        "#56b4e9",
        "#cc79a7",
        "#8c6d31",
        # Not quite black: matplotlib leaves black fills out of its SVG, so that none could be swapped.
        "#2b2b2b",
    )
    good: str = "#00704f"
    bad: str = "#b3261e"
    properties: Mapping[str, str] = field(init=False)
    """Colour → CSS custom property, such as ``"--series-1"``."""

    def __post_init__(self) -> None:
        """Name the custom property of each colour."""
        names = {
            getattr(self, name): f"--{name}" for name in ("ink", "muted", "line", "paper", "good", "bad")
        }
        names.update({colour: f"--series-{place}" for place, colour in enumerate(self.series, 1)})
        object.__setattr__(self, "properties", names)


PALETTE = Palette()

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "h")
"""One more than colours: pairs of both differ up to 72, and without colour up to 9."""


def look(place: int) -> tuple[str, str]:
    """Return colour and marker of the method, model or modality at a place."""
    return PALETTE.series[place % len(PALETTE.series)], MARKERS[place % len(MARKERS)]
