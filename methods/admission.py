"""The door: a model and samples are brought into the form that methods rely on, or refused with the reason.

Whoever hands a model to a method comes through here: `methods.Method.attribute`, ``benchmark.evaluate``, the
command, and the checks of models and methods. What can be put right without changing a number is: evaluation
mode (on a copy), dtypes, a single logit a sample, slices without an end. The rest is a ValueError.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from methods.guard import Guarded, SeparableGuarded, class_logits
from synthetic.settings import own_settings
from synthetic.types import Samples

N_PROBED = 32
"""Samples that a model is tried on before it is explained."""

_TOLERANCE = 1e-4
"""How far what a model says of a sample may differ between batches, as a share of the largest value."""


def admit(model: Any, samples: Samples) -> tuple[Any, Samples]:
    """Return a model and samples as methods rely on them.

    A model is tried once, on a few of the samples: together, and some of them apart.

    Args:
        model: what is to be explained; one that was admitted stays as it is.
        samples: what it is explained on.

    Raises:
        ValueError: if the model breaks the protocol, or does not treat each sample alone and alike, or the
            samples are not its own.
    """
    with own_settings(threads=1):  # the same call then has the same answer, to the last bit
        names = _modalities(model)
        samples = admitted_samples(samples, names)
        if is_admitted(model):
            return model, samples
        model = _admitted(model, names, samples)
        _check_labels(model, samples)
        return model, samples


def is_admitted(model: object) -> bool:
    """Return whether a model came through the door, or stands for one that did."""
    return bool(getattr(type(model), "_is_admitted", False))


def admitted_samples(samples: Samples, modalities: tuple[str, ...]) -> Samples:
    """Return samples of a model's modalities: float32, images in 0…1, sharing nothing with the caller's.

    Raises:
        ValueError: if they are no samples, or a modality of the model is not among them.
    """
    if not isinstance(samples, Samples):
        raise _refusal(
            "samples",
            "be a synthetic.Samples",
            f"a {type(samples).__name__}",
            "wrap a mapping from modality to tensor: Samples({...})",
        )
    if not len(samples):
        raise _refusal("samples", "hold at least one patient", "none", "choose others")
    lacking = [name for name in modalities if name not in samples.inputs]
    if lacking:
        raise _refusal(
            "samples",
            f"hold every modality of the model: {', '.join(modalities)}",
            f"{', '.join(samples.inputs)}, and nothing for {', '.join(lacking)}",
            "name the inputs as the model does",
        )
    if len(samples.inputs) > len(modalities):
        samples = Samples({name: samples.inputs[name] for name in modalities}, samples.labels)
    return samples.as_float()


def _admitted(model: Any, names: tuple[str, ...], samples: Samples) -> Guarded:
    for name in ("encode", "classify"):
        if not callable(getattr(model, name, None)):
            raise _refusal(
                "model",
                "have the methods 'encode(inputs)' and 'classify(features)'",
                f"a {type(model).__name__} without {name!r}",
                "wrap a network without a fusion layer: benchmark.models.plain.PlainNetwork",
            )
    model = _in_evaluation_mode(model)
    few = samples.take(slice(0, N_PROBED)).inputs
    reads = _reads(model, few)
    features = _features(model, {name: value.to(reads, copy=True) for name, value in few.items()})
    groups = _groups(model, names, features.shape[1])
    told = {"modalities": names, "groups": groups, "reads": reads, "joins": features.dtype}
    _check_logits(model, features)
    admitted = Guarded(model, **told)
    features = _check_samples_apart(admitted, few)
    separable = SeparableGuarded(model, **told)
    return separable if _is_separable(separable, few, features) else admitted


def _check_labels(model: Any, samples: Samples) -> None:
    """Raise a ValueError if a label is none of the model's classes."""
    if samples.labels is None:
        return
    low, high = int(samples.labels.min()), int(samples.labels.max())
    if low == 0 and high <= 1:
        return  # every model has these
    one = samples.take(slice(0, 1))
    with torch.no_grad():
        n_classes = model.classify(model.encode(one.inputs)).shape[1]
    if low < 0 or high >= n_classes:
        raise _refusal(
            "samples",
            f"have labels of the model's classes, 0 … {n_classes - 1}",
            f"labels from {low} to {high}",
            "number the classes from 0",
        )


def _modalities(model: Any) -> tuple[str, ...]:
    found = _attribute(model, "modalities")
    names = tuple(found) if isinstance(found, (tuple, list, Mapping)) else ()
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        told, advice = repr(found), "give one name a modality, in the order of the fusion vector"
        if isinstance(model, type):
            told, advice = f"the class {model.__name__}", "build it, and pass what comes of it"
        elif found is None:
            told = "nothing of that name"
        raise _refusal(
            "model",
            "have 'modalities', a tuple of distinct names",
            told,
            advice,
        )
    return names


def _in_evaluation_mode(model: Any) -> Any:
    """Return the model, or a copy of it, in evaluation mode and able to hand out gradients."""
    own = list(_networks(model))
    if not any(map(_needs_copy, own)):
        return model
    told = ""
    try:
        model = copy.deepcopy(model)
        for network in _networks(model):
            # Functions are not copied, nor is what they hold: such a network is the caller's own.
            if not any(network is it for it in own):
                network.eval()
    except Exception as error:  # noqa: BLE001 - a network of anybody's may raise anything
        told = f", and no copy of it can be made ({type(error).__name__}: {error})"
    if told or any(map(_needs_copy, _networks(model))):
        raise _refusal("model", "be in evaluation mode", f"training mode{told}", "call model.eval() first")
    return model


def _needs_copy(network: nn.Module) -> bool:
    tensors = (*network.parameters(), *network.buffers())
    return any(it.training for it in network.modules()) or any(it.is_inference() for it in tensors)


def _networks(model: Any) -> Iterator[nn.Module]:
    """Yield the networks of a model: itself, or those that it holds, however deep."""
    waiting, known = [model], set[int]()
    while waiting:
        held = waiting.pop()
        if id(held) in known or isinstance(held, (type, ModuleType, Tensor, np.ndarray)):
            continue
        known.add(id(held))
        if isinstance(held, nn.Module):
            yield held
        elif isinstance(held, Mapping):
            waiting += held.values()
        elif isinstance(held, (list, tuple, set, frozenset)):
            waiting += held
        elif isinstance(held, MethodType):
            waiting += [held.__self__, held.__func__]
        elif isinstance(held, partial):
            waiting += [held.func, held.args, held.keywords]
        elif isinstance(held, FunctionType):
            waiting += _reached(held)
        else:
            waiting += _attributes(held)


def _reached(function: FunctionType) -> list[object]:
    """Return what a function has at hand: what it closes over, its defaults, and networks that it names."""
    named = (function.__globals__.get(name) for name in function.__code__.co_names)
    networks = [it for it in named if isinstance(it, nn.Module)]
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return [*cells, *networks, *(function.__defaults__ or ()), function.__kwdefaults__ or {}]


def _attributes(held: object) -> list[object]:
    """Return what an object holds: in its dictionary, its slots, and its class."""
    kinds = [kind for kind in type(held).__mro__ if kind.__module__ != "builtins"]
    slots = [name for kind in kinds for name in _slots(kind)]
    shared = [it for kind in kinds for it in vars(kind).values() if isinstance(it, nn.Module)]
    return [*getattr(held, "__dict__", {}).values(), *(getattr(held, name, None) for name in slots), *shared]


def _slots(kind: type) -> tuple[str, ...]:
    found = vars(kind).get("__slots__", ())
    return (found,) if isinstance(found, str) else tuple(found)


def _is_filled(cell: CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _reads(model: Any, few: Mapping[str, Tensor]) -> torch.dtype:
    """Return the dtype of the inputs that a model takes: float32, unless its weights are of another."""
    weights = {it.dtype for net in _networks(model) for it in net.parameters() if it.is_floating_point()}
    others = weights - {torch.float32}
    if not others or torch.float32 in weights:
        return torch.float32
    other = others.pop()
    try:
        with torch.no_grad():
            model.classify(model.encode({name: value.clone() for name, value in few.items()}))
    except RuntimeError:
        return other
    return torch.float32


def _features(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    n = len(next(iter(inputs.values())))
    features = _called(model, "encode", inputs)
    if features.ndim != 2 or len(features) != n or not features.shape[1]:
        raise _refusal(
            "model",
            f"return fusion features of shape (n, d) from 'encode', {n} rows for {n} samples",
            f"shape {tuple(features.shape)}",
            "flatten what comes after the first axis",
        )
    return features


def _check_logits(model: Any, features: Tensor) -> None:
    """Raise a ValueError unless a model says logits of features."""
    logits = _called(model, "classify", features.clone())
    n = len(features)
    if logits.ndim not in (1, 2) or len(logits) != n or not logits.numel():
        raise _refusal(
            "model",
            f"return logits of shape (n, classes) from 'classify', {n} rows for {n} samples",
            f"shape {tuple(logits.shape)}",
            "return one logit a class, or one a sample: the log-odds of class 1 of two",
        )
    if _is_squashed(model, features, logits):
        raise _refusal(
            "model",
            "return logits from 'classify', before any softmax or sigmoid",
            "values that never leave 0…1, whatever the features",
            "leave it out: methods take it themselves",
        )
    logits = class_logits(logits).float()
    # Ones and zeros alone are decisions, which somebody may have written down as they are.
    shares = bool((logits >= 0).all()) and bool(((logits > 0) & (logits < 1)).any())
    if shares and logits.shape[1] > 1 and bool(((logits.sum(1) - 1).abs() < 1e-5).all()):
        raise _refusal(
            "model",
            "return logits from 'classify', before any softmax or sigmoid",
            "rows of positive values that sum to 1",
            "leave the softmax out: methods take it themselves",
        )


def _is_squashed(model: Any, features: Tensor, logits: Tensor) -> bool:
    """Return whether outputs lie in 0…1 wherever they are looked at: a sigmoid's do, logits' do not."""
    seen = [logits.float()]
    inside = (seen[0] > 0) & (seen[0] < 1)
    if bool((seen[0] < 0).any() | (seen[0] > 1).any()) or float(inside.float().mean()) < 0.9:
        return False  # zeros and ones alone are decisions
    try:
        with torch.no_grad():
            seen += [model.classify(factor * features).float() for factor in (-1e6, -10.0, 10.0, 1e6)]
    except Exception:  # noqa: BLE001 - features that are none of its own
        return False
    # What is the same wherever one looks is a constant, and no probability.
    moves = any(not torch.equal(it, seen[0]) for it in seen[1:])
    return moves and all(bool(((it >= 0) & (it <= 1)).all()) for it in seen)


def _called(model: Any, name: str, given: Any) -> Tensor:
    """Return what a model's method says, a finite tensor of floating point."""
    try:
        with torch.no_grad():
            said = getattr(model, name)(given)
    except Exception as error:
        told = f"{type(error).__name__}: {str(error).strip().rstrip('.')}"
        raise ValueError(
            f"The model must take the samples that it is explained on. Its {name!r} raised {told}. Call it "
            "on a few of them yourself, to see where."
        ) from error
    if not isinstance(said, Tensor):
        raise _refusal(
            "model",
            f"return a tensor from {name!r}",
            f"a {type(said).__name__}",
            "return the features, or the logits, alone",
        )
    if not said.is_floating_point():
        raise _refusal(
            "model", f"return floating point from {name!r}", str(said.dtype), "convert it: value.float()"
        )
    if said.layout != torch.strided:
        raise _refusal("model", f"return a dense tensor from {name!r}", str(said.layout), "call to_dense()")
    if said.device.type != "cpu":
        raise _refusal(
            "model", "be on the CPU", f"values on {said.device} from {name!r}", "call model.cpu() first"
        )
    if not bool(said.float().isfinite().all()):
        raise _refusal(
            "model",
            f"return finite values from {name!r}",
            f"NaN or infinity in {int((~said.float().isfinite()).sum())} of {said.numel()} values",
            "see which sample it is, and what is divided by 0",
        )
    return said.clone()  # it may be used again for the next answer


def _groups(model: Any, names: tuple[str, ...], width: int) -> dict[str, slice]:
    """Return the model's groups as slices from start to stop."""
    rule = f"have 'groups', modality → slice, that cover its {width} fusion features, one after another"
    advice = "give each modality its columns, in the order of the modalities"
    found = _attribute(model, "groups")
    if not isinstance(found, Mapping) or set(found) != set(names):
        told = "nothing of that name" if found is None else repr(found)
        raise _refusal("model", rule, f"{told} for the modalities {', '.join(names)}", advice)
    closed, start = {}, 0
    for name in names:
        columns = found[name]
        try:
            its = range(width)[columns] if isinstance(columns, slice) else None
        except TypeError:
            its = None
        if its is None or its.step != 1 or its.start != start or not len(its):
            raise _refusal("model", rule, repr(dict(found)), advice)
        closed[name] = slice(its.start, its.stop)
        start = its.stop
    if start != width:
        raise _refusal("model", rule, repr(dict(found)), advice)
    return closed


@torch.no_grad()
def _check_samples_apart(model: Guarded, few: Mapping[str, Tensor]) -> Tensor:
    """Return the features; a ValueError if what a model says of a sample depends on chance, or on others."""
    n = len(next(iter(few.values())))
    features, logits = _again(model, few, n)
    if not all(map(torch.equal, _again(model, few, n), (features, logits))):
        raise _refusal(
            "model",
            "say the same of a sample each time",
            "two answers to the same call",
            "if it is in training mode, call model.eval() first; in evaluation mode, draw nothing at random",
        )
    roughly = max(_TOLERANCE, *(16 * torch.finfo(it).eps for it in model.dtypes))
    # Other places, other neighbours, another number of them: every other sample, and one alone.
    for rows in (torch.arange(0, n, 2) if n > 1 else torch.tensor([0, 0]), torch.tensor([n // 2])):
        again = _again(model, {name: value[rows] for name, value in few.items()}, len(rows))
        if _gap(again, (features[rows], logits[rows]), roughly) > 1:
            raise _refusal(
                "model",
                "treat each sample alone",
                "another answer where the samples beside it are others",
                "use no statistics of the batch in evaluation mode",
            )
    return features


def _again(model: Guarded, inputs: Mapping[str, Tensor], n: int) -> tuple[Tensor, Tensor]:
    """Return features and logits of other batches; a ValueError if there is not one row a sample."""
    features = model.encode(inputs)
    if features.ndim == 2 and len(features) == n:
        logits = model.classify(features)
        if logits.ndim == 2 and len(logits) == n:
            return features, logits
    raise _refusal(
        "model",
        "return one row a sample, whatever their number",
        f"other shapes for a batch of {n}",
        "let no squeeze() or view() take the first axis away",
    )


def _attribute(model: Any, name: str) -> Any:
    """Return an attribute of a model; None where it has none."""
    try:
        return getattr(model, name, None)
    except Exception as error:  # a property of anybody's may raise anything
        raise ValueError(
            f"The model must have {name!r}. Asked for it, it raised {type(error).__name__}: {error}."
        ) from error


def _is_separable(model: SeparableGuarded, few: Mapping[str, Tensor], features: Tensor) -> bool:
    """Return whether a model encodes a modality alone; a ValueError if it is other than among others."""
    if not callable(getattr(model._model, "encode_modality", None)):  # noqa: SLF001 - its own guard
        return False
    try:
        with torch.no_grad():
            alone = {name: model.encode_modality(name, few[name]) for name in model.modalities}
    except NotImplementedError:
        return False
    roughly = max(_TOLERANCE, *(16 * torch.finfo(it).eps for it in model.dtypes))
    for name, part in alone.items():
        columns = features[:, model.groups[name]]
        if part.shape != columns.shape or _gap((part,), (columns,), roughly, scale=features) > 1:
            raise _refusal(
                "model",
                "encode a modality alone as beside the others",
                f"other values of 'encode_modality({name!r}, …)' than of 'encode'",
                "take encode_modality out where an encoding depends on other modalities",
            )
    return True


def _gap(
    ones: tuple[Tensor, ...], others: tuple[Tensor, ...], share: float, *, scale: Tensor | None = None
) -> float:
    """Return the largest difference, in units of a share of the largest value."""
    gaps = [0.0]
    for one, other in zip(ones, others, strict=True):
        largest = float((other if scale is None else scale).abs().max())
        gaps.append(float((one - other).abs().max()) / (share * max(largest, 1e-6)))
    return max(gaps)


def _refusal(what: str, rule: str, found: str, advice: str) -> ValueError:
    return ValueError(f"The {what} must {rule}. Got {found}; {advice}.")
