"""The generator: CT images and clinical tables with known importances. Knows nothing of models or methods."""

from synthetic.catalog import describe, scenario, scenarios
from synthetic.decision import DecisionFunction, Term
from synthetic.scenario import Scenario, generate
from synthetic.types import Dataset, Modality, Samples, Truth

__all__ = [
    "Dataset",
    "DecisionFunction",
    "Modality",
    "Samples",
    "Scenario",
    "Term",
    "Truth",
    "describe",
    "generate",
    "scenario",
    "scenarios",
]
