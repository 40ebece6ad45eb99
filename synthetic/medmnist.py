"""Real abdominal CT slices: the OrganMNIST files of MedMNIST v3, found or downloaded, always verified.

Yang et al., "MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D biomedical image
classification", Scientific Data 2023; the scans come from Bilic et al., "The Liver Tumor Segmentation
Benchmark (LiTS)", 2019. Licence CC BY 4.0.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import lzma
import math
import os
import struct
import sys
import urllib.error
import urllib.request
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from synthetic.cache import path_of_user, replacing

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

FLAGS = ("organamnist", "organcmnist", "organsmnist")
"""Axial, coronal and sagittal slices."""

SIZES = (28, 64, 128, 224)
"""Heights and widths, in pixels, in which MedMNIST v3 publishes the slices."""

SPLITS = ("train", "val", "test")

TIMEOUT = 30.0
"""Seconds without an answer or without data after which a download gives up."""

# MedMNIST publishes checksums but no sizes; where one is known, a message can say how much a file lacks.
_BYTES = {"organamnist.npz": 38_247_708}


class DataError(ValueError):
    """An image file is missing or is not the official one; the message says where, what and what to do."""


@dataclass(frozen=True)
class Scans:
    """One verified OrganMNIST file.

    Attributes:
        flag: MedMNIST's name of the file, e.g. ``"organamnist"``.
        images: split (``"train"``, ``"val"``, ``"test"``) → uint8 ``[n, size, size]``, grey values in 0…255.
        labels: split → int64 ``[n]``, organs 0…10 in MedMNIST's order.
        path: where the file lies.
        md5: its checksum, equal to the published one.
    """

    flag: str
    images: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    path: Path
    md5: str


def load(
    flag: str = "organamnist",
    *,
    data_root: Path | str | None = None,
    size: int = 28,
    download: bool = True,
) -> Scans:
    """Find an OrganMNIST file or download it, verify its md5, and read it.

    Folders are searched in this order: `data_root`, the environment variable ``PLUMBLINE_DATA``, MedMNIST's
    own ``~/.medmnist``. The first file found is the one that is used: if it is damaged, that is an error, and
    neither another folder nor the download takes its place. Where no folder has the file, it is downloaded
    into the first of them that can be written. A `data_root` without the file is reported as a warning
    in the log.

    Args:
        flag: ``"organamnist"`` (axial), ``"organcmnist"`` (coronal) or ``"organsmnist"`` (sagittal).
        data_root: folder that is searched first, and made for the download where it does not exist.
        size: height and width in pixels: 28, 64, 128 or 224.
        download: whether to fetch a missing file.

    Raises:
        DataError: if the file is missing and cannot be downloaded, or is not the published one.
    """
    info = _info(flag, size)
    places = _places(data_root)
    path = _find(info.file_name, places)
    if path is None:
        path = _fetch(info, places, download=download)
    else:
        verify(path, info)
    return read_scans(path, info)


def find(name: str) -> Path | None:
    """Return where a file of scans lies, in the folders that are always searched, or None.

    Args:
        name: e.g. ``"organamnist.npz"``.
    """
    return _find(name, _places(None))


def pair_halves(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two disjoint halves of range(n) in random order: int64 ``[n // 2]`` each.

    Two images of one patient, drawn from a single set of scans; no slice appears in both roles.

    Raises:
        ValueError: if n is below 2.
    """
    if n < 2:
        raise ValueError(f"The 'n' of pair_halves must be at least 2, one row for each half. Got {n}.")
    order = rng.permutation(n)
    half = n // 2
    return order[:half], order[half : 2 * half]


def pair_across(n_a: int, n_c: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return random pairs of rows of two sets of scans: int64 ``[min(n_a, n_c)]`` each, without repeats.

    Azmat & Alessio (2022) pair OrganA with OrganC by row number, over the rows that both have. Equal row
    numbers are not the same patient, so pairs are drawn at random here, from all rows of the larger set.

    Raises:
        ValueError: if either set is empty.
    """
    if min(n_a, n_c) < 1:
        raise ValueError(f"The 'n_a' and 'n_c' of pair_across must be at least 1. Got {n_a} and {n_c}.")
    n = min(n_a, n_c)
    return rng.permutation(n_a)[:n], rng.permutation(n_c)[:n]


@dataclass(frozen=True)
class FileInfo:
    """What MedMNIST publishes about one file: flag, size in pixels, md5, address, slices per split."""

    flag: str
    size: int
    md5: str
    url: str
    n_samples: Mapping[str, int]

    @property
    def file_name(self) -> str:
        """The file's published name; without a suffix it is the 28-pixel one."""
        return f"{self.flag}.npz" if self.size == 28 else f"{self.flag}_{self.size}.npz"


def verify(path: Path, info: FileInfo) -> None:
    """Check a file's md5 against the published one.

    Raises:
        DataError: if it differs; the message names the likely cause (empty, truncated, a web page, …).
    """
    fault = _fault(path, info)
    if fault:
        raise DataError(f"{path} {fault}. {_advice(info)}")


def read_scans(path: Path, info: FileInfo) -> Scans:
    """Read a verified file, checking names, shapes, types and numbers of slices against what is published.

    Raises:
        DataError: if the file does not hold what MedMNIST says it holds.
    """
    shapes = {
        name: shape
        for split, n in ((split, info.n_samples[split]) for split in SPLITS)
        for name, shape in ((f"{split}_images", (n, info.size, info.size)), (f"{split}_labels", (n, 1)))
    }
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name: _read_array(archive, name, shape) for name, shape in shapes.items()}
    except _ContentError as error:
        raise DataError(f"{path} {error}. {_advice(info)}") from error
    except _UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read as an npz archive: {str(error) or type(error).__name__}. {_advice(info)}"
        ) from error
    return Scans(
        flag=info.flag,
        images={split: arrays[f"{split}_images"] for split in SPLITS},
        labels={split: arrays[f"{split}_labels"][:, 0].astype(np.int64) for split in SPLITS},
        path=path,
        md5=info.md5,
    )


# What zipfile, its decompressors and numpy raise where bytes are not what they should be. An encrypted member
# is a RuntimeError, one of an unknown compression a NotImplementedError, which is one too.
_UNREADABLE = (
    *(OSError, ValueError, TypeError, EOFError, RuntimeError, OverflowError, IndexError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)


class _ContentError(Exception):
    """An archive that can be read does not hold what is published; worded to follow its name."""


def _read_array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of uint8 of an npz archive.

    What it promises is compared with what is published before anything is made room for: a few bytes can
    promise a terabyte. Arrays of Python objects, which would have to be unpickled, are refused with them.

    Raises:
        _ContentError: if there is no such array, or its type, shape or size differ.
    """
    if f"{name}.npy" not in archive.namelist():
        raise _ContentError(f"lacks an array: {name}")
    n_bytes = math.prod(shape)
    with archive.open(f"{name}.npy") as member:
        try:
            version = np.lib.format.read_magic(member)
            found, is_fortran, dtype = _HEADERS[version](member)
        # The header is Python's notation, and each impossible one ends in an error of its own.
        except Exception as error:
            raise ValueError(f"the header of array {name!r} is damaged") from error
        if dtype.hasobject:
            raise ValueError(f"Object arrays cannot be loaded ({name}): that would run code")
        if found != shape or dtype != np.uint8:
            raise _ContentError(
                f"is not what is published: {name!r} must be uint8 with shape {shape}. "
                f"Got {dtype} with shape {found}"
            )
        raw = bytearray()
        while len(raw) <= n_bytes and (part := member.read(_CHUNK)):
            raw += part
    if len(raw) != n_bytes:
        raise _ContentError(
            f"is not what is published: {name!r} must have {n_bytes:,} bytes. "
            f"Got {'more' if len(raw) > n_bytes else f'{len(raw):,}'}"
        )
    return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if is_fortran else "C")


_CHUNK = 2**20
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _info(flag: str, size: int) -> FileInfo:
    """Look up what MedMNIST publishes about a file."""
    if flag not in FLAGS:
        raise DataError(f"The 'flag' must be one of {', '.join(FLAGS)}. Got {flag!r}.")
    if size not in SIZES:
        raise DataError(f"The 'size' must be one of {', '.join(map(str, SIZES))} pixels. Got {size!r}.")
    with warnings.catch_warnings():
        # On import MedMNIST makes ~/.medmnist and warns where it cannot; the search below does not need it.
        # Imported here because it costs more than a second and phantom images never need it.
        warnings.simplefilter("ignore")
        from medmnist import INFO  # noqa: PLC0415
    published: dict[str, Any] = INFO[flag]
    suffix = "" if size == 28 else f"_{size}"
    return FileInfo(
        flag=flag,
        size=size,
        md5=published[f"MD5{suffix}"],
        url=published[f"url{suffix}"],
        n_samples=published["n_samples"],
    )


def _places(data_root: Path | str | None) -> dict[str, Path]:
    """Return the folders to search, best first, under the names by which a user knows them."""
    places: dict[str, Path] = {}
    if data_root is not None:
        places["'data_root'"] = path_of_user(data_root)
    if os.environ.get("PLUMBLINE_DATA"):
        places["PLUMBLINE_DATA"] = path_of_user(os.environ["PLUMBLINE_DATA"])
    places["MedMNIST's folder"] = path_of_user("~/.medmnist")
    return places


def _find(name: str, places: Mapping[str, Path]) -> Path | None:
    for origin, folder in places.items():
        path = folder / name
        if path.exists():
            return path
        if origin == "'data_root'":
            logger.warning("The 'data_root' %s has no %s. Looking in the other places.", folder, name)
    return None


def _fetch(info: FileInfo, places: Mapping[str, Path], *, download: bool) -> Path:
    """Download a file into the first folder that can be written; an error names every folder searched."""
    name = info.file_name
    searched = "; ".join(f"{folder} ({origin})" for origin, folder in places.items())
    missing = f"{name} is in none of the folders searched: {searched}"
    by_hand = (
        f"Download {info.url} by hand and put it into one of these folders, "
        "or set PLUMBLINE_DATA to the folder that has it."
    )
    if not download:
        raise DataError(f"{missing}. Downloading is switched off. {by_hand}")
    folder = next((folder for folder in places.values() if _can_write(folder)), None)
    if folder is None:
        raise DataError(f"{missing}. None of them can be written, so it cannot be downloaded. {by_hand}")
    logger.info("Downloading %s to %s.", info.url, folder)
    try:
        _download(info, folder / name)
    except (OSError, http.client.HTTPException, DataError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise DataError(f"{missing}. Its download failed: {error}. {by_hand}") from error
    return folder / name


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _download(info: FileInfo, target: Path) -> None:
    """Download to a temporary file, which takes the target's name only if its md5 is right."""
    request = urllib.request.Request(info.url, headers={"User-Agent": "plumbline"})  # noqa: S310 - from INFO
    with (
        urllib.request.urlopen(request, timeout=TIMEOUT) as response,  # noqa: S310 - from INFO
        replacing(target) as file,
    ):
        announced = int(response.headers.get("Content-Length") or 0)
        received = 0
        while chunk := response.read(1 << 18):
            file.write(chunk)
            received += len(chunk)
            _show_progress(target.name, received, announced)
        file.flush()
        fault = _fault(Path(file.name), info, n_bytes=announced)
        if fault:
            raise DataError(f"what {info.url} sent {fault}")


def _show_progress(name: str, received: int, announced: int) -> None:
    if sys.stderr.isatty():
        total = f" of {announced / 1e6:.1f}" if announced else ""
        end = "\n" if received == announced else ""
        sys.stderr.write(f"\r{name}: {received / 1e6:.1f}{total} MB{end}")
        sys.stderr.flush()


def _fault(path: Path, info: FileInfo, *, n_bytes: int | None = None) -> str | None:
    """Return what is wrong with a file, worded to follow its name; None if its md5 is the published one."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            return None if found == info.md5 else _diagnosis(file, found, n_bytes or _BYTES.get(path.name))
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _diagnosis(file: BinaryIO, md5: str, n_bytes: int | None) -> str:
    """Say what became of a file with a wrong md5, as far as its size and its first bytes tell."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(1024)
    if size == 0:
        return "is empty (0 bytes)"
    if b"<html" in head.lower() or head.lstrip().lower().startswith(b"<!doctype html"):
        return "is an HTML page, probably a proxy's or a login page"
    if not head.startswith(b"PK\x03\x04"):
        return f"is not an npz archive (it begins with {head[:8]!r})"
    if not zipfile.is_zipfile(file):  # its table of contents comes last
        whole = f" of {n_bytes:,} bytes" if n_bytes else " bytes, and the end of the archive is missing"
        return f"is truncated: {size:,}{whole}"
    return f"is damaged or another version: its md5 is {md5}"


def _advice(info: FileInfo) -> str:
    return (
        f"Expected MedMNIST v3's {info.file_name} with md5 {info.md5}. "
        f"Remove the file and run again to download it, or replace it with the one from {info.url}"
    )
