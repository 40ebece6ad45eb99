"""The log-odds of samples with parts of their inputs put away: what perturbation maps of inputs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from methods import evaluation
from methods.api import FusionModel, SeparableModel
from methods.evaluation import chunks
from methods.pixel_maps import Explained, log_odds_of


@dataclass(frozen=True, eq=False)
class Masks:
    """Which entries of one modality's input are kept in each of k copies of a sample.

    Attributes:
        index: number of the mask of each copy ``[k]``; masks that occur often are encoded once.
        kept: numbers of masks ``[r]`` → True where an entry is kept, ``[r, 1, height, width]`` or
            ``[r, columns]``. They are made as they are needed: all at once would not fit into memory.
    """

    index: Tensor
    kept: Callable[[Tensor], Tensor]

    @property
    def n_masks(self) -> int:
        """Number of different masks."""
        return int(self.index.max()) + 1


@torch.no_grad()
def masked_log_odds(
    model: FusionModel, given: Explained, masks: Mapping[str, Masks], away: Mapping[str, Tensor]
) -> Tensor:
    """Return s ``[m, k]`` of k masked copies of each sample.

    Where the model encodes modalities alone, only those that are masked are encoded.

    Args:
        model: the model.
        given: the samples.
        masks: modality → its masks; modalities without any stay as they are. At least one.
        away: modality → what takes the place of entries that are not kept, of one input's shape.
    """
    n_copies = len(next(iter(masks.values())).index)
    if isinstance(model, SeparableModel):
        parts = {name: _encoded_alone(model, given, name, masks[name], away[name]) for name in masks}
    else:
        parts = {}
    found = []
    for rows in chunks(len(given) * n_copies, evaluation.CLASSIFY_ROWS):
        place = torch.arange(rows.start, rows.stop)
        sample, copy = place // n_copies, place % n_copies
        if parts:
            features = given.features[sample]
            for name, encoded in parts.items():
                features[:, model.groups[name]] = encoded[sample, masks[name].index[copy]]
        else:
            features = _encoded_together(model, given, masks, away, sample, copy)
        found.append(log_odds_of(model, features, given.target[sample]))
    return torch.cat(found).view(len(given), n_copies)


def _encoded_alone(model: SeparableModel, given: Explained, name: str, masks: Masks, away: Tensor) -> Tensor:
    """Return a modality's columns of the fusion vector under each mask ``[m, masks, columns]``."""
    value, n_masks = given.inputs[name], masks.n_masks
    parts = []
    for rows in chunks(len(given) * n_masks, evaluation.ENCODE_ROWS):
        place = torch.arange(rows.start, rows.stop)
        masked = torch.where(masks.kept(place % n_masks), value[place // n_masks], away)
        parts.append(model.encode_modality(name, masked))
    return torch.cat(parts).view(len(given), n_masks, -1)


def _encoded_together(
    model: FusionModel,
    given: Explained,
    masks: Mapping[str, Masks],
    away: Mapping[str, Tensor],
    sample: Tensor,
    copy: Tensor,
) -> Tensor:
    """Return the fusion features ``[r, d]`` of pairs of a sample and a copy."""
    parts = []
    for rows in chunks(len(sample), evaluation.ENCODE_ROWS):
        inputs = {name: value[sample[rows]] for name, value in given.inputs.items()}
        for name, mask in masks.items():
            inputs[name] = torch.where(mask.kept(mask.index[copy[rows]]), inputs[name], away[name])
        parts.append(model.encode(inputs))
    return torch.cat(parts)


def column_masks(n_columns: int) -> Masks:
    """Return masks that put away one table column after the other."""
    kept = ~torch.eye(n_columns, dtype=torch.bool)
    return Masks(torch.arange(n_columns), lambda numbers: kept[numbers])
