"""The generator: CT images and clinical tables with known importances. Knows nothing of models or methods."""

from synthetic.catalog import describe, family, scenario, scenarios
from synthetic.clinical import Table
from synthetic.decision import DecisionFunction, Term
from synthetic.generation import generate, truths
from synthetic.labels import Labels
from synthetic.margins import Margin
from synthetic.missing import Missing
from synthetic.pixels import PixelTruth, pixel_truth
from synthetic.scenario import Scenario
from synthetic.scenario_file import from_toml, load_scenario, save_scenario, to_toml
from synthetic.truth import ESTIMANDS
from synthetic.types import Dataset, Modality, Samples, Truth

__all__ = [
    "ESTIMANDS",
    "Dataset",
    "DecisionFunction",
    "Labels",
    "Margin",
    "Missing",
    "Modality",
    "PixelTruth",
    "Samples",
    "Scenario",
    "Table",
    "Term",
    "Truth",
    "describe",
    "family",
    "from_toml",
    "generate",
    "load_scenario",
    "pixel_truth",
    "save_scenario",
    "scenario",
    "scenarios",
    "to_toml",
    "truths",
]
