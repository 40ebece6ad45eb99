"""Pixel truth: which pixels of a phantom's images carry what a decision function reads, and how strongly.

The images of a phantom are a known function of latent features and nuisance variation. Without noise, and
with the nuisance of the very patients of a dataset, it can be rendered again with one latent feature moved:
what then changes in the image is what that feature shows of itself.

For latent j of a patient, d_j is the difference between the slices at z_j + ½ and z_j − ½, all else as it is,
clipped to the display window and without noise:

- a pixel *carries* j if ``|d_j|`` is at least the standard deviation of the CT noise at that image size;
- F *reads* j if ``|∂F/∂z_j|``, at that patient, is more than a millionth of the patient's largest slope;
- the mask is the union of the pixels that carry a latent that F reads;
- the relevance of a pixel is ``Σ_j |∂F/∂z_j| · |d_j|``, d_j in grey values of 255, over the latents that F
  reads.

Limits. A step of one standard deviation is a difference, not a derivative: for an attenuation the two are
the same, for a length (a border that moves by some mm) the difference covers the band that the border sweeps.
The phantom's borders are as soft as a pixel, and a mask ends where a border's share of the change drowns in
noise: up to half a pixel from the border, outside for strong latents in small images, inside for faint ones
in large images. Beyond ``phantom.LINEAR_RANGE`` a latent hardly changes the image, and few pixels carry it,
or none. The mask says where the information is, not where a network must look: it can read an organ's
attenuation from a part of its pixels, and a lesion's contrast only against the liver around the lesion,
whose pixels do not carry it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthetic import images, phantom
from synthetic.decision import DecisionFunction
from synthetic.images import FeatureKind, Split
from synthetic.phantom_anatomy import BLACK, WHITE
from synthetic.types import Modality

SMALLEST_SLOPE = 1e-6
"""A latent is read where F's slope along it exceeds this share of the patient's largest slope."""

_HALF_STEP = 0.5
_ROUNDING = 1e-3  # HU; what shines through an organ that covers another is below it


@dataclass(frozen=True, eq=False)
class PixelTruth:
    """Which pixels of n patients carry the latent features that a decision function reads.

    Attributes:
        relevance: view → float32 ``[n, size, size]``, change of F per unit of every latent feature times the
            change of the pixel, in grey values of 255; not negative.
        mask: view → bool ``[n, size, size]``, True where a latent that F reads can be told from noise.
    """

    relevance: Mapping[str, np.ndarray]
    mask: Mapping[str, np.ndarray]


def pixel_truth(
    decision: DecisionFunction,
    latents: np.ndarray | Tensor,
    *,
    kind: FeatureKind = "anatomy",
    size: int = 28,
    seed: int,
    split: Split = "explain",
) -> PixelTruth:
    """Compute the pixel truth of the first n patients of a phantom's split.

    Args:
        decision: F, on the phantom's two views and any tables.
        latents: ``[n, d]``, the first n rows of the dataset's ``latents[split]``: patients in another order
            would be given each other's nuisance variation.
        kind: the phantom's latent features, ``"anatomy"`` or ``"lesion"``.
        size: image height and width in pixels.
        seed: the data seed.
        split: ``"train"``, ``"explain"`` or ``"test"``.

    Returns:
        Relevance and mask for every view. Where F reads nothing of a view, both are zero.

    Raises:
        ValueError: if the decision function is not one on phantoms of that kind (real scans have no pixel
            truth), F's slopes are not finite, the latents do not fit, or size or split is unknown.

    Example:
        >>> import synthetic
        >>> scenario = synthetic.scenario("paper-F0")  # reads the axial view alone
        >>> latents = synthetic.generate(scenario, seed=0, n=200).latents["explain"]
        >>> truth = pixel_truth(scenario.decision, latents, seed=0)
        >>> truth.mask["axial"].shape, bool(truth.mask["coronal"].any())
        ((25, 28, 28), False)
    """
    _check_views(decision, kind)
    threshold = phantom.noise_sd(size)
    z = torch.as_tensor(latents).detach().to("cpu", torch.float64)
    slopes = _slopes(decision, z)
    relevance, mask = {}, {}
    for view in phantom.VIEWS:
        columns = decision.slices[view]
        nuisance = images.phantom_nuisance(len(z), view=view, split=split, seed=seed)
        relevance[view] = np.zeros((len(z), size, size), dtype=np.float32)
        mask[view] = np.zeros((len(z), size, size), dtype=bool)
        for latent, slope in enumerate(slopes[:, columns].T):
            rows = np.flatnonzero(slope)
            if len(rows) == 0:
                continue
            change = _change(
                z.numpy()[rows, columns],
                latent,
                phantom.Nuisance(nuisance.anatomy[rows], None),
                view=view,
                size=size,
                kind=kind,
            )
            mask[view][rows] |= change >= threshold
            change *= np.float32(phantom.GREY_PER_HU) * slope[rows, None, None].astype(np.float32)
            relevance[view][rows] += change
    return PixelTruth(relevance, mask)


def _check_views(decision: DecisionFunction, kind: FeatureKind) -> None:
    expected = images.modalities("phantom", kind)
    found = tuple(modality for modality in decision.modalities if modality.kind == "image")
    if found != expected:
        raise ValueError(
            f"The image modalities of the 'decision' must be those of phantoms of kind {kind!r}, "
            f"{_listed(expected)}. Got {_listed(found) or 'none'}; give the scenario's own features as "
            "'kind'. Real scans have no pixel truth."
        )


def _listed(modalities: tuple[Modality, ...]) -> str:
    return " and ".join(f"{modality.name} ({', '.join(modality.latents)})" for modality in modalities)


def _slopes(decision: DecisionFunction, z: Tensor) -> np.ndarray:
    """Return ``|∂F/∂z|`` ``[n, d]``, zero where F does not read a latent."""
    if not bool(torch.isfinite(z).all()):
        n_bad = int((~torch.isfinite(z)).sum())
        raise ValueError(
            f"The 'latents' must be finite. Got {n_bad} NaN or infinite values; take them from the dataset."
        )
    z = z.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(decision(z).sum(), z)
    slopes = slopes.abs().numpy()
    if not np.isfinite(slopes).all():
        n_bad = int((~np.isfinite(slopes)).any(axis=1).sum())
        raise ValueError(
            f"The slopes of the 'decision' must be finite at all 'latents'. Got {n_bad} patients with NaN or "
            "infinite ones; choose terms that are differentiable there."
        )
    largest = slopes.max(axis=1, keepdims=True, initial=0)
    return np.where(slopes > SMALLEST_SLOPE * largest, slopes, 0)


def _change(
    latents: np.ndarray, latent: int, nuisance: phantom.Nuisance, *, view: str, size: int, kind: FeatureKind
) -> np.ndarray:
    """Return how much one latent changes every pixel ``[n, size, size]``, HU within the window."""
    slices = []
    for step in (-_HALF_STEP, _HALF_STEP):
        moved = latents.copy()
        moved[:, latent] += step
        slices.append(phantom.slice_hu(moved, nuisance, view=view, size=size, kind=kind)[:, 0])
    low, high = slices
    np.clip(low, BLACK, WHITE, out=low)
    np.clip(high, BLACK, WHITE, out=high)
    change = np.abs(np.subtract(high, low, out=high), out=high)
    change[change < _ROUNDING] = 0
    return change
