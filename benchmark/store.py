"""Results on disk: one JSON file each, written whole or not at all, found again by what determines them."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

import methods
from benchmark import models
from benchmark.diagnosis import DIAGNOSIS
from benchmark.suite import Job
from methods.api import PIXELS, Method
from synthetic.cache import replacing
from synthetic.fingerprint import source_fingerprint
from synthetic.names import shortened

logger = logging.getLogger(__name__)

SCHEMA = 4

RESULTS = "results"
"""Folder of the results inside a run's."""

CONTROL = "control"
"""What controls target."""

Status = Literal["done", "failed", "timeout", "over-budget", "skipped"]
FAILURES: tuple[Status, ...] = ("failed", "timeout", "over-budget")
"""What makes a run fail; a skipped result does not: its method says nothing about such a model."""


@dataclass(frozen=True)
class Result:
    """What came of one job.

    Attributes:
        job: flat description of the job.
        key: hash of everything that determines the numbers.
        status: ``done``; ``failed``; ``timeout`` where it was ended because it took too long; ``over-budget``
            where it asked for more model calls than it was given; ``skipped`` where it does not apply.
        method_version: of the method.
        targets: the estimand that the method targets, ``control``, or ``diagnosis``.
        truth: estimand → modality → share.
        truth_se: estimand → modality → standard error.
        importances: modality → raw importance, as the method returned it; empty if it failed, or speaks of
            pixels alone.
        importances_se: modality → standard error of it, where the method knows it.
        signed: modality → mean over samples of what is attributed to it, with signs, if there are any.
        features: table → one raw value a column, where the method yields them.
        feature_truth: estimand → table → share of each column among all of all tables.
        interactions: two modalities and their raw interaction each, where the method yields them.
        pair_truth: two modalities, their true interaction and its standard error each.
        summary: further numbers by name, where the method yields them and the truth that it targets has them.
        summary_truth: the same of that truth, with ``…_standard_error`` where it has one.
        pixels: image → name of a score of its maps → mean over patients, where F reads in the image.
        maps: image → first maps, as `benchmark.maps.grown` reads them; of the first data seed.
        diagnosis: of the network, as `benchmark.diagnosis.diagnose` returns it, in the result of that job.
        fidelity: ``accuracy``, ``auroc`` and ``r2`` of the model on the test split.
        flags: what a reader must know of it, a sentence each: what the method claims and does not hold here.
        model_calls: samples that the method had evaluated.
        seconds: time that the method took.
        error: message and traceback of a failure, or why it was skipped.
    """

    job: Mapping[str, Any]
    key: str
    status: Status
    method_version: str
    targets: str
    truth: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    truth_se: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    importances: Mapping[str, float] = field(default_factory=dict)
    importances_se: Mapping[str, float] = field(default_factory=dict)
    signed: Mapping[str, float] = field(default_factory=dict)
    features: Mapping[str, list[float]] = field(default_factory=dict)
    feature_truth: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)
    interactions: list[list[Any]] = field(default_factory=list)
    pair_truth: list[list[Any]] = field(default_factory=list)
    summary: Mapping[str, float] = field(default_factory=dict)
    summary_truth: Mapping[str, float] = field(default_factory=dict)
    pixels: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    maps: Mapping[str, list[str]] = field(default_factory=dict)
    diagnosis: Mapping[str, Any] = field(default_factory=dict)
    fidelity: Mapping[str, float] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    model_calls: int = 0
    seconds: float = 0.0
    error: str = ""

    @property
    def reason(self) -> str:
        """Why there are no numbers, on one line: the exception and its message, without the traceback."""
        return one_line(self.error)


def kind_of(reason: str) -> str:
    """Return a reason without what differs from one failure of a kind to the next: addresses, indices, ids.

    Example:
        >>> kind_of("KeyError: 3") == kind_of("KeyError: 14")
        True
    """
    return re.sub(r"0x[0-9a-fA-F]+|\d+", "#", reason)


def one_line(error: str) -> str:
    r"""Return the type and message of the exception that a traceback ends with, or a text without one, cut.

    Example:
        >>> one_line('Traceback …\n  File "m.py", line 1, in f\n    1 / 0\nKeyError: 3')
        'KeyError: 3'
    """
    lines = error.splitlines()
    frames = [place for place, line in enumerate(lines) if line.startswith('  File "')]
    if (
        frames
    ):  # what follows the last frame's source line stands at the margin; a message may go on from there
        after = lines[frames[-1] + 1 :]
        start = next((place for place, line in enumerate(after) if line and not line[0].isspace()), 0)
        lines = after[start:]
    elif lines and lines[0].startswith("Traceback"):
        lines = lines[-1:]
    return shortened(" ".join(" ".join(lines).split()), _LONGEST_REASON)


_LONGEST_REASON = 300


def model_fingerprint(name: str) -> str:
    """Return the hash of what decides what a model is: its own source, not that of others, and its weights.

    Args:
        name: of the model.
    """
    # The list of models names them all: a new one leaves the others as they are.
    without = (*models.others(name), "benchmark/models/__init__.py")
    code = source_fingerprint("synthetic", "benchmark/models", "benchmark/training.py", without=without)
    weights = models.weights(name)
    return code if weights is None else f"{code} {weights.digest}"


def job_key(job: Job, method: Method | None) -> str:
    """Return the key of a job: equal keys promise equal numbers, for methods of the project itself.

    What a user's own function does cannot be told from its name or its text (it may close over anything):
    its results are stored, but never taken for those of a later run.

    Args:
        job: the job.
        method: its method; None for a control.
    """
    identity: dict[str, object] = {
        "schema": SCHEMA,
        "job": job.as_dict(),
        "source": [
            model_fingerprint(job.stage.model),
            source_fingerprint(*_HARNESS, "methods/evaluation.py"),
        ],
    }
    if method is None:
        own = "diagnosis" if job.method == DIAGNOSIS else "controls"
        identity["method"] = source_fingerprint(f"benchmark/{own}.py")
    else:
        identity["method"] = [method.name, method.version, method.aggregation, method.needs_labels]
        identity["options"] = repr(sorted(method.options.items()))
        identity["code"] = methods.source_fingerprint(method)
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


_HARNESS = (
    "methods/evaluation.py",
    *(
        f"benchmark/{name}.py"
        for name in (
            *("bench", "door", "localisation", "maps", "metering", "performance", "retraining", "said"),
            "sandbox",
        )
    ),
)


class Store:
    """The results of one run's folder.

    Args:
        folder: the run's folder; made where it is missing.

    Raises:
        ValueError: if the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / RESULTS
        try:
            self.results.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.results):
                pass
        except OSError as error:
            raise ValueError(
                f"The output folder {folder} cannot be written ({error}). Choose another one with --out."
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out of the folder while the block lasts; a run that is killed leaves it free.

        Raises:
            ValueError: if another run is at work there.
        """
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise ValueError(
                f"The output folder {self.folder} must be written by one run at a time. Another one is at "
                "work there: wait for its end, or choose another folder with --out."
            ) from None
        except (OSError, NotImplementedError) as error:
            # Some network file systems know no locks.
            logger.warning(
                "The output folder %s cannot be locked (%s). See that no other run writes there.",
                self.folder,
                error,
            )
        else:
            for left in self.results.glob(".*.part"):  # of writes that were cut off; nobody else writes here
                with suppress(OSError):
                    left.unlink()
        try:
            yield
        finally:
            lock.release()

    def save(self, result: Result) -> Path:
        """Write one result and return its file.

        Raises:
            ValueError: if it cannot be written: the disc is full, or the folder is gone or read-only.
        """
        path = self.path(result.job, result.key)
        content = {"schema": SCHEMA, **asdict(result)}
        try:
            write_json(path, {**content, "checksum": _checksum(content)})
        except OSError as error:
            raise ValueError(
                f"The result {path} cannot be written ({error}). What was written before is kept: make room, "
                "or mend the folder, and the same command goes on."
            ) from error
        return path

    def load(self, job: Job, key: str) -> Result | None:
        """Return the result of a job if it is there, sound, and would come out the same again.

        A damaged file is logged as a warning and counts as absent: the result is made again.
        """
        path = self.path(job.as_dict(), key)
        try:
            result = read_result(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.warning("The result %s is damaged (%s). It is made again.", path, error)
            return None
        if result is None:
            return None
        if result.key != key or result.job != job.as_dict():
            logger.warning("The result %s is that of another job. It is made again.", path)
            return None
        return result if result.status in ("done", "skipped") else None

    def path(self, job: Mapping[str, Any], key: str) -> Path:
        """Return the file of a result; no name in a job leads out of the folder."""
        return self.results / f"{file_words(job)}.{key[:12]}.json"


def file_words(job: Mapping[str, Any]) -> str:
    """Return what the name of a result's file tells of its job; several jobs may share it."""
    return file_word(f"{job['scenario']}.{job['model']}.{job['data_seed']}.{job['method']}")[:80]


def file_word(name: str) -> str:
    """Return a name such that any file system takes it as a part of a file's.

    Example:
        >>> file_word("contrastive(dropout=none, tokens=False)")
        'contrastive_dropout_none_tokens_False_'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)


def read_result(path: Path) -> Result | None:
    """Return the result in a file; None if another version of the project wrote it.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no result, or not as it was written; the message says what is wrong.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(content, dict) or "schema" not in content:
        raise ValueError("no result")
    if content["schema"] != SCHEMA:
        return None
    expected = content.pop("checksum", "none")
    try:
        found = _checksum(content)
    except RecursionError as error:
        raise ValueError(f"no JSON: {error}") from error
    if found != expected:
        raise ValueError(f"checksum {found}, expected {expected}")
    del content["schema"]
    try:
        result = Result(**content)
    except TypeError as error:
        raise ValueError(f"no result: {error}") from error
    if result.status not in get_args(Status):
        raise ValueError(f"status {result.status!r}")
    if result.status == "done" and not _is_whole(result):
        raise ValueError("importances and truths of different modalities, or none")
    return result


def _is_whole(result: Result) -> bool:
    """Return whether a result holds what its job was to yield."""
    if result.targets == DIAGNOSIS:
        return bool(result.diagnosis)
    says_modalities = bool(result.importances) or result.targets not in (CONTROL, PIXELS)
    return bool(result.truth) and all(
        set(result.importances) == set(truth) for truth in result.truth.values() if says_modalities
    )


def _checksum(content: Mapping[str, Any]) -> str:
    # In the order in which they stand: tables are made in that order, too.
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write JSON whole or not at all; keys keep their order."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as file:
        file.write(text.encode(errors="backslashreplace"))
