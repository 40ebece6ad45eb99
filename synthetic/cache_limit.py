"""How much all entries of the cache together may take, and which of them go first.

The time of an entry's last use is its modification time, which loading it sets anew; access times are not
kept on every file system. Nothing but the cache's own files, by their names, in the folders of `KINDS`, is
measured or removed, and no link is followed.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

logger = logging.getLogger(__name__)

KINDS = ("features", "models", "truths")
"""The folders of the cache, one for every kind of entry."""

LIMIT_VARIABLE = "PLUMBLINE_CACHE_LIMIT"
DEFAULT_LIMIT = 10_000_000_000

GRACE_SECONDS = 60.0
"""Entries used within this time are never evicted: they may be saved by one process for others to read."""

LOOK_EVERY, LOOK_SHARE = 256, 0.01
"""Saves, and share of the limit, after which a process measures the cache again."""

_UNITS = {"b": 1}
for _power, _prefix in enumerate("kmgt", start=1):
    _UNITS |= {f"{_prefix}b": 1000**_power, f"{_prefix}ib": 1024**_power}

_ENTRY = re.compile(r"[0-9a-f]{32}\.safetensors")
_LEFTOVER = re.compile(r"\.[0-9a-f]{32}\.safetensors\.[0-9]+-[0-9a-f]{8}\.part")  # as `replacing` names them

_not_measured: dict[Path, tuple[int, int]] = {}
"""Saves and bytes of this process since it last measured a cache."""


def cache_limit() -> int | None:
    """Return how many bytes all entries together may take: 0 for no cache, None for no limit.

    The environment variable ``PLUMBLINE_CACHE_LIMIT`` where it is set, otherwise 10 GB. With 0, nothing
    is read and nothing kept, and what lies in the folder stays as it is.

    Raises:
        ValueError: if the variable is no size with a unit, no ``"0"`` and not ``"none"``.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return DEFAULT_LIMIT
    if text.lower() == "none":
        return None
    if text == "0":
        return 0
    match = re.fullmatch(r"([0-9]{1,15})(?:\.([0-9]{1,6}))?\s*([a-z]+)", text, re.IGNORECASE | re.ASCII)
    unit = _UNITS.get(match[3].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(
            f"The environment variable {LIMIT_VARIABLE} must be a size with a unit (B, kB, MB, GB, TB, KiB, "
            "MiB, GiB or TiB), such as '5 GB' or '500MB', or '0' for no cache, or 'none' for no limit. "
            f"Got {text!r}. Correct it, or unset it for the default of 10 GB."
        )
    fraction = match[2] or ""
    return int(match[1] + fraction) * unit // 10 ** len(fraction)


def evict(folder: Path, limit: int, *, saved: Path | None = None) -> int:
    """Remove the entries used longest ago until the rest fits the limit; return how many were removed.

    Never removed: the entry just saved, and entries that any process used within the last minute. A burst of
    saves may therefore exceed the limit until a later save. Entries stamped more than a minute ahead of the
    clock were used before it was put back, nobody knows when: they go first. Processes that evict at once
    choose the same entries, and one that is gone already is no error; one that was used since it was measured
    stays. What cannot be removed is logged as a warning.

    Args:
        folder: the cache, with the folders of `KINDS`.
        limit: bytes that all entries together may take.
        saved: the entry just saved; its time is taken as the present, as clocks of machines that share a
            folder differ.
    """
    n_removed = 0
    faults: list[OSError] = []
    try:
        entries = [file for file in list_files(folder) if file.what == "entry"]
    except OSError as error:
        entries, faults = [], [error]
    now = next((file.used_ns for file in entries if file.path == saved), time.time_ns())
    grace = int(GRACE_SECONDS * 1e9)
    excess = sum(file.n_bytes for file in entries) - limit
    for file in sorted(entries, key=lambda each: (each.used_ns <= now + grace, each.used_ns, each.path)):
        if excess <= 0:
            break
        if file.path == saved or abs(now - file.used_ns) < grace:
            continue
        try:
            outcome = remove(file)
        except OSError as error:
            faults.append(error)
            continue
        n_removed += outcome == "removed"
        if outcome != "changed":
            excess -= file.n_bytes
    if faults:
        logger.warning("The cache folder %s cannot be kept to its limit (%s).", folder, faults[0])
    return n_removed


def evict_at_times(saved: Path, n_bytes: int, limit: int) -> None:
    """Evict after a save, but not after every one: measuring takes a look at every entry.

    A process measures at its first save, then after every 256th, or once it has added 1 % of the limit. The
    limit may be exceeded by so much.

    Args:
        saved: the entry just saved, in a folder of `KINDS`.
        n_bytes: its size.
        limit: bytes that all entries together may take.
    """
    folder = saved.parent.parent
    n_saves, n_added = _not_measured.get(folder, (LOOK_EVERY, 0))
    n_saves, n_added = n_saves + 1, n_added + n_bytes
    is_due = n_saves >= LOOK_EVERY or n_added > limit * LOOK_SHARE
    _not_measured[folder] = (0, 0) if is_due else (n_saves, n_added)
    if is_due:
        evict(folder, limit, saved=saved)


@dataclass(frozen=True)
class CacheFile:
    """Something in a folder of the cache: where, what, its size, and when it was last used or written.

    An entry and a leftover of an interrupted save are plain files with names that only this module gives;
    everything else is foreign: other names, folders, links.
    """

    path: Path
    kind: str
    what: Literal["entry", "leftover", "foreign"]
    n_bytes: int
    used_ns: int


def list_files(folder: Path, kinds: Iterable[str] = KINDS) -> list[CacheFile]:
    """Return what lies in the folders of the kinds, which need not exist; links are not followed.

    Raises:
        OSError: if a folder is there and cannot be listed.
    """
    found: list[CacheFile] = []
    for kind in kinds:
        place = folder / kind
        with suppress(FileNotFoundError):
            status = place.lstat()
            if not stat.S_ISDIR(status.st_mode):
                found.append(CacheFile(place, kind, "foreign", status.st_size, status.st_mtime_ns))
                continue
            for name in os.listdir(place):  # noqa: PTH208 - ten times as fast as Path objects for all
                with suppress(FileNotFoundError):  # evicted, or a temporary file that took its name
                    status = (place / name).lstat()
                    what = _classify(name, status.st_mode)
                    found.append(CacheFile(place / name, kind, what, status.st_size, status.st_mtime_ns))
    return found


def remove(file: CacheFile) -> Literal["removed", "gone", "changed"]:
    """Remove a file of the cache, unless it was used or replaced since it was listed.

    Raises:
        OSError: if it cannot be removed.
        ValueError: if it is foreign: what the cache did not write is not the cache's to remove.
    """
    if file.what == "foreign":
        raise ValueError(f"The 'file' to remove must be the cache's own. Got {file.path}. Remove it by hand.")
    try:
        status = file.path.lstat()
        what = _classify(file.path.name, status.st_mode)
        if (what, status.st_size, status.st_mtime_ns) != (file.what, file.n_bytes, file.used_ns):
            return "changed"
        file.path.unlink()
    except FileNotFoundError:
        return "gone"
    return "removed"


def _classify(name: str, mode: int) -> Literal["entry", "leftover", "foreign"]:
    if not stat.S_ISREG(mode):
        return "foreign"
    return "entry" if _ENTRY.fullmatch(name) else "leftover" if _LEFTOVER.fullmatch(name) else "foreign"
