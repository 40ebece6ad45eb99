"""A folder of tensors that are dear to compute: named by content, checked when read, never pickled."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import platformdirs
import safetensors
import safetensors.torch
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

logger = logging.getLogger(__name__)

CHECKSUM = "sha256"
"""Metadata entry that holds the checksum of everything else in the entry; callers cannot use this name."""


def cache_folder() -> Path:
    """Return the folder for everything Plumbline caches; it need not exist yet.

    The environment variable ``PLUMBLINE_CACHE`` where it is set, otherwise the user's cache folder of the
    operating system.
    """
    chosen = os.environ.get("PLUMBLINE_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("plumbline"))


def content_key(*parts: str | bytes | float) -> str:
    """Return a file name for whatever the parts determine: 32 hexadecimal digits.

    Parts are told apart by type and length, so that ("ab", "c") and ("a", "bc") differ, and 1 and "1" too.

    Example:
        >>> content_key("pca", 10) == content_key("pca", 10)
        True
        >>> content_key("ab", "c") == content_key("a", "bc")
        False
    """
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(f"{type(part).__name__}:{len(raw)}:".encode())
        digest.update(raw)
    return digest.hexdigest()[:32]


def load(key: str, *, folder: Path) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Return an entry's tensors and metadata, or None where there is no sound entry.

    A damaged entry is logged as a warning and counts as absent: the caller computes it anew, and `save`
    replaces it.

    Args:
        key: name of the entry, see `content_key`.
        folder: where entries of this kind lie, e.g. ``cache_folder() / "features"``.
    """
    path = _path(folder, key)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("The cache entry %s cannot be read (%s). Computing it anew.", path, error)
        return None
    try:
        tensors = safetensors.torch.load(raw)
        metadata = _metadata(raw)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        logger.warning("The cache entry %s is damaged (%s). Computing it anew.", path, error)
        return None
    expected = metadata.pop(CHECKSUM, "no checksum")
    found = checksum(tensors, metadata)
    if found != expected:
        logger.warning(
            "The cache entry %s is damaged (checksum %s, expected %s). Computing it anew.",
            path,
            found,
            expected,
        )
        return None
    return tensors, metadata


def save(
    key: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None, *, folder: Path
) -> bool:
    """Store an entry and return True; where the folder cannot be written, log a warning and return False.

    A cache saves time and must never stop the work: nobody has to handle the failure. Several processes may
    save the same key at once; readers see one complete entry or none.

    Args:
        key: name of the entry, see `content_key`.
        tensors: what to keep, by name.
        metadata: text to keep with it.
        folder: where entries of this kind lie; made where it is missing.

    Raises:
        ValueError: if `metadata` uses the reserved name ``"sha256"``.
    """
    metadata = dict(metadata or {})
    if CHECKSUM in metadata:
        raise ValueError(f"The 'metadata' must not use the reserved name {CHECKSUM!r}. Choose another name.")
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    raw = safetensors.torch.save(kept, {**metadata, CHECKSUM: checksum(kept, metadata)})
    path = _path(folder, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(raw)
    except OSError as error:
        logger.warning(
            "The cache folder %s cannot be written (%s). Going on without a cache; "
            "set PLUMBLINE_CACHE to a folder of your own to keep results.",
            path.parent,
            error,
        )
        return False
    return True


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of names, types, shapes, values and text; the order of the names does not matter."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under `path` complete or not at all.

    The bytes go to a temporary file beside it, which takes the name when the block ends without an error and
    is removed when it does not. Every writer has a temporary file of its own, so the last one wins.

    Raises:
        OSError: if the folder of `path` is missing or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a crash of the machine must not leave the name on an empty file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.safetensors"


def _metadata(raw: bytes) -> dict[str, str]:
    """Return the text that a safetensors file carries; its header is JSON behind an 8-byte length."""
    size = int.from_bytes(raw[:8], "little")
    return dict(json.loads(raw[8 : 8 + size]).get("__metadata__", {}))
