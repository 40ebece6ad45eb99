"""What a table of scores tells, and how surely: intervals, comparisons, ranks, parts of the error.

Every function takes the frame of ``benchmark.table.scores`` (or a ``scores.csv``), and nothing else. None of
them averages over a gap: a missing, failed or low-fidelity cell is an error that names it, until the caller
says what to do with it.
"""

from benchmark.statistics.comparisons import (
    Groups,
    average_ranks,
    beside_the_best,
    compare_methods,
    critical_difference,
    friedman,
    holm,
    signed_rank_test,
)
from benchmark.statistics.decomposition import error_shares
from benchmark.statistics.equivalence import MARGIN
from benchmark.statistics.grid import Gaps, Grid, GridError, grid
from benchmark.statistics.intervals import (
    Interval,
    intervals,
    scenario_interval,
    seed_interval,
    seed_variance,
)
from benchmark.statistics.stability import RankStability, kendall_w, rank_stability

__all__ = [
    "MARGIN",
    "Gaps",
    "Grid",
    "GridError",
    "Groups",
    "Interval",
    "RankStability",
    "average_ranks",
    "beside_the_best",
    "compare_methods",
    "critical_difference",
    "error_shares",
    "friedman",
    "grid",
    "holm",
    "intervals",
    "kendall_w",
    "rank_stability",
    "scenario_interval",
    "seed_interval",
    "seed_variance",
    "signed_rank_test",
]
