"""Integrals over one standard normal score: cells of exact probability, finer where the integrand turns."""

from __future__ import annotations

import numpy as np

_GRID = np.linspace(-8.5, 8.5, 4251)


def normal_edges(turns: np.ndarray, width: float) -> np.ndarray:
    """Return ascending edges of cells over a standard normal score.

    Args:
        turns: where the integrand turns from one value to another.
        width: how quickly: the standard deviation of the turn, above 0.
    """
    edges = _GRID
    if width < 1:
        fine = [turn + width * _GRID for turn in turns if abs(turn) < -_GRID[0]]
        edges = np.unique(np.clip(np.concatenate([_GRID, *fine]), _GRID[0], _GRID[-1]))
    return edges
