"""One run from request to outcome: what the command and ``benchmark.evaluate`` share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, cast

import cloudpickle
import pandas as pd

import methods
from benchmark import executors
from benchmark import run as runner
from benchmark.events import LOG, Event, Log
from benchmark.outcome import Outcome, show, write
from benchmark.parcels import has_no_name, packed
from benchmark.report.reasons import reasons
from benchmark.request import Request
from benchmark.store import FAILURES, Store
from benchmark.streams import Lenient
from benchmark.suite import Stage
from benchmark.terminal import terminal
from methods.api import Method
from synthetic import Scenario
from synthetic import images as sources
from synthetic.names import check_known, printable
from synthetic.settings import own_settings

_SUITE, _SUITE_OF_PIXELS = "smoke", "pixels"
_NOTEBOOK = 140
"""Columns that a notebook has room for, or a file."""

Watch = Callable[[Event], None]


class EvaluationError(RuntimeError):
    """A method failed on everything that it was evaluated on; files with the reasons are written."""


def run(
    request: Request,
    *,
    workers: int = 1,
    cluster: str | None = None,
    command: str = "",
    watch: Watch = lambda _event: None,
) -> Outcome:
    """Do a run; the results of an earlier one in the same folder are taken up.

    Args:
        request: what to do.
        workers: processes of one thread each, on this machine.
        cluster: address of a Dask scheduler, or ``local:N``, instead of them.
        command: what was typed, for the log.
        watch: told what happens.

    Raises:
        ValueError: if the data cannot be had, the folder cannot be written or is another run's just now, or
            the cluster cannot be reached.
    """
    jobs = request.jobs()
    place = _Workplace(workers, cluster)
    try:
        if place.is_portable:
            _check_portable(request)
        own = [name for name in request.model_names if ":" in name.partition("(")[0]]
        if cluster is not None and own:
            raise ValueError(
                "A model of your own must be installed on the workers of a cluster, as an entry point in the "
                f"group 'plumbline.models'. Got {own[0]!r}; or use --workers on this machine."
            )
        store = Store(request.folder)
        with store.lock(), closing(Log(store.folder / LOG)) as log:

            def tell(event: Event) -> None:
                log.write(event)
                watch(event)

            tell(Event("begin", n=len(jobs), facts={"command": command, "workers": place.told}))
            try:
                # Missing or broken data is found here, once, before any work; features are fitted here, once.
                tell(Event("prepare"))
                place.provide(_prepare({job.stage for job in jobs}, request.data_root))
                results = runner.run(
                    jobs,
                    store,
                    place.executor,
                    renew=place.renew,
                    window=place.window,
                    own_methods=request.own_methods,
                    data_root=request.data_root,
                    limits=request.limits,
                    on_cached=lambda n: tell(Event("cached", n=n)),
                    on_result=lambda result, path: tell(Event("result", n=1, result=result, path=path)),
                    on_printed=lambda stage, text: tell(Event("printed", facts=_printed(stage, text))),
                )
            except BaseException as error:
                tell(Event("stop", facts={"reason": f"{type(error).__name__}: {error}".strip(": ")}))
                raise
            tell(Event("end", n=len(results)))
    finally:
        place.close()
    return Outcome(results)


def _printed(stage: Stage, text: str) -> dict[str, object]:
    """Return what the log says of what was printed while a stage was worked on."""
    where = {"scenario": stage.scenario, "model": stage.model, "data_seed": stage.data_seed}
    return {**where, "text": text}


class _Workplace:
    """Where work is done: this process, processes of this machine, or a cluster."""

    def __init__(self, workers: int, cluster: str | None) -> None:
        self.told: int | str = workers if cluster is None else cluster
        self.renew = None
        if cluster is None:
            self.executor = executors.local(workers)
            self.renew = partial(executors.local, workers)
            self.window = lambda: workers if workers == 1 else workers + 1
            self.provide = lambda _origins: None
            self.is_portable = workers > 1
        else:
            from benchmark.cluster import connect  # noqa: PLC0415 - Dask is optional

            self.executor = executor = connect(cluster)
            # Enough for workers that join later, and for a cluster that asks for as many as there are tasks.
            self.window = lambda: max(256, 2 * executor.n_workers())
            self.provide = executor.provide
            self.is_portable = False  # functions go by value

    def close(self) -> None:
        """Let go of the workers; to do it twice is no harm."""
        self.executor.shutdown(wait=False, cancel_futures=True)


def _prepare(stages: Iterable[Stage], data_root: Path | None) -> list[sources.Origin]:
    """Check that the images of stages can be drawn, and return the files behind them."""
    needed = {repr((it.images, it.image_size, it.features, it.n_patients)): it for it in stages}
    origins: list[sources.Origin] = []
    for _, it in sorted(needed.items()):
        sources.prepare(it.images, size=it.image_size, kind=it.features, n=it.n_patients, data_root=data_root)
        origins += sources.origins(it.images, size=it.image_size, kind=it.features, data_root=data_root)
    return origins


def _check_portable(request: Request) -> None:
    """Raise a ValueError for a method that cannot be sent to a worker process."""
    for method in (*map(methods.get, request.method_names), *request.own_methods):
        try:
            cloudpickle.loads(packed(method, by_value=has_no_name))
        except Exception as error:
            raise ValueError(
                f"Method {method.name!r} cannot be sent to worker processes ({type(error).__name__}: "
                f"{error}). Use one worker (--workers 1, workers=1), or make inside the function what cannot "
                "be sent: files, locks, connections."
            ) from error


@own_settings()
def evaluate(
    function: Callable[..., object] | Method,
    *,
    estimand: str = "gradient",
    suite: str | None = None,
    scenarios: Iterable[str | Path | Scenario] = (),
    images: str = "phantom",
    data_root: Path | None = None,
    n_seeds: int | None = None,
    workers: int = 1,
    out: Path | None = None,
) -> pd.DataFrame:
    """Score your own method beside the known ones and print the leaderboard.

    Args:
        function: ``(model, samples, rng)`` → local attributions ``[n, d]`` or global values ``[d]`` over the
            model's fusion features, or modality → value; or a ``methods.Method``.
        estimand: the truth that it targets, one of ``methods.TARGETS``.
        suite: which scenarios and models; None for ``smoke``, which trains no network, or for ``pixels`` if
            that is what it targets: the true decision function sees no images.
        scenarios: instead of the suite's: names, TOML files or ``synthetic.Scenario`` objects.
        images: image source.
        data_root: folder with the OrganMNIST files.
        n_seeds: instead of the suite's.
        workers: processes. A function of a notebook or a script goes to them by value; the script needs no
            ``if __name__ == "__main__"``.
        out: folder for results; ``results/runs/evaluate-…`` by default.

    Returns:
        The leaderboard, best first; see ``benchmark.table.leaderboard``. Of maps of pixels where the method
        targets them: see ``benchmark.fine_table.pixels_board``.

    Raises:
        ValueError: if the estimand, suite or function is not one.
        EvaluationError: if your method failed on everything; the message ends with the traceback.

    Example:
        >>> import benchmark, tempfile
        >>> def norm(model, samples, rng):
        ...     return {name: model.groups[name].stop for name in model.modalities}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     board = benchmark.evaluate(norm, scenarios=["xor"], out=Path(folder))  # doctest: +ELLIPSIS
        Scenario xor...
        >>> "norm" in set(board["method"])
        True
    """
    check_known("estimand", estimand, methods.TARGETS)
    method = methods.as_method(function, estimand=estimand)
    suite = suite or (_SUITE_OF_PIXELS if method.estimand == methods.PIXELS else _SUITE)
    request = Request.from_options(
        suite=suite,
        scenarios=scenarios,
        images=images,
        data_root=data_root,
        n_seeds=n_seeds,
        out=out or Path("results") / "runs" / f"evaluate-{suite}-{images}",
        own_methods=[method],
    )
    outcome = run(request, workers=workers)
    folder = write(outcome, request, command=f"benchmark.evaluate({method.name}, suite={suite!r})")
    console = terminal(file=cast("IO[str]", Lenient(sys.stdout)), width=_NOTEBOOK)
    show(outcome, request, console)
    console.print(printable(f"Files: {folder}"), markup=False, soft_wrap=True)
    lines = reasons(outcome.results, own=[method.name])
    for line in lines:
        console.print(printable(line), markup=False, soft_wrap=True)
    mine = [it for it in outcome.results if it.job["method"] == method.name]
    if mine and all(it.status in FAILURES for it in mine):
        raise EvaluationError(f"Your method failed on everything: {lines[0]}.\n\n{mine[0].error}")
    return outcome.pixels if method.estimand == methods.PIXELS else outcome.leaderboard
