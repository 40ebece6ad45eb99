"""Grad-CAM: where the last feature maps speak for the predicted class (Selvaraju et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.overrides import TorchFunctionMode

from methods import evaluation
from methods.api import PIXELS, Attribution, FusionModel, Method, NotApplicableError, SeparableModel
from methods.autograd_graph import Step, nodes
from methods.evaluation import chunks, encode, probabilities
from methods.pixel_maps import N_MAPS, feature_slopes, log_odds
from synthetic.types import Samples

# After these, an axis of the result is no longer a direction in the image, or its places have moved.
_LOSE_THE_PLACE = """
    view view_as reshape reshape_as flatten unflatten permute transpose transpose_ swapaxes swapdims movedim
    moveaxis t flip fliplr flipud roll rot90 as_strided unfold fold matmul bmm mm einsum linear bilinear
    tensordot scaled_dot_product_attention multi_head_attention_forward __get__
"""
_LOST = frozenset(_LOSE_THE_PLACE.split())
_CONVOLUTIONS = frozenset(("conv2d", "conv_transpose2d", "convolution"))
# The same, as autograd calls it.
_NODES_THAT_LOSE_IT = """
    View UnsafeView ReshapeAlias Reshape Permute Transpose T Flip Roll Unfold Im2Col Mm Bmm Addmm
"""
_LOSING_NODES = frozenset(_NODES_THAT_LOSE_IT.split())


def grad_cam(
    model: FusionModel, samples: Samples, rng: np.random.Generator, *, n_maps: int = N_MAPS
) -> Attribution:
    """Return ReLU(Σ_k w_k A_k), enlarged to the image, w_k the spatial mean of ∂s/∂A_k; pixels alone.

    A are the feature maps that are the last to have a place in the image: the result of a convolution, and of
    what follows it up to the first operation that takes places apart or away. They are looked for in the
    image's encoder, and between encoder and logits where that has none (a network that is explained at its
    inputs). s are the log-odds of the *predicted* class: what speaks against it is cut off, so that of two
    classes the other one's map would show what speaks against what the model says. The paper takes the
    class's logit alone; a number that is added to all logits changes that, and not the probabilities. Feature
    maps are coarse: the map is enlarged bilinearly.

    The maps say nothing about tables, and nothing that could be compared between images.

    Args:
        model: the model; it must encode one modality alone.
        samples: the samples to explain.
        rng: not used.
        n_maps: samples that are explained, the first ones.

    Raises:
        ValueError: if ``n_maps`` is not at least 1.
        NotApplicableError: if there is no image, the encodings depend on each other, or an image passes no
            convolution whose result has a place.
    """
    del rng  # nothing here is random
    if n_maps < 1:
        raise ValueError(f"The 'n_maps' of a pixel method must be at least 1. Got {n_maps}.")
    images = [name for name in model.modalities if samples.inputs[name].ndim == 4]
    if not images:
        raise NotApplicableError("needs an image")
    if not isinstance(model, SeparableModel):
        raise NotApplicableError("needs a model that encodes each image alone")
    first = samples.take(slice(0, n_maps))
    features = encode(model, first.inputs)
    predicted = probabilities(model, features).argmax(1)
    slopes = feature_slopes(model, features, predicted)
    return Attribution(
        pixels={name: _maps(model, name, first.inputs[name], features, predicted, slopes) for name in images}
    )


def _maps(
    model: SeparableModel, name: str, value: Tensor, features: Tensor, predicted: Tensor, slopes: Tensor
) -> np.ndarray:
    """Return the maps ``[m, height, width]`` of one image.

    Args:
        model: the model.
        name: of the image.
        value: the image ``[m, channels, height, width]``.
        features: fusion features ``[m, d]``.
        predicted: class whose log-odds s are explained ``[m]``.
        slopes: ∂s by the fusion features.
    """
    found = []
    for rows in chunks(len(value), evaluation.ENCODE_ROWS):
        watch = _FeatureMaps(len(value[rows]))
        leaf = value[rows].detach().clone().requires_grad_()
        with torch.enable_grad(), watch:
            end = model.encode_modality(name, leaf)
        upstream = slopes[rows, model.groups[name]]
        maps = watch.found
        if not maps:
            # A network without a fusion layer: its features are its inputs, and its convolutions come after.
            rest = features[rows].detach().clone().requires_grad_()
            with torch.enable_grad(), watch:
                end = _log_odds(model, name, end, rest, predicted[rows])
            upstream = torch.ones_like(end)
            maps = _of_one(name, watch.found, leaf, rest)
        steps = list(nodes(end, leaf))
        _check_convolutions(name, watch, steps)
        activation, gradient = _last(name, maps, end, upstream)
        _check_what_follows(name, watch, activation, steps)
        weights = gradient.mean((2, 3), keepdim=True)
        small = (weights * activation.detach()).sum(1, keepdim=True).relu()
        found.append(interpolate(small, tuple(value.shape[2:]), mode="bilinear", align_corners=False)[:, 0])
    return torch.cat(found).cpu().numpy()


def _log_odds(model: SeparableModel, name: str, encoded: Tensor, rest: Tensor, predicted: Tensor) -> Tensor:
    """Return s ``[m]``, given the encoding of one image, and the fusion features for the other modalities."""
    parts = [encoded if it == name else rest[:, model.groups[it]] for it in model.modalities]
    return log_odds(model.classify(torch.cat(parts, 1)), predicted)


def _of_one(name: str, maps: Sequence[Tensor], leaf: Tensor, rest: Tensor) -> list[Tensor]:
    """Return the feature maps that depend on an image; a NotApplicableError if the last is not its alone."""
    found, is_alone = [], True
    for activation in maps:
        if not activation.requires_grad:
            continue
        own, others = torch.autograd.grad(
            activation.sum(), (leaf, rest), retain_graph=True, allow_unused=True, materialize_grads=True
        )
        if own.any():
            found.append(activation)
            is_alone = not others.any()
    if not is_alone:
        raise NotApplicableError(
            f"needs feature maps of one image alone, and those of {name!r} depend on other modalities as well"
        )
    return found


def _last(name: str, maps: Sequence[Tensor], end: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last feature maps that what is computed of an image depends on, and ∂s by them.

    Args:
        name: of the image.
        maps: in the order of computation.
        end: the image's encoding, or s.
        slopes: ∂s by ``end``.
    """
    for activation in reversed(maps):
        if not (activation.requires_grad and end.requires_grad):
            continue
        # One at a time: the way back is short to the last ones, and long to all of them.
        (gradient,) = torch.autograd.grad(end, activation, slopes, retain_graph=True, allow_unused=True)
        if gradient is not None:
            return activation, gradient
    raise NotApplicableError(
        f"needs the result of a convolution that still has a place, more than one pixel high and wide, and "
        f"image {name!r} passes none"
    )


def _check_convolutions(name: str, watch: _FeatureMaps, steps: Sequence[Step]) -> None:
    """Raise a NotApplicableError if a convolution, or what may hold one, was not seen."""
    # Scripted layers become one node of no name after a few runs.
    may_hold = ("Convolution", "Graph", "CppFunction")
    hidden = [step for step in steps if any(part in step.name for part in may_hold)]
    n_hidden = sum(step.node not in watch.seen for step in hidden)
    if n_hidden:
        raise NotApplicableError(
            f"needs to see the convolutions that image {name!r} passes: {n_hidden} of them are hidden "
            "(scripted, traced or compiled layers)"
        )


def _check_what_follows(name: str, watch: _FeatureMaps, chosen: Tensor, steps: Sequence[Step]) -> None:
    """Raise a NotApplicableError if something out of sight may have made later feature maps.

    What is done to a map in sight either made another map or lost the place. Out of sight, it must be known
    to lose the place.
    """
    maps = watch.maps()
    # What the chosen map was made of: what is done there out of sight makes no later map.
    earlier, stack = set(), [chosen.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and node not in earlier:
            earlier.add(node)
            stack += [before for before, _ in node.next_functions]
    for step in steps:
        if step.node in earlier or step.node in watch.seen or _loses_the_place(step):
            continue
        if any(before in maps for before in step.before):
            raise NotApplicableError(
                f"needs to see what follows the convolutions that image {name!r} passes: {step.name!r} is "
                "hidden, and may make later feature maps (scripted, traced or compiled layers)"
            )


def _loses_the_place(step: Step) -> bool:
    if step.name in ("Mean", "Sum"):
        # Over channels alone, places stay. Autograd saves −1 as 2⁶⁴ − 1.
        dims = getattr(step.node, "_saved_dim", (-1,))
        return any(dim in (2, 3) or dim % 2**64 >= 2**64 - 2 for dim in dims)
    return step.name in _LOSING_NODES


class _FeatureMaps(TorchFunctionMode):
    """Notes every tensor that comes from a convolution and still has a place, in the order of computation.

    It sees functions of torch, whoever calls them: layers need not be known. It notes too which nodes of the
    graph those functions made (``seen``): the others are of what ran out of sight.

    Args:
        n: samples in the pass.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.found: list[Tensor] = []
        self.seen: set[Any] = set()
        self._n = n
        self._known: dict[int, Tensor] = {}  # it holds the tensors, so that no id is used twice

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function, and note its result where that is a feature map."""
        given = dict(kwargs or {})
        inputs = list(_tensors([*args, *given.values()]))
        bases = [tensor._base for tensor in inputs if tensor._base is not None]  # noqa: SLF001
        before = {tensor.grad_fn for tensor in (*inputs, *bases)}  # now: a function may change them in place
        result = func(*args, **given)
        name = getattr(func, "__name__", "")
        for tensor in (*_tensors(result), *inputs, *bases):
            self._see(tensor.grad_fn, before)
        keeps = name in _CONVOLUTIONS or (
            name not in _LOST
            and any(id(tensor) in self._known for tensor in _tensors([*args, *given.values()]))
        )
        for tensor in _tensors(result) if keeps else ():
            is_map = tensor.ndim == 4 and len(tensor) == self._n and min(tensor.shape[2:]) > 1
            if is_map and id(tensor) not in self._known and tensor.is_floating_point():
                self._known[id(tensor)] = tensor
                self.found.append(tensor)
        return result

    def maps(self) -> set[Any]:
        """Return the nodes that made the feature maps, as they are at the end."""
        return {tensor.grad_fn for tensor in self.found} - {None}

    def _see(self, node: Any, before: set[Any]) -> None:
        """Note a node that a function made, and those between it and the function's inputs."""
        stack = [node]
        while stack:
            node = stack.pop()
            if node is not None and node not in before and node not in self.seen:
                self.seen.add(node)
                stack += [it for it, _ in node.next_functions]


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)


METHOD = Method(
    name="grad_cam",
    function=grad_cam,
    estimand=PIXELS,
    citation="Selvaraju et al. 2017, Grad-CAM: visual explanations from deep networks via gradient-based "
    "localization",
    level="input",
)
