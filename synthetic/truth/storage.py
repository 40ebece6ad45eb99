"""Truths on disk: one cache entry each, named by everything that determines it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from synthetic.cache import cache_folder, content_key, load, save
from synthetic.fingerprint import source_fingerprint
from synthetic.law import GaussianCopula, LatentLaw
from synthetic.types import SubsetValues, Truth

logger = logging.getLogger(__name__)

_SOURCES = (
    "synthetic/truth",
    "synthetic/decision.py",
    "synthetic/labels.py",
    "synthetic/law.py",
    "synthetic/margins.py",
    "synthetic/missing.py",
    "synthetic/seeding.py",
    "synthetic/types.py",
)


def key(law: LatentLaw, *parts: str) -> str:
    """Return the key of a law and whatever else determines truths, under the present source."""
    words = [source_fingerprint(*_SOURCES), *parts]
    for block in law.blocks:
        is_copula = isinstance(block, GaussianCopula)
        content = np.ascontiguousarray(block.covariance if is_copula else block.rows)
        digest = hashlib.sha256(content.tobytes()).hexdigest()
        margins = repr(block.margins) if is_copula else ""
        words += [type(block).__name__, repr(content.shape), str(content.dtype), digest, margins]
    return content_key(*words)


def recall(name: str, estimand: str) -> Truth | None:
    """Return a truth that was kept, or None; one that cannot be read is logged, and worked out anew."""
    entry = load(content_key(name, estimand), folder=cache_folder() / "truths")
    if entry is None:
        return None
    try:
        return _decode(*entry, estimand)
    # What the cache hands out has the right checksum and the right name; of its content it knows nothing.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        logger.warning("The %s truth %s of the cache cannot be read (%s).", estimand, name, error)
        return None


def _decode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], estimand: str) -> Truth:
    content = json.loads(metadata["truth"])
    if content["estimand"] != estimand:
        raise ValueError(f"it is the {content['estimand']!r} truth")
    for field in ("pairs", "pairs_standard_error"):
        content[field] = {(first, second): value for first, second, value in content[field]}
    content["subsets"] = {
        quantity: SubsetValues(tuple(modalities), tuple(players), tensors[quantity].numpy())
        for quantity, modalities, players in content["subsets"]
    }
    return Truth(**content)


def keep(name: str, truth: Truth) -> None:
    """Keep a truth; where the cache cannot be written, go on without."""
    content = {field: getattr(truth, field) for field in truth.__dataclass_fields__}
    for field in ("pairs", "pairs_standard_error"):
        content[field] = [[*pair, value] for pair, value in content[field].items()]
    content["subsets"] = [[quantity, it.modalities, it.players] for quantity, it in truth.subsets.items()]
    tensors = {quantity: torch.from_numpy(it.values.copy()) for quantity, it in truth.subsets.items()}
    save(
        content_key(name, truth.estimand),
        tensors,
        {"truth": json.dumps(content)},
        folder=cache_folder() / "truths",
    )
