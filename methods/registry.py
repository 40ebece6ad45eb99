"""The methods by name: built-in ones, those of installed packages, and a user's own function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

from methods import (
    ablation,
    calibrated_gradient,
    decision_information,
    deeplift,
    dime,
    feature_ablation,
    grad_cam,
    gradient,
    input_x_gradient,
    integrated_gradients,
    kernel_shap,
    lime,
    lrp,
    mean_of_methods,
    modality_contribution,
    modality_interactions,
    modality_shapley,
    occlusion,
    patch_shap,
    pattern,
    permutation,
    pixel_integrated_gradients,
    retraining,
    saliency,
    shapley_sampling,
    smoothgrad,
)
from methods.api import TARGETS, Method
from synthetic.fingerprint import source_fingerprint as fingerprint
from synthetic.names import check_known
from synthetic.options import load_object, split_options, that_differ, with_options
from synthetic.plugins import plugged_in

_BUILT_IN = (
    gradient.METHOD,
    permutation.METHOD,
    lime.METHOD,
    kernel_shap.METHOD,
    mean_of_methods.METHOD,
    modality_contribution.METHOD,
    input_x_gradient.METHOD,
    smoothgrad.METHOD,
    integrated_gradients.INTEGRATED_GRADIENTS,
    integrated_gradients.GRADIENT_SHAP,
    deeplift.DEEPLIFT,
    deeplift.DEEPLIFT_SHAP,
    lrp.METHOD,
    feature_ablation.METHOD,
    shapley_sampling.METHOD,
    ablation.METHOD,
    ablation.LOSS,
    ablation.VARIANCE,
    modality_shapley.EFFECTS,
    modality_shapley.SHAP,
    modality_shapley.SAGE,
    modality_interactions.METHOD,
    modality_interactions.INTERSHAP,
    dime.METHOD,
    dime.ALONE,
    decision_information.METHOD,
    decision_information.ALONE,
    decision_information.ACCURACY,
    *calibrated_gradient.METHODS,
    saliency.METHOD,
    pixel_integrated_gradients.METHOD,
    grad_cam.METHOD,
    occlusion.METHOD,
    patch_shap.METHOD,
    pattern.METHOD,
    retraining.SINGLE,
    retraining.LEAVE_ONE_OUT,
)

ENTRY_POINT_GROUP = "plumbline.methods"


RESERVED = (
    *("truth", "random", "uniform", "diagnosis"),
    *("true_mask", "true_relevance", "edges", "scan", "random_map"),
)
"""Names of what the harness puts beside methods; no method may have one."""


@cache
def _registered() -> dict[str, Method]:
    own = {method.name: method for method in _BUILT_IN}
    added = plugged_in(
        "method",
        group=ENTRY_POINT_GROUP,
        taken=(*own, *RESERVED),
        make=lambda candidate, name: as_method(candidate, name=name),
    )
    return own | added


def is_built_in(method: Method) -> bool:
    """Return whether a method's code is the project's own, so that the project's version stands for it."""
    return any(
        built_in.function is method.function
        and built_in.components == method.components
        and built_in.estimand == method.estimand
        for built_in in _BUILT_IN
    )


def source_fingerprint(method: Method) -> str:
    """Return a hash of the project's source that decides what a method says.

    Of a built-in one: its own module, those of its components, and what the methods share; not the modules of
    other methods, so that a new method leaves the results of all others valid. What a function of a user's
    own does is not known.
    """
    if not is_built_in(method):
        return fingerprint("methods")
    return _code(frozenset(_file(part) for part in (method, *method.components)))


_NO_METHODS = ("methods/registry.py", "methods/__init__.py", "methods/checks/")


@cache
def _code(own: frozenset[str]) -> str:
    others = {_file(built_in) for built_in in _BUILT_IN} - own
    return fingerprint("methods", without=(*sorted(others), *_NO_METHODS))


def _file(method: Method) -> str:
    return f"{method.function.__module__.replace('.', '/')}.py"


def names() -> tuple[str, ...]:
    """Return the names of all methods."""
    return tuple(_registered())


def get(name: str) -> Method:
    """Return a method by name.

    Args:
        name: a registered name, with options in parentheses where wanted
            (``"kernel_shap(aggregation=absolute_mean)"``), or ``"package.module:function"`` for a function
            of your own, whose option ``estimand`` says what it targets. The value of an option is a Python
            literal or a bare word, which is a string.
            Options with the values that they have anyway are no part of the method's name.

    Raises:
        ValueError: if there is no such method, function or option.

    Example:
        >>> get("gradient").estimand
        'gradient'
        >>> get("permutation(unit=modality)").options["unit"]
        'modality'
    """
    base, options = split_options("method", name, own="module:function")
    if ":" in base:
        return _own(base, options)
    check_known("method", base, names())
    method = _registered()[base]
    _check_options(method, options)
    if not options:
        return method
    given = {"aggregation": method.aggregation, **method.options}
    return method.with_options(that_differ(options, method.function, given))


def _own(base: str, options: dict[str, object]) -> Method:
    """Return the method of a user's own function; ``estimand`` among the options is what it targets."""
    candidate = load_object("method", base)
    targets = options.pop("estimand", None)
    if targets is not None:
        check_known("estimand", str(targets), TARGETS)
        if isinstance(candidate, Method) and candidate.estimand != targets:
            raise ValueError(
                f"The method {base!r} is a methods.Method that targets {candidate.estimand!r}. "
                f"Got estimand={targets!r}; leave it out, or change it there."
            )
    method = as_method(candidate, name=base, estimand=str(targets or "gradient"))
    _check_options(method, options)
    given = {"aggregation": method.aggregation, **method.options}
    differ = that_differ(options, method.function, given) if options else {}
    named = differ if targets is None else {**differ, "estimand": targets}
    return replace(method.with_options(differ), name=with_options(base, named))


def with_estimand(name: str, estimand: str) -> str:
    """Return the name of a user's own function that says what it targets; what a name says already stays.

    Example:
        >>> with_estimand("mine:norm(p=2)", "sage")
        'mine:norm(estimand=sage, p=2)'
    """
    base, options = split_options("method", name, own="module:function")
    return with_options(base, {"estimand": estimand, **options})


def full_name(name: str) -> str:
    """Return the one way in which a method's name and options are written; a user's module is not imported.

    Raises:
        ValueError: if it is not written as a name is, or there is no such method or option.

    Example:
        >>> full_name("permutation( unit = modality, n_repeats = 10 )")
        'permutation(unit=modality)'
    """
    base, options = split_options("method", name, own="module:function")
    return with_options(base, options) if ":" in base else get(name).name


def as_method(candidate: object, *, name: str | None = None, estimand: str = "gradient") -> Method:
    """Return a method for a Method, or for a bare function ``(model, samples, rng)``.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(candidate, Method):
        return candidate if name is None else replace(candidate, name=name)
    if not callable(candidate):
        raise ValueError(  # noqa: TRY004 - callers catch one kind of error for bad input
            f"A method must be a function (model, samples, rng) or a methods.Method. Got {candidate!r}."
        )
    function: Callable[..., object] = candidate
    return Method(
        name=name or getattr(function, "__name__", type(function).__name__),
        function=function,
        estimand=estimand,
        version=str(getattr(function, "version", "1")),
    )


def _check_options(method: Method, options: Mapping[str, object]) -> None:
    """Raise a ValueError unless the method's function takes the options; ``aggregation`` is everyone's."""
    if not options:
        return
    parameters = list(inspect.signature(method.function).parameters.values())
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    n_given = 1 if method.components else 3  # the component results, or model, samples and rng
    known = [parameter.name for parameter in parameters[n_given:]] + ["aggregation"]
    if method.needs_training:
        known = [name for name in known if name != "retrain"]  # that is the harness's to give
    for option in options:
        check_known(f"{method.name} option", option, known)
