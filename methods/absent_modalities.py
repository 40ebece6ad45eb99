"""Models without some of their modalities: what they answer where the others are drawn from other samples.

A modality that is absent is imputed with that of background samples. Where encodings do not depend on each
other that is done after them, by swapping columns of the fusion vector: every sample is encoded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import torch
from scipy import special
from torch import Tensor

from methods import evaluation
from methods.api import FusionModel, NotApplicableError, SeparableModel
from synthetic.types import Samples

Absence = Literal["marginal", "conditional"]
"""How absent modalities are drawn: whatever the present ones are, or as they go with them."""
Output = Literal["margin", "probability"]

_ROWS = 16_384  # imputed samples that are held in memory at a time
_FALSE_LINK = 0.01  # chance that modalities which are independent of each other are taken for linked
_LOG_2 = float(np.log(2))


class AbsentModalities:
    """A model's answers where only a coalition of its modalities is there.

    An absent modality becomes that of other samples, the *partners*: `n_draws` a sample, the same for every
    coalition, so that differences between coalitions are not blurred by other partners. All absent ones come
    from one partner, so they keep their tie to each other.

    Args:
        model: the model.
        samples: the samples to explain, at least two; each other's partners.
        rng: decides the partners, and breaks ties between values.
        absence: ``marginal``: an absent modality is the partner's, as in Covert et al. (2020) and in
            permutation importance. ``conditional``: it is drawn given the present ones, see `Links`.
        n_draws: partners a sample; more than there are other samples become as many as there are.

    Attributes:
        features: fusion features ``[n, d]``.
        logits: the model's answers with all modalities ``[n, classes]``.
        partners: of each sample, by place ``[n, draws]``.
        are_linked: whether any modalities tell of each other; else ``conditional`` is ``marginal``.

    Raises:
        ValueError: if an option is out of range or there are too few samples.
        NotApplicableError: if modalities are to be drawn given others and the model cannot encode them one
            by one.
    """

    def __init__(
        self,
        model: FusionModel,
        samples: Samples,
        rng: np.random.Generator,
        *,
        absence: Absence = "marginal",
        n_draws: int = 2,
    ) -> None:
        if absence not in get_args(Absence):
            raise ValueError(
                f"The 'absence' of modalities must be one of {', '.join(get_args(Absence))}. Got {absence!r}."
            )
        if n_draws < 2:
            raise ValueError(f"The 'n_draws' of absent modalities must be at least 2. Got {n_draws}.")
        if len(samples) < 2:
            raise ValueError(
                "Absent modalities are drawn from other samples, so there must be at least 2 samples. "
                f"Got {len(samples)}."
            )
        self._is_separable = isinstance(model, SeparableModel)
        if absence == "conditional" and not self._is_separable:
            raise NotApplicableError(
                "draws absent modalities given the present ones after encoding, which needs a model that "
                "encodes them one by one; absence=marginal does not"
            )
        self._model = model
        self._inputs = samples.inputs
        self.features = evaluation.encode(model, samples.inputs)
        self.logits = logits(model, self.features)
        self.partners = _partners(len(samples), n_draws, rng)
        links = Links(self.features.numpy(), model.groups, rng)
        self.are_linked = bool(links.sets)
        self._links = links if absence == "conditional" else None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.features)

    def answers(self, present: np.ndarray, rows: slice = slice(None)) -> Tensor:
        """Return logits ``[rows, draws, classes]`` where only some modalities are there.

        Args:
            present: one truth value a modality, in the model's order ``[modalities]``.
            rows: samples; where all modalities are there, there is one draw, and it is the model's answer.
        """
        if present.all():
            return self.logits[rows, None]
        partners = self.partners[rows]
        if not present.any():
            return self.logits[partners]
        n, n_draws = partners.shape
        found = [
            self._imputed(present, rows, partners[:, draws])
            for draws in evaluation.chunks(n_draws, max(_ROWS // n, 1))
        ]
        return torch.cat(found, dim=1)

    def _imputed(self, present: np.ndarray, rows: slice, partners: Tensor) -> Tensor:
        n, n_draws = partners.shape
        own = torch.arange(len(self))[rows].repeat_interleave(n_draws)
        others = partners.reshape(-1)
        absent = [name for name, there in zip(self._model.modalities, present, strict=True) if not there]
        if self._is_separable:
            mixed = self.features[own]
            for name in absent:
                columns = self._model.groups[name]
                mixed[:, columns] = self.features[others, columns]
            if self._links is not None:
                self._links.impute(mixed, present, own, others)
        else:
            mixed = evaluation.encode(
                self._model,
                {name: value[others if name in absent else own] for name, value in self._inputs.items()},
            )
        return logits(self._model, mixed).view(n, n_draws, -1)


class Links:
    """What some modalities tell of others: a Gaussian copula over the fusion features.

    The features' normal scores are taken for jointly Gaussian, as by Aas, Jullum & Løland (2021). Given the
    present modalities S, the absent ones have the scores of a partner b, moved by what b and the sample
    differ in: u_A = u_A(b) + B (u_S − u_S(b)), with B the regression of A on S. Each score is then read back
    as the value that has it. Residuals are the partner's own, so that absent modalities keep whatever law
    they have together; where nothing is linked, B = 0 and they are the partner's.

    A dependence that leaves normal scores uncorrelated is not seen. Modalities are linked where a correlation
    between their features is larger than chance explains (Bonferroni, 1 %), or through others; only those
    that are linked are regressed on each other. Their correlations are shrunk towards 0 as Ledoit & Wolf
    (2004) do.

    Args:
        features: of the samples ``[n, d]``.
        groups: modality → its columns.
        rng: breaks ties between values.
    """

    def __init__(self, features: np.ndarray, groups: Mapping[str, slice], rng: np.random.Generator) -> None:
        scores = normal_scores(features, rng)
        self._scores = torch.from_numpy(scores).float()
        self._groups = list(groups.values())
        self.sets = linked_sets(scores, self._groups)
        self._correlations = {tuple(s): shrunk_covariance(scores[:, self._columns(s)]) for s in self.sets}
        # A score is read back as the value whose own score is nearest.
        self._values = torch.from_numpy(np.sort(features, axis=0)).T.contiguous()
        ranked = np.sort(scores, axis=0)
        self._edges = torch.from_numpy((ranked[1:] + ranked[:-1]) / 2).float().T.contiguous()

    def impute(self, mixed: Tensor, present: np.ndarray, own: Tensor, others: Tensor) -> None:
        """Set the columns of absent modalities that are linked with present ones, in place.

        Args:
            mixed: fusion vectors ``[rows, d]``.
            present: one truth value a modality.
            own: the sample whose present modalities each row has ``[rows]``.
            others: its partner ``[rows]``.
        """
        for members in self.sets:
            known = [place for place in members if present[place]]
            unknown = [place for place in members if not present[place]]
            if not known or not unknown:
                continue
            correlation, everyone = self._correlations[tuple(members)], self._columns(members)
            given, wanted = self._columns(known), self._columns(unknown)
            at_given, at_wanted = np.searchsorted(everyone, given), np.searchsorted(everyone, wanted)
            slopes = np.linalg.solve(
                correlation[np.ix_(at_given, at_given)], correlation[np.ix_(at_given, at_wanted)]
            )
            moved = (self._scores[:, given] @ torch.from_numpy(slopes).float()).contiguous()
            target = self._scores[:, wanted][others] + moved[own] - moved[others]
            places = torch.searchsorted(self._edges[wanted], target.T.contiguous())
            mixed[:, wanted] = torch.gather(self._values[wanted], 1, places).T

    def _columns(self, members: list[int]) -> np.ndarray:
        return np.concatenate([np.arange(self._groups[m].start, self._groups[m].stop) for m in members])


def normal_scores(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return Φ⁻¹(rank / (n + 1)) of each column, standardised ``[n, d]``; 0 where a column is constant.

    Ties are broken at random: scores then are normal whatever the column is, and read back give its values as
    often as they are.

    Args:
        features: ``[n, d]``.
        rng: breaks ties.
    """
    n = len(features)
    order = rng.permutation(n)
    ranks = np.empty(features.shape)
    ranks[order] = 1 + features[order].argsort(axis=0, kind="stable").argsort(axis=0)
    scores = special.ndtri(ranks / (n + 1))
    scores /= scores.std(0)
    return np.where(np.ptp(features, axis=0) > 0, scores, 0)


def linked_sets(scores: np.ndarray, groups: list[slice]) -> list[list[int]]:
    """Return the sets of modalities, two or more, that are linked with each other, directly or not.

    Args:
        scores: standardised ``[n, d]``.
        groups: the columns of each modality.
    """
    n = len(scores)
    correlation = np.abs(scores.T @ scores) / n
    parents = list(range(len(groups)))

    def root(place: int) -> int:
        while parents[place] != place:
            place = parents[place]
        return place

    pairs = list(combinations(range(len(groups)), 2))
    n_tests = sum((groups[i].stop - groups[i].start) * (groups[j].stop - groups[j].start) for i, j in pairs)
    if n > 3 and n_tests:
        # Fisher's transformation: arctanh of a correlation of nothing is N(0, 1 / (n − 3)).
        limit = np.tanh(special.ndtri(1 - _FALSE_LINK / (2 * n_tests)) / np.sqrt(n - 3))
        for i, j in pairs:
            if correlation[groups[i], groups[j]].max(initial=0) > limit:
                parents[root(j)] = root(i)
    sets: dict[int, list[int]] = {}
    for place in range(len(groups)):
        sets.setdefault(root(place), []).append(place)
    return [members for members in sets.values() if len(members) > 1]


def shrunk_covariance(scores: np.ndarray) -> np.ndarray:
    """Return the covariance of centred scores ``[n, d]``, shrunk towards a multiple of 1 ``[d, d]``.

    Ledoit & Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices.
    """
    n, width = scores.shape
    sample = scores.T @ scores / n
    level = np.trace(sample) / width
    distance = ((sample - level * np.eye(width)) ** 2).sum()
    error = (((scores**2).sum(1) ** 2).mean() - (sample**2).sum()) / n
    weight = min(error / distance, 1.0) if distance > 0 else 1.0
    # Never quite singular: copies of one feature are common in learnt encodings.
    weight = max(weight, 1e-4)
    return (1 - weight) * sample + weight * max(level, 1e-12) * np.eye(width)


@torch.no_grad()
def logits(model: FusionModel, features: Tensor) -> Tensor:
    """Return logits ``[n, classes]`` of fusion features ``[n, d]``."""
    rows = evaluation.chunks(len(features), evaluation.CLASSIFY_ROWS)
    return torch.cat([model.classify(features[part]) for part in rows])


def scores_of(answers: Tensor, output: Output) -> Tensor:
    """Return what varies in answers ``[…, classes]``: two classes give 2 values, level with their mean.

    ``margin``: logits less their mean over the classes; of two classes, ± half the margin. ``probability``:
    of each class.

    Raises:
        ValueError: if there is no such output.
    """
    if output == "margin":
        return (answers - answers.mean(-1, keepdim=True)).double()
    if output == "probability":
        return answers.double().softmax(-1)
    raise ValueError(f"The 'output' must be one of {', '.join(get_args(Output))}. Got {output!r}.")


def bits(probability: Tensor, labels: Tensor) -> Tensor:
    """Return −log₂ of the labels' probability ``[n]``, for probabilities ``[n, classes]``."""
    chosen = probability.gather(1, labels[:, None])[:, 0]
    return -chosen.clamp_min(torch.finfo(chosen.dtype).tiny).log() / _LOG_2


def needed_labels(samples: Samples) -> Tensor:
    """Return the labels of samples.

    Raises:
        ValueError: if there are none.
    """
    if samples.labels is None:
        raise ValueError("The loss needs the 'labels' of the samples. Got none.")
    return samples.labels


def _partners(n: int, n_draws: int, rng: np.random.Generator) -> Tensor:
    """Return partners ``[n, draws]``: nobody is their own, none comes twice, all are partners equally often.

    Cyclic shifts along a random order.
    """
    shifts = 1 + rng.permutation(n - 1)[: min(n_draws, n - 1)]
    order = rng.permutation(n)
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    return torch.from_numpy(order[(place[:, None] + shifts) % n])
