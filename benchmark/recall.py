"""What earlier runs left: results of jobs in a folder, trained networks in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import methods
from benchmark import models
from benchmark.controls import CONTROLS
from benchmark.diagnosis import DIAGNOSIS
from benchmark.maps import MAP_CONTROLS
from benchmark.store import Result, Store, job_key, model_fingerprint
from benchmark.suite import Job, Stage
from methods.api import Method
from synthetic.cache import cache_folder, content_key
from synthetic.fingerprint import source_fingerprint


def look_up(
    jobs: Iterable[Job], store: Store | None, own_methods: Iterable[Method] = ()
) -> Iterator[tuple[Job, str, Method | None, Result | None]]:
    """Yield each job with its key, its method (None for a control) and the result that is there, if any.

    What a user's own function or network once returned is never taken for what it would return now.

    Args:
        jobs: in any order.
        store: the run's results; None where there are none yet.
        own_methods: methods that no name leads to; jobs refer to them by their name.
    """
    known: dict[str, Method | None] = {method.name: method for method in own_methods}
    known |= dict.fromkeys((*CONTROLS, *MAP_CONTROLS, DIAGNOSIS))
    for job in jobs:
        if job.method not in known:
            known[job.method] = methods.get(job.method)
        method = known[job.method]
        key = job_key(job, method)
        recalled = models.is_built_in(job.stage.model) and (method is None or methods.is_built_in(method))
        yield job, key, method, store.load(job, key) if store is not None and recalled else None


def network_folder() -> Path:
    """Return the folder of trained networks; it need not exist yet."""
    return cache_folder() / "models"


def network_key(stage: Stage, modalities: Sequence[str] = ()) -> str:
    """Return the name of a stage's trained network in the cache: whatever decides its weights.

    Args:
        stage: of a model that is trained.
        modalities: those that it was trained on, in order, where they are not all.
    """
    some = [repr(tuple(modalities))] if modalities else []
    plan = repr(models.plan(stage.model))
    return content_key(model_fingerprint(stage.model), repr(stage), plan, *some)


def code_fingerprint() -> str:
    """Return the hash of all that decides numbers: the project, and the packages that compute."""
    return source_fingerprint("synthetic", "methods", "benchmark")
