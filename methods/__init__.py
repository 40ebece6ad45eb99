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
from methods.registry import (
    RESERVED,
    as_method,
    full_name,
    get,
    is_built_in,
    names,
    source_fingerprint,
    with_estimand,
)

__all__ = [
    "PIXELS",
    "RESERVED",
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
    "with_estimand",
]
