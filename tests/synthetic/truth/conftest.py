"""What the tests of the truths share: a short way to a decision function's truths, and how near is near."""

from __future__ import annotations

import numpy as np
import pytest

from synthetic.decision import DecisionFunction
from synthetic.law import GaussianCopula, LatentLaw
from synthetic.truth import Truths
from synthetic.types import Modality


@pytest.fixture(scope="session")
def work_out():
    """Return truths of terms over modalities a, b, … with latents x, y, …; by a covariance or a law."""

    def make(terms, law, labels=None, missing=None, *, latents=1, cache=False, **options):
        if not isinstance(law, LatentLaw):
            law = LatentLaw((GaussianCopula(np.asarray(law, dtype=float)),))
        counts = [latents] * (law.n_columns // latents) if isinstance(latents, int) else latents
        modalities = tuple(
            Modality(name, "table", tuple("xyzuvw"[:count]))
            for name, count in zip("abcdefgh", counts, strict=False)
        )
        decision = DecisionFunction(modalities, tuple(terms))
        return Truths(decision, law, labels, missing, use_cache=cache, **options)

    return make


@pytest.fixture(scope="session")
def assert_near():
    """Fail unless estimates agree with what is expected, within their standard errors and a floor."""

    def check(found, expected, error, *, floor=1e-4, n_errors=4.5):
        found, expected, error = (np.asarray(it, dtype=float) for it in (found, expected, error))
        gap = np.abs(found - expected)
        assert (gap <= n_errors * error + floor).all(), f"{found} is not {expected}; errors {error}"

    return check


@pytest.fixture(scope="session")
def shapley_by_orders():
    """Return Shapley values straight from their definition: the mean gain over all orders of the players."""
    from itertools import permutations  # noqa: PLC0415 - for this alone

    def values(game, n):
        orders = list(permutations(range(n)))
        result = np.zeros(n)
        for order in orders:
            seen = 0
            for player in order:
                result[player] += game[seen | 1 << player] - game[seen]
                seen |= 1 << player
        return result / len(orders)

    return values
