"""How the checks call a method: in a state that is put back, on copies, with a clear word where it fails."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path

import numpy as np

from methods import api
from methods.api import Attribution, FusionModel, Method, NotApplicableError
from methods.checks.network import Case, retrain
from synthetic.settings import own_settings

Check = Callable[[Method], None]


class CheckError(AssertionError):
    """A method breaks a rule; the message names the method, the rule, what was found and what to do."""


class RaisedError(CheckError):
    """A method raised where it was to explain a model."""


def broken(method: Method, rule: str, found: str, advice: str) -> CheckError:
    """Return the error of a method that breaks a rule.

    Args:
        method: the method.
        rule: what a method must do, e.g. ``"leave its inputs as they were"``.
        found: what it did, as a sentence without its full stop.
        advice: what to change, likewise.
    """
    return CheckError(f"Method {method.name!r} must {rule}. {found}. {advice}.")


def rule(function: Check) -> Check:
    """Return a check that puts global state back, whatever the method did to it."""

    @wraps(function)
    def check(method: Method) -> None:
        with own_settings(threads=1):
            function(method)

    return check


def attribute(
    method: Method, case: Case, *, seed: int = 0, what: str = "a model of two images and two tables"
) -> Attribution:
    """Return what a method says of a copy of a case.

    Raises:
        CheckError: if it raises; the message says what it was to explain.
        NotApplicableError: if the method does not apply there.
    """
    with own_settings(threads=1):
        own = case.copy()
        return attribute_as_it_is(method, own.model, own, seed=seed, what=what)


def attribute_as_it_is(
    method: Method, model: FusionModel, case: Case, *, seed: int = 0, what: str = "a model"
) -> Attribution:
    """Return what a method says of a model on the case's samples, which it may spoil."""
    try:
        return method.attribute(model, case.samples, np.random.default_rng(seed), retrain=retrain(case.model))
    except NotApplicableError:
        raise
    except (Exception, SystemExit) as error:
        raise RaisedError(
            f"Method {method.name!r} must explain {what}. {told(error)} Mend it, or raise "
            "methods.NotApplicableError with the reason where it cannot apply."
        ) from error


def told(error: BaseException) -> str:
    """Return what was raised, and by which line of a user's own code, in a sentence."""
    own = [it for it in traceback.extract_tb(error.__traceback__) if _is_own(Path(it.filename))]
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"It raised {type(error).__name__}: {str(error).strip().rstrip('.')}{place}."


def _is_own(file: Path) -> bool:
    return "site-packages" not in file.parts and not any(file.is_relative_to(it) for it in _OTHERS)


_OTHERS = (
    *(Path(api.__file__).parents[1] / name for name in ("synthetic", "methods", "benchmark")),
    Path(sysconfig.get_path("stdlib")),
)
"""Where code lies that is not a user's own."""


def shares(attribution: Attribution) -> dict[str, float]:
    """Return modality → share of the positive values; all 0 where no value is positive, none of none."""
    values = {name: max(value, 0.0) for name, value in attribution.modalities.items()}
    total = sum(values.values())
    return {name: value / total if total else 0.0 for name, value in values.items()}


def relevance(attribution: Attribution) -> dict[str, np.ndarray]:
    """Return image → absolute relevance of its pixels ``[m, height, width]``; the sign is of no account."""
    return {name: np.abs(np.asarray(maps, np.float64)) for name, maps in attribution.pixels.items()}


def elsewhere(first: Attribution, second: Attribution) -> dict[str, float]:
    """Return image → share of its relevance that lies in other pixels of the one than of the other, 0 … 1.

    Of the samples that both have maps of; how much there is altogether does not count, unless it is nothing.
    """
    moved = {}
    there = relevance(second)
    for name, here in relevance(first).items():
        n = min(len(here), len(there[name]))
        one, other = here[:n], there[name][:n]
        if one.any() and other.any():
            moved[name] = float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)
        else:
            moved[name] = float(one.any() or other.any())
    return moved


def said(attribution: Attribution) -> dict[str, object]:
    """Return what is compared to the last digit: modalities, features and pixels."""
    arrays = {"features": attribution.features, "pixels": attribution.pixels}
    return {
        "modalities": dict(attribution.modalities),
        **{
            kind: {name: np.asarray(value).tolist() for name, value in values.items()}
            for kind, values in arrays.items()
        },
    }


def farthest(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[str, float]:
    """Return the modality whose value differs most, and by how much."""
    gaps = {name: abs(first[name] - second[name]) for name in first}
    name = max(gaps, key=lambda name: gaps[name])
    return name, gaps[name]


def each(kinds: Mapping[str, Callable[[str], None]]) -> None:
    """Check every kind of model, then say where the method does not apply.

    A kind to which it does not apply must not hide that it fails on another.

    Args:
        kinds: what it is → the check, which gets that name.

    Raises:
        CheckError: of the first kind that fails.
        NotApplicableError: if all others passed.
    """
    reasons = []
    for what, check in kinds.items():
        try:
            check(what)
        except NotApplicableError as error:
            reasons.append(f"{what}: {error}")
    if reasons:
        raise NotApplicableError("; ".join(reasons))


def raised_by_the_contract(error: BaseException) -> bool:
    """Return whether an error comes from what a method returned, and not from the method itself."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename == api.__file__


def check_finite(method: Method, given: Case, what: str) -> None:
    """Check that everything that a method returns is finite and speaks of the model's modalities."""
    found = attribute(method, given, what=what)
    known = set(given.model.modalities)
    extras = {
        "features": {name: (name,) for name in found.features},
        "pixels": {name: (name,) for name in found.pixels},
        "interactions": {pair: pair for pair in found.interactions},
        "standard_error": {name: (name,) for name in found.standard_error},
        "summary": dict.fromkeys(found.summary, ()),
    }
    for kind, names in extras.items():
        for key, modalities in names.items():
            if not known.issuperset(modalities):
                raise broken(
                    method,
                    "speak of the model's own modalities",
                    f"Its {kind!r} name {key!r}",
                    f"The modalities of this model are {', '.join(given.model.modalities)}",
                )
            if not np.isfinite(getattr(found, kind)[key]).all():
                raise broken(
                    method,
                    "return finite values",
                    f"Its {kind!r} of {key!r} are not, on {what}",
                    "See where it divides by a standard deviation or a sum that may be 0",
                )
