"""A folder of tensors that are dear to compute: named by content, checked when read, kept to a size.

Entries are safetensors files, never pickles, in one folder a kind below `cache_folder`. How much they may
take together, and which go first, is `synthetic.cache_limit`'s business; to look after the folder there is
`synthetic.cache_upkeep`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import platformdirs
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from synthetic.cache_limit import KINDS, LIMIT_VARIABLE, cache_limit, evict_at_times

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

logger = logging.getLogger(__name__)

CHECKSUM = "sha256"
"""Metadata entry that holds the checksum of everything else in the entry; callers cannot use this name."""

KEY = "key"
"""Metadata entry that holds the entry's own key, which callers cannot use either: a file that was renamed, or
copied over another one, is sound, and yet not what its name promises."""

_told: set[Path] = set()
"""Folders of which this process has said that they cannot be written: a run saves hundreds of entries."""


def cache_folder() -> Path:
    """Return the folder for everything Plumbline caches; it need not exist yet.

    The environment variable ``PLUMBLINE_CACHE`` where it is set, otherwise the user's cache folder of the
    operating system, or where the user has no home, as in containers, one among the temporary files.
    """
    chosen = os.environ.get("PLUMBLINE_CACHE")
    if chosen:
        return path_of_user(chosen)
    try:
        place = Path(platformdirs.user_cache_dir("plumbline"))
    except RuntimeError:
        place = Path("~")
    # Without a home platformdirs raises, or returns a folder that is named "~".
    return place if place.is_absolute() else Path(tempfile.gettempdir()) / f"plumbline-{os.getuid()}"


def path_of_user(text: str | Path) -> Path:
    """Return a path with ``~`` written out; it stays where there is no such home."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises there


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
    replaces it. An entry that another process evicts is read whole or is absent.

    Args:
        key: name of the entry, see `content_key`.
        folder: where entries of this kind lie, e.g. ``cache_folder() / "features"``.

    Raises:
        ValueError: if the limit is no size, see `cache_limit.cache_limit`: that is said here, before anything
            is computed, and not only when the outcome is to be saved.
    """
    if _limit(folder) == 0:
        return None
    path = _path(folder, key)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("The cache entry %s cannot be read (%s). Computing it anew.", path, error)
        return None
    try:
        entry = decode(raw, key)
    except ValueError as error:
        logger.warning("The cache entry %s is damaged (%s). Computing it anew.", path, error)
        return None
    with suppress(OSError):  # evicted since, or a folder that can only be read
        os.utime(path)  # "now" by the clock of the file system, as for a file that is written
    return entry


def save(
    key: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None, *, folder: Path
) -> bool:
    """Store an entry and return True; where it cannot be kept, return False, and log a warning once a folder.

    A cache saves time and must never stop the work: nobody has to handle the failure. Several processes may
    save the same key at once; readers see one complete entry or none. Entries that were used long ago may go
    in exchange, see `cache_limit.evict`. Where the limit is 0, or the entry larger than it, nothing is kept.

    Args:
        key: name of the entry, see `content_key`.
        tensors: what to keep, by name.
        metadata: text to keep with it.
        folder: where entries of this kind lie; made where it is missing. The limit holds for the folders of
            `KINDS` below `cache_folder`; a folder of the caller's own is never measured, nor anything in it
            removed.

    Raises:
        ValueError: if `metadata` uses the reserved names ``"sha256"`` or ``"key"``, or the limit is no size.
    """
    metadata = dict(metadata or {})
    for name in (CHECKSUM, KEY):
        if name in metadata:
            raise ValueError(f"The 'metadata' must not use the reserved name {name!r}. Choose another name.")
    metadata[KEY] = key
    limit = _limit(folder)
    if limit == 0:
        return False
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    raw = safetensors.torch.save(kept, {**metadata, CHECKSUM: checksum(kept, metadata)})
    path = _path(folder, key)
    if limit is not None and len(raw) > limit:
        logger.warning(
            "The cache entry %s is not kept: its %s bytes are more than all entries may take (%s). "
            "Set %s to a larger size to keep it.",
            path,
            f"{len(raw):,}",
            f"{limit:,}",
            LIMIT_VARIABLE,
        )
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(raw)
    except OSError as error:
        if path.parent not in _told:
            _told.add(path.parent)
            logger.warning(
                "The cache folder %s cannot be written (%s). Going on without a cache; "
                "set PLUMBLINE_CACHE to a folder of your own to keep results.",
                path.parent,
                error,
            )
        return False
    if limit is not None:
        evict_at_times(path, len(raw), limit)
    return True


def decode(raw: bytes, key: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and metadata of an entry's bytes.

    Args:
        raw: the bytes.
        key: name of the entry that they should be.

    Raises:
        ValueError: if a value, name, type, shape or text differs from what was saved, or it was saved under
            another key; the message says how that was found.
    """
    try:
        tensors = safetensors.torch.load(raw)
        metadata = _metadata(raw)
        expected = metadata.pop(CHECKSUM, "no checksum")
        found = checksum(tensors, metadata)
    except MemoryError:
        raise  # says nothing about the entry
    # Damage can make the header promise anything, and torch answers each impossible promise in its own way.
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if found != expected:
        raise ValueError(f"checksum {found}, expected {expected}")
    own = metadata.pop(KEY, None)
    if own != key:
        raise ValueError("it does not say which entry it is" if own is None else f"it is entry {own!r}")
    return tensors, metadata


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


def _limit(folder: Path) -> int | None:
    """Return the limit that holds for a folder of entries: none for a folder of the caller's own."""
    return cache_limit() if folder.name in KINDS and folder.parent == cache_folder() else None


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.safetensors"


def _metadata(raw: bytes) -> dict[str, str]:
    """Return the text that a safetensors file carries; its header is JSON behind an 8-byte length."""
    size = int.from_bytes(raw[:8], "little")
    return dict(json.loads(raw[8 : 8 + size]).get("__metadata__", {}))
