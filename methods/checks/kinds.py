"""The kinds of models that every method explains: one small check a kind."""

from __future__ import annotations

from functools import partial

import numpy as np

from methods.api import BudgetError, Method, NotApplicableError
from methods.checks.calling import (
    Check,
    attribute_as_it_is,
    broken,
    check_finite,
    each,
    raised_by_the_contract,
    rule,
    told,
)
from methods.checks.network import USUAL, Bare, Shapes, case, retrain

CALLS_A_SAMPLE = 2**15
"""Model calls that a method may need for one sample: half of what all subsets of 16 modalities take."""


@rule
def check_number_of_modalities(method: Method) -> None:
    """Models of 1, 2, 5 and 12 modalities are explained."""
    each(
        {
            f"a model of {n} {'modality' if n == 1 else 'modalities'}": partial(
                _check_kind, method, shapes=_modalities(n)
            )
            for n in (1, 2, 5, 12)
        }
    )


@rule
def check_sixteen_modalities(method: Method) -> None:
    """Sixteen modalities are explained within a bounded number of model calls."""
    n = 12
    given = case(_modalities(16), n=n)
    model = Bare(given.model, limit=CALLS_A_SAMPLE * n)
    advice = (
        "Draw subsets where there are too many to enumerate, or raise "
        "methods.NotApplicableError('enumerates 2^n subsets: at most … modalities')"
    )
    try:
        attribute_as_it_is(method, model, given, what="a model of sixteen modalities")
    except AssertionError as error:
        if not isinstance(error.__cause__, BudgetError):
            raise
        raise broken(
            method,
            f"explain sixteen modalities with {CALLS_A_SAMPLE:,} model calls a sample at most",
            "It asked for more",
            advice,
        ) from None


@rule
def check_number_of_classes(method: Method) -> None:
    """Models of 2, 3 and 5 classes are explained."""
    shapes: Shapes = {"picture": (1, 28, 28), "table": (3,)}
    each(
        {
            f"a model of {n} classes": partial(_check_kind, method, shapes=shapes, n_classes=n)
            for n in (2, 3, 5)
        }
    )


@rule
def check_image_sizes(method: Method) -> None:
    """Images of 28 and 64 pixels a side are explained."""
    each(
        {
            f"images of {size} pixels a side": partial(
                _check_kind,
                method,
                shapes={"axial": (1, size, size), "table": (3,), "coronal": (1, size, size)},
            )
            for size in (28, 64)
        }
    )


@rule
def check_tables_only(method: Method) -> None:
    """A model of tables alone is explained, one with a single column among them."""
    shapes: Shapes = {"a": (3,), "b": (1,), "c": (8,)}
    each({"a model of tables only": partial(_check_kind, method, shapes=shapes)})


@rule
def check_images_only(method: Method) -> None:
    """A model of images alone is explained."""
    shapes: Shapes = {"axial": (1, 28, 28), "coronal": (1, 28, 28)}
    each({"a model of images only": partial(_check_kind, method, shapes=shapes)})


@rule
def check_one_sample(method: Method) -> None:
    """One sample is explained, or refused with a clear word."""
    one = case(USUAL, n=1)
    try:
        method.attribute(one.model, one.samples, np.random.default_rng(0), retrain=retrain(one.model))
    except NotApplicableError:
        return
    except (Exception, SystemExit) as error:
        if isinstance(error, ValueError) and str(error) and not raised_by_the_contract(error):
            return
        raise broken(
            method,
            "explain one sample, or refuse it clearly",
            told(error).removesuffix("."),
            "Raise methods.NotApplicableError('needs two samples at least') where one is not enough; a "
            "standard deviation over one sample is NaN",
        ) from error


def _check_kind(method: Method, what: str, *, shapes: Shapes, n_classes: int = 2) -> None:
    check_finite(method, case(shapes, n=24, n_classes=n_classes), what)


def _modalities(n: int) -> Shapes:
    """Return an image and n − 1 tables."""
    return {"image": (1, 28, 28), **{f"table_{i}": (2,) for i in range(1, n)}}


CHECKS: tuple[Check, ...] = (
    check_number_of_modalities,
    check_sixteen_modalities,
    check_number_of_classes,
    check_image_sizes,
    check_tables_only,
    check_images_only,
    check_one_sample,
)
