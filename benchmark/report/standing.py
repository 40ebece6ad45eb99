"""Which methods of a leaderboard can be said to be the best of it."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.store import CONTROL

NO_RANK = "no rank: not scored on as many results as others, so that its scores are not comparable"
"""What is to be said of a method whose scores are of fewer cases than those of others."""


def has_rank(board: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows of a leaderboard are of methods with a rank ``[rows]``: complete, and no controls.

    Args:
        board: with ``targets`` and, as far as it is there, ``rank`` (of ``findings.boards``); without,
            methods have one that neither failed nor were skipped (``table.leaderboard`` counts them).
    """
    is_method = (board["targets"] != CONTROL).to_numpy(bool)
    if "rank" in board:
        return is_method & board["rank"].notna().to_numpy()
    lost = sum((board[name].to_numpy(float) for name in ("n_failed", "n_skipped") if name in board), 0.0)
    return is_method & np.broadcast_to(np.asarray(lost) == 0, is_method.shape)
