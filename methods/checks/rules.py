"""What every method says, and what it leaves behind: one small check a rule."""

from __future__ import annotations

import torch
from torch import nn

from methods.api import TARGETS, Method, NotApplicableError
from methods.checks.calling import (
    Check,
    attribute,
    attribute_as_it_is,
    broken,
    check_finite,
    relevance,
    rule,
    shares,
)
from methods.checks.network import N_USUAL, USUAL, case, usual

NEXT_TO_NOTHING = 0.02
"""The largest share of a modality that the model ignores."""

_DATA_ESTIMANDS = ("information", "bayes_accuracy", "leave_one_out")


# What it says


@rule
def check_estimand_is_known(method: Method) -> None:
    """The truth that it targets is one of those that there are."""
    if method.estimand not in TARGETS:
        raise broken(
            method,
            "target an estimand that has a truth",
            f"It targets {method.estimand!r}",
            f"Take one of {', '.join(TARGETS)}",
        )


@rule
def check_finite_values(method: Method) -> None:
    """One finite number a modality, and everything else that it returns is finite and fits the model."""
    check_finite(method, usual(), "a model of two images and two tables")


@rule
def check_something_matters(method: Method) -> None:
    """A model that reads every modality gets a positive value at least once, and pixels that are not 0."""
    found = attribute(method, usual())
    if found.modalities and max(found.modalities.values()) <= 0:
        raise broken(
            method,
            "find a positive importance where a model reads every modality",
            f"It returned {dict(found.modalities)}",
            "Return values that grow with importance, before any normalising",
        )
    if found.pixels and not any(maps.any() for maps in relevance(found).values()):
        raise broken(
            method,
            "find a relevant pixel where a model reads every image",
            f"The pixels of {', '.join(found.pixels)} are all 0",
            "Return values that grow with relevance, before any normalising",
        )


@rule
def check_ignored_modality(method: Method) -> None:
    """A modality that the model ignores gets next to nothing, and so do the pixels of such an image."""
    if method.estimand in _DATA_ESTIMANDS:
        raise NotApplicableError(
            f"the {method.estimand} truth describes the patients, not the model, and its estimates from a "
            "few samples are not 0 where there is nothing"
        )
    for name in USUAL:
        found = attribute(method, case(USUAL, n=N_USUAL, ignored=name))
        share = shares(found).get(name, 0.0)
        if share > NEXT_TO_NOTHING:
            raise broken(
                method,
                f"give next to nothing (a share of {NEXT_TO_NOTHING} at most) to a modality that the model "
                "ignores",
                f"It gave {name!r} a share of {share:.3f}",
                "See what is added to every modality, and whether noise adds up: its absolute values do",
            )
        totals = {image: maps.sum() for image, maps in relevance(found).items()}
        if totals.get(name, 0.0) > NEXT_TO_NOTHING * sum(totals.values()):
            raise broken(
                method,
                f"give next to nothing (a share of {NEXT_TO_NOTHING} at most) to the pixels of an image that "
                "the model ignores",
                f"It gave those of {name!r} a share of {totals[name] / sum(totals.values()):.3f}",
                "Do not scale each map to its own largest value",
            )


# What it leaves behind


@rule
def check_weights_untouched(method: Method) -> None:
    """The weights and the running statistics of the model are as before."""
    given, before = usual(), usual().model.state_dict()
    attribute_as_it_is(method, given.model, given)
    changed = [key for key, value in given.model.state_dict().items() if not torch.equal(value, before[key])]
    if changed:
        raise broken(
            method,
            "leave the model's weights and running statistics as they were",
            f"Changed: {', '.join(changed)}",
            "Work on a copy of the model (copy.deepcopy), and never call it in training mode",
        )


@rule
def check_mode_untouched(method: Method) -> None:
    """The model is left in evaluation mode."""
    given = usual()
    attribute_as_it_is(method, given.model, given)
    training = [name or "the model" for name, module in given.model.named_modules() if module.training]
    if training:
        raise broken(
            method,
            "leave the model in evaluation mode",
            f"In training mode: {', '.join(training)}",
            "Do not call model.train(); gradients do not need it",
        )


@rule
def check_no_gradients_left(method: Method) -> None:
    """No parameter holds a gradient that it did not hold, and each asks for one as it did before."""
    given = usual()
    given.model.requires_grad_()
    next(given.model.parameters()).requires_grad_(False)
    before = [parameter.requires_grad for parameter in given.model.parameters()]
    attribute_as_it_is(method, given.model, given)
    found = None
    if any(parameter.grad is not None for parameter in given.model.parameters()):
        found = "Parameters hold gradients"
    if before != [parameter.requires_grad for parameter in given.model.parameters()]:
        found = "'requires_grad' of parameters has changed"
    if found:
        raise broken(
            method,
            "leave the gradients of the model's parameters alone",
            found,
            "Take gradients by torch.autograd.grad(output, features) instead of output.backward()",
        )


@rule
def check_no_hooks_left(method: Method) -> None:
    """No hook is left, on the model or on all modules."""
    given = usual()
    registers = _global_hooks()
    before = [set(hooks) for hooks in registers]
    try:
        attribute_as_it_is(method, given.model, given)
        where = [
            name or "the model" for name, module in given.model.named_modules() if any(_hooks_of(module))
        ]
        if before != [set(hooks) for hooks in registers]:
            where.append("all modules")
    finally:
        for hooks, known in zip(registers, before, strict=True):
            for key in set(hooks) - known:
                del hooks[key]
    if where:
        raise broken(
            method,
            "leave no hook behind",
            f"There are hooks on {', '.join(where)}",
            "Keep the handle and call handle.remove() in a 'finally'",
        )


def _hooks_of(module: nn.Module) -> list[object]:
    return [value for name, value in vars(module).items() if name.endswith("_hooks")]


def _global_hooks() -> list[dict[int, object]]:
    """Return torch's registers of hooks on all modules."""
    return [
        value
        for name, value in vars(nn.modules.module).items()
        if name.startswith("_global_") and name.endswith("_hooks") and isinstance(value, dict)
    ]


CHECKS: tuple[Check, ...] = (
    check_estimand_is_known,
    check_finite_values,
    check_something_matters,
    check_ignored_modality,
    check_weights_untouched,
    check_mode_untouched,
    check_no_gradients_left,
    check_no_hooks_left,
)
