"""Synthetic abdominal CT slices whose anatomy is a known function of ten latent features."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from synthetic.names import check_known
from synthetic.phantom_anatomy import (
    ANATOMY,
    BLACK,
    FIELD_OF_VIEW,
    LATENTS_OF_KIND,
    N_MOVES,
    N_PLACE,
    N_TEXTURES,
    VISCERAL_FAT,
    WHITE,
    paint,
)
from synthetic.phantom_canvas import Canvas, Pose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

VIEWS = ("axial", "coronal")
SIZES = (28, 64, 128, 224)
LATENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {view: tuple(latent.name for latent in ANATOMY[view]) for view in VIEWS}
)
"""View → names of its anatomical latent features, in the order of the columns of ``latents``."""
KINDS = tuple(LATENTS_OF_KIND)
"""Kinds of latent features: ``"anatomy"``; and ``"lesion"``, with a liver lesion in the axial view."""

LINEAR_RANGE = 3.5
"""Latents are used as they are up to this absolute value; beyond, they approach 4 and stay increasing."""

GREY_PER_HU = 255 / (WHITE - BLACK)

_SHIFT_SD = 1.5  # mm, an eighth of a pixel at size 28
_ROTATION_SD = np.deg2rad(0.5)
_NOISE_SD = 2.5  # HU at size 28
_PARTS = (3, 2 * N_MOVES, N_TEXTURES)  # pose, moves and textures, drawn from one stream
_LESION_STREAM = 1  # beside the anatomy's seed: other draws are the same with and without lesions
_BAND = 400 * 28 * 28  # pixels painted at a time: about what a second-level cache holds
_PIXELS = 64 * 224 * 224  # most pixels of a chunk of patients, which bounds the memory at any n


@dataclass(frozen=True)
class Nuisance:
    """What differs between n patients and has nothing to do with their latent features.

    Attributes:
        anatomy: standard normals ``[n, …]`` behind pose, position of single organs, bowel texture and
            place of a lesion; does not depend on the size of the image.
        noise: standard normals ``[n, size + 1, size + 1]`` behind the CT noise, or None for images
            without noise.
    """

    anatomy: NDArray[np.float32]
    noise: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.anatomy)


def latent_names(view: str, *, kind: str = "anatomy") -> tuple[str, ...]:
    """Return the names of a view's latent features, in the order of the columns of ``latents``.

    Raises:
        ValueError: for an unknown view or kind.

    Example:
        >>> latent_names("axial", kind="lesion")[6]
        'lesion_contrast'
    """
    check_known("view", view, VIEWS)
    check_known("kind", kind, KINDS)
    return tuple(latent.name for latent in LATENTS_OF_KIND[kind][view])


def render(
    latents: NDArray[np.floating],
    *,
    view: str,
    size: int = 28,
    rng: np.random.Generator,
    kind: str = "anatomy",
) -> NDArray[np.uint8]:
    """Draw one CT slice a patient, in a soft-tissue window.

    The first k slices do not depend on how many follow, and a generator in the same state gives the same
    patients (up to CT noise) at every size.

    Args:
        latents: standard normals ``[n, 10]``, columns as in ``latent_names(view, kind=kind)``.
        view: ``"axial"`` or ``"coronal"``.
        size: height and width, one of 28, 64, 128, 224.
        rng: source of the nuisance variation; two numbers are drawn from it.
        kind: ``"anatomy"``, or ``"lesion"``: the axial view's liver then has a focal lesion, at a place
            that differs from patient to patient, and the stomach its mean attenuation.

    Returns:
        Images ``[n, 1, size, size]``; 0 stands for −200 HU and below, 255 for 300 HU and above.

    Raises:
        ValueError: for an unknown view, size or kind, or latents that are not finite ``[n, 10]``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> render(rng.standard_normal((5, 10)), view="axial", rng=rng).shape
        (5, 1, 28, 28)
    """
    latents = _checked(latents, view, size, kind)
    images = np.empty((len(latents), 1, size, size), dtype=np.uint8)
    streams = _streams(rng)
    for rows in _chunks(len(latents), size):
        nuisance = _draw(len(latents[rows]), streams, size)
        images[rows] = window(_slice_chunk(latents[rows], nuisance, view, size, kind))
    return images


def draw_nuisance(n: int, rng: np.random.Generator, *, size: int | None = 28) -> Nuisance:
    """Draw the nuisance variation of n patients, independent of their latent features.

    Args:
        n: number of patients.
        rng: two numbers are drawn from it.
        size: of the images; only the noise depends on it. None leaves the noise out.

    Returns:
        The nuisance variation that `render` would use for the same n, size and state of the generator,
        whatever the kind.

    Raises:
        ValueError: for an unknown size.
    """
    if size is not None:
        check_size(size)
    return _draw(n, _streams(rng), size)


def slice_hu(
    latents: NDArray[np.floating], nuisance: Nuisance, *, view: str, size: int = 28, kind: str = "anatomy"
) -> NDArray[np.float32]:
    """Compute slices in HU from latent features and nuisance variation, with no randomness of its own.

    Args:
        latents: standardised ``[n, 10]``.
        nuisance: of the same n patients.
        view: ``"axial"`` or ``"coronal"``.
        size: height and width.
        kind: ``"anatomy"`` or ``"lesion"``, as for `render`.

    Returns:
        HU ``[n, 1, size, size]``. Air and lung are at the lower end of the window, not at their HU.

    Raises:
        ValueError: as `render`, or if the nuisance is of other patients or another size.
    """
    latents = _checked(latents, view, size, kind)
    if len(nuisance) != len(latents):
        raise ValueError(
            f"The 'nuisance' must have one row a patient ({len(latents)}). Got {len(nuisance)}; "
            "draw it with draw_nuisance(len(latents), rng, size=size)."
        )
    if nuisance.noise is not None and nuisance.noise.shape[1:] != (size + 1, size + 1):
        raise ValueError(
            f"The 'noise' of the nuisance must have shape [n, {size + 1}, {size + 1}] for size {size}. "
            f"Got shape {nuisance.noise.shape}; draw it with this size, or set it to None for no noise."
        )
    slices = np.empty((len(latents), 1, size, size), dtype=np.float32)
    for rows in _chunks(len(latents), size):
        noise = None if nuisance.noise is None else nuisance.noise[rows]
        slices[rows] = _slice_chunk(latents[rows], Nuisance(nuisance.anatomy[rows], noise), view, size, kind)
    return slices


def window(hu: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Scale HU to grey values: −200 HU and below to 0, 300 HU and above to 255."""
    grey = (hu - np.float32(BLACK)) * np.float32(GREY_PER_HU)
    grey += np.float32(0.5)  # truncation then rounds
    np.maximum(grey, np.float32(0), out=grey)
    np.minimum(grey, np.float32(255), out=grey)
    return grey.astype(np.uint8)


def noise_sd(size: int) -> float:
    """Return the standard deviation of the CT noise in images of a size, HU.

    Raises:
        ValueError: for an unknown size.
    """
    check_size(size)
    # Smaller pixels hold fewer photons; the exponent is below the 1 of white noise, as scanners smooth.
    return _NOISE_SD * (size / 28) ** 0.7


def _slice_chunk(
    latents: NDArray[np.float64], nuisance: Nuisance, view: str, size: int, kind: str
) -> NDArray[np.float32]:
    latents = _soft_limit(latents)
    pose_columns, moves, textures, place = np.split(
        nuisance.anatomy.astype(np.float64), np.cumsum(_PARTS), axis=1
    )
    shift_x, shift_y, rotation = pose_columns.T
    pose = Pose(_ROTATION_SD * rotation, _SHIFT_SD * shift_x, _SHIFT_SD * shift_y)
    slices = np.empty((len(latents), 1, size, size), dtype=np.float32)
    # Bands of rows keep the working memory in the cache at every size.
    n_rows = max(1, _BAND // (_n_chunk(size) * size))
    for top in range(0, size, n_rows):
        rows = slice(top, top + n_rows)
        canvas = Canvas(
            pose, size=size, rows=rows, field_of_view=FIELD_OF_VIEW[view], background=VISCERAL_FAT
        )
        paint(view, canvas, latents, moves, textures, place, kind=kind)
        slices[:, 0, rows] = canvas.hu.transpose(2, 0, 1)
    if nuisance.noise is not None:
        slices[:, 0] += _correlated_noise(nuisance.noise, size)
    return slices


def _n_chunk(size: int) -> int:
    return min(_BAND // 28**2, _PIXELS // size**2)


def _chunks(n: int, size: int) -> Iterator[slice]:
    """Cut n patients into chunks; the images do not depend on where the cuts are."""
    step = _n_chunk(size)
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def _correlated_noise(white: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Average 2 × 2 neighbours: mildly correlated, as a reconstruction filter leaves CT noise."""
    pairs = white[:, 1:] + white[:, :-1]
    noise = pairs[:, :, 1:] + pairs[:, :, :-1]
    return np.multiply(noise, np.float32(noise_sd(size) / 2), out=noise, dtype=np.float32)


def _soft_limit(latents: NDArray[np.float64]) -> NDArray[np.float64]:
    excess = np.maximum(np.abs(latents) - LINEAR_RANGE, 0)
    return np.clip(latents, -LINEAR_RANGE, LINEAR_RANGE) + np.sign(latents) * 0.5 * np.tanh(2 * excess)


@dataclass(frozen=True)
class _Streams:
    """One stream each for anatomy, lesions and noise: the amount of noise depends on the size."""

    anatomy: np.random.Generator
    lesion: np.random.Generator
    noise: np.random.Generator


def _streams(rng: np.random.Generator) -> _Streams:
    anatomy, noise = rng.integers(2**63, size=2)
    return _Streams(
        np.random.default_rng(anatomy),
        np.random.default_rng([anatomy, _LESION_STREAM]),
        np.random.default_rng(noise),
    )


def _draw(n: int, streams: _Streams, size: int | None) -> Nuisance:
    anatomy = streams.anatomy.standard_normal((n, sum(_PARTS)), dtype=np.float32)
    place = streams.lesion.standard_normal((n, N_PLACE), dtype=np.float32)
    noise = None if size is None else streams.noise.standard_normal((n, size + 1, size + 1), dtype=np.float32)
    return Nuisance(np.concatenate([anatomy, place], axis=1), noise)


def _checked(latents: NDArray[np.floating], view: str, size: int, kind: str) -> NDArray[np.float64]:
    names = latent_names(view, kind=kind)
    check_size(size)
    latents = np.asarray(latents, dtype=np.float64)
    if latents.ndim != 2 or latents.shape[1] != len(names):
        raise ValueError(
            f"The 'latents' must have shape [n, {len(names)}], one column a latent feature of the {view} "
            f"view: {', '.join(names)}. Got shape {latents.shape}."
        )
    if not np.isfinite(latents).all():
        n_bad = int((~np.isfinite(latents)).sum())
        raise ValueError(
            f"The 'latents' must be finite. Got {n_bad} NaN or infinite values; "
            "draw them as standard normals."
        )
    return latents


def check_size(size: int) -> None:
    """Raise a ValueError unless slices of this size can be rendered."""
    if size not in SIZES:
        raise ValueError(f"The 'size' must be one of {SIZES}. Got {size!r}; choose the nearest of these.")
