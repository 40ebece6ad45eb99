"""Why results are missing: a line for each reason, not for each result."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from benchmark import models
from benchmark.events import repeat_command
from benchmark.store import FAILURES, Result, kind_of

_MOST = 20
_ON_ORACLE = (
    "On the model 'oracle' there are no images: each modality is a table of its latent features. Suites with "
    "networks have images (paper, pixels); 'plumbline list suites' has all."
)


def reasons(
    results: Sequence[Result],
    *,
    own: Collection[str] = (),
    asked: Iterable[str] = (),
    files: Mapping[str, Path] | None = None,
) -> list[str]:
    """Return lines that say why results failed, one for each method and reason, and what never applied.

    Args:
        results: of a run.
        own: names of the user's own methods, which come first.
        asked: names of methods that were to run; some may have nothing to do on the run's models.
        files: key of a result → its file; of the first of each reason, the command that repeats it is told.
    """
    failed = [it for it in results if it.status in FAILURES]
    groups: dict[tuple[str, str], list[Result]] = {}
    for it in sorted(failed, key=lambda it: it.job["method"] not in own):
        groups.setdefault((it.job["method"], kind_of(it.reason or it.status)), []).append(it)
    lines = []
    for (method, _), group in list(groups.items())[:_MOST]:
        n = sum(it.job["method"] == method for it in results)
        first = group[0]
        kind = "failed" if first.status == "failed" else f"failed ({first.status})"
        told = first.reason or first.status
        lines.append(f"{method} {kind} on {len(group)} of {n}: {told} (first on {_place(first)})")
        if files and first.key in files:
            lines.append(f"  Its traceback, and the job again: {repeat_command(files[first.key])}")
    if len(groups) > _MOST:
        lines.append(f"{len(groups) - _MOST} more reasons are in leaderboard.md.")
    lines += _never_applied(results)
    idle = [name for name in asked if name not in {it.job["method"] for it in results}]
    if idle:
        lines.append(f"{', '.join(idle)}: nothing to do, since no model of this run sees an image.")
        lines.append(_ON_ORACLE)
    ours = [it for it in failed if it.job["method"] in own and it.job["model"] == models.ORACLE]
    if any("image" in it.reason for it in ours):
        lines.append(_ON_ORACLE)
    return list(dict.fromkeys(lines))


def _never_applied(results: Iterable[Result]) -> list[str]:
    by_method: dict[str, list[Result]] = {}
    for it in results:
        by_method.setdefault(it.job["method"], []).append(it)
    lines = []
    for method, group in by_method.items():
        if all(it.status == "skipped" for it in group):
            told = dict.fromkeys(it.reason for it in group)
            lines.append(f"{method} applies to nothing here: {'; '.join(list(told)[:3])}.")
            if all(it.job["model"] == models.ORACLE for it in group):
                lines.append(_ON_ORACLE)
    return list(dict.fromkeys(lines))


def _place(result: Result) -> str:
    return f"{result.job['scenario']}, {result.job['model']}, seed {result.job['data_seed']}"
