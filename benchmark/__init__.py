"""The harness: models, training, scores, suites and reports."""

from benchmark import score
from benchmark.session import evaluate

__all__ = ["evaluate", "score"]
