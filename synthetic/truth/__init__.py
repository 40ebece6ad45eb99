"""The true value of every estimand for a decision function over latent features of known law."""

from synthetic.truth.estimands import MEANINGS, Truths
from synthetic.truth.gradient import gradient
from synthetic.truth.replicates import Precision

ESTIMANDS = tuple(MEANINGS)
"""Names of the estimands, in the order of the tables."""

__all__ = ["ESTIMANDS", "MEANINGS", "Precision", "Truths", "gradient"]
