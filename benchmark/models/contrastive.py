"""Contrastive multimodal fusion with modality dropout, after Gu, Saito & Ma (2025)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from benchmark.models.architecture import Architecture
from benchmark.models.base import FusionNetwork, Present
from benchmark.models.encoders import Encoders
from benchmark.models.patterns import MOST_ENUMERATED, drawn_patterns, patterns, size_weights
from benchmark.models.plan import TrainingPlan

Dropout = Literal["improved", "random", "none"]

N_FEATURES = 16
"""Fusion features a modality."""

N_FUSED = 32
"""Of the fused embedding."""

N_KEYS = 512
"""Keys of earlier steps that each queue remembers."""

TEMPERATURE = 0.1
WEIGHT = 0.05
"""Of the contrastive loss beside the cross entropy."""


class ContrastiveNetwork(FusionNetwork):
    """Encoders into one width, a learnt token in place of what is missing, a small network that fuses them.

    A training step does not draw which modalities go missing: it forms the patterns and takes the mean loss
    over them, so that one modality alone is trained for in every step (all subsets of up to four modalities;
    of more, each alone, all together, and some that are drawn). A contrastive loss draws the embeddings of
    the same patient together, those of two modalities and those of a modality and of the fusion of all.

    The published code fuses two modalities, and learns the temperature of the contrastive loss, from the
    value that is kept here; encoders, widths, queues and the weight of the loss are this project's own.

    Args:
        shapes: modality → input shape without the sample axis.
        n_classes: number of classes.
        tokens: whether a missing modality has a learnt token; else it is zeros.
        dropout: ``improved`` as above; ``random`` draws one pattern a patient and step; ``none`` trains on
            what is there.
        contrastive: whether there is a contrastive loss.

    Raises:
        ValueError: if an option is none of these.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        n_classes: int = 2,
        tokens: bool = True,
        dropout: Dropout = "improved",
        contrastive: bool = True,
    ) -> None:
        super().__init__(shapes, dict.fromkeys(shapes, N_FEATURES), n_classes=n_classes)
        if dropout not in get_args(Dropout):
            raise ValueError(
                f"The 'dropout' of model 'contrastive' must be one of {', '.join(get_args(Dropout))}. "
                f"Got {dropout!r}."
            )
        for option, value in (("tokens", tokens), ("contrastive", contrastive)):
            if not isinstance(value, bool):
                raise ValueError(  # noqa: TRY004 - callers catch one kind of error for bad input
                    f"The {option!r} of model 'contrastive' must be True or False. Got {value!r}."
                )
        self.dropout: Dropout = dropout
        self.encoders = Encoders(self.shapes, N_FEATURES)
        self.tokens: nn.Parameter | None = None
        if tokens and len(self.shapes) > 1:  # a single modality is never replaced
            self.tokens = nn.Parameter(torch.zeros(len(self.shapes), N_FEATURES))
        self.fusion = nn.Sequential(
            *(nn.Linear(self.width, 64), nn.ReLU()),
            *(nn.Linear(64, N_FUSED), nn.ReLU()),
        )
        self.head = nn.Linear(N_FUSED, n_classes)
        self.projections = None
        if contrastive:
            widths = [*([N_FEATURES] * len(self.shapes)), N_FUSED]
            self.projections = nn.ModuleList(nn.Linear(width, N_FEATURES) for width in widths)
            self.queues = [KeyQueue(N_KEYS) for _ in widths]

    def encode_modality(self, name: str, value: Tensor) -> Tensor:
        """Return the normalised embedding of an image or a table."""
        return self.encoders.one(name, value)

    def encode_all(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return modality → its normalised features; images of one shape are encoded together."""
        return self.encoders(values)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.head(self.fusion(features))

    def stand_in(self, name: str) -> Tensor:
        """Return the token of a modality ``[width]``; zeros where there are no tokens."""
        return super().stand_in(name) if self.tokens is None else self.tokens[self.modalities.index(name)]

    def training_loss(
        self,
        inputs: Mapping[str, Tensor],
        labels: Tensor,
        generator: torch.Generator,
        present: Present | None = None,
    ) -> Tensor:
        """Return the cross entropy over patterns of missingness, plus the weighted contrastive loss."""
        embeddings = self._embedded(inputs, present)
        there = self._there(len(labels), present)
        loss = self._loss_over(self._step_patterns(len(labels), generator), embeddings, there, labels)
        if self.projections is None or len(labels) < 2:
            return loss
        return loss + WEIGHT * self.contrastive_loss(embeddings, there)

    def validation_loss(self, inputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Return the mean cross entropy over patterns of missingness; of all modalities without dropout."""
        if self.dropout == "none":
            return super().validation_loss(inputs, labels)
        embeddings = self._embedded(inputs, None)
        chosen = patterns(len(self.shapes))[:, None]
        return self._loss_over(chosen, embeddings, self._there(len(labels), None), labels)

    def contrastive_loss(self, embeddings: Tensor, there: Tensor) -> Tensor:
        """Return the mean InfoNCE over pairs of modalities, and of each modality and the fusion of all.

        The keys become negatives of later steps.

        Args:
            embeddings: of the modalities ``[n, modalities, width]``.
            there: which modalities a patient has ``[n, modalities]``.
        """
        if self.projections is None:
            raise ValueError("There is no contrastive loss: the model was built with contrastive=False.")
        fused = self.fusion(self._filled(embeddings, there).flatten(1))
        views = [
            nn.functional.normalize(projection(view), dim=1)
            for projection, view in zip(self.projections, [*embeddings.unbind(1), fused], strict=True)
        ]
        has = [*there.unbind(1), there.any(1)]
        losses = []
        for one, other in combinations(range(len(views)), 2):
            rows = has[one] & has[other]
            if int(rows.sum()) > 1:
                first, second = views[one][rows], views[other][rows]
                losses += [
                    info_nce(first, second, self.queues[other].keys(second), temperature=TEMPERATURE),
                    info_nce(second, first, self.queues[one].keys(first), temperature=TEMPERATURE),
                ]
        if self.training:
            for queue, view, rows in zip(self.queues, views, has, strict=True):
                queue.push(view[rows])
        return torch.stack(losses).mean() if losses else embeddings.sum() * 0

    def _embedded(self, inputs: Mapping[str, Tensor], present: Present | None) -> Tensor:
        """Return the embeddings of all modalities ``[n, modalities, width]``."""
        encoded = self.encode_all(self.blanked(inputs, present))
        return torch.stack([encoded[name] for name in self.shapes], dim=1)

    def _step_patterns(self, n: int, generator: torch.Generator) -> Tensor:
        """Return the patterns of a step ``[patterns, n or 1, modalities]``."""
        n_modalities = len(self.shapes)
        if self.dropout == "none":
            return torch.ones(1, 1, n_modalities, dtype=torch.bool)
        if self.dropout == "random":
            return drawn_patterns(n, n_modalities, generator)[None]
        chosen = patterns(n_modalities)
        if n_modalities > MOST_ENUMERATED:
            chosen = torch.cat([chosen, drawn_patterns(n_modalities, n_modalities, generator)])
        return chosen[:, None]

    def _loss_over(self, chosen: Tensor, embeddings: Tensor, there: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy over patterns, each number of modalities counting alike.

        Else that of all modalities together would be one of fifteen. A patient who has none of a pattern does
        not count in it.
        """
        kept = chosen.to(there.device) & there  # [patterns, n, modalities]
        logits = self.classify(self._filled(embeddings.expand(len(kept), *embeddings.shape), kept).flatten(2))
        losses = nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.repeat(len(kept)), reduction="none"
        ).view(kept.shape[:2])
        # Patterns that are drawn one a patient count alike.
        weights = (
            size_weights(chosen[:, 0])[:, None] if chosen.shape[1] == 1 else torch.ones(chosen.shape[:2])
        )
        weights = weights.to(losses) * kept.any(2)
        return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(losses.dtype).tiny)

    def _filled(self, embeddings: Tensor, there: Tensor) -> Tensor:
        """Return embeddings ``[…, modalities, width]`` with stand-ins for what is not there."""
        tokens = torch.stack([self.stand_in(name) for name in self.shapes]).to(embeddings)
        return torch.where(there[..., None], embeddings, tokens)

    def _there(self, n: int, present: Present | None) -> Tensor:
        """Return which modalities each of n patients has ``[n, modalities]``."""
        everyone = torch.ones(n, dtype=torch.bool, device=self.head.weight.device)
        return torch.stack([(present or {}).get(name, everyone) for name in self.shapes], dim=1)


class KeyQueue:
    """Keys of earlier steps, the oldest of them forgotten (He et al. 2020); no part of a network's state.

    Args:
        length: keys that are remembered.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._keys: Tensor | None = None

    def keys(self, like: Tensor) -> Tensor:
        """Return the keys ``[k, width]``, none at first, where a tensor of such keys is."""
        return like.new_zeros(0, like.shape[1]) if self._keys is None else self._keys.to(like)

    def push(self, keys: Tensor) -> None:
        """Remember keys ``[n, width]``; no gradient passes through them."""
        self._keys = torch.cat([self.keys(keys), keys.detach()])[-self.length :]


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, *, temperature: float) -> Tensor:
    """Return the mean of −log(exp(qᵢ·kᵢ/τ) / (Σⱼ exp(qᵢ·kⱼ/τ) + Σₘ exp(qᵢ·nₘ/τ))) (van den Oord et al. 2018).

    Args:
        queries: of length 1 ``[n, width]``.
        keys: the one of the same row belongs to the same patient ``[n, width]``.
        negatives: keys of other patients ``[k, width]``.
        temperature: τ.
    """
    similarity = queries @ torch.cat([keys, negatives]).T / temperature
    return nn.functional.cross_entropy(similarity, torch.arange(len(queries), device=queries.device))


MODEL = Architecture(
    name="contrastive",
    network=ContrastiveNetwork,
    description="contrastive fusion with tokens for missing modalities, after Gu, Saito & Ma (2025)",
    plan=TrainingPlan(learning_rate=4e-3, schedule="one_cycle", weight_decay=0.1, max_epochs=8),
)
