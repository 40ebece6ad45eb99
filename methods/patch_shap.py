"""Shapley values at the input, of patches of images and columns of tables (Lundberg & Lee 2017)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from methods.api import PIXELS, Attribution, FusionModel, Method
from methods.coalitions import draw_coalitions, regression_matrices
from methods.evaluation import chunks, encode
from methods.masked_inputs import Masks, masked_log_odds
from methods.pixel_maps import N_MAPS, Explained, attribution, explained, log_odds_of
from synthetic.types import Samples

# Samples that share drawn orders.
_SHARED = 16

Players = Mapping[str, tuple[slice, Tensor]]
"""Modality → its players, and which of them each entry ``[height, width]`` or ``[columns]`` is."""


def patch_shapley_values(
    model: FusionModel,
    samples: Samples,
    rng: np.random.Generator,
    *,
    patches: int = 7,
    n_orders: int = 16,
    n_maps: int = N_MAPS,
) -> Attribution:
    """Return Shapley values of s over the patches of all images and the columns of all tables, together.

    An absent player is what the samples' mean is there. Where all coalitions cost no more than the orders,
    kernel SHAP's regression on them all gives exact values. Else players enter in random orders, each of
    which is also gone through backwards (Castro, Gómez & Tejada 2009; Mitchell et al. 2022). With some
    hundred players and a thousand coalitions that has less error than the regression on drawn ones, and a
    patch that the model ignores gets 0, not noise. Each step changes one modality alone, which saves
    encodings.

    A patch's value is spread evenly over its pixels: a sample's values add up to s(x) − s(mean), over all
    pixels and columns.

    Args:
        model: the model.
        samples: the samples to explain.
        rng: source of the orders.
        patches: patches along each side of an image.
        n_orders: orders a sample, in pairs; each takes a coalition a player.
        n_maps: samples that are explained, the first ones.

    Raises:
        ValueError: if an image has fewer pixels along a side than patches, ``n_orders`` is not a positive
            even number, or ``n_maps`` is not at least 1.
        NotApplicableError: if the model knows a single class.
    """
    if n_orders < 2 or n_orders % 2:
        raise ValueError(f"The 'n_orders' of patch SHAP must be a positive even number. Got {n_orders}.")
    given = explained(model, samples, n_maps)
    players = _players(given, patches)
    n_players = max(columns.stop for columns, _ in players.values())
    away = {name: samples.inputs[name].mean(0) for name in given.inputs}
    nobody = encode(model, {name: value[None] for name, value in away.items()}).expand(len(given), -1)
    nothing = log_odds_of(model, nobody, given.target)[:, None]
    gain = log_odds_of(model, given.features, given.target)[:, None] - nothing
    values = []
    for rows in chunks(len(given), _SHARED):
        inputs = {name: value[rows] for name, value in given.inputs.items()}
        part = Explained(inputs, given.features[rows], given.target[rows])
        if n_players == 1:
            values.append(gain[rows])
        elif 2**n_players - 2 <= n_orders * (n_players - 1):
            coalitions, weight = draw_coalitions(n_players, 2**n_players - 2, rng)
            solve, correction = regression_matrices(coalitions, weight)
            worth = _log_odds(model, part, players, away, coalitions.bool()) - nothing[rows]
            values.append(worth @ solve.T + gain[rows] * correction)
        else:
            orders = _orders(n_players, n_orders, rng)
            worth = _log_odds(model, part, players, away, _entering(orders)) - nothing[rows]
            values.append(_mean_steps(worth, gain[rows], orders))
    found = torch.cat(values)
    return attribution(
        {name: _spread(found[:, columns], place) for name, (columns, place) in players.items()}
    )


def _players(given: Explained, patches: int) -> Players:
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


def _log_odds(
    model: FusionModel, part: Explained, players: Players, away: Mapping[str, Tensor], present: Tensor
) -> Tensor:
    """Return s ``[m, k]`` of the samples with the players of each coalition ``[k, players]`` there."""
    masks = {name: _masks(present[:, columns], place) for name, (columns, place) in players.items()}
    return masked_log_odds(model, part, masks, away)


def _masks(present: Tensor, place: Tensor) -> Masks:
    """Return the masks of one modality for coalitions of its own players ``[k, players]``."""
    different, index = present.unique(dim=0, return_inverse=True)
    if place.ndim == 1:
        return Masks(index, lambda numbers: different[numbers])
    return Masks(index, lambda numbers: different[numbers][:, place][:, None])


def _orders(n_players: int, n_orders: int, rng: np.random.Generator) -> Tensor:
    """Return random orders ``[orders, players]``, the second half being the first half backwards."""
    half = torch.from_numpy(rng.permuted(np.tile(np.arange(n_players), (n_orders // 2, 1)), axis=1))
    return torch.cat([half, half.flip(1)])


def _entering(orders: Tensor) -> Tensor:
    """Return who is there after each step but the last, order after order, ``[orders · (p − 1), p]``."""
    rank = orders.argsort(1)
    steps = torch.arange(orders.shape[1] - 1)
    return (rank[:, None] <= steps[:, None]).flatten(0, 1)


def _mean_steps(worth: Tensor, gain: Tensor, orders: Tensor) -> Tensor:
    """Return what players add when they enter ``[m, players]``, mean over orders.

    Args:
        worth: of the coalitions of `_entering` ``[m, orders · (p − 1)]``.
        gain: worth of all players ``[m, 1]``.
        orders: ``[orders, p]``.
    """
    n_orders = len(orders)
    inner = worth.view(len(worth), n_orders, -1)
    ends = gain[:, None].expand(-1, n_orders, 1)
    steps = torch.cat([inner, ends], dim=2).diff(dim=2, prepend=torch.zeros_like(ends))
    return steps[:, torch.arange(n_orders)[:, None], orders.argsort(1)].mean(1)


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
    citation="Lundberg & Lee 2017, A unified approach to interpreting model predictions; Mitchell, Cooper, "
    "Frank & Holmes 2022, Sampling permutations for Shapley value estimation",
    level="input",
)
