"""Latent features of real images: what a decision function reads where nobody drew the image.

Two ways to ten numbers an image, both fitted on the training split alone: a convolutional autoencoder, in the
spirit of Azmat & Alessio (2022), "Feature Importance Estimation Using Gradient Based Method for Multimodal
Fused Neural Networks", and principal components. Fits are cached on disk, see `synthetic.cache`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from synthetic.cache import cache_folder, content_key, load, save
from synthetic.settings import own_settings

logger = logging.getLogger(__name__)

Kind = Literal["autoencoder", "pca"]
Progress = Callable[[int, int], None]

VERSION = 1
"""Counts changes of the code that move the features: older cache entries are then no longer found."""

N_STEPS = 1080
"""Training steps of the autoencoder: 4 passes over OrganAMNIST, 20 to 30 seconds on one core."""

BATCH = 128

# Relative to the feature that varies most. Rounding leaves about 1e-8; the weakest of ten real ones has 0.2.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class LatentFeatures:
    """Standardised latent features of a set of images.

    Attributes:
        kind: ``"autoencoder"`` or ``"pca"``.
        values: split → float32 ``[n, n_features]``; mean 0 and standard deviation 1 over ``"train"``.
        reconstruction_r2: split → share of the pixel variance about the training split's mean image that the
            features explain, by the decoder fitted with them; the quality of the features as a summary.
        key: content hash of everything that determined the fit.
        cached: whether the fit was read from the cache.
    """

    kind: Kind
    values: Mapping[str, np.ndarray] = field(repr=False)
    reconstruction_r2: Mapping[str, float]
    key: str
    cached: bool


def latent_features(
    images: Mapping[str, np.ndarray],
    *,
    kind: Kind = "autoencoder",
    n_features: int = 10,
    cache: bool | Path = True,
    progress: Progress | None = None,
) -> LatentFeatures:
    """Fit an encoder on the training images and return the standardised features of every split.

    The same images give the same features: the autoencoder's seed is fixed, it runs in one thread whatever
    the number of workers, and the caller's global random state and number of threads stay as they are.
    Between processors of different make, or releases of torch, rounding differs and so does the autoencoder.

    Args:
        images: split → uint8 ``[n, height, width]``. ``"train"`` is fitted; any others are only encoded.
        kind: ``"autoencoder"`` (half a minute on one core at 28×28, more with more pixels) or ``"pca"``
            (a second).
        n_features: number of features.
        cache: True for ``cache_folder() / "features"``, another folder, or False for none.
        progress: called with the steps done and the steps in all while the autoencoder trains.

    Raises:
        ValueError: if the images cannot be encoded, or a feature is not finite or does not vary on a split.
    """
    _check_images(images, kind, n_features)
    train = np.ascontiguousarray(images["train"])
    recipe = (N_STEPS, BATCH, torch.__version__) if kind == "autoencoder" else ()
    key = content_key("features", VERSION, kind, n_features, *recipe, repr(train.shape), train.tobytes())
    folder = None if cache is False else cache_folder() / "features" if cache is True else Path(cache)

    with own_settings(threads=1):
        entry = load(key, folder=folder) if folder else None
        if entry:
            fitted, _ = entry
        else:
            started = time.perf_counter()
            fit = _fit_autoencoder if kind == "autoencoder" else _fit_pca
            fitted = fit(train, n_features, progress)
            logger.info("Fitted %s features in %.0f s.", kind, time.perf_counter() - started)
        codes, reconstruction_r2 = {}, {}
        for split, pixels in images.items():
            codes[split], reconstruction_r2[split] = _encode(fitted, pixels, kind, n_features)
    # Checked before it is stored: a fit that failed must not come back from the cache.
    _check_codes(codes)
    if folder and not entry:
        save(key, fitted, {"kind": kind, "version": str(VERSION)}, folder=folder)
    centre, scale = codes["train"].mean(axis=0), codes["train"].std(axis=0)
    return LatentFeatures(
        kind=kind,
        values={split: ((code - centre) / scale).astype(np.float32) for split, code in codes.items()},
        reconstruction_r2=reconstruction_r2,
        key=key,
        cached=entry is not None,
    )


class Autoencoder(nn.Module):
    """Strided convolutions down to a linear bottleneck, and back.

    The bottleneck is linear and the activations are smooth (SiLU), for two reasons: no feature can die as
    behind a ReLU, and a network can relearn the features from the image with labels alone.
    """

    def __init__(self, height: int, width: int, n_features: int) -> None:
        super().__init__()
        sides = [(height, width)]
        while max(sides[-1]) > 4:
            sides.append(((sides[-1][0] + 1) // 2, (sides[-1][1] + 1) // 2))
        channels = [1, *(min(16 << level, 64) for level in range(len(sides) - 1))]
        n_flat = channels[-1] * sides[-1][0] * sides[-1][1]
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for level in range(len(sides) - 1):
            # The first layer sees single pixels and takes a wider look.
            kernel = 5 if level == 0 else 3
            pad = kernel // 2
            down += [nn.Conv2d(channels[level], channels[level + 1], kernel, 2, pad), nn.SiLU()]
            # One step up doubles a side; where the side was odd on the way down, it is one less.
            odd = (1 - sides[level][0] % 2, 1 - sides[level][1] % 2)
            up = [
                nn.SiLU(),
                nn.ConvTranspose2d(channels[level + 1], channels[level], kernel, 2, pad, output_padding=odd),
                *up,
            ]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(n_flat, n_features))
        self.decoder = nn.Sequential(
            nn.Linear(n_features, n_flat), nn.Unflatten(1, (channels[-1], *sides[-1])), *up
        )


def _fit_autoencoder(train: np.ndarray, n_features: int, progress: Progress | None) -> dict[str, Tensor]:
    """Minimise the mean squared error of the reconstruction: AdamW, one-cycle learning rate."""
    torch.manual_seed(0)  # inside fork_rng: the caller's random state comes back
    model = Autoencoder(train.shape[1], train.shape[2], n_features)
    pixels = torch.from_numpy(train).unsqueeze(1)
    mean = _mean_image(train)
    batch = min(BATCH, len(train))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=N_STEPS, pct_start=0.15)
    # Plain float32: neither bfloat16 nor channels_last is faster on layers as small as these.
    for step, rows in enumerate(_batches(len(train), batch, N_STEPS), start=1):
        inputs = _centred(pixels[rows], mean)
        loss = nn.functional.mse_loss(model.decoder(model.encoder(inputs)), inputs)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress:
            progress(step, N_STEPS)
    return {"mean": mean, **{f"model.{name}": value for name, value in model.state_dict().items()}}


def _fit_pca(train: np.ndarray, n_features: int, progress: Progress | None) -> dict[str, Tensor]:  # noqa: ARG001
    from sklearn.decomposition import PCA  # noqa: PLC0415 - the autoencoder does without

    # scikit-learn settles the arbitrary sign: the largest loading of each component is positive.
    fit = PCA(n_features, random_state=0).fit(train.reshape(len(train), -1).astype(np.float64))
    components = np.asarray(fit.components_)
    return {"mean": _mean_image(train), "components": torch.from_numpy(components).contiguous()}


def _encode(
    fitted: Mapping[str, Tensor], images: np.ndarray, kind: Kind, n_features: int
) -> tuple[np.ndarray, float]:
    """Return the raw features, float64 ``[n, n_features]``, and the R² of the reconstruction."""
    mean = fitted["mean"]
    if kind == "autoencoder":
        model = Autoencoder(images.shape[1], images.shape[2], n_features)
        prefix = "model."
        model.load_state_dict(
            {name.removeprefix(prefix): value for name, value in fitted.items() if name.startswith(prefix)}
        )
        encode, decode = model.eval().encoder, model.decoder
    else:
        components = fitted["components"].float()

        def encode(inputs: Tensor) -> Tensor:
            return inputs.flatten(1) @ components.T

        def decode(codes: Tensor) -> Tensor:
            return (codes @ components).unflatten(1, (1, *images.shape[1:]))

    codes: list[np.ndarray] = []
    error = total = 0.0
    with torch.no_grad():
        for block in torch.from_numpy(np.ascontiguousarray(images)).unsqueeze(1).split(128):
            inputs = _centred(block, mean)
            code = encode(inputs)
            error += float((decode(code) - inputs).square().sum())
            total += float(inputs.square().sum())
            codes.append(code.double().numpy())
    return np.concatenate(codes), 1 - error / total if total else float("nan")


def _mean_image(train: np.ndarray) -> Tensor:
    return torch.from_numpy(train.mean(axis=0, dtype=np.float64) / 255).float()


def _centred(pixels: Tensor, mean: Tensor) -> Tensor:
    return pixels.float() / 255 - mean


def _batches(n: int, batch: int, n_steps: int) -> Iterator[Tensor]:
    """Yield rows for each step: passes over shuffled rows, the incomplete last batch of a pass left out."""
    generator = torch.Generator().manual_seed(0)
    done = 0
    while True:
        for rows in torch.randperm(n, generator=generator)[: n // batch * batch].split(batch):
            yield rows
            done += 1
            if done == n_steps:
                return


def _check_images(images: Mapping[str, np.ndarray], kind: str, n_features: int) -> None:
    if kind not in get_args(Kind):
        raise ValueError(f"The 'kind' must be 'autoencoder' or 'pca'. Got {kind!r}.")
    if "train" not in images:
        raise ValueError(f"The 'images' must have a split 'train' to fit on. Got {list(images)}.")
    shape = images["train"].shape[1:]
    for split, pixels in images.items():
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != shape or pixels.size == 0:
            raise ValueError(
                f"The 'images' must be uint8 [n, height, width], of one height and width in every split, "
                f"and not empty. Got {pixels.dtype} with shape {pixels.shape} for {split!r}; "
                f"'train' has shape {images['train'].shape}."
            )
    limit = min(len(images["train"]) - 1, shape[0] * shape[1])
    if not 1 <= n_features <= limit:
        raise ValueError(
            f"The 'n_features' must be between 1 and {limit}, below the number of training images and at "
            f"most the number of pixels. Got {n_features}."
        )
    for split, pixels in images.items():
        if len(pixels) > 1 and bool((pixels == pixels[0]).all()):
            raise ValueError(
                f"The images of split {split!r} are all the same, so their features cannot vary. "
                f"Got {len(pixels)} copies of one image; check how they were read."
            )


def _check_codes(codes: Mapping[str, np.ndarray]) -> None:
    """Refuse features that would reach the truths as NaN, as infinity, or as a constant."""
    for split, code in codes.items():
        broken = ~np.isfinite(code).all(axis=0)
        if broken.any():
            raise ValueError(
                f"Latent feature {int(broken.argmax())} is not finite on split {split!r} "
                f"({int(broken.sum())} such features): the fit diverged. Check the images, or use kind='pca'."
            )
    largest = codes["train"].std(axis=0).max()
    for split, code in codes.items():
        flat = (code.std(axis=0) <= _CONSTANT * largest) & (len(code) > 1)
        if flat.any():
            raise ValueError(
                f"Latent feature {int(flat.argmax())} is constant on split {split!r} "
                f"({int(flat.sum())} such features): the images vary in fewer ways than that. "
                "Ask for fewer features ('n_features'), or use more varied images."
            )
