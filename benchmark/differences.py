"""In what two runs differ besides their scores: silence on it would say that like is compared with like."""

# pandas' inferred types are unions of everything that an index can be: the checks below see ghosts.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Sized

from benchmark.baseline import TOLD, Scored, settings_of
from benchmark.statistics.grid import SEEDS

_MOST = 5


def differences(before: Scored, now: Scored) -> Iterator[str]:
    """Say in what two runs differ besides their scores, one line each.

    What only one of them holds, what a scenario was made of, seeds, and versions of packages and data: of the
    last, what the manifests beside both tables tell.
    """
    for side in (before, now):
        if not side.manifest:
            yield f"there is no manifest.json beside {side.path}: what that run was made of is not known"
    for name in ("scenario", "model", "method"):
        sets = [{*side.table[name]} for side in (before, now)]
        for alone, when in ((sets[0] - sets[1], "before"), (sets[1] - sets[0], "now")):
            if alone:
                yield f"only {when}: {name} {_listed(sorted(alone))}"
    yield from _other_settings(before, now)
    for name in SEEDS:
        seeds = [sorted({*side.table[name]}) for side in (before, now)]
        if seeds[0] != seeds[1]:
            yield f"{name}: {_listed(seeds[0])} before, {_listed(seeds[1])} now"
    yield from other_versions(before, now)


def other_versions(before: Scored, now: Scored) -> Iterator[str]:
    """Say which packages and data differ, of those that both manifests name."""
    for name, what in (("versions", ""), ("data_md5", "md5 of ")):
        there, here = (side.manifest.get(name) for side in (before, now))
        if isinstance(there, dict) and isinstance(here, dict):
            for key in sorted({*there} & {*here}):
                if there[key] != here[key]:
                    yield f"{what}{key}: {there[key]} before, {here[key]} now"


def _other_settings(before: Scored, now: Scored) -> Iterator[str]:
    """Say which scenarios were made of something else, those that differ alike on one line."""
    here, there = settings_of(now), settings_of(before)
    found: dict[tuple[str, str, str], list[str]] = {}
    for case in there:
        for name in TOLD if case in here else ():
            one, other = there[case].get(name), here[case].get(name)
            if one != other:
                told = ("one", "another") if name == "definition" else (_shown(one), _shown(other))
                found.setdefault((name, *told), []).append(f"{case[0]} on {case[1]}, {case[3]}")
    for (name, one, other), cases in found.items():
        yield f"{name}: {one} before, {other} now ({cases[0]}{_rest(cases[1:])})"


def _listed(items: list[object]) -> str:
    return ", ".join(map(str, items[:_MOST])) + _rest(items[_MOST:])


def _rest(others: Sized) -> str:
    return f" and {len(others)} more" if len(others) else ""


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
