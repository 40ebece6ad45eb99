"""Look after the cache by hand: what lies in it, which entries are damaged, and clearing it.

Other processes may use the cache meanwhile. No function here counts as a use of an entry, follows a link, or
touches anything but the cache's own files in the folders of `synthetic.cache_limit.KINDS`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from synthetic.cache import decode
from synthetic.cache_limit import KINDS, CacheFile, cache_limit, list_files, remove

DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True)
class KindInfo:
    """The entries of one kind: number, bytes, and when the first and the last of them was used (UTC).

    The times are None where there is no entry.
    """

    kind: str
    n_entries: int
    n_bytes: int
    oldest_use: datetime | None
    newest_use: datetime | None


@dataclass(frozen=True)
class CacheInfo:
    """What lies in a cache, kind by kind; `limit` in bytes, 0 for no cache, None for no limit.

    Leftovers are temporary files, of saves under way or interrupted; foreign is what the cache did not write.
    Neither counts towards the limit.
    """

    folder: Path
    kinds: tuple[KindInfo, ...]
    limit: int | None
    n_leftovers: int
    n_leftover_bytes: int
    foreign: tuple[Path, ...]

    @property
    def n_entries(self) -> int:
        """The number of entries of all kinds."""
        return sum(kind.n_entries for kind in self.kinds)

    @property
    def n_bytes(self) -> int:
        """The size of all entries."""
        return sum(kind.n_bytes for kind in self.kinds)


@dataclass(frozen=True)
class Fault:
    """A file and what is the matter with it."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Verification:
    """What a check of every entry found.

    Damaged entries hold other bytes than were saved, or lie under another name; loading one reports it and
    counts it as absent.
    Unreadable ones could not be read this time, which says nothing about their bytes.
    """

    n_sound: int
    damaged: tuple[Fault, ...]
    unreadable: tuple[Fault, ...]
    leftovers: tuple[Path, ...]
    foreign: tuple[Path, ...]


@dataclass(frozen=True)
class Clearance:
    """What clearing removed, files and bytes, and what it left in the folders of the kinds, with reasons."""

    n_files: int
    n_bytes: int
    left: tuple[Fault, ...]


def info(folder: Path) -> CacheInfo:
    """Count what lies in a cache; an absent folder is an empty cache.

    Args:
        folder: the cache, see `synthetic.cache.cache_folder`.

    Raises:
        OSError: if the folder, or one of a kind, is there and cannot be listed.
        ValueError: if the limit is no size, see `synthetic.cache_limit.cache_limit`.
    """
    limit = cache_limit()
    files = list_files(folder)
    leftovers = [file.n_bytes for file in files if file.what == "leftover"]
    return CacheInfo(
        folder=folder,
        kinds=tuple(_kind_info(kind, files) for kind in KINDS),
        limit=limit,
        n_leftovers=len(leftovers),
        n_leftover_bytes=sum(leftovers),
        foreign=_paths(files, "foreign"),
    )


def verify(folder: Path) -> Verification:
    """Read every entry and compare it with its checksum and its name; nothing is changed.

    Args:
        folder: the cache, see `synthetic.cache.cache_folder`.

    Raises:
        OSError: if the folder, or one of a kind, is there and cannot be listed.
    """
    files = list_files(folder)
    n_sound = 0
    damaged: list[Fault] = []
    unreadable: list[Fault] = []
    for file in files:
        if file.what != "entry":
            continue
        try:
            reason = _damage(file)
        except FileNotFoundError:
            continue  # evicted since it was listed
        except OSError as error:
            unreadable.append(Fault(file.path, f"cannot be read ({error})"))
            continue
        if reason is None:
            n_sound += 1
        else:
            damaged.append(Fault(file.path, reason))
    return Verification(
        n_sound=n_sound,
        damaged=tuple(damaged),
        unreadable=tuple(unreadable),
        leftovers=_paths(files, "leftover"),
        foreign=_paths(files, "foreign"),
    )


def clear(folder: Path, kinds: Iterable[str] | None = None, *, damaged_only: bool = False) -> Clearance:
    """Remove entries, and what saves interrupted more than a day ago left behind; say what stays and why.

    Only plain files with the cache's own names in the folders of the kinds are removed. Folders stay, and so
    does an entry that was used or replaced between listing and removing.

    Args:
        folder: the cache, see `synthetic.cache.cache_folder`.
        kinds: kinds of entries, of ``"features"``, ``"models"`` and ``"truths"``; None for all.
        damaged_only: whether sound entries, and unreadable ones, stay.

    Raises:
        OSError: if the folder, or one of a kind, is there and cannot be listed.
        ValueError: if a kind is unknown.
    """
    chosen = KINDS if kinds is None else tuple(dict.fromkeys([kinds] if isinstance(kinds, str) else kinds))
    for kind in chosen:
        if kind not in KINDS:
            raise ValueError(f"The 'kinds' of clear must be among {', '.join(KINDS)}. Got {kind!r}.")
    now = time.time_ns()
    n_files = n_bytes = 0
    left: list[Fault] = []
    for file in list_files(folder, chosen):
        try:
            reason = _reason_to_stay(file, now, damaged_only=damaged_only)
            if reason is None:
                outcome = remove(file)
                reason = "was used meanwhile" if outcome == "changed" else None
                n_files += outcome == "removed"
                n_bytes += file.n_bytes if outcome == "removed" else 0
        except FileNotFoundError:
            continue  # evicted since it was listed
        except OSError as error:
            reason = f"cannot be read or removed ({error})"
        if reason:
            left.append(Fault(file.path, reason))
    return Clearance(n_files, n_bytes, tuple(left))


def _reason_to_stay(file: CacheFile, now: int, *, damaged_only: bool) -> str | None:
    """Return why clearing leaves a file, "" where that needs no word, or None if it goes.

    Raises:
        OSError: if an entry cannot be read.
    """
    if file.what == "foreign":
        return "is no file of the cache"
    if file.what == "leftover":
        # Either way: where the clock was put back since, the file is stamped far ahead of it.
        return None if abs(now - file.used_ns) > DAY_NS else "may still be being written"
    return "" if damaged_only and _damage(file) is None else None


def _damage(file: CacheFile) -> str | None:
    """Return what is wrong with an entry's bytes, or None.

    Raises:
        OSError: if it cannot be read.
    """
    raw = file.path.read_bytes()
    try:
        decode(raw, file.path.stem)
    except ValueError as error:
        return str(error)
    return None


def _kind_info(kind: str, files: Iterable[CacheFile]) -> KindInfo:
    entries = [file for file in files if file.kind == kind and file.what == "entry"]
    uses = sorted(file.used_ns for file in entries)
    return KindInfo(
        kind=kind,
        n_entries=len(entries),
        n_bytes=sum(file.n_bytes for file in entries),
        oldest_use=_moment(uses[0]) if uses else None,
        newest_use=_moment(uses[-1]) if uses else None,
    )


def _moment(used_ns: int) -> datetime:
    """Return a file's time; one outside the years 1970 to 9999, which a file may carry, as the nearest."""
    return datetime.fromtimestamp(min(max(used_ns / 1e9, 0), 253_402_300_799), UTC)


def _paths(files: Iterable[CacheFile], what: str) -> tuple[Path, ...]:
    return tuple(sorted(file.path for file in files if file.what == what))
