"""Image sources: where a scenario's two images a patient and their latent features come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from synthetic import features, medmnist, phantom
from synthetic.law import GaussianCopula, Population
from synthetic.names import check_known
from synthetic.seeding import numpy_rng
from synthetic.types import Modality

Source = Literal["phantom", "organamnist", "organ-ac"]
FeatureKind = Literal["anatomy", "lesion", "autoencoder", "pca"]
Split = Literal["train", "explain", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
N_FEATURES = 10

# Shares of the phantom patients in each split. Real scans keep their official splits.
_SHARES: Mapping[Split, float] = {"train": 5 / 8, "explain": 1 / 8, "test": 1 / 4}
_OFFICIAL_NAMES = {"train": "train", "explain": "val", "test": "test"}
_VIEWS = {"phantom": phantom.VIEWS, "organamnist": ("axial_1", "axial_2"), "organ-ac": ("axial", "coronal")}
_FLAGS: Mapping[Source, tuple[str, ...]] = {
    "phantom": (),
    "organamnist": ("organamnist",),
    "organ-ac": ("organamnist", "organcmnist"),
}
SMALLEST_SPLIT = 16

INDEPENDENT = GaussianCopula(np.eye(2 * N_FEATURES))
"""The law of the latent features of two phantoms where a scenario links none of them."""

_Pool = tuple[medmnist.Scans, features.LatentFeatures]
"""All scans of a file, and their latent features."""


@dataclass(frozen=True)
class ImageDraw:
    """Two images a patient and the latent features behind them.

    Attributes:
        images: split → view → uint8 ``[n, 1, size, size]``.
        latents: split → float32 ``[n, 20]``, ten a view, standardised.
        scans: the populations that the latent features of real scans are drawn from, one a view; none for
            phantoms.
    """

    images: Mapping[Split, Mapping[str, np.ndarray]]
    latents: Mapping[Split, np.ndarray]
    scans: tuple[Population, ...] = ()


def modalities(source: Source, kind: FeatureKind) -> tuple[Modality, ...]:
    """Return the two image modalities of a source with the names of their latent features.

    Raises:
        ValueError: if there is no such source, or it has no such features.
    """
    if source not in _VIEWS:
        raise ValueError(f"The image 'source' must be one of {', '.join(_VIEWS)}. Got {source!r}.")
    allowed = phantom.KINDS if source == "phantom" else ("autoencoder", "pca")
    if kind not in allowed:
        raise ValueError(
            f"The 'features' of {source} images must be {' or '.join(map(repr, allowed))}. Got {kind!r}."
        )
    return tuple(
        Modality(
            view,
            "image",
            phantom.latent_names(view, kind=kind)
            if source == "phantom"
            else tuple(f"{kind}_{place}" for place in range(N_FEATURES)),
        )
        for view in _VIEWS[source]
    )


def draw(
    source: Source,
    *,
    size: int,
    kind: FeatureKind,
    n: int | None,
    seed: int,
    law: GaussianCopula = INDEPENDENT,
    data_root: Path | str | None = None,
) -> ImageDraw:
    """Draw the images of one data seed.

    The draw depends on the source, the law of its latents and the seed alone, so scenarios that differ in
    their decision function share their patients: differences between them are not differences between draws.
    Phantoms with and without a lesion share them as well, but for what the lesion shows.

    Args:
        source: image source.
        size: image height and width in pixels.
        kind: latent features.
        n: patients in all; None for every one that the source has (a phantom has no natural number).
        seed: data seed.
        law: of the phantoms' latent features, the first view's before the second's; scans bring their own.
        data_root: folder with the OrganMNIST files.

    Raises:
        ValueError: if the size, number or features are impossible for the source.
        synthetic.medmnist.DataError: if a file is missing or broken.
    """
    modalities(source, kind)  # says what the source does not have
    if source == "phantom":
        return _draw_phantom(size, n, kind, seed, law)
    root = None if data_root is None else str(data_root)
    return _draw_organs(source, size, kind, n, seed, root)


def prepare(
    source: Source, *, size: int, kind: FeatureKind, n: int | None, data_root: Path | str | None = None
) -> None:
    """Check that a source can be drawn from; find its files and fit its features, for later draws to share.

    Args:
        source: image source.
        size: image height and width in pixels.
        kind: latent features.
        n: patients in all.
        data_root: folder with the OrganMNIST files.

    Raises:
        ValueError: if the size, number or features are impossible for the source.
        synthetic.medmnist.DataError: if a file is missing or broken.
    """
    modalities(source, kind)  # says what the source does not have
    if source == "phantom":
        phantom.check_size(size)
        _phantom_sizes(n)
    else:
        _organ_pairs(source, size, kind, n, 0, None if data_root is None else str(data_root))


@dataclass(frozen=True)
class Origin:
    """Where a source's images and features come from: what another machine needs to draw the same.

    Attributes:
        scans: a file of scans, with its published md5.
        features: name of the fitted features in the cache.
    """

    scans: Path
    md5: str
    features: str


def origins(
    source: Source, *, size: int, kind: FeatureKind, data_root: Path | str | None = None
) -> tuple[Origin, ...]:
    """Return the files behind a source that was prepared; none for phantoms.

    Args:
        source: image source.
        size: image height and width in pixels.
        kind: latent features.
        data_root: folder with the OrganMNIST files.
    """
    root = None if data_root is None else str(data_root)
    pools = [_scan_features(flag, size, kind, root) for flag in _FLAGS[source]]
    return tuple(Origin(scans.path, scans.md5, found.key) for scans, found in pools)


def phantom_nuisance(
    n: int, *, view: str, split: Split, seed: int, size: int | None = None
) -> phantom.Nuisance:
    """Draw again the nuisance variation behind the first n phantom images of a split.

    Args:
        n: number of patients.
        view: ``"axial"`` or ``"coronal"``.
        split: ``"train"``, ``"explain"`` or ``"test"``.
        seed: data seed.
        size: image height and width in pixels, for the images' own noise; None for no noise.

    Returns:
        What `synthetic.phantom.slice_hu` needs, with the same latent features, to give the images of `draw`.

    Raises:
        ValueError: for an unknown view, split or size.
    """
    check_known("view", view, phantom.VIEWS)
    check_known("split", split, SPLITS)
    return phantom.draw_nuisance(n, _phantom_rng(view, split, seed), size=size)


def split_sizes(shares: Mapping[Split, float], n: int) -> dict[Split, int]:
    """Return the patients in each split, n in all, in proportion to the shares.

    Raises:
        ValueError: if n is so small that a split would be all but empty.
    """
    total = sum(shares.values())
    sizes: dict[Split, int] = {split: int(n * shares[split] / total) for split in SPLITS}
    if min(sizes.values()) < SMALLEST_SPLIT:
        raise ValueError(
            f"The number of patients 'n' must leave at least {SMALLEST_SPLIT} in each split. "
            f"Got {n}, which gives {sizes}; ask for more."
        )
    return sizes


def _phantom_sizes(n: int | None) -> dict[Split, int]:
    if n is None:
        raise ValueError("The number of patients 'n' must be given for phantoms. Got None.")
    return split_sizes(_SHARES, n)


# Rendering takes seconds and several scenarios in a row share it; one entry bounds the memory.
@lru_cache(maxsize=1)
def _draw_phantom(size: int, n: int | None, kind: FeatureKind, seed: int, law: GaussianCopula) -> ImageDraw:
    sizes = _phantom_sizes(n)
    images, latents = {}, {}
    for split, n_split in sizes.items():
        z = law.sample(n_split, numpy_rng("phantom", "latents", split, seed)).astype(np.float32)
        latents[split] = z
        images[split] = {
            view: phantom.render(
                z[:, place * N_FEATURES : (place + 1) * N_FEATURES],
                view=view,
                size=size,
                rng=_phantom_rng(view, split, seed),
                kind=kind,
            )
            for place, view in enumerate(phantom.VIEWS)
        }
    return ImageDraw(images, latents)


def _phantom_rng(view: str, split: Split, seed: int) -> np.random.Generator:
    """Return the stream of a split's nuisance variation, the same for every size and kind."""
    return numpy_rng("phantom", view, split, seed)


@lru_cache(maxsize=1)
def _draw_organs(
    source: Source, size: int, kind: FeatureKind, n: int | None, seed: int, data_root: str | None
) -> ImageDraw:
    pools, pairs = _organ_pairs(source, size, kind, n, seed, data_root)
    images, latents = {}, {}
    for split in SPLITS:
        name = _OFFICIAL_NAMES[split]
        chosen = [
            (view, *pools[place % len(pools)], pairs[split][place])
            for place, view in enumerate(_VIEWS[source])
        ]
        images[split] = {view: scans.images[name][rows][:, None] for view, scans, _, rows in chosen}
        latents[split] = np.concatenate([found.values[name][rows] for _, _, found, rows in chosen], axis=1)
    populations = [Population(np.concatenate(list(found.values.values()))) for _, found in pools]
    return ImageDraw(images, latents, tuple(populations[place % len(pools)] for place in range(2)))


def _organ_pairs(
    source: Source, size: int, kind: FeatureKind, n: int | None, seed: int, data_root: str | None
) -> tuple[list[_Pool], dict[Split, tuple[np.ndarray, np.ndarray]]]:
    """Return the scans with their features, and which rows of them make up the patients of each split."""
    pools = [_scan_features(flag, size, kind, data_root) for flag in _FLAGS[source]]
    pairs = {}
    for split in SPLITS:
        rng = numpy_rng("organs", "pairs", split, seed)
        lengths = [len(scans.images[_OFFICIAL_NAMES[split]]) for scans, _ in pools]
        if len(pools) == 1:
            pairs[split] = medmnist.pair_halves(lengths[0], rng)
        else:
            pairs[split] = medmnist.pair_across(lengths[0], lengths[1], rng)
    if n is None:
        return pools, pairs
    available = {split: len(first) for split, (first, _) in pairs.items()}
    if n > sum(available.values()):
        raise ValueError(
            f"The number of patients 'n' must be at most {sum(available.values())} for {source} images. "
            f"Got {n}."
        )
    sizes = split_sizes(available, n)
    return pools, {
        split: (first[: sizes[split]], second[: sizes[split]]) for split, (first, second) in pairs.items()
    }


@lru_cache(maxsize=2)
def _scan_features(flag: str, size: int, kind: FeatureKind, data_root: str | None) -> _Pool:
    if kind in ("anatomy", "lesion"):
        raise ValueError(f"The 'features' of real scans must be 'autoencoder' or 'pca'. Got {kind!r}.")
    scans = medmnist.load(flag, data_root=data_root, size=size)
    return scans, features.latent_features(scans.images, kind=kind, n_features=N_FEATURES)
