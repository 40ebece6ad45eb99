"""Occlusion maps: a window slides over the image (Zeiler & Fergus 2014)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.api import PIXELS, Attribution, FusionModel, Method
from methods.masked_inputs import Masks, column_masks, masked_log_odds
from methods.pixel_maps import N_MAPS, Explained, attribution, explained, log_odds_of
from synthetic.types import Samples

_WINDOWS_A_SIDE = 7


def occlusion(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    window: int | None = None,
    stride: int | None = None,
    n_maps: int = N_MAPS,
) -> Attribution:
    """Return the mean change s(x) − s(x occluded) over the windows that cover a pixel; of tables by column.

    Under a window, an image is what the samples' mean is there; so is a table column that is put away. The
    last window of a row or column ends where the image ends, closer to the one before where they do not fit.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: not used.
        window: height and width of the window in pixels; None for a seventh of the image's shorter side.
        stride: pixels from one window to the next; None for half a window.
        n_maps: samples that are explained, the first ones.

    Raises:
        ValueError: if the window does not fit into an image, the stride leaves gaps between windows, or
            ``n_maps`` is not at least 1.
        NotApplicableError: if the model knows a single class.
    """
    del rng  # nothing here is random
    given = explained(model, samples, n_maps)
    before = log_odds_of(model, given.features, given.target)[:, None]
    local = {}
    for name, value in given.inputs.items():
        away = samples.inputs[name].mean(0)
        if value.ndim == 2:
            masks = {name: column_masks(value.shape[1])}
            local[name] = before - masked_log_odds(model, given, masks, {name: away})
        else:
            local[name] = _map(model, given, name, away, before, window, stride)
    return attribution(local)


def _map(
    model: FusionModel,
    given: Explained,
    name: str,
    away: Tensor,
    before: Tensor,
    window: int | None,
    stride: int | None,
) -> Tensor:
    """Return an image's map ``[m, 1, height, width]``."""
    height, width = given.inputs[name].shape[2:]
    side, step = _sizes(name, min(height, width), window, stride)
    down, across = _windows(height, side, step), _windows(width, side, step)

    def kept(numbers: Tensor) -> Tensor:
        top, left = numbers // len(across), numbers % len(across)
        return ~(down[top, :, None] & across[left, None, :])[:, None]

    masks = Masks(torch.arange(len(down) * len(across)), kept)
    change = before - masked_log_odds(model, given, {name: masks}, {name: away})
    total = torch.einsum(
        "rh,nrc,cw->nhw", down.float(), change.view(-1, len(down), len(across)), across.float()
    )
    return (total / (down.sum(0)[:, None] * across.sum(0)))[:, None]


def _sizes(name: str, shorter: int, window: int | None, stride: int | None) -> tuple[int, int]:
    """Return the window's side and the stride in pixels."""
    side = max(1, round(shorter / _WINDOWS_A_SIDE)) if window is None else window
    if not 1 <= side <= shorter:
        raise ValueError(
            f"The 'window' of occlusion must be between 1 and {shorter}, the shorter side of image {name!r}. "
            f"Got {side}."
        )
    step = max(1, side // 2) if stride is None else stride
    if not 1 <= step <= side:
        raise ValueError(
            f"The 'stride' of occlusion must be between 1 and {side}, the window's side; more leaves gaps. "
            f"Got {step}."
        )
    return side, step


def _windows(length: int, side: int, step: int) -> Tensor:
    """Return which pixels along one axis each window covers, bool ``[windows, length]``."""
    starts = [*range(0, length - side, step), length - side]
    place = torch.arange(length)
    return torch.stack([(place >= start) & (place < start + side) for start in starts])


METHOD = Method(
    name="occlusion",
    function=occlusion,
    estimand=PIXELS,
    citation="Zeiler & Fergus 2014, Visualizing and understanding convolutional networks",
    level="input",
)
