"""How much worse a method became, and how much of that seeds alone would do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from benchmark.regression.compared import METRICS, Case, Compared, Seeds
from benchmark.statistics.intervals import UNSEEN

Array = NDArray[np.float64]

ROUNDING = 1e-4
"""Smaller drops are nobody's: a hundred times and more what another make of processor does to a score."""

_DIGITS = 1e-8
"""Relative difference of equal numbers: a baseline keeps nine digits."""


@dataclass(frozen=True)
class Tested:
    """How far a drop is from what seeds alone would do.

    Attributes:
        error: standard error of the drop over seeds; infinite where one seed a side leaves it unknown.
        freedom: degrees of freedom of the error.
        p: one-sided, of a drop as large if nothing changed.
        p_better: likewise, of a gain as large.
    """

    error: float
    freedom: float
    p: float
    p_better: float


@dataclass(frozen=True)
class Measured:
    """A drop and its noise.

    Attributes:
        key: model and method.
        metric: one of ``METRICS``.
        sides: its value in the run, then in the baseline.
        drop: by how much it became worse.
        large: the test of a drop beyond a fixed margin, with the noise of all scenarios pooled.
        small: the test of any drop, which keeps its level whatever the law of the errors.
        known: whether seeds say how large the noise is; of one seed, and the same, they do not.
        paired: whether both sides have the same seeds.
        case: the scenario that moved most, in the direction of the drop.
        case_drop: by how much.
        seed: the seed that moved most there; None where seeds are not paired.
    """

    key: tuple[str, str]
    metric: str
    sides: tuple[float, ...]
    drop: float
    large: Tested
    small: Tested
    known: bool
    paired: bool
    case: Case
    case_drop: float
    seed: Seeds | None


def measure(run: Compared, baseline: Compared, key: tuple[str, str]) -> Iterator[Measured]:
    """Measure both metrics of a method, over the scenarios that both sides have."""
    if run.targets(key) != baseline.targets(key):
        return  # other truths; the method is among what is missing
    for metric in METRICS:
        here, there = run.cells(key, metric), baseline.cells(key, metric)
        cases = [case for case in there if here.get(case)]
        if cases:
            yield _drop(key, metric, [here[case] for case in cases], [there[case] for case in cases], cases)


def _drop(
    key: tuple[str, str],
    metric: str,
    here: Sequence[Mapping[Seeds, float]],
    there: Sequence[Mapping[Seeds, float]],
    cases: Sequence[Case],
) -> Measured:
    """Return the drop of a metric and its noise over seeds.

    The drop of the pooled RMSE is linear in squared errors to first order, so that each cell has a share in
    it: e² / (2 · pooled RMSE). Noise is the variance of these shares over seeds in each scenario.

    The noise of all scenarios is pooled for the test of large drops. Squared errors are skewed, and few hold
    most of the whole: without a fixed margin above, that test errs twice as often as it says, so that small
    drops of RMSE have a test of their own.
    """
    here = [_snapped(one, other) for one, other in zip(here, there, strict=True)]
    # Paired where one side's seeds contain the other's, in every scenario.
    paired = all(set(a) <= set(b) or set(b) <= set(a) for a, b in zip(here, there, strict=True))
    sides = [
        [
            np.array([side[seeds] for seeds in sorted(side) if not paired or seeds in other])
            for side, other in zip(one, two, strict=True)
        ]
        for one, two in ((here, there), (there, here))
    ]
    values = tuple(_pooled(side, metric) for side in sides)
    # What is known of the noise of single seeds lies in all of them, shared or not.
    everything = [[np.array([side[s] for s in sorted(side)]) for side in one] for one in (here, there)]
    shares, noise = (
        [[_share(cell, metric, value) for cell in side] for side, value in zip(both, values, strict=True)]
        for both in (sides, everything)
    )
    sign = 1 if metric == "rmse" else -1
    drop = sign * (values[0] - values[1])
    same = [paired and np.array_equal(a, b) for a, b in zip(*sides, strict=True)]
    large = small = _tested(drop, drop, *_noise(shares, noise, same, paired=paired, metric=metric))
    if paired and all(np.abs(a - b).max() <= ROUNDING for a, b in zip(*sides, strict=True)):
        large = small = Tested(0.0, 1.0, 1.0, 1.0)  # the same numbers, but for rounding: there is no noise
    elif metric == "rmse":
        small = _small(drop, sides, everything, same, paired=paired)
    moves = np.array([_pooled([a], metric) - _pooled([b], metric) for a, b in zip(*sides, strict=True)])
    moves *= sign
    most = int(np.argmax(moves if drop >= 0 else -moves))
    seed = None
    if paired:
        common = sorted(set(here[most]) & set(there[most]))
        steps = sign * np.array([here[most][s] - there[most][s] for s in common])
        seed = common[int(np.argmax(steps if drop >= 0 else -steps))]
    known = not paired or max(len(side[seeds]) for side in (here, there) for seeds in range(len(cases))) > 1
    return Measured(
        *(key, metric, values, drop, large, small, known, paired),
        *(cases[most], float(moves[most]), seed),
    )


def _snapped(cell: Mapping[Seeds, float], other: Mapping[Seeds, float]) -> dict[Seeds, float]:
    """Return a cell with the numbers of another one wherever they are equal but for its digits."""
    return {
        seeds: other[seeds] if math.isclose(value, other.get(seeds, math.nan), rel_tol=_DIGITS) else value
        for seeds, value in cell.items()
    }


def _small(
    drop: float,
    sides: Sequence[Sequence[Array]],
    everything: Sequence[Sequence[Array]],
    same: Sequence[bool],
    *,
    paired: bool,
) -> Tested:
    """Test a small rise of pooled RMSE, whatever part of it each scenario has.

    To first order it is the sum of the rises of the cells' errors, which are less skewed than their squares,
    each times the level of its scenario; and noise is in proportion to that level. A t test of that sum finds
    what happens in a few scenarios, the rank test what happens in all: p is twice the smaller (Bonferroni).
    """
    levels = [float(np.sqrt(np.mean(np.concatenate(cells) ** 2))) for cells in zip(*everything, strict=True)]
    mean = float(np.sqrt(np.mean(np.square(levels)))) or 1.0
    shares, noise = (
        [[level * cell / mean for level, cell in zip(levels, side, strict=True)] for side in both]
        for both in (sides, everything)
    )
    rise = float(np.mean([here.mean() - there.mean() for here, there in zip(*shares, strict=True)]))
    # What is next to nothing of the whole says nothing of its noise either.
    scales = [level**2 / mean if level > _LEAST * mean else 0.0 for level in levels]
    found = _tested(drop, rise, *_noise(shares, noise, same, paired=paired, metric="rmse", scales=scales))
    ranked = _ranked(sides, paired=paired)
    return replace(
        found,
        p=min(1.0, 2 * min(found.p, ranked[0])),
        p_better=min(1.0, 2 * min(found.p_better, ranked[1])),
    )


_LEAST = 0.1
"""Least error of a scenario, as a part of the mean, that counts for the noise of small rises."""


def _tested(drop: float, statistic: float, variance: float, freedom: float) -> Tested:
    """Return Student's t test of a statistic of a drop; without noise, any drop is the code's."""
    error = float(np.sqrt(variance))
    p, p_better = (
        float(special.stdtr(freedom, -way * statistic / error)) if error else 0.0 if way * drop > 0 else 1.0
        for way in (1, -1)
    )
    return Tested(error, freedom, p, p_better)


def _ranked(sides: Sequence[Sequence[Array]], *, paired: bool) -> tuple[float, float]:
    """Return one-sided p values that errors are larger in the run, and smaller, by ranks.

    Wilcoxon's signed ranks of pairs, or his rank sums within scenarios, added over these: van Elteren's test
    with equal weights, by its normal limit. Under exchange of the two sides both hold whatever the law.
    """
    if paired:
        steps = np.concatenate([here - there for here, there in zip(*sides, strict=True)])
        steps = steps[steps != 0]
        if not len(steps):
            return 1.0, 1.0
        found = [stats.wilcoxon(way * steps, alternative="greater") for way in (1, -1)]
        return float(found[0].pvalue), float(found[1].pvalue)  # pyright: ignore[reportAttributeAccessIssue]
    above, variance = 0.0, 0.0
    for here, there in zip(*sides, strict=True):
        ranks = stats.rankdata(np.concatenate([here, there]))
        n, both = len(here), len(ranks)
        above += ranks[:n].sum() - n * (both + 1) / 2
        variance += n * (both - n) * ranks.var() / (both - 1)
    if not variance:
        return 1.0, 1.0
    z = (abs(above) - 0.5) / np.sqrt(variance) * np.sign(above)
    return float(special.ndtr(-z)), float(special.ndtr(z))


def _pooled(cells: Sequence[Array], metric: str) -> float:
    """Return the root mean square (RMSE) or mean (RBO) over scenarios of their seeds."""
    if metric == "rmse":
        return float(np.sqrt(np.mean([np.mean(cell**2) for cell in cells])))
    return float(np.mean([np.mean(cell) for cell in cells]))


def _share(cell: Array, metric: str, pooled: float) -> Array:
    """Return what each seed of a scenario adds to the metric, to first order, times scenarios × seeds."""
    if metric == "rmse":
        return cell**2 / (2 * pooled) if pooled > 0 else np.zeros_like(cell)
    return cell


def _noise(
    shares: Sequence[Sequence[Array]],
    all_seeds: Sequence[Sequence[Array]],
    same: Sequence[bool],
    *,
    paired: bool,
    metric: str,
    scales: Sequence[float] = (),
) -> tuple[float, float]:
    """Return the variance of the drop, and its degrees of freedom; scenarios are fixed, seeds vary.

    With two shared seeds or more, it is that of their differences, and holds for scenarios with a single one,
    too. Else each side has its own, estimated together; single shared seeds count as if their two values were
    drawn apart, which can only be too much, unless these are the ``same``. Scenarios are taken for equally
    noisy, or noisy in proportion to ``scales``.
    """
    squares, degrees, weights = [], [], []
    scales = scales or [1.0] * len(shares[0])
    with_steps = paired and any(len(cell) > 1 for cell, scale in zip(shares[0], scales, strict=True) if scale)
    for here, there, every_here, every_there, equal, scale in zip(
        *shares, *all_seeds, same, scales, strict=True
    ):
        if not scale:
            continue
        if with_steps:
            steps = here - there
            squares.append(float(((steps - steps.mean()) ** 2).sum()) / scale**2)
            degrees.append(len(steps) - 1)
            weights.append(scale**2 / len(steps))
        else:
            around = sum(((x - x.mean()) ** 2).sum() for x in (every_here, every_there))
            squares.append(float(around) / scale**2)
            degrees.append(len(every_here) + len(every_there) - 2)
            weights.append(0.0 if equal else scale**2 * (1 / len(here) + 1 / len(there)))
    if all(same):
        return 0.0, float(max(sum(degrees), 1))
    if not sum(degrees):
        if paired:
            return 0.0, 1.0  # one seed, and the same: every difference is the code's
        return np.inf, 1.0
    n = len(shares[0])
    unseen = UNSEEN if metric == "rbo" else 0.0
    freedom = sum(degrees) + (1 if unseen else 0)
    variance = (sum(squares) + unseen) / freedom * sum(weights) / n**2
    if unseen:
        # Often one scenario or two have all the noise there is: no more is known of it than these tell.
        told = sum(square**2 / d for square, d in zip(squares, degrees, strict=True) if d)
        freedom = min(freedom, (sum(squares) + unseen) ** 2 / told) if told else freedom
    return variance, float(freedom)
