"""Importance methods: they know the model protocol, not the harness, and never the truth."""

from methods.api import (
    Attribution,
    BudgetError,
    FusionModel,
    Method,
    NotApplicableError,
    SeparableModel,
)
from methods.registry import as_method, get, is_built_in, names, source_fingerprint

__all__ = [
    "Attribution",
    "BudgetError",
    "FusionModel",
    "Method",
    "NotApplicableError",
    "SeparableModel",
    "as_method",
    "get",
    "is_built_in",
    "names",
    "source_fingerprint",
]
