"""The verdict on each method: did it become less accurate than in the baseline, beyond noise?

The scenarios are the same on both sides, so only seeds are noise. A method *fell* in a metric if two things
hold: its score became worse by more than the margin, and a drop of that size is unlikely when nothing changed
(one-sided tests over scenarios × seeds, Holm's correction over all methods and metrics of the check). The
margin of RMSE is the smaller of two: so much, and such a part of the method's own error, so that an accurate
method may not lose what makes it so. *Worse, within the margin* is a drop that is no noise and yet smaller.
Non-inferiority is told as well: *unchanged* means that the confidence bound of the drop lies within the
margin, *unclear* that the seeds are too few to say either.

Where both sides have the same seeds, cells are exactly paired, and equal numbers pass without any noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special

from benchmark.regression.compared import (
    Lost,
    check_scenarios,
    check_truths,
    counting,
    missing,
    other_truths,
    told,
    versions,
)
from benchmark.regression.noise import ROUNDING, Measured, Tested, measure
from benchmark.regression.values import ValueChange
from benchmark.statistics.comparisons import holm

Verdict = Literal["fell", "worse, within the margin", "improved", "unchanged", "unclear"]


@dataclass(frozen=True)
class Rules:
    """What counts as a fall.

    Attributes:
        rmse_margin: pooled RMSE may rise by so much.
        rbo_margin: mean RBO may fall by so much.
        confidence: 1 − the chance that a check of everything fails when nothing changed.
        relative_margin: pooled RMSE may rise by this part of the baseline's, where that is less than
            ``rmse_margin``. With one seed, and the same, nobody knows which rise of that size is noise: then
            ``rmse_margin`` counts alone.
        strict: fail as well where a method is worse within the margin, or returns other values under the
            same version.
    """

    rmse_margin: float = 0.01
    rbo_margin: float = 0.05
    confidence: float = 0.95
    relative_margin: float = 0.25
    strict: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("rmse_margin", "rbo_margin"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"The {name!r} must be in [0, 1). Got {getattr(self, name)}.")
        if not self.relative_margin >= 0:
            raise ValueError(f"The 'relative_margin' must not be negative. Got {self.relative_margin}.")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"The 'confidence' must be in [0.5, 1). Got {self.confidence}.")

    def margin(self, metric: str, own: float = math.inf) -> float:
        """Return the margin of a metric.

        Args:
            metric: ``"rmse"`` or ``"rbo"``.
            own: the method's own error in the baseline; infinite where no margin is relative to it.
        """
        if metric == "rbo":
            return self.rbo_margin
        relative = self.relative_margin * own if own else 0.0
        return min(self.rmse_margin, max(relative, ROUNDING))


@dataclass(frozen=True)
class Finding:
    """One metric of one method on one model.

    Attributes:
        model: what was explained.
        method: whose accuracy.
        metric: ``"rmse"`` (pooled) or ``"rbo"`` (mean).
        baseline: its value there.
        run: its value here, over the same scenarios and, where seeds are paired, the same seeds.
        drop: by how much it became worse; negative where it became better.
        low: lower bound of the drop, at the confidence of the check.
        high: upper bound of the drop.
        p: one-sided, of a drop as large if nothing changed, corrected for all that is tested.
        margin: the drop that is allowed.
        paired: whether the seeds of both sides are the same.
        verdict: what came of it.
        case: the scenario that moved most, in the direction of the drop.
        case_drop: by how much it became worse.
        seed: the seed that moved most there; None where seeds are not paired.
    """

    model: str
    method: str
    metric: str
    baseline: float
    run: float
    drop: float
    low: float
    high: float
    p: float
    margin: float
    paired: bool
    verdict: Verdict
    case: str
    case_drop: float
    seed: str | None


@dataclass(frozen=True)
class Comparison:
    """A run beside a baseline.

    Attributes:
        findings: one a model, method and metric.
        lost: what the run lacks, and what failed; it fails the check.
        versions: methods whose version changed: name, there, here.
        new: methods that the baseline does not know.
        rules: what counted as a fall.
        value_changes: methods whose raw values, signs or model calls changed.
        differences: in what else the two differ, one line each.
        repeat: the command that repeats the first failed result, where its file is known.
    """

    findings: tuple[Finding, ...]
    lost: tuple[Lost, ...]
    versions: tuple[tuple[str, str, str], ...]
    new: tuple[str, ...]
    rules: Rules = field(default_factory=Rules)
    value_changes: tuple[ValueChange, ...] = ()
    differences: tuple[str, ...] = ()
    repeat: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """What the run lacks, and what failed, one line each."""
        return tuple(map(str, self.lost))

    @property
    def unannounced(self) -> tuple[ValueChange, ...]:
        """Methods that return other values, and say that they are the same version."""
        return tuple(change for change in self.value_changes if change.same_version)

    def of(self, verdict: Verdict) -> tuple[Finding, ...]:
        """Return the findings with a verdict."""
        return tuple(finding for finding in self.findings if finding.verdict == verdict)

    @property
    def passed(self) -> bool:
        """Whether nothing fell and nothing is missing; of a strict check, nothing is worse or other."""
        if self.rules.strict and (self.unannounced or self.of("worse, within the margin")):
            return False
        return not self.lost and not self.of("fell")


def compare(
    run: pd.DataFrame,
    baseline: pd.DataFrame,
    rules: Rules | None = None,
    *,
    noise_must_be_known: bool = True,
    truths_must_agree: bool = True,
) -> Comparison:
    """Compare two tables of scores method by method, each against the truth that it targets.

    Args:
        run: from ``benchmark.table.scores``.
        baseline: likewise; what it holds, the run must hold.
        rules: margins and confidence.
        noise_must_be_known: refuse single seeds that differ; else everything is unclear with them.
        truths_must_agree: refuse scenarios that are defined differently; else that is told.

    Raises:
        ValueError: if the two are not of the same scenarios, or these are defined differently, or neither
            side has seeds enough to know the noise.
    """
    chosen = Rules() if rules is None else rules
    there, here = (counting(table, side) for table, side in ((baseline, "baseline"), (run, "run")))
    check_scenarios(here, there)
    if truths_must_agree:
        check_truths(here, there)
    measured = [found for key in there.methods() for found in measure(here, there, key)]
    if noise_must_be_known and any(np.isinf(found.large.error) for found in measured):
        raise ValueError(
            "Noise over seeds must be known where run and baseline have different ones. Got one seed on "
            "either side: run with more (--seeds 3), or with the baseline's."
        )
    corrected = holm([_test(found, chosen).p for found in measured])
    findings = tuple(
        _finding(found, float(p), chosen, len(measured)) for found, p in zip(measured, corrected, strict=True)
    )
    known = {method for _, method in there.methods()}
    new = tuple(dict.fromkeys(method for _, method in here.methods() if method not in known))
    return Comparison(
        *(findings, tuple(missing(here, there)), tuple(versions(here, there)), new, chosen),
        differences=tuple(other_truths(here, there)),
    )


def _test(found: Measured, rules: Rules) -> Tested:
    """Return the test that holds for a drop or gain of that size."""
    return found.large if abs(found.drop) > rules.margin(found.metric) else found.small


def _finding(found: Measured, p: float, rules: Rules, n_tests: int) -> Finding:
    margin = rules.margin(found.metric, found.sides[1] if found.known else math.inf)
    level, test = 1 - rules.confidence, _test(found, rules)
    reach = float(special.stdtrit(test.freedom, 1 - level / n_tests)) * test.error
    low, high = found.drop - reach, found.drop + reach
    p_better = min(1.0, n_tests * test.p_better)  # with the correction that the first test would need at most
    verdict: Verdict
    if found.drop > margin and p < level:
        verdict = "fell"
    elif found.drop < -margin and p_better < level:
        verdict = "improved"
    elif found.drop > ROUNDING and p < level:
        verdict = "worse, within the margin"
    elif high <= margin:
        verdict = "unchanged"
    else:
        verdict = "unclear"
    return Finding(
        model=found.key[0],
        method=found.key[1],
        metric=found.metric,
        baseline=found.sides[1],
        run=found.sides[0],
        drop=found.drop,
        low=low,
        high=high,
        p=p,
        margin=margin,
        paired=found.paired,
        verdict=verdict,
        case=" on ".join(found.case[:2]),
        case_drop=found.case_drop,
        seed=None if found.seed is None else told(found.seed),
    )
