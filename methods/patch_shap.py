"""Kernel SHAP at the input: patches of images and columns of tables are the players (Lundberg & Lee 2017)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.api import PIXELS, Attribution, FusionModel, Method
from methods.coalitions import draw_coalitions, regression_matrices
from methods.evaluation import chunks, encode
from methods.masked_inputs import Masks, masked_log_odds
from methods.pixel_maps import N_MAPS, Explained, attribution, explained, log_odds_of
from synthetic.types import Samples

# Samples that share drawn coalitions.
_SHARED = 16


def patch_shapley_values(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    patches: int = 7,
    n_coalitions: int | None = None,
    n_maps: int = N_MAPS,
) -> Attribution:
    """Return Shapley values of s over the patches of all images and the columns of all tables, together.

    An absent player is what the samples' mean is there. Values come from a weighted regression on coalitions,
    drawn as in kernel SHAP at the fusion layer; where all of them fit into the budget they are exact. A
    patch's value is spread evenly over its pixels: a sample's values add up to s(x) − s(mean), over all
    pixels and columns.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: source of the drawn coalitions.
        patches: patches along each side of an image.
        n_coalitions: coalitions a sample; None for four a player, and 512 more.
        n_maps: samples that are explained, the first ones.

    Raises:
        ValueError: if an image has fewer pixels along a side than patches, the budget is too small for a
            regression, or ``n_maps`` is not at least 1.
        NotApplicableError: if the model knows a single class.
    """
    given = explained(model, samples, n_maps)
    players = _players(given, patches)
    n_players = max(columns.stop for columns, _ in players.values())
    budget = 4 * n_players + 512 if n_coalitions is None else n_coalitions
    if budget < min(2 * n_players, 2.0**n_players - 2):
        raise ValueError(
            f"The 'n_coalitions' of patch SHAP must be at least {2 * n_players}, two a player. Got {budget}."
        )
    away = {name: samples.inputs[name].mean(0) for name in given.inputs}
    nobody = encode(model, {name: value[None] for name, value in away.items()}).expand(len(given), -1)
    everyone = log_odds_of(model, given.features, given.target)[:, None]
    gain = everyone - log_odds_of(model, nobody, given.target)[:, None]
    values = [gain[:0]]
    for rows in chunks(len(given), _SHARED):
        part = Explained(
            {name: value[rows] for name, value in given.inputs.items()},
            given.features[rows],
            given.target[rows],
        )
        if n_players == 1:
            values.append(gain[rows])
            continue
        coalitions, weight = draw_coalitions(n_players, budget, rng)
        solve, correction = regression_matrices(coalitions, weight)
        masks = {name: _masks(coalitions[:, columns], place) for name, (columns, place) in players.items()}
        # Less what everyone is worth, so that rounding is that of the differences.
        worth = masked_log_odds(model, part, masks, away) - (everyone - gain)[rows]
        values.append(worth @ solve.T + gain[rows] * correction)
    found = torch.cat(values[1:])
    return attribution({
        name: _spread(found[:, columns], place) for name, (columns, place) in players.items()
    })  # fmt: skip


def _players(given: Explained, patches: int) -> dict[str, tuple[slice, Tensor]]:
    """Return modality → its players, and which of them each entry ``[height, width]`` or ``[columns]`` is."""
    found, start = {}, 0
    for name, value in given.inputs.items():
        if value.ndim == 2:
            place = torch.arange(value.shape[1])
        else:
            height, width = value.shape[2:]
            if not 1 <= patches <= min(height, width):
                raise ValueError(
                    f"The 'patches' of patch SHAP must be between 1 and {min(height, width)}, the size of "
                    f"image {name!r}. Got {patches}."
                )
            down, across = (torch.arange(side) * patches // side for side in (height, width))
            place = down[:, None] * patches + across
        n_players = int(place.max()) + 1
        found[name] = (slice(start, start + n_players), place)
        start += n_players
    return found


def _masks(present: Tensor, place: Tensor) -> Masks:
    """Return the masks of one modality for coalitions ``[k, its players]`` of 0 and 1."""
    different, index = present.bool().unique(dim=0, return_inverse=True)
    if place.ndim == 1:
        return Masks(index, lambda numbers: different[numbers])
    return Masks(index, lambda numbers: different[numbers][:, place][:, None])


def _spread(values: Tensor, place: Tensor) -> Tensor:
    """Return players' values ``[m, players]`` shared out to their entries, ``[m, …]``."""
    if place.ndim == 1:
        return values
    n_entries = place.flatten().bincount()
    return (values / n_entries)[:, place][:, None]


METHOD = Method(
    name="patch_shap",
    function=patch_shapley_values,
    estimand=PIXELS,
    citation="Lundberg & Lee 2017, A unified approach to interpreting model predictions",
    level="input",
)
