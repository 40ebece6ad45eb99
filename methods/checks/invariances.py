"""What must not change what a method says: one small check each."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import torch

from methods.api import Attribution, Method
from methods.checks.calling import (
    Check,
    attribute,
    attribute_as_it_is,
    broken,
    elsewhere,
    farthest,
    rule,
    said,
    shares,
)
from methods.checks.network import N_USUAL, USUAL, Bare, Case, Rearranged, usual
from synthetic.settings import own_settings
from synthetic.types import Samples

SAME_WITHIN_NOISE = 0.05
"""How far a modality's share may move where only chance, or the last digit of a sum, differs."""

PIXELS_WITHIN_NOISE = 0.25
"""Share of an image's relevance that may lie in other pixels where only chance differs."""


@rule
def check_draws_from_rng_alone(method: Method) -> None:
    """The global generators of Python, NumPy and torch are neither moved nor read."""

    def run(global_seed: int) -> tuple[dict[str, object], bool]:
        with own_settings(threads=1):
            random.seed(global_seed)
            np.random.seed(global_seed)  # noqa: NPY002 - the generator that must not matter
            torch.manual_seed(global_seed)
            before, own = _draws(), usual()
            found = attribute_as_it_is(method, own.model, own)
            return said(found), before != _draws()

    (first, moved), (other, _) = run(1), run(2)
    # What differs between equal calls has a seed of its own, and is the next check's finding.
    if moved or (first != other and first == run(1)[0]):
        raise broken(
            method,
            "draw from the generator that it is given, and from no other",
            "It moved a global generator" if moved else "Its result changed with the global seeds",
            "Use rng.permutation(…) and the like, or torch.Generator().manual_seed(int(rng.integers(2**63)))",
        )


@rule
def check_same_seed(method: Method) -> None:
    """The same seed gives the same result, to the last digit."""
    first, again = attribute(method, usual(), seed=5), attribute(method, usual(), seed=5)
    if said(first) == said(again):
        return
    if first.modalities != again.modalities:
        name, gap = farthest(first.modalities, again.modalities)
        found = f"The value of {name!r} moved by {gap:.3g} between two equal calls"
    else:
        found = "Its features or pixels moved between two equal calls"
    raise broken(
        method,
        "return the same for the same seed",
        found,
        "Draw from 'rng' alone, and keep nothing from one call to the next",
    )


@rule
def check_other_seeds(method: Method) -> None:
    """Another seed gives nearly the same."""
    first = attribute(method, usual(), seed=0)
    for seed in (1, 2):
        _check_same(
            method,
            first,
            attribute(method, usual(), seed=seed),
            "return nearly the same for another seed",
            "Draw more, or average over more draws",
        )


@rule
def check_order_of_modalities(method: Method) -> None:
    """The values move with the modalities where those stand in another order."""
    names = list(USUAL)
    _check_rearranged(
        method,
        {name: name for name in reversed(names[1:] + names[:1])},
        "say the same of a model whose modalities stand in another order",
        "Find modalities by name: model.groups[name], samples.inputs[name]",
    )


@rule
def check_names_of_modalities(method: Method) -> None:
    """The names of the modalities do not matter."""
    _check_rearranged(
        method,
        {name: f"{letter}_{name[::-1]}" for letter, name in zip("zyxw", USUAL, strict=True)},
        "say the same of a model whose modalities have other names",
        "Let no name decide anything; a table has two axes and an image four",
    )


@rule
def check_order_of_inputs(method: Method) -> None:
    """The order of the inputs in the samples does not matter."""
    given = usual()
    turned = Samples(dict(reversed(list(given.samples.inputs.items()))), given.samples.labels)
    _check_same(
        method,
        attribute(method, given),
        attribute(method, given.with_samples(turned)),
        "say the same whatever the order of the inputs",
        "Find inputs by name: samples.inputs[name] for name in model.modalities",
    )


@rule
def check_order_of_samples(method: Method) -> None:
    """The order of the samples does not matter."""
    given = usual()
    order = torch.randperm(N_USUAL, generator=torch.Generator().manual_seed(3))
    first = attribute(method, given)
    second = attribute(method, given.with_samples(given.samples.take(order)))
    if all(len(maps) == N_USUAL for maps in (*first.pixels.values(), *second.pixels.values())):
        back = order.argsort().numpy()
        second = replace(
            second, pixels={name: np.asarray(maps)[back] for name, maps in second.pixels.items()}
        )
    else:  # maps of the first few samples: those are others now
        first, second = replace(first, pixels={}), replace(second, pixels={})
    _check_same(
        method,
        first,
        second,
        "say the same whatever the order of the samples",
        "Weight samples alike, the last batch too",
    )


@rule
def check_number_of_samples(method: Method) -> None:
    """Three copies of every sample say what one says: their number and a batch's size do not matter."""
    given = usual()
    copies = given.samples.take(torch.arange(N_USUAL).repeat(3))
    _check_same(
        method,
        attribute(method, given),
        attribute(method, given.with_samples(copies)),
        "say the same of three copies of every sample",
        "Take means over samples, not sums, and let the last, smaller batch count by its size",
    )


@rule
def check_protocol_is_enough(method: Method) -> None:
    """A model that shows the protocol and nothing else is explained alike; the harness shows no more."""
    given = usual()
    _check_same(
        method,
        attribute(method, given),
        attribute_as_it_is(
            method,
            Bare(given.model),
            given,
            what="a model that has modalities, groups, encode and classify only",
        ),
        "say the same of a model that shows the protocol and nothing else",
        "Use model.encode, model.classify, model.groups and model.modalities, and encode_modality only where "
        "isinstance(model, methods.SeparableModel)",
    )


@rule
def check_labels(method: Method) -> None:
    """A method that does not declare labels needs none; one that declares them uses them."""
    given = usual()
    if not method.needs_labels:
        blind = given.with_samples(given.samples.without_labels())
        try:
            attribute_as_it_is(method, blind.model, blind)
        except AssertionError as error:
            raise broken(
                method,
                "do without labels unless it declares them",
                f"Given samples without labels, it raised {error.__cause__!r}",
                "If it needs labels, declare them: methods.Method(…, needs_labels=True)",
            ) from error
        return
    other = Samples(given.samples.inputs, 1 - given.labels)
    if said(attribute(method, given)) == said(attribute(method, given.with_samples(other))):
        raise broken(
            method,
            "use the labels that it declares",
            "With every label turned round it returned the same",
            "Take needs_labels=True out",
        )


def _check_same(method: Method, first: Attribution, second: Attribution, rule: str, advice: str) -> None:
    """Check modalities and maps; a method that says nothing of the one is checked by the other."""
    if (set(first.modalities), set(first.pixels)) != (set(second.modalities), set(second.pixels)):
        raise broken(
            method,
            rule,
            f"It spoke of {_subjects(first)}, then of {_subjects(second)}",
            advice,
        )
    if first.modalities:
        before, after = shares(first), shares(second)
        name, gap = farthest(before, after)
        if gap > SAME_WITHIN_NOISE:
            raise broken(
                method,
                f"{rule} (shares within {SAME_WITHIN_NOISE})",
                f"The share of {name!r} moved from {before[name]:.3f} to {after[name]:.3f}",
                advice,
            )
    for name, share in elsewhere(first, second).items():
        if share > PIXELS_WITHIN_NOISE:
            raise broken(
                method,
                f"{rule} (all but {PIXELS_WITHIN_NOISE} of an image's relevance in the same pixels)",
                f"Of the relevance in {name!r}, a share of {share:.3f} lies in other pixels",
                advice,
            )


def _subjects(attribution: Attribution) -> str:
    pixels = [f"the pixels of {name!r}" for name in attribution.pixels]
    return ", ".join([*map(repr, attribution.modalities), *pixels]) or "nothing"


def _check_rearranged(method: Method, new_names: dict[str, str], rule: str, advice: str) -> None:
    given = usual()
    inputs = {new: given.samples.inputs[old] for old, new in new_names.items()}
    model = Rearranged(given.model, new_names).eval()  # pyright: ignore[reportArgumentType]
    moved = attribute(method, Case(model, Samples(inputs, given.samples.labels)))
    old_names = {new: old for old, new in new_names.items()}
    back = Attribution(
        modalities={old_names[name]: value for name, value in moved.modalities.items()},
        pixels={old_names[name]: maps for name, maps in moved.pixels.items() if name in old_names},
    )
    _check_same(method, attribute(method, given), back, rule, advice)


def _draws() -> tuple[object, ...]:
    """Return the states of the global generators, to be compared."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return random.getstate(), name, keys.tolist(), tuple(rest), torch.random.get_rng_state().tolist()  # pyright: ignore[reportAttributeAccessIssue]


CHECKS: tuple[Check, ...] = (
    check_draws_from_rng_alone,
    check_same_seed,
    check_other_seeds,
    check_order_of_modalities,
    check_names_of_modalities,
    check_order_of_inputs,
    check_order_of_samples,
    check_number_of_samples,
    check_protocol_is_enough,
    check_labels,
)
