"""The checks in a row, for the command, and one test each, for pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Literal, TypeVar

from methods.api import Method, NotApplicableError
from methods.checks import invariances, kinds, rules
from methods.checks.calling import Check, RaisedError, told
from methods.registry import as_method, get
from synthetic.names import check_known

CHECKS: tuple[Check, ...] = (*rules.CHECKS, *invariances.CHECKS, *kinds.CHECKS)
"""Every check, in the order in which they run."""

Candidate = Callable[..., object] | Method | str

Subject = TypeVar("Subject")

_FIRST_CALL = rules.check_finite_values
"""The first check that calls a method: where it raises there, the others would say the same again."""


@dataclass(frozen=True)
class Finding:
    """What came of one check.

    Attributes:
        check: its name.
        rule: what it checks, in one line.
        status: ``ok``, ``failed``, or ``skipped`` where the rule or the method does not apply.
        reason: why it failed or was skipped; empty otherwise.
        raised: it failed since something raised, and not by what was said.
    """

    check: str
    rule: str
    status: Literal["ok", "failed", "skipped"]
    reason: str = ""
    raised: bool = False


def run_checks(candidate: Candidate) -> Iterator[Finding]:
    """Yield what came of each check, as they are done; they end where a method raises at its first call.

    Args:
        candidate: a method, a bare function ``(model, samples, rng)``, or a name as ``methods.get`` takes it.

    Raises:
        ValueError: if there is no such method.

    Example:
        >>> {finding.status for finding in run_checks("gradient")}
        {'ok'}
    """
    return _run(find(candidate))


def _run(method: Method) -> Iterator[Finding]:
    for check in CHECKS:
        found = finding(check, method)
        yield found
        if found.raised and check is _FIRST_CALL:
            if not finding(check, replace(method, needs_labels=True)).raised:
                yield finding(invariances.check_labels, method)  # it lacks labels alone: that check says so
            return


def parametrize_with_checks(
    candidates: Iterable[Candidate], *, expected_failures: Mapping[str, str] | None = None
) -> Any:
    """Return a decorator that makes one test of every check of every method; it needs pytest.

    The ids read ``gradient-check_same_seed``: ``pytest -k check_same_seed`` runs that check alone. Where a
    method says that it does not apply, the test is skipped with its reason.

    Args:
        candidates: methods, bare functions, or names as ``methods.get`` takes them.
        expected_failures: check → reason why the methods are known to fail it; a test that passes all the
            same fails.

    Raises:
        ValueError: if there is no such method or check.

    Example:
        >>> @parametrize_with_checks(["gradient"])
        ... def test_method(method, check):
        ...     check(method)
    """
    import pytest  # noqa: PLC0415 - for tests only; nothing else here needs it

    expected = dict(expected_failures or {})
    for name in expected:
        check_known("check", name, [check.__name__ for check in CHECKS])
    return pytest.mark.parametrize(
        ("method", "check"),
        [
            pytest.param(
                method,
                _skipping(check),
                id=f"{method.name}-{check.__name__}",
                marks=[pytest.mark.xfail(reason=expected[check.__name__], strict=True, raises=AssertionError)]
                if check.__name__ in expected
                else [],
            )
            for method in map(find, candidates)
            for check in CHECKS
        ],
    )


def find(candidate: Candidate) -> Method:
    """Return the method of a candidate.

    Raises:
        ValueError: if there is none.
    """
    return get(candidate) if isinstance(candidate, str) else as_method(candidate)


def finding(check: Callable[[Subject], None], subject: Subject) -> Finding:
    """Return what came of one check.

    Args:
        check: raises an AssertionError that says what is wrong, or a NotApplicableError; what else it raises
            is the subject's doing.
        subject: what is checked.
    """
    rule = (check.__doc__ or "").partition("\n")[0]
    try:
        check(subject)
    except NotApplicableError as reason:
        return Finding(check.__name__, rule, "skipped", str(reason))
    except AssertionError as error:
        return Finding(check.__name__, rule, "failed", str(error), isinstance(error, RaisedError))
    except Exception as error:  # noqa: BLE001 - a user's own code may raise anything
        return Finding(check.__name__, rule, "failed", told(error), raised=True)
    return Finding(check.__name__, rule, "ok")


def _skipping(check: Check) -> Check:
    """Return a check that skips the test where the method does not apply."""
    import pytest  # noqa: PLC0415

    @wraps(check)
    def test(method: Method) -> None:
        try:
            check(method)
        except NotApplicableError as reason:
            pytest.skip(f"{method.name!r} does not apply: {reason}")

    return test
