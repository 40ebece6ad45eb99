"""What a method said of a model, as it passes between processes and into results."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from methods.api import Attribution


@dataclass(frozen=True)
class Said:
    """What a method said, and what it took.

    Attributes:
        importances: modality → raw importance.
        model_calls: samples that it had evaluated.
        seconds: that it took.
        standard_error: modality → standard error of its importance, where the method knows it.
        signed: modality → mean over samples of what is attributed to it, with signs, if there are any.
        features: table → one raw value a column, where the method yields them.
        interactions: two modalities and their raw interaction each, where the method yields them.
        summary: further numbers by name, where the method yields them.
        pixels: image → float32 relevance ``[m, height, width]`` of the first m samples, where it yields it.
        flags: what a reader must know of it, a sentence each.
    """

    importances: Mapping[str, float] = field(default_factory=dict)
    model_calls: int = 0
    seconds: float = 0.0
    standard_error: Mapping[str, float] = field(default_factory=dict)
    signed: Mapping[str, float] = field(default_factory=dict)
    features: Mapping[str, list[float]] = field(default_factory=dict)
    interactions: list[tuple[str, str, float]] = field(default_factory=list)
    summary: Mapping[str, float] = field(default_factory=dict)
    pixels: Mapping[str, np.ndarray] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        attribution: Attribution,
        *,
        tables: Mapping[str, int],
        n_maps: int,
        model_calls: int,
        seconds: float,
    ) -> Said:
        """Return what of an attribution is scored or shown.

        Args:
            attribution: from the method.
            tables: name → number of columns. Features of images are not the truth's, those of another number
                of parts (patches, embeddings) neither: they are left out.
            n_maps: maps of each image that are kept.
            model_calls: samples that it had evaluated.
            seconds: that it took.
        """
        return cls(
            importances=dict(attribution.modalities),
            model_calls=model_calls,
            seconds=seconds,
            standard_error={name: float(error) for name, error in attribution.standard_error.items()},
            signed={name: float(value) for name, value in attribution.signed.items() if np.isfinite(value)},
            features=_features(attribution.features, tables),
            interactions=[(*pair, float(value)) for pair, value in attribution.interactions.items()],
            summary={name: float(value) for name, value in attribution.summary.items()},
            pixels={
                name: np.asarray(maps)[:n_maps].astype(np.float32)
                for name, maps in attribution.pixels.items()
            },
            flags=list(attribution.flags),
        )

    def packed(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {**vars(self), "pixels": {name: _pack(maps) for name, maps in self.pixels.items()}}

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> Said:
        """Return what was packed, to the last digit."""
        interactions = [(first, second, value) for first, second, value in packed["interactions"]]
        pixels = {name: _unpack(maps) for name, maps in packed["pixels"].items()}
        return cls(**{**packed, "interactions": interactions, "pixels": pixels})


def _features(features: Mapping[str, np.ndarray], tables: Mapping[str, int]) -> dict[str, list[float]]:
    """Return the values of table columns: of all tables, or of none."""
    found = {name: np.asarray(features[name], dtype=float) for name in tables if name in features}
    fits = [values.shape == (tables[name],) and np.isfinite(values).all() for name, values in found.items()]
    if len(found) < len(tables) or not all(fits):
        return {}
    return {name: values.tolist() for name, values in found.items()}


def _pack(maps: np.ndarray) -> dict[str, Any]:
    packed = zlib.compress(np.ascontiguousarray(maps, dtype="<f4").tobytes(), level=1)
    return {"shape": list(maps.shape), "data": base64.b64encode(packed).decode()}


def _unpack(packed: Mapping[str, Any]) -> np.ndarray:
    values = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), dtype="<f4")
    return values.reshape(packed["shape"])


def feature_shares(
    features: Mapping[str, float], tables: Iterable[tuple[str, tuple[str, ...]]]
) -> dict[str, list[float]]:
    """Return the true shares of table columns among themselves; none where no column has a share.

    Args:
        features: ``"modality/latent"`` → share, as a truth has them.
        tables: name and full names of the features of every table.
    """
    found = {name: [float(features.get(feature, 0.0)) for feature in columns] for name, columns in tables}
    total = sum(map(sum, found.values()))
    if total <= 0:
        return {}
    return {name: [share / total for share in shares] for name, shares in found.items()}
