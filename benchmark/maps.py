"""Maps of relevance over pixels: the true ones of a stage, scores against them, and what pictures show."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from torch import Tensor

from benchmark import localisation
from methods.api import NotApplicableError
from synthetic.decision import DecisionFunction
from synthetic.pixels import PixelTruth, pixel_truth
from synthetic.scenario import Scenario
from synthetic.types import Dataset

N_SCORED = 100
"""Patients whose maps are scored: the first ones, of those that methods get."""

N_SHOWN = 2
"""Patients whose maps are kept for pictures."""

_LARGEST_SHOWN = 64
"""Pixels a side of a map that is kept; larger ones are averaged over blocks."""

Maps = Mapping[str, np.ndarray]


@dataclass(eq=False)
class TrueMaps:
    """What methods' maps of one stage are held against. Methods must not see it.

    Attributes:
        decision: F.
        latents: of the first patients ``[m, d]``.
        images: of the same patients, name → grey values ``[m, height, width]`` in 0…1.
        scenario: where they come from.
        seed: data seed.
    """

    decision: DecisionFunction
    latents: Tensor
    images: Maps
    scenario: Scenario
    seed: int

    @classmethod
    def of(cls, dataset: Dataset, scenario: Scenario) -> TrueMaps:
        """Return the true maps of a dataset's first patients of the split that methods get."""
        names = [modality.name for modality in dataset.modalities if modality.kind == "image"]
        first = dataset.explain.take(slice(0, N_SCORED)).as_float()
        return cls(
            decision=scenario.decision,
            latents=dataset.latents["explain"][:N_SCORED],
            images={name: first.inputs[name][:, 0].numpy() for name in names},
            scenario=scenario,
            seed=dataset.seed,
        )

    @cached_property
    def truth(self) -> PixelTruth | None:
        """Which pixels carry what F reads; None for real scans, of which nobody knows."""
        if self.scenario.source != "phantom" or not self.images:
            return None
        size = next(iter(self.images.values())).shape[-1]
        return pixel_truth(
            self.decision, self.latents, kind=self.scenario.features, size=size, seed=self.seed
        )

    def scores(self, maps: Maps) -> dict[str, dict[str, float]]:
        """Return image → name of a score → its mean over the patients, for the images in which F reads.

        Args:
            maps: image → relevance ``[m, height, width]`` of the first m patients; of more, the first count.
        """
        truth = self.truth
        if truth is None:
            return {}
        found = {}
        for name, relevance in maps.items():
            m = min(len(relevance), len(self.latents))
            inside = truth.mask[name][:m]
            told = inside.any((1, 2)) & ~inside.all((1, 2))
            if not told.any():
                continue
            inside, estimate, true = inside[told], relevance[:m][told], truth.relevance[name][:m][told]
            correlation = localisation.rank_correlation(true, estimate)
            found[name] = {
                "average_precision": _mean(localisation.average_precision(inside, estimate)),
                "relevance_mass": _mean(localisation.relevance_mass(inside, estimate)),
                "relevance_rank": _mean(localisation.relevance_rank(inside, estimate)),
                # A constant map orders nothing: no correlation.
                "rank_correlation": _mean(np.nan_to_num(correlation)),
                "mask_share": _mean(localisation.mask_share(inside)),
                "n_maps": int(told.sum()),
            }
        return found


def _mean(values: float | np.ndarray) -> float:
    return float(np.mean(values))


# Controls


def _known(truth: PixelTruth | None) -> PixelTruth:
    if truth is None:
        raise NotApplicableError("nobody knows which pixels of a real scan carry what is read")
    return truth


def _tell_relevance(true: TrueMaps, rng: np.random.Generator) -> Maps:
    del rng
    return _known(true.truth).relevance


def _tell_mask(true: TrueMaps, rng: np.random.Generator) -> Maps:
    del rng
    return {name: mask.astype(np.float32) for name, mask in _known(true.truth).mask.items()}


def _guess(true: TrueMaps, rng: np.random.Generator) -> Maps:
    return {name: rng.random(image.shape, dtype=np.float32) for name, image in true.images.items()}


def _edges(true: TrueMaps, rng: np.random.Generator) -> Maps:
    """Return the size of the Sobel gradient: what Clark et al. (2024, XAI-TRIS) found hard to beat."""
    del rng
    return {
        name: np.hypot(ndimage.sobel(image, axis=1), ndimage.sobel(image, axis=2))
        for name, image in true.images.items()
    }


def _scan(true: TrueMaps, rng: np.random.Generator) -> Maps:
    """Return the images' own grey values: a map that shows the scan and nothing of the model."""
    del rng
    return true.images


SCAN, EDGES, MASK, RELEVANCE = "scan", "edges", "true_mask", "true_relevance"

MAP_CONTROLS: Mapping[str, Callable[[TrueMaps, np.random.Generator], Maps]] = {
    MASK: _tell_mask,
    RELEVANCE: _tell_relevance,
    EDGES: _edges,
    SCAN: _scan,
    "random_map": _guess,
}
"""Controls that bound the scores of maps. They alone may see the true ones."""

CONTROLS_ON_SCANS = (SCAN,)
"""Those of real scans, where there is nothing to score: for pictures."""


# Pictures


def shrunk(maps: Maps) -> dict[str, list[str]]:
    """Return the first maps as pictures need them: base64 of a byte a pixel, 255 for the most relevant.

    `grown` gives them back.
    """
    return {name: [_shrink(values) for values in found[:N_SHOWN]] for name, found in maps.items()}


def _shrink(values: np.ndarray) -> str:
    sizes = np.abs(np.asarray(values, dtype=float))
    height, width = sizes.shape
    block = -(-max(height, width) // _LARGEST_SHOWN)
    height, width = height // block, width // block
    blocks = sizes[: height * block, : width * block].reshape(height, block, width, block)
    means = blocks.mean((1, 3))
    shown = np.rint(255 * means / (means.max() or 1.0)).astype(np.uint8)
    return f"{height}x{width}:{base64.b64encode(shown.tobytes()).decode()}"


def grown(text: str) -> np.ndarray:
    """Return a map that was shrunk, ``[height, width]`` in 0…1."""
    size, _, data = text.partition(":")
    height, width = map(int, size.split("x"))
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width) / 255
