"""Fusion networks by name."""

from benchmark.models.base import FusionNetwork
from benchmark.models.hybrid import HybridNetwork
from benchmark.models.oracle import Oracle, oracle, oracle_samples
from benchmark.models.plan import TrainingPlan
from benchmark.models.registry import (
    ORACLE,
    build,
    check_name,
    describe,
    full_name,
    get,
    is_built_in,
    names,
    others,
    plan,
    weights,
)

__all__ = [
    "ORACLE",
    "FusionNetwork",
    "HybridNetwork",
    "Oracle",
    "TrainingPlan",
    "build",
    "check_name",
    "describe",
    "full_name",
    "get",
    "is_built_in",
    "names",
    "oracle",
    "oracle_samples",
    "others",
    "plan",
    "weights",
]
