"""The mean of gradient, permutation, LIME and kernel SHAP (Azmat & Alessio's follow-up, 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from methods import gradient, kernel_shap, lime, permutation
from methods.api import Attribution, Method


def mean_share(parts: Mapping[str, Attribution]) -> Mapping[str, float]:
    """Return the mean over methods of each modality's share; negative values count as 0.

    A method whose values are all 0 says nothing about the order and gives every modality an equal share.
    """
    names = list(next(iter(parts.values())).modalities)
    shares = []
    for part in parts.values():
        values = np.clip([part.modalities[name] for name in names], 0, None)
        shares.append(values / values.sum() if values.sum() > 0 else np.full(len(names), 1 / len(names)))
    return dict(zip(names, np.mean(shares, axis=0).tolist(), strict=True))


METHOD = Method(
    name="mean_of_methods",
    function=mean_share,
    estimand="gradient",
    version="2",
    citation="Azmat, Alessio et al. 2023, follow-up to Azmat & Alessio 2022",
    needs_labels=True,
    components=(gradient.METHOD, permutation.METHOD, lime.METHOD, kernel_shap.METHOD),
)
