"""Results on disk: one JSON file each, written whole or not at all, found again by what determines them."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmark.suite import Job
from methods.api import Method
from synthetic.cache import replacing
from synthetic.fingerprint import source_fingerprint

SCHEMA = 1

CONTROL = "control"
"""What controls target."""

Status = Literal["done", "failed", "timeout"]


@dataclass(frozen=True)
class Result:
    """What came of one job.

    Attributes:
        job: flat description of the job.
        key: hash of everything that determines the numbers.
        status: ``done``, ``failed``, or ``timeout`` where it was ended because it took too long.
        method_version: of the method.
        targets: the estimand that the method targets, or ``control``.
        truth: estimand → modality → share.
        truth_se: estimand → modality → standard error.
        importances: modality → raw importance, as the method returned it; empty if it failed.
        fidelity: ``accuracy``, ``auroc`` and ``r2`` of the model on the test split.
        model_calls: samples that the method had evaluated.
        seconds: time that the method took.
        error: message and traceback of a failure.
    """

    job: Mapping[str, Any]
    key: str
    status: Status
    method_version: str
    targets: str
    truth: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    truth_se: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    importances: Mapping[str, float] = field(default_factory=dict)
    fidelity: Mapping[str, float] = field(default_factory=dict)
    model_calls: int = 0
    seconds: float = 0.0
    error: str = ""


def model_fingerprint() -> str:
    """Return the hash of the source that decides what a trained network is."""
    return source_fingerprint("synthetic", "benchmark/models", "benchmark/training.py")


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
            model_fingerprint(),
            source_fingerprint("methods", "benchmark/controls.py", "benchmark/run.py"),
        ],
    }
    if method is not None:
        identity["method"] = [method.name, method.version, method.aggregation, method.needs_labels]
        identity["options"] = repr(sorted(method.options.items()))
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


class Store:
    """The results of one run's folder.

    Args:
        folder: the run's folder; made where it is missing.

    Raises:
        ValueError: if the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        try:
            self.results.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.results):
                pass
        except OSError as error:
            raise ValueError(
                f"The output folder {folder} cannot be written ({error}). Choose another one with --out."
            ) from error

    def save(self, result: Result) -> None:
        """Write one result."""
        write_json(self._path(result.job, result.key), {"schema": SCHEMA, **asdict(result)})

    def load(self, job: Job, key: str) -> Result | None:
        """Return the result of a job if it is there, sound, and not a failure."""
        path = self._path(job.as_dict(), key)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("schema") != SCHEMA or content["key"] != key or content["status"] != "done":
                return None
            result = Result(**content)
            sound = bool(result.truth) and all(
                set(result.importances) == set(truth) for truth in result.truth.values()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # absent or damaged: it is made again
        return result if sound else None

    def _path(self, job: Mapping[str, Any], key: str) -> Path:
        words = f"{job['scenario']}.{job['model']}.{job['data_seed']}.{job['method']}"
        return self.results / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', words)[:80]}.{key[:12]}.json"


def write_json(path: Path, content: object) -> None:
    """Write JSON whole or not at all; keys keep their order."""
    with replacing(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
