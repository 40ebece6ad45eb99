"""The models by name: built-in ones, those of installed packages, and a user's own class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import cast

import torch
from torch import nn

from benchmark.models import attention, contrastive, distilled, early, healnet, hybrid, late, unimodal
from benchmark.models.architecture import Architecture
from benchmark.models.base import FusionNetwork
from benchmark.models.plan import COMPACT, TrainingPlan
from benchmark.models.pretrained import Weights
from methods.api import FusionModel
from synthetic.names import check_known, shortened
from synthetic.options import load_object, split_options, with_options
from synthetic.plugins import plugged_in

ORACLE = "oracle"
ENTRY_POINT_GROUP = "plumbline.models"

_BUILT_IN = (
    hybrid.COMPACT_MODEL,
    hybrid.S1_MODEL,
    early.MODEL,
    late.MODEL,
    attention.MODEL,
    healnet.MODEL,
    contrastive.MODEL,
    distilled.MODEL,
    unimodal.MODEL,
)
_ORACLE_DESCRIPTION = "the true decision function: what a method says of it is its own error alone"
_NO_MODELS = tuple(f"benchmark/models/{name}.py" for name in ("__init__", "registry", "checks", "plain"))
"""Files that decide no numbers of a built-in model."""


@cache
def _registered() -> dict[str, Architecture]:
    own = {model.name: model for model in _BUILT_IN}
    added = plugged_in(
        "model",
        group=ENTRY_POINT_GROUP,
        taken=(*own, ORACLE),
        make=lambda candidate, name: as_architecture(candidate, name=name),
    )
    return own | added


def names() -> tuple[str, ...]:
    """Return the names of all models; the oracle is not trained."""
    return (ORACLE, *_registered())


def describe(name: str) -> str:
    """Return one line on a model."""
    return _ORACLE_DESCRIPTION if name == ORACLE else get(name).description


def get(name: str) -> Architecture:
    """Return what is known of a network by name.

    Args:
        name: a registered name, with options in parentheses where wanted (``"contrastive(tokens=False)"``),
            or ``"package.module:Class"`` for a network of your own. The value of an option is a Python
            literal or a bare word, which is a string.

    Raises:
        ValueError: if there is no such network or option, or it is the oracle.

    Example:
        >>> get("contrastive( tokens = False )").name
        'contrastive(tokens=False)'
    """
    base, options = split_options("model", name, own="module:Class")
    if ":" in base:
        return as_architecture(load_object("model", base), name=base).with_options(options)
    check_known("model", shortened(base, 80), names())
    if base == ORACLE:
        raise ValueError(
            "The model 'oracle' is not built from shapes and takes no options; use "
            "benchmark.models.oracle(dataset, …)."
        )
    return _registered()[base].with_options(options)


def as_architecture(candidate: object, *, name: str) -> Architecture:
    """Return what is known of a network class ``(shapes, *, n_classes)``; an Architecture is taken as it is.

    A class may have a ``plan`` of its own, a `TrainingPlan`; else that of the compact networks is taken.

    Raises:
        ValueError: if it cannot be called.
    """
    if isinstance(candidate, Architecture):
        return Architecture(**{**vars(candidate), "name": name})
    if not callable(candidate):
        raise ValueError(  # noqa: TRY004 - callers catch one kind of error for bad input
            f"The model {name!r} must be a class that is built as Class(shapes, n_classes=…). "
            f"Got {candidate!r}."
        )
    lines = (candidate.__doc__ or "").strip().splitlines()
    own_plan = getattr(candidate, "plan", None)
    return Architecture(
        name=name,
        network=candidate,
        description=lines[0] if lines else "a network of your own",
        plan=own_plan if isinstance(own_plan, TrainingPlan) else COMPACT,
    )


def full_name(name: str) -> str:
    """Return the one way in which a model's name and options are written; a user's module is not imported.

    Raises:
        ValueError: if it is not written as a name is, or there is no such model or option.
    """
    base, options = split_options("model", name, own="module:Class")
    if ":" in base:
        return with_options(base, options)
    return ORACLE if name == ORACLE else get(name).name


def check_name(name: str) -> None:
    """Raise a ValueError, with the closest name that there is, unless there is a model of that name."""
    if name != ORACLE:
        get(name)


def plan(name: str) -> TrainingPlan:
    """Return how a network is trained."""
    return get(name).plan


def weights(name: str) -> Weights | None:
    """Return what a model is built with instead of being trained; None for the oracle, and where it is."""
    return None if name == ORACLE else get(name).weights


def is_built_in(name: str) -> bool:
    """Return whether a model's code is the project's own, so that the project's version stands for it."""
    base, _ = split_options("model", name, own="module:Class")
    return base == ORACLE or base in {model.name for model in _BUILT_IN}


def others(name: str) -> tuple[str, ...]:
    """Return the files that have nothing to do with a model, relative to the project's root.

    Those of other models, and those that only name or check models. A network of a user's own may be built
    from anything: then there are none.
    """
    if not is_built_in(name):
        return ()
    own = {"benchmark/models/oracle.py"}
    if name != ORACLE:
        model = get(name)
        own = {_file(part) for part in (model, *(_registered()[part] for part in model.parts))}
    files = {"benchmark/models/oracle.py", *map(_file, _BUILT_IN)} - own
    return tuple(sorted((*files, *_NO_MODELS)))


def build(
    name: str | Architecture, shapes: Mapping[str, tuple[int, ...]], *, n_classes: int = 2
) -> FusionNetwork:
    """Return a network by name, with the weights it names, or else from torch's current random state.

    Args:
        name: as `get` takes it, not the oracle; or what `get` returned.
        shapes: modality → input shape without the sample axis.
        n_classes: number of classes.

    Returns:
        The network; one of a user's own may have no more than a ``Module`` and a ``FusionModel`` have.

    Raises:
        ValueError: if there is no such network, a user's own is none, or its weights do not fit the shapes.
    """
    model = name if isinstance(name, Architecture) else get(name)
    network = model.network(shapes, n_classes=n_classes, **model.options)
    if not isinstance(network, nn.Module) or not isinstance(network, FusionModel):
        raise ValueError(  # noqa: TRY004 - callers catch one kind of error for bad input
            f"The model {model.name!r} must be a torch.nn.Module with modalities, groups, encode(inputs) and "
            "classify(features); wrap one without a fusion layer in benchmark.models.plain.PlainNetwork. "
            f"Got {type(network).__name__}."
        )
    if tuple(network.modalities) != tuple(shapes):
        raise ValueError(
            f"The modalities of model {model.name!r} must be those of its data, {list(shapes)}. "
            f"Got {list(network.modalities)}."
        )
    if model.weights is not None:
        model.weights.put_into(network)
    # Channels-last is a little faster on a CPU: results/reference/training.md.
    return cast("FusionNetwork", network.to(memory_format=torch.channels_last))  # pyright: ignore[reportCallIssue]


def _file(model: Architecture) -> str:
    return f"{model.network.__module__.replace('.', '/')}.py"
