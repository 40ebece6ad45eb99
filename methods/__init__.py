"""Importance methods: they know the model protocol, not the harness, and never the truth."""

from methods.api import (
    PIXELS,
    TARGETS,
    Attribution,
    BudgetError,
    Flagged,
    FusionModel,
    Method,
    NotApplicableError,
    Retrain,
    SeparableModel,
)
from methods.registry import as_method, full_name, get, is_built_in, names, source_fingerprint

__all__ = [
    "PIXELS",
    "TARGETS",
    "Attribution",
    "BudgetError",
    "Flagged",
    "FusionModel",
    "Method",
    "NotApplicableError",
    "Retrain",
    "SeparableModel",
    "as_method",
    "full_name",
    "get",
    "is_built_in",
    "names",
    "source_fingerprint",
]
