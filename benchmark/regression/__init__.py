"""A run against a baseline: did a method become less accurate, beyond noise?"""

from benchmark.regression.moves import moves, shared
from benchmark.regression.values import ValueChange, value_changes
from benchmark.regression.verdicts import Comparison, Finding, Rules, Verdict, compare

__all__ = [
    "Comparison",
    "Finding",
    "Rules",
    "ValueChange",
    "Verdict",
    "compare",
    "moves",
    "shared",
    "value_changes",
]
