"""Importance methods: they know the model protocol, not the harness, and never the truth."""

from methods.api import Attribution, FusionModel, Method, SeparableModel
from methods.registry import as_method, get, is_built_in, names

__all__ = [
    "Attribution",
    "FusionModel",
    "Method",
    "SeparableModel",
    "as_method",
    "get",
    "is_built_in",
    "names",
]
